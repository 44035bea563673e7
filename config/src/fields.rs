//! One row per key: what it takes, what holds without it, what it means.
//!
//! The only such list. From it come the check for unknown keys, the defaults that the decoder
//! uses, the sample `reference.toml`, the JSON schema and `docs/CONFIG.md`; so none of these can
//! say what another does not.

mod rows;

pub use rows::FIELDS;

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A number, whole or not, from 0.
    Number {
        /// Largest.
        max: u32,
    },
    /// `true`, `false`, or a text of this form.
    BoolOr(&'static str),
    /// A whole number within bounds.
    Integer {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// `"250ms"`, `"1h30m"`.
    Duration {
        /// Whether `"0s"` makes sense.
        zero: bool,
    },
    /// `"16KiB"`, within bounds in bytes.
    Size {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// `"10%"`.
    Share,
    /// A number of percent, 0 to 100, to 0.001.
    Percent,
    /// `"0.2pp"`.
    Points,
    /// An allowance against stable: `"25%"`, and if it may have percentage points, `"0.2pp"` or
    /// `"25% + 0.01pp"`.
    Worse {
        /// Whether it may.
        points: bool,
    },
    /// A certificate: `{ cert = "…", key = "…" }`.
    Certificate,
    /// A step of a rollout: `"5% for 20m"` or a table.
    Step,
    /// A rule of a flag: for whom, and what they get.
    Rule,
    /// A percentage, or one that grows by itself within a time.
    Ramp,
    /// A condition on flags: a name, a list of them, or a table.
    Flags,
    /// A date or a moment: of TOML, or as RFC 3339 text.
    Moment,
    /// Anything, as it stands.
    Value,
    /// Any text.
    Text,
    /// A text of this form.
    Form(&'static str),
    /// One of some words.
    Choice {
        /// Understood.
        now: &'static [&'static str],
        /// Known to come in a later version.
        later: &'static [&'static str],
    },
    /// A number or a text of this form.
    IntegerOr(&'static str),
    /// `{ file = "…" }` and nothing else.
    Secret,
    /// A condition on one value: a text, a list of texts, `{ present = … }` or `{ regex = … }`.
    Condition,
    /// One, or a list of them.
    OneOrMany(&'static Self),
    /// A table with free keys.
    Map(&'static Self),
    /// A table whose keys are rows of their own.
    Table,
    /// Such a table, or a short form of it.
    TableOr(&'static Self),
    /// A table of tables with names of the user's choice; these are the row `….*`.
    Keyed,
}

/// What holds where a key is left out, and how the sample shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// This, as TOML; for a table, the defaults of its keys.
    Default(&'static str),
    /// Nothing; the sample shows this.
    Shown(&'static str),
    /// Nothing; the sample shows this behind a `#`.
    Commented(&'static str),
}

/// When a change of the key takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// With a reload.
    Reload,
    /// With a restart.
    Restart,
    /// Not in this version: recognised and refused.
    Later,
}

/// A row: one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its full path; `*` stands for a name of the user's choice.
    pub path: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What holds without it.
    pub preset: Preset,
    /// When a change takes effect.
    pub effect: Effect,
    /// What it means, in a line.
    pub doc: &'static str,
}

impl Field {
    /// The last part of the path.
    #[must_use]
    pub fn key(&self) -> &'static str {
        self.path.rsplit_once('.').map_or(self.path, |(_, key)| key)
    }

    /// The path of the table it stands in; empty at the top.
    #[must_use]
    pub fn parent(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(parent, _)| parent)
    }

    /// The default as TOML; that of a table is the defaults of its keys.
    #[must_use]
    pub const fn default(&self) -> Option<&'static str> {
        match self.preset {
            Preset::Default(text) if !self.is_table() => Some(text),
            Preset::Default(_) | Preset::Shown(_) | Preset::Commented(_) => None,
        }
    }

    /// Whether it is a table with rows of its own.
    #[must_use]
    pub const fn is_table(&self) -> bool {
        matches!(self.kind, Kind::Table | Kind::TableOr(_) | Kind::Keyed)
    }
}

/// The keys that the table `parent` may have.
pub fn keys_of(parent: &str) -> impl Iterator<Item = &'static Field> {
    FIELDS.iter().filter(move |field| field.parent() == parent && !field.path.is_empty())
}
