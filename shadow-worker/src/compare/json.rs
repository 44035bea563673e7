//! JSON bodies, by structure: each difference with its type and place.
//!
//! Fields are compared whatever their order, numbers by what they mean, arrays by the rule of their
//! place. Indices in patterns mean those of either side; within arrays that are compared as sets or
//! by a field an index means nothing, and only `[*]` leads to an item.

mod arrays;
mod differ;
mod hash;
mod number;
mod places;
mod read;
mod show;

pub(super) use differ::Rules;
use read::{Bad, Value};

use super::differences::{Differences, Paths};
use crate::difference::Uncomparable;

/// A body that was read.
pub(super) struct Document<'a>(Value<'a>);

impl Document<'_> {
    /// Its beginning, without secrets.
    pub(super) fn show(&self, rules: &Rules) -> Box<str> {
        show::show(&self.0, &mut show::Secrets::new(&rules.secrets))
    }
}

/// What came of reading a body.
pub(super) enum Reading<'a> {
    Json(Document<'a>),
    /// It is not JSON.
    Other,
}

/// Reads a body.
pub(super) fn read(body: &[u8]) -> Result<Reading<'_>, Uncomparable> {
    match read::read(body) {
        Ok(value) => Ok(Reading::Json(Document(value))),
        Err(Bad::Syntax) => Ok(Reading::Other),
        Err(Bad::TooComplex) => Err(Uncomparable::TooComplex),
    }
}

/// Compares two documents.
pub(super) fn compare(
    rules: &Rules,
    primary: &Document<'_>,
    other: &Document<'_>,
    found: &mut Differences,
    paths: &mut Paths,
) -> Result<(), Uncomparable> {
    for document in [primary, other] {
        if paths.are_wanted() {
            places::collect(rules, &document.0, paths);
        }
    }
    differ::Differ::new(rules, found).compare(&primary.0, &other.0)
}
