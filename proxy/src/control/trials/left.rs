//! Trials that go on in another process: nothing of their evidence is lost, nor counted twice.
//!
//! Second 0 is the same for both. What the cores of the old process know of a second is mirrored into
//! one more block of slots in the new one, behind those of its own cores: whoever reads a second adds up
//! all blocks, and so does a fuse. While the old process finishes what it began, it tells again
//! whatever has changed, and up to when it has told everything; until it has ended, the new one gives
//! out no second beyond that. Sightings of users and requests go over one by one.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use gnomon_config::model::Rollout;
use serde::{Deserialize, Serialize};

use super::{
    Book, Epoch, Known, Trials, Units, Usual, Voids,
    flags::JudgedLeft,
    late::{Late, LateLeft},
};
use crate::{
    clock,
    snapshot::Snapshot,
    trial::{self, Sighting, Trial, fuse::StateLeft, slots::Reading},
};

/// All trials of a process that lays down the pen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TrialsLeft {
    /// How old second 0 was, in nanoseconds, when …
    age_nanos: u64,
    /// … the system's monotonic clock showed this.
    monotonic_nanos: u64,
    /// Wall clock of second 0.
    begun: Duration,
    last_number: u32,
    last_book: u32,
    known: BTreeMap<String, TrialLeft>,
    /// By the flag's name.
    judged: BTreeMap<String, JudgedLeft>,
    late: LateLeft,
}

/// One trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct TrialLeft {
    /// What was compared.
    upstream: String,
    stable: String,
    canary: String,
    by_user: bool,
    pub(super) epochs: Vec<Epoch>,
    next: u32,
    units: Units,
    voids: Voids,
    usual: Usual,
    book: Book,
    pub(super) fuse: StateLeft,
    readings: Vec<(u32, u32, Reading)>,
}

/// What has become known since.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TrialsNews {
    /// Up to this second everything has been told that was known then.
    until: u32,
    /// By the rollout's name, second and epoch: what is known now.
    readings: Vec<(String, u32, u32, Reading)>,
    /// By the rollout's name.
    sightings: Vec<(String, Sighting)>,
    /// By the flag's name.
    judged: Vec<(String, Sighting)>,
}

/// What a process knows of the one before it.
#[derive(Debug)]
pub(super) struct Before {
    /// Trials that nobody has asked for yet.
    known: BTreeMap<String, TrialLeft>,
    /// Those of flags.
    pub(super) judged: BTreeMap<String, JudgedLeft>,
    /// As in [`TrialsNews`]; nothing once it has ended.
    until: Option<u32>,
}

/// What a process has for the one after it.
#[derive(Debug, Default)]
pub(super) struct After {
    told: HashMap<(String, u32, u32), Reading>,
    sightings: Vec<(String, Sighting)>,
    judged: Vec<(String, Sighting)>,
}

impl After {
    pub(super) fn see(&mut self, known: &Known, sighting: Sighting) {
        self.sightings.push((known.trial.name.to_string(), sighting));
    }

    pub(super) fn see_of_flag(&mut self, name: &str, sighting: Sighting) {
        self.judged.push((name.to_owned(), sighting));
    }
}

/// The latest second that may be given out as if it were now: everything has been told up to it, or
/// it is so old that nobody waits for it.
pub(super) fn within(now: u32, told: Option<u32>) -> u32 {
    told.map_or(now, |told| now.min(told.max(now.saturating_sub(super::HORIZON))))
}

impl Trials {
    /// All that is known. From now on what comes is kept for [`Trials::news`].
    pub(crate) fn leave(&mut self, snapshot: &Snapshot) -> TrialsLeft {
        self.take_sightings();
        let now = clock::now();
        let second = trial::second(self.started, now);
        let mut after = After::default();
        let mut left = TrialsLeft {
            age_nanos: clock::nanos(now.saturating_duration_since(self.started)),
            monotonic_nanos: clock::nanos(clock::monotonic()),
            begun: self.begun,
            last_number: self.last_number,
            last_book: self.last_book,
            known: BTreeMap::new(),
            judged: self.leave_judged(),
            late: self.late.leave(),
        };
        for (name, known) in &self.known {
            let readings = known.readings(second);
            for (second, epoch, reading) in &readings {
                after.told.insert((name.to_string(), *second, *epoch), reading.clone());
            }
            if let Some(trial) = known.leave(snapshot, readings) {
                left.known.insert(name.to_string(), trial);
            }
        }
        self.after = Some(after);
        left
    }

