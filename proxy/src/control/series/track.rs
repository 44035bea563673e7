//! What has been counted of each version, and what of it belongs to the last minute and to a step.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use gnomon_policy::{SplitState, golden};

use super::{
    Rolling, StepId,
    kept::{Kept, Named, Row},
    left::TrackLeft,
    window::{Small, Tally, single},
};
use crate::{
    cells::VersionCells,
    clock::Moment,
    control::{
        api::{Arm, series::RolloutBeat},
        registry::VersionKey,
        state::State,
    },
};

/// All versions.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    /// The configuration's, as of a generation.
    generation: Option<u64>,
    names: Arc<[Named]>,
    shares: Arc<[f32]>,
    left_out: usize,
    /// Those that are gone may come back, and are kept as long as there is room.
    all: HashMap<VersionKey, Track>,
    rollouts: Arc<[RolloutBeat]>,
    /// Looks so far.
    looks: u64,
    last: Option<Moment>,
    /// Whose histograms are read next, where not all can be.
    turn: usize,
}

/// One version.
#[derive(Debug, Default)]
pub(super) struct Track {
    cells: Vec<Arc<VersionCells>>,
    /// Requests and failures at the last look.
    counted: (u64, u64),
    /// All that had been counted when its histogram was last read.
    read: Tally,
    /// The same when the present part was begun.
    begun: Tally,
    /// What came in each earlier part of the minute.
    parts: VecDeque<Tally>,
    minute: Minute,
    step: Option<Step>,
}

/// The window of a minute, and whether it has to be made anew.
#[derive(Debug)]
struct Minute {
    window: Small,
    is_stale: bool,
}

impl Default for Minute {
    fn default() -> Self {
        Self { window: Small::empty(), is_stale: false }
    }
}

/// What a step has seen.
#[derive(Debug)]
struct Step {
    of: StepId,
    /// All that had been counted before.
    before: Tally,
    window: Small,
}

impl Tracks {
    /// Follows what there is now. Nothing but the number of the snapshot is read if that has stayed.
    pub(super) fn follow(&mut self, state: &State) {
        if self.generation == Some(state.generation) {
            return;
        }
        self.generation = Some(state.generation);
        let (mut names, mut shares) = (Vec::new(), Vec::new());
        self.left_out = 0;
        for upstream in &state.config.upstreams {
            let split = state.splits.get(&upstream.name).cloned();
            let split = split.unwrap_or_else(|| SplitState::of(upstream));
            for (place, version) in upstream.versions.iter().enumerate() {
                if names.len() == VERSIONS_MAX {
                    self.left_out += 1;
                    continue;
                }
                let key =
                    VersionKey { upstream: upstream.name.clone(), version: version.name.clone() };
                let is_stable = usize::from(upstream.stable.0) == place;
                let arm = if is_stable { Arm::Stable } else { Arm::Canary };
                let share = split.shares.get(place).map_or(0.0, |share| share.percent());
                let cells = state.registry.version(&key).map(|entry| entry.cells.clone());
                let cells = cells.unwrap_or_default();
                let cores = state.registry.cores();
                let track = self.all.entry(key.clone());
                let track = track.or_insert_with(|| Track::new(&cells, cores));
                track.cells = cells;
                names.push(Named { key, arm: Some(arm) });
                shares.push(single(share));
            }
        }
        if *self.names != *names {
            self.names = names.into();
        }
        if *self.shares != *shares {
            self.shares = shares.into();
        }
        if self.all.len() > TRACKS_MAX {
            let names = &self.names;
            self.all.retain(|key, _| names.iter().any(|named| named.key == *key));
        }
    }

    /// All that are known.
    pub(super) fn tracks(&self) -> impl Iterator<Item = (&VersionKey, &Track)> {
        self.all.iter()
    }

    /// Goes on with what another process has counted of a version.
    pub(super) fn expect(&mut self, key: VersionKey, track: Track) {
        if self.all.len() < TRACKS_MAX {
            self.all.insert(key, track);
        }
    }

    /// Adds everything up.
    pub(super) fn look(&mut self, rollouts: &[Rolling], now: Moment) -> Kept {
        let seconds = self.last.map_or(1.0, |last| now.duration_since(last).as_secs_f64());
        self.last = Some(now);
        self.looks += 1;
        let is_turning = self.looks.is_multiple_of(PART_BEATS);
        let mut kept = Kept { left_out: self.left_out, ..Kept::default() };
        let mut rows = self.count(seconds.max(1e-3));
        let steps = self.read(rollouts);
        for (row, named) in rows.iter_mut().zip(self.names.iter()) {
            let Some(track) = self.all.get_mut(&named.key) else { continue };
            if is_turning {
                track.turn();
            }
            row.minute = track.window();
        }
        rows.retain(|row| !row.is_silent());
        let told: Vec<RolloutBeat> = rollouts.iter().map(|it| it.beat.clone()).collect();
        if *self.rollouts != *told {
            self.rollouts = told.into();
        }
        kept.names = self.names.clone();
        kept.shares = self.shares.clone();
        kept.rollouts = self.rollouts.clone();
        kept.rows = rows.into();
        kept.steps = steps.into();
        kept
    }

    /// Plain counts: how many a second, and how many now.
    fn count(&mut self, seconds: f64) -> Vec<Row> {
        let mut rows = Vec::with_capacity(self.names.len());
        for (place, named) in (0..).zip(self.names.iter()) {
            let Some(track) = self.all.get_mut(&named.key) else { continue };
            let (now, before) = (track.counts(), track.counted);
            track.counted = now;
            let rate = |now: u64, before: u64| single(now.saturating_sub(before) as f64 / seconds);
            let in_flight = track.cells.iter().map(|cells| cells.in_flight.read()).sum::<u64>();
            rows.push(Row {
                place,
                rate: rate(now.0, before.0),
                errors: rate(now.1, before.1),
                in_flight: u32::try_from(in_flight).unwrap_or(u32::MAX),
                minute: Small::default(),
            });
        }
        rows
    }

