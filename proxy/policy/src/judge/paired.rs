//! Differences between two answers to the same request, against the differences of one version
//! from itself (F16).
//!
//! For every compared pair a path either differs (D) or not; in some of them the primary's version
//! was asked a second time, and its two answers differ at the path (N) or not. The claim to refute
//! is "D is no more likely than N, by more than a margin".

use serde::{Deserialize, Serialize};

use super::numbers::{log_sum, real};

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
    /// F16: adds to `logs` what these pairs did to the wealth of each bet, `ln(1 + λ·λ_max·Z)` with
    /// `Z = D - (R/s)N - δ` and `λ_max = 1/(1/s + δ)`, where R says that the primary's version was
    /// asked again, which it is with a chance of `share`.
    pub fn add_logs(&self, share: f64, margin: f64, logs: &mut Logs) {
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

/// F16: logarithm of the evidence from the wealth of each bet.
#[must_use]
pub fn mix(logs: &Logs) -> f64 {
    log_sum(logs.iter().zip(BET_WEIGHTS).map(|(log, weight)| log + (weight / 13.0_f64).ln()))
}

/// Shares of the largest bet that can never lose all.
const BETS: Logs = [0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9];
/// Thirteenths of the stake on each bet.
const BET_WEIGHTS: Logs = [1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0];
