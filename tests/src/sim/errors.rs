//! Errors of two versions, look by look.

use gnomon_policy::judge::bernoulli::{Boundary, Counts};

use super::{BASE, BEFORE, TICK, WATCHED, draw::Draws, weather::Weather};

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Requests per second.
    pub rate: f64,
    /// The canary's chance of an error, given stable's.
    pub canary: Boundary,
    /// Seconds after the start from which on it is that; stable's before.
    pub onset: u64,
    /// Whether incidents befall both versions.
    pub rough: bool,
}

impl Case {
    /// A canary with `factor` times stable's errors from the start, in calm weather.
    #[must_use]
    pub const fn times(rate: f64, factor: f64) -> Self {
        let canary = Boundary { ratio: factor, points: 0.0 };
        Self { rate, canary, onset: 0, rough: false }
    }

    /// In rough weather.
    #[must_use]
    pub const fn in_rough_weather(self) -> Self {
        Self { rough: true, ..self }
    }

    /// Bad only from `onset` seconds on.
    #[must_use]
    pub const fn from(self, onset: u64) -> Self {
        Self { onset, ..self }
    }

    /// With this chance of an error.
    #[must_use]
    pub const fn with(self, canary: Boundary) -> Self {
        Self { canary, ..self }
    }
}

/// The requests between two looks.
#[derive(Clone, Copy, Debug)]
pub struct Tick {
    /// Seconds from the start of the rollout to the look.
    pub end: u64,
    /// Probability that a request went to the canary.
    pub weight: f64,
    /// Those that did, with errors.
    pub canary: Counts,
    /// Those that did not.
    pub stable: Counts,
}

/// A rollout that is being simulated.
#[derive(Debug)]
pub struct Rollout {
    case: Case,
    draws: Draws,
    weather: Weather,
    /// Stable's requests in the ten minutes before.
    pub before: Counts,
}

impl Rollout {
    /// The one of this seed.
    #[must_use]
    pub fn new(case: Case, seed: u64) -> Self {
        let mut draws = Draws::seeded(seed);
        let weather = if case.rough { Weather::rough(&mut draws) } else { Weather::calm() };
        let all = draws.poisson(case.rate * BEFORE);
        let before = Counts { bad: draws.binomial(all, BASE), all };
        Self { case, draws, weather, before }
    }

    /// The requests of the `lasts` seconds that begin `start` seconds after the rollout did.
    pub fn tick(&mut self, start: u64, lasts: u64, weight: f64) -> Tick {
        let minute = self.weather.at(start);
        let stable = (BASE * minute.errors).min(1.0);
        let canary = if start < self.case.onset { stable } else { self.case.canary.at(stable) };
        let all = self.draws.poisson(self.case.rate * minute.load * lasts as f64);
        let to_canary = self.draws.binomial(all, weight);
        let mut counts =
            |all, chance: f64| Counts { bad: self.draws.binomial(all, chance.min(1.0)), all };
        let canary = counts(to_canary, canary);
        let stable = counts(all - to_canary, stable);
        Tick { end: start + lasts, weight, canary, stable }
    }

    /// Every look of a rollout that is watched to the end.
    pub fn ticks(&mut self) -> Vec<Tick> {
        let tick = |number: u64| {
            let start = number * TICK;
            self.tick(start, TICK, super::weight(start))
        };
        (0..WATCHED / TICK).map(tick).collect()
    }
}
