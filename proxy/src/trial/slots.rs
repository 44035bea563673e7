//! One core's evidence: a ring of slots, one for each second and split in which it assigned.

use gnomon_config::model::KPIS_MAX;
use gnomon_policy::judge::cohort::{BUCKETS, CLASSES, Class, KPI_LEVELS, Tally, bucket};

use serde::{Deserialize, Serialize};

use super::{Arm, Outcome, Small};
use crate::{cells::Cell, clock};

/// One core's slots. The core is their only writer.
#[derive(Debug)]
pub struct CoreEvidence {
    slots: Box<[Slot]>,
    /// The slot that is being filled.
    current: Small,
    /// Requests that ended after their slot was used for another second.
    pub late: Cell,
    /// Sightings that found no room.
    pub lost: Cell,
    /// Requests whose reply told a KPI, by its index.
    pub told: [Cell; KPIS_MAX],
}

/// What a core assigned within one second under one split.
#[derive(Debug)]
struct Slot {
    /// Epoch and second; 0 before the first use.
    key: Cell,
    /// 1 if something other than the draw decided where requests went.
    void: Small,
    canary: ArmCells,
    stable: ArmCells,
}

#[derive(Debug)]
struct ArmCells {
    assigned: Small,
    resolved: Small,
    /// Those whose reply has begun and not ended.
    replying: Small,
    errors: [Small; CLASSES],
    refused: Small,
    times: [Small; BUCKETS],
    kpis: [[Small; KPI_LEVELS as usize]; KPIS_MAX],
}

/// A request's place in a slot.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    key: u64,
    place: u32,
    arm: Arm,
    replying: bool,
}

impl Ticket {
    /// The second in which it was assigned.
    #[must_use]
    pub const fn second(&self) -> u32 {
        (self.key & 0xffff_ffff) as u32
    }

    /// The epoch of the split that assigned it.
    #[must_use]
    pub const fn epoch(&self) -> u32 {
        (self.key >> 32) as u32
    }

    /// Where it was sent.
    #[must_use]
    pub const fn arm(&self) -> Arm {
        self.arm
    }
}

impl CoreEvidence {
    /// Counts a request that a draw sent to `arm`.
    pub fn assign(&self, second: u32, epoch: u32, arm: Arm) -> Ticket {
        let key = u64::from(epoch) << 32 | u64::from(second);
        let place = self.open(key);
        let ticket = Ticket { key, place, arm, replying: false };
        if let Some(cells) = self.cells(&ticket) {
            cells.assigned.add(1);
        }
        ticket
    }

    /// The reply has begun.
    pub fn reply(&self, ticket: &mut Ticket) {
        if let (false, Some(cells)) = (ticket.replying, self.cells(ticket)) {
            cells.replying.add(1);
            ticket.replying = true;
        }
    }

    /// Counts what became of it.
    pub fn resolve(&self, ticket: Ticket, outcome: &Outcome) {
        let Some(cells) = self.cells(&ticket) else {
            self.late.add(1);
            return;
        };
        if ticket.replying {
            cells.replying.sub(1);
        }
        match outcome.class {
            Some(class) => cells.errors[class as usize].add(1),
            None => cells.refused.add(u32::from(outcome.refused)),
        }
        if let Some(time) = outcome.time {
            cells.times[usize::from(bucket(clock::nanos(time)))].add(1);
        }
        for ((levels, level), told) in cells.kpis.iter().zip(outcome.kpis).zip(&self.told) {
            if let Some(cell) = level.and_then(|level| levels.get(usize::from(level))) {
                cell.add(1);
                told.add(1);
            }
        }
        cells.resolved.add(1);
    }

    /// Says that in this second something else than the draw decided.
    pub fn void(&self, second: u32, epoch: u32) {
        let place = self.open(u64::from(epoch) << 32 | u64::from(second));
        self.slots[place as usize].void.set(1);
    }

