//! Bodies by length and content.

use super::{
    Side,
    differences::{Differences, shown},
};
use crate::difference::{Kind, Uncomparable};

/// Where a body as a whole is.
pub(super) const PATH: &str = "body";

/// Two whole bodies.
pub(super) fn compare(primary: &[u8], other: &[u8], found: &mut Differences) {
    let lengths = (primary.len() as u64, other.len() as u64);
    if !compare_lengths(lengths, found) && primary != other {
        found.add(PATH, Kind::Content, "bytes", || (None, None));
    }
}

/// Two bodies in the same coding, one of which at least is too long to be looked into.
pub(super) fn compare_long(
    primary: &Side<'_>,
    other: &Side<'_>,
    found: &mut Differences,
) -> Result<(), Uncomparable> {
    let (was, is) = (primary.body, other.body);
    if compare_lengths((was.length, is.length), found) {
        return Ok(());
    }
    let is_same = match (was.hash, is.hash) {
        (Some(was), Some(is)) => was == is,
        (None, None) => was.bytes == is.bytes,
        // As long, but one was cut and the other not: only the beginning can be told apart.
        (Some(_), None) | (None, Some(_)) => {
            let length = was.bytes.len().min(is.bytes.len());
            if was.bytes.get(..length) == is.bytes.get(..length) {
                return Err(Uncomparable::TooLong);
            }
            false
        }
    };
    if !is_same {
        found.add(PATH, Kind::Content, "bytes", || (None, None));
    }
    Ok(())
}

/// Whether they differ.
fn compare_lengths((was, is): (u64, u64), found: &mut Differences) -> bool {
    if was != is {
        let shape = if is > was { "bytes +" } else { "bytes -" };
        found.add(PATH, Kind::Length, shape, || (Some(shown(was)), Some(shown(is))));
    }
    was != is
}
