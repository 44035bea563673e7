//! Users who stay with their version: why they are counted once, and not request by request.

use gnomon_policy::judge::{bernoulli::Counts, margin::first_exposure};

use super::{
    STEP, TICK, WATCHED, WEIGHTS,
    draw::Draws,
    errors::Tick,
    rules::{Rule, Strict},
};

/// Who the users are.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// How unequally active they are: σ of a lognormal distribution.
    pub sigma: f64,
    /// Share of them whose requests fail often, with either version.
    pub unlucky: f64,
    /// How often.
    pub chance: f64,
    /// By how much the canary makes everybody's requests fail more often.
    pub harm: f64,
}

/// Some users are unlucky.
pub const UNEVEN: Crowd = Crowd { sigma: 1.5, unlucky: 0.005, chance: 0.2, harm: 0.0 };

/// Few users ask most, and some of those are very unlucky.
pub const HEAVY: Crowd = Crowd { sigma: 2.3, unlucky: 0.002, chance: 0.5, harm: 0.0 };

/// The canary fails three times as often.
pub const HARMED: Crowd = Crowd { harm: 0.002, ..UNEVEN };

/// What goes to the canary, and what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Users stay with a version; each request is counted.
    StickyRequests,
    /// A coin is tossed for each request.
    Requests,
    /// Users stay with a version; each is counted once per step, if new to the canary.
    StickyUsers,
}

const USERS: u64 = 20_000;
const RATE: f64 = 50.0;

/// A user who fails within so many seconds of being first seen in a step is a bad one.
const SEEN: u64 = 60;

/// One rollout: the second at which it would be rolled back.
#[must_use]
pub fn run(crowd: Crowd, count: Count, seed: u64) -> Option<f64> {
    let mut draws = Draws::seeded(seed);
    let users = Users::new(crowd, &mut draws);
    if count == Count::StickyUsers {
        return users.by_user(&mut draws);
    }
    let before = users.before(&mut draws);
    let mut rule = Strict::new(before, 0.05);
    (0..WATCHED / TICK).find_map(|number| {
        let start = number * TICK;
        let tick = users.requests(&mut draws, start, count);
        rule.sees(&tick).then_some((start + TICK) as f64)
    })
}

struct Users {
    crowd: Crowd,
    /// Of this user and all before: activity.
    upto: Vec<f64>,
    /// Where each hashes to; below the weight is the canary's.
    places: Vec<f64>,
    are_unlucky: Vec<bool>,
}

impl Users {
    fn new(crowd: Crowd, draws: &mut Draws) -> Self {
        let mut sum = 0.0;
        let mut more = |draws: &mut Draws| {
            sum += (crowd.sigma * draws.normal()).exp();
            sum
        };
        let upto = (0..USERS).map(|_| more(draws)).collect();
        let places = (0..USERS).map(|_| draws.share()).collect();
        let are_unlucky = (0..USERS).map(|_| draws.happens(crowd.unlucky)).collect();
        Self { crowd, upto, places, are_unlucky }
    }

    /// Who asks next.
    fn next(&self, draws: &mut Draws) -> usize {
        let all = self.upto.last().copied().unwrap_or(0.0);
        let at = draws.between(0.0, all);
        self.upto.partition_point(|upto| *upto < at).min(self.upto.len() - 1)
    }

    fn fails(&self, draws: &mut Draws, user: usize, is_canary: bool) -> bool {
        let own = if self.are_unlucky[user] { self.crowd.chance } else { 0.0 };
        let harm = if is_canary { self.crowd.harm } else { 0.0 };
        draws.happens(own + harm)
    }

    fn before(&self, draws: &mut Draws) -> Counts {
        let all = draws.poisson(RATE * super::BEFORE);
        let bad = (0..all).filter(|_| {
            let user = self.next(draws);
            self.fails(draws, user, false)
        });
        Counts { bad: bad.count() as u64, all }
    }

    fn requests(&self, draws: &mut Draws, start: u64, count: Count) -> Tick {
        let weight = super::weight(start);
        let (mut canary, mut stable) = (Counts::default(), Counts::default());
        for _ in 0..draws.poisson(RATE * TICK as f64) {
            let user = self.next(draws);
            let is_canary = match count {
                Count::Requests => draws.happens(weight),
                Count::StickyRequests | Count::StickyUsers => self.places[user] < weight,
            };
            let one = Counts { bad: u64::from(self.fails(draws, user, is_canary)), all: 1 };
            if is_canary { canary.add(one) } else { stable.add(one) }
        }
        Tick { end: start + TICK, weight, canary, stable }
    }

    /// Users of a step by the tick in which they were first seen; known [`SEEN`] seconds later.
    fn by_user(&self, draws: &mut Draws) -> Option<f64> {
        let past = self.step(draws, 0, 0.0, 0.0);
        let mut before = Counts::default();
        past.iter().for_each(|tick| before.add(tick.stable));
        let mut rule = Strict::new(before, 0.05);
        let mut earlier = 0.0;
        for (step, weight) in WEIGHTS.into_iter().enumerate() {
            let ticks = self.step(draws, step as u64 * STEP, earlier, weight);
            for tick in ticks {
                // It is looked at when it is known, and the rollout ends with the last step.
                let look = tick.end + SEEN;
                if look <= WATCHED && rule.sees(&tick) {
                    return Some(look as f64);
                }
            }
            earlier = weight;
        }
        None
    }

    fn step(&self, draws: &mut Draws, start: u64, earlier: f64, weight: f64) -> Vec<Tick> {
        let mut seen: Vec<Option<(u64, bool)>> = vec![None; self.places.len()];
        for number in 0..STEP / TICK {
            for _ in 0..draws.poisson(RATE * TICK as f64) {
                let user = self.next(draws);
                let fails = self.fails(draws, user, self.places[user] < weight);
                let (first, is_bad) = seen[user].get_or_insert((number, false));
                *is_bad |= fails && (number - *first) * TICK < SEEN;
            }
        }
        let used = first_exposure(earlier, weight);
        let mut ticks: Vec<Tick> = (0..STEP / TICK)
            .map(|number| Tick {
                end: start + (number + 1) * TICK,
                weight: used,
                canary: Counts::default(),
                stable: Counts::default(),
            })
            .collect();
        for (place, seen) in self.places.iter().zip(seen) {
            let Some((first, is_bad)) = seen.filter(|_| *place >= earlier) else { continue };
            let Some(tick) = usize::try_from(first).ok().and_then(|at| ticks.get_mut(at)) else {
                continue;
            };
            let one = Counts { bad: u64::from(is_bad), all: 1 };
            if *place < weight { tick.canary.add(one) } else { tick.stable.add(one) }
        }
        ticks
    }
}
