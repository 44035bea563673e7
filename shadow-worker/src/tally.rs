//! Counts of pairs, for an endpoint and for each of its paths.
//!
//! A path keeps only the pairs in which something differs at it; all others of its endpoint are
//! ties. So a pair costs what differs in it and not what was compared, and a path that is seen for
//! the first time has all past pairs of its endpoint as ties.

use gnomon_config::model::Noise;
use serde::{Deserialize, Serialize};

use crate::evidence::{Cells, Counts, Logs, MARGIN, Rates};

/// How it was decided whether to ask the primary's version a second time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Draw {
    /// It is never asked: learning is off, or the request is not safe.
    Never,
    /// It is asked each time: the endpoint is new.
    Always,
    /// It is asked with this chance, in `(0, 1]`.
    Chance(f64),
}

impl Draw {
    /// How it is to be decided for a request whose method is safe or not, at an endpoint of which
    /// too little is known or not.
    ///
    /// The chance is at least [`LEAST`]: without any hope of a second answer, what is noise later
    /// on could not be told from a difference.
    #[must_use]
    pub fn of(noise: Noise, is_safe: bool, is_learning: bool) -> Self {
        match noise {
            Noise::Learn(_) if is_safe && is_learning => Self::Always,
            Noise::Learn(share) if is_safe => Self::Chance(share.fraction().clamp(LEAST, 1.0)),
            Noise::Learn(_) | Noise::Off => Self::Never,
        }
    }

    /// Whether a pair that was drawn so can be evidence.
    pub(crate) fn is_sound(self) -> bool {
        match self {
            Self::Never | Self::Always => true,
            Self::Chance(share) => (LEAST..=1.0).contains(&share),
        }
    }
}

/// Smallest chance of a second request.
pub const LEAST: f64 = 0.001;

/// Compared pairs of an endpoint, by how the second request was decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pairs {
    /// Those without hope of a second answer.
    pub blind: u64,
    /// Those that always have one.
    pub first: u64,
    /// Those that have none by chance.
    pub alone: u64,
    /// Those that have one by chance.
    pub asked: u64,
    /// Pairs under former shares.
    pub old: u64,
    /// Of them, those with a second answer.
    pub old_asked: u64,
    /// What ties under former shares did to the wealth of each bet.
    pub logs: Logs,
}

impl Pairs {
    /// Counts one more.
    pub(crate) const fn count(&mut self, draw: Draw, asked: bool) {
        match (draw, asked) {
            (Draw::Never, _) => self.blind += 1,
            (Draw::Always, _) => self.first += 1,
            (Draw::Chance(_), false) => self.alone += 1,
            (Draw::Chance(_), true) => self.asked += 1,
        }
    }

    /// All pairs.
    #[must_use]
    pub const fn all(&self) -> u64 {
        self.blind + self.first + self.alone + self.asked + self.old
    }

    /// Closes the pairs under `share`: another is about to hold.
    pub(crate) fn settle(&mut self, share: f64) {
        let ties = Cells { alone_equal: self.alone, equal: self.asked, ..Cells::default() };
        ties.add_logs(share, MARGIN, &mut self.logs);
        self.close();
    }

    /// Forgets the pairs without hope of a second answer: now there is some.
    pub(crate) const fn see(&mut self) {
        self.blind = 0;
    }

    const fn close(&mut self) {
        self.old += self.alone + self.asked;
        self.old_asked += self.asked;
        (self.alone, self.asked) = (0, 0);
    }
}

/// Pairs of an endpoint in which something differs at one path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Those without hope of a second answer.
    pub blind: u64,
    /// Those that always have one.
    pub first: Unequal,
    /// Those that have none by chance.
    pub alone: u64,
    /// Those that have one by chance.
    pub later: Unequal,
    /// Those under former shares in which the shadow differs.
    pub old_different: u64,
    /// Those under former shares in which the primary differs from itself.
    pub old_noisy: u64,
    /// What all pairs under former shares did to the wealth of each bet.
    pub logs: Logs,
    /// Pairs of the endpoint that do not count here: those before the path was forgotten.
    pub since: Pairs,
}

/// Pairs with a second answer, by what differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unequal {
    /// Only the primary's second answer.
    pub noise: u64,
    /// Only the shadow's.
    pub shadow: u64,
    /// Both.
    pub both: u64,
}

impl Unequal {
    const fn count(&mut self, shadow: bool, noise: bool) {
        match (shadow, noise) {
            (false, false) => {}
            (false, true) => self.noise += 1,
            (true, false) => self.shadow += 1,
            (true, true) => self.both += 1,
        }
    }

    const fn all(self) -> u64 {
        self.noise + self.shadow + self.both
    }

    const fn cells(self, pairs: u64) -> Cells {
        Cells {
            alone_equal: 0,
            alone_shadow: 0,
            equal: pairs.saturating_sub(self.all()),
            noise: self.noise,
            shadow: self.shadow,
            both: self.both,
        }
    }
}

impl Tally {
    /// Of a path that had no difference in any of the endpoint's `pairs`.
    pub(crate) fn of_ties(pairs: &Pairs) -> Self {
        Self { logs: pairs.logs, ..Self::default() }
    }

    /// Of a path of which `pairs` are to be forgotten.
    pub(crate) fn forgotten(pairs: &Pairs) -> Self {
        Self { since: *pairs, ..Self::default() }
    }

