//! The rules of a flag of the configuration, compiled.

#[cfg(test)]
mod tests;

use std::{borrow::Cow, sync::Arc};

use gnomon_config::model::{
    Share,
    flag::{self, Place, Portion, Rule},
};

pub use self::draw::{Draw, Pair};
use crate::{
    Context, ErrorCode, Hasher, Reason, Resolution,
    explain::RuleOutcome,
    groups::{Groups, Memberships},
    hasher::POSITIONS,
};

mod draw;

/// What decides about a flag of the configuration.
#[derive(Debug)]
pub(crate) struct Rules {
    default: u8,
    by: Option<Place>,
    /// Whether that is what tells users apart for all flags.
    is_common: bool,
    share: Hasher,
    variants: Hasher,
    rules: Box<[Compiled]>,
    start: u64,
    end: u64,
}

#[derive(Debug)]
struct Compiled {
    /// A bit for each group.
    groups: u64,
    not: u64,
    users: Vec<Arc<str>>,
    portion: Option<Portion>,
    /// Variants with the end of their range, in weights.
    serve: Box<[(u8, u64)]>,
}

impl Rules {
    /// `default` and `share` are what people have changed.
    pub(crate) fn new(
        flag: &flag::Flag,
        terms: &flag::Flags,
        default: Option<usize>,
        share: Option<Share>,
    ) -> Self {
        let secret = &terms.secret.0;
        Self {
            default: index(default.unwrap_or(flag.default)),
            by: flag.by.clone().or_else(|| terms.by.clone()),
            is_common: flag.by.is_none() || flag.by == terms.by,
            share: Hasher::salted(&flag.salt, secret),
            variants: Hasher::variants(&flag.salt, secret),
            rules: flag.rules.iter().map(|rule| Compiled::new(rule, share)).collect(),
            start: flag.start.unwrap_or(0),
            end: flag.end.unwrap_or(u64::MAX),
        }
    }

    pub(crate) fn evaluate(
        &self,
        groups: &Groups,
        context: &impl Context,
        now: u64,
        memberships: &Memberships,
    ) -> Resolution {
        self.walk(groups, context, now, memberships, |_, _| {})
    }

    /// The same; `told` hears of each rule that was looked at, in order, what it came to.
    pub(crate) fn walk(
        &self,
        groups: &Groups,
        context: &impl Context,
        now: u64,
        memberships: &Memberships,
        mut told: impl FnMut(usize, RuleOutcome),
    ) -> Resolution {
        let otherwise = |reason| Resolution::of(self.default, reason);
        if self.rules.is_empty() {
            return otherwise(Reason::Static);
        }
        if now < self.start || now >= self.end {
            return otherwise(Reason::Default);
        }
        let mut buffer = [0; 16];
        let mut key = Key::Unasked;
        let mut position = None;
        let mut is_missed = false;
        for (number, rule) in self.rules.iter().enumerate() {
            if !rule.holds_for(groups, context, memberships) {
                told(number, RuleOutcome::Elsewhere);
                continue;
            }
            if rule.asks_for_key() && matches!(key, Key::Unasked) {
                let user = match &self.by {
                    Some(by) if self.is_common => memberships.user(by, context, &mut buffer),
                    Some(by) => context.key(by, &mut buffer),
                    None => None,
                };
                key = user.map_or(Key::Absent, Key::Is);
            }
            match rule.serve(&key, &mut position, self, now) {
                Served::Variant(variant, reason) => {
                    told(number, RuleOutcome::Holds);
                    return Resolution::of(variant, reason);
                }
                Served::Nobody => {
                    told(number, RuleOutcome::NoKey);
                    is_missed = true;
                }
                Served::Unlisted => told(number, RuleOutcome::Unlisted),
                Served::Beyond => told(number, RuleOutcome::Beyond),
            }
        }
        let error = is_missed.then_some(ErrorCode::TargetingKeyMissing);
        Resolution { error, ..otherwise(Reason::Default) }
    }
}