    /// Reads histograms: those of rollouts always, of the others as many as a second has time for, in
    /// turn. Gives back what steps have seen.
    fn read(&mut self, rollouts: &[Rolling]) -> Vec<(u16, Small)> {
        let names = self.names.clone();
        let mut steps = Vec::new();
        for (place, named) in (0..).zip(names.iter()) {
            let Some(track) = self.all.get_mut(&named.key) else { continue };
            let of = rollouts.iter().filter(|it| it.ends.contains(&named.key));
            match of.filter_map(|it| it.step.as_ref()).next() {
                Some(step) => {
                    track.read();
                    steps.push((place, track.follow_step(step)));
                }
                None => track.step = None,
            }
        }
        let mut left = READS_MAX.saturating_sub(steps.len());
        let (begin, count) = (self.turn, names.len());
        for offset in 0..count {
            let place = (begin + offset) % count;
            if left == 0 {
                self.turn = place;
                break;
            }
            let Some(track) = self.all.get_mut(&names[place].key) else { continue };
            left -= usize::from(track.read());
        }
        steps
    }
}

impl Track {
    /// What an earlier process has counted, in the blocks behind those of the cores, was before.
    fn new(cells: &[Arc<VersionCells>], cores: usize) -> Self {
        let before = cells.iter().skip(cores).cloned().collect();
        let mut track = Self { cells: before, ..Self::default() };
        track.counted = track.counts();
        track.read();
        track.begun.clone_from(&track.read);
        track.minute.is_stale = false;
        track
    }

    /// What another process has counted, which this one's cells go on from.
    pub(super) fn inherit(left: TrackLeft) -> Self {
        let TrackLeft { read, begun, parts, step, .. } = left;
        Self {
            counted: (read.requests, read.bad),
            minute: Minute { is_stale: true, ..Minute::default() },
            // Never to be believed beyond what a minute has.
            parts: parts.into_iter().rev().take(PARTS).rev().collect(),
            step: step.map(|(of, before)| {
                let window = Small::of(&read.since(&before).window());
                Step { of, before, window }
            }),
            read,
            begun,
            ..Self::default()
        }
    }

    pub(super) fn leave(&self) -> TrackLeft {
        let step = self.step.as_ref().map(|step| (step.of.clone(), step.before.clone()));
        let (read, begun) = (self.read.clone(), self.begun.clone());
        TrackLeft { read, begun, parts: self.parts.clone(), step, ..TrackLeft::default() }
    }

    /// Requests that have ended, and those that failed: replies 5xx, our own among them, and replies
    /// that broke off.
    fn counts(&self) -> (u64, u64) {
        let mut counts = (0, 0);
        for cells in &self.cells {
            let classes: u64 = cells.classes.iter().map(crate::cells::Cell::read).sum();
            counts.0 += classes + cells.unanswered.read();
            counts.1 += cells.classes[4].read() + cells.truncated.read();
        }
        counts
    }

    /// Reads its histogram if anything has come; says whether.
    fn read(&mut self) -> bool {
        let (requests, bad) = self.counted;
        if (self.read.requests, self.read.bad) == (requests, bad) {
            return false;
        }
        let mut sums = vec![0; golden::CELLS];
        self.cells.iter().for_each(|cells| cells.latency.add_to(&mut sums));
        let times = (0..).zip(sums).filter(|(_, count)| *count > 0).collect();
        self.read = Tally { requests, bad, times };
        self.minute.is_stale = true;
        true
    }

    /// Ends a part of the minute and begins the next.
    fn turn(&mut self) {
        let part = self.read.since(&self.begun);
        if part.requests > 0 {
            self.begun.clone_from(&self.read);
        } else if self.parts.is_empty() {
            return;
        }
        self.parts.push_back(part);
        while self.parts.len() > PARTS {
            let gone = self.parts.pop_front();
            self.minute.is_stale |= gone.is_some_and(|gone| gone.requests > 0);
        }
        if self.parts.iter().all(|part| part.requests == 0) {
            self.parts.clear();
        }
    }

    /// The last minute.
    fn window(&mut self) -> Small {
        if self.minute.is_stale {
            let mut sum = self.read.since(&self.begun);
            self.parts.iter().for_each(|part| sum.plus(part));
            self.minute = Minute { window: Small::of(&sum.window()), is_stale: false };
        }
        self.minute.window
    }

    /// What came since the step began.
    fn follow_step(&mut self, step: &StepId) -> Small {
        match &mut self.step {
            Some(known) if known.of == *step => {
                let now = self.read.since(&known.before);
                if now.requests != u64::from(known.window.requests) {
                    known.window = Small::of(&now.window());
                }
                known.window
            }
            other => {
                let window = Small::empty();
                *other = Some(Step { of: step.clone(), before: self.read.clone(), window });
                window
            }
        }
    }
}

/// Versions in a beat; as many as a configuration may well have.
pub(super) const VERSIONS_MAX: usize = 512;
/// Versions that are remembered, those that are gone among them: as many as the registry does.
const TRACKS_MAX: usize = 1000;
/// Histograms that are read in one look; at 900 cells a core, a millisecond or two with 16 cores.
const READS_MAX: usize = 128;
/// Beats that make one part of the minute.
const PART_BEATS: u64 = 5;
/// With the one under way, a minute.
const PARTS: usize = 11;