    /// The splits under which something else than the draw decided in this second.
    pub fn voids(&self, second: u32) -> impl Iterator<Item = u32> {
        let is_so = move |slot: &&Slot| {
            slot.key.read() & 0xffff_ffff == u64::from(second) && slot.void.read() != 0
        };
        let void = self.slots.iter().filter(is_so);
        void.filter_map(|slot| u32::try_from(slot.key.read() >> 32).ok())
    }

    /// Adds what this core knows of a second, by epoch.
    pub fn read(&self, second: u32, into: &mut Vec<(u32, Reading)>) {
        for slot in &self.slots {
            let key = slot.key.read();
            if key == 0 || key & 0xffff_ffff != u64::from(second) {
                continue;
            }
            let epoch = u32::try_from(key >> 32).unwrap_or(0);
            let place = into.iter().position(|(known, _)| *known == epoch).unwrap_or_else(|| {
                into.push((epoch, Reading::default()));
                into.len() - 1
            });
            let reading = &mut into[place].1;
            reading.is_void |= slot.void.read() != 0;
            slot.canary.add_to(&mut reading.canary);
            slot.stable.add_to(&mut reading.stable);
        }
    }

    /// Second and epoch of everything that is known since `second`.
    pub(crate) fn known(&self, second: u32) -> impl Iterator<Item = (u32, u32)> {
        let keys = self.slots.iter().map(|slot| slot.key.read()).filter(|key| *key != 0);
        let parts = keys.filter_map(|key| {
            let (epoch, at) = (u32::try_from(key >> 32), u32::try_from(key & 0xffff_ffff));
            Some((at.ok()?, epoch.ok()?))
        });
        parts.filter(move |(at, _)| *at >= second)
    }

    /// Makes a second and split say just this: what the cores of an earlier process know of it. Only
    /// this block's one writer may.
    pub(crate) fn mirror(&self, second: u32, epoch: u32, reading: &Reading) {
        let key = u64::from(epoch) << 32 | u64::from(second);
        let place = self.slots.iter().position(|slot| slot.key.read() == key);
        let place = place.unwrap_or_else(|| self.open(key) as usize);
        let slot = &self.slots[place];
        slot.void.set(u32::from(reading.is_void));
        slot.canary.mirror(&reading.canary);
        slot.stable.mirror(&reading.stable);
    }

    /// Adds what this core has seen under `epoch` since `second`.
    pub(super) fn add_recent(&self, epoch: u32, since: u32, canary: &mut Sum, stable: &mut Sum) {
        let newest = self.current.read();
        let place = |back: u32| ((newest + SLOTS - back) % SLOTS) as usize;
        let backwards = (0..SLOTS).map(|back| &self.slots[place(back)]);
        for slot in backwards {
            let key = slot.key.read();
            if key == 0 || key >> 32 != u64::from(epoch) || key & 0xffff_ffff < u64::from(since) {
                return;
            }
            slot.canary.add_sum(canary);
            slot.stable.add_sum(stable);
        }
    }

    /// The place of the slot with this key, which is the newest or a new one.
    fn open(&self, key: u64) -> u32 {
        let current = self.current.read();
        if self.slots[current as usize].key.read() == key {
            return current;
        }
        self.turn(current, key)
    }

    #[cold]
    fn turn(&self, current: u32, key: u64) -> u32 {
        let next = (current + 1) % SLOTS;
        let slot = &self.slots[next as usize];
        // Before its counts are: who reads in between finds nobody's slot.
        slot.key.set(0);
        slot.void.set(0);
        slot.canary.clear();
        slot.stable.clear();
        slot.key.set(key);
        self.current.set(next);
        next
    }

    /// Where a ticket is counted, unless its slot is another's by now.
    fn cells(&self, ticket: &Ticket) -> Option<&ArmCells> {
        let slot = self.slots.get(ticket.place as usize)?;
        (slot.key.read() == ticket.key).then_some(match ticket.arm {
            Arm::Canary => &slot.canary,
            Arm::Stable => &slot.stable,
        })
    }
}

