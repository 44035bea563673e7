//! A place in a JSON document (RFC 6901), and what stands there, read as the document flows by.
//!
//! The [`Scanner`] takes the document in pieces of any length and keeps a hundred bytes of state:
//! it stores no document, allocates nothing and needs no more than one look at each byte. It stops at
//! the value that it looks for, at the first fault, and after [`CONTENT_MAX`] bytes. Of members of
//! the same name the first counts.

mod scanner;

use std::{error, fmt};

pub use scanner::{Found, Scanner};

/// Bytes of a document that are looked at.
pub const CONTENT_MAX: u32 = 256 << 10;

/// Values within each other that a scanner follows.
pub const DEPTH_MAX: u8 = 64;

/// Bytes of a number, or of a text that may be one.
pub const NUMBER_MAX: usize = 32;

/// Bytes of a pointer.
const POINTER_MAX: usize = 256;

/// Steps of a pointer.
const STEPS_MAX: usize = 16;

/// A place in a JSON document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    steps: Box<[Step]>,
}

/// From a value to one in it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    /// A member's name.
    name: Box<str>,
    /// An element's place, if the name could be one.
    place: Option<u32>,
}

impl Pointer {
    /// Reads a pointer such as `/order/items/0/total`; `~1` means `/` and `~0` means `~`. The empty
    /// one points at the whole document.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BadPointer> {
        if text.len() > POINTER_MAX {
            return Err(BadPointer::Long);
        }
        if text.is_empty() {
            return Ok(Self { steps: Box::default() });
        }
        let Some(rest) = text.strip_prefix('/') else { return Err(BadPointer::Start) };
        let steps = rest.split('/').map(step).collect::<Result<Box<_>, _>>()?;
        if steps.len() > STEPS_MAX {
            return Err(BadPointer::Long);
        }
        Ok(Self { steps })
    }
}

fn step(text: &str) -> Result<Step, BadPointer> {
    if text == "-" {
        return Err(BadPointer::Behind);
    }
    let mut name = String::with_capacity(text.len());
    let mut all = text.chars();
    while let Some(letter) = all.next() {
        name.push(match letter {
            '~' => match all.next() {
                Some('0') => '~',
                Some('1') => '/',
                Some(_) | None => return Err(BadPointer::Escape),
            },
            letter => letter,
        });
    }
    // No sign, and no zero before other digits.
    let is_place = name == "0" || name.starts_with(|first: char| matches!(first, '1'..='9'));
    let place = if is_place { name.parse().ok() } else { None };
    Ok(Step { name: name.into(), place })
}

/// What is wrong with a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPointer {
    /// It does not begin with `/`.
    Start,
    /// A `~` without `0` or `1` behind it.
    Escape,
    /// The step `-`: behind the last element there is nothing to read.
    Behind,
    /// It has more than 256 bytes or 16 steps.
    Long,
}

impl fmt::Display for BadPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "a JSON pointer begins with `/`",
            Self::Escape => "in a JSON pointer `~` is written `~0`, and `/` in a name `~1`",
            Self::Behind => "`-` points behind the last element, where nothing is",
            Self::Long => "a JSON pointer has 256 bytes and 16 steps at most",
        })
    }
}

impl error::Error for BadPointer {}

#[cfg(test)]
mod tests;
