//! A channel of a fixed number of slots, with one sender and one receiver. As in the real one, a
//! receiver takes a job first and releases its slot some time later. A sender that comes upon a
//! slot not yet released would have to wait there: here that is a fault.
//!
//! Nobody writes what the other end writes, nor reads what it wrote itself: loom knows only the last
//! access to a number, and would take a look at one's own for all that there is to be tried.

use std::{
    cell::Cell,
    sync::{Mutex, MutexGuard},
};

use loom::sync::{
    Arc,
    atomic::{
        AtomicBool, AtomicUsize,
        Ordering::{Acquire, Release},
    },
};

pub(crate) fn bounded<T>(room: usize) -> (Sender<T>, Receiver<T>) {
    let slot =
        |_| Slot { filled: AtomicUsize::new(0), freed: AtomicUsize::new(0), job: Mutex::default() };
    let slots = (0..room).map(slot).collect();
    let ring = Arc::new(Ring { slots, is_left: AtomicBool::new(false) });
    let (next, last) = (Cell::new(0), Cell::new(0));
    (Sender { ring: ring.clone(), next }, Receiver { ring, next: last })
}

#[derive(Debug)]
struct Ring<T> {
    slots: Vec<Slot<T>>,
    is_left: AtomicBool,
}

#[derive(Debug)]
struct Slot<T> {
    /// How often it has been filled, by the sender.
    filled: AtomicUsize,
    /// How often it has been released, by the receiver.
    freed: AtomicUsize,
    /// Never contended and unknown to loom: it orders nothing.
    job: Mutex<Option<T>>,
}

impl<T> Slot<T> {
    fn job(&self) -> MutexGuard<'_, Option<T>> {
        self.job.lock().expect("nobody panics with it")
    }
}

#[derive(Debug)]
pub(crate) struct Sender<T> {
    ring: Arc<Ring<T>>,
    next: Cell<usize>,
}

/// The receiver is gone.
#[derive(Debug)]
pub(crate) struct Left;

impl<T> Sender<T> {
    pub(crate) fn try_send(&self, job: T) -> Result<(), Left> {
        if self.ring.is_left.load(Acquire) {
            return Err(Left);
        }
        let (slots, next) = (&self.ring.slots, self.next.get());
        // One slot is left over, so that the next one is free as well.
        for ahead in [next, next + 1] {
            let (slot, round) = (&slots[ahead % slots.len()], ahead / slots.len());
            assert_eq!(slot.freed.load(Acquire), round, "a slot that a sender would wait for");
        }
        let slot = &slots[next % slots.len()];
        *slot.job() = Some(job);
        slot.filled.store(next / slots.len() + 1, Release);
        self.next.set(next + 1);
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct Receiver<T> {
    ring: Arc<Ring<T>>,
    next: Cell<usize>,
}

#[derive(Debug)]
pub(crate) enum TryRecvError {
    Empty,
    #[expect(dead_code, reason = "as in the real one; to a lane it is the same")]
    Disconnected,
}

impl<T> Receiver<T> {
    pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
        let (slots, next) = (&self.ring.slots, self.next.get());
        let (slot, round) = (&slots[next % slots.len()], next / slots.len());
        if slot.filled.load(Acquire) == round {
            return Err(TryRecvError::Empty);
        }
        self.next.set(next + 1);
        let job = slot.job().take().expect("a slot that was filled");
        slot.freed.store(round + 1, Release);
        Ok(job)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.ring.is_left.store(true, Release);
    }
}
