//! What was found unequal in one pair of replies, each finding once.

use std::{collections::HashSet, fmt::Write as _};

use gnomon_config::json_path::push_field;

use crate::difference::{Difference, Kind, VALUE_MAX};

/// Findings told of one pair. Replies that differ in more ways than this have nothing in common,
/// and who reads of them needs no longer list.
pub const DIFFERENCES_MAX: usize = 100;

/// Places told of one pair: a reply with more is made of data, not of fields.
pub const PATHS_MAX: usize = 2_000;

/// Bytes of a place's path; what lies at a longer one is told as of the place above it.
pub const PATH_BYTES_MAX: usize = 1024;

/// The differences of one pair. Items of one array share a path, so the same finding comes up again
/// and again: it is kept once, with the first values.
#[derive(Debug, Default)]
pub(super) struct Differences {
    list: Vec<Difference>,
}

impl Differences {
    /// Adds one unless it is known or there are too many; only then are its values made.
    pub(super) fn add(
        &mut self,
        path: &str,
        kind: Kind,
        shape: &str,
        values: impl FnOnce() -> (Option<Box<str>>, Option<Box<str>>),
    ) {
        let is_same = |known: &Difference| {
            known.kind == kind && *known.path == *path && *known.shape == *shape
        };
        if self.list.len() >= DIFFERENCES_MAX || self.list.iter().any(is_same) {
            return;
        }
        let (primary, other) = values();
        self.list.push(Difference { path: path.into(), kind, shape: shape.into(), primary, other });
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.list.len()
    }

    /// Forgets all but the first so many.
    pub(super) fn truncate(&mut self, length: usize) {
        self.list.truncate(length);
    }

    pub(super) fn into_vec(self) -> Vec<Difference> {
        self.list
    }
}

/// The places that two replies have, if anybody wants to know.
#[derive(Debug, Default)]
pub(super) struct Paths {
    wanted: bool,
    set: HashSet<Box<str>>,
}

impl Paths {
    pub(super) fn new(wanted: bool) -> Self {
        Self { wanted, set: HashSet::new() }
    }

    /// Whether more would be kept.
    pub(super) fn are_wanted(&self) -> bool {
        self.wanted && self.set.len() < PATHS_MAX
    }

    pub(super) fn add(&mut self, path: &str) {
        if self.are_wanted() && !self.set.contains(path) {
            self.set.insert(path.into());
        }
    }

    /// In order, so that equal replies give equal lists.
    pub(super) fn into_vec(self) -> Vec<Box<str>> {
        let mut all: Vec<_> = self.set.into_iter().collect();
        all.sort_unstable();
        all
    }
}

/// The path of a place in a JSON document, while it is walked.
#[derive(Debug)]
pub(super) struct Place {
    path: String,
    /// Whether this place lies too deep to be told.
    is_cut: bool,
    /// How it was before each step down.
    above: Vec<(usize, bool)>,
}

impl Place {
    /// A document's root.
    pub(super) fn root() -> Self {
        // Enough for most places of most documents.
        let mut path = String::with_capacity(64);
        path.push('$');
        Self { path, is_cut: false, above: Vec::with_capacity(8) }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn enter_field(&mut self, name: &str) {
        self.enter(|path| push_field(path, name), name.len());
    }

    pub(super) fn enter_item(&mut self) {
        self.enter(|path| path.push_str("[*]"), 3);
    }

    pub(super) fn leave(&mut self) {
        if let Some((length, is_cut)) = self.above.pop() {
            self.path.truncate(length);
            self.is_cut = is_cut;
        }
    }

    fn enter(&mut self, push: impl FnOnce(&mut String), least: usize) {
        let length = self.path.len();
        self.above.push((length, self.is_cut));
        self.is_cut |= length + least > PATH_BYTES_MAX;
        if self.is_cut {
            return;
        }
        push(&mut self.path);
        if self.path.len() > PATH_BYTES_MAX {
            self.path.truncate(length);
            self.is_cut = true;
        }
    }
}

/// A text that takes no more than the room a value has, and then no longer listens.
#[derive(Debug, Default)]
pub(super) struct Excerpt {
    text: String,
    is_full: bool,
}

impl Excerpt {
    pub(super) fn push(&mut self, text: &str) {
        if self.is_full {
            return;
        }
        let room = VALUE_MAX - self.text.len();
        self.is_full = text.len() > room;
        self.text.push_str(text.get(..text.floor_char_boundary(room)).unwrap_or_default());
    }

    pub(super) const fn is_full(&self) -> bool {
        self.is_full
    }

    pub(super) fn into_text(self) -> Box<str> {
        self.text.into()
    }
}

/// The beginning of a text.
pub(super) fn excerpt(text: &str) -> Box<str> {
    text.get(..text.floor_char_boundary(VALUE_MAX)).unwrap_or_default().into()
}

/// The beginning of what is meant to be text.
pub(super) fn excerpt_of_bytes(bytes: &[u8]) -> Box<str> {
    // One byte more than can be shown, so that a cut character is cut again, not replaced.
    let start = bytes.get(..VALUE_MAX + 4).unwrap_or(bytes);
    excerpt(&String::from_utf8_lossy(start))
}

/// Something that can be written down, as a value.
pub(super) fn shown(value: impl std::fmt::Display) -> Box<str> {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write!(text, "{value}");
    excerpt(&text)
}
