//! Request ids: a counter behind a random prefix, since a random UUID a request is dear.

use std::cell::Cell;

/// Bytes of a request id's text.
pub(super) const ID_BYTES: usize = 32;

/// Hands out ids: 16 hexadecimal digits that tell this core of this process from any other, then
/// 16 that count.
pub(super) struct Identities {
    prefix: u64,
    next: Cell<u64>,
}

impl Identities {
    pub(super) const fn new(prefix: u64) -> Self {
        Self { prefix, next: Cell::new(1) }
    }

    /// The next id.
    pub(super) fn next(&self) -> [u8; ID_BYTES] {
        let count = self.next.get();
        self.next.set(count.wrapping_add(1));
        let mut text = [0; ID_BYTES];
        let (prefix, counter) = text.split_at_mut(ID_BYTES / 2);
        hex(self.prefix, prefix);
        hex(count, counter);
        text
    }
}

/// Writes `value` as lower-case hexadecimal digits, as many as `text` has room for.
fn hex(value: u64, text: &mut [u8]) {
    let mut rest = value;
    for digit in text.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(rest & 15) as usize];
        rest >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_share_the_prefix_and_count_up() {
        let identities = Identities::new(0xfeed);
        assert_eq!(&identities.next(), b"000000000000feed0000000000000001");
        assert_eq!(&identities.next(), b"000000000000feed0000000000000002");
    }
}
