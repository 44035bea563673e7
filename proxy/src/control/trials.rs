//! The trials that rollouts need: what of them goes to the cores, and what comes back as evidence.
//!
//! Cohorts are given out in the order of their seconds, each once, when all of its requests are
//! done with or have had their time. What did not depend on the draw alone is left out.

pub(crate) mod flags;
pub(crate) mod late;
pub(crate) mod left;
mod units;
mod voids;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use gnomon_config::{
    Config,
    model::{KPIS_MAX, Kpi, KpiSource, Name, Rollout, StickyMode, UpstreamIx},
};
use gnomon_policy::{
    judge::cohort::{Class, Cohort, bucket},
    pointer::Pointer,
    split::{Cut, Layout},
};

use serde::{Deserialize, Serialize};

use self::{
    late::{Book, Counts, Late, LateKpi, Report, Told},
    units::Units,
    voids::Voids,
};
use crate::{
    cells::Cell,
    clock::{self, Moment},
    snapshot::Snapshot,
    trial::{self, Evidence, Fuse, Sighting, Trial, fuse::Blown, slots::Reading},
};

/// All trials of the process.
#[derive(Debug)]
pub(crate) struct Trials {
    cores: usize,
    started: Moment,
    /// Wall clock of second 0.
    begun: Duration,
    last_number: u32,
    /// By the rollout's name.
    known: BTreeMap<Name, Known>,
    /// By the flag's name.
    judged: BTreeMap<Name, flags::Judged>,
    sightings: Vec<rtrb::Consumer<Sighting>>,
    late: Late,
    last_book: u32,
    /// What an earlier process left, if there was one.
    before: Option<left::Before>,
    /// What goes to a later process, once there is one.
    after: Option<left::After>,
}

/// A trial, with what outlives snapshots.
#[derive(Debug)]
struct Known {
    trial: Arc<Trial>,
    epochs: Vec<Epoch>,
    /// The first second that has not been given out.
    next: u32,
    units: Units,
    voids: Voids,
    usual: Usual,
    book: Book,
}

/// A split that was in force.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Epoch {
    number: u32,
    /// Probability of the canary among the two.
    weight: f64,
    /// What each had of the line of positions.
    canary: (u32, u32),
    stable: (u32, u32),
}

impl Trials {
    pub(crate) fn new(cores: usize) -> Self {
        Self {
            cores,
            started: clock::now(),
            begun: clock::steady(),
            last_number: 0,
            known: BTreeMap::new(),
            judged: BTreeMap::new(),
            sightings: Vec::new(),
            late: Late::new(late::REQUESTS_MAX),
            last_book: 0,
            before: None,
            after: None,
        }
    }

    /// These are the cores' ends of the rings.
    pub(crate) fn listen(&mut self, sightings: Vec<rtrb::Consumer<Sighting>>) {
        self.sightings = sightings;
    }

    /// The trials of `snapshot`, by upstream.
    pub(crate) fn terms(&mut self, snapshot: &Snapshot) -> Vec<Option<Arc<Trial>>> {
        let config = &snapshot.config;
        self.known.retain(|name, _| config.rollouts.iter().any(|it| it.name == *name));
        let of_versions = self.known.values().map(|known| &known.book);
        let books = of_versions.chain(self.judged.values().map(|judged| &judged.book));
        let books: Vec<u32> = books.map(Book::number).collect();
        self.late.keep(&config.kpis, |book| books.contains(&book));
        if config.rollouts.is_empty() {
            return Vec::new();
        }
        let mut all = vec![None; config.upstreams.len()];
        for rollout in &config.rollouts {
            let layout = snapshot.table.layout(rollout.upstream);
            // Where new users are kept off a version, who is on it is no longer drawn.
            if !layout.cuts().iter().any(|cut| cut.draining) {
                all[usize::from(rollout.upstream.0)] = Some(self.trial(snapshot, rollout, layout));
            }
        }
        all
    }

