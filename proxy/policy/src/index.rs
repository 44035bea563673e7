//! A table that is built once and then only looked into, with hashes the caller rolls itself.
//!
//! The standard map wants to hash a whole key at each look; a path's prefixes would be hashed
//! over and over. Keys are those of the configuration, so a client can make a look fail but
//! cannot make the table slow: probing ends at the first empty slot, and half of them are empty.

/// A hash that grows with what it absorbs; a copy is the hash of what came so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hash(u64);

impl Hash {
    /// Of nothing.
    pub(crate) fn new() -> Self {
        Self(MULTIPLIER)
    }

    /// Of one number.
    pub(crate) fn of_number(number: u64) -> Self {
        Self(fold(number ^ MULTIPLIER, MULTIPLIER))
    }

    /// Takes a part in; where parts end counts.
    pub(crate) fn absorb(&mut self, part: &[u8]) {
        let (words, tail) = part.as_chunks::<8>();
        for word in words {
            self.0 = fold(self.0 ^ u64::from_le_bytes(*word), MULTIPLIER);
        }
        let mut last = [0; 8];
        last[..tail.len()].copy_from_slice(tail);
        self.0 = fold(self.0 ^ u64::from_le_bytes(last), MULTIPLIER ^ part.len() as u64);
    }
}

/// Entries found by a hash and a comparison.
#[derive(Debug)]
pub(crate) struct Index<T> {
    /// Open addressing, one step at a time; a number of an entry plus one, or 0.
    slots: Box<[u32]>,
    entries: Vec<(Hash, T)>,
}

impl<T> Index<T> {
    /// A table of these, whose keys differ.
    pub(crate) fn build(entries: Vec<(Hash, T)>) -> Self {
        let size = (entries.len() * 2).next_power_of_two();
        let mut slots = vec![0_u32; size].into_boxed_slice();
        for ((hash, _), number) in entries.iter().zip(1..) {
            let mut slot = first_slot(*hash, size);
            while slots[slot] != 0 {
                slot = (slot + 1) & (size - 1);
            }
            slots[slot] = number;
        }
        Self { slots, entries }
    }

    /// Whether it has no entry.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry with this hash for which `is` holds. Adds one to `looks`.
    pub(crate) fn find(&self, hash: Hash, is: impl Fn(&T) -> bool, looks: &mut u32) -> Option<&T> {
        *looks += 1;
        let mut slot = first_slot(hash, self.slots.len());
        loop {
            let number = self.slots[slot].checked_sub(1)?;
            let (found, entry) = &self.entries[number as usize];
            if *found == hash && is(entry) {
                return Some(entry);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "masked to the number of slots")]
fn first_slot(hash: Hash, slots: usize) -> usize {
    hash.0 as usize & (slots - 1)
}

/// Both halves of the full product, as wyhash does.
#[expect(clippy::cast_possible_truncation, reason = "the two halves")]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// An odd constant with bits evenly spread (wyhash's first).
const MULTIPLIER: u64 = 0xa076_1d64_78bd_642f;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_found_and_nothing_else() {
        let entries: Vec<_> = (0..1000_u64).map(|key| (Hash::of_number(key), key)).collect();
        let index = Index::build(entries);
        let mut looks = 0;
        for key in 0..2000 {
            let found = index.find(Hash::of_number(key), |entry| *entry == key, &mut looks);
            assert_eq!(found.copied(), (key < 1000).then_some(key));
        }
        assert_eq!(looks, 2000);
        let empty: Index<u64> = Index::build(vec![]);
        assert!(empty.find(Hash::of_number(1), |_| true, &mut looks).is_none());
    }

    #[test]
    fn where_parts_end_counts() {
        let hash = |parts: &[&[u8]]| {
            let mut hash = Hash::new();
            parts.iter().for_each(|part| hash.absorb(part));
            hash
        };
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
        assert_ne!(hash(&[b"a"]), hash(&[b"a\0"]));
        assert_ne!(hash(&[b"a", b""]), hash(&[b"a"]));
    }
}
