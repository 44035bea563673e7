//! The thread's body: look into every lane in turn, linger while there is something to do.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

use crate::{exchange::Exchange, lanes::Outlet};

/// What the thread and the rest of the process know of each other.
#[derive(Debug, Default)]
pub struct Desk {
    /// Set to end the thread.
    pub ending: AtomicBool,
    /// Copies taken from the lanes.
    pub taken: AtomicU64,
    /// Copies taken and let go, because there is nothing to do with them.
    pub ignored: AtomicU64,
    /// Times that the thread's body had to be begun anew after a panic.
    pub restarts: AtomicU64,
}

/// Takes copies out of `lanes` until told to end.
///
/// Nobody wakes this thread, so that a copy costs its core no system call: it looks every
/// `LINGER` after it has found something, every `IDLE` after `LINGERS` vain looks.
pub fn run(lanes: &[Outlet<Exchange>], desk: &Desk) {
    let mut vain = 0;
    while !desk.ending.load(Relaxed) {
        let found: usize =
            lanes.iter().map(|lane| lane.drain(BATCH, |job| ignore(&job, desk))).sum();
        vain = if found == 0 { LINGERS.min(vain + 1) } else { 0 };
        // An early return does no harm: it is one look more.
        thread::park_timeout(if vain < LINGERS { LINGER } else { IDLE });
    }
}

fn ignore(_job: &Exchange, desk: &Desk) {
    desk.taken.fetch_add(1, Relaxed);
    desk.ignored.fetch_add(1, Relaxed);
}

/// Jobs taken from one lane before the next has its turn, so that a busy core starves no other.
const BATCH: usize = 64;
/// Between two looks while there is work: a wake-up by a core would cost it 11 µs a copy.
const LINGER: Duration = Duration::from_millis(1);
/// Between two looks while there is none: short enough that a lane of 256 seldom fills meanwhile.
const IDLE: Duration = Duration::from_millis(15);
/// Vain looks before the thread counts as idle.
const LINGERS: u32 = 20;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::lanes;

    #[test]
    fn what_is_sent_is_taken_and_the_thread_ends() {
        let desk = Arc::new(Desk::default());
        let (lane, outlet) = lanes::lane(lanes::PLACES);
        let theirs = desk.clone();
        let thread = thread::Builder::new().spawn(move || run(&[outlet], &theirs)).unwrap();
        for _ in 0..10 {
            lane.reserve().unwrap().commit(Exchange::default());
        }
        while desk.taken.load(Relaxed) < 10 {
            thread::yield_now();
        }
        desk.ending.store(true, Relaxed);
        thread.thread().unpark();
        thread.join().unwrap();
        assert_eq!(desk.ignored.load(Relaxed), 10);
        assert_eq!(lane.dropped(), 0);
    }
}
