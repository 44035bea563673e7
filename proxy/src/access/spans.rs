//! What a sampled exchange tells of its trace, in a record: the trace, and its attempts.
//!
//! Written by a core into the tail of a frame, read by the log thread.

use gnomon_config::model::Arm;

/// Attempts that are told of; `retry.attempts` is below, and so is what fallbacks add.
pub const ATTEMPTS_MAX: usize = 8;
/// Bytes of an endpoint's or a version's name that are told.
pub const NAME_MAX: usize = 255;
/// Bytes of `tracestate` that are told: what W3C asks everybody to pass on.
pub const STATE_MAX: usize = 512;
/// The most that is written.
pub const BYTES_MAX: usize = HEAD + 2 + STATE_MAX + ATTEMPTS_MAX * (ATTEMPT + 2 * (1 + NAME_MAX));

/// Bytes of the trace, three spans' ids and the linked trace.
const HEAD: usize = 16 + 8 + 8 + 16 + 8;
/// Bytes of an attempt but for its names.
const ATTEMPT: usize = 8 + 4 + 4 + 2 + 2 + 1;

/// The trace of an exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trace<'a> {
    /// Its id.
    pub trace: u128,
    /// The exchange's own span.
    pub span: u64,
    /// The caller's span; 0 if the trace begins here.
    pub parent: u64,
    /// A trace and a span that somebody spoke of who is not believed; zeros if nobody did.
    pub link: (u128, u64),
    /// `tracestate` as received, if it is passed on.
    pub state: &'a [u8],
}

/// An attempt at an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// Its span.
    pub span: u64,
    /// When it began, in microseconds after the exchange.
    pub begun_us: u32,
    /// How long it took, in microseconds.
    pub took_us: u32,
    /// The status replied; 0 if none was.
    pub status: u16,
    /// How it ended: `--` or a failure's two letters.
    pub end: [u8; 2],
    /// The part that its version plays.
    pub arm: Option<Arm>,
    /// Who was asked.
    pub endpoint: &'a [u8],
    /// Of which version.
    pub version: &'a [u8],
}

impl Trace<'_> {
    /// Appends it to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.trace.to_le_bytes());
        out.extend_from_slice(&self.span.to_le_bytes());
        out.extend_from_slice(&self.parent.to_le_bytes());
        out.extend_from_slice(&self.link.0.to_le_bytes());
        out.extend_from_slice(&self.link.1.to_le_bytes());
        // A list cut in its middle would be another.
        let state = if self.state.len() <= STATE_MAX { self.state } else { &[] };
        out.extend_from_slice(&u16::try_from(state.len()).unwrap_or(0).to_le_bytes());
        out.extend_from_slice(state);
    }
}

impl Attempt<'_> {
    /// Appends it to `out`, behind the trace and earlier attempts.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.span.to_le_bytes());
        out.extend_from_slice(&self.begun_us.to_le_bytes());
        out.extend_from_slice(&self.took_us.to_le_bytes());
        out.extend_from_slice(&self.status.to_le_bytes());
        out.extend_from_slice(&self.end);
        out.push(match self.arm {
            None => 0,
            Some(Arm::Stable) => 1,
            Some(Arm::Canary) => 2,
            Some(Arm::Pinned) => 3,
            Some(Arm::Shadow) => 4,
        });
        for name in [self.endpoint, self.version] {
            let name = &name[..name.len().min(NAME_MAX)];
            out.push(u8::try_from(name.len()).unwrap_or(0));
            out.extend_from_slice(name);
        }
    }
}

/// Reads the trace and its attempts; `None` of bytes that nobody here has written.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<(Trace<'_>, Vec<Attempt<'_>>)> {
    let mut input = super::In(bytes);
    let trace = u128::from_le_bytes(input.take()?);
    let [span, parent] = [u64::from_le_bytes(input.take()?), u64::from_le_bytes(input.take()?)];
    let link = (u128::from_le_bytes(input.take()?), u64::from_le_bytes(input.take()?));
    let state = usize::from(u16::from_le_bytes(input.take()?));
    let state = input.split(state)?;
    let mut attempts = Vec::new();
    while !input.0.is_empty() && attempts.len() < ATTEMPTS_MAX {
        attempts.push(attempt(&mut input)?);
    }
    Some((Trace { trace, span, parent, link, state }, attempts))
}

fn attempt<'a>(input: &mut super::In<'a>) -> Option<Attempt<'a>> {
    let span = u64::from_le_bytes(input.take()?);
    let [begun_us, took_us] =
        [u32::from_le_bytes(input.take()?), u32::from_le_bytes(input.take()?)];
    let status = u16::from_le_bytes(input.take()?);
    let end = input.take()?;
    let arm = match u8::from_le_bytes(input.take()?) {
        1 => Some(Arm::Stable),
        2 => Some(Arm::Canary),
        3 => Some(Arm::Pinned),
        4 => Some(Arm::Shadow),
        _ => None,
    };
    let mut name = || {
        let length = usize::from(u8::from_le_bytes(input.take()?));
        input.split(length)
    };
    let (endpoint, version) = (name()?, name()?);
    Some(Attempt { span, begun_us, took_us, status, end, arm, endpoint, version })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_and_its_attempts_come_back_as_they_were() {
        let trace = Trace { trace: 7 << 80, span: 1, parent: 2, link: (3, 4), state: b"a=b" };
        let attempt = Attempt {
            span: 9,
            begun_us: 10,
            took_us: 11,
            status: 503,
            end: *b"OR",
            arm: Some(Arm::Canary),
            endpoint: b"127.0.0.1:80",
            version: b"v2",
        };
        let other = Attempt { arm: None, endpoint: b"", end: *b"--", ..attempt };
        let mut bytes = Vec::new();
        trace.write(&mut bytes);
        attempt.write(&mut bytes);
        other.write(&mut bytes);
        assert_eq!(read(&bytes), Some((trace, vec![attempt, other])));
        for end in 0..bytes.len() {
            // A cut is seen, but for one between two attempts.
            let whole = read(&bytes[..end]).is_some_and(|(_, attempts)| attempts.len() == 2);
            assert!(!whole, "{end}");
        }
    }

    #[test]
    fn what_is_too_long_stays_within_the_bound() {
        let long = [b'x'; 3000];
        let attempt = Attempt {
            span: 9,
            begun_us: 0,
            took_us: 0,
            status: 0,
            end: *b"--",
            arm: None,
            endpoint: &long,
            version: &long,
        };
        let mut bytes = Vec::new();
        Trace { state: &long[..STATE_MAX], ..Trace::default() }.write(&mut bytes);
        (0..ATTEMPTS_MAX).for_each(|_| attempt.write(&mut bytes));
        assert_eq!(bytes.len(), BYTES_MAX);
        assert!(u16::try_from(BYTES_MAX).is_ok());
    }
}
