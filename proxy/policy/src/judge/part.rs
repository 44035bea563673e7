//! One bet on one event, with the guess it is placed with.

use serde::{Deserialize, Serialize};

use super::{
    bernoulli::{Block, Boundary, Counts, Restarting, Side},
    cohort::{Cohort, Tally},
    event::{Arm, Event, values},
    fixed,
    kpi::{Betting, Stake, Toward},
    numbers::{UP, mixed, real},
    past::{Faded, HALF_LIFE, Thresholds, left},
};

/// Evidence from its logarithm; large, but always a number that can be written down.
#[must_use]
pub(super) fn evidence(log_e: f64) -> f64 {
    log_e.min(600.0).exp()
}

/// A bet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Part {
    /// That the canary has an event more often than allowed, or less often.
    Odds(Odds),
    /// That the canary's mean of a KPI is worse than allowed.
    Mean(Mean),
    /// That the canary has an event more often than a fixed bound.
    Bound(Bound),
}

impl Part {
    /// Places the bet on the requests of a second.
    pub(super) fn take(&mut self, cohort: &Cohort, thresholds: &Thresholds) {
        match self {
            Self::Odds(it) => it.take(cohort, thresholds),
            Self::Mean(it) => it.take(cohort),
            Self::Bound(it) => it.take(cohort, thresholds),
        }
    }

    /// Learns from stable's requests, after they were betted on.
    pub(super) fn learn(&mut self, stable: &Tally, thresholds: &Thresholds) {
        match self {
            Self::Odds(it) => it.learn(stable, thresholds),
            Self::Mean(it) => it.learn(stable),
            Self::Bound(_) => {}
        }
    }

    /// Lets time pass.
    pub(super) fn fade(&mut self, seconds: u64) {
        match self {
            Self::Odds(it) => it.past.fade(left(seconds, HALF_LIFE)),
            Self::Mean(it) => it.past.fade(left(seconds, HALF_LIFE)),
            Self::Bound(_) => {}
        }
    }

    /// Takes the guess that the past suggests.
    pub(super) fn guess(&mut self) {
        match self {
            Self::Odds(it) => it.level = it.past.level(),
            Self::Mean(it) => it.mean = it.guess(),
            Self::Bound(_) => {}
        }
    }

    /// One more gambler begins.
    pub(super) fn restart(&mut self) {
        if let Self::Odds(it) = self {
            it.wealth.restart();
        }
    }

    /// All that the bet won.
    pub(super) fn won(&self) -> f64 {
        match self {
            Self::Odds(it) => evidence(it.wealth.log_e()),
            Self::Mean(it) => evidence(it.betting.log_e()),
            Self::Bound(it) => evidence(mixed(&UP, &it.logs)),
        }
    }

    /// The evidence against the canary: none where stable breaks the same bound. To make evidence
    /// smaller is always right.
    pub(super) fn e(&self) -> f64 {
        if self.stable_breaks_it() { self.won().min(1.0) } else { self.won() }
    }

    /// The evidence, as it may be acted on: none while it rests on too few bad events.
    pub(super) fn guarded(&self) -> f64 {
        let guard = match self {
            Self::Odds(it) => it.guard,
            Self::Mean(it) => it.guard,
            Self::Bound(it) => it.guard,
        };
        if guard.is_firm() { self.e() } else { self.e().min(1.0) }
    }

    /// Whether it is a bound that stable breaks as well.
    #[must_use]
    pub(super) fn stable_breaks_it(&self) -> bool {
        matches!(self, Self::Bound(it) if it.stable_breaks_it())
    }
}

/// How many bad events of the canary there were, and in how many seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Guard {
    events: u64,
    seconds: u64,
}

impl Guard {
    const fn count(&mut self, events: u64) {
        self.events += events;
        self.seconds += (events > 0) as u64;
    }

    const fn is_firm(self) -> bool {
        self.events >= 5 && self.seconds >= 2
    }
}

