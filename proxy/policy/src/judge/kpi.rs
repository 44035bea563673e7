//! Values within [0, 1] of two versions: bets on each against "the canary's mean is no worse" (F12).

use serde::{Deserialize, Serialize};

use super::{
    bernoulli::Boundary,
    numbers::{log_sum, real},
};

/// Which mean of the canary's the claim excludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Toward {
    /// Wealth means that it is below `ratio * stable - points`.
    Lower,
    /// Wealth means that it is above `ratio * stable + points`.
    Higher,
}

/// F12: wealth of bets `1 + κ·λ_max·Z` (Waudby-Smith and Ramdas; the inverse weights of
/// 2210.10768). `Z = ρ(y-m)/(1-w)` for stable and `-(y-m_C)/w` for the canary where lower is worse,
/// the opposite where higher is, with any guess `m` of stable's mean from the past and
/// `m_C = ρm ∓ δ`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Betting {
    boundary: Boundary,
    toward: Toward,
    logs: [f64; KAPPA.len()],
}

/// What is betted at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stake {
    /// Probability of the canary.
    pub weight: f64,
    /// Guess of stable's mean from the past alone.
    pub mean: f64,
}

impl Betting {
    /// The stake.
    #[must_use]
    pub const fn new(boundary: Boundary, toward: Toward) -> Self {
        Self { boundary, toward, logs: [0.0; KAPPA.len()] }
    }

    /// The canary's mean that is just allowed where stable's is `mean`.
    #[must_use]
    pub fn allowed(&self, mean: f64) -> f64 {
        match self.toward {
            Toward::Lower => self.boundary.ratio * mean - self.boundary.points,
            Toward::Higher => self.boundary.ratio * mean + self.boundary.points,
        }
    }

    /// λ_max: the largest bet that can never lose all.
    #[must_use]
    pub fn largest(&self, stake: Stake) -> f64 {
        let Stake { weight, mean } = stake;
        let (ratio, allowed) = (self.boundary.ratio, self.allowed(mean));
        let most = match self.toward {
            Toward::Lower => (ratio * mean / (1.0 - weight)).max((1.0 - allowed) / weight),
            Toward::Higher => (allowed / weight).max(ratio * (1.0 - mean) / (1.0 - weight)),
        };
        1.0 / most
    }

    /// Bets on `count` requests to the canary, or to stable, with this value.
    ///
    /// Nothing is betted where the allowed mean is no possible one.
    pub fn take(&mut self, stake: Stake, to_canary: bool, value: f64, count: u64) {
        let allowed = self.allowed(stake.mean);
        if !(0.0..=1.0).contains(&allowed) {
            return;
        }
        let lower = if to_canary {
            -(value - allowed) / stake.weight
        } else {
            self.boundary.ratio * (value - stake.mean) / (1.0 - stake.weight)
        };
        let gain = match self.toward {
            Toward::Lower => lower,
            Toward::Higher => -lower,
        };
        let bet = self.largest(stake) * gain;
        for (log, share) in self.logs.iter_mut().zip(KAPPA) {
            *log += real(count) * (share * bet).ln_1p();
        }
    }

    /// Natural logarithm of the wealth.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        log_sum(self.logs) - 9.0_f64.ln()
    }
}

/// Shares of the largest bet.
const KAPPA: [f64; 9] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.45, 0.65, 0.9];