    fn trial(&mut self, snapshot: &Snapshot, rollout: &Rollout, layout: &Layout) -> Arc<Trial> {
        let is_known = self.known.contains_key(&rollout.name);
        let left = if is_known { None } else { self.left_of(snapshot, rollout) };
        let upstream = &snapshot.config.upstreams[usize::from(rollout.upstream.0)];
        let place = snapshot.first_version[usize::from(rollout.upstream.0)];
        let before = self.known.get(&rollout.name);
        // Other versions under the same name are another comparison.
        let before = before
            .filter(|known| (known.trial.stable, known.trial.canary) == (rollout.from, rollout.to));
        let (number, evidence) = match before {
            Some(known) => (known.trial.number, known.trial.evidence.clone()),
            None => {
                self.last_number += 1;
                (self.last_number, Arc::new(Evidence::new(self.blocks(), self.started)))
            }
        };
        let range = |version| {
            let cut = layout.cuts().iter().find(|cut| cut.version == version);
            cut.map_or((0, 0), |cut: &Cut| (cut.start, cut.end))
        };
        let (canary, stable) = (range(rollout.to), range(rollout.from));
        let mut epoch = Epoch { number: 0, weight: weight(canary, stable), canary, stable };
        let left_last = left.as_ref().and_then(|left| left.epochs.last());
        let last = before.and_then(|known| known.epochs.last()).or(left_last);
        let is_same = last.is_some_and(|last| Epoch { number: last.number, ..epoch } == *last);
        epoch.number = match last {
            Some(last) => last.number + u32::from(!is_same),
            // Above all that an earlier process may have written down.
            None => u32::try_from(self.begun.as_secs()).unwrap_or(1),
        };
        let late = late_kpis(&snapshot.config, rollout.upstream);
        let trial = Arc::new(Trial {
            number,
            name: rollout.name.clone(),
            stable: rollout.from,
            canary: rollout.to,
            epoch: epoch.number,
            timing: rollout.gate.timing,
            by_user: upstream.sticky.mode != StickyMode::None,
            by_request: !late.is_empty(),
            pointers: pointers(&snapshot.config, rollout.upstream),
            fuse: Fuse::new(&rollout.fuse),
            evidence,
            canary_cells: snapshot.versions[place + usize::from(rollout.to.0)].cells.clone(),
        });
        if let Some(left) = &left {
            trial.evidence.state.inherit(&left.fuse);
        }
        if !is_same {
            trial.evidence.state.mend();
        }
        let horizon = u32::try_from(rollout.gate.horizon.as_secs()).unwrap_or(u32::MAX);
        self.note(trial.clone(), epoch, (horizon, late), left);
        trial
    }

    fn note(
        &mut self,
        trial: Arc<Trial>,
        epoch: Epoch,
        (horizon, late): (u32, Vec<LateKpi>),
        left: Option<left::TrialLeft>,
    ) {
        let now = trial.evidence.second(clock::now());
        if let Some(left) = left {
            self.known.insert(trial.name.clone(), Known::inherit(trial.clone(), left));
        }
        let fresh = || Known {
            trial: trial.clone(),
            epochs: Vec::new(),
            next: now,
            units: Units::new(horizon),
            voids: Voids::new(now),
            usual: Usual::default(),
            book: Book::default(),
        };
        let known = self.known.entry(trial.name.clone()).or_insert_with(fresh);
        if known.trial.number != trial.number || known.units.horizon() != horizon {
            *known = fresh();
        }
        known.book.follow(late, trial.by_user, now, &mut self.last_book);
        known.trial = trial;
        if known.epochs.last().is_none_or(|last| last.number != epoch.number) {
            let earlier = known.units.reach();
            known.units.begin(epoch.number, epoch.canary, epoch.stable, earlier);
            known.epochs.push(epoch);
            // A cohort lives for a minute or two, and a split changes once a second at most.
            let surplus = known.epochs.len().saturating_sub(EPOCHS);
            known.epochs.drain(..surplus);
        }
    }

    /// A new run of a rollout: users that an earlier one had on the canary count anew.
    pub(crate) fn restart(&mut self, name: &str) {
        if let Some(known) = self.known.get_mut(name) {
            known.units.forget();
            if let Some(epoch) = known.epochs.last() {
                known.units.begin(epoch.number, epoch.canary, epoch.stable, 0);
            }
            let now = known.trial.evidence.second(clock::now());
            known.book.restart(now, &mut self.last_book);
        }
    }

    /// What has become known of a rollout's trial since it was last asked, in order.
    pub(crate) fn collect(&mut self, name: &str, now: Moment) -> Vec<Cohort> {
        self.take_sightings();
        let begun = self.begun.as_secs();
        let told = self.told_until();
        let Some(known) = self.known.get_mut(name) else { return Vec::new() };
        let now = known.trial.evidence.second(now);
        let mut cohorts = known.release(left::within(now, told));
        for cohort in &mut cohorts {
            known.usual.take(cohort);
            cohort.second += begun;
        }
        known.trial.evidence.state.set_usual(known.usual.rate());
        known.trial.look_again(now);
        cohorts
    }

    /// What the cores saw when they cut the canary off, if they have since its split changed.
    pub(crate) fn blown(&self, name: &str) -> Option<Blown> {
        self.known.get(name)?.trial.evidence.state.blown()
    }

    /// Says whether the cores may cut a rollout's canary off by themselves.
    pub(crate) fn arm(&self, name: &str, armed: bool) {
        if let Some(known) = self.known.get(name) {
            known.trial.evidence.state.arm(armed);
        }
    }

