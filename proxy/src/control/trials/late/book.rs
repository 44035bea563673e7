//! What late reports come to, for one trial: counts by second until they are given out.

use std::collections::{BTreeMap, HashMap};

use gnomon_config::model::{KPIS_MAX, Name};
use gnomon_policy::judge::cohort::{Cohort, Tally};

use serde::{Deserialize, Serialize};

use super::{Seen, Told};
use crate::{
    control::trials::{
        left::{named, pairs},
        units::is_kept,
        voids::Voids,
    },
    trial::{Arm, Evidence, Levels, Sighting},
};

/// A trial's late KPIs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::control) struct Book {
    /// Tells it from every other of this process.
    number: u32,
    is_by_user: bool,
    kpis: Vec<LateKpi>,
    /// By second and epoch.
    #[serde(with = "pairs")]
    pending: BTreeMap<(u32, u32), Pending>,
    voids: Voids,
    users: BTreeMap<u32, Users>,
    user_count: usize,
    /// One in `2^sparse` users is kept.
    sparse: u32,
    users_max: usize,
}

/// A KPI of which is told late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::control) struct LateKpi {
    #[serde(with = "named")]
    pub(in crate::control::trials) name: Name,
    /// Its place in the configuration.
    pub(in crate::control::trials) index: usize,
    /// For how many seconds.
    pub(in crate::control::trials) within: u32,
    /// The first second that has not been given out.
    next: u32,
}

/// What was assigned within one second under one split, and what was told of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pending {
    weight: f64,
    canary: Side,
    stable: Side,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Side {
    assigned: u32,
    /// By the KPI's place and the level.
    levels: Vec<((usize, u8), u32)>,
}

/// Users of one split.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Users {
    seen: HashMap<u64, User>,
    /// The newest first request of one.
    last: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct User {
    arm: Arm,
    /// Second of the first request.
    first: u32,
    /// The best that was told of each KPI.
    best: Levels,
}

impl LateKpi {
    pub(in crate::control::trials) const fn new(name: Name, index: usize, within: u32) -> Self {
        Self { name, index, within, next: 0 }
    }
}

impl Book {
    pub(in crate::control::trials) const fn number(&self) -> u32 {
        self.number
    }

    pub(super) const fn is_by_user(&self) -> bool {
        self.is_by_user
    }

    pub(in crate::control::trials) fn place(&self, name: &str) -> Option<usize> {
        self.kpis.iter().position(|kpi| *kpi.name == *name)
    }

    /// Seconds for which a request is remembered: somewhat longer than it may be told of, so that who
    /// comes late can be told so.
    pub(super) fn memory(&self) -> u32 {
        let longest = self.longest();
        longest.saturating_add(longest.min(LINGER_MAX))
    }

    fn longest(&self) -> u32 {
        self.kpis.iter().map(|kpi| kpi.within).max().unwrap_or(0)
    }

    /// Goes on with these KPIs; with nothing of what was before if they are others.
    pub(in crate::control::trials) fn follow(
        &mut self,
        kpis: Vec<LateKpi>,
        is_by_user: bool,
        now: u32,
        last_number: &mut u32,
    ) {
        let names = |kpis: &[LateKpi]| kpis.iter().map(|kpi| kpi.name.clone()).collect::<Vec<_>>();
        if self.is_by_user != is_by_user || names(&self.kpis) != names(&kpis) || self.number == 0 {
            *last_number += 1;
            let number = *last_number;
            *self = Self { number, is_by_user, users_max: USERS_MAX, ..Self::default() };
            self.voids = Voids::new(now);
            self.kpis = kpis.into_iter().map(|kpi| LateKpi { next: now, ..kpi }).collect();
            return;
        }
        for (kpi, next) in self.kpis.iter_mut().zip(kpis) {
            *kpi = LateKpi { next: kpi.next, ..next };
        }
    }

    /// Nothing of what was before counts.
    pub(in crate::control::trials) fn restart(&mut self, now: u32, last_number: &mut u32) {
        let kpis = std::mem::take(&mut self.kpis);
        self.number = 0;
        self.follow(kpis, self.is_by_user, now, last_number);
    }

    /// Counts a request, or its user if it is the first one; says whether it may be told of.
    pub(super) fn assign(&mut self, sighting: &Sighting, weight: f64) -> bool {
        let Sighting { epoch, second, arm, unit, .. } = *sighting;
        if self.kpis.iter().all(|kpi| second < kpi.next) {
            return false;
        }
        if self.is_by_user {
            let longest = self.longest();
            let users = self.users.entry(epoch).or_default();
            if let Some(user) = users.seen.get(&unit) {
                return second <= user.first.saturating_add(longest);
            }
            if unit == 0 || !is_kept(unit, self.sparse) {
                return false;
            }
            users.seen.insert(unit, User { arm, first: second, best: Levels::default() });
            users.last = users.last.max(second);
            self.user_count += 1;
        }
        let pending = self.pending.entry((second, epoch));
        let fresh = || Pending { weight, canary: Side::default(), stable: Side::default() };
        pending.or_insert_with(fresh).side(arm).assigned += 1;
        self.make_room();
        true
    }

