//! Makes a rule of JSON, and says what is wrong with it.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value};

use super::{
    DEPTH_MAX, Expression, PARTS_MAX,
    op::{Bucket, Fractional, OnTexts, Op, Operator, Shared},
    semver::{self, Relation},
};
use crate::Hasher;

/// Something wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Where: a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub advice: String,
}

/// Compiles rules that may refer to common ones.
#[derive(Debug, Default)]
pub struct Compiler {
    flaws: Vec<Flaw>,
    /// All of them, kept or not.
    found: usize,
    doubts: Vec<Flaw>,
    sources: Map<String, Value>,
    /// Those that are compiled already; without a rule if they are wrong.
    shared: BTreeMap<String, Option<Arc<Shared>>>,
    /// Those that are being compiled, each by the one before it.
    open: Vec<String>,
    /// Where it is.
    pointer: String,
    parts: usize,
    /// Levels that the deepest part so far is below the start.
    deepest: usize,
}

/// Flaws that are kept; whoever has so many needs no more.
pub const FLAWS_MAX: usize = 100;

/// Where common rules stand.
pub(crate) const EVALUATORS: &str = "/$evaluators";

impl Compiler {
    /// For rules that may refer to these by `$ref`; all are compiled, used or not.
    #[must_use]
    pub fn new(evaluators: Map<String, Value>) -> Self {
        let names: Vec<String> = evaluators.keys().cloned().collect();
        let mut compiler = Self { sources: evaluators, ..Self::default() };
        for name in names {
            compiler.share(&name, 0);
        }
        compiler
    }

    /// Compiles the rule that stands at `pointer`. Nothing comes of a wrong one but flaws.
    pub fn compile(&mut self, rule: &Value, pointer: &str) -> Option<Expression> {
        let known = self.found;
        let root = self.start(rule, pointer.to_owned(), 0);
        (self.found == known).then(|| Expression(Arc::new(root)))
    }

    /// What is wrong with what was compiled since this was asked last; at most [`FLAWS_MAX`].
    pub fn take_flaws(&mut self) -> Vec<Flaw> {
        std::mem::take(&mut self.flaws)
    }

    /// What is right, but never does what it looks like, likewise.
    pub fn take_doubts(&mut self) -> Vec<Flaw> {
        std::mem::take(&mut self.doubts)
    }

    fn start(&mut self, rule: &Value, pointer: String, depth: usize) -> Op {
        (self.parts, self.deepest, self.pointer) = (0, 0, pointer);
        self.op(rule, depth)
    }

    fn op(&mut self, rule: &Value, depth: usize) -> Op {
        self.parts += 1;
        if !self.is_within(depth) {
            return Op::Constant(Value::Null);
        }
        if let Some((name, operands)) = operation(rule) {
            return self.at(name, |it| it.operation(name, operands, depth));
        }
        match rule.as_array() {
            Some(items) if items.iter().any(has_logic) => Op::List(self.ops(items, depth).into()),
            _ => self.constant(rule, depth),
        }
    }

    /// Whether a part so deep may be; its first time not is a flaw.
    fn is_within(&mut self, depth: usize) -> bool {
        self.deepest = self.deepest.max(depth);
        if depth >= DEPTH_MAX {
            self.flaw(
                format!("the rule has more than {DEPTH_MAX} levels"),
                "write it with fewer `if` in each other: one takes many conditions".to_owned(),
            );
            return false;
        }
        if self.parts == PARTS_MAX + 1 {
            self.flaw(
                format!("the rule has more than {PARTS_MAX} parts, common rules included"),
                "make several flags of it, or a list in the context".to_owned(),
            );
        }
        self.parts <= PARTS_MAX
    }

    fn constant(&mut self, value: &Value, depth: usize) -> Op {
        let levels = levels(value);
        if levels > 1 {
            self.is_within(depth + levels - 1);
        }
        Op::Constant(value.clone())
    }

    fn ops(&mut self, rules: &[Value], depth: usize) -> Vec<Op> {
        let each = rules.iter().enumerate();
        each.map(|(at, rule)| self.at(&at.to_string(), |it| it.op(rule, depth + 1))).collect()
    }