/// What all cores know of one second under one split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reading {
    /// Whether something other than the draw decided.
    pub is_void: bool,
    /// What was sent to the canary.
    pub canary: Counted,
    /// What was sent to stable.
    pub stable: Counted,
}

/// What is known of one version's requests of a second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counted {
    /// What the judge takes; still without those that are unfinished.
    pub tally: Tally,
    /// Those that have ended.
    pub resolved: u64,
    /// Those whose reply has begun.
    pub replying: u64,
}

impl Counted {
    /// Those of which nothing has come back.
    #[must_use]
    pub fn silent(&self) -> u64 {
        self.tally.assigned.saturating_sub(self.resolved + self.replying)
    }
}

/// What the fuse looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) assigned: u64,
    pub(super) resolved: u64,
    pub(super) bad: u64,
    pub(super) silent: u64,
}

impl ArmCells {
    fn clear(&self) {
        self.assigned.set(0);
        self.resolved.set(0);
        self.replying.set(0);
        self.refused.set(0);
        let kpis = self.kpis.iter().flatten();
        self.errors.iter().chain(&self.times).chain(kpis).for_each(|cell| cell.set(0));
    }

    fn mirror(&self, counted: &Counted) {
        let tally = &counted.tally;
        let small = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        self.assigned.set(small(tally.assigned));
        self.resolved.set(small(counted.resolved));
        self.replying.set(small(counted.replying));
        self.refused.set(small(tally.refused));
        for (cell, count) in self.errors.iter().zip(tally.errors) {
            cell.set(small(count));
        }
        for (place, count) in &tally.times {
            if let Some(cell) = self.times.get(usize::from(*place)) {
                cell.set(*count);
            }
        }
        for (cells, levels) in self.kpis.iter().zip(&tally.kpis) {
            for (level, count) in levels {
                if let Some(cell) = cells.get(usize::from(*level)) {
                    cell.set(*count);
                }
            }
        }
    }

    fn add_sum(&self, sum: &mut Sum) {
        let (assigned, resolved) = (self.assigned.read(), self.resolved.read());
        sum.assigned += u64::from(assigned);
        sum.resolved += u64::from(resolved);
        sum.bad += self.errors.iter().map(|cell| u64::from(cell.read())).sum::<u64>();
        sum.silent += u64::from(assigned.saturating_sub(resolved + self.replying.read()));
    }

    fn add_to(&self, counted: &mut Counted) {
        let tally = &mut counted.tally;
        tally.assigned += u64::from(self.assigned.read());
        counted.resolved += u64::from(self.resolved.read());
        counted.replying += u64::from(self.replying.read());
        tally.refused += u64::from(self.refused.read());
        for (sum, cell) in tally.errors.iter_mut().zip(&self.errors) {
            *sum += u64::from(cell.read());
        }
        merge(&mut tally.times, read(&self.times));
        tally.kpis.resize(KPIS_MAX, Vec::new());
        for (sums, cells) in tally.kpis.iter_mut().zip(&self.kpis) {
            merge(sums, read(cells));
        }
    }
}

/// The cells that have counted something, by their place.
fn read<K: TryFrom<usize>>(cells: &[Small]) -> impl Iterator<Item = (K, u32)> {
    let counted = cells.iter().enumerate().map(|(place, cell)| (place, cell.read()));
    counted
        .filter(|(_, count)| *count > 0)
        .filter_map(|(place, n)| Some((place.try_into().ok()?, n)))
}

/// Adds sorted counts to sorted counts.
fn merge<K: Ord + Copy>(into: &mut Vec<(K, u32)>, from: impl Iterator<Item = (K, u32)>) {
    for (key, count) in from {
        match into.binary_search_by_key(&key, |(known, _)| *known) {
            Ok(place) => into[place].1 += count,
            Err(place) => into.insert(place, (key, count)),
        }
    }
}

impl Default for CoreEvidence {
    fn default() -> Self {
        let slots = (0..SLOTS).map(|_| Slot::default()).collect();
        Self {
            slots,
            current: Small::default(),
            late: Cell::default(),
            lost: Cell::default(),
            told: Default::default(),
        }
    }
}

