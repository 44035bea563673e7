//! Reads a file in flagd's format.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value};

use super::{BYTES_MAX, Definition, Definitions, FLAGS_MAX, Fault, VARIANTS_MAX, document::Node};
use crate::{
    flagd::verdicts,
    logic::{Compiler, EVALUATORS, Expression, FLAWS_MAX, Flaw, escape, shorten},
};

pub(crate) fn read(text: &str) -> Result<(Definitions, Vec<Fault>), Vec<Fault>> {
    let mut reader = Reader::default();
    let definitions = reader.document(text);
    match definitions {
        Some(definitions) if reader.faults.is_empty() => Ok((definitions, reader.doubts)),
        _ => Err(reader.faults),
    }
}

type Table = Vec<(String, Node)>;

#[derive(Default)]
struct Reader {
    compiler: Compiler,
    faults: Vec<Fault>,
    doubts: Vec<Fault>,
    /// The flag that is being read.
    flag: Option<String>,
}

/// What a flag says, as far as it is of the right kind.
#[derive(Default)]
struct Entry {
    state: Option<String>,
    variants: Option<Table>,
    default: Option<String>,
    targeting: Option<Value>,
    metadata: Map<String, Value>,
}

impl Reader {
    fn document(&mut self, text: &str) -> Option<Definitions> {
        if text.len() > BYTES_MAX {
            let what = format!("the file has {} bytes, {BYTES_MAX} may be", text.len());
            self.fault("", what, "make several sources of it");
            return None;
        }
        let node = match serde_json::from_str(text) {
            Ok(node) => node,
            Err(error) => {
                self.fault("", format!("this is no JSON: {error}"), "write it as JSON");
                return None;
            }
        };
        let Node::Table(root) = node else {
            self.expect("", "an object", &node);
            return None;
        };
        self.unique("", &root);
        let mut parts: BTreeMap<String, Node> = root.into_iter().collect();
        let metadata = self.metadata("/metadata", parts.remove("metadata"));
        self.evaluators(parts.remove("$evaluators"));
        let Some(flags) = parts.remove("flags") else {
            self.fault("", "there are no `flags`", "write `\"flags\": {}` if there are none");
            return None;
        };
        let flags = self.flags(flags, &metadata);
        Some(Definitions { flags, metadata })
    }

    fn evaluators(&mut self, node: Option<Node>) {
        let Some(node) = node else { return };
        self.no_duplicates(EVALUATORS, &node);
        if !matches!(node, Node::Table(_)) {
            self.expect(EVALUATORS, "an object of rules", &node);
        }
        if let Value::Object(rules) = node.into_value() {
            self.compiler = Compiler::new(rules);
            self.take_flaws();
        }
    }

    fn flags(&mut self, node: Node, metadata: &Map<String, Value>) -> Vec<Definition> {
        let entries = match node {
            Node::Table(entries) => {
                let named = |(name, flag): (String, Node)| {
                    (format!("/flags/{}", escape(&name)), name, flag)
                };
                entries.into_iter().map(named).collect()
            }
            Node::List(items) => self.listed(items),
            Node::Null | Node::Bool(_) | Node::Number(_) | Node::Text(_) => {
                self.expect("/flags", "an object of flags", &node);
                return Vec::new();
            }
        };
        if entries.len() > FLAGS_MAX {
            let what = format!("there are {} flags, {FLAGS_MAX} may be", entries.len());
            self.fault("/flags", what, "remove those that nobody asks for");
            return Vec::new();
        }
        let mut names = HashSet::new();
        let mut flags = Vec::with_capacity(entries.len());
        for (pointer, name, node) in entries {
            if !names.insert(name.clone()) {
                let what = format!("flag `{}` is there twice", shorten(&name));
                self.fault(&pointer, what, "remove one, or rename it");
            }
            self.flag = Some(name);
            flags.extend(self.definition(&pointer, node, metadata));
            self.flag = None;
        }
        flags.sort_by(|left, right| left.name.cmp(&right.name));
        flags
    }

    /// The array form: each flag has its key inside.
    fn listed(&mut self, items: Vec<Node>) -> Vec<(String, String, Node)> {
        let mut flags = Vec::new();
        for (node, at) in items.into_iter().zip(0..) {
            let pointer = format!("/flags/{at}");
            let Node::Table(entries) = &node else {
                self.expect(&pointer, "an object", &node);
                continue;
            };
            match entries.iter().find(|(key, _)| key == "key") {
                Some((_, Node::Text(key))) => flags.push((pointer, key.clone(), node)),
                Some((_, other)) => self.expect(&format!("{pointer}/key"), "a text", other),
                None => self.fault(&pointer, "the flag has no `key`", "give it one"),
            }
        }
        flags
    }

