//! Users instead of requests, for upstreams that keep their users on a version.
//!
//! A user's requests are no independent draws: one user with a broken account would look like many
//! failures of the version the hash put them on. So a user counts once under each split: whether
//! any of their requests went wrong soon after the first, and how the first one went. Who
//! was on the canary under an earlier split had no other choice now, and does not count.

use std::collections::{BTreeMap, HashMap};

use gnomon_policy::{
    judge::cohort::{Class, Cohort, Tally, bucket},
    split::position,
};

use serde::{Deserialize, Serialize};

use super::{voids::Voids, within};
use crate::{
    clock,
    trial::{Arm, Levels, Sighting},
};

/// The users of a trial.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Units {
    /// By epoch: all that may still be added to.
    epochs: BTreeMap<u32, Users>,
    /// Positions that the canary has had up to now.
    reach: u32,
    /// Seconds after a user's first request in which what goes wrong counts.
    horizon: u32,
}

/// Users seen under one split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Users {
    /// Probability of the canary for those that count, unless each sighting tells its own.
    weight: f64,
    is_told: bool,
    canary: (u32, u32),
    stable: (u32, u32),
    /// Positions below were the canary's earlier.
    reach: u32,
    horizon: u32,
    seen: HashMap<u64, User>,
    /// The first second that has not been given out.
    next: u32,
    /// One in `2^sparse` users is kept.
    sparse: u32,
}

/// A user under one split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct User {
    arm: Arm,
    /// Probability of the canary, where sightings tell it.
    #[serde(default)]
    weight: f64,
    /// Second of the first request.
    first: u32,
    /// How any request went wrong, the first that did.
    class: Option<Class>,
    refused: bool,
    /// Bucket of the first request's time, if it went well.
    time: Option<u16>,
    /// The best of each KPI.
    kpis: Levels,
    is_out: bool,
}

impl Units {
    pub(super) const fn new(horizon: u32) -> Self {
        Self { epochs: BTreeMap::new(), reach: 0, horizon }
    }

    /// Positions that the canary has had up to now.
    pub(super) const fn reach(&self) -> u32 {
        self.reach
    }

    /// Nobody has been on the canary.
    pub(super) fn forget(&mut self) {
        *self = Self::new(self.horizon);
    }

    pub(super) const fn horizon(&self) -> u32 {
        self.horizon
    }

    /// A split begins.
    pub(super) fn begin(&mut self, epoch: u32, canary: (u32, u32), stable: (u32, u32), reach: u32) {
        let of =
            |range: (u32, u32)| range.1.max(reach) - range.0.max(reach).min(range.1.max(reach));
        let (new, rest) = (of(canary), of(stable));
        let weight = if new == 0 { 0.0 } else { f64::from(new) / f64::from(new + rest) };
        let horizon = self.horizon;
        let users = Users { weight, canary, stable, reach, horizon, ..Users::default() };
        self.epochs.insert(epoch, users);
        self.reach = reach.max(canary.1);
        while self.epochs.len() > EPOCHS {
            self.epochs.pop_first();
        }
    }

    /// Users begin to be drawn under other rules of a flag; each sighting tells with what chance. If
    /// they are known to have begun, they go on.
    pub(super) fn begin_told(&mut self, epoch: u32) {
        let horizon = self.horizon;
        let fresh = || Users { is_told: true, horizon, ..Users::default() };
        self.epochs.entry(epoch).or_insert_with(fresh);
        while self.epochs.len() > EPOCHS {
            self.epochs.pop_first();
        }
    }

    /// The weight of the users that this one is among, if it counts.
    pub(super) fn weight(&self, sighting: &Sighting) -> Option<f64> {
        let users = self.epochs.get(&sighting.epoch)?;
        let weight = users.weight_of(sighting.weight);
        (weight < 1.0 && users.is_new(sighting.unit)).then_some(weight)
    }

    /// Takes note of a request that has ended.
    pub(super) fn see(&mut self, sighting: &Sighting) {
        if let Some(users) = self.epochs.get_mut(&sighting.epoch) {
            users.see(sighting);
        }
    }

    /// The cohorts of first requests that are old enough, in order.
    pub(super) fn release(&mut self, now: u32, voids: &Voids) -> Vec<Cohort> {
        let mut cohorts = Vec::new();
        let newest = self.epochs.last_key_value().map(|(epoch, _)| *epoch);
        for (epoch, users) in &mut self.epochs {
            users.release(*epoch, now, &mut cohorts);
        }
        // Of a split that is over, what has been given out is not asked for again.
        self.epochs.retain(|epoch, users| {
            Some(*epoch) == newest || users.seen.values().any(|user| !user.is_out)
        });
        // Who came first in such a second does not count under this split.
        let is_drawn = |cohort: &Cohort| {
            u32::try_from(cohort.second).is_ok_and(|second| !voids.has(second, cohort.epoch))
        };
        cohorts.retain(is_drawn);
        cohorts.sort_by_key(|cohort| (cohort.second, cohort.epoch));
        cohorts
    }
}