    /// Counts what was told of a request.
    pub(super) fn tell(&mut self, seen: &Seen, place: usize, level: u8, now: u32) -> Told {
        let Some(kpi) = self.kpis.get(place) else { return Told::Unknown };
        let user = match seen.unit {
            0 => None,
            unit => {
                let users = self.users.get_mut(&seen.epoch);
                match users.and_then(|users| users.seen.get_mut(&unit)) {
                    Some(user) => Some(user),
                    None => return Told::Unknown,
                }
            }
        };
        let second = user.as_ref().map_or(seen.second, |user| user.first);
        if second < kpi.next || now > second.saturating_add(kpi.within) {
            return Told::Late;
        }
        let Some(pending) = self.pending.get_mut(&(second, seen.epoch)) else { return Told::Late };
        let side = pending.side(seen.arm);
        match user.map(|user| &mut user.best[place]) {
            None => side.add(place, level),
            Some(Some(best)) if *best >= level => {}
            Some(best) => {
                if let Some(before) = best.replace(level) {
                    side.take(place, before);
                }
                side.add(place, level);
            }
        }
        Told::Counted
    }

    /// What can be told no more, in order, by the KPI's place in the configuration.
    pub(in crate::control::trials) fn release(&mut self, now: u32) -> Vec<(usize, Cohort)> {
        let mut cohorts = Vec::new();
        for (place, kpi) in self.kpis.iter_mut().enumerate() {
            let end = now.saturating_sub(kpi.within);
            if end <= kpi.next {
                continue;
            }
            for (at, pending) in self.pending.range((kpi.next, 0)..(end, 0)) {
                if !self.voids.has(at.0, at.1) {
                    cohorts.push((kpi.index, pending.cohort(*at, place, kpi.index)));
                }
            }
            kpi.next = end;
        }
        self.drop_old();
        cohorts
    }

    /// Looks for seconds that are no evidence, and forgets what nobody has asked for in time.
    pub(in crate::control::trials) fn tick(&mut self, evidence: &Evidence, now: u32) {
        if self.kpis.is_empty() {
            return;
        }
        self.voids.look(evidence, now);
        self.pass(now);
    }

    /// Forgets what nobody has asked for in time.
    pub(in crate::control::trials) fn pass(&mut self, now: u32) {
        for kpi in &mut self.kpis {
            kpi.next = kpi.next.max(now.saturating_sub(kpi.within.saturating_add(UNASKED)));
        }
        self.drop_old();
    }

    fn drop_old(&mut self) {
        let oldest = self.kpis.iter().map(|kpi| kpi.next).min().unwrap_or(u32::MAX);
        while let Some(first) = self.pending.first_entry()
            && first.key().0 < oldest
        {
            first.remove();
        }
        self.voids.forget(oldest);
        // Under a split that is in force, a user counts once however long that lasts.
        let newest = self.users.last_key_value().map(|(epoch, _)| *epoch);
        let over = |epoch: &u32, users: &Users| Some(*epoch) != newest && users.last < oldest;
        let gone = self.users.extract_if(.., |epoch, users| over(epoch, users));
        self.user_count -= gone.map(|(_, users)| users.seen.len()).sum::<usize>();
    }

    /// With too many users, every second one is forgotten: by a hash that knows nothing of versions.
    fn make_room(&mut self) {
        if self.user_count <= self.users_max {
            return;
        }
        self.sparse += 1;
        for (epoch, users) in &mut self.users {
            for (_, user) in users.seen.extract_if(|unit, _| !is_kept(*unit, self.sparse)) {
                self.user_count -= 1;
                if let Some(pending) = self.pending.get_mut(&(user.first, *epoch)) {
                    pending.side(user.arm).forget(&user);
                }
            }
        }
    }

    /// Seconds and users that are kept, for whoever wants to see that they are few.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        let users = self.users.values().map(|users| users.seen.len()).sum::<usize>();
        assert_eq!(users, self.user_count);
        (self.pending.len() + self.voids.len(), users)
    }

    #[cfg(test)]
    pub(super) fn limit_users(&mut self, most: usize) {
        self.users_max = most;
    }
}

impl Pending {
    fn side(&mut self, arm: Arm) -> &mut Side {
        match arm {
            Arm::Canary => &mut self.canary,
            Arm::Stable => &mut self.stable,
        }
    }

    fn cohort(&self, (second, epoch): (u32, u32), place: usize, index: usize) -> Cohort {
        Cohort {
            second: second.into(),
            epoch,
            weight: self.weight,
            canary: self.canary.tally(place, index),
            stable: self.stable.tally(place, index),
        }
    }
}

impl Side {
    fn add(&mut self, place: usize, level: u8) {
        match self.levels.binary_search_by_key(&(place, level), |(at, _)| *at) {
            Ok(found) => self.levels[found].1 += 1,
            Err(found) => self.levels.insert(found, ((place, level), 1)),
        }
    }

    fn take(&mut self, place: usize, level: u8) {
        if let Ok(found) = self.levels.binary_search_by_key(&(place, level), |(at, _)| *at) {
            self.levels[found].1 -= 1;
            if self.levels[found].1 == 0 {
                self.levels.remove(found);
            }
        }
    }

    fn forget(&mut self, user: &User) {
        self.assigned = self.assigned.saturating_sub(1);
        for (place, level) in user.best.iter().enumerate() {
            if let Some(level) = level {
                self.take(place, *level);
            }
        }
    }

    fn tally(&self, place: usize, index: usize) -> Tally {
        let of = self.levels.iter().filter(|((at, _), _)| *at == place);
        let mut kpis = vec![Vec::new(); KPIS_MAX];
        if let Some(levels) = kpis.get_mut(index) {
            *levels = of.map(|((_, level), count)| (*level, *count)).collect();
        }
        Tally { assigned: self.assigned.into(), kpis, ..Tally::default() }
    }
}

/// For how many seconds at most a request is remembered after it may be told of.
const LINGER_MAX: u32 = 3600;
/// Seconds after which counts are dropped that nobody has asked for.
const UNASKED: u32 = 600;
/// Users of a trial that are remembered; some 40 bytes each.
const USERS_MAX: usize = 200_000;