    fn definition(
        &mut self,
        pointer: &str,
        node: Node,
        shared: &Map<String, Value>,
    ) -> Option<Definition> {
        let name = self.flag.clone().unwrap_or_default();
        if name.is_empty() {
            self.fault(pointer, "a flag has an empty key", "give it a name");
        }
        self.no_duplicates(pointer, &node);
        let Node::Table(entries) = node else {
            self.expect(pointer, "an object", &node);
            return None;
        };
        let entry = self.entry(pointer, entries);
        let enabled = self.state(pointer, entry.state);
        let variants = self.variants(pointer, entry.variants);
        let default = self.default_of(pointer, entry.default, &variants);
        let targeting = self.targeting(pointer, entry.targeting.as_ref(), &variants);
        let mut metadata = shared.clone();
        metadata.extend(entry.metadata);
        Some(Definition { name, enabled, variants, default, targeting, metadata })
    }

    fn entry(&mut self, pointer: &str, entries: Table) -> Entry {
        let mut entry = Entry::default();
        for (key, node) in entries {
            let place = || format!("{pointer}/{}", escape(&key));
            match (key.as_str(), node) {
                ("state", Node::Text(text)) => entry.state = Some(text),
                ("state", other) => {
                    entry.state = Some("ENABLED".to_owned());
                    self.expect(&place(), "`ENABLED` or `DISABLED`", &other);
                }
                ("variants", Node::Table(variants)) => entry.variants = Some(variants),
                ("variants", other) => {
                    entry.variants = Some(Vec::new());
                    self.expect(&place(), "an object of variants", &other);
                }
                ("defaultVariant", Node::Null) => {}
                ("defaultVariant", Node::Text(text)) => entry.default = Some(text),
                ("defaultVariant", other) => self.expect(&place(), "a variant's name", &other),
                ("targeting", node @ (Node::Table(_) | Node::Null)) => {
                    entry.targeting = Some(node.into_value());
                }
                ("targeting", other) => self.expect(&place(), "a rule, which is an object", &other),
                ("metadata", node) => entry.metadata = self.metadata(&place(), Some(node)),
                ("key" | "description" | "$schema" | "$comment", _) => {}
                _ => {
                    let what = format!("`{}` means nothing in a flag", shorten(&key));
                    self.doubt(&place(), what, "remove it, or look how it is written");
                }
            }
        }
        entry
    }

    fn state(&mut self, pointer: &str, state: Option<String>) -> bool {
        let Some(state) = state else {
            self.fault(pointer, "the flag has no `state`", "write \"state\": \"ENABLED\"");
            return true;
        };
        let is_known = state == "ENABLED" || state == "DISABLED";
        if !is_known {
            let what = format!("`{}` is no state", shorten(&state));
            self.fault(&format!("{pointer}/state"), what, "write ENABLED or DISABLED");
        }
        state != "DISABLED"
    }

    fn variants(&mut self, pointer: &str, variants: Option<Table>) -> Vec<(String, Value)> {
        let Some(variants) = variants else {
            let advice = "say what the flag can be: \"variants\": {\"on\": true, \"off\": false}";
            self.fault(pointer, "the flag has no `variants`", advice);
            return Vec::new();
        };
        let pointer = format!("{pointer}/variants");
        if variants.is_empty() {
            self.fault(&pointer, "the flag has no variants", "give it one at least");
        }
        if variants.len() > VARIANTS_MAX {
            let what = format!("the flag has {} variants, {VARIANTS_MAX} may be", variants.len());
            self.fault(&pointer, what, "make several flags of it");
        }
        if variants.iter().any(|(name, _)| name.is_empty()) {
            self.fault(&pointer, "a variant has an empty name", "give it a name");
        }
        let mut kinds = variants.iter().map(|(_, value)| value.kind());
        if let Some(first) = kinds.next()
            && let Some(other) = kinds.find(|kind| *kind != first)
        {
            let what = format!("one variant is {first}, another {other}");
            self.doubt(&pointer, what, "applications expect one kind of value");
        }
        variants.into_iter().map(|(name, value)| (name, value.into_value())).collect()
    }

    fn default_of(
        &mut self,
        pointer: &str,
        name: Option<String>,
        variants: &[(String, Value)],
    ) -> Option<u8> {
        let name = name.filter(|name| !name.is_empty())?;
        let place = variants.iter().position(|(known, _)| *known == name);
        if place.is_none() {
            let pointer = format!("{pointer}/defaultVariant");
            if let Some((what, advice)) = no_variant(&name, variants) {
                self.fault(&pointer, what, &advice);
            }
        }
        place.and_then(|place| u8::try_from(place).ok())
    }

