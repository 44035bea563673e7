//! A table that is built once and then only looked into, with hashes the caller rolls itself.
//!
//! The standard map wants to hash a whole key at each look; a path's prefixes would be hashed
//! over and over. Keys are those of the configuration, so a client can make a look fail but
//! cannot make the table slow: probing ends at the first empty slot, and half of them are empty.

use std::collections::BTreeMap;

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
        self.0 = fold(self.0 ^ short(tail), MULTIPLIER ^ part.len() as u64);
    }
}

/// Entries found by a hash and a comparison.
#[derive(Debug)]
pub(crate) struct Index<T> {
    /// Open addressing, one step at a time; a number of an entry plus one, or 0.
    slots: Box<[u32]>,
    entries: Box<[T]>,
}

impl<T> Index<T> {
    /// A table of these, whose keys differ and are found by `hash`.
    pub(crate) fn build(entries: Vec<T>, hash: impl Fn(&T) -> Hash) -> Self {
        let size = (entries.len() * 2).next_power_of_two();
        let mut slots = vec![0_u32; size].into_boxed_slice();
        for (entry, number) in entries.iter().zip(1..) {
            let mut slot = first_slot(hash(entry), size);
            while slots[slot] != 0 {
                slot = (slot + 1) & (size - 1);
            }
            slots[slot] = number;
        }
        Self { slots, entries: entries.into() }
    }

    /// The entry with this hash for which `is` holds. Adds one to `looks`.
    pub(crate) fn find(&self, hash: Hash, is: impl Fn(&T) -> bool, looks: &mut u32) -> Option<&T> {
        *looks += 1;
        let mut slot = first_slot(hash, self.slots.len());
        loop {
            let number = self.slots[slot].checked_sub(1)?;
            let entry = &self.entries[number as usize];
            if is(entry) {
                return Some(entry);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }
}

/// Texts and their numbers. All texts lie in one piece: ten thousand short ones then fit where the
/// processor keeps what it often looks at.
#[derive(Debug)]
pub(crate) struct Texts {
    index: Index<Text>,
    all: Box<[u8]>,
}

#[derive(Debug)]
struct Text {
    hash: Hash,
    start: u32,
    length: u32,
    number: u32,
}

impl Texts {
    /// A table of these texts, which differ, by the `hash` that the caller will roll.
    pub(crate) fn build(texts: BTreeMap<Box<[u8]>, u32>, hash: fn(&[u8]) -> Hash) -> Self {
        let mut all = Vec::new();
        // A configuration of 4 GiB would not have been read.
        let narrow = |size: usize| u32::try_from(size).expect("names are shorter than 4 GiB");
        let mut keep = |(text, number): (Box<[u8]>, u32)| {
            let start = narrow(all.len());
            all.extend_from_slice(&text);
            Text { hash: hash(&text), start, length: narrow(text.len()), number }
        };
        let entries = texts.into_iter().map(&mut keep).collect();
        Self { index: Index::build(entries, |text: &Text| text.hash), all: all.into() }
    }

    /// Whether it has no text.
    pub(crate) fn is_empty(&self) -> bool {
        self.index.entries.is_empty()
    }

    /// The number of `text`, whose hash this is. Adds one to `looks`.
    pub(crate) fn find(&self, hash: Hash, text: &[u8], looks: &mut u32) -> Option<u32> {
        let is = |entry: &Text| entry.hash == hash && self.text(entry) == text;
        self.index.find(hash, is, looks).map(|entry| entry.number)
    }

    fn text(&self, entry: &Text) -> &[u8] {
        &self.all[entry.start as usize..][..entry.length as usize]
    }
}

#[expect(clippy::cast_possible_truncation, reason = "masked to the number of slots")]
fn first_slot(hash: Hash, slots: usize) -> usize {
    hash.0 as usize & (slots - 1)
}

/// At most seven bytes as one number, each in it at least once; for one length, different bytes
/// give different numbers.
fn short(bytes: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32;
    }
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return 0 };
    let middle = bytes[bytes.len() / 2];
    u64::from(*first) | u64::from(middle) << 8 | u64::from(*last) << 16
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
        let index = Index::build((0..1000_u64).collect(), |&key| Hash::of_number(key));
        let mut looks = 0;
        for key in 0..2000 {
            let found = index.find(Hash::of_number(key), |entry| *entry == key, &mut looks);
            assert_eq!(found.copied(), (key < 1000).then_some(key));
        }
        assert_eq!(looks, 2000);
        let empty: Index<u64> = Index::build(vec![], |&key| Hash::of_number(key));
        assert!(empty.find(Hash::of_number(1), |_| true, &mut looks).is_none());
    }

    #[test]
    fn every_byte_counts_whatever_the_length() {
        for length in 0..24 {
            let mut part = vec![b'x'; length];
            let hash = |part: &[u8]| {
                let mut hash = Hash::new();
                hash.absorb(part);
                hash
            };
            let plain = hash(&part);
            for at in 0..length {
                part[at] = b'y';
                assert_ne!(hash(&part), plain, "byte {at} of {length}");
                part[at] = b'x';
            }
        }
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
        assert_ne!(hash(&[b"a\0"]), hash(&[b"a\0\0"]));
        assert_ne!(hash(&[b"a", b""]), hash(&[b"a"]));
    }
}
