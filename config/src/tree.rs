//! What was written: TOML values that know their place, in the order of the file.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::problem::Place;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Place,
}

/// A TOML value, owned.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    List(Vec<Node>),
    Table(Table),
    /// A date, a time or both, as TOML writes them.
    Date(String),
    /// What no key of ours takes, by its name: an integer of more than 64 bits.
    Foreign(&'static str),
}

/// Entries in the order they were written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) entries: Vec<Entry>,
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_place: Place,
    pub(crate) node: Node,
}

impl Table {
    /// The entry of this key.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Takes over a parsed table of the file `file`.
    pub(crate) fn from_toml(table: DeTable<'_>, file: usize) -> Self {
        let mut entries: Vec<Entry> = table
            .into_iter()
            .map(|(key, value)| Entry {
                key_place: place(file, key.span()),
                key: key.into_inner().into_owned(),
                node: Node::from_toml(value, file),
            })
            .collect();
        entries.sort_by_key(|entry| entry.key_place.start);
        Self { entries }
    }
}

impl Node {
    /// Takes over a parsed value of the file `file`.
    pub(crate) fn from_toml(node: Spanned<DeValue<'_>>, file: usize) -> Self {
        let place = place(file, node.span());
        let value = match node.into_inner() {
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or(Value::Foreign("an integer beyond 64 bits"), Value::Integer),
            DeValue::Float(number) => number
                .as_str()
                .parse()
                .map_or(Value::Foreign("a number out of range"), Value::Float),
            DeValue::Boolean(truth) => Value::Bool(truth),
            DeValue::Datetime(date) => Value::Date(date.to_string()),
            DeValue::Array(items) => {
                Value::List(items.into_iter().map(|item| Self::from_toml(item, file)).collect())
            }
            DeValue::Table(table) => Value::Table(Table::from_toml(table, file)),
        };
        Self { value, place }
    }

    /// Reads a value that stands alone; `None` unless it is TOML.
    pub(crate) fn parse(text: &str, file: usize) -> Option<Self> {
        DeValue::parse(text).ok().map(|node| Self::from_toml(node, file))
    }

    pub(crate) const fn as_table(&self) -> Option<&Table> {
        if let Value::Table(table) = &self.value { Some(table) } else { None }
    }

    pub(crate) const fn as_text(&self) -> Option<&String> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    pub(crate) const fn as_integer(&self) -> Option<i64> {
        if let Value::Integer(number) = self.value { Some(number) } else { None }
    }

    pub(crate) const fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(truth) = self.value { Some(truth) } else { None }
    }

    /// A number, whole or not, as a person would write it.
    pub(crate) fn as_number(&self) -> Option<String> {
        match &self.value {
            Value::Integer(number) => Some(number.to_string()),
            Value::Float(number) => Some(number.to_string()),
            Value::Text(_)
            | Value::Bool(_)
            | Value::List(_)
            | Value::Table(_)
            | Value::Date(_)
            | Value::Foreign(_) => None,
        }
    }

    /// The type in words, with its article.
    pub(crate) const fn type_name(&self) -> &'static str {
        match &self.value {
            Value::Text(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Bool(_) => "a boolean",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Date(_) => "a date",
            Value::Foreign(name) => name,
        }
    }
}

const fn place(file: usize, span: Range<usize>) -> Place {
    Place { file, start: span.start, end: span.end }
}
