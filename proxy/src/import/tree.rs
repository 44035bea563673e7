//! YAML and TOML as one tree that knows its lines.

use std::{fmt, sync::Arc};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use toml_edit::{Document, Item, TableLike, Value as TomlValue};

use super::{
    DEPTH_MAX,
    ledger::{Id, Ledger},
};

/// A value in the tree.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Nothing,
    /// A scalar, as text whatever its type.
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// A value with the line it stands on, from 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) line: u32,
    pub(super) value: Value,
}

impl Node {
    /// What a map holds under a key, whatever its letters' case.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, it)| it)
    }

    /// The same along a path of keys.
    pub(super) fn find(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    pub(super) fn entries(&self) -> &[(String, Self)] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    pub(super) fn items(&self) -> &[Self] {
        if let Value::List(items) = &self.value { items } else { &[] }
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// The text under a key.
    pub(super) fn said(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Self::text)
    }

    /// The texts of a list, or the one that stands for it.
    pub(super) fn texts(&self) -> Vec<String> {
        let own = self.text().map(str::to_owned);
        self.items().iter().filter_map(Self::text).map(str::to_owned).chain(own).collect()
    }

    /// Moves all lines down by so many.
    pub(super) fn moved(mut self, lines: u32) -> Self {
        self.line = self.line.saturating_add(lines);
        self.value = match self.value {
            Value::List(items) => {
                Value::List(items.into_iter().map(|item| item.moved(lines)).collect())
            }
            Value::Map(entries) => Value::Map(
                entries.into_iter().map(|(key, item)| (key, item.moved(lines))).collect(),
            ),
            scalar @ (Value::Nothing | Value::Text(_)) => scalar,
        };
        self
    }
}

/// Every scalar below a node, and every list of scalars, with its path: these are the directives of a
/// tree.
pub(super) struct Leaves {
    file: Arc<str>,
    all: Vec<(Vec<String>, Id)>,
}

impl Leaves {
    /// Enters everything below `node`, which is told as standing below `root`.
    pub(super) fn enter(ledger: &mut Ledger, file: &Arc<str>, root: &str, node: &Node) -> Self {
        let mut leaves = Self { file: Arc::clone(file), all: Vec::new() };
        let root: Vec<String> = root.split('.').map(str::to_owned).collect();
        let prefix = if root == [""] { Vec::new() } else { root };
        leaves.walk(ledger, &prefix, &mut Vec::new(), node);
        leaves
    }

    fn walk(&mut self, ledger: &mut Ledger, root: &[String], path: &mut Vec<String>, node: &Node) {
        let mut told = |path: &[String], text: &str| {
            let shown = root.iter().chain(path).cloned().collect::<Vec<_>>().join(".");
            let id = ledger.enter(&self.file, node.line, &format!("{shown}: {text}"));
            self.all.push((path.to_vec(), id));
        };
        match &node.value {
            Value::Nothing => told(path, ""),
            Value::Text(text) => told(path, text),
            Value::Map(entries) if entries.is_empty() => told(path, "{}"),
            Value::List(items) if items.iter().all(|item| item.text().is_some()) => {
                told(path, &format!("[{}]", node.texts().join(", ")));
            }
            Value::Map(entries) => {
                for (key, item) in entries {
                    path.push(key.clone());
                    self.walk(ledger, root, path, item);
                    path.pop();
                }
            }
            Value::List(items) => {
                for (ix, item) in items.iter().enumerate() {
                    path.push(ix.to_string());
                    self.walk(ledger, root, path, item);
                    path.pop();
                }
            }
        }
    }

    /// The directives at or below a path, whatever its letters' case.
    pub(super) fn below(&self, path: &[&str]) -> Vec<Id> {
        let is_below = |own: &[String]| {
            own.len() >= path.len()
                && own.iter().zip(path).all(|(own, key)| own.eq_ignore_ascii_case(key))
        };
        self.all.iter().filter(|(own, _)| is_below(own)).map(|(_, id)| *id).collect()
    }

    /// Every directive with its path.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[String], Id)> {
        self.all.iter().map(|(path, id)| (path.as_slice(), *id))
    }
}

