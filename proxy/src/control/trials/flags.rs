//! Trials of flags: a variant against the default, by the users that were drawn for either.
//!
//! They are a smaller sibling of those of versions, with the same rings, the same second 0 and the same
//! way to close a second. A version's trial keeps a slot for each second on every core, because a fuse
//! looks at it and because requests may be what is compared; nobody reads any of that of a flag. And a
//! split is one line of positions, while a flag's rules may draw each user otherwise: so each sighting
//! tells with what chance its user was drawn, and a second has a cohort for each chance.

use std::{collections::BTreeMap, sync::Arc};

use gnomon_config::model::{
    Gate, Limit, Name, Worse,
    flag::{Flag, FlagJudge},
};
use gnomon_flags::{FlagSet, Pair};
use gnomon_policy::judge::Cohort;
use serde::{Deserialize, Serialize};

use super::{Late, Trials, Units, Voids, late::Book, late_kpis, left, pointers};
use crate::{
    cells::Cell,
    clock::{self, Moment},
    snapshot::Snapshot,
    trial::{FlagTrial, Sighting},
};

/// A flag's trial, with what outlives snapshots.
#[derive(Debug)]
pub(super) struct Judged {
    trial: Arc<FlagTrial>,
    /// The set whose rules are in force.
    set: Arc<FlagSet>,
    draws: u64,
    salt: Arc<str>,
    /// Names of what is compared.
    ends: (Name, Name),
    units: Units,
    pub(super) book: Book,
}

/// What a process leaves of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct JudgedLeft {
    number: u32,
    epoch: u32,
    reach: u32,
    had: u32,
    draws: u64,
    salt: String,
    ends: (String, String),
    units: Units,
    book: Book,
}

/// What was known of a trial before a snapshot, in this process or an earlier one.
struct Past {
    number: u32,
    epoch: u32,
    /// Users below this had no choice under that epoch; below the other, they would have none now.
    reach: u32,
    had: u32,
    draws: u64,
    salt: Arc<str>,
    ends: (String, String),
    units: Units,
    book: Book,
    lost: Arc<[Cell]>,
}

/// What a flag is held to: what a rollout is held to unless it says otherwise, and all KPIs of the
/// upstream. A variant is no process that has to warm up.
pub(crate) fn gate(config: &gnomon_config::Config, judge: &FlagJudge) -> Gate {
    let kpis = config.kpis.iter().enumerate();
    let own = kpis.filter(|(_, kpi)| kpi.upstream == judge.upstream);
    let limit = Limit { worse_by: Some(Worse { ratio: 1.05, points: 0.0 }), max: None };
    Gate {
        warmup: std::time::Duration::ZERO,
        horizon: judge.horizon,
        kpis: own.map(|(index, _)| (index, limit)).collect(),
        ..Gate::default()
    }
}

impl Trials {
    /// The trials of the flags of `snapshot`.
    pub(crate) fn flag_terms(&mut self, snapshot: &Snapshot) -> Vec<Arc<FlagTrial>> {
        let own = &snapshot.config.flags.own;
        let is_judged =
            |name: &Name| own.iter().any(|flag| flag.name == *name && flag.judge.is_some());
        self.judged.retain(|name, _| is_judged(name));
        let judged = own.iter().filter_map(|flag| Some((flag, flag.judge.as_ref()?)));
        judged.filter_map(|(flag, judge)| self.flag_trial(snapshot, flag, judge)).collect()
    }

    fn flag_trial(
        &mut self,
        snapshot: &Snapshot,
        flag: &Flag,
        judge: &FlagJudge,
    ) -> Option<Arc<FlagTrial>> {
        let set = &snapshot.flags;
        let index = set.find(&flag.name)?;
        let default = set.flag(index).default?;
        let variant = u8::try_from(judge.variant).ok().filter(|variant| *variant != default)?;
        let names = &set.flag(index).variants;
        let ends = |at: u8| Some(names.get(usize::from(at))?.name.clone());
        let ends = (ends(variant)?, ends(default)?);
        let gate = gate(&snapshot.config, judge);
        let horizon = u32::try_from(gate.horizon.as_secs()).unwrap_or(u32::MAX);
        let late = late_kpis(&snapshot.config, judge.upstream);
        let draws = set.draws(index);
        let before = self.past(flag, variant, &ends, horizon);
        let is_same = before.as_ref().is_some_and(|before| before.draws == draws);
        let past = before.unwrap_or_else(|| self.beginning(horizon));
        let stays = *past.salt == *flag.salt;
        let trial = Arc::new(FlagTrial {
            number: past.number,
            name: flag.name.clone(),
            flag: index,
            place: set.place(index)?,
            upstream: judge.upstream,
            pair: Pair {
                variant,
                default,
                reach: match () {
                    () if is_same => past.reach,
                    () if stays => past.reach.max(past.had),
                    () => 0,
                },
            },
            epoch: past.epoch + u32::from(!is_same),
            timing: gate.timing,
            by_request: !late.is_empty(),
            pointers: pointers(&snapshot.config, judge.upstream),
            started: self.started,
            lost: past.lost,
        });
        let (set, salt) = (set.clone(), flag.salt.clone());
        let Past { mut units, mut book, .. } = past;
        units.begin_told(trial.epoch);
        book.follow(late, true, trial.second(clock::now()), &mut self.last_book);
        let judged = Judged { trial: trial.clone(), set, draws, salt, ends, units, book };
        self.judged.insert(flag.name.clone(), judged);
        Some(trial)
    }

