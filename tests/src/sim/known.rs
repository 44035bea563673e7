//! What the bare formulas know of stable's past in a simulation; the judge itself keeps its own.

use gnomon_policy::judge::{
    bernoulli::{Block, Counts, level},
    numbers::real,
};

use super::errors::Tick;

/// Seconds between two new guesses (F2).
const GUESS: u64 = 30;

/// Seconds after which the past counts half.
const HALF_LIFE: f64 = 600.0;

/// What is known of stable's errors from the past alone (F2).
#[derive(Clone, Copy, Debug)]
pub struct Known {
    bad: f64,
    all: f64,
    level: i32,
    guess_at: u64,
    learnt_at: u64,
}

impl Known {
    /// From what was before a rollout.
    #[must_use]
    pub fn new(before: Counts) -> Self {
        let (bad, all) = (real(before.bad), real(before.all));
        Self { bad, all, level: level(bad, all), guess_at: GUESS, learnt_at: 0 }
    }

    /// The bet that may be made on these requests.
    #[must_use]
    pub const fn block(&self, tick: &Tick) -> Block {
        Block { weight: tick.weight, level: self.level, canary: tick.canary, stable: tick.stable }
    }

    /// What they tell, after the bet was made.
    pub fn learn(&mut self, tick: &Tick) {
        let fade = (-((tick.end - self.learnt_at) as f64) / HALF_LIFE).exp2();
        self.bad = self.bad * fade + real(tick.stable.bad);
        self.all = self.all * fade + real(tick.stable.all);
        self.learnt_at = tick.end;
        if tick.end >= self.guess_at {
            self.guess_at += GUESS;
            self.level = level(self.bad, self.all);
        }
    }
}
