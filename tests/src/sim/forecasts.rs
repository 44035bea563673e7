//! Forecasts (F14) held against what then happens.

use gnomon_policy::judge::{
    bernoulli::{Boundary, Side},
    forecast::{self, Assumption, POWER_80},
};

use super::{
    BASE, MARGIN, STEP, WEIGHTS,
    errors::{Case, Rollout},
    judged::{ERRORS, Judged},
    rules::{Rule, Strict},
    runs::{Spoken, repeat},
};

/// What the forecast is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// F3 at this alpha, with neither margin nor restarts.
    Strict(f64),
    /// The judge's default.
    Default,
}

/// The seconds in which four of five canaries of this kind should be found.
#[must_use]
pub fn seconds(rate: f64, factor: f64, kind: Kind) -> Option<f64> {
    let (boundary, alpha, stake) = match kind {
        Kind::Strict(alpha) => (Boundary::EQUAL, alpha, 1.0),
        Kind::Default => (MARGIN, 0.01, 0.5),
    };
    let assumed = Assumption {
        rate,
        stable: BASE,
        canary: BASE * factor,
        boundary,
        side: Side::Worse,
        alpha,
        luck: POWER_80,
        stake,
    };
    forecast::seconds(&WEIGHTS.map(|weight| (weight, STEP as f64)), &assumed)
}

/// The share of canaries that are found within `forecast` seconds, looking every second.
#[must_use]
pub fn met(rate: f64, factor: f64, kind: Kind, forecast: f64, runs: u64) -> f64 {
    let one = |seed| {
        let mut rollout = Rollout::new(Case::times(rate, factor), seed);
        let mut rule: Box<dyn Rule> = match kind {
            Kind::Strict(alpha) => Box::new(Strict::new(rollout.before, alpha)),
            Kind::Default => Box::new(Judged::of_errors(&ERRORS, rollout.before)),
        };
        let mut start = 0;
        loop {
            let tick = rollout.tick(start, 1, super::weight(start));
            start = tick.end;
            if start as f64 > forecast {
                return None;
            }
            if rule.sees(&tick) {
                return Some(start as f64);
            }
        }
    };
    Spoken::new(repeat(&format!("forecast {rate} {factor} {kind:?}"), runs, one)).share()
}
