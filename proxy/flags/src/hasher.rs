//! Where users stand: a keyed hash that puts everyone at a fixed position.
//!
//! The format is that of `gnomon sticky 1`, written down where splits use it: whoever has the same
//! salt, secret and key stands at the same position, be it for a split, a shadow or a flag.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher24;

/// Positions on the line: one for each part of a [`Share`](gnomon_config::model::Share).
pub const POSITIONS: u32 = 100_000;

/// Maps a hash evenly to a position below [`POSITIONS`].
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "below 100,000")]
pub fn position(hash: u64) -> u32 {
    ((u128::from(hash) * u128::from(POSITIONS)) >> 64) as u32
}

/// A keyed hash: SipHash-2-4 under a key made of a format, a salt and a secret.
#[derive(Clone, Copy, Debug)]
pub struct Hasher(SipHasher24);

impl Hasher {
    /// The hash that splits, shadows and flags with this salt share.
    #[must_use]
    pub fn salted(salt: &str, secret: &[u8]) -> Self {
        Self::derive(b"gnomon sticky 1", salt, secret)
    }

    /// The hash that tells variants apart among those whom a rule's share has picked; another than
    /// that, or only the first variants would ever be seen while the share grows.
    #[must_use]
    pub fn variants(salt: &str, secret: &[u8]) -> Self {
        Self::derive(b"gnomon variants 1", salt, secret)
    }

    /// The hash under a key made of all three.
    #[must_use]
    pub fn derive(format: &[u8], salt: &str, secret: &[u8]) -> Self {
        let fixed: [u8; 16] = std::array::from_fn(|index| index.to_le_bytes()[0]);
        let mut key = [0; 16];
        for (half, place) in (0_u8..).zip(key.chunks_exact_mut(8)) {
            let mut hasher = SipHasher24::new_with_key(&fixed);
            for part in [&[half], format, b"\0", salt.as_bytes(), b"\0", secret] {
                hasher.write(part);
            }
            place.copy_from_slice(&hasher.finish().to_le_bytes());
        }
        Self(SipHasher24::new_with_key(&key))
    }

    /// 64 bits for `input`.
    #[must_use]
    pub fn hash(&self, input: &[u8]) -> u64 {
        self.0.hash(input)
    }

    /// Where `input` stands on the line of positions.
    #[must_use]
    pub fn position(&self, input: &[u8]) -> u32 {
        position(self.hash(input))
    }
}