    fn operation(&mut self, name: &str, value: &Value, depth: usize) -> Op {
        let alone = std::slice::from_ref(value);
        let operands = value.as_array().map_or(alone, Vec::as_slice);
        match (name, operands) {
            ("$ref", _) => self.refer(value, depth),
            ("fractional", _) => self.fractional(value, depth),
            ("var", [] | [Value::Null] | [Value::Null, _]) => {
                Op::Var { name: "".into(), default: None }
            }
            ("var", [Value::String(text)]) => Op::Var { name: text.as_str().into(), default: None },
            ("var", [Value::String(text), default, ..]) => {
                let default = self.at("1", |it| it.op(default, depth + 1));
                Op::Var { name: text.as_str().into(), default: Some(Box::new(default)) }
            }
            _ => {
                let Some(operator) = Operator::of(name) else {
                    self.unknown(name);
                    return Op::Constant(Value::Null);
                };
                self.look_at(operator, operands);
                let is_list = value.is_array();
                let operands = match operands {
                    [only] if !is_list => vec![self.op(only, depth + 1)],
                    _ => self.ops(operands, depth),
                };
                Op::Call(operator, operands.into())
            }
        }
    }

    fn unknown(&mut self, name: &str) {
        self.flaw(
            format!("there is no operator `{}`", shorten(name)),
            "an object of one key is an operation: see https://jsonlogic.com/operations.html and \
             flagd's own `fractional`, `sem_ver`, `starts_with` and `ends_with`"
                .to_owned(),
        );
    }

    /// What will never come to anything, whatever the context is.
    fn look_at(&mut self, operator: Operator, operands: &[Value]) {
        let Operator::Text(operator) = operator else { return };
        let takes = match operator {
            OnTexts::StartsWith | OnTexts::EndsWith => 2,
            OnTexts::SemVer => 3,
            OnTexts::Cat | OnTexts::Substring => return,
        };
        if operands.len() != takes {
            let what = format!("it takes {takes} values and is given {}", operands.len());
            self.doubt(what, "it always comes to null");
            return;
        }
        if operator != OnTexts::SemVer {
            return;
        }
        if let Value::String(relation) = &operands[1]
            && Relation::of(relation).is_none()
        {
            let what = format!("`{}` compares no versions", shorten(relation));
            self.doubt(what, "it always comes to null: write =, !=, <, <=, >, >=, ^ or ~");
        }
        for version in [&operands[0], &operands[2]] {
            if let Value::String(version) = version
                && !semver::is_version(version)
            {
                let what = format!("`{}` is no version", shorten(version));
                self.doubt(what, "it always comes to null: write one as `1.2.3`");
            }
        }
    }

    fn refer(&mut self, name: &Value, depth: usize) -> Op {
        let Some(name) = name.as_str() else {
            self.flaw("`$ref` takes a name".to_owned(), "name a rule of `$evaluators`".to_owned());
            return Op::Constant(Value::Null);
        };
        let Some(shared) = self.share(name, depth) else { return Op::Constant(Value::Null) };
        self.parts = (self.parts + shared.parts).min(PARTS_MAX + 1);
        self.is_within(depth + shared.depth);
        Op::Shared(shared)
    }

    /// A common rule. What is wrong with it is said once.
    fn share(&mut self, name: &str, depth: usize) -> Option<Arc<Shared>> {
        if let Some(known) = self.shared.get(name) {
            return known.clone();
        }
        if self.open.iter().any(|open| open == name) {
            self.flaw(
                format!("the rule `{}` refers to itself", shorten(name)),
                "write out what it means".to_owned(),
            );
            return None;
        }
        let Some(source) = self.sources.get(name).cloned() else {
            self.flaw(
                format!("there is no rule `{}` in `$evaluators`", shorten(name)),
                "declare it there, or write the rule here".to_owned(),
            );
            return None;
        };
        let before = (self.parts, self.deepest, std::mem::take(&mut self.pointer));
        let known = self.found;
        self.open.push(name.to_owned());
        let root = self.start(&source, format!("{EVALUATORS}/{}", escape(name)), depth);
        self.open.pop();
        let (parts, levels) = (self.parts, self.deepest.saturating_sub(depth));
        (self.parts, self.deepest, self.pointer) = before;
        let is_right = self.found == known;
        let shared = is_right.then(|| Arc::new(Shared::new(name, root, parts, levels)));
        self.shared.insert(name.to_owned(), shared.clone());
        shared
    }