/// [`Part::Odds`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Odds {
    event: Event,
    wealth: Restarting,
    past: Faded,
    level: i32,
    guard: Guard,
}

impl Odds {
    /// A bet that the canary has the event more often than allowed, or, with
    /// [`Side::NotWorse`], less often. `past`: what is known of stable, or supposed.
    #[must_use]
    pub(super) fn new(event: Event, boundary: Boundary, side: Side, past: Faded) -> Self {
        let wealth = Restarting::new(boundary, side);
        Self { event, wealth, past, level: past.level(), guard: Guard::default() }
    }

    fn take(&mut self, cohort: &Cohort, thresholds: &Thresholds) {
        if let Some((canary, stable)) = counts(self.event, cohort, thresholds) {
            self.wealth.take(&Block { weight: cohort.weight, level: self.level, canary, stable });
            self.guard.count(match self.wealth.claim().side() {
                Side::Worse => canary.bad,
                Side::NotWorse => canary.all - canary.bad,
            });
        }
    }

    fn learn(&mut self, stable: &Tally, thresholds: &Thresholds) {
        if let Some(counts) = self.event.count(stable, Arm::Stable, thresholds) {
            self.past.add(counts);
        }
    }
}

/// How many of the canary's and of stable's requests have an event.
pub(super) fn counts(
    event: Event,
    cohort: &Cohort,
    thresholds: &Thresholds,
) -> Option<(Counts, Counts)> {
    let canary = event.count(&cohort.canary, Arm::Canary, thresholds)?;
    Some((canary, event.count(&cohort.stable, Arm::Stable, thresholds)?))
}

/// [`Part::Mean`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Mean {
    kpi: usize,
    betting: Betting,
    past: Faded,
    mean: f64,
    guard: Guard,
}

impl Mean {
    /// A bet on the KPI of this index.
    #[must_use]
    pub(super) fn new(kpi: usize, boundary: Boundary, toward: Toward) -> Self {
        let betting = Betting::new(boundary, toward);
        Self { kpi, betting, past: Faded::default(), mean: 0.5, guard: Guard::default() }
    }

    fn take(&mut self, cohort: &Cohort) {
        let stake = Stake { weight: cohort.weight, mean: self.mean };
        for (tally, to_canary) in [(&cohort.canary, true), (&cohort.stable, false)] {
            for (value, count) in values(tally, self.kpi) {
                self.betting.take(stake, to_canary, value, count);
            }
        }
        self.guard.count(cohort.canary.assigned);
    }

    fn learn(&mut self, stable: &Tally) {
        for (value, count) in values(stable, self.kpi) {
            self.past.bad += value * real(count);
            self.past.all += real(count);
        }
    }

    fn guess(&self) -> f64 {
        (self.past.bad + 0.5) / (self.past.all + 1.0)
    }
}

/// [`Part::Bound`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Bound {
    event: Event,
    bound: f64,
    logs: Vec<f64>,
    /// Stable's requests, as many of each second as the canary was to get: what its users would
    /// have met without it.
    instead: Faded,
    guard: Guard,
}

impl Bound {
    /// A bet that the canary has the event more often than `bound`.
    #[must_use]
    pub(super) fn new(event: Event, bound: f64) -> Self {
        let (logs, instead) = (vec![0.0; UP.len()], Faded::default());
        Self { event, bound, logs, instead, guard: Guard::default() }
    }

    fn take(&mut self, cohort: &Cohort, thresholds: &Thresholds) {
        if let Some((canary, stable)) = counts(self.event, cohort, thresholds) {
            fixed::add(canary, self.bound, Side::Worse, &mut self.logs);
            let scale = cohort.weight / (1.0 - cohort.weight);
            self.instead.bad += real(stable.bad) * scale;
            self.instead.all += real(stable.all) * scale;
            self.guard.count(canary.bad);
        }
    }

    fn stable_breaks_it(&self) -> bool {
        self.instead.rate() > self.bound
    }
}
