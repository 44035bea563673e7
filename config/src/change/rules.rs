//! The rules of a flag told apart: what one says by key, where no rule came or went.

use super::{Change, ChangeKind, Effect};
use crate::{
    effective::flag::parts,
    model::{Config, flag::Flag},
};

/// The one change between the rules that stand at `path`, if it is one key of one rule.
pub(super) fn changed(old: &Config, new: &Config, path: &str) -> Option<Change> {
    let name = path.strip_prefix("flag.")?.strip_suffix(".rules")?;
    let (before, after) = (flag(old, name)?, flag(new, name)?);
    if before.rules.len() != after.rules.len() {
        return None;
    }
    let mut found = None;
    for (at, (one, two)) in before.rules.iter().zip(&after.rules).enumerate() {
        let (one, two) = (parts(one, before, &old.flags), parts(two, after, &new.flags));
        let keys = one.iter().chain(two.iter().filter(|(key, _)| value(&one, key).is_none()));
        for (key, _) in keys {
            let (old, new) = (value(&one, key), value(&two, key));
            if old == new {
                continue;
            }
            let kind = match (&old, &new) {
                (None, _) => ChangeKind::Added,
                (_, None) => ChangeKind::Removed,
                (Some(_), Some(_)) => ChangeKind::Changed,
            };
            // Rules are counted from one.
            let path = format!("{path}.{}.{key}", at + 1);
            if found.replace(Change { path, old, new, kind, effect: Effect::Hot }).is_some() {
                return None;
            }
        }
    }
    found
}

fn flag<'c>(config: &'c Config, name: &str) -> Option<&'c Flag> {
    config.flags.own.iter().find(|flag| &*flag.name == name)
}

fn value(parts: &[(&'static str, String)], key: &str) -> Option<String> {
    parts.iter().find(|(known, _)| *known == key).map(|(_, value)| value.clone())
}
