//! Rollouts that advance when the judge says so: when they reach everybody, or are rolled back.

use gnomon_policy::judge::{Verdict, bernoulli::Counts};

use super::{
    TICK, WEIGHTS,
    errors::{Case, Rollout},
    judged::{ERRORS, Judged},
};

/// Harm to all traffic that may go unseen at every exit: 0.05 points, the default.
pub const RISK: f64 = 0.0005;

/// A step lasts at least so many seconds.
const BAKE: u64 = 30;

/// How a rollout ended, with the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All traffic went to the canary.
    Promoted(u64),
    /// None did any more.
    RolledBack(u64),
    /// Neither, in the time there was.
    Undecided,
}

impl End {
    /// The second, if it was promoted.
    #[must_use]
    pub fn promoted(self) -> Option<f64> {
        if let Self::Promoted(second) = self { Some(second as f64) } else { None }
    }

    /// The second, if it was rolled back.
    #[must_use]
    pub fn rolled_back(self) -> Option<f64> {
        if let Self::RolledBack(second) = self { Some(second as f64) } else { None }
    }
}

/// Seconds that a rollout is given at a rate.
#[must_use]
pub fn limit(rate: f64) -> u64 {
    match rate {
        ..100.0 => 6 * 3600,
        ..1000.0 => 2 * 3600,
        _ => 1800,
    }
}

/// What each step must prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Margins {
    /// The less harm, the more users are next (F19).
    Graduated,
    /// The last step's margin at once.
    Same,
}

impl Margins {
    /// Weights that have these margins.
    const fn weights(self) -> [f64; 4] {
        match self {
            Self::Graduated => WEIGHTS,
            Self::Same => [1.0; 4],
        }
    }
}

/// Lets one canary advance.
#[must_use]
pub fn run(case: Case, margins: Margins, seed: u64) -> End {
    let mut rollout = Rollout::new(case, seed);
    let mut judged = judged(margins, rollout.before);
    let (mut step, mut since, mut start) = (0, 0, 0);
    while start < limit(case.rate) {
        let tick = rollout.tick(start, TICK, WEIGHTS[step]);
        start = tick.end;
        judged.take_errors(&tick);
        match judged.verdict(step) {
            Verdict::Rollback { .. } => return End::RolledBack(start),
            Verdict::Advance if start - since >= BAKE => (step, since) = (step + 1, start),
            Verdict::Advance | Verdict::Hold { .. } | Verdict::NotProven { .. } => {}
        }
        if step == WEIGHTS.len() {
            return End::Promoted(start);
        }
    }
    End::Undecided
}

fn judged(margins: Margins, before: Counts) -> Judged {
    Judged::new(&ERRORS, &margins.weights(), super::judged::of_counts(before))
}