    /// What has been told late of a rollout's requests, by the KPI's place in the configuration, since
    /// it was last asked: seconds of which nothing more can be told, in order. Requests that nothing
    /// was told of are in no level.
    pub(crate) fn collect_late(&mut self, name: &str, now: Moment) -> Vec<(usize, Cohort)> {
        self.take_sightings();
        let begun = self.begun.as_secs();
        let told = self.told_until();
        let Some(known) = self.known.get_mut(name) else { return Vec::new() };
        let now = left::within(known.trial.evidence.second(now), told);
        known.book.tick(&known.trial.evidence, now);
        let mut cohorts = known.book.release(now);
        for (_, cohort) in &mut cohorts {
            cohort.second += begun;
        }
        cohorts
    }

    /// Takes reports about requests, in order.
    pub(crate) fn report(&mut self, reports: &[Report<'_>], now: Moment) -> Vec<Told> {
        self.take_sightings();
        let now = trial::second(self.started, now);
        let (known, judged) = (&mut self.known, &mut self.judged);
        let told = |report| {
            let of_versions = known.values_mut().map(|known| &mut known.book);
            let of_flags = judged.values_mut().map(|judged| &mut judged.book);
            self.late.report(of_versions.chain(of_flags), report, now)
        };
        reports.iter().map(told).collect()
    }

    /// What became of the reports about a KPI, and of the requests of its upstream's trial.
    pub(crate) fn counts(&self, kpi: &Kpi) -> (Counts, u64) {
        let of_flags = self.judged.values().map(|judged| &judged.book);
        let books = self.known.values().map(|known| &known.book).chain(of_flags);
        let of = books.filter(|book| book.place(&kpi.name).is_some());
        let forgotten = of.map(|book| self.late.forgotten(book.number())).sum();
        (self.late.counts(&kpi.name), forgotten)
    }

    /// Requests whose reply told the KPI at this place in the configuration.
    pub(crate) fn told(&self, kpi: usize) -> u64 {
        let cores = self.known.values().flat_map(|known| &known.trial.evidence.cores);
        cores.filter_map(|core| core.told.get(kpi)).map(Cell::read).sum()
    }

    /// Empties the cores' rings, and forgets what had its time.
    pub(crate) fn tick(&mut self, now: Moment) {
        self.take_sightings();
        if self.after.is_some() {
            // Somebody else judges now.
            return;
        }
        let now = left::within(trial::second(self.started, now), self.told_until());
        for known in self.known.values_mut() {
            known.book.tick(&known.trial.evidence, now);
            known.voids.look(&known.trial.evidence, now);
            // As old as a user's first request may be when it is given out, and more.
            known.voids.forget(now.saturating_sub(known.units.horizon().saturating_add(HORIZON)));
        }
        for judged in self.judged.values_mut() {
            judged.book.pass(now);
        }
        self.late.expire(now);
    }

    fn take_sightings(&mut self) {
        let mut taken = Vec::new();
        for ring in &mut self.sightings {
            // No more than there are now: a core may be adding some all the time.
            for _ in 0..ring.slots() {
                let Ok(sighting) = ring.pop() else { break };
                taken.push(sighting);
            }
        }
        for sighting in taken {
            let Some(sighting) = self.see_of_flag(sighting) else { continue };
            let mut known = self.known.values_mut();
            if let Some(known) = known.find(|known| known.trial.number == sighting.trial) {
                match &mut self.after {
                    Some(after) => after.see(known, sighting),
                    None => known.see(&mut self.late, &sighting),
                }
            }
        }
    }
}

impl Known {
    fn see(&mut self, late: &mut Late, sighting: &Sighting) {
        self.units.see(sighting);
        if let Some(weight) = self.weight(sighting) {
            late.see(&mut self.book, sighting, weight);
        }
    }

    /// The weight of the cohort that a request or its user is in; none if it is in none.
    fn weight(&self, sighting: &Sighting) -> Option<f64> {
        if self.trial.by_user {
            return self.units.weight(sighting);
        }
        let epoch = self.epochs.iter().rfind(|epoch| epoch.number == sighting.epoch);
        epoch.map(|epoch| epoch.weight)
    }

    fn release(&mut self, now: u32) -> Vec<Cohort> {
        if self.trial.by_user {
            return self.units.release(now, &self.voids);
        }
        let mut cohorts = Vec::new();
        // The second itself must be over on every core.
        while self.next + 1 < now {
            let mut readings = Vec::new();
            for core in &self.trial.evidence.cores {
                core.read(self.next, &mut readings);
            }
            let age = now - self.next;
            if !readings.iter().all(|(_, reading)| is_done(reading, age)) {
                break;
            }
            readings.sort_by_key(|(epoch, _)| *epoch);
            for (number, reading) in readings {
                let epoch = self.epochs.iter().find(|epoch| epoch.number == number);
                cohorts.extend(epoch.and_then(|epoch| self.cohort(epoch, reading, age)));
            }
            self.next += 1;
        }
        cohorts
    }

