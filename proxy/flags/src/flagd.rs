//! Flags in flagd's JSON format.
//!
//! A file is taken over whole or not at all. flagd itself takes what it can of a file and lets the
//! rest fail when it is asked; here whoever writes a wrong file is told, with all that is wrong at
//! once, and the last good one stays. What is right but surely not meant is said too, and does no harm.

mod document;
mod reader;
#[cfg(test)]
mod tests;
mod verdicts;

use serde_json::{Map, Value};

use crate::logic::Expression;

/// Bytes of a file at most.
pub const BYTES_MAX: usize = 16 << 20;

/// Flags of a file at most.
pub const FLAGS_MAX: usize = 10_000;

/// Variants of a flag at most.
pub const VARIANTS_MAX: usize = 255;

/// What a file in flagd's format says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definitions {
    /// The flags, in order of their names.
    pub flags: Vec<Definition>,
    /// What it says of the whole set.
    pub metadata: Map<String, Value>,
}

/// A flag in flagd's format.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// Its key.
    pub name: String,
    /// Whether `state` is `ENABLED`.
    pub enabled: bool,
    /// What it can be, in order of the file; at most [`VARIANTS_MAX`].
    pub variants: Vec<(String, Value)>,
    /// Index of the default variant; absent, applications use what they have in their code.
    pub default: Option<u8>,
    /// What decides.
    pub targeting: Option<Expression>,
    /// What it says of the flag; that of the set where the flag does not say otherwise.
    pub metadata: Map<String, Value>,
}

/// Something wrong with a file, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The flag it is about, if it is about one.
    pub flag: Option<String>,
    /// Where in the file: a JSON pointer (RFC 6901), empty for the whole.
    pub pointer: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub advice: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(flag) = &self.flag {
            write!(f, "flag `{flag}`: ")?;
        }
        f.write_str(&self.what)?;
        if !self.pointer.is_empty() {
            write!(f, " (at {})", self.pointer)?;
        }
        write!(f, "; {}", self.advice)
    }
}

impl Definitions {
    /// Reads a file.
    ///
    /// # Errors
    /// All that is wrong with it, at least one and at most a hundred.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        Self::read(text).map(|(definitions, _)| definitions)
    }

    /// Reads a file, and says what is right in it but surely not meant.
    ///
    /// # Errors
    /// As for [`parse`](Self::parse).
    pub fn read(text: &str) -> Result<(Self, Vec<Fault>), Vec<Fault>> {
        reader::read(text)
    }
}
