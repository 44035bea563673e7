//! Bad events of two versions: a gambler's wealth against the claim that the canary is no worse.
//!
//! Every request that a coin sent to one of the versions is a bet at odds that are fair, whatever
//! stable's own chance of a bad event is at that moment. So outages, load and mixtures of traffic
//! that befall both versions cancel.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::numbers::{DOWN, Grid, UP, halve, log_add, log_sum, mixed, real};

/// The canary's chance of a bad event that is just allowed: `q(p) = ratio * p + points` where
/// stable's is `p`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Boundary {
    /// ρ: 1.25 is a quarter more than stable.
    pub ratio: f64,
    /// δ: 0.0001 is one more in ten thousand requests.
    pub points: f64,
}

impl Boundary {
    /// As bad as stable.
    pub const EQUAL: Self = Self { ratio: 1.0, points: 0.0 };

    /// What is just allowed where stable's chance is `stable`.
    #[must_use]
    pub fn at(self, stable: f64) -> f64 {
        self.ratio * stable + self.points
    }

    /// Whether there is room left on both sides of it (F2: beyond 0.98 nothing is betted).
    #[must_use]
    pub fn has_room(self, stable: f64) -> bool {
        self.at(stable) > 0.0 && self.at(stable) <= 0.98
    }
}

/// Which claim is betted against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Against "it is no worse than the boundary": wealth means worse.
    Worse,
    /// Against "it is as bad as the boundary or worse": wealth means not worse.
    NotWorse,
}

impl Side {
    /// Its alternatives.
    #[must_use]
    pub const fn grid(self) -> &'static Grid {
        match self {
            Self::Worse => &UP,
            Self::NotWorse => &DOWN,
        }
    }
}

/// Some requests of one version, and those among them with a bad event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// With a bad event.
    pub bad: u64,
    /// All of them; at least `bad`.
    pub all: u64,
}

impl Counts {
    /// Share of bad ones; 0 of nothing.
    #[must_use]
    pub fn rate(self) -> f64 {
        super::numbers::ratio(self.bad, self.all)
    }

    /// Counts these as well.
    pub const fn add(&mut self, more: Self) {
        self.bad += more.bad;
        self.all += more.all;
    }
}

/// Requests under one probability of the canary and one guess of stable's chance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block {
    /// Probability that one of them went to the canary.
    pub weight: f64,
    /// Guess of stable's chance from the past alone: [`level`].
    pub level: i32,
    /// Those that did.
    pub canary: Counts,
    /// Those that did not.
    pub stable: Counts,
}

/// What one request does to the logarithm of wealth, by where it went and how it ended (F1).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gains {
    /// `ln(c/q*)`
    pub canary_bad: f64,
    /// `ln((1-c)/(1-q*))`
    pub canary_good: f64,
    /// `ln(b/p*)`
    pub stable_bad: f64,
    /// `ln((1-b)/(1-p*))`
    pub stable_good: f64,
}

/// F1: the point (p*, q*) of the boundary that is closest to the alternative in which stable fails
/// with chance `b` and the canary with chance `c`.
///
/// `p* = argmin w·KL(c || q(p)) + (1-w)·KL(b || p)`, `q* = ρp* + δ`: the reverse information
/// projection of Turner, Ly and Grünwald (2106.02693) for one randomised request and a margin.
#[must_use]
pub fn projection(weight: f64, boundary: Boundary, b: f64, c: f64) -> (f64, f64) {
    let Boundary { ratio, points } = boundary;
    let other = (c - points) / ratio;
    let low = b.min(other).max(0.0);
    let high = b.max(other).min(1.0).min((1.0 - points) / ratio);
    let slope = |p: f64| {
        let q = boundary.at(p);
        weight * ratio * (q - c) * p * (1.0 - p) + (1.0 - weight) * (p - b) * q * (1.0 - q)
    };
    let p = halve(low, high, |p| slope(p) >= 0.0);
    (p, boundary.at(p))
}

/// F1: the logarithms of the factors on wealth for the alternative (`b`, `c`).
///
/// Their expected factor is 1 everywhere on the boundary and less inside the claim, since it is
/// linear in stable's chance and level at p*.
#[must_use]
pub fn gains(weight: f64, boundary: Boundary, b: f64, c: f64) -> Gains {
    let (p, q) = projection(weight, boundary, b, c);
    Gains {
        canary_bad: (c / q).ln(),
        canary_good: ((1.0 - c) / (1.0 - q)).ln(),
        stable_bad: (b / p).ln(),
        stable_good: ((1.0 - b) / (1.0 - p)).ln(),
    }
}

/// F2: the guess `(bad + ½)/(all + 1)`, within [1e-7, 0.95], as eighths of a power of two. The
/// counts may be faded, so they need not be whole.
#[must_use]
pub fn level(bad: f64, all: f64) -> i32 {
    let guess = ((bad + 0.5) / (all + 1.0)).clamp(1e-7, 0.95);
    #[expect(clippy::cast_possible_truncation, reason = "between -187 and 0")]
    let eighths = (8.0 * guess.log2()).round_ties_even() as i32;
    eighths
}