    /// The other process did not come up: everything goes on here.
    pub(crate) fn stay(&mut self) {
        let After { sightings, judged, .. } = self.after.take().unwrap_or_default();
        for (name, sighting) in sightings {
            if let Some(known) = self.known.get_mut(&*name) {
                known.see(&mut self.late, &sighting);
            }
        }
        self.hear_of_flags(&judged);
    }

    /// What has become known since this was last asked, or since [`Trials::leave`].
    pub(crate) fn news(&mut self) -> TrialsNews {
        let second = trial::second(self.started, clock::now());
        self.take_sightings();
        let Some(after) = &mut self.after else { return TrialsNews::default() };
        let mut readings = Vec::new();
        for (name, known) in &self.known {
            for (at, epoch, reading) in known.readings(second) {
                let key = (name.to_string(), at, epoch);
                if after.told.get(&key) != Some(&reading) {
                    after.told.insert(key, reading.clone());
                    readings.push((name.to_string(), at, epoch, reading));
                }
            }
        }
        after.told.retain(|(_, at, _), _| *at + MEMORY >= second);
        let sightings = std::mem::take(&mut after.sightings);
        let judged = std::mem::take(&mut after.judged);
        TrialsNews { until: second, readings, sightings, judged }
    }

    /// Begins where another process stopped.
    pub(crate) fn inherit(cores: usize, left: TrialsLeft) -> Self {
        let since = clock::nanos(clock::monotonic()).saturating_sub(left.monotonic_nanos);
        let age = Duration::from_nanos(left.age_nanos.saturating_add(since));
        let fresh = Self::new(cores);
        let Some(started) = clock::now().checked_sub(age) else { return fresh };
        let until = trial::second(started, clock::now());
        Self {
            started,
            begun: left.begun,
            last_number: left.last_number,
            last_book: left.last_book,
            late: Late::inherit(left.late),
            before: Some(Before { known: left.known, judged: left.judged, until: Some(until) }),
            ..fresh
        }
    }

    /// Takes over what another process still tells.
    pub(crate) fn hear(&mut self, news: TrialsNews) {
        for (name, second, epoch, reading) in &news.readings {
            let block = self.known.get(&**name).and_then(|known| known.trial.evidence.cores.last());
            if let Some(block) = block {
                block.mirror(*second, *epoch, reading);
            }
        }
        for (name, sighting) in news.sightings {
            if let Some(known) = self.known.get_mut(&*name) {
                known.see(&mut self.late, &sighting);
            }
        }
        self.hear_of_flags(&news.judged);
        if let Some(before) = &mut self.before {
            before.until = Some(news.until);
        }
    }

    /// The other process has ended. Of what it had not finished if it did not say farewell, nobody
    /// knows the end: these seconds are evidence of neither version.
    pub(crate) fn bury(&mut self, said_farewell: bool) {
        if let Some(before) = &mut self.before {
            before.until = None;
        }
        if said_farewell {
            return;
        }
        for known in self.known.values() {
            let Some(block) = known.trial.evidence.cores.last() else { continue };
            let open: Vec<(u32, u32)> = block.known(0).collect();
            for (second, epoch) in open {
                let mut reading = Reading::default();
                reading_of(block, second, epoch, &mut reading);
                let sides = [&reading.canary, &reading.stable];
                if sides.iter().any(|side| side.tally.assigned > side.resolved) {
                    reading.is_void = true;
                    block.mirror(second, epoch, &reading);
                }
            }
        }
    }

    /// Blocks of slots: the cores', and that of the process before.
    pub(super) fn blocks(&self) -> usize {
        self.cores + usize::from(self.before.is_some())
    }

