//! How hard the process is pressed: read five times a second, told to the cores in a cell.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use gnomon_policy::strain::{Level, Reading, Strain};
use gnomon_sys::{limits, memory};
use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;

use super::Control;
use crate::clock;

/// How hard the process is pressed, as of the last look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overload {
    /// `calm`, `tight`, `closed` or `shedding`.
    pub level: String,
    /// The same as a number, from 0.
    pub number: u64,
    /// What asks for it now: `memory`, `files`, `core`; none while the level is waiting to fall.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub by: Option<String>,
    /// Memory of the process against its bound; 1 is all of it.
    pub memory: f64,
    /// The bound in bytes.
    pub memory_max: u64,
    /// Open files against the limit.
    pub files: f64,
    /// How long the slowest core works for one turn of its loop, in seconds.
    pub turn_seconds: f64,
    /// Times that the level has changed since the start.
    pub changes: u64,
}

impl Default for Overload {
    fn default() -> Self {
        Self::of(Level::Calm, &Reading::default(), 0, 0)
    }
}

impl Overload {
    fn of(level: Level, reading: &Reading, memory_max: u64, changes: u64) -> Self {
        Self {
            level: level.as_str().to_owned(),
            number: level.number(),
            by: reading.asks().1.map(|part| part.as_str().to_owned()),
            memory: reading.memory,
            memory_max,
            files: reading.files,
            turn_seconds: reading.turn.as_secs_f64(),
            changes,
        }
    }

    /// What is short, in a few words.
    #[must_use]
    pub fn words(&self) -> String {
        format!(
            "{}: memory {:.0} %, files {:.0} %, a core's turn {:.0} ms",
            self.level,
            self.memory * 100.0,
            self.files * 100.0,
            self.turn_seconds * 1000.0
        )
    }
}

/// What has to be remembered from one look to the next.
#[derive(Debug, Default)]
struct Before {
    strain: Strain,
    looks: u32,
    /// What the cgroup or the machine allows.
    allowed: u64,
    /// Open files that are no connections.
    others: u64,
    changes: u64,
}

impl Control {
    /// How hard the process is pressed, as of the last look.
    pub(crate) fn overload(&self) -> Arc<Overload> {
        self.overload.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) async fn follow_strain(self: Arc<Self>) {
        let mut looks = tokio::time::interval(EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = Before::default();
        loop {
            looks.tick().await;
            let bound = self.state().config.limits.memory;
            let reading = self.read_strain(&mut before, bound);
            self.press(&mut before, &reading, bound);
        }
    }

    /// Follows a reading: the cores are told first, then people.
    fn press(&self, before: &mut Before, reading: &Reading, bound: u64) {
        let was = before.strain.level();
        let changed = before.strain.follow(reading, clock::now().duration_since(self.started));
        let level = before.strain.level();
        self.shared.guard.set_strain(level);
        before.changes += u64::from(changed);
        let bound = memory_max(bound, before.allowed);
        let overload = Arc::new(Overload::of(level, reading, bound, before.changes));
        if changed {
            let words = overload.words();
            self.strain_happened(&words, level > was);
            if level > was {
                tracing::warn!(level = level.as_str(), was = was.as_str(), "pressed: {words}");
                // Of this thread's heap; the cores give back their own.
                memory::give_back();
            } else {
                tracing::info!(level = level.as_str(), was = was.as_str(), "less pressed: {words}");
            }
        }
        *self.overload.lock().unwrap_or_else(PoisonError::into_inner) = overload;
    }

    fn read_strain(&self, before: &mut Before, bound: u64) -> Reading {
        let cores = &self.shared.cores;
        let connections: u64 =
            cores.iter().map(|core| core.connections.read() + core.origin_connections.read()).sum();
        if before.looks.is_multiple_of(COUNT_EVERY) {
            before.others = limits::open_files_now().saturating_sub(connections);
            before.allowed = memory::allowed();
        }
        before.looks = before.looks.wrapping_add(1);
        let turns = cores.iter().filter(|core| core.stopped.read() == 0);
        let turn = turns.map(|core| core.turn_nanos.read()).max().unwrap_or(0);
        Reading {
            memory: ratio(memory::in_use().0, memory_max(bound, before.allowed)),
            files: ratio(before.others + connections, limits::open_files()),
            turn: Duration::from_nanos(turn),
        }
    }
}

/// The bound on memory: as configured, else the part of what is allowed that leaves room for what
/// the kernel keeps for our sockets and for the page cache; 0 if nobody knows.
const fn memory_max(configured: u64, allowed: u64) -> u64 {
    if configured > 0 { configured } else { allowed / 100 * ALLOWED_PERCENT }
}

/// A part of a whole; of nothing known, none.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Between two looks: memory that is taken at a gigabyte a second is noticed in time.
const EVERY: Duration = Duration::from_millis(200);
/// Looks between two counts of all open files, which take longer than everything else: 5 s.
const COUNT_EVERY: u32 = 25;
/// Of what the cgroup or the machine allows, what the process may take.
const ALLOWED_PERCENT: u64 = 80;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::tests::bench;

    #[test]
    fn what_is_configured_goes_before_what_is_allowed() {
        assert_eq!(memory_max(7, 1000), 7);
        assert_eq!(memory_max(0, 1000), 800);
        assert_eq!((ratio(5, memory_max(0, 0)), ratio(1, 4)), (0.0, 0.25));
    }

    #[test]
    fn a_reading_reaches_the_cores_the_status_and_whoever_asks_whether_we_are_ready() {
        let bench = bench("strain", "");
        let control = &bench.control;
        let mut before = Before::default();
        let is_ready = || {
            let checks = control.readiness();
            checks.iter().find(|check| check.name == "overload").is_some_and(|check| check.ok)
        };
        let level = || control.shared.guard.strain();
        control.press(&mut before, &Reading { memory: 0.5, ..Reading::default() }, 1 << 30);
        assert_eq!((level(), control.overload().number), (Level::Calm, 0));
        assert!(is_ready());
        for (memory, expected) in
            [(0.9, Level::Tight), (0.95, Level::Closed), (0.98, Level::Shedding)]
        {
            control.press(&mut before, &Reading { memory, ..Reading::default() }, 1 << 30);
            assert_eq!((level(), control.overload().number), (expected, expected.number()));
            assert!(!is_ready(), "unready from the first level on");
        }
        let told = control.status().overload;
        assert_eq!((told.level.as_str(), told.by.as_deref()), ("shedding", Some("memory")));
        assert_eq!((told.changes, told.memory_max), (3, 1 << 30));
        // Better at once is not calm at once.
        control.press(&mut before, &Reading::default(), 1 << 30);
        assert_eq!((level(), control.overload().by.as_deref()), (Level::Shedding, None));
    }

    #[test]
    fn what_this_process_takes_can_be_read() {
        let bench = bench("reading", "");
        let mut before = Before::default();
        let reading = bench.control.read_strain(&mut before, 0);
        assert!(before.allowed > 0 && reading.memory > 0.0 && reading.files > 0.0);
        let full = bench.control.read_strain(&mut before, 1 << 20);
        assert_eq!(full.asks().0, Level::Shedding, "a mebibyte is too little for anybody");
    }
}
