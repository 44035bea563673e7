//! One bounded lane per core: reserve, commit, count what was dropped.
//!
//! The channel's own bound is never reached. A full `crossbeam` ring makes `try_send` spin while
//! the receiver stands between taking a job and releasing its place, which a receiver of low
//! priority may do for long. So the producer counts: a place is taken before anything is sent and
//! given back only after `try_recv` has returned, and there is one place fewer than the ring has.

use std::sync::{
    Arc,
    atomic::{
        AtomicU64, AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use crossbeam_channel::{Receiver, Sender, TryRecvError};

/// Places in a core's lane. At 1 ms between two looks of the shadow thread this is a quarter of a
/// million copies a second; each may pin a captured body, which is why it is not more.
pub const PLACES: usize = 256;

/// Makes a lane of so many places: the core's end, and the shadow thread's.
#[must_use]
pub fn lane<T>(places: usize) -> (Lane<T>, Outlet<T>) {
    let counts = Arc::new(Counts { places, ..Counts::default() });
    // One more than may ever be in use: see the module's text.
    let (sender, receiver) = crossbeam_channel::bounded(places + 1);
    (Lane { counts: counts.clone(), sender }, Outlet { counts, receiver })
}

/// A core's end of its lane.
#[derive(Debug)]
pub struct Lane<T> {
    counts: Arc<Counts>,
    sender: Sender<T>,
}

impl<T> Clone for Lane<T> {
    fn clone(&self) -> Self {
        Self { counts: self.counts.clone(), sender: self.sender.clone() }
    }
}

impl<T> Lane<T> {
    /// Takes a place, or counts a drop. Asked before anything is copied. Only the lane's own core
    /// may ask.
    #[must_use]
    pub fn reserve(&self) -> Option<Slot<T>> {
        // One producer: between look and addition the count can only fall.
        if self.counts.taken.load(Acquire) >= self.counts.places {
            self.counts.dropped.fetch_add(1, Relaxed);
            return None;
        }
        self.counts.taken.fetch_add(1, Relaxed);
        Some(Slot { lane: self.clone(), open: true })
    }

    /// Copies that found no place, or nobody to take them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Relaxed)
    }
}

/// A place in a lane; given back when dropped.
#[derive(Debug)]
pub struct Slot<T> {
    lane: Lane<T>,
    open: bool,
}

impl<T> Slot<T> {
    /// Sends `job` in this place. Never waits.
    pub fn commit(mut self, job: T) {
        if self.lane.sender.try_send(job).is_ok() {
            self.open = false;
        } else {
            // Never full, by the count; so the thread is gone and its end with it.
            self.lane.counts.dropped.fetch_add(1, Relaxed);
        }
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        if self.open {
            self.lane.counts.taken.fetch_sub(1, Release);
        }
    }
}

/// The shadow thread's end of a lane.
#[derive(Debug)]
pub struct Outlet<T> {
    counts: Arc<Counts>,
    receiver: Receiver<T>,
}

impl<T> Outlet<T> {
    /// Hands at most `most` jobs to `take` and says how many there were.
    pub fn drain(&self, most: usize, mut take: impl FnMut(T)) -> usize {
        for taken in 0..most {
            match self.receiver.try_recv() {
                Ok(job) => {
                    self.counts.taken.fetch_sub(1, Release);
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

#[derive(Debug, Default)]
struct Counts {
    /// Places there are.
    places: usize,
    /// Places reserved or holding a job.
    taken: AtomicUsize,
    dropped: AtomicU64,
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_full_lane_drops_and_counts() {
        let (lane, outlet) = lane(2);
        lane.reserve().unwrap().commit(1);
        let second = lane.reserve().unwrap();
        assert!(lane.reserve().is_none());
        second.commit(2);
        assert!(lane.reserve().is_none());
        assert_eq!(outlet.dropped(), 2);
        let mut seen = Vec::new();
        assert_eq!(outlet.drain(10, |job| seen.push(job)), 2);
        assert_eq!(seen, [1, 2]);
        assert!(lane.reserve().is_some());
    }

    #[test]
    fn an_unused_place_is_given_back() {
        let (lane, outlet) = lane::<u8>(1);
        drop(lane.reserve());
        assert!(lane.reserve().is_some());
        assert_eq!((outlet.dropped(), outlet.drain(9, |_| {})), (0, 0));
    }

    #[test]
    fn a_lane_whose_other_end_is_gone_only_counts() {
        let (lane, outlet) = lane(1);
        drop(outlet);
        for _ in 0..3 {
            lane.reserve().unwrap().commit(());
        }
        assert_eq!(lane.dropped(), 3);
    }

    #[test]
    fn order_is_kept_and_nothing_is_lost_between_threads() {
        let (lane, outlet) = lane(8);
        let core = thread::Builder::new().spawn(move || {
            let mut sent = 0_u64;
            for job in 0..100_000_u64 {
                if let Some(slot) = lane.reserve() {
                    slot.commit(job);
                    sent += 1;
                }
            }
            (sent, lane.dropped())
        });
        let core = core.unwrap();
        let (mut received, mut last) = (0_u64, None);
        loop {
            let over = core.is_finished();
            let taken = outlet.drain(usize::MAX, |job| {
                assert!(last < Some(job));
                last = Some(job);
                received += 1;
            });
            if over && taken == 0 {
                break;
            }
        }
        let (sent, dropped) = core.join().unwrap();
        assert_eq!(sent, received);
        assert_eq!(sent + dropped, 100_000);
    }
}
