//! What one core knows of tokens it has seen, so that each costs one signature check.

use std::{
    cell::{Cell, RefCell},
    hash::Hasher as _,
    rc::Rc,
    sync::Arc,
};

use serde_json::{Map, Value};
use siphasher::sip128::{Hasher128 as _, SipHasher24};

use super::{Candidate, Flaw, TOKEN_MAX, Verified, Verifier};
use crate::cells::CoreCells;

/// Claims of the tokens that one core has seen. Begins to hold memory with the first.
pub(crate) struct Claims {
    cells: Arc<CoreCells>,
    known: RefCell<Option<Known>>,
    /// Signature checks that may be made now.
    left: Cell<u32>,
}

/// What is known, all of it under one verifier: what was true under other keys is forgotten.
struct Known {
    verifier: Arc<Verifier>,
    /// Of tokens we keep a hash alone, so nobody may know which have the same.
    secret: [u8; 16],
    good: Table<Held>,
    /// Tokens that are not believed, so that they cost no check either; a flood of them
    /// pushes out no good one.
    bad: Table<()>,
    /// Bytes that the good ones hold.
    held: usize,
}

struct Held {
    claims: Rc<Map<String, Value>>,
    bytes: usize,
}

/// What became of a signature check, as [`CoreCells::jwt_checks`] counts it.
#[derive(Clone, Copy)]
enum Came {
    Ok,
    Bad,
    Expired,
    /// None was made: there had been too many.
    Refused,
}

impl Claims {
    /// Nothing is known yet.
    pub(crate) fn new(cells: Arc<CoreCells>) -> Self {
        Self { cells, known: RefCell::default(), left: Cell::new(CHECKS_SAVED) }
    }

    /// The claims of a token, if they are to be believed. `now` is in seconds since 1970.
    pub(crate) fn of(
        &self,
        verifier: &Arc<Verifier>,
        token: &[u8],
        now: u64,
    ) -> Option<Rc<Map<String, Value>>> {
        if token.len() > TOKEN_MAX {
            return None;
        }
        let mut known = self.known.borrow_mut();
        let known = Known::under(&mut known, verifier)?;
        let hash = known.hash(token);
        if let Some(held) = known.good.find(hash, now) {
            return Some(held.claims.clone());
        }
        if known.bad.find(hash, now).is_some() {
            return None;
        }
        let candidate = verifier.candidate(token)?;
        if !self.pay(candidate.cost()) {
            self.count(Came::Refused);
            return None;
        }
        self.check(known, &candidate, hash, now)
    }

    /// Allows more signature checks, as it is time for them: every [`TICK`].
    ///
    /// [`TICK`]: crate::patience::TICK
    pub(crate) fn refill(&self) {
        self.left.set((self.left.get() + CHECKS_A_TICK).min(CHECKS_SAVED));
    }

    fn pay(&self, cost: u32) -> bool {
        let left = self.left.get().checked_sub(cost);
        left.inspect(|left| self.left.set(*left)).is_some()
    }

    fn count(&self, came: Came) {
        self.cells.jwt_checks[came as usize].add(1);
    }

    fn check(
        &self,
        known: &mut Known,
        candidate: &Candidate<'_>,
        hash: u128,
        now: u64,
    ) -> Option<Rc<Map<String, Value>>> {
        let (came, until) = match candidate.check(now) {
            Ok(Verified { claims, until }) => {
                self.count(Came::Ok);
                return Some(known.keep(hash, Rc::new(claims), until, now));
            }
            Err(Flaw::Expired) => (Came::Expired, u64::MAX),
            Err(Flaw::Early(until)) => (Came::Bad, until),
            Err(Flaw::Bad) => (Came::Bad, u64::MAX),
        };
        self.count(came);
        known.bad.put(hash, until.min(now.saturating_add(BAD_FOR)), now, ());
        None
    }
}

