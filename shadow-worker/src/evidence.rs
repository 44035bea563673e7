//! How sure it is that the shadow differs by more than chance: from counts alone, at any time.
//!
//! For every compared pair of replies a path either differs (D) or not; in some of them the
//! primary's version was asked a second time, and its two answers differ at the path (N) or not.
//! The claim to refute is "the shadow differs no more often than the primary from itself, by more
//! than [`MARGIN`]". The evidence against it is the wealth of a gambler who bets on every pair at
//! odds that are fair under the claim. If the claim is true, the wealth ever reaches 20 times the
//! stake with a chance below 5 %, however often and whenever somebody looks.

use gnomon_policy::judge::{
    bernoulli::{self, Side},
    fixed,
    numbers::ratio,
    paired::mix,
};
pub use gnomon_policy::judge::{
    merge::threshold,
    paired::{Cells, Logs},
};
use serde::{Deserialize, Serialize};

/// What is known of one path: how many pairs fell into which cell, in each phase.
///
/// The three phases multiply, for each bet by itself, before the bets are mixed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Pairs for which the primary's version was always asked again.
    pub first: Cells,
    /// Pairs for which it was asked again with a chance of `share`.
    pub later: Cells,
    /// Pairs for which it is never asked again: learning is off, or the request is not safe. Their
    /// noise is taken as never: they count like pairs of `first` whose second answer was equal.
    pub blind: Cells,
    /// Logarithms of each bet's wealth from pairs under former shares.
    pub settled: Logs,
    /// Chance of a second request behind `later`, in `(0, 1]`.
    pub share: f64,
}

impl Counts {
    /// Natural logarithm of the evidence: above 3 (E > 20) it is hard to believe in chance.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        let mut logs = self.settled;
        for (cells, share) in [(&self.first, 1.0), (&self.later, self.share), (&self.blind, 1.0)] {
            cells.add_logs(share, MARGIN, &mut logs);
        }
        mix(&logs)
    }
}

/// How much more often than the primary from itself the shadow may differ: once in a thousand.
pub const MARGIN: f64 = 0.001;

/// Share of false names among the paths that are flagged.
pub const ALPHA: f64 = 0.05;

/// How much slower than the primary's second answer the shadow's may be, relative to it.
pub const LATENCY_MARGIN: f64 = 0.05;

/// Requests of an endpoint for which the primary's version is always asked again. A rare second
/// request caps the bet, so that a clear difference would take four times as long to be sure of.
pub const LEARNING: u64 = 1000;

/// The rule that the well-known tool of this kind uses, for comparison: the shadow differs more
/// often than the primary from itself, by more than 20 % of both together and more than 0.03 % of
/// the requests. It has no notion of chance, and fires on noise.
#[must_use]
pub fn plain_rule(rates: Rates) -> bool {
    let (raw, noise) = (rates.shadow() * 100.0, rates.noise() * 100.0);
    let relative = if raw + noise > 0.0 { (raw - noise) / (raw + noise) * 100.0 } else { 0.0 };
    raw > noise && relative > 20.0 && raw - noise > 0.03
}

/// How often the shadow differs, and the primary from itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// Pairs of primary and shadow.
    pub compared: u64,
    /// Of them, those that differ.
    pub different: u64,
    /// Pairs of two answers of the primary.
    pub asked: u64,
    /// Of them, those that differ.
    pub noisy: u64,
}

impl Rates {
    /// Share of pairs in which the shadow differs.
    #[must_use]
    pub fn shadow(self) -> f64 {
        ratio(self.different, self.compared)
    }

    /// Share of pairs in which the primary differs from itself.
    #[must_use]
    pub fn noise(self) -> f64 {
        ratio(self.noisy, self.asked)
    }
}

/// Whether the shadow is slower than the primary's second answer, by a sign test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// Pairs of which both times are known.
    pub timed: u64,
    /// Of them, those where the shadow took longer by more than [`LATENCY_MARGIN`].
    pub slower: u64,
}

impl Pace {
    /// Counts a pair: times to the first byte, both of replays, so that caches are as warm.
    pub fn count(&mut self, shadow: std::time::Duration, second: std::time::Duration) {
        self.timed += 1;
        self.slower += u64::from(shadow > second.mul_f64(1.0 + LATENCY_MARGIN));
    }

    /// Natural logarithm of the evidence that it is slower more often than every other time.
    #[must_use]
    pub fn log_e(self) -> f64 {
        let counts = bernoulli::Counts { bad: self.slower, all: self.timed };
        fixed::log_e(counts, 0.5, Side::Worse)
    }
}

#[cfg(test)]
mod tests;
