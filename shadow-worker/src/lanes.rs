//! One bounded lane per core: reserve, commit, count what was dropped.
//!
//! The channel's own bound is never reached. A full `crossbeam` ring makes `try_send` spin while
//! the receiver stands between taking a job and releasing its place, which a receiver of low
//! priority may do for long. So the producer counts: a place is taken before anything is sent and
//! is free again only after `try_recv` has returned, and there is one place fewer than the ring has.
//!
//! Each end counts on its own and only upwards. What is in the lane is the difference, so whether
//! there is room costs the core one load and no exchange with the other side.

use std::{cell::Cell, rc::Rc};

use crate::primitives::{
    Arc, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    Receiver, Sender, TryRecvError, bounded,
};

/// Places in a core's lane: at 100,000 exchanges a second, of two messages each, enough for 40 ms in
/// which the shadow thread does not get to run. What the messages hold is bounded by a core's ration.
pub const PLACES: u64 = 8192;

/// Makes a lane of so many places: the core's end, and the shadow thread's.
///
/// # Panics
/// If so many do not fit into memory.
#[must_use]
pub fn lane<T>(places: u64) -> (Lane<T>, Outlet<T>) {
    let counts = Arc::new(Counts::default());
    // One more than may ever be in use: see the module's text.
    let room = usize::try_from(places + 1).expect("as many places as there is memory for");
    let (sender, receiver) = bounded(room);
    let lane = Lane { places, taken: Cell::new(0), counts: counts.clone(), sender };
    (lane, Outlet { done: Cell::new(0), told: Cell::new(0), counts, receiver })
}

/// A core's end of its lane.
#[derive(Debug)]
pub struct Lane<T> {
    places: u64,
    /// Places taken so far, but for those that were given back unused.
    taken: Cell<u64>,
    counts: Arc<Counts>,
    sender: Sender<T>,
}

impl<T> Lane<T> {
    /// Takes a place, or counts a drop. Asked before anything is copied.
    #[must_use]
    pub fn reserve(self: &Rc<Self>) -> Option<Slot<T>> {
        // The other end can only make more room meanwhile.
        if self.taken.get() - self.counts.done.0.load(Acquire) >= self.places {
            self.drop_one();
            return None;
        }
        self.taken.set(self.taken.get() + 1);
        Some(Slot { lane: Rc::clone(self), open: true })
    }

    /// Copies that found no place, or nobody to take them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Relaxed)
    }

    fn drop_one(&self) {
        // Nobody else writes it.
        self.counts.dropped.store(self.dropped() + 1, Relaxed);
    }
}

/// A place in a lane; given back when dropped.
#[derive(Debug)]
pub struct Slot<T> {
    lane: Rc<Lane<T>>,
    open: bool,
}

impl<T> Slot<T> {
    /// Sends `job` in this place. Never waits.
    pub fn commit(mut self, job: T) {
        if self.lane.sender.try_send(job).is_ok() {
            self.open = false;
        } else {
            // Never full, by the count; so the thread is gone and its end with it.
            self.lane.drop_one();
        }
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        if self.open {
            self.lane.taken.set(self.lane.taken.get() - 1);
        }
    }
}

/// The shadow thread's end of a lane.
#[derive(Debug)]
pub struct Outlet<T> {
    /// Jobs received so far.
    done: Cell<u64>,
    /// Of these, those that the core knows of.
    told: Cell<u64>,
    counts: Arc<Counts>,
    receiver: Receiver<T>,
}

impl<T> Outlet<T> {
    /// Hands at most `most` jobs to `take` and says how many there were. Their places are free again
    /// when all have been handed over, even if `take` panics.
    pub fn drain(&self, most: usize, mut take: impl FnMut(T)) -> usize {
        let _freeing = Freeing(self);
        for taken in 0..most {
            match self.receiver.try_recv() {
                Ok(job) => {
                    self.done.set(self.done.get() + 1);
                    take(job);
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return taken,
            }
        }
        most
    }

    /// Copies that found no place, or nobody to take them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Relaxed)
    }
}

/// Tells the core what is done, once for many jobs: the core reads it for each of its own.
struct Freeing<'a, T>(&'a Outlet<T>);

impl<T> Drop for Freeing<'_, T> {
    fn drop(&mut self) {
        let done = self.0.done.get();
        // A look in vain leaves the core's cache alone.
        if self.0.told.replace(done) != done {
            self.0.counts.done.0.store(done, Release);
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    /// Written by the shadow thread.
    done: Apart,
    /// Written by the core.
    dropped: AtomicU64,
}

/// Places that are free again, on a cache line of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart(AtomicU64);
