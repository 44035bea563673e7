//! Simulated rollouts: what the judge and other rules would have done, thousands of times.
//!
//! Everything is drawn from a seed, so a surprise can be repeated. The settings are those under
//! which the judge was designed: stable fails once in a thousand requests, arrivals are Poisson,
//! looked at every five seconds, and the canary gets 1, 5, 25 and 50 % for ten minutes each.

pub mod cases;
pub mod delays;
pub mod draw;
pub mod errors;
pub mod forecasts;
pub mod judged;
pub mod known;
pub mod promotion;
pub mod rules;
pub mod runs;
pub mod slow_rules;
pub mod times;
pub mod users;
pub mod weather;

use gnomon_policy::judge::bernoulli::Boundary;

/// What the canary is allowed in errors by default.
pub const MARGIN: Boundary = Boundary { ratio: 1.25, points: 0.0001 };

/// Stable's chance that a request fails.
pub const BASE: f64 = 0.001;

/// Seconds between two looks.
pub const TICK: u64 = 5;

/// Seconds of stable's past that are known when a rollout begins.
pub const BEFORE: f64 = 600.0;

/// How long a simulated rollout is watched, in seconds.
pub const WATCHED: u64 = 2400;

/// How long each weight lasts, in seconds.
pub const STEP: u64 = 600;

/// Probability that a request goes to the canary, by step.
pub const WEIGHTS: [f64; 4] = [0.01, 0.05, 0.25, 0.5];

/// Requests per second that rollouts are simulated at.
pub const RATES: [f64; 3] = [50.0, 500.0, 5000.0];

/// The weight that is in force `second` seconds after the start; the last one stays.
#[must_use]
pub fn weight(second: u64) -> f64 {
    let step = usize::try_from(second / STEP).unwrap_or(usize::MAX);
    WEIGHTS[step.min(WEIGHTS.len() - 1)]
}
