//! What a soak counts, and which counts are violations.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::asked::Asked;

/// Counts of all clients and origins.
#[derive(Debug, Default)]
pub(super) struct Books {
    next: AtomicU64,
    /// One bit for each number: whether a request that may be carried out once has arrived.
    arrived: Vec<AtomicU64>,
    /// Whole replies with all that belongs to them.
    pub(super) right: AtomicU64,
    /// Failures that the origin's fault explains, as a status or as a reply cut short.
    pub(super) failed: AtomicU64,
    pub(super) cut: AtomicU64,
    /// Failures of requests that can't be sent again, on connections that had just died.
    pub(super) stale: AtomicU64,
    /// Requests that their client gave up.
    pub(super) left: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) reloads: AtomicU64,
    /// Times that an origin closed under a request that came on a kept connection.
    pub(super) tired: AtomicU64,
    wrong: Mutex<Vec<String>>,
    wrongs: AtomicU64,
}

impl Books {
    pub(super) fn new() -> Self {
        let words = (0..NUMBERS / 64).map(|_| AtomicU64::new(0)).collect();
        Self { arrived: words, ..Self::default() }
    }

    /// The next request's number; `None` when there are no more.
    pub(super) fn draw(&self) -> Option<u64> {
        let id = self.next.fetch_add(1, Relaxed);
        (id < NUMBERS).then_some(id)
    }

    /// Requests so far.
    pub(super) fn asked(&self) -> u64 {
        self.next.load(Relaxed).min(NUMBERS)
    }

    /// An origin has received the head of `asked`.
    pub(super) fn arrive(&self, asked: &Asked) {
        if !asked.is_once() {
            return;
        }
        let (word, bit) = ((asked.id / 64) as usize, 1 << (asked.id % 64));
        let before = self.arrived.get(word).map_or(0, |word| word.fetch_or(bit, Relaxed));
        if before & bit != 0 {
            self.is_wrong(format!("a second {} arrived: {asked:?}", asked.method));
        }
    }

    /// Whether a request that may be carried out once has arrived.
    pub(super) fn has_arrived(&self, asked: &Asked) -> bool {
        let word = self.arrived.get((asked.id / 64) as usize);
        word.is_some_and(|word| word.load(Relaxed) & 1 << (asked.id % 64) != 0)
    }

    /// Something happened that must not.
    pub(super) fn is_wrong(&self, what: String) {
        self.wrongs.fetch_add(1, Relaxed);
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() < TOLD_MAX {
            wrong.push(what);
        }
    }

    /// How often something was wrong, and what at first.
    pub(super) fn wrong(&self) -> (u64, Vec<String>) {
        let told = self.wrong.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (self.wrongs.load(Relaxed), told)
    }
}

pub(super) fn add(count: &AtomicU64) {
    count.fetch_add(1, Relaxed);
}

/// Requests of a soak at most: 16 MiB of bits, and more than half an hour's.
const NUMBERS: u64 = 1 << 27;
const TOLD_MAX: usize = 20;