/// What tells the user apart.
enum Key<'a> {
    /// Nobody has asked yet.
    Unasked,
    Absent,
    Is(Cow<'a, [u8]>),
}

enum Served {
    Variant(u8, Reason),
    /// The rule is for other users, by name.
    Unlisted,
    /// The draw went against this user.
    Beyond,
    /// The rule has to know its user and does not.
    Nobody,
}

impl Compiled {
    fn new(rule: &Rule, share: Option<Share>) -> Self {
        let bits = |groups: &[usize]| groups.iter().fold(0, |bits, group| bits | 1 << (group & 63));
        let mut end = 0;
        let serve = rule.serve.iter().map(|(variant, weight)| {
            end += u64::from(*weight);
            (index(*variant), end)
        });
        Self {
            groups: bits(&rule.groups),
            not: bits(&rule.not),
            users: rule.users.clone(),
            portion: rule.portion.map(|portion| share.map_or(portion, Portion::Fixed)),
            serve: serve.collect(),
        }
    }

    fn holds_for(
        &self,
        groups: &Groups,
        context: &impl Context,
        memberships: &Memberships,
    ) -> bool {
        (self.groups == 0 || groups.any(self.groups, context, memberships))
            && (self.not == 0 || !groups.any(self.not, context, memberships))
    }

    fn asks_for_key(&self) -> bool {
        self.portion.is_some() || self.serve.len() > 1 || !self.users.is_empty()
    }

    /// `position` is where the user stands, once that is known.
    fn serve(&self, key: &Key<'_>, position: &mut Option<u32>, flag: &Rules, now: u64) -> Served {
        let is_drawn = self.portion.is_some() || self.serve.len() > 1;
        let Key::Is(key) = key else {
            return match self.serve.first() {
                Some((variant, _)) if !self.asks_for_key() => {
                    Served::Variant(*variant, Reason::TargetingMatch)
                }
                _ => Served::Nobody,
            };
        };
        if !self.users.is_empty() && !self.users.iter().any(|user| user.as_bytes() == &**key) {
            return Served::Unlisted;
        }
        let share = self.portion.map_or(Share::WHOLE, |portion| share_at(portion, now));
        let mut stands_at = || *position.get_or_insert_with(|| flag.share.position(key));
        if share != Share::WHOLE && stands_at() >= share.0 {
            return Served::Beyond;
        }
        let reason = if is_drawn { Reason::Split } else { Reason::TargetingMatch };
        self.variant(key, &flag.variants)
            .map_or(Served::Beyond, |variant| Served::Variant(variant, reason))
    }

    /// The variant of a user among those who get any.
    fn variant(&self, key: &[u8], hasher: &Hasher) -> Option<u8> {
        if let [(variant, _)] = *self.serve {
            return Some(variant);
        }
        let whole = self.serve.last()?.1;
        let at = (u128::from(hasher.hash(key)) * u128::from(whole)) >> 64;
        self.serve.iter().find(|(_, end)| at < u128::from(*end)).map(|(variant, _)| *variant)
    }
}

/// A share as it is now.
fn share_at(portion: Portion, now: u64) -> Share {
    match portion {
        Portion::Fixed(share) => share,
        Portion::Ramp { from, start, .. } if now <= start => from,
        Portion::Ramp { to, end, .. } if now >= end => to,
        Portion::Ramp { from, to, start, end } => {
            let (passed, whole) = (i128::from(now - start), i128::from(end - start));
            let way = i128::from(to.0) - i128::from(from.0);
            let share = i128::from(from.0) + way * passed / whole;
            Share(u32::try_from(share).unwrap_or(from.0))
        }
    }
}

/// An index of a variant: configurations have few.
fn index(index: usize) -> u8 {
    u8::try_from(index).unwrap_or(u8::MAX)
}
