//! Whether stable breaks its own level: then whatever befalls is not the canary's.

use serde::{Deserialize, Serialize};

use super::{
    bernoulli::{Counts, Side},
    event::Event,
    fixed,
    numbers::{UP, mixed, real},
    past::{Faded, HALF_LIFE, left},
};

/// An event of stable against twice its own usual rate, forgetting what went well (F13; a floor
/// at nothing makes it an e-detector).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Watch {
    event: Event,
    usual: Faded,
    logs: Vec<f64>,
    canary: Faded,
    stable: Faded,
}

/// Evidence that stable has left its level: once in so many seconds by chance, at twice its level.
const DEGRADED: f64 = 1000.0;
/// Evidence that is kept: how fast an end of it is seen.
const KEPT: f64 = 1e5;
/// Points above twice the usual rate.
const SLACK: f64 = 0.001;
/// Requests before there is a usual rate.
const ENOUGH: f64 = 100.0;
/// Bad events that may as well have been seen (the rule of three).
const UNSEEN: f64 = 3.0;
/// How many times as slowly an incident becomes usual.
const SLOWLY: f64 = 6.0;
/// Seconds in which what is shown as present halves.
const PRESENT: f64 = 5.0;

impl Watch {
    /// Of an event that stable has with about this chance, if that is known.
    #[must_use]
    pub(super) fn new(event: Event, usual: Faded) -> Self {
        let logs = vec![0.0; UP.len()];
        Self { event, usual, logs, canary: Faded::default(), stable: Faded::default() }
    }

    /// The event.
    #[must_use]
    pub(super) const fn event(&self) -> Event {
        self.event
    }

    /// Lets time pass.
    pub(super) fn fade(&mut self, seconds: u64) {
        let slowness = if self.is_degraded() { SLOWLY } else { 1.0 };
        self.usual.fade(left(seconds, HALF_LIFE * slowness));
        self.canary.fade(left(seconds, PRESENT));
        self.stable.fade(left(seconds, PRESENT));
    }

    /// Looks at a second.
    pub(super) fn take(&mut self, canary: Counts, stable: Counts) {
        self.canary.add(canary);
        self.stable.add(stable);
        if self.usual.all >= ENOUGH {
            let bound = (2.0 * (self.usual.bad + UNSEEN) / self.usual.all + SLACK).min(0.9);
            fixed::add(stable, bound, Side::Worse, &mut self.logs);
            for log in &mut self.logs {
                *log = log.clamp(0.0, KEPT.ln());
            }
        }
        let slowness = if self.is_degraded() { SLOWLY } else { 1.0 };
        self.usual.bad += real(stable.bad) / slowness;
        self.usual.all += real(stable.all) / slowness;
    }

    /// Whether stable is above its level.
    #[must_use]
    pub(super) fn is_degraded(&self) -> bool {
        mixed(&UP, &self.logs) >= DEGRADED.ln()
    }

    /// Present shares of canary and stable with the event.
    #[must_use]
    pub(super) fn present(&self) -> (f64, f64) {
        (self.canary.rate(), self.stable.rate())
    }

    /// Stable's usual share.
    #[must_use]
    pub(super) fn usual(&self) -> f64 {
        self.usual.rate()
    }
}
