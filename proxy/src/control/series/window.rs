//! The signals of one version over some time: counts in, shares, quantiles and bands out.

use std::time::Duration;

use gnomon_policy::{
    golden,
    judge::{bernoulli::Counts, range},
};
use serde::{Deserialize, Serialize};

use crate::control::{
    api::series::Window,
    golden::{Cells, add, take},
};

/// What was counted over some time, or up to some moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Tally {
    /// Requests.
    pub(crate) requests: u64,
    /// Those of them that failed.
    pub(crate) bad: u64,
    /// How long the others took.
    pub(crate) times: Cells,
}

impl Tally {
    /// What was counted between an earlier moment and this one.
    pub(super) fn since(&self, before: &Self) -> Self {
        let mut new = self.clone();
        new.requests = new.requests.saturating_sub(before.requests);
        new.bad = new.bad.saturating_sub(before.bad);
        take(&mut new.times, &before.times);
        new
    }

    pub(super) fn plus(&mut self, more: &Self) {
        self.requests += more.requests;
        self.bad += more.bad;
        add(&mut self.times, &more.times);
    }

    /// What it amounts to.
    pub(super) fn window(&self) -> Window {
        let counts = Counts { bad: self.bad.min(self.requests), all: self.requests };
        let mut cells = vec![0; golden::CELLS];
        for (place, count) in &self.times {
            if let Some(cell) = cells.get_mut(usize::from(*place)) {
                *cell = *count;
            }
        }
        let at = |q| golden::quantile(&cells, q).map(seconds);
        let edge = |place: usize| seconds(golden::bounds(place).1);
        let (low, high) = range::quantile(&cells, P99, ALPHA);
        Window {
            requests: self.requests,
            error_rate: if counts.all == 0 { 0.0 } else { counts.rate() },
            error_band: range::rate(counts, ALPHA),
            p50: at(0.5),
            p95: at(0.95),
            p99: at(P99),
            p99_band: (low.map(edge), high.map(edge)),
        }
    }
}

/// A window as it is kept: single precision is finer than any screen. No bound is NaN.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Small {
    pub(super) requests: u32,
    error_rate: f32,
    error_band: [f32; 2],
    /// Of 50, 95 and 99 in a hundred, then the band of the last.
    seconds: [f32; 5],
}

impl Small {
    pub(super) fn of(window: &Window) -> Self {
        let Window { p50, p95, p99, p99_band, error_band, .. } = window;
        let seconds = [*p50, *p95, *p99, p99_band.0, p99_band.1];
        Self {
            requests: u32::try_from(window.requests).unwrap_or(u32::MAX),
            error_rate: single(window.error_rate),
            error_band: [single(error_band.0), single(error_band.1)],
            seconds: seconds.map(|it| it.map_or(f32::NAN, single)),
        }
    }

    /// Of nothing: whatever the rate is, nobody knows.
    pub(super) fn empty() -> Self {
        Self::of(&Tally::default().window())
    }

    pub(super) fn window(&self) -> Window {
        let [p50, p95, p99, low, high] =
            self.seconds.map(|it| (!it.is_nan()).then(|| neat(it, MICRO)));
        let [error_low, error_high] = self.error_band.map(|it| neat(it, MICRO));
        Window {
            requests: self.requests.into(),
            error_rate: neat(self.error_rate, MICRO),
            error_band: (error_low, error_high),
            p50,
            p95,
            p99,
            p99_band: (low, high),
        }
    }
}

/// As it is kept.
#[expect(clippy::cast_possible_truncation, reason = "finer than any screen")]
pub(super) const fn single(value: f64) -> f32 {
    value as f32
}

/// As it is told: no more digits than somebody wants to read.
pub(super) fn neat(value: f32, parts: f64) -> f64 {
    (f64::from(value) * parts).round() / parts
}

fn seconds(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}

/// Parts of one that are told.
pub(super) const MICRO: f64 = 1e6;
pub(super) const MILLI: f64 = 1e3;
/// What lies outside of a band is as unlikely as this.
pub(super) const ALPHA: f64 = 0.05;
const P99: f64 = 0.99;