    /// What is known of a flag's trial, if the same is compared in the same way.
    fn past(
        &mut self,
        flag: &Flag,
        variant: u8,
        ends: &(Name, Name),
        horizon: u32,
    ) -> Option<Past> {
        let past = match self.judged.remove(&flag.name) {
            Some(known) => known.into_past(variant),
            None => {
                let left = self.before.as_mut()?.judged.remove(&*flag.name)?;
                left.into_past(self.cores)
            }
        };
        let is_same = (&*past.ends.0, &*past.ends.1) == (&*ends.0, &*ends.1);
        (is_same && past.units.horizon() == horizon).then_some(past)
    }

    /// What is known of a flag of which nothing is.
    fn beginning(&mut self, horizon: u32) -> Past {
        self.last_number += 1;
        Past {
            number: self.last_number,
            // Above all that an earlier process may have told.
            epoch: u32::try_from(self.begun.as_secs()).unwrap_or(1),
            reach: 0,
            had: 0,
            draws: 0,
            salt: "".into(),
            ends: Default::default(),
            units: Units::new(horizon),
            book: Book::default(),
            lost: lost(self.cores),
        }
    }

    /// What has become known of a flag's users since it was last asked, in order.
    pub(crate) fn collect_flag(&mut self, name: &str, now: Moment) -> Vec<Cohort> {
        self.take_sightings();
        let (begun, told) = (self.begun.as_secs(), self.told_until());
        let Some(judged) = self.judged.get_mut(name) else { return Vec::new() };
        let now = left::within(judged.trial.second(now), told);
        let mut cohorts = judged.units.release(now, &Voids::default());
        cohorts.iter_mut().for_each(|cohort| cohort.second += begun);
        cohorts
    }

    /// What has been told late of a flag's users, as [`Trials::collect_late`] gives it.
    pub(crate) fn collect_late_flag(&mut self, name: &str, now: Moment) -> Vec<(usize, Cohort)> {
        let (begun, told) = (self.begun.as_secs(), self.told_until());
        let Some(judged) = self.judged.get_mut(name) else { return Vec::new() };
        let now = left::within(judged.trial.second(now), told);
        let mut cohorts = judged.book.release(now);
        cohorts.iter_mut().for_each(|(_, cohort)| cohort.second += begun);
        cohorts
    }

    /// What another process needs to go on.
    pub(super) fn leave_judged(&self) -> BTreeMap<String, JudgedLeft> {
        let all = self.judged.iter();
        all.map(|(name, judged)| (name.to_string(), judged.leave())).collect()
    }

    /// Takes what another process has seen of flags, or what was kept for one.
    pub(super) fn hear_of_flags(&mut self, sightings: &[(String, Sighting)]) {
        for (name, sighting) in sightings {
            if let Some(judged) = self.judged.get_mut(&**name) {
                judged.see(&mut self.late, sighting);
            }
        }
    }

    /// Epoch of a flag's trial, and the sightings that were lost.
    pub(crate) fn flag_epoch(&self, name: &str) -> Option<(u32, u64)> {
        let trial = &self.judged.get(name)?.trial;
        Some((trial.epoch, trial.lost.iter().map(Cell::read).sum()))
    }

    /// Takes a sighting that is of a flag; gives it back if it is not.
    pub(super) fn see_of_flag(&mut self, sighting: Sighting) -> Option<Sighting> {
        let mut judged = self.judged.values_mut();
        let Some(judged) = judged.find(|judged| judged.trial.number == sighting.trial) else {
            return Some(sighting);
        };
        match &mut self.after {
            Some(after) => after.see_of_flag(&judged.trial.name, sighting),
            None => judged.see(&mut self.late, &sighting),
        }
        None
    }
}

impl Judged {
    fn leave(&self) -> JudgedLeft {
        let trial = &self.trial;
        JudgedLeft {
            number: trial.number,
            epoch: trial.epoch,
            reach: trial.pair.reach,
            had: self.had(trial.pair.variant),
            draws: self.draws,
            salt: self.salt.to_string(),
            ends: (self.ends.0.to_string(), self.ends.1.to_string()),
            units: self.units.clone(),
            book: self.book.clone(),
        }
    }

    fn into_past(self, variant: u8) -> Past {
        Past {
            number: self.trial.number,
            epoch: self.trial.epoch,
            reach: self.trial.pair.reach,
            had: self.had(variant),
            draws: self.draws,
            salt: self.salt,
            ends: (self.ends.0.to_string(), self.ends.1.to_string()),
            units: self.units,
            book: self.book,
            lost: self.trial.lost.clone(),
        }
    }

    /// Users below this have had the variant under the rules that are in force.
    fn had(&self, variant: u8) -> u32 {
        let flag = self.set.find(&self.trial.name);
        flag.map_or(0, |flag| self.set.reach(flag, variant, clock::wall().as_secs()))
    }

    fn see(&mut self, late: &mut Late, sighting: &Sighting) {
        self.units.see(sighting);
        if let Some(weight) = self.units.weight(sighting) {
            late.see(&mut self.book, sighting, weight);
        }
    }
}

impl JudgedLeft {
    fn into_past(self, cores: usize) -> Past {
        let Self { number, epoch, reach, had, draws, salt, ends, units, book } = self;
        let (salt, lost) = (salt.into(), lost(cores));
        Past { number, epoch, reach, had, draws, salt, ends, units, book, lost }
    }
}

fn lost(cores: usize) -> Arc<[Cell]> {
    (0..cores).map(|_| Cell::default()).collect()
}
