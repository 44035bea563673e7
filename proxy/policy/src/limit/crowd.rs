//! Connections of one client, over all cores.
//!
//! A word for each address: a hash of it, and how many. Taking and giving back is a compare-and-swap
//! on that word. That is no cost on the path of requests: it happens once a connection, beside an
//! `accept` that takes the kernel a hundred times as long.
//!
//! # How far it is off
//!
//! An address has at most as many connections as it may. It can have more only where the set it
//! falls into is taken by [`WAYS`] others that are connected now ([`Admission::Uncounted`]): with
//! 30,000 clients connected that is one in 4,000, with 60,000 one in 40. In the instant in which two
//! cores meet a new address while a place before it becomes free, it may get two words.

use std::{
    hash::Hasher as _,
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use siphasher::sip::SipHasher13;

use super::{Secret, counted};

/// Sets of the table.
const SETS: usize = 1 << 14;
/// Words of a set: a cache line. 131,072 addresses, 1 MiB in all.
const WAYS: usize = 8;

/// Bits of the count: more than a process can have files.
const COUNT_BITS: u32 = 24;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

/// How often an address is looked for again because another core was at it.
const TRIES: usize = 64;

/// Who is connected.
pub struct Crowd {
    sets: Box<[Set]>,
    hasher: SipHasher13,
}

impl std::fmt::Debug for Crowd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crowd").field("sets", &self.sets.len()).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Set([AtomicU64; WAYS]);

/// Whether a connection is admitted.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is, and has been counted: the seat is to be given back.
    Counted(Seat),
    /// It is, but there was no room to count it.
    Uncounted,
    /// Its client has as many as it may.
    Full,
}

/// Where a connection is counted.
#[derive(Debug, PartialEq, Eq)]
pub struct Seat {
    set: u32,
    way: u32,
}

impl Crowd {
    /// Nobody.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        let sets = (0..SETS).map(|_| Set::default()).collect();
        Self { sets, hasher: SipHasher13::new_with_keys(secret[0], secret[1]) }
    }

    /// Counts one more connection of `client`, which may have `most`.
    pub fn enter(&self, client: IpAddr, most: u32) -> Admission {
        let mut hasher = self.hasher;
        hasher.write(counted(client, &mut [0; 16]));
        let hash = hasher.finish();
        let place = (hash >> 50) as usize % SETS;
        // The set is known, so its bits tell nothing more; 0 is nobody.
        let who = (hash | 1) << COUNT_BITS;
        let way = match self.sets[place].enter(who, most) {
            Ok(way) => way,
            Err(refusal) => return refusal,
        };
        match (u32::try_from(place), u32::try_from(way)) {
            (Ok(set), Ok(way)) => Admission::Counted(Seat { set, way }),
            (Err(_), _) | (_, Err(_)) => Admission::Uncounted,
        }
    }

    /// A connection that was counted has ended.
    pub fn leave(&self, seat: &Seat) {
        let set = self.sets.get(seat.set as usize);
        let Some(word) = set.and_then(|set| set.0.get(seat.way as usize)) else { return };
        let one_less = |word: u64| match word & COUNT {
            // The last: the place is free again.
            0 | 1 => Some(0),
            _ => Some(word - 1),
        };
        // Never fails: `one_less` always has an answer.
        let _ = word.fetch_update(Relaxed, Relaxed, one_less);
    }
}

impl Set {
    fn enter(&self, who: u64, most: u32) -> Result<usize, Admission> {
        for _ in 0..TRIES {
            let words = || self.0.iter().map(|word| word.load(Relaxed)).enumerate();
            let known = words().find(|(_, word)| word & !COUNT == who);
            let Some((way, word)) = known.or_else(|| words().find(|(_, word)| *word == 0)) else {
                return Err(Admission::Uncounted);
            };
            if word & COUNT >= u64::from(most).min(COUNT) {
                return Err(Admission::Full);
            }
            let next = if word == 0 { who | 1 } else { word + 1 };
            if self.0[way].compare_exchange(word, next, Relaxed, Relaxed).is_ok() {
                return Ok(way);
            }
        }
        Err(Admission::Uncounted)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering::SeqCst},
        thread,
    };

    use super::*;

    fn ip(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    fn seat(admission: Admission) -> Seat {
        match admission {
            Admission::Counted(seat) => seat,
            Admission::Uncounted | Admission::Full => panic!("{admission:?}"),
        }
    }

    #[test]
    fn each_client_has_as_many_as_it_may_and_what_ends_makes_room() {
        let crowd = Crowd::new([1, 2]);
        let first = seat(crowd.enter(ip(1), 2));
        let second = seat(crowd.enter(ip(1), 2));
        assert_eq!(crowd.enter(ip(1), 2), Admission::Full);
        let _other = seat(crowd.enter(ip(2), 2));
        crowd.leave(&first);
        let third = seat(crowd.enter(ip(1), 2));
        assert_eq!(crowd.enter(ip(1), 2), Admission::Full);
        crowd.leave(&second);
        crowd.leave(&third);
        // A lower bound than there are connections refuses, and takes nothing back.
        let all: Vec<_> = (0..2).map(|_| seat(crowd.enter(ip(1), 2))).collect();
        assert_eq!(crowd.enter(ip(1), 1), Admission::Full);
        all.iter().for_each(|seat| crowd.leave(seat));
        let _two = seat(crowd.enter(ip(2), 2));
        assert_eq!(crowd.enter(ip(2), 2), Admission::Full);
    }

    #[test]
    fn who_has_no_room_in_the_table_is_served_all_the_same() {
        let crowd = Crowd::new([1, 2]);
        let many = u32::try_from(SETS * WAYS * 2).unwrap();
        let mut seats = Vec::new();
        let mut uncounted = 0;
        for number in 0..many {
            match crowd.enter(ip(number), 1) {
                Admission::Counted(seat) => seats.push(seat),
                Admission::Uncounted => uncounted += 1,
                Admission::Full => panic!("{number} is here for the first time"),
            }
        }
        assert_eq!(seats.len() + uncounted, many as usize);
        seats.iter().for_each(|seat| crowd.leave(seat));
        let is_empty = |set: &Set| set.0.iter().all(|word| word.load(Relaxed) == 0);
        assert!(crowd.sets.iter().all(is_empty), "whoever left is forgotten");
    }

    #[test]
    fn as_many_are_uncounted_as_is_said() {
        for (clients, most) in [(30_000_u32, 30_000_usize / 4_000), (60_000, 60_000 / 40)] {
            let crowd = Crowd::new([3, 4]);
            let uncounted =
                (0..clients).filter(|it| crowd.enter(ip(*it), 1) == Admission::Uncounted).count();
            assert!(uncounted <= most, "{uncounted} of {clients}");
        }
    }

    #[test]
    fn cores_that_race_never_admit_more_than_the_bound() {
        const MOST: u32 = 7;
        let crowd = Crowd::new([1, 2]);
        let here = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        if let Admission::Counted(seat) = crowd.enter(ip(1), MOST) {
                            assert!(here.fetch_add(1, SeqCst) < MOST);
                            here.fetch_sub(1, SeqCst);
                            crowd.leave(&seat);
                        }
                    }
                });
            }
        });
        let left: Vec<_> = (0..MOST).map(|_| seat(crowd.enter(ip(1), MOST))).collect();
        assert_eq!((left.len(), crowd.enter(ip(1), MOST)), (MOST as usize, Admission::Full));
    }
}
