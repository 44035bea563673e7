//! Rules that watch errors and say when they would roll back: our bare formula, and others'.

use gnomon_policy::judge::{
    bernoulli::{Boundary, Counts, Side, Wealth},
    numbers::real,
};

use super::{errors::Tick, known::Known};
use crate::comparators::{Stratum, pooled_z, shift, stratified_z};

/// A rule at one rollout.
pub trait Rule {
    /// Whether it would roll back at this look.
    fn sees(&mut self, tick: &Tick) -> bool;
}

/// F3 with neither margin nor restarts.
#[derive(Debug)]
pub struct Strict {
    wealth: Wealth,
    known: Known,
    enough: f64,
}

impl Strict {
    /// That rolls back at evidence of 1/`alpha`.
    #[must_use]
    pub fn new(before: Counts, alpha: f64) -> Self {
        let wealth = Wealth::new(Boundary::EQUAL, Side::Worse);
        Self { wealth, known: Known::new(before), enough: (1.0 / alpha).ln() }
    }
}

impl Rule for Strict {
    fn sees(&mut self, tick: &Tick) -> bool {
        self.wealth.take(&self.known.block(tick));
        self.known.learn(tick);
        self.wealth.log_e() >= self.enough
    }
}

/// Which z is looked at again and again.
#[derive(Clone, Copy, Debug)]
pub enum Strata {
    /// All weights in one.
    Pooled,
    /// Weight by weight (Cochran, Mantel and Haenszel).
    ByWeight,
}

/// A z-test that is looked at every so often, as if each look were the only one.
#[derive(Debug)]
pub struct PeekedZ {
    kind: Strata,
    every: u64,
    strata: Vec<(f64, Stratum)>,
}

impl PeekedZ {
    /// Looked at every `every` seconds.
    #[must_use]
    pub const fn new(kind: Strata, every: u64) -> Self {
        Self { kind, every, strata: Vec::new() }
    }

    fn add(&mut self, tick: &Tick) {
        if self.strata.last().is_none_or(|(weight, _)| *weight != tick.weight) {
            let none = Stratum { canary: 0.0, canary_bad: 0.0, stable: 0.0, stable_bad: 0.0 };
            self.strata.push((tick.weight, none));
        }
        if let Some((_, stratum)) = self.strata.last_mut() {
            stratum.canary += real(tick.canary.all);
            stratum.canary_bad += real(tick.canary.bad);
            stratum.stable += real(tick.stable.all);
            stratum.stable_bad += real(tick.stable.bad);
        }
    }
}

impl Rule for PeekedZ {
    fn sees(&mut self, tick: &Tick) -> bool {
        self.add(tick);
        if !tick.end.is_multiple_of(self.every) {
            return false;
        }
        let strata: Vec<Stratum> = self.strata.iter().map(|(_, stratum)| *stratum).collect();
        let z = match self.kind {
            Strata::Pooled => pooled_z(&strata),
            Strata::ByWeight => stratified_z(&strata),
        };
        z > 1.645
    }
}

/// Checks of the canary alone, minute by minute: after so many that failed, it rolls back. A
/// minute without requests counts as failed.
#[derive(Debug)]
pub struct Threshold {
    success: f64,
    allowed: u32,
    failed: u32,
    minute: Counts,
}

impl Threshold {
    /// At least this share must succeed; rolls back at the `allowed`-th failed check.
    #[must_use]
    pub const fn new(success: f64, allowed: u32) -> Self {
        Self { success, allowed, failed: 0, minute: Counts { bad: 0, all: 0 } }
    }
}

impl Rule for Threshold {
    fn sees(&mut self, tick: &Tick) -> bool {
        self.minute.add(tick.canary);
        if !tick.end.is_multiple_of(60) {
            return false;
        }
        let minute = std::mem::take(&mut self.minute);
        if minute.all == 0 || 1.0 - minute.rate() < self.success {
            self.failed += 1;
        }
        self.failed >= self.allowed
    }
}

/// Mann and Whitney's test of the error rates of all minutes so far, every five minutes.
#[derive(Debug, Default)]
pub struct MannWhitney {
    minute: (Counts, Counts),
    rates: (Vec<f64>, Vec<f64>),
}

impl Rule for MannWhitney {
    fn sees(&mut self, tick: &Tick) -> bool {
        self.minute.0.add(tick.canary);
        self.minute.1.add(tick.stable);
        if tick.end.is_multiple_of(60) {
            let (canary, stable) = std::mem::take(&mut self.minute);
            if canary.all > 0 && stable.all > 0 {
                self.rates.0.push(canary.rate());
                self.rates.1.push(stable.rate());
            }
        }
        let looks = tick.end.is_multiple_of(300) && !self.rates.0.is_empty();
        looks && shift(&self.rates.0, &self.rates.1).is_high
    }
}
