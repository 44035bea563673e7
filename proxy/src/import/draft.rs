//! What the directives amount to: tables with settings, each knowing the directives it comes from.

use std::collections::{HashMap, HashSet};

use super::{
    ledger::{Id, Ledger},
    values,
};

/// What a table is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// `[timeouts]`, `[limits]`, `[access_log]`: has no name.
    Global(&'static str),
    Listener,
    Upstream,
    Route,
    Shadow,
}

impl Kind {
    /// Its key at the top level.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Global(key) => key,
            Self::Listener => "listener",
            Self::Upstream => "upstream",
            Self::Route => "route",
            Self::Shadow => "shadow",
        }
    }
}

/// A table in the draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct At(pub(super) usize);

/// A line of a table.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// Dotted and quoted as TOML wants it.
    pub(super) key: String,
    /// TOML.
    pub(super) value: String,
    pub(super) from: Vec<Id>,
    /// Without it the table would mean something else, and falls with it.
    pub(super) vital: bool,
    /// Why it was taken out.
    pub(super) struck: Option<String>,
}

/// A table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) kind: Kind,
    pub(super) name: String,
    /// The blocks it comes from.
    pub(super) from: Vec<Id>,
    pub(super) settings: Vec<Setting>,
    /// Why it was taken out.
    pub(super) struck: Option<String>,
}

/// Everything that was understood so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    pub(super) ledger: Ledger,
    pub(super) tables: Vec<Table>,
    /// Said once, at the top.
    pub(super) notes: Vec<&'static str>,
    names: HashSet<(&'static str, String)>,
    globals: HashMap<&'static str, At>,
}

impl Draft {
    /// A table of this name, or of one like it if that is taken.
    pub(super) fn table(&mut self, kind: Kind, wanted: &str, from: &[Id]) -> At {
        let base = values::name(wanted);
        let mut name = base.clone();
        let mut more = 2_u32;
        while !self.names.insert((kind.key(), name.clone())) {
            name = format!("{base}-{more}");
            more += 1;
        }
        let at = At(self.tables.len());
        let from = from.to_vec();
        from.iter().for_each(|id| self.ledger.home(*id, at.0));
        self.tables.push(Table { kind, name, from, settings: Vec::new(), struck: None });
        at
    }

    /// The table that holds for all.
    pub(super) fn global(&mut self, key: &'static str) -> At {
        if let Some(at) = self.globals.get(key) {
            return *at;
        }
        let at = self.table(Kind::Global(key), key, &[]);
        self.globals.insert(key, at);
        at
    }

    /// The name of a table.
    pub(super) fn name(&self, at: At) -> &str {
        &self.tables[at.0].name
    }

    /// Says something once, at the top of the configuration.
    pub(super) fn note(&mut self, note: &'static str) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// A setting that the table can do without.
    pub(super) fn set(&mut self, at: At, key: &str, value: impl Into<String>, from: &[Id]) {
        self.put(at, key, value.into(), from, false);
    }

    /// A setting without which the table would mean something else.
    pub(super) fn need(&mut self, at: At, key: &str, value: impl Into<String>, from: &[Id]) {
        self.put(at, key, value.into(), from, true);
    }

    fn put(&mut self, at: At, key: &str, value: String, from: &[Id], vital: bool) {
        for id in from {
            self.ledger.home(*id, at.0);
        }
        // A value as it was found may be no number: nothing in it may become a line of its own.
        let is_line = !value.chars().any(char::is_control);
        let value = if is_line { value } else { values::text(&value) };
        let settings = &mut self.tables[at.0].settings;
        let Some(found) = settings.iter_mut().find(|setting| setting.key == key) else {
            let (key, from) = (key.to_owned(), from.to_vec());
            settings.push(Setting { key, value, from, vital, struck: None });
            return;
        };
        if found.value == value {
            found.from.extend(from);
            return;
        }
        let why = format!("`{key}` is {} already, and can be one thing only", found.value);
        for id in from {
            self.ledger.leave(*id, why.clone());
        }
    }

    /// Adds a text to a list.
    pub(super) fn push(&mut self, at: At, key: &str, text: &str, id: Id) {
        self.ledger.home(id, at.0);
        let text = values::text(text);
        let settings = &mut self.tables[at.0].settings;
        let Some(found) = settings.iter_mut().find(|setting| setting.key == key) else {
            return self.set(at, key, format!("[{text}]"), &[id]);
        };
        found.from.push(id);
        let inner = found.value.trim_start_matches('[').trim_end_matches(']').to_owned();
        if !inner.split(", ").any(|it| it == text) {
            found.value = format!("[{inner}, {text}]");
        }
    }

    /// Gives a table all conditions that another has.
    pub(super) fn copy_matches(&mut self, from: At, to: At) {
        let all = self.tables[from.0].settings.iter().filter(|it| it.key.starts_with("match."));
        let all: Vec<(String, String)> = all.map(|it| (it.key.clone(), it.value.clone())).collect();
        for (key, value) in all {
            self.need(to, &key, value, &[]);
        }
    }

    /// The value of a setting.
    pub(super) fn value(&self, at: At, key: &str) -> Option<&str> {
        let settings = &self.tables[at.0].settings;
        settings.iter().find(|it| it.key == key).map(|it| it.value.as_str())
    }

    /// Takes a whole table out.
    pub(super) fn strike(&mut self, at: At, why: &str) {
        self.tables[at.0].struck.get_or_insert_with(|| why.to_owned());
    }

    /// Every table of a kind that was not taken out.
    pub(super) fn live(&self, kind: Kind) -> impl Iterator<Item = &Table> {
        self.tables.iter().filter(move |it| it.kind == kind && it.struck.is_none())
    }
}