    fn fractional(&mut self, value: &Value, depth: usize) -> Op {
        let Value::Array(operands) = value else {
            self.doubt(
                "`fractional` takes a list".to_owned(),
                "it always comes to null: write [[variant, weight], …]",
            );
            return Op::Constant(Value::Null);
        };
        let is_bucket = operands.first().is_none_or(Value::is_array);
        let (by, buckets) = operands.split_at(usize::from(!is_bucket));
        let by = by.first().map(|by| self.at("0", |it| it.op(by, depth + 1)));
        let first = usize::from(!is_bucket);
        let buckets = buckets
            .iter()
            .zip(first..)
            .map(|(bucket, at)| self.at(&at.to_string(), |it| it.bucket(bucket, depth + 1)));
        let buckets = buckets.collect();
        Op::Fractional(Box::new(Fractional { by, buckets }))
    }

    fn bucket(&mut self, bucket: &Value, depth: usize) -> Bucket {
        self.parts += 1;
        if operation(bucket).is_some() {
            return Bucket::Computed(self.op(bucket, depth));
        }
        let items = bucket.as_array().map_or(&[][..], Vec::as_slice);
        self.weight(items.get(1));
        let mut ops = self.ops(&items[..items.len().min(2)], depth).into_iter();
        if let Some(variant) = ops.next() {
            return Bucket::Pair(variant, ops.next());
        }
        self.doubt(
            "this is no pair of variant and weight".to_owned(),
            "the draw always comes to null: write [variant, weight]",
        );
        Bucket::Computed(Op::Constant(Value::Null))
    }

    fn weight(&mut self, weight: Option<&Value>) {
        let is_right = match weight {
            None | Some(Value::Null) => true,
            Some(Value::Number(number)) => number
                .as_f64()
                .is_some_and(|number| number.fract() == 0.0 && number <= f64::from(i32::MAX)),
            Some(other) => has_logic(other),
        };
        if !is_right {
            self.doubt(
                "the weight is no whole number up to 2147483647".to_owned(),
                "the draw always comes to null: write whole numbers",
            );
        }
    }

    /// Does something one step further down.
    fn at<T>(&mut self, step: &str, inside: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(&escape(step));
        let done = inside(self);
        self.pointer.truncate(length);
        done
    }

    fn flaw(&mut self, what: String, advice: String) {
        self.found += 1;
        if self.flaws.len() < FLAWS_MAX {
            self.flaws.push(Flaw { pointer: self.pointer.clone(), what, advice });
        }
    }

    fn doubt(&mut self, what: String, advice: &str) {
        if self.doubts.len() < FLAWS_MAX {
            let advice = advice.to_owned();
            self.doubts.push(Flaw { pointer: self.pointer.clone(), what, advice });
        }
    }
}

impl Shared {
    fn new(name: &str, root: Op, parts: usize, depth: usize) -> Self {
        let print =
            Hasher::derive(b"gnomon rule 1", name, b"").hash(format!("{root:?}").as_bytes());
        Self { name: name.into(), root, parts, depth, print }
    }
}

/// A step of a JSON pointer.
pub(crate) fn escape(step: &str) -> String {
    step.replace('~', "~0").replace('/', "~1")
}

/// As much of a text as a message can bear.
pub(crate) fn shorten(text: &str) -> String {
    const LETTERS: usize = 60;
    let mut short: String = text.chars().take(LETTERS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// Operator and operands, if a value is an operation: an object of one key.
fn operation(value: &Value) -> Option<(&str, &Value)> {
    let map = value.as_object().filter(|map| map.len() == 1)?;
    map.iter().next().map(|(name, operands)| (name.as_str(), operands))
}

/// Whether anything in a value is left to evaluate.
fn has_logic(value: &Value) -> bool {
    let is_in = |items: &Vec<Value>| items.iter().any(has_logic);
    operation(value).is_some() || value.as_array().is_some_and(is_in)
}

/// How many levels a value has.
fn levels(value: &Value) -> usize {
    match value {
        Value::Object(map) => 1 + map.values().map(levels).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(levels).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}
