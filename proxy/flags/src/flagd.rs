//! Flags in flagd's JSON format.

use serde_json::{Map, Value};

use crate::logic::Expression;

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
    /// What it can be, in order of the file; at most 255.
    pub variants: Vec<(String, Value)>,
    /// Index of the default variant; absent, applications use what they have in their code.
    pub default: Option<u8>,
    /// What decides.
    pub targeting: Option<Expression>,
    /// What it says of the flag; that of the set where the flag does not say otherwise.
    pub metadata: Map<String, Value>,
}