impl Known {
    /// What is known under this verifier. None if there is no randomness to be had.
    fn under<'k>(known: &'k mut Option<Self>, verifier: &Arc<Verifier>) -> Option<&'k mut Self> {
        if !known.as_ref().is_some_and(|known| Arc::ptr_eq(&known.verifier, verifier)) {
            let mut secret = [0; 16];
            aws_lc_rs::rand::fill(&mut secret).ok()?;
            *known = Some(Self {
                verifier: Arc::clone(verifier),
                secret,
                good: Table::new(GOOD_MAX),
                bad: Table::new(BAD_MAX),
                held: 0,
            });
        }
        known.as_mut()
    }

    fn hash(&self, token: &[u8]) -> u128 {
        let mut hasher = SipHasher24::new_with_key(&self.secret);
        hasher.write(token);
        hasher.finish128().as_u128()
    }

    fn keep(
        &mut self,
        hash: u128,
        claims: Rc<Map<String, Value>>,
        until: u64,
        now: u64,
    ) -> Rc<Map<String, Value>> {
        let bytes = claims.iter().map(|(name, value)| size_of_entry(name, value)).sum();
        while self.held + bytes > HELD_MAX {
            let Some(gone) = self.good.drop_next() else { return claims };
            self.held -= gone.bytes;
        }
        self.held += bytes;
        let held = Held { claims: Rc::clone(&claims), bytes };
        if let Some(gone) = self.good.put(hash, until, now, held) {
            self.held -= gone.bytes;
        }
        claims
    }
}

/// A table of fixed size: each hash has [`WAYS`] places, and takes over the one that is past its time
/// or was asked for longest ago.
struct Table<V> {
    places: Box<[Option<Entry<V>>]>,
    /// Counts what it was asked.
    asked: u64,
    /// The place that is dropped next, where there has to be room.
    hand: usize,
}

struct Entry<V> {
    hash: u128,
    /// In seconds since 1970.
    until: u64,
    /// When it was last asked for.
    asked: u64,
    value: V,
}

impl<V> Table<V> {
    /// `places` is a power of two.
    fn new(places: usize) -> Self {
        Self { places: (0..places).map(|_| None).collect(), asked: 0, hand: 0 }
    }

    /// The places that a hash may have.
    fn ways(&mut self, hash: u128) -> &mut [Option<Entry<V>>] {
        let first = (hash as usize & (self.places.len() - 1)) & !(WAYS - 1);
        &mut self.places[first..first + WAYS]
    }

    fn find(&mut self, hash: u128, now: u64) -> Option<&V> {
        self.asked += 1;
        let asked = self.asked;
        let mut ways = self.ways(hash).iter_mut().flatten();
        let entry = ways.find(|entry| entry.hash == hash && now < entry.until)?;
        entry.asked = asked;
        Some(&entry.value)
    }

    /// Keeps this, and gives back what had to go for it.
    fn put(&mut self, hash: u128, until: u64, now: u64, value: V) -> Option<V> {
        let asked = self.asked;
        let worth = |place: &Option<Entry<V>>| match place {
            Some(entry) if entry.hash == hash => (0, 0),
            None => (1, 0),
            Some(entry) if entry.until <= now => (1, 1),
            Some(entry) => (2, entry.asked),
        };
        let place = self.ways(hash).iter_mut().min_by_key(|place| worth(place))?;
        place.replace(Entry { hash, until, asked, value }).map(|entry| entry.value)
    }

    /// Drops one, if there is any.
    fn drop_next(&mut self) -> Option<V> {
        for _ in 0..self.places.len() {
            self.hand = (self.hand + 1) % self.places.len();
            if let Some(entry) = self.places[self.hand].take() {
                return Some(entry.value);
            }
        }
        None
    }
}

/// About how many bytes an entry of a map takes.
fn size_of_entry(name: &str, value: &Value) -> usize {
    NODE + name.len() + size_of(value)
}

fn size_of(value: &Value) -> usize {
    NODE + match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size_of).sum(),
        Value::Object(entries) => {
            entries.iter().map(|(name, value)| size_of_entry(name, value)).sum()
        }
    }
}

/// Tokens whose claims are kept at most; a user has one, and this is per core.
const GOOD_MAX: usize = 4096;
/// Tokens that are known to be none.
const BAD_MAX: usize = 1024;
/// Places that a hash may have.
const WAYS: usize = 4;
/// Bytes of claims at most.
const HELD_MAX: usize = 16 * 1024 * 1024;
/// What a value takes beside its text, with the allocator's share.
const NODE: usize = 48;
/// For how many seconds a token that is not believed is not looked at again: a clock that was wrong may
/// have been the reason.
const BAD_FOR: u64 = 60;
/// Signature checks in 50 ms. On one core of a small server, RS256 takes 21 µs, EdDSA 43 and ES256 56 (a
/// known token 0.5): these take 7 % of it at most.
const CHECKS_A_TICK: u32 = 64;
/// Checks that may be saved up for when many users come at once, or keys change: those of a second.
const CHECKS_SAVED: u32 = 20 * CHECKS_A_TICK;

#[cfg(test)]
mod tests;
