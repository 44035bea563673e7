//! W3C Trace Context: the `traceparent` field.

/// Which trace a request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traceparent {
    /// The trace; not 0.
    pub trace: u128,
    /// The sender's span; not 0.
    pub parent: u64,
    /// Bit 0: sampled.
    pub flags: u8,
}

impl Traceparent {
    /// Bytes of the text form.
    pub const BYTES: usize = 55;

    /// Reads `00-<32 hex>-<16 hex>-<2 hex>`, lower case; a higher version may have more behind it.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (text, rest) = text.split_at_checked(Self::BYTES)?;
        let mut parts = text.split(|byte| *byte == b'-');
        let version = hex(parts.next()?, 2)?;
        let trace = hex(parts.next()?, 32)?;
        let parent = u64::try_from(hex(parts.next()?, 16)?).ok()?;
        let flags = u8::try_from(hex(parts.next()?, 2)?).ok()?;
        let is_whole = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest.starts_with(b"-"),
        };
        (is_whole && trace != 0 && parent != 0).then_some(Self { trace, parent, flags })
    }

    /// A new trace; both numbers are drawn by the caller.
    #[must_use]
    pub fn start(trace: u128, span: u64, is_sampled: bool) -> Self {
        Self { trace: trace.max(1), parent: span.max(1), flags: u8::from(is_sampled) }
    }

    /// The same trace, as this span passes it on.
    #[must_use]
    pub fn child(self, span: u64) -> Self {
        Self { parent: span.max(1), flags: self.flags & 1, ..self }
    }

    /// The text form.
    #[must_use]
    pub fn text(self) -> [u8; Self::BYTES] {
        let trace = self.trace.to_be_bytes();
        let parent = self.parent.to_be_bytes();
        let digit = |nibble: u8| match nibble {
            0..=9 => b'0' | nibble,
            _ => b'a'.wrapping_add(nibble.wrapping_sub(10)),
        };
        let digits = |byte: &u8| [digit(byte >> 4), digit(byte & 15)];
        let text = b"00-".iter().copied();
        let text = text.chain(trace.iter().flat_map(digits)).chain([b'-']);
        let text = text.chain(parent.iter().flat_map(digits)).chain([b'-']);
        let mut out = [0; Self::BYTES];
        for (to, from) in out.iter_mut().zip(text.chain(digits(&self.flags))) {
            *to = from;
        }
        out
    }
}

/// So many lower-case hexadecimal digits.
fn hex(text: &[u8], length: usize) -> Option<u128> {
    if text.len() != length {
        return None;
    }
    text.iter().try_fold(0_u128, |sum, byte| match byte {
        b'0'..=b'9' | b'a'..=b'f' => Some(sum << 4 | u128::from(char::from(*byte).to_digit(16)?)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_and_written_alike() {
        let parent = Traceparent::parse(TEXT).expect("valid");
        assert_eq!(parent.text(), *TEXT);
        let child = parent.child(0xab);
        assert_eq!((child.trace, child.parent), (parent.trace, 0xab));
        assert_eq!(Traceparent::parse(&child.text()), Some(child));
        assert!(Traceparent::parse(&Traceparent::start(0, 0, true).text()).is_some());
    }

    #[test]
    fn an_invalid_traceparent_is_none() {
        let rows: &[&[u8]] = &[
            b"",
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            b"00-00000000000000000000000000000000-b7ad6b7169203331-01",
            b"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            b"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            b"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-+1",
        ];
        for row in rows {
            assert_eq!(Traceparent::parse(row), None, "{}", row.escape_ascii());
        }
        let future = [b"01".as_slice(), &TEXT[2..], b"-more"].concat();
        assert!(Traceparent::parse(&future).is_some());
    }
}