impl Default for Slot {
    fn default() -> Self {
        let arm = || ArmCells {
            assigned: Small::default(),
            resolved: Small::default(),
            replying: Small::default(),
            errors: Default::default(),
            refused: Small::default(),
            times: std::array::from_fn(|_| Small::default()),
            kpis: std::array::from_fn(|_| std::array::from_fn(|_| Small::default())),
        };
        Self { key: Cell::default(), void: Small::default(), canary: arm(), stable: arm() }
    }
}

/// Slots of a core: a minute for the slowest requests, as much again for splits that change. With
/// 4 KiB each, half a mebibyte for each core and trial.
const SLOTS: u32 = 128;

const _: () = assert!(Class::Unfinished as usize == CLASSES - 1);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const WELL: Outcome = Outcome {
        class: None,
        refused: false,
        time: Some(Duration::from_millis(3)),
        kpis: [None; 4],
    };

    fn read_all(core: &CoreEvidence, second: u32) -> Vec<(u32, Reading)> {
        let mut all = Vec::new();
        core.read(second, &mut all);
        all
    }

    #[test]
    fn a_request_counts_in_the_second_of_its_assignment() {
        let core = CoreEvidence::default();
        let slow = core.assign(1, 9, Arm::Canary);
        let quick = core.assign(2, 9, Arm::Stable);
        core.resolve(quick, &Outcome { refused: true, ..WELL });
        let first = read_all(&core, 1);
        assert_eq!((first.len(), first[0].0, first[0].1.canary.silent()), (1, 9, 1));
        let kpis = [Some(32), None, Some(0), None];
        core.resolve(slow, &Outcome { class: Some(Class::Timeout), time: None, kpis, ..WELL });
        let counted = &read_all(&core, 1)[0].1.canary;
        assert_eq!((counted.resolved, counted.tally.errors[2], counted.tally.failed()), (1, 1, 1));
        assert_eq!(counted.tally.kpis, [vec![(32, 1)], vec![], vec![(0, 1)], vec![]]);
        assert_eq!(core.told.each_ref().map(Cell::read), [1, 0, 1, 0]);
        let stable = &read_all(&core, 2)[0].1.stable.tally;
        assert_eq!((stable.refused, stable.times.len(), stable.slower(0)), (1, 1, 1));
    }

    #[test]
    fn epochs_within_a_second_stay_apart_and_void_ones_are_marked() {
        let core = CoreEvidence::default();
        core.assign(5, 1, Arm::Canary);
        core.assign(5, 2, Arm::Canary);
        core.void(5, 2);
        let all = read_all(&core, 5);
        let voids: Vec<(u32, bool)> = all.iter().map(|(epoch, it)| (*epoch, it.is_void)).collect();
        assert_eq!(voids, [(1, false), (2, true)]);
        assert_eq!((core.voids(5).collect::<Vec<_>>(), core.voids(6).count()), (vec![2], 0));
    }

    #[test]
    fn a_reply_that_has_begun_is_not_silent() {
        let core = CoreEvidence::default();
        let mut ticket = core.assign(1, 1, Arm::Canary);
        core.reply(&mut ticket);
        core.reply(&mut ticket);
        let counted = &read_all(&core, 1)[0].1.canary;
        assert_eq!((counted.replying, counted.silent()), (1, 0));
        core.resolve(ticket, &WELL);
        let counted = &read_all(&core, 1)[0].1.canary;
        assert_eq!((counted.replying, counted.resolved), (0, 1));
    }

    #[test]
    fn who_comes_after_the_ring_went_round_is_told_apart() {
        let core = CoreEvidence::default();
        let ticket = core.assign(1, 1, Arm::Canary);
        for second in 2..=SLOTS + 1 {
            core.assign(second, 1, Arm::Stable);
        }
        core.resolve(ticket, &WELL);
        assert_eq!((core.late.read(), read_all(&core, 1).len()), (1, 0));
    }
}
