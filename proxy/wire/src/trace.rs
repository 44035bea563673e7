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
        let mut rest = text;
        let version = hex(take::<2>(&mut rest, b"")?)?;
        let (high, low) = (hex(take::<16>(&mut rest, b"-")?)?, hex(take::<16>(&mut rest, b"")?)?);
        let trace = u128::from(high) << 64 | u128::from(low);
        let parent = hex(take::<16>(&mut rest, b"-")?)?;
        let flags = u8::try_from(hex(take::<2>(&mut rest, b"-")?)?).ok()?;
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
        let mut out = [b'-'; Self::BYTES];
        let mut rest = out.as_mut_slice();
        put(&mut rest, &[0]);
        put(&mut rest, &self.trace.to_be_bytes());
        put(&mut rest, &self.parent.to_be_bytes());
        put(&mut rest, &[self.flags]);
        out
    }
}

/// Writes two digits for each byte, and leaves what stands behind them.
fn put(rest: &mut &mut [u8], bytes: &[u8]) {
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
    let (places, after) = std::mem::take(rest).split_at_mut(bytes.len().saturating_mul(2));
    for (place, byte) in places.as_chunks_mut().0.iter_mut().zip(bytes) {
        *place = [digit(byte >> 4), digit(byte & 15)];
    }
    *rest = after.get_mut(1..).unwrap_or_default();
}

/// The next so many bytes, which must stand behind `before`.
fn take<'a, const N: usize>(rest: &mut &'a [u8], before: &[u8]) -> Option<&'a [u8; N]> {
    let (taken, after) = rest.strip_prefix(before)?.split_first_chunk()?;
    *rest = after;
    Some(taken)
}

/// At most sixteen lower-case hexadecimal digits.
fn hex(text: &[u8]) -> Option<u64> {
    let (mut number, mut all) = (0_u64, 0_u8);
    for byte in text {
        let value = VALUES.get(usize::from(*byte)).copied().unwrap_or(NO_DIGIT);
        number = number << 4 | u64::from(value & 15);
        all |= value;
    }
    (all < NO_DIGIT).then_some(number)
}

/// Stands for the value of what is no digit; a bit that no digit's value has.
const NO_DIGIT: u8 = 0x80;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// What each byte is worth as a digit.
#[expect(clippy::indexing_slicing, reason = "run by the compiler")]
static VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        values[DIGITS[value as usize] as usize] = value;
        value += 1;
    }
    values
};

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