    /// Counts a pair in which the shadow differs, the primary from itself, or both.
    pub(crate) const fn count(&mut self, draw: Draw, asked: bool, shadow: bool, noise: bool) {
        match (draw, asked) {
            (Draw::Never, _) => self.blind += shadow as u64,
            (Draw::Always, _) => self.first.count(shadow, noise),
            (Draw::Chance(_), false) => self.alone += shadow as u64,
            (Draw::Chance(_), true) => self.later.count(shadow, noise),
        }
    }

    /// All that is known of the path.
    #[must_use]
    pub fn counts(&self, pairs: &Pairs, share: f64) -> Counts {
        let since = &self.since;
        let alone = pairs.alone.saturating_sub(since.alone);
        let later = self.later.cells(pairs.asked.saturating_sub(since.asked));
        let blind = pairs.blind.saturating_sub(since.blind).saturating_sub(self.blind);
        Counts {
            first: self.first.cells(pairs.first.saturating_sub(since.first)),
            later: Cells {
                alone_equal: alone.saturating_sub(self.alone),
                alone_shadow: self.alone,
                ..later
            },
            blind: Cells { equal: blind, shadow: self.blind, ..Cells::default() },
            settled: self.logs,
            share,
        }
    }

    /// How often the shadow differs at the path, and the primary from itself.
    #[must_use]
    pub const fn rates(&self, pairs: &Pairs) -> Rates {
        let since = &self.since;
        let (first, later) = (self.first, self.later);
        let asked = pairs.first + pairs.asked + pairs.old_asked;
        Rates {
            compared: pairs.all().saturating_sub(since.all()),
            different: self.blind
                + first.shadow
                + first.both
                + self.alone
                + later.shadow
                + later.both
                + self.old_different,
            asked: asked.saturating_sub(since.first + since.asked + since.old_asked),
            noisy: first.noise + first.both + later.noise + later.both + self.old_noisy,
        }
    }

    /// Forgets the pairs without hope of a second answer, as the endpoint does.
    pub(crate) const fn see(&mut self) {
        self.blind = 0;
        self.since.see();
    }

    /// Closes the pairs under `share`, before the endpoint does.
    pub(crate) fn settle(&mut self, pairs: &Pairs, share: f64) {
        self.counts(pairs, share).later.add_logs(share, MARGIN, &mut self.logs);
        self.old_different += self.alone + self.later.shadow + self.later.both;
        self.old_noisy += self.later.noise + self.later.both;
        (self.alone, self.later) = (0, Unequal::default());
        self.since.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(tally: &mut Tally, pairs: &mut Pairs, draw: Draw, times: u64) {
        for nth in 0..times {
            let asked = draw == Draw::Always || nth % 5 == 0;
            pairs.count(draw, asked);
            tally.count(draw, asked, nth % 7 == 0, asked && nth % 11 == 0);
        }
    }

    #[test]
    fn draws_follow_the_configuration() {
        let learn = |parts| Noise::Learn(gnomon_config::model::Share(parts));
        assert_eq!(Draw::of(learn(20_000), true, true), Draw::Always);
        assert_eq!(Draw::of(learn(20_000), true, false), Draw::Chance(0.2));
        assert_eq!(Draw::of(learn(0), true, false), Draw::Chance(LEAST));
        assert_eq!(Draw::of(learn(20_000), false, true), Draw::Never);
        assert_eq!(Draw::of(Noise::Off, true, true), Draw::Never);
        assert!(!Draw::Chance(0.0).is_sound() && !Draw::Chance(f64::NAN).is_sound());
    }

    #[test]
    fn a_late_path_and_an_early_one_without_differences_are_equal() {
        let (mut pairs, mut early) = (Pairs::default(), Tally::default());
        for share in [0.2, 0.5] {
            for nth in 0..100 {
                pairs.count(Draw::Chance(share), nth % 5 == 0);
            }
            early.settle(&pairs, share);
            pairs.settle(share);
        }
        let late = Tally::of_ties(&pairs);
        let log = |tally: &Tally| tally.counts(&pairs, 0.1).log_e();
        assert!((log(&early) - log(&late)).abs() < 1e-12);
        assert!(log(&early) < 0.0);
    }

    #[test]
    fn a_share_that_changes_to_itself_changes_nothing() {
        let (mut pairs, mut tally) = (Pairs::default(), Tally::default());
        run(&mut tally, &mut pairs, Draw::Always, 100);
        run(&mut tally, &mut pairs, Draw::Chance(0.2), 100);
        let before = (tally.counts(&pairs, 0.2).log_e(), tally.rates(&pairs));
        tally.settle(&pairs, 0.2);
        pairs.settle(0.2);
        let after = (tally.counts(&pairs, 0.2).log_e(), tally.rates(&pairs));
        assert!((before.0 - after.0).abs() < 1e-9);
        assert_eq!(before.1, after.1);
    }

    #[test]
    fn what_is_forgotten_does_not_count() {
        let (mut pairs, mut tally) = (Pairs::default(), Tally::default());
        run(&mut tally, &mut pairs, Draw::Always, 100);
        let mut tally = Tally::forgotten(&pairs);
        assert_eq!(tally.rates(&pairs), Rates::default());
        run(&mut tally, &mut pairs, Draw::Chance(0.2), 10);
        tally.settle(&pairs, 0.2);
        pairs.settle(0.2);
        run(&mut tally, &mut pairs, Draw::Never, 7);
        let rates = tally.rates(&pairs);
        assert_eq!((rates.compared, rates.different, rates.asked, rates.noisy), (17, 3, 2, 1));
    }
}
