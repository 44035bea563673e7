//! Housekeeping of one core, every [`TICK`]: deadlines, snapshot, doors, idle connections.

use std::{rc::Rc, time::Duration};

use gnomon_config::model::Share;
use gnomon_policy::strain::Level;
use gnomon_sys::affinity;

use super::{
    Worker,
    accept::{self, Door},
    origin::REAP_EVERY,
    restraint::STRAINED_IDLE,
};
use crate::{
    cells::CoreCells,
    clock::{self, Moment},
    patience::TICK,
    snapshot::Phase,
};

/// Runs until the worker has drained.
pub(super) async fn run(worker: Rc<Worker>) {
    let mut house = Housekeeping::begin();
    loop {
        monoio::time::sleep(TICK).await;
        if house.turn(&worker) {
            return;
        }
    }
}

/// What housekeeping remembers from one turn to the next.
pub(super) struct Housekeeping {
    begun: Moment,
    /// Time in which the core could not look: no deadline passes in it.
    missed: Duration,
    /// The tick of the latest reaping.
    reaped: u32,
    work: Work,
}

impl Housekeeping {
    pub(super) fn begin() -> Self {
        let begun = clock::now();
        let work = Work { seen: begun, worked: affinity::cpu_time(), before: Duration::ZERO };
        Self { begun, missed: Duration::ZERO, reaped: 0, work }
    }

    /// One turn; whether the worker has drained.
    pub(super) fn turn(&mut self, worker: &Rc<Worker>) -> bool {
        let now = clock::now();
        let turn = self.work.turn(now);
        worker.busy.set(turn.share(worker.busy.get()));
        turn.count(&worker.cells);
        self.missed += turn.missed();
        let ticks = (now - self.begun).saturating_sub(self.missed).as_millis() / TICK.as_millis();
        worker.deadlines.sweep(u32::try_from(ticks).unwrap_or(u32::MAX));
        worker.cells.heartbeat.add(1);
        worker.date.refresh();
        worker.claims.refill();
        worker.refresh();
        self.reap(worker);
        follow_strain(worker);
        if worker.view().is_draining() && finished(worker) {
            worker.reap_origins(true);
            worker.cells.stopped.set(1);
            return true;
        }
        false
    }

    fn reap(&mut self, worker: &Worker) {
        let now = worker.deadlines.now();
        if now < self.reaped + REAP_EVERY {
            return;
        }
        self.reaped = now;
        worker.reap_origins(false);
        if worker.buffers.burst_is_over() || worker.strained.get() > Level::Calm {
            worker.relieve();
        }
    }
}

/// Makes the core follow the level of strain. What was armed while all was well is shortened, and
/// spare memory given back, when that begins to be wanted.
fn follow_strain(worker: &Worker) {
    let level = worker.strain();
    if level > Level::Calm && worker.strained.get() == Level::Calm {
        worker.deadlines.shorten_idle(STRAINED_IDLE);
        worker.relieve();
    }
    worker.strained.set(level);
}

/// How much of its time a core works.
struct Work {
    seen: Moment,
    worked: Duration,
    /// What it worked in the turn before the latest.
    before: Duration,
}

/// What was between two looks.
struct Turn {
    /// Time that passed.
    since: Duration,
    /// Of it, what this core has worked.
    spent: Duration,
    /// The shorter of this and the turn before: one long turn is a hitch, two are a queue.
    both: Duration,
}

impl Work {
    /// What was since it was last asked.
    fn turn(&mut self, now: Moment) -> Turn {
        let worked = affinity::cpu_time();
        let spent = worked.saturating_sub(self.worked);
        let turn = Turn { since: now - self.seen, spent, both: spent.min(self.before) };
        (self.seen, self.worked, self.before) = (now, worked, spent);
        turn
    }
}

impl Turn {
    /// The share of the time that was work, smoothed over some four ticks.
    fn share(&self, before: Share) -> Share {
        let whole = u64::from(Share::WHOLE.0);
        let latest = clock::nanos(self.spent) * whole / clock::nanos(self.since).max(1);
        let smooth = (u64::from(before.0) * 3 + latest.min(whole)) / 4;
        Share(u32::try_from(smooth).unwrap_or(Share::WHOLE.0))
    }

    /// Time that is not counted against anybody's deadline: the core neither worked nor was free to
    /// look. Others had its CPU for long, or the whole process was stopped; what its peers have
    /// done meanwhile has not been seen yet.
    fn missed(&self) -> Duration {
        let away = self.since.saturating_sub(self.spent);
        if away > STALL { away - TICK } else { Duration::ZERO }
    }

    fn count(&self, cells: &CoreCells) {
        cells.busy_nanos.add(clock::nanos(self.spent));
        cells.turn_nanos.set(clock::nanos(self.both));
        cells.wait_nanos.add(clock::nanos(self.since.saturating_sub(self.spent)));
        cells.stalls.add(u64::from(self.since > TICK + LATE));
    }
}

/// What a turn may be late before it counts as a stall: far more than a loop takes that never
/// blocks.
const LATE: Duration = Duration::from_millis(10);

/// How long a core may be away before that is not held against its peers: less is an ordinary wait
/// for the CPU, and deadlines are that exact.
const STALL: Duration = Duration::from_millis(250);

/// Follows the snapshot's phase; whether nobody is left to serve.
fn finished(worker: &Worker) -> bool {
    match worker.view().snapshot.phase {
        Phase::Serving => return false,
        Phase::Leaving => {}
        Phase::Draining => worker.deadlines.end_idle(),
        Phase::Closing => worker.deadlines.end_all(),
    }
    worker.cells.connections.read() == 0 && worker.acceptors.get() == 0
}

/// Opens the doors that are new in the snapshot, and closes those that are gone.
pub(super) fn follow_listeners(worker: &Rc<Worker>) {
    let view = worker.view();
    let mut doors = worker.doors.borrow_mut();
    let serving = view.snapshot.phase == Phase::Serving;
    doors.retain(|door| {
        let listener = view.snapshot.listeners.iter().find(|listener| listener.id == door.id);
        match listener {
            Some(listener) if serving => {
                *door.config.borrow_mut() = Rc::new(listener.config.clone());
                door.tls.borrow_mut().clone_from(&listener.tls);
                true
            }
            _ => {
                door.close();
                false
            }
        }
    });
    if !serving {
        return;
    }
    for listener in &view.snapshot.listeners {
        if doors.iter().any(|door| door.id == listener.id) {
            continue;
        }
        for door in Door::all_of(listener, worker.index, worker.shared.cores.len()) {
            doors.push(Rc::clone(&door));
            super::spawn(accept::serve(Rc::clone(worker), door));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_a_core_was_away_is_no_bodys_fault_but_its_own_work_is_time() {
        let turn = |since, spent| Turn {
            since: Duration::from_millis(since),
            spent: Duration::from_millis(spent),
            both: Duration::ZERO,
        };
        assert_eq!(turn(51, 1).missed(), Duration::ZERO);
        assert_eq!(turn(290, 45).missed(), Duration::ZERO);
        assert_eq!(turn(3050, 0).missed(), Duration::from_secs(3));
        assert_eq!(turn(3050, 3000).missed(), Duration::ZERO, "it was busy all the time");
    }
}
