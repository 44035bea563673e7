//! Events of two versions with no regard to what did not happen: how many of them were the
//! canary's (F5), and how many times stable's rate that may be (F6).

use serde::{Deserialize, Serialize};

use super::numbers::{DOWN, Grid, UP, halve, log_sum, mixed, real};

/// Events under one probability of the canary.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// That probability.
    pub weight: f64,
    /// Events of the canary.
    pub canary: u64,
    /// Events of both.
    pub all: u64,
}

/// F5: wealth against "the canary's rate is `base` times stable's", both ways.
///
/// With requests for events and a base of 1 it bets against the router's own claim that it sends
/// `weight` of them to the canary (Lindon and Malek, 2011.03567, for weights that change).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    base: f64,
    more: Vec<f64>,
    fewer: Vec<f64>,
}

impl Ratio {
    /// The stake.
    #[must_use]
    pub fn new(base: f64) -> Self {
        Self { base, more: vec![0.0; UP.len()], fewer: vec![0.0; DOWN.len()] }
    }

    /// Bets on some events: `L_j += k_C ln g_j + k ln((wρ+1-w)/(wρg_j+1-w))`.
    pub fn take(&mut self, epoch: Epoch) {
        let bet = |grid: &Grid, logs: &mut [f64]| {
            let base = epoch.weight * self.base;
            let rest = 1.0 - epoch.weight;
            for (log, (factor, _)) in logs.iter_mut().zip(grid) {
                *log += real(epoch.canary) * factor.ln()
                    + real(epoch.all) * ((base + rest) / (base * factor + rest)).ln();
            }
        };
        bet(&UP, &mut self.more);
        bet(&DOWN, &mut self.fewer);
    }

    /// Logarithm of the evidence that it is more.
    #[must_use]
    pub fn log_more(&self) -> f64 {
        mixed(&UP, &self.more)
    }

    /// Logarithm of the evidence that it is less.
    #[must_use]
    pub fn log_fewer(&self) -> f64 {
        mixed(&DOWN, &self.fewer)
    }

    /// Logarithm of the evidence that it is another.
    #[must_use]
    pub fn log_other(&self) -> f64 {
        log_sum([self.log_more(), self.log_fewer()]) - 2.0_f64.ln()
    }
}

/// How many times stable's rate the canary's may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// At least; `None`: 0 is possible.
    pub low: Option<f64>,
    /// Most likely; `None` without events of both.
    pub likely: Option<f64>,
    /// At most; `None`: there is no bound.
    pub high: Option<f64>,
    /// Logarithm of the mixed likelihood that the bounds are held against.
    pub log_mixed: f64,
}

/// F6: the ratios that are not refuted at `alpha`, at any time, if the ratio is constant:
/// `{ r : ln L(r) >= LSE_i ln L(2^((i-28)/4)) - ln 57 + ln α }`, `ln L(r) = Σ k_C ln r - k ln(wr+1-w)`.
#[must_use]
pub fn range(epochs: &[Epoch], alpha: f64) -> Range {
    let log_mixed = log_sum((0..57).map(|i| likelihood(epochs, grid(i)))) - 57.0_f64.ln();
    let bound = log_mixed + alpha.ln();
    let above = |x: f64| likelihood(epochs, x) - bound;
    let canary = epochs.iter().map(|epoch| epoch.canary).sum::<u64>();
    let stable = epochs.iter().map(|epoch| epoch.all - epoch.canary).sum::<u64>();
    let peak = match (canary, stable) {
        (0, _) => -FAR,
        (_, 0) => FAR,
        _ => halve(-FAR, FAR, |x| slope(epochs, x) <= 0.0),
    };
    let low = (canary > 0 && above(-FAR) < 0.0).then(|| halve(-FAR, peak, |x| above(x) >= 0.0));
    let high = (stable > 0 && above(FAR) < 0.0).then(|| halve(peak, FAR, |x| above(x) < 0.0));
    Range {
        low: low.map(f64::exp),
        likely: (canary > 0 && stable > 0).then(|| peak.exp()),
        high: high.map(f64::exp),
        log_mixed,
    }
}

/// Logarithms of ratios are looked for up to here.
const FAR: f64 = 40.0;

fn grid(i: u32) -> f64 {
    (f64::from(i) - 28.0) / 4.0 * std::f64::consts::LN_2
}

/// Of the logarithm of a ratio.
fn likelihood(epochs: &[Epoch], x: f64) -> f64 {
    let of = |epoch: &Epoch| {
        real(epoch.canary) * x
            - real(epoch.all) * (epoch.weight * x.exp() + 1.0 - epoch.weight).ln()
    };
    epochs.iter().map(of).sum()
}

fn slope(epochs: &[Epoch], x: f64) -> f64 {
    let of = |epoch: &Epoch| {
        let share = epoch.weight * x.exp();
        real(epoch.canary) - real(epoch.all) * share / (share + 1.0 - epoch.weight)
    };
    epochs.iter().map(of).sum()
}