    /// Whether another process judges from now on.
    pub(crate) fn is_left(&self) -> bool {
        self.after.is_some()
    }

    pub(super) fn told_until(&self) -> Option<u32> {
        self.before.as_ref()?.until
    }

    /// What another process left of a rollout's trial, if it compared the same.
    pub(super) fn left_of(&mut self, snapshot: &Snapshot, rollout: &Rollout) -> Option<TrialLeft> {
        let left = self.before.as_mut()?.known.remove(&*rollout.name)?;
        let (upstream, stable, canary) = names(snapshot, rollout)?;
        let is_same = (&left.upstream, &left.stable, &left.canary) == (&upstream, &stable, &canary);
        is_same.then_some(left)
    }
}

impl Known {
    fn leave(&self, snapshot: &Snapshot, readings: Vec<(u32, u32, Reading)>) -> Option<TrialLeft> {
        let rollouts = &snapshot.config.rollouts;
        let rollout = rollouts.iter().find(|rollout| rollout.name == self.trial.name)?;
        let (upstream, stable, canary) = names(snapshot, rollout)?;
        Some(TrialLeft {
            upstream,
            stable,
            canary,
            by_user: self.trial.by_user,
            epochs: self.epochs.clone(),
            next: self.next,
            units: self.units.clone(),
            voids: self.voids.clone(),
            usual: self.usual.clone(),
            book: self.book.clone(),
            fuse: self.trial.evidence.state.leave(),
            readings,
        })
    }

    pub(super) fn inherit(trial: Arc<Trial>, left: TrialLeft) -> Self {
        if let Some(block) = trial.evidence.cores.last() {
            for (second, epoch, reading) in &left.readings {
                block.mirror(*second, *epoch, reading);
            }
        }
        let TrialLeft { epochs, next, units, voids, usual, book, .. } = left;
        Self { trial, epochs, next, units, voids, usual, book }
    }

    /// What all blocks know of the last minutes, in order.
    fn readings(&self, now: u32) -> Vec<(u32, u32, Reading)> {
        let since = now.saturating_sub(MEMORY);
        let blocks = &self.trial.evidence.cores;
        let keys: BTreeSet<(u32, u32)> =
            blocks.iter().flat_map(|block| block.known(since)).collect();
        let reading = |(second, epoch)| {
            let mut reading = Reading::default();
            for block in blocks {
                reading_of(block, second, epoch, &mut reading);
            }
            (second, epoch, reading)
        };
        keys.into_iter().map(reading).collect()
    }
}

/// Adds what a block knows of a second under a split.
fn reading_of(block: &trial::CoreEvidence, second: u32, epoch: u32, into: &mut Reading) {
    let mut all = vec![(epoch, std::mem::take(into))];
    block.read(second, &mut all);
    *into = all.swap_remove(0).1;
}

fn names(snapshot: &Snapshot, rollout: &Rollout) -> Option<(String, String, String)> {
    let upstream = snapshot.config.upstreams.get(usize::from(rollout.upstream.0))?;
    let version = |place: gnomon_config::model::VersionIx| {
        upstream.versions.get(usize::from(place.0)).map(|version| version.name.to_string())
    };
    Some((upstream.name.to_string(), version(rollout.from)?, version(rollout.to)?))
}

/// Maps whose keys JSON cannot have, as lists.
pub(super) mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in crate::control::trials) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(in crate::control::trials) fn deserialize<'de, K, V, D>(
        deserializer: D,
    ) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(deserializer)?.into_iter().collect())
    }
}

/// Names, which are shared.
pub(super) mod named {
    use gnomon_config::model::Name;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::control::trials) fn serialize<S: Serializer>(
        name: &Name,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(name)
    }

    pub(in crate::control::trials) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Name, D::Error> {
        Ok(String::deserialize(deserializer)?.into())
    }
}

/// Seconds that may still change: a minute for the slowest requests, and some.
const MEMORY: u32 = 64;

#[cfg(test)]
mod tests;