impl Users {
    /// Whether the user had a choice: one who was on the canary before has none.
    fn is_new(&self, unit: u64) -> bool {
        if self.is_told {
            return unit != 0;
        }
        let at = position(unit);
        let is_among = within(at, self.canary) || within(at, self.stable);
        unit != 0 && at >= self.reach && is_among
    }

    /// The weight of a user who was told to have this one.
    const fn weight_of(&self, told: f64) -> f64 {
        if self.is_told { told } else { self.weight }
    }

    fn see(&mut self, sighting: &Sighting) {
        if !self.is_new(sighting.unit) || !is_kept(sighting.unit, self.sparse) {
            return;
        }
        let outcome = &sighting.outcome;
        let time = outcome.time.map(|time| bucket(clock::nanos(time)));
        let user = self.seen.entry(sighting.unit).or_insert_with(|| User {
            arm: sighting.arm,
            weight: sighting.weight,
            first: sighting.second,
            class: None,
            refused: false,
            time,
            kpis: Levels::default(),
            is_out: false,
        });
        // A flag's share may grow by itself: what follows is then another variant's.
        let is_moved = user.arm != sighting.arm;
        if is_moved || user.is_out || sighting.second > user.first + self.horizon {
            return;
        }
        if sighting.second < user.first && sighting.second >= self.next {
            (user.first, user.time) = (sighting.second, time);
        }
        user.class = user.class.or(outcome.class);
        user.refused |= outcome.refused;
        for (best, level) in user.kpis.iter_mut().zip(outcome.kpis) {
            *best = (*best).max(level);
        }
        self.make_room();
    }

    /// With too many users, every second one is forgotten: by a hash that knows nothing of versions.
    fn make_room(&mut self) {
        if self.seen.len() > USERS_MAX {
            self.sparse += 1;
            let sparse = self.sparse;
            self.seen.retain(|unit, _| is_kept(*unit, sparse));
        }
    }

    fn release(&mut self, epoch: u32, now: u32, cohorts: &mut Vec<Cohort>) {
        let end = now.saturating_sub(self.horizon + GRACE);
        if end <= self.next {
            return;
        }
        let mut by_second: BTreeMap<(u32, u64), Cohort> = BTreeMap::new();
        let (is_told, weight) = (self.is_told, self.weight);
        let due = self.seen.values_mut().filter(|user| !user.is_out && user.first < end);
        for user in due {
            user.is_out = true;
            let weight = if is_told { user.weight } else { weight };
            let cohort = by_second.entry((user.first, weight.to_bits()));
            let cohort = cohort.or_insert_with(|| Cohort {
                second: user.first.into(),
                epoch,
                weight,
                ..Cohort::default()
            });
            match user.arm {
                Arm::Canary => add(&mut cohort.canary, user),
                Arm::Stable => add(&mut cohort.stable, user),
            }
        }
        self.next = end;
        cohorts.extend(by_second.into_values());
    }
}

fn add(tally: &mut Tally, user: &User) {
    tally.assigned += 1;
    match user.class {
        Some(class) => tally.errors[class as usize] += 1,
        None => {
            tally.refused += u64::from(user.refused);
            if let Some(at) = user.time {
                count(&mut tally.times, at);
            }
        }
    }
    tally.kpis.resize(user.kpis.len(), Vec::new());
    for (levels, level) in tally.kpis.iter_mut().zip(user.kpis) {
        if let Some(level) = level {
            count(levels, level);
        }
    }
}

fn count<K: Ord>(counts: &mut Vec<(K, u32)>, key: K) {
    match counts.binary_search_by(|(known, _)| known.cmp(&key)) {
        Ok(place) => counts[place].1 += 1,
        Err(place) => counts.insert(place, (key, 1)),
    }
}

/// Bits of the hash that have no part in the position, which the highest ones decide.
pub(super) const fn is_kept(unit: u64, sparse: u32) -> bool {
    unit.trailing_zeros() >= sparse
}

/// Seconds more for the last of these requests to end.
const GRACE: u32 = 5;
/// Users of one split that are remembered; some 64 bytes each.
const USERS_MAX: usize = 200_000;
/// Splits that may still be added to.
const EPOCHS: usize = 16;
