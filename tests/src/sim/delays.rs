//! Versions that fail alike, but not equally fast: why requests are counted by when they were
//! assigned, and not by when they ended.

use std::collections::VecDeque;

use gnomon_policy::judge::bernoulli::Counts;

use super::{
    BEFORE,
    draw::Draws,
    errors::Tick,
    rules::{Rule, Strict},
};

/// Chance of an error of either version.
const CHANCE: f64 = 0.005;

/// Seconds that are watched.
const WATCHED: u64 = 600;

/// When a request is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As soon as it has ended.
    Completion,
    /// With all that were assigned in the same second, when all of them have ended.
    Assignment,
}

/// One rollout at even weights in which the canary fails at once and stable after `delay` seconds
/// on average: the second at which it would be rolled back, wrongly.
#[must_use]
pub fn run(rate: f64, delay: f64, order: Order, seed: u64) -> Option<f64> {
    let mut draws = Draws::seeded(seed);
    let all = draws.poisson(rate * BEFORE);
    let mut rule = Strict::new(Counts { bad: draws.binomial(all, CHANCE), all }, 0.05);
    let mut waiting = Waiting::default();
    for second in 0..WATCHED {
        waiting.assign(&mut draws, rate, delay);
        let ready = match order {
            Order::Completion => vec![waiting.completed(second)],
            Order::Assignment => waiting.settled(second),
        };
        for (canary, stable) in ready {
            if rule.sees(&Tick { end: second + 1, weight: 0.5, canary, stable }) {
                return Some((second + 1) as f64);
            }
        }
    }
    None
}

/// The requests of one second.
struct Cohort {
    canary: Counts,
    /// Those of stable that went well.
    good: u64,
    /// Seconds from the assignment to the end of those that did not.
    late: Vec<f64>,
    second: u64,
}

#[derive(Default)]
struct Waiting {
    cohorts: VecDeque<Cohort>,
    second: u64,
}

impl Waiting {
    fn assign(&mut self, draws: &mut Draws, rate: f64, delay: f64) {
        let all = draws.poisson(rate);
        let to_canary = draws.binomial(all, 0.5);
        let canary = Counts { bad: draws.binomial(to_canary, CHANCE), all: to_canary };
        let bad = draws.binomial(all - to_canary, CHANCE);
        let late = (0..bad).map(|_| draws.share() + draws.exponential(delay)).collect();
        let good = all - to_canary - bad;
        self.cohorts.push_back(Cohort { canary, good, late, second: self.second });
        self.second += 1;
    }

    /// What ended in this second, whenever it was assigned.
    fn completed(&mut self, second: u64) -> (Counts, Counts) {
        let (mut canary, mut stable) = (Counts::default(), Counts::default());
        for cohort in &mut self.cohorts {
            if cohort.second == second {
                canary.add(cohort.canary);
                stable.add(Counts { bad: 0, all: cohort.good });
            }
            let age = (second + 1 - cohort.second) as f64;
            let before = cohort.late.len();
            cohort.late.retain(|late| *late > age);
            let ended = (before - cohort.late.len()) as u64;
            stable.add(Counts { bad: ended, all: ended });
        }
        self.cohorts.retain(|cohort| !cohort.late.is_empty());
        (canary, stable)
    }

    /// The seconds all of whose requests have ended, in order.
    fn settled(&mut self, second: u64) -> Vec<(Counts, Counts)> {
        let mut ready = Vec::new();
        while let Some(cohort) = self.cohorts.front() {
            let age = (second + 1 - cohort.second) as f64;
            if cohort.late.iter().any(|late| *late > age) {
                break;
            }
            let bad = cohort.late.len() as u64;
            ready.push((cohort.canary, Counts { bad, all: cohort.good + bad }));
            self.cohorts.pop_front();
        }
        ready
    }
}
