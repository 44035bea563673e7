//! Rules that watch how long requests take: our bare formula, and others'.

use std::sync::LazyLock;

use gnomon_policy::judge::{
    bernoulli::{Block, Boundary, Counts, Side, Wealth, level},
    merge::weighted_mean,
    numbers::real,
    rules::QUANTILES,
};

use super::{
    errors,
    rules::{PeekedZ, Rule, Strata},
    times::{Histogram, Tick},
};
use crate::comparators::{dkw_constant, dkw_lil, shift};

/// A rule at one rollout.
pub trait SlowRule {
    /// Whether it would roll back at this look.
    fn sees(&mut self, tick: &Tick) -> bool;
}

/// The one of 0.99.
const P99: usize = 4;

/// What is known of stable's times from the past alone.
#[derive(Debug)]
struct Known {
    faded: Vec<f64>,
    /// Bucket of each quantile, and the level of the chance to be beyond.
    thresholds: [(usize, i32); 6],
    guess_at: u64,
}

impl Known {
    fn new(before: &Histogram) -> Self {
        let faded = before.counts().iter().map(|count| real(*count)).collect();
        let mut known = Self { faded, thresholds: [(0, 0); 6], guess_at: 30 };
        known.guess();
        known
    }

    fn guess(&mut self) {
        let all: f64 = self.faded.iter().sum();
        for (threshold, (share, _)) in self.thresholds.iter_mut().zip(QUANTILES) {
            let mut below = 0.0;
            let bucket = self.faded.iter().position(|count| {
                below += count;
                below >= share * all
            });
            *threshold = (bucket.unwrap_or(0), level(all - below, all));
        }
    }

    fn learn(&mut self, tick: &Tick) {
        let fade = (-(super::TICK as f64) / 600.0).exp2();
        for (sum, count) in self.faded.iter_mut().zip(tick.stable.counts()) {
            *sum = *sum * fade + real(*count);
        }
        if tick.end >= self.guess_at {
            self.guess_at += 30;
            self.guess();
        }
    }

    /// The bet on one quantile.
    fn block(&self, tick: &Tick, quantile: usize) -> Block {
        let (bucket, level) = self.thresholds[quantile];
        let counts = |times: &Histogram| Counts { bad: times.slower(bucket), all: times.all() };
        let (canary, stable) = (counts(&tick.canary), counts(&tick.stable));
        Block { weight: tick.weight, level, canary, stable }
    }
}

/// F3 on six quantiles, averaged, with neither margin nor restarts.
#[derive(Debug)]
pub struct Strict {
    wealth: Vec<Wealth>,
    known: Known,
    enough: f64,
}

impl Strict {
    /// That rolls back at evidence of 1/`alpha`.
    #[must_use]
    pub fn new(before: &Histogram, alpha: f64) -> Self {
        let wealth = QUANTILES.map(|_| Wealth::new(Boundary::EQUAL, Side::Worse)).to_vec();
        Self { wealth, known: Known::new(before), enough: 1.0 / alpha }
    }
}

impl SlowRule for Strict {
    fn sees(&mut self, tick: &Tick) -> bool {
        for (quantile, wealth) in self.wealth.iter_mut().enumerate() {
            wealth.take(&self.known.block(tick, quantile));
        }
        self.known.learn(tick);
        let each = self.wealth.iter().zip(QUANTILES);
        weighted_mean(each.map(|(wealth, (_, weight))| (wealth.log_e().exp(), weight)))
            >= self.enough
    }
}

/// F3 on p99 alone, with neither margin nor restarts.
#[derive(Debug)]
pub struct StrictP99 {
    wealth: Wealth,
    known: Known,
    enough: f64,
}

impl StrictP99 {
    /// That rolls back at evidence of 1/`alpha`.
    #[must_use]
    pub fn new(before: &Histogram, alpha: f64) -> Self {
        let wealth = Wealth::new(Boundary::EQUAL, Side::Worse);
        Self { wealth, known: Known::new(before), enough: (1.0 / alpha).ln() }
    }
}

impl SlowRule for StrictP99 {
    fn sees(&mut self, tick: &Tick) -> bool {
        self.wealth.take(&self.known.block(tick, P99));
        self.known.learn(tick);
        self.wealth.log_e() >= self.enough
    }
}

