//! Which flags may be taken out of code and file: nobody asks for them, everybody has been given the
//! same for long, or they should be gone by now. Pure: time and counts are arguments.

use std::collections::BTreeMap;

use gnomon_config::model::{
    Share,
    flag::{Flag, Portion, Rule},
};
use gnomon_flags::Override;
use serde::{Deserialize, Serialize};

use crate::control::api::flag::{Remark, RemarkKind};

/// When a flag was last of use. Times are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Seen {
    /// When it was first known.
    pub(crate) first: u64,
    /// When somebody was last given a variant.
    pub(crate) evaluated: Option<u64>,
    /// What everybody is given, and since when, if all are given the same. No name: it is off.
    pub(crate) same: Option<(String, u64)>,
}

/// When all flags were last of use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    seen: BTreeMap<String, Seen>,
    /// How often each had been evaluated at the last look.
    counts: BTreeMap<String, u64>,
    /// Those that have changed since they were last written.
    unwritten: BTreeMap<String, Seen>,
}

/// A flag at a look.
#[derive(Clone, Debug)]
pub(crate) struct Look<'a> {
    pub(crate) name: &'a str,
    /// What everybody is given, if all are given the same.
    pub(crate) same: Option<String>,
    /// How often it was evaluated since the process began, if anybody counts.
    pub(crate) count: Option<u64>,
}

impl Log {
    pub(crate) const fn new(seen: BTreeMap<String, Seen>) -> Self {
        Self { seen, counts: BTreeMap::new(), unwritten: BTreeMap::new() }
    }

    pub(crate) fn of(&self, flag: &str) -> Option<&Seen> {
        self.seen.get(flag)
    }

    /// Everything that is known.
    pub(crate) const fn all(&self) -> &BTreeMap<String, Seen> {
        &self.seen
    }

    /// What has changed since this was last asked.
    pub(crate) fn take_unwritten(&mut self) -> BTreeMap<String, Seen> {
        std::mem::take(&mut self.unwritten)
    }

    /// Looks at a flag, at `now` in seconds since 1970.
    pub(crate) fn look(&mut self, at: Look<'_>, now: u64) {
        let Look { name, same, count } = at;
        let known = self.seen.get(name);
        let mut seen = known.cloned().unwrap_or_else(|| Seen { first: now, ..Seen::default() });
        let before = self.counts.get(name).copied().unwrap_or(0);
        if let Some(count) = count {
            // Fewer than before: somebody began to count anew.
            if count != before && count > 0 {
                seen.evaluated = Some(now);
            }
            if count != before {
                self.counts.insert(name.to_owned(), count);
            }
        }
        let since = |what: String| match &seen.same {
            Some((known, since)) if *known == what => (what, *since),
            Some(_) | None => (what, now),
        };
        seen.same = same.map(since);
        if known != Some(&seen) {
            self.unwritten.insert(name.to_owned(), seen.clone());
            self.seen.insert(name.to_owned(), seen);
        }
    }
}

/// What there is to say of a flag, at `now`. `is_counted`: whether anybody counts evaluations.
pub(crate) fn remarks(
    seen: &Seen,
    expires: Option<u64>,
    is_counted: bool,
    stale: u64,
    now: u64,
) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let mut say = |kind, text: String| remarks.push(Remark { kind, text });
    let quiet = now.saturating_sub(seen.evaluated.unwrap_or(seen.first));
    if is_counted && stale > 0 && quiet >= stale {
        let text = match seen.evaluated {
            Some(_) => format!("nobody has asked for it for {}", days(quiet)),
            None => format!("nobody has ever asked for it, {} long", days(quiet)),
        };
        say(RemarkKind::Unused, text);
    }
    if let Some((what, since)) = &seen.same {
        let long = now.saturating_sub(*since);
        if stale > 0 && long >= stale {
            let what = if what.is_empty() { "it has been off" } else { "everybody has been given" };
            let name = seen.same.as_ref().map_or("", |(name, _)| name);
            let space = if name.is_empty() { "" } else { " " };
            say(RemarkKind::Same, format!("{what}{space}{name} for {}", days(long)));
        }
    }
    if let Some(expires) = expires.filter(|expires| *expires <= now) {
        say(RemarkKind::Expired, format!("it should be gone since {}", days(now - expires)));
    }
    remarks
}

/// What everybody is given by a flag of the configuration, if all are given the same: a variant's
/// name, or nothing if it is off.
pub(crate) fn same(flag: &Flag, change: Option<&Override>, now: u64) -> Option<String> {
    let enabled = change.and_then(|it| it.enabled).unwrap_or(flag.enabled);
    if !enabled {
        return Some(String::new());
    }
    let named = change.and_then(|it| it.default.as_ref());
    let named = named.and_then(|name| flag.variants.iter().position(|(it, _)| **it == **name));
    let share = change.and_then(|it| it.share).map(Share);
    let default = named.unwrap_or(flag.default);
    let given = given(flag, share, default, now)?;
    flag.variants.get(given).map(|(name, _)| name.to_string())
}

/// The variant that all are given, if they are.
fn given(flag: &Flag, share: Option<Share>, default: usize, now: u64) -> Option<usize> {
    if flag.rules.is_empty() || flag.end.is_some_and(|end| now >= end) {
        return Some(default);
    }
    if flag.start.is_some_and(|start| now < start) {
        // About to begin.
        return None;
    }
    let mut all: Option<usize> = None;
    let mut also = |variant: usize| {
        let is_same = all.is_none_or(|all| all == variant);
        all = Some(variant);
        is_same
    };
    for rule in &flag.rules {
        let portion = rule.portion.map(|it| share.map_or(it, Portion::Fixed));
        let share = settled(portion, now)?;
        if share == Share::NONE {
            continue;
        }
        let mut served = rule.serve.iter().filter(|(_, weight)| *weight > 0 || is_alone(rule));
        let (Some((variant, _)), None) = (served.next(), served.next()) else { return None };
        if !also(*variant) {
            return None;
        }
        let is_for_all = rule.groups.is_empty() && rule.not.is_empty() && rule.users.is_empty();
        if is_for_all && share == Share::WHOLE {
            return Some(*variant);
        }
    }
    also(default).then_some(default)
}

fn is_alone(rule: &Rule) -> bool {
    rule.serve.len() == 1
}

/// A share that will not change by itself.
fn settled(portion: Option<Portion>, now: u64) -> Option<Share> {
    match portion {
        None => Some(Share::WHOLE),
        Some(Portion::Fixed(share)) => Some(share),
        Some(Portion::Ramp { to, end, .. }) => (now >= end).then_some(to),
    }
}

/// A time in words, in whole days from two on.
fn days(seconds: u64) -> String {
    let (count, unit) = match seconds {
        ..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
