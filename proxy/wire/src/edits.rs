//! Changes to fields that a configuration asks for, checked once and applied often.

use std::fmt;

use crate::{
    known::Known,
    parse::{is_token, is_value},
    survey::trim,
};

type Name = Box<[u8]>;
type Value = Box<[u8]>;

/// Fields to remove, to set (once, whatever was there) and to add.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    remove: Vec<Name>,
    set: Vec<(Name, Value)>,
    add: Vec<(Name, Value)>,
}

/// Why a change is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditFault {
    /// The name is not a token.
    Name,
    /// The value holds a control byte, or white space at an end.
    Value,
    /// The field frames the message or concerns one connection: it is ours to write.
    Ours,
}

impl fmt::Display for EditFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "not a field name",
            Self::Value => "not a field value",
            Self::Ours => "a field that the proxy alone may write",
        })
    }
}

impl std::error::Error for EditFault {}

impl Edits {
    /// Removes all fields of this name.
    ///
    /// # Errors
    /// The name may not be edited.
    pub fn remove(&mut self, name: &str) -> Result<(), EditFault> {
        self.remove.push(editable(name)?);
        Ok(())
    }

    /// Replaces all fields of this name by one.
    ///
    /// # Errors
    /// The name may not be edited, or the value is none.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), EditFault> {
        self.set.push((editable(name)?, valid(value)?));
        Ok(())
    }

    /// Adds a field, whatever there is.
    ///
    /// # Errors
    /// The name may not be edited, or the value is none.
    pub fn add(&mut self, name: &str, value: &str) -> Result<(), EditFault> {
        self.add.push((editable(name)?, valid(value)?));
        Ok(())
    }

    /// Whether nothing is to be changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Whether a field of this name is not to be sent on.
    pub(crate) fn drops(&self, name: &[u8]) -> bool {
        self.remove
            .iter()
            .chain(self.set.iter().map(|(set, _)| set))
            .any(|dropped| dropped.eq_ignore_ascii_case(name))
    }

    /// What is to be written.
    pub(crate) fn written(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.set.iter().chain(&self.add).map(|(name, value)| (&**name, &**value))
    }
}

fn editable(name: &str) -> Result<Name, EditFault> {
    let name = name.as_bytes();
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
        return Err(EditFault::Name);
    }
    if Known::of(name).is_ours() {
        return Err(EditFault::Ours);
    }
    Ok(name.to_ascii_lowercase().into())
}

fn valid(value: &str) -> Result<Value, EditFault> {
    let value = value.as_bytes();
    if value != trim(value) || !value.iter().all(|byte| is_value(*byte)) {
        return Err(EditFault::Value);
    }
    Ok(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_cannot_touch_framing_or_split_a_head() {
        let mut edits = Edits::default();
        for name in ["Content-Length", "transfer-encoding", "Connection", "host", "content_length"]
        {
            assert_eq!(edits.set(name, "1"), Err(EditFault::Ours), "{name}");
        }
        for name in ["", "a b", "a:", "a\r\n"] {
            assert_eq!(edits.remove(name), Err(EditFault::Name), "{name}");
        }
        for value in ["a\r\nb: c", "a\0", " a", "a\t", "\x7f"] {
            assert_eq!(edits.add("x", value), Err(EditFault::Value), "{value}");
        }
        assert!(edits.is_empty());
    }
}