/// A z-test of the shares beyond stable's p99, looked at again and again.
#[derive(Debug)]
pub struct PeekedP99 {
    z: PeekedZ,
    known: Known,
}

impl PeekedP99 {
    /// Looked at every minute.
    #[must_use]
    pub fn new(before: &Histogram, kind: Strata) -> Self {
        Self { z: PeekedZ::new(kind, 60), known: Known::new(before) }
    }
}

impl SlowRule for PeekedP99 {
    fn sees(&mut self, tick: &Tick) -> bool {
        let Block { weight, canary, stable, .. } = self.known.block(tick, P99);
        self.known.learn(tick);
        self.z.sees(&errors::Tick { end: tick.end, weight, canary, stable })
    }
}

/// Two bands around distribution functions that hold at all times: whether the canary's is below
/// stable's somewhere (F10).
#[derive(Debug)]
pub struct Bands {
    constant: f64,
    canary: Histogram,
    stable: Histogram,
}

impl Default for Bands {
    fn default() -> Self {
        let constant = *TWO_AND_A_HALF;
        Self { constant, canary: Histogram::default(), stable: Histogram::default() }
    }
}

/// The constant of a band that is left with a chance of 2.5 %, so that one of two is with 5 %.
static TWO_AND_A_HALF: LazyLock<f64> = LazyLock::new(|| dkw_constant(0.025));

impl SlowRule for Bands {
    fn sees(&mut self, tick: &Tick) -> bool {
        self.canary.add(&tick.canary);
        self.stable.add(&tick.stable);
        let (canary, stable) = (real(self.canary.all()), real(self.stable.all()));
        if canary < 1.0 || stable < 1.0 {
            return false;
        }
        let width = dkw_lil(canary, 1.0, self.constant) + dkw_lil(stable, 1.0, self.constant);
        let (mut apart, mut over) = (0.0_f64, 0.0_f64);
        for (slow, normal) in self.canary.counts().iter().zip(self.stable.counts()) {
            apart += real(*normal) / stable - real(*slow) / canary;
            over = over.max(apart);
        }
        over > width
    }
}

/// Checks of the canary's p99 alone, minute by minute: after so many that failed, it rolls back.
#[derive(Debug)]
pub struct Threshold {
    limit: f64,
    allowed: u32,
    failed: u32,
    minute: Minutes,
}

impl Threshold {
    /// At most so many seconds; rolls back at the `allowed`-th failed check.
    #[must_use]
    pub fn new(limit: f64, allowed: u32) -> Self {
        Self { limit, allowed, failed: 0, minute: Minutes::default() }
    }

    /// At most `factor` times what stable's p99 was before the rollout.
    #[must_use]
    pub fn relative(before: &Histogram, factor: f64, allowed: u32) -> Self {
        Self::new(factor * before.quantile(0.99).unwrap_or(0.0), allowed)
    }
}

impl SlowRule for Threshold {
    fn sees(&mut self, tick: &Tick) -> bool {
        if let Some((canary, _)) = self.minute.p99(tick) {
            let passes = canary.is_some_and(|canary| canary <= self.limit);
            self.failed += u32::from(!passes);
        }
        self.failed >= self.allowed
    }
}

/// Mann and Whitney's test of the p99 of all minutes so far, every five minutes.
#[derive(Debug, Default)]
pub struct MannWhitney {
    minute: Minutes,
    canary: Vec<f64>,
    stable: Vec<f64>,
}

impl SlowRule for MannWhitney {
    fn sees(&mut self, tick: &Tick) -> bool {
        if let Some((Some(canary), Some(stable))) = self.minute.p99(tick) {
            self.canary.push(canary);
            self.stable.push(stable);
        }
        let looks = tick.end.is_multiple_of(300) && !self.canary.is_empty();
        looks && shift(&self.canary, &self.stable).is_high
    }
}

/// The minute that is being collected.
#[derive(Debug, Default)]
struct Minutes {
    canary: Histogram,
    stable: Histogram,
}

impl Minutes {
    /// p99 of both versions at the end of a minute.
    fn p99(&mut self, tick: &Tick) -> Option<(Option<f64>, Option<f64>)> {
        self.canary.add(&tick.canary);
        self.stable.add(&tick.stable);
        tick.end.is_multiple_of(60).then(|| {
            let Self { canary, stable } = std::mem::take(self);
            (canary.quantile(0.99), stable.quantile(0.99))
        })
    }
}