    fn cohort(&self, epoch: &Epoch, reading: Reading, age: u32) -> Option<Cohort> {
        if reading.is_void {
            return None;
        }
        let tally = |counted: trial::slots::Counted| {
            let (silent, replying) = (counted.silent(), counted.replying);
            let mut tally = counted.tally;
            tally.errors[Class::Unfinished as usize] += silent;
            if replying > 0 {
                // They go well so far, and have taken as long as this at least.
                let at = bucket(u64::from(age) * 1_000_000_000);
                let count = u32::try_from(replying).unwrap_or(u32::MAX);
                match tally.times.binary_search_by_key(&at, |(known, _)| *known) {
                    Ok(place) => tally.times[place].1 += count,
                    Err(place) => tally.times.insert(place, (at, count)),
                }
            }
            tally
        };
        Some(Cohort {
            second: self.next.into(),
            epoch: epoch.number,
            weight: epoch.weight,
            canary: tally(reading.canary),
            stable: tally(reading.stable),
        })
    }
}

/// An upstream's KPIs that are told late.
fn late_kpis(config: &Config, upstream: UpstreamIx) -> Vec<LateKpi> {
    let kpis = config.kpis.iter().enumerate().filter(|(_, kpi)| kpi.upstream == upstream);
    let late = |(index, kpi): (usize, &Kpi)| match kpi.source {
        KpiSource::Late(within) => {
            let seconds = u32::try_from(within.as_secs()).unwrap_or(u32::MAX).max(1);
            Some(LateKpi::new(kpi.name.clone(), index, seconds))
        }
        KpiSource::Header(_) | KpiSource::Json(_) => None,
    };
    kpis.filter_map(late).collect()
}

/// Where an upstream's KPIs stand in JSON replies.
fn pointers(config: &Config, upstream: UpstreamIx) -> Box<[(usize, Pointer)]> {
    let kpis = config.kpis.iter().enumerate().filter(|(_, kpi)| kpi.upstream == upstream);
    let pointer = |(index, kpi): (usize, &Kpi)| match &kpi.source {
        // One that cannot be read finds nothing, and `GET /v1/kpi` says so.
        KpiSource::Json(pointer) => Some((index, Pointer::parse(pointer).ok()?)),
        KpiSource::Header(_) | KpiSource::Late(_) => None,
    };
    kpis.filter_map(pointer).collect()
}

/// Whether everything is known of a second that will be waited for.
fn is_done(reading: &Reading, age: u32) -> bool {
    let sides = [&reading.canary, &reading.stable];
    let open = || sides.iter().map(|side| side.silent()).sum::<u64>();
    let replying = || sides.iter().map(|side| side.replying).sum::<u64>();
    match age {
        HORIZON.. => true,
        LONG_REPLY.. => open() == 0,
        _ => open() + replying() == 0,
    }
}

/// The canary's part of what the two have of the line.
fn weight(canary: (u32, u32), stable: (u32, u32)) -> f64 {
    let (canary, stable) = (canary.1 - canary.0, stable.1 - stable.0);
    if canary == 0 {
        return 0.0;
    }
    f64::from(canary) / f64::from(canary + stable)
}

/// How often stable fails, forgetting by half every ten minutes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Usual {
    failed: f64,
    all: f64,
    second: u64,
}

impl Usual {
    #[expect(clippy::cast_precision_loss, reason = "counts of a second")]
    fn take(&mut self, cohort: &Cohort) {
        let gone = cohort.second.saturating_sub(self.second) as f64;
        let kept = (-gone / 600.0).exp2();
        self.second = cohort.second;
        self.failed = self.failed * kept + cohort.stable.failed() as f64;
        self.all = self.all * kept + cohort.stable.assigned as f64;
    }

    fn rate(&self) -> f64 {
        self.failed / self.all.max(1.0)
    }
}

/// Seconds after which what has not come back counts as unfinished.
const HORIZON: u32 = 60;
/// Seconds after which a cohort no longer waits for replies that have begun.
const LONG_REPLY: u32 = 5;
/// Splits remembered for each trial.
const EPOCHS: usize = 256;

const _: () = assert!(KPIS_MAX == 4, "a sighting has room for four");

/// Whether a position lies in a range of the line.
const fn within(position: u32, range: (u32, u32)) -> bool {
    range.0 <= position && position < range.1
}

#[cfg(test)]
mod tests;
