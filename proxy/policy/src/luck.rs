//! Luck: a seeded stream of draws, one per worker. Its seed belongs in the log.

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// A stream of draws; the same seed gives the same stream on every machine.
///
/// Not for secrets: whoever sees enough draws can tell the next. A sticky id decides about a
/// version, never about access.
#[derive(Clone, Debug)]
pub struct Luck(Xoshiro256PlusPlus);

impl Luck {
    /// A stream from 64 bits, for tests and simulations.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// A stream from 256 bits of the kernel's entropy.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(Xoshiro256PlusPlus::from_seed(seed))
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0.next_u64()
    }
}

/// Maps 64 uniform bits onto `0..bound` without a division; the bias is below `bound / 2^64`.
#[must_use]
pub(crate) fn below(bits: u64, bound: u64) -> u64 {
    ((u128::from(bits) * u128::from(bound)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_tells_the_same_story() {
        let (mut a, mut b) = (Luck::seeded(7), Luck::seeded(7));
        assert!((0..100).all(|_| a.draw() == b.draw()));
    }

    #[test]
    fn below_covers_its_range_and_no_more() {
        assert_eq!((below(0, 10), below(u64::MAX, 10), below(u64::MAX / 2, 10)), (0, 9, 4));
    }
}
