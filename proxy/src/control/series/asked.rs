//! What somebody wants to know of the last hour.

use std::collections::HashSet;

use serde::Deserialize;

use super::kept::Kept;
use crate::control::{
    api::{Kind, Refused},
    registry::VersionKey,
};

/// What goes with `GET /v1/history`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HistoryAsked {
    /// Only these: `shop@v1,shop@v2`, or all of `shop`. Empty: all.
    versions: String,
    /// Only what is newer, in milliseconds since 1970.
    pub(crate) since: u64,
}

/// Versions that are wanted: an upstream, and one of its versions or all. None: all there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted(Vec<(String, Option<String>)>);

impl HistoryAsked {
    #[cfg(test)]
    pub(super) fn new(versions: &str, since: u64) -> Self {
        Self { versions: versions.to_owned(), since }
    }

    pub(super) fn wanted(&self) -> Result<Wanted, Refused> {
        let names = self.versions.split(',').filter(|name| !name.is_empty());
        let names: Vec<(String, Option<String>)> = names
            .map(|name| match name.split_once('@') {
                Some((upstream, version)) => (upstream.to_owned(), Some(version.to_owned())),
                None => (name.to_owned(), None),
            })
            .collect();
        if names.len() > NAMES_MAX {
            let error = format!("{} versions are asked for, {NAMES_MAX} at most", names.len());
            return Err(Refused::new(Kind::Request, error).help("ask for them in parts"));
        }
        Ok(Wanted(names))
    }
}

impl Wanted {
    pub(super) const fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has(&self, key: &VersionKey) -> bool {
        let is_it = |(upstream, version): &(String, Option<String>)| {
            **upstream == *key.upstream
                && version.as_ref().is_none_or(|version| **version == *key.version)
        };
        self.is_all() || self.0.iter().any(is_it)
    }

    /// Where there are more than are told unasked: those of rollouts, and then the first.
    pub(super) fn few(&self, last: &Kept) -> Option<HashSet<VersionKey>> {
        if !self.is_all() || last.names.len() <= UNASKED_MAX {
            return None;
        }
        let rolling =
            last.steps.iter().filter_map(|(place, _)| last.names.get(usize::from(*place)));
        let all = rolling.chain(last.names.iter()).map(|named| &named.key);
        let mut few = HashSet::new();
        for key in all {
            if few.len() == UNASKED_MAX {
                break;
            }
            few.insert(key.clone());
        }
        Some(few)
    }
}

/// Said where it could not be written.
pub(super) fn unwritten(why: &str) -> Refused {
    Refused::new(Kind::Machine, format!("the history cannot be written: {why}"))
}

/// Versions that may be asked for by name.
const NAMES_MAX: usize = 64;
/// Versions that are told of an hour unasked: some 8 MB as JSON.
pub(super) const UNASKED_MAX: usize = 64;
