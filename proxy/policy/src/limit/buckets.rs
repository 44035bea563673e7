//! Token buckets of whoever is counted, in a table that all cores share.
//!
//! A bucket is one word: when it will be full again (the generic cell rate algorithm). To take a
//! token moves that later, by compare-and-swap, so that what all cores admit together is exact. A
//! refusal only reads. How far a bucket's word is written is thereby bounded by its rate, and cores
//! that refuse share the cache line without taking it from each other.
//!
//! # How far it is off
//!
//! Of one key, all cores together admit in any time `t` at most `burst + rate × t`, and never fewer
//! than that if so many come; intervals are rounded up to a nanosecond, which takes 0.1 % off a
//! million a second. Beyond that:
//!
//! - Where more than [`WAYS`] keys that have been busy within `burst / rate` fall into one of
//!   the [`SETS`] sets, the one that is nearest to being full is forgotten and begins anew with
//!   a full bucket: it is admitted one burst more. This is told ([`Taken::Yes`]) and counted.
//! - Two cores that meet a new key in the same instant may, seldom, give it a bucket each: one burst
//!   more, until the next forgets it. A bucket that is taken over in the instant of its use may be
//!   charged, or not charged, one token.

use std::{
    hash::Hasher as _,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use siphasher::sip::SipHasher13;

use super::Secret;

/// Sets of the table.
const SETS: usize = 1 << 14;
/// Buckets of a set: its keys and their words are two cache lines. 131,072 buckets, 2 MiB in all.
const WAYS: usize = 8;

/// How often a place is looked for again because another core took it: it does not happen twice in
/// a row but by design of a test.
const TRIES: usize = 8;

/// The buckets.
pub struct Buckets {
    sets: Box<[Set]>,
    hasher: SipHasher13,
}

impl std::fmt::Debug for Buckets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buckets").field("sets", &self.sets.len()).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Set {
    /// Hashes of the keys; 0 is nobody.
    keys: [AtomicU64; WAYS],
    /// When each bucket is full again, in nanoseconds.
    dues: [AtomicU64; WAYS],
}

/// How much may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Nanoseconds after which a token comes back.
    interval: u64,
    /// How many nanoseconds a bucket may be from being full, and still have a token.
    tolerance: u64,
    /// Tells the keys of one rule from those of another.
    salt: u64,
}

impl Rule {
    /// `requests` in each `per`, and `burst` at once by who was silent before.
    #[must_use]
    pub fn new(requests: u32, per: Duration, burst: u32, salt: u64) -> Self {
        let per = u64::try_from(per.as_nanos()).unwrap_or(u64::MAX);
        let interval = per.div_ceil(u64::from(requests.max(1))).max(1);
        // A century and a half: enough, and far from where sums overflow.
        let tolerance = interval.saturating_mul(u64::from(burst.max(1)) - 1).min(1 << 62);
        Self { interval, tolerance, salt }
    }
}

/// What came of asking for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was given.
    Yes {
        /// Whether another key had to be forgotten for that before its bucket was full.
        forgot: bool,
    },
    /// There is none for so long.
    No(Duration),
}

impl Buckets {
    /// An empty table.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        let sets = (0..SETS).map(|_| Set::default()).collect();
        Self { sets, hasher: SipHasher13::new_with_keys(secret[0], secret[1]) }
    }

    /// Takes a token from the bucket of `key`, which is of this kind, at `now` in nanoseconds.
    pub fn take(&self, rule: &Rule, (kind, key): (u8, &[u8]), now: u64) -> Taken {
        let mut hasher = self.hasher;
        hasher.write_u64(rule.salt);
        hasher.write_u8(kind);
        hasher.write(key);
        let hash = hasher.finish();
        // The upper bits choose the set; 0 is nobody's.
        let set = &self.sets[(hash >> 50) as usize % SETS];
        let (way, forgot) = set.place_of(hash | 1, now);
        match way.map(|way| set.charge(way, rule, now)) {
            Some(Some(wait)) => Taken::No(Duration::from_nanos(wait)),
            Some(None) | None => Taken::Yes { forgot },
        }
    }
}

impl Set {
    /// The place of a key's bucket, which is made if it has none; and whether that took the place
    /// of one that was not full.
    fn place_of(&self, key: u64, now: u64) -> (Option<usize>, bool) {
        for _ in 0..TRIES {
            if let Some(way) = self.keys.iter().position(|known| known.load(Relaxed) == key) {
                return (Some(way), false);
            }
            // What has been full for longest, else what comes nearest to it.
            let dues = self.dues.iter().map(|due| due.load(Relaxed)).enumerate();
            let Some((way, due)) = dues.min_by_key(|(_, due)| *due) else { break };
            let known = self.keys[way].load(Relaxed);
            if self.keys[way].compare_exchange(known, key, Relaxed, Relaxed).is_ok() {
                let forgot = due > now;
                if forgot {
                    self.dues[way].store(now, Relaxed);
                }
                return (Some(way), forgot);
            }
        }
        (None, false)
    }

    /// Takes a token; if there is none, the nanoseconds until there is.
    fn charge(&self, way: usize, rule: &Rule, now: u64) -> Option<u64> {
        let place = &self.dues[way];
        let mut due = place.load(Relaxed);
        loop {
            let from = due.max(now);
            let wait = (from - now).saturating_sub(rule.tolerance);
            if wait > 0 {
                return Some(wait);
            }
            let next = from.saturating_add(rule.interval);
            match place.compare_exchange_weak(due, next, Relaxed, Relaxed) {
                Ok(_) => return None,
                Err(seen) => due = seen,
            }
        }
    }
}

#[cfg(test)]
mod tests;
