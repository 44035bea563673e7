//! What the draw of a flag was: the chances it gave a user, whatever came of it.

use super::{Compiled, Key, POSITIONS, Rules, share_at};
use crate::{
    Context,
    groups::{Groups, Memberships},
};

/// How a flag was drawn for a user.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    /// The user's hash: it decides the position, and tells users apart.
    pub unit: u64,
    /// Chance of the one variant among those who get either, above 0 and below 1.
    pub weight: f64,
}

/// Two variants, and who is left out when they are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The one under test.
    pub variant: u8,
    /// The one that it is compared with.
    pub default: u8,
    /// Users below this position had no choice: they had the variant before.
    pub reach: u32,
}

/// What positions come to a variant, in parts of the line.
#[derive(Default)]
struct Chances {
    variant: f64,
    default: f64,
}

impl Rules {
    /// How these users are drawn for two variants; nothing if no draw decides which of both they get.
    pub(crate) fn draw(
        &self,
        pair: Pair,
        groups: &Groups,
        context: &impl Context,
        now: u64,
        memberships: &Memberships,
    ) -> Option<Draw> {
        if now < self.start || now >= self.end {
            return None;
        }
        let mut buffer = [0; 16];
        let key = context.key(self.by.as_ref()?, &mut buffer)?;
        let unit = self.share.hash(&key);
        if crate::position(unit) < pair.reach {
            return None;
        }
        let key = Key::Is(key);
        let mut chances = Chances::default();
        // Positions up to here are spoken for.
        let mut taken = pair.reach;
        for rule in &self.rules {
            if taken >= POSITIONS {
                break;
            }
            if rule.names(&key) && rule.holds_for(groups, context, memberships) {
                let end = rule.end(now);
                chances.add(rule, pair, f64::from(end.saturating_sub(taken)));
                taken = taken.max(end);
            }
        }
        chances.rest(self.default, pair, f64::from(POSITIONS.saturating_sub(taken)));
        let weight = chances.variant / (chances.variant + chances.default);
        (weight > 0.0 && weight < 1.0).then_some(Draw { unit, weight })
    }

    /// The end of the positions that may have `variant` by a rule, at any time up to `now`.
    pub(crate) fn reach(&self, variant: u8, now: u64) -> u32 {
        let serves = |rule: &&Compiled| rule.serve.iter().any(|(served, _)| *served == variant);
        let ends = self.rules.iter().filter(serves).map(|rule| rule.end(now));
        // All of them is no draw, and says nothing of who comes later.
        ends.filter(|end| *end < POSITIONS).max().unwrap_or(0)
    }
}

impl Compiled {
    fn names(&self, key: &Key<'_>) -> bool {
        let Key::Is(key) = key else { return false };
        self.users.is_empty() || self.users.iter().any(|user| user.as_bytes() == &**key)
    }

    /// The first position that it is not for.
    fn end(&self, now: u64) -> u32 {
        self.portion.map_or(POSITIONS, |portion| share_at(portion, now).0)
    }
}

impl Chances {
    /// So many positions get what a rule serves.
    fn add(&mut self, rule: &Compiled, pair: Pair, positions: f64) {
        let Some((_, whole)) = rule.serve.last().filter(|(_, whole)| *whole > 0) else { return };
        let mut begin = 0;
        for (variant, end) in &rule.serve {
            #[expect(clippy::cast_precision_loss, reason = "weights have 32 bits, sums a few more")]
            let part = positions * (end - begin) as f64 / *whole as f64;
            self.rest(*variant, pair, part);
            begin = *end;
        }
    }

    /// So many positions get this variant.
    fn rest(&mut self, variant: u8, pair: Pair, positions: f64) {
        match variant {
            _ if variant == pair.variant => self.variant += positions,
            _ if variant == pair.default => self.default += positions,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
