//! What is known of stable's past, fading: the guesses and thresholds that bets are placed with.

use serde::{Deserialize, Serialize};

use super::{
    bernoulli::{Counts, level},
    cohort::{BUCKETS, Tally},
    numbers::real,
};

/// The weight of the past halves in so many seconds.
pub(super) const HALF_LIFE: f64 = 600.0;

/// What is left of the past after so many seconds, with a half-life in seconds.
#[must_use]
pub(super) fn left(seconds: u64, half_life: f64) -> f64 {
    (-real(seconds) / half_life).exp2()
}

/// Fading counts of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Faded {
    /// With the event.
    pub bad: f64,
    /// All.
    pub all: f64,
}

impl Faded {
    /// Leaves a share of it.
    pub(super) fn fade(&mut self, left: f64) {
        self.bad *= left;
        self.all *= left;
    }

    /// Counts these as well.
    pub(super) fn add(&mut self, counts: Counts) {
        self.bad += real(counts.bad);
        self.all += real(counts.all);
    }

    /// The guess of the event's chance, as a level (F2).
    #[must_use]
    pub(super) fn level(&self) -> i32 {
        level(self.bad, self.all)
    }

    /// Share with the event; 0 of nothing.
    #[must_use]
    pub(super) fn rate(&self) -> f64 {
        if self.all > 0.0 { self.bad / self.all } else { 0.0 }
    }
}

/// Fading counts of stable's times by bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Times {
    cells: Vec<f64>,
}

impl Default for Times {
    fn default() -> Self {
        Self { cells: vec![0.0; BUCKETS] }
    }
}

impl Times {
    /// Leaves a share of them.
    pub fn fade(&mut self, left: f64) {
        for cell in &mut self.cells {
            *cell *= left;
        }
    }

    /// Counts those of a tally as well.
    pub fn add(&mut self, tally: &Tally) {
        for (bucket, count) in &tally.times {
            if let Some(cell) = self.cells.get_mut(usize::from(*bucket)) {
                *cell += f64::from(*count);
            }
        }
    }

    /// The first bucket that at least a share of `quantile` is not above; `None` if too little is
    /// known for that.
    #[must_use]
    pub fn threshold(&self, quantile: f64) -> Option<u16> {
        let all = self.all();
        if all < ENOUGH.max(2.0 / (1.0 - quantile)) {
            return None;
        }
        let mut below = 0.0;
        let bucket = self.cells.iter().position(|cell| {
            below += cell;
            below >= quantile * all
        })?;
        u16::try_from(bucket).ok()
    }

    /// How much of them there is.
    #[must_use]
    pub fn all(&self) -> f64 {
        self.cells.iter().sum()
    }

    /// Share of them beyond a bucket; 0 of nothing.
    #[must_use]
    pub fn beyond(&self, bucket: i32) -> f64 {
        let from = usize::try_from(bucket + 1).unwrap_or(0).min(BUCKETS);
        let all = self.all();
        if all > 0.0 { self.cells[from..].iter().sum::<f64>() / all } else { 0.0 }
    }
}

/// Times that make a threshold.
const ENOUGH: f64 = 50.0;

/// The buckets that single quantiles of stable's past end in, frozen before a cohort is used.
#[derive(Clone, Debug, Default)]
pub(super) struct Thresholds(Vec<(f64, Option<u16>)>);

impl Thresholds {
    /// Those of `quantiles`.
    #[must_use]
    pub(super) fn of(times: &Times, quantiles: &[f64]) -> Self {
        Self(quantiles.iter().map(|quantile| (*quantile, times.threshold(*quantile))).collect())
    }

    /// The bucket of one of them.
    #[must_use]
    pub(super) fn bucket(&self, quantile: f64) -> Option<u16> {
        self.0.iter().find(|(known, _)| known.to_bits() == quantile.to_bits())?.1
    }
}
