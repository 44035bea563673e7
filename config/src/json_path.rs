//! Places in JSON documents: `$.a.b[*]`, `$..token`, `$.items[0].name`.

use std::fmt;

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

impl JsonPath {
    /// The steps from the document's root.
    #[must_use]
    pub const fn steps(&self) -> &[Step] {
        &self.steps
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
