//! The chosen fields.

use std::{borrow::Cow, sync::Arc};

use gnomon_wire::Response;

use super::differences::{Differences, Paths, excerpt_of_bytes};
use crate::difference::Kind;

/// A field of several lines means what one line with all their values means.
const SEPARATOR: &[u8] = b", ";

pub(super) fn compare(
    names: &[Arc<str>],
    primary: &Response<'_>,
    other: &Response<'_>,
    found: &mut Differences,
    paths: &mut Paths,
) {
    for name in names {
        let (was, is) = (value(primary, name), value(other, name));
        if paths.are_wanted() && (was.is_some() || is.is_some()) {
            paths.add(&format!("header.{name}"));
        }
        let kind = match (&was, &is) {
            (Some(was), Some(is)) if was != is => Kind::Value,
            (Some(_), None) => Kind::Missing,
            (None, Some(_)) => Kind::Extra,
            (Some(_), Some(_)) | (None, None) => continue,
        };
        let shown = |value: Option<Cow<'_, [u8]>>| value.map(|value| excerpt_of_bytes(&value));
        found.add(&format!("header.{name}"), kind, "string", || (shown(was), shown(is)));
    }
}

/// The values of all lines of a field, joined.
fn value<'a>(response: &Response<'a>, name: &str) -> Option<Cow<'a, [u8]>> {
    let mut lines = response.values(name);
    let mut value = Cow::Borrowed(lines.next()?);
    for line in lines {
        value.to_mut().extend_from_slice(SEPARATOR);
        value.to_mut().extend_from_slice(line);
    }
    Some(value)
}
