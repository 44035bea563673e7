//! The rows as a tree, each with its default read: the decoder walks down beside the file instead
//! of searching the list for every key of every route.

use std::sync::LazyLock;

use crate::{
    fields::{self, Effect, Field, Kind, Preset},
    tree::Node,
};

/// A row with the rows of its keys.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) field: &'static Field,
    key: &'static str,
    /// What holds where the key is left out.
    pub(crate) default: Option<Node>,
    rows: Vec<Self>,
}

/// The outermost table.
pub(crate) fn top() -> &'static Row {
    static TOP: LazyLock<Row> = LazyLock::new(|| Row::of(&OUTERMOST));
    &TOP
}

const OUTERMOST: Field = Field {
    path: "",
    kind: Kind::Table,
    preset: Preset::Default(""),
    effect: Effect::Reload,
    doc: "the top level",
};

impl Row {
    fn of(field: &'static Field) -> Self {
        let read = |text| Node::parse(text, usize::MAX).expect("defaults are TOML");
        let rows = if field.is_table() {
            fields::keys_of(field.path).map(Self::of).collect()
        } else {
            Vec::new()
        };
        Self { field, key: field.key(), default: field.default().map(read), rows }
    }

    /// The row of `key` in this table: its own, else that of any name.
    pub(crate) fn find(&self, key: &str) -> Option<&Self> {
        let named = |key: &str| self.rows.iter().find(|row| row.key == key);
        named(key).or_else(|| named("*"))
    }

    /// The rows of this table's keys.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &'static Field> {
        self.rows.iter().map(|row| row.field)
    }
}

/// The row that a concrete path such as `upstream.shop.pool.max` belongs to.
pub(crate) fn of_path(path: &str) -> Option<&'static Field> {
    let mut row = top();
    for key in path.split('.') {
        match row.find(key) {
            Some(next) => row = next,
            // Below a map, every key belongs to the map.
            None => return Some(row.field).filter(|field| matches!(field.kind, Kind::Map(_))),
        }
    }
    Some(row.field)
}
