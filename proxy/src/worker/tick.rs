//! Housekeeping of one core, every [`TICK`]: deadlines, snapshot, doors, idle connections.

use std::{rc::Rc, time::Duration};

use gnomon_config::model::Share;
use gnomon_sys::{affinity, memory};

use super::{
    Worker,
    accept::{self, Door},
    buffers::SPARE_AFTER_BURST,
    origin::REAP_EVERY,
};
use crate::{
    cells::CoreCells,
    clock::{self, Moment},
    patience::TICK,
    snapshot::Phase,
};

/// Runs until the worker has drained.
pub(super) async fn run(worker: Rc<Worker>) {
    let begun = clock::now();
    let mut reaped = 0;
    let mut work = Work { seen: begun, worked: affinity::cpu_time() };
    loop {
        monoio::time::sleep(TICK).await;
        let now = clock::now();
        let turn = work.turn(now);
        worker.busy.set(turn.share(worker.busy.get()));
        turn.count(&worker.cells);
        let ticks = (now - begun).as_millis() / TICK.as_millis();
        worker.deadlines.sweep(u32::try_from(ticks).unwrap_or(u32::MAX));
        worker.cells.heartbeat.add(1);
        worker.date.refresh();
        worker.refresh();
        let now = worker.deadlines.now();
        if now >= reaped + REAP_EVERY {
            reaped = now;
            worker.reap_origins(false);
            if worker.buffers.burst_is_over() {
                worker.buffers.trim();
                worker.heads.borrow_mut().truncate(SPARE_AFTER_BURST);
                memory::give_back();
            }
        }
        if worker.view().is_draining() && finished(&worker) {
            worker.reap_origins(true);
            worker.cells.stopped.set(1);
            return;
        }
    }
}

/// How much of its time a core works.
struct Work {
    seen: Moment,
    worked: Duration,
}

/// What was between two looks.
struct Turn {
    /// Time that passed.
    since: Duration,
    /// Of it, what this core has worked.
    spent: Duration,
}

impl Work {
    /// What was since it was last asked.
    fn turn(&mut self, now: Moment) -> Turn {
        let worked = affinity::cpu_time();
        let turn = Turn { since: now - self.seen, spent: worked.saturating_sub(self.worked) };
        (self.seen, self.worked) = (now, worked);
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

    fn count(&self, cells: &CoreCells) {
        cells.busy_nanos.add(clock::nanos(self.spent));
        cells.wait_nanos.add(clock::nanos(self.since.saturating_sub(self.spent)));
        cells.stalls.add(u64::from(self.since > TICK + LATE));
    }
}

/// What a turn may be late before it counts as a stall: far more than a loop takes that never
/// blocks.
const LATE: Duration = Duration::from_millis(10);

/// Follows the snapshot's phase; whether nobody is left to serve.
fn finished(worker: &Worker) -> bool {
    match worker.view().snapshot.phase {
        Phase::Serving => return false,
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
        if let Some(door) = Door::of(listener, worker.index) {
            doors.push(Rc::clone(&door));
            monoio::spawn(accept::serve(Rc::clone(worker), door));
        }
    }
}
