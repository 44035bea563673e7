//! Maps by numbers that we made ourselves: nobody can pick them so that they collide, so a secret
//! is not needed, and one multiplication will do.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// A map by a number, or a few of them.
pub(crate) type ByNumber<K, V> = HashMap<K, V, BuildHasherDefault<Mixer>>;

/// Mixes numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mixer(u64);

/// Odd, and with its bits in no order: 2^64 divided by the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        // Both halves of the product: each bit of the number has a part in the lowest ones.
        let mixed = u128::from(self.0.rotate_left(32) ^ number) * u128::from(SPREAD);
        self.0 = low(mixed) ^ low(mixed >> 64);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[expect(clippy::cast_possible_truncation, reason = "that half is wanted")]
const fn low(both: u128) -> u64 {
    both as u64
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, hash::BuildHasher as _};

    use super::*;

    /// How many of 1,024 places 1,024 numbers fall into; by chance it would be 647.
    fn spread(numbers: impl Iterator<Item = (usize, u64)>) -> usize {
        let hasher = BuildHasherDefault::<Mixer>::default();
        let places = numbers.take(1024).map(|number| hasher.hash_one(number) & 1023);
        places.collect::<BTreeSet<_>>().len()
    }

    #[test]
    fn numbers_in_a_row_and_numbers_far_apart_fall_into_different_places() {
        assert!(spread((0..).map(|ticket| (0, ticket))) > 600);
        assert!(spread((0..).map(|ticket| (7, ticket << 40))) > 600);
        assert!(spread((0..).map(|core| (core, 5))) > 600);
        assert!(spread((0..1024).flat_map(|n| [(0, n), (1, n)])) > 600);
    }
}