    fn targeting(
        &mut self,
        pointer: &str,
        rule: Option<&Value>,
        variants: &[(String, Value)],
    ) -> Option<Expression> {
        let is_empty = |rule: &Value| rule.as_object().is_some_and(Map::is_empty);
        let rule = rule.filter(|rule| !is_empty(rule))?;
        let pointer = format!("{pointer}/targeting");
        let expression = self.compiler.compile(rule, &pointer);
        self.take_flaws();
        // A rule that is wrong may be too deep to be looked through.
        expression.as_ref()?;
        let known: HashSet<&str> = variants.iter().map(|(name, _)| name.as_str()).collect();
        verdicts::each(rule, &pointer, &mut |name, place| {
            // flagd takes it, and answers with an error whenever it comes to that.
            let missing = (!known.contains(name)).then(|| no_variant(name, variants)).flatten();
            if let Some((what, advice)) = missing {
                self.doubt(place, what, &advice);
            }
        });
        expression
    }

    fn metadata(&mut self, pointer: &str, node: Option<Node>) -> Map<String, Value> {
        let entries = match node {
            None | Some(Node::Null) => return Map::new(),
            Some(Node::Table(entries)) => entries,
            Some(other) => {
                self.expect(pointer, "an object", &other);
                return Map::new();
            }
        };
        self.unique(pointer, &entries);
        let mut metadata = Map::new();
        for (key, value) in entries {
            match value {
                Node::Null => {}
                Node::List(_) | Node::Table(_) => {
                    let place = format!("{pointer}/{}", escape(&key));
                    self.expect(&place, "a text, a number, or true or false", &value);
                }
                Node::Bool(_) | Node::Number(_) | Node::Text(_) => {
                    metadata.insert(key, value.into_value());
                }
            }
        }
        metadata
    }

    /// Whether no key is there twice, here or below.
    fn no_duplicates(&mut self, pointer: &str, node: &Node) {
        match node {
            Node::Table(entries) => {
                self.unique(pointer, entries);
                for (key, inner) in entries {
                    if matches!(inner, Node::Table(_) | Node::List(_)) {
                        self.no_duplicates(&format!("{pointer}/{}", escape(key)), inner);
                    }
                }
            }
            Node::List(items) => {
                for (inner, at) in items.iter().zip(0_usize..) {
                    if matches!(inner, Node::Table(_) | Node::List(_)) {
                        self.no_duplicates(&format!("{pointer}/{at}"), inner);
                    }
                }
            }
            Node::Null | Node::Bool(_) | Node::Number(_) | Node::Text(_) => {}
        }
    }

    /// The same for one object.
    fn unique(&mut self, pointer: &str, entries: &Table) {
        if entries.len() < 2 {
            return;
        }
        let mut known = HashSet::with_capacity(entries.len());
        for (key, _) in entries {
            if !known.insert(key.as_str()) {
                let place = format!("{pointer}/{}", escape(key));
                let what = format!("the key `{}` is there twice", shorten(key));
                self.fault(&place, what, "remove one: only one of them would count");
            }
        }
    }

    fn expect(&mut self, pointer: &str, wanted: &str, node: &Node) {
        let what = format!("this is {}", node.kind());
        self.fault(pointer, what, &format!("write {wanted}"));
    }

    fn take_flaws(&mut self) {
        let flag = self.flag.clone();
        let fault = |flaw: Flaw| Fault {
            flag: flag.clone(),
            pointer: flaw.pointer,
            what: flaw.what,
            advice: flaw.advice,
        };
        let left = |all: &Vec<Fault>| FLAWS_MAX.saturating_sub(all.len());
        self.faults
            .extend(self.compiler.take_flaws().into_iter().take(left(&self.faults)).map(fault));
        self.doubts
            .extend(self.compiler.take_doubts().into_iter().take(left(&self.doubts)).map(fault));
    }

    fn fault(&mut self, pointer: &str, what: impl Into<String>, advice: &str) {
        let fault = self.about(pointer, what.into(), advice);
        if self.faults.len() < FLAWS_MAX {
            self.faults.push(fault);
        }
    }

    fn doubt(&mut self, pointer: &str, what: String, advice: &str) {
        let doubt = self.about(pointer, what, advice);
        if self.doubts.len() < FLAWS_MAX {
            self.doubts.push(doubt);
        }
    }

    fn about(&self, pointer: &str, what: String, advice: &str) -> Fault {
        let (pointer, advice) = (pointer.to_owned(), advice.to_owned());
        Fault { flag: self.flag.clone(), pointer, what, advice }
    }
}

/// What is wrong with a name that no variant has, and advice; nothing if there is no variant at all,
/// which is said already.
fn no_variant(name: &str, variants: &[(String, Value)]) -> Option<(String, String)> {
    if variants.is_empty() {
        return None;
    }
    let known: Vec<&str> = variants.iter().take(8).map(|(name, _)| name.as_str()).collect();
    let what = format!("the flag has no variant `{}`", shorten(name));
    Some((what, format!("name one of its variants: {}", shorten(&known.join(", ")))))
}
