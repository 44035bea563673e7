//! How sure it is that the shadow differs by more than chance: from counts alone, at any time.
//!
//! For every compared pair of replies a path either differs (D) or not; in some of them the
//! primary's version was asked a second time, and its two answers differ at the path (N) or not.
//! The claim to refute is "the shadow differs no more often than the primary from itself, by more
//! than [`MARGIN`]". The evidence against it is the wealth of a gambler who bets on every pair at
//! odds that are fair under the claim. If the claim is true, the wealth ever reaches 20 times the
//! stake with a chance below 5 %, however often and whenever somebody looks.

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

/// Pairs by what differed in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cells {
    /// No second answer; primary and shadow equal.
    pub alone_equal: u64,
    /// No second answer; primary and shadow differ.
    pub alone_shadow: u64,
    /// Three equal answers.
    pub equal: u64,
    /// Only the primary's second answer differs.
    pub noise: u64,
    /// Only the shadow's answer differs.
    pub shadow: u64,
    /// Both differ from the primary's first answer.
    pub both: u64,
}

impl Cells {
    /// Adds to `logs` what these pairs did to the wealth of each bet.
    pub(crate) fn add_logs(&self, share: f64, margin: f64, logs: &mut Logs) {
        let most = 1.0 / (1.0 / share + margin);
        let cells = [
            (self.alone_equal + self.equal, -margin),
            (self.alone_shadow + self.shadow, 1.0 - margin),
            (self.noise, -1.0 / share - margin),
            (self.both, 1.0 - 1.0 / share - margin),
        ];
        for (count, gain) in cells {
            // Most cells are empty, and an empty one may have no logarithm.
            if count > 0 {
                for (log, bet) in logs.iter_mut().zip(BETS) {
                    *log += real(count) * (bet * most * gain).ln_1p();
                }
            }
        }
    }
}

/// A logarithm of wealth for each bet.
pub type Logs = [f64; 8];

/// How much more often than the primary from itself the shadow may differ: once in a thousand.
pub const MARGIN: f64 = 0.001;

/// Share of false names among the paths that are flagged.
pub const ALPHA: f64 = 0.05;

/// How much slower than the primary's second answer the shadow's may be, relative to it.
pub const LATENCY_MARGIN: f64 = 0.05;

/// Requests of an endpoint for which the primary's version is always asked again. A rare second
/// request caps the bet, so that a clear difference would take four times as long to be sure of.
pub const LEARNING: u64 = 1000;

/// Which of these logarithms of evidence may be named together, so that of the names at most
/// [`ALPHA`] are false: the largest k of which the k-th is at least K/(αk) (e-BH).
///
/// All paths must be among them, those without a difference too. Gives the smallest logarithm
/// that is flagged; none where nothing is.
#[must_use]
pub fn threshold(log_e: &[f64], alpha: f64) -> Option<f64> {
    let mut sorted = log_e.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let all = real_len(sorted.len());
    let flagged = |(index, log): &(usize, f64)| *log >= (all / (alpha * real_len(index + 1))).ln();
    sorted.into_iter().enumerate().rfind(flagged).map(|(_, log)| log)
}

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
        above(self.slower, self.timed, 0.5)
    }
}

/// Natural logarithm of the evidence that `count` of `all` is more than a share of `bound`.
fn above(count: u64, all: u64, bound: f64) -> f64 {
    let odds = bound / (1.0 - bound);
    let logs = ODDS.map(|(factor, weight)| {
        let other = factor * odds / (1.0 + factor * odds);
        (f64::from(weight) / 32.0).ln()
            + real(count) * (other / bound).ln()
            + real(all - count) * ((1.0 - other) / (1.0 - bound)).ln()
    });
    log_sum(&logs)
}

fn mix(logs: &Logs) -> f64 {
    let mut weighted = *logs;
    for (log, weight) in weighted.iter_mut().zip(BET_WEIGHTS) {
        *log += (weight / 13.0).ln();
    }
    log_sum(&weighted)
}

fn log_sum(logs: &[f64]) -> f64 {
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        return most;
    }
    most + logs.iter().map(|log| (log - most).exp()).sum::<f64>().ln()
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { real(part) / real(whole) }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
const fn real(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "lengths stay far below 2^53")]
const fn real_len(count: usize) -> f64 {
    count as f64
}

/// Shares of the largest bet that can never lose all.
const BETS: Logs = [0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9];
/// Thirteenths of the stake on each bet.
const BET_WEIGHTS: Logs = [1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0];
/// Factors on the odds that are betted on, and thirty-seconds of the stake on each.
const ODDS: [(f64, u32); 12] = [
    (1.1, 2),
    (1.25, 3),
    (1.5, 4),
    (2.0, 4),
    (3.0, 4),
    (5.0, 4),
    (8.0, 3),
    (16.0, 2),
    (40.0, 2),
    (100.0, 2),
    (400.0, 1),
    (2000.0, 1),
];

#[cfg(test)]
mod tests;