/// F2: the chance that a level stands for, `2^(level/8)`.
#[must_use]
pub fn chance(level: i32) -> f64 {
    (f64::from(level) / 8.0).exp2()
}

/// F2: the canary's chance under an alternative: `odds(c) = factor * odds(q(b))`.
#[must_use]
pub fn alternative(boundary: Boundary, b: f64, factor: f64) -> f64 {
    let q = boundary.at(b);
    let odds = q / (1.0 - q) * factor;
    odds / (1.0 + odds)
}

/// One claim, and the gains of its alternatives for the weights and levels met so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claim {
    boundary: Boundary,
    side: Side,
    #[serde(skip)]
    known: BTreeMap<(u64, i32), Arc<[Gains]>>,
}

impl PartialEq for Claim {
    fn eq(&self, other: &Self) -> bool {
        (self.boundary, self.side) == (other.boundary, other.side)
    }
}

impl Claim {
    /// The claim that `side` bets against.
    #[must_use]
    pub const fn new(boundary: Boundary, side: Side) -> Self {
        Self { boundary, side, known: BTreeMap::new() }
    }

    /// The boundary.
    #[must_use]
    pub const fn boundary(&self) -> Boundary {
        self.boundary
    }

    /// The side.
    #[must_use]
    pub const fn side(&self) -> Side {
        self.side
    }

    /// F3: adds to `logs` what the requests of a block do to the wealth of each alternative.
    pub fn add(&mut self, block: &Block, logs: &mut [f64]) {
        if !self.boundary.has_room(chance(block.level)) {
            return;
        }
        let cells = [
            real(block.canary.bad),
            real(block.canary.all - block.canary.bad),
            real(block.stable.bad),
            real(block.stable.all - block.stable.bad),
        ];
        for (log, gains) in logs.iter_mut().zip(self.gains(block.weight, block.level).iter()) {
            *log += cells[0] * gains.canary_bad
                + cells[1] * gains.canary_good
                + cells[2] * gains.stable_bad
                + cells[3] * gains.stable_good;
        }
    }

    fn gains(&mut self, weight: f64, level: i32) -> Arc<[Gains]> {
        let key = (weight.to_bits(), level);
        if let Some(known) = self.known.get(&key) {
            return Arc::clone(known);
        }
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        let b = chance(level);
        let of = |(factor, _): &(f64, f64)| {
            gains(weight, self.boundary, b, alternative(self.boundary, b, *factor))
        };
        let all: Arc<[Gains]> = self.side.grid().iter().map(of).collect();
        self.known.insert(key, Arc::clone(&all));
        all
    }
}

/// Gains of so many weights and levels are kept per claim.
const REMEMBERED: usize = 64;

/// F3: wealth against a claim from the first request on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wealth {
    claim: Claim,
    logs: Vec<f64>,
}

impl Wealth {
    /// The stake.
    #[must_use]
    pub fn new(boundary: Boundary, side: Side) -> Self {
        Self { claim: Claim::new(boundary, side), logs: vec![0.0; side.grid().len()] }
    }

    /// Bets on the requests of a block.
    pub fn take(&mut self, block: &Block) {
        self.claim.add(block, &mut self.logs);
    }

    /// Natural logarithm of the wealth: `LSE_j(ln π_j + L_j)`.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        mixed(self.claim.side.grid(), &self.logs)
    }

    /// What it bets against.
    #[must_use]
    pub const fn claim(&self) -> &Claim {
        &self.claim
    }
}

/// F4: wealth against a claim of gamblers who begin one after the other.
///
/// Half the stake is for the start, `½/(k(k+1))` for the k-th restart. So a regression that begins
/// in minute m costs `ln(2m(m+1))` rather than all the good evidence from before. The recursion is
/// that of e-detectors (Shin, Ramdas and Rinaldo, 2203.03532), with a prior over the starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Restarting {
    claim: Claim,
    logs: Vec<f64>,
    restarts: u64,
}

impl Restarting {
    /// The stake.
    #[must_use]
    pub fn new(boundary: Boundary, side: Side) -> Self {
        let logs = vec![0.5_f64.ln(); side.grid().len()];
        Self { claim: Claim::new(boundary, side), logs, restarts: 0 }
    }

    /// One more gambler begins.
    pub fn restart(&mut self) {
        self.restarts += 1;
        let stake = 0.5 / (real(self.restarts) * real(self.restarts + 1));
        for log in &mut self.logs {
            *log = log_add(*log, stake.ln());
        }
    }

    /// Bets on the requests of a block.
    pub fn take(&mut self, block: &Block) {
        self.claim.add(block, &mut self.logs);
    }

    /// Natural logarithm of the wealth, with the stakes of those who have not begun.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        let waiting = (0.5 / real(self.restarts + 1)).ln();
        log_sum([mixed(self.claim.side.grid(), &self.logs), waiting])
    }

    /// How often it has restarted.
    #[must_use]
    pub const fn restarts(&self) -> u64 {
        self.restarts
    }

    /// What it bets against.
    #[must_use]
    pub const fn claim(&self) -> &Claim {
        &self.claim
    }
}