/// The documents of a YAML text.
///
/// # Errors
///
/// What is wrong, with its line.
pub(super) fn yaml(name: &str, text: &str) -> Result<Vec<Node>, String> {
    let mut budget = serde_saphyr::Budget::default();
    budget.max_depth = DEPTH_MAX;
    let mut options = serde_saphyr::Options::default();
    options.budget = Some(budget);
    options.with_snippet = false;
    let read = serde_saphyr::from_multiple_with_options::<Spanned<Read>>(text, options);
    let documents = read.map_err(|error| {
        let line = error.location().map_or(1, |it| it.line());
        format!("{name}:{line}: this is not YAML: {error}")
    })?;
    Ok(documents.into_iter().map(Read::node).collect())
}

/// What serde reads, before lines are joined to it.
enum Read {
    Nothing,
    Text(String),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<String>, Spanned<Self>)>),
}

impl Read {
    fn node(read: Spanned<Self>) -> Node {
        let line = u32::try_from(read.referenced.line()).unwrap_or(u32::MAX);
        let value = match read.value {
            Self::Nothing => Value::Nothing,
            Self::Text(text) => Value::Text(text),
            Self::List(items) => Value::List(items.into_iter().map(Self::node).collect()),
            Self::Map(entries) => {
                let entries = entries.into_iter().map(|(key, item)| {
                    let mut node = Self::node(item);
                    // A block begins on the line after its key: people look for the key.
                    node.line = u32::try_from(key.referenced.line()).unwrap_or(node.line);
                    (key.value, node)
                });
                Value::Map(entries.collect())
            }
        };
        Node { line, value }
    }
}

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Read;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Read, E> {
        Ok(Read::Text(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Read, E> {
        Ok(Read::Text(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Read, E> {
        Ok(Read::Text(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Read, E> {
        Ok(Read::Text(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Read, E> {
        Ok(Read::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Read, E> {
        Ok(Read::Nothing)
    }

    fn visit_none<E>(self) -> Result<Read, E> {
        Ok(Read::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Read, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Read::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Read, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Read::Map(entries))
    }
}

/// A TOML text.
///
/// # Errors
///
/// What is wrong, with its line.
pub(super) fn toml(name: &str, text: &str) -> Result<Node, String> {
    let document = Document::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        format!("{name}:{line}: this is not TOML: {}", error.message())
    })?;
    Ok(Node { line: 1, value: toml_table(text, document.as_table(), 1) })
}

fn line_of(text: &str, byte: usize) -> u32 {
    let before = text.as_bytes().get(..byte).unwrap_or_default();
    u32::try_from(before.iter().filter(|it| **it == b'\n').count() + 1).unwrap_or(u32::MAX)
}

fn toml_table(text: &str, table: &dyn TableLike, line: u32) -> Value {
    let entries = table.iter().map(|(key, item)| {
        let span = table.key(key).and_then(toml_edit::Key::span).or_else(|| item.span());
        let line = span.map_or(line, |span| line_of(text, span.start));
        (key.to_owned(), Node { line, value: toml_item(text, item, line) })
    });
    Value::Map(entries.collect())
}

fn toml_item(text: &str, item: &Item, line: u32) -> Value {
    match item {
        Item::None => Value::Nothing,
        Item::Value(value) => toml_value(text, value, line),
        Item::Table(table) => toml_table(text, table, line),
        Item::ArrayOfTables(tables) => {
            let tables = tables.iter().map(|table| {
                let line = table.span().map_or(line, |span| line_of(text, span.start));
                Node { line, value: toml_table(text, table, line) }
            });
            Value::List(tables.collect())
        }
    }
}

fn toml_value(text: &str, value: &TomlValue, line: u32) -> Value {
    match value {
        TomlValue::String(it) => Value::Text(it.value().clone()),
        TomlValue::Integer(it) => Value::Text(it.value().to_string()),
        TomlValue::Float(it) => Value::Text(it.value().to_string()),
        TomlValue::Boolean(it) => Value::Text(it.value().to_string()),
        TomlValue::Datetime(it) => Value::Text(it.value().to_string()),
        TomlValue::Array(items) => {
            let items = items.iter().map(|item| {
                let line = item.span().map_or(line, |span| line_of(text, span.start));
                Node { line, value: toml_value(text, item, line) }
            });
            Value::List(items.collect())
        }
        TomlValue::InlineTable(table) => toml_table(text, table, line),
    }
}
