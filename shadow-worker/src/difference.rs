//! One unequal thing in two replies.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One unequal thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where: `status`, `header.NAME`, `body`, or `$.a.items[*].b` in a JSON body, indices as `*`, as
    /// `gnomon_config::json_path` reads it.
    pub path: Box<str>,
    /// In what way.
    pub kind: Kind,
    /// What it looks like, apart from the values: `200 → 500`, `number → null`, `number +`, `string`,
    /// `items -`. Differences of one path and kind with the same shape are the same finding. Few for
    /// a path.
    pub shape: Box<str>,
    /// The primary's value, cut to [`VALUE_MAX`] bytes; none where it has none.
    pub primary: Option<Box<str>>,
    /// The other side's, likewise.
    pub other: Option<Box<str>>,
}

/// In what way two things are unequal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The other side does not have it.
    Missing,
    /// Only the other side has it.
    Extra,
    /// Both have it, as another type.
    Type,
    /// Both have it, with another value.
    Value,
    /// Both have the same items, in another order.
    Order,
    /// Too large or of no known form: the lengths differ.
    Length,
    /// Too large or of no known form: as long, but not the same bytes.
    Content,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Missing,
        Self::Extra,
        Self::Type,
        Self::Value,
        Self::Order,
        Self::Length,
        Self::Content,
    ];

    /// Which question it bears on.
    #[must_use]
    pub const fn aspect(self) -> Aspect {
        match self {
            Self::Missing | Self::Extra | Self::Type => Aspect::Structure,
            Self::Value | Self::Order | Self::Length | Self::Content => Aspect::Value,
        }
    }

    /// As the other side would call it.
    #[must_use]
    pub const fn mirrored(self) -> Self {
        match self {
            Self::Missing => Self::Extra,
            Self::Extra => Self::Missing,
            Self::Type | Self::Value | Self::Order | Self::Length | Self::Content => self,
        }
    }

    /// Its name, as stored and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Type => "type",
            Self::Value => "value",
            Self::Order => "order",
            Self::Length => "length",
            Self::Content => "content",
        }
    }
}

/// The two questions about a place. A value that is never twice the same says nothing of whether it
/// is there at all, so each is answered by itself.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// What is there.
    #[default]
    Value,
    /// Whether anything is there, and of which type.
    Structure,
}

impl Aspect {
    /// That of a difference whose kind has this name.
    #[must_use]
    pub fn of(kind: &str) -> Self {
        let known = Kind::ALL.into_iter().find(|known| known.name() == kind);
        known.map_or(Self::Value, Kind::aspect)
    }

    /// Its name, as stored and shown; empty for the usual one.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Value => "",
            Self::Structure => "structure",
        }
    }

    /// Whether it is the usual one, which is not shown.
    #[must_use]
    pub const fn is_value(&self) -> bool {
        matches!(self, Self::Value)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Bytes of a value kept in a [`Difference`].
pub const VALUE_MAX: usize = 512;

/// A whole body, as much of it as was captured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// The content as it came, without transfer coding but with any content coding: all of it, or
    /// its beginning if it was longer than the cap.
    pub bytes: bytes::Bytes,
    /// Length of the whole, in bytes.
    pub length: u64,
    /// XXH3-64 of the whole, where `bytes` is not all of it.
    pub hash: Option<u64>,
}

/// Why two replies could not be compared in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Uncomparable {
    /// A body is longer than the cap and coded differently from the other.
    TooLong,
    /// A body's content coding is unknown.
    Coding,
    /// A body does not decode: it is corrupt, or would become too large.
    Undecodable,
    /// JSON was asked for, and both are something else.
    NotJson,
    /// A JSON body is nested too deeply or has too many values.
    TooComplex,
}

impl Uncomparable {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::TooLong, Self::Coding, Self::Undecodable, Self::NotJson, Self::TooComplex];

    /// Its name, as counted and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Coding => "coding",
            Self::Undecodable => "undecodable",
            Self::NotJson => "not_json",
            Self::TooComplex => "too_complex",
        }
    }
}
