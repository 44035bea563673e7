//! Places in JSON documents: `$.a.b[*]`, `$..token`, `$.items[0].name`.
//!
//! | written | leads to |
//! |---|---|
//! | `$` | the whole document |
//! | `.name`, `['any name']`, `["any name"]` | the field of this name |
//! | `.*` | any field |
//! | `[3]` | the item at this index, counted from 0 |
//! | `[*]` | any item |
//! | `..name`, `..[*]`, `..*` and so on | the same, here or anywhere below |
//!
//! In a quoted name `\\`, `\'`, `\"` and `\uXXXX` stand for one character.

mod matcher;
mod parse;

use std::fmt;

pub use matcher::{Matcher, Walk};

/// Most steps of a path: as many as leave room for the place behind the last in one word of bits.
pub const STEPS_MAX: usize = 63;

/// Most bytes of a path.
pub const BYTES_MAX: usize = 1024;

/// A pattern of places in a JSON document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath {
    text: Box<str>,
    steps: Box<[Step]>,
}

/// One step down from where the steps before it lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The field of this name.
    Field(Box<str>),
    /// Any field.
    AnyField,
    /// The item at this index.
    Index(usize),
    /// Any item.
    AnyIndex,
    /// Any number of steps, none included (`..`).
    Deep,
}

/// One step of a way through a document, from its root to a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathStep<'a> {
    /// Into the field of this name.
    Field(&'a str),
    /// Into the item at this index.
    Index(usize),
}

/// Why a text is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPath {
    /// Where in the text, in bytes.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl fmt::Display for BadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (byte {})", self.what, self.at)
    }
}

impl std::error::Error for BadPath {}

impl JsonPath {
    /// Reads a path.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BadPath> {
        Ok(Self { text: text.into(), steps: parse::steps(text)? })
    }

    /// The steps from the document's root. A [`Step::Deep`] is never last, nor follows another.
    #[must_use]
    pub const fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether it leads to this place. Whoever asks for many places takes a [`Matcher`].
    #[must_use]
    pub fn matches(&self, way: &[PathStep<'_>]) -> bool {
        let matcher = Matcher::new([self]);
        let mut walk = matcher.walk();
        for step in way {
            match step {
                PathStep::Field(name) => walk.enter_field(name),
                PathStep::Index(index) => walk.enter_index(*index),
            }
        }
        walk.is_match()
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Adds the step into a field to a path, as [`JsonPath::parse`] reads it.
pub fn push_field(path: &mut String, name: &str) {
    if !name.is_empty() && name.bytes().all(is_plain) {
        path.push('.');
        path.push_str(name);
        return;
    }
    path.push_str("['");
    for letter in name.chars() {
        match letter {
            '\'' | '\\' => path.extend(['\\', letter]),
            // All control characters lie below U+00A0: four digits are enough.
            _ if letter.is_control() => path.push_str(&format!("\\u{:04x}", u32::from(letter))),
            _ => path.push(letter),
        }
    }
    path.push_str("']");
}

/// Whether a byte may stand in a name without quotes.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$' | b'@' | b':')
}

#[cfg(test)]
mod tests;
