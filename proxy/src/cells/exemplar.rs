//! For each stretch of durations the id of an exchange that took so long, so that a slow bucket of a
//! histogram leads to a line of the access log.
//!
//! One core writes, anyone reads, nobody waits: a reader that meets the writer lets the place be.

use std::{
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
        fence,
    },
    time::Duration,
};

use crate::clock;

/// Bytes of a request id's text.
pub const ID_BYTES: usize = 32;

/// An exchange that stands for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// Its id, as in the access log.
    pub id: [u8; ID_BYTES],
    /// How long it took.
    pub nanos: u64,
    /// When it ended, since 1970, to the millisecond.
    pub at: Duration,
}

/// The latest exemplar of each octave of durations.
#[derive(Debug, Default)]
pub struct Exemplars([Slot; SLOTS]);

#[derive(Debug, Default)]
struct Slot {
    /// The writer's own: its tick from which on it may write again.
    due: AtomicU64,
    /// Odd while it is written; 0 before it ever was.
    turn: AtomicU64,
    id: [AtomicU64; ID_BYTES / 8],
    nanos: AtomicU64,
    at_millis: AtomicU64,
}

impl Exemplars {
    /// Takes an exchange for its octave, unless there was one less than `pause` ticks ago: nearly
    /// always a load and no more. Only the block's own core may.
    pub fn offer(&self, id: &[u8; ID_BYTES], nanos: u64, tick: u64, pause: u64) {
        let slot = &self.0[octave(nanos)];
        if tick >= slot.due.load(Relaxed) {
            slot.due.store(tick + pause, Relaxed);
            slot.write(id, nanos);
        }
    }

    /// What there is, but for a place that is being written now.
    pub fn read(&self) -> impl Iterator<Item = Exemplar> {
        self.0.iter().filter_map(Slot::read)
    }
}

impl Slot {
    #[cold]
    fn write(&self, id: &[u8; ID_BYTES], nanos: u64) {
        let turn = self.turn.load(Relaxed);
        self.turn.store(turn + 1, Relaxed);
        // What follows can't be seen by anyone who still finds the old turn.
        fence(Release);
        for (place, word) in self.id.iter().zip(id.as_chunks::<8>().0) {
            place.store(u64::from_ne_bytes(*word), Relaxed);
        }
        self.nanos.store(nanos, Relaxed);
        let millis = u64::try_from(clock::wall().as_millis()).unwrap_or(u64::MAX);
        self.at_millis.store(millis, Relaxed);
        self.turn.store(turn + 2, Release);
    }

    fn read(&self) -> Option<Exemplar> {
        let turn = self.turn.load(Acquire);
        if turn == 0 || turn % 2 == 1 {
            return None;
        }
        let mut id = [0; ID_BYTES];
        for (bytes, word) in id.as_chunks_mut::<8>().0.iter_mut().zip(&self.id) {
            *bytes = word.load(Relaxed).to_ne_bytes();
        }
        let nanos = self.nanos.load(Relaxed);
        let at = Duration::from_millis(self.at_millis.load(Relaxed));
        // Whatever was read of a later write, its turn is seen as well.
        fence(Acquire);
        (self.turn.load(Relaxed) == turn).then_some(Exemplar { id, nanos, at })
    }
}

/// Below 131 µs is one, above 69 s too.
fn octave(nanos: u64) -> usize {
    let bits = nanos.max(1).ilog2() as usize;
    bits.saturating_sub(FIRST_BITS).min(SLOTS - 1)
}

/// The first ends at 2^17 ns.
const FIRST_BITS: usize = 16;
/// The last begins at 2^36 ns.
const SLOTS: usize = 21;

#[cfg(test)]
mod tests {
    use std::{sync::atomic::AtomicBool, thread};

    use super::*;

    fn id(letter: u8) -> [u8; ID_BYTES] {
        [letter; ID_BYTES]
    }

    #[test]
    fn each_octave_has_its_latest_but_not_too_often() {
        let exemplars = Exemplars::default();
        assert_eq!(exemplars.read().count(), 0);
        exemplars.offer(&id(b'a'), 1_000_000, 10, 20);
        exemplars.offer(&id(b'b'), 1_000_001, 29, 20);
        exemplars.offer(&id(b'c'), 9_000_000, 29, 20);
        let ids = || exemplars.read().map(|it| it.id[0]).collect::<Vec<_>>();
        assert_eq!(ids(), b"ac");
        exemplars.offer(&id(b'd'), 1_000_002, 30, 20);
        assert_eq!(ids(), b"dc");
        let first = exemplars.read().next().unwrap();
        assert_eq!((first.id, first.nanos), (id(b'd'), 1_000_002));
        assert!(clock::wall().saturating_sub(first.at) < Duration::from_secs(60));
    }

    #[test]
    fn octaves_hold_every_duration() {
        assert_eq!((octave(0), octave(1), octave(100_000)), (0, 0, 0));
        assert_eq!((octave(1 << 17), octave(1 << 20)), (1, 4));
        assert_eq!((octave(1 << 36), octave(u64::MAX)), (SLOTS - 1, SLOTS - 1));
    }

    #[test]
    fn whoever_reads_sees_one_write_or_none() {
        let (exemplars, over) = (Exemplars::default(), AtomicBool::new(false));
        thread::scope(|scope| {
            let writer = || {
                for tick in 0..200_000 {
                    let letter = b'a' + (tick % 26) as u8;
                    exemplars.offer(&id(letter), 1_000_000 + u64::from(letter), tick, 0);
                }
                over.store(true, Relaxed);
            };
            thread::Builder::new().spawn_scoped(scope, writer).unwrap();
            while !over.load(Relaxed) {
                for exemplar in exemplars.read() {
                    let letter = exemplar.id[0];
                    assert_eq!(exemplar.id, id(letter));
                    assert_eq!(exemplar.nanos, 1_000_000 + u64::from(letter));
                }
            }
        });
    }
}
