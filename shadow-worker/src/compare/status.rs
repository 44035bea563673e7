//! The status.

use gnomon_wire::Response;

use super::differences::{Differences, Paths, shown};
use crate::difference::Kind;

pub(super) fn compare(
    primary: &Response<'_>,
    other: &Response<'_>,
    found: &mut Differences,
    paths: &mut Paths,
) {
    paths.add("status");
    let (was, is) = (primary.status(), other.status());
    if was != is {
        let values = || (Some(shown(was)), Some(shown(is)));
        found.add("status", Kind::Value, &format!("{was} → {is}"), values);
    }
}
