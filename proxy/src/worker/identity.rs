//! Request ids: a counter behind a random prefix, since a random UUID a request is dear.

use std::cell::Cell;

pub(super) use crate::cells::ID_BYTES;

/// Hands out ids: 16 hexadecimal digits that tell this core of this process from any other, then
/// 16 that count.
pub(super) struct Identities(Cell<[u8; ID_BYTES]>);

impl Identities {
    pub(super) fn new(prefix: u64) -> Self {
        let mut text = [b'0'; ID_BYTES];
        let mut rest = prefix;
        for digit in text[..ID_BYTES / 2].iter_mut().rev() {
            *digit = DIGITS[(rest & 15) as usize];
            rest >>= 4;
        }
        Self(Cell::new(text))
    }

    /// The next id.
    pub(super) fn next(&self) -> [u8; ID_BYTES] {
        let mut text = self.0.get();
        // Counts as an odometer does: one digit, but for one time in sixteen.
        for digit in text[ID_BYTES / 2..].iter_mut().rev() {
            *digit = match *digit {
                b'9' => b'a',
                b'f' => b'0',
                digit => digit + 1,
            };
            if *digit != b'0' {
                break;
            }
        }
        self.0.set(text);
        text
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_share_the_prefix_and_count_up() {
        let identities = Identities::new(0xfeed);
        assert_eq!(&identities.next(), b"000000000000feed0000000000000001");
        assert_eq!(&identities.next(), b"000000000000feed0000000000000002");
        let later = (3..0x1234).map(|_| identities.next()).last();
        assert_eq!(later.as_ref(), Some(b"000000000000feed0000000000001233"));
    }
}
