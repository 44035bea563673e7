//! The record of one exchange on its way from a core to the log thread.
//!
//! A core writes it into its ring of bytes as one frame: a fixed part, then the texts. No
//! allocation, no formatting, no wake-up. The log thread polls the rings, formats and writes.

pub mod spans;

use std::time::Duration;

use gnomon_config::model::{Arm, Seen};
use gnomon_policy::plan::Assignment;
use gnomon_tls::Version as TlsVersion;
use rtrb::{Consumer, Producer};

/// Bytes of each core's ring: over a thousand records at the usual 200 to 400 bytes, 20 ms of a
/// core's full rate.
pub const RING_BYTES: usize = 1 << 20;

/// The longest text kept of a path or a field; longer ones are cut.
pub const TEXT_MAX: usize = 2048;

/// What is written down about one exchange.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// When the head was read, since the Unix epoch.
    pub time: Duration,
    /// From the first byte of the head to the last byte of the reply, in microseconds.
    pub total_us: u32,
    /// Spent waiting for an origin connection from the pool's queue.
    pub queue_us: u32,
    /// Spent connecting; 0 on a pooled connection.
    pub connect_us: u32,
    /// From sending the request to the reply's first byte.
    pub first_byte_us: u32,
    /// The status answered; 0 if none was.
    pub status: u16,
    /// Minor version of the client's HTTP.
    pub minor: u8,
    /// Attempts made; 0 if none was.
    pub attempts: u8,
    /// How it ended: `--` or a failure's two letters.
    pub end: [u8; 2],
    /// How the version came about.
    pub assignment: Option<Assignment>,
    /// Probability of the assignment in parts per 100,000.
    pub probability: u32,
    /// Bytes of the reply's body sent.
    pub sent: u64,
    /// Bytes of the request's body received.
    pub received: u64,
    /// What TLS was spoken with the client, if it was, and whether its session was resumed.
    pub tls: Option<(TlsVersion, bool)>,
    /// Whether nothing in the texts needs escaping in a line; `false` where nobody has looked.
    pub is_plain: bool,
    /// The part that its version played, if there was one.
    pub arm: Option<Arm>,
    /// Who wants it.
    pub wants: Wants,
    /// What its trace is told, as [`spans`] writes it; empty where nobody is told.
    pub spans: &'a [u8],
    /// The texts.
    pub texts: Texts<'a>,
}

/// Who wants a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// The access log, a line.
    pub line: bool,
    /// Somebody who looks at exchanges as they end.
    pub viewers: bool,
    /// The collector of traces.
    pub spans: bool,
}

impl Wants {
    /// Whether anybody does.
    #[must_use]
    pub const fn any(self) -> bool {
        self.line || self.viewers || self.spans
    }

    fn bits(self) -> u8 {
        u8::from(self.line) | u8::from(self.viewers) << 1 | u8::from(self.spans) << 2
    }

    const fn of(bits: u8) -> Self {
        Self { line: bits & 1 != 0, viewers: bits & 2 != 0, spans: bits & 4 != 0 }
    }
}

impl<'a> Record<'a> {
    /// What a filter looks at.
    #[must_use]
    pub const fn seen(&self) -> Seen<'a> {
        Seen {
            status: self.status,
            took: Duration::from_micros(self.total_us as u64),
            route: self.texts.route,
            upstream: self.texts.upstream,
            version: self.texts.version,
            arm: self.arm,
            method: self.texts.method,
            path: self.texts.path,
            client: self.texts.client,
        }
    }
}

/// Texts of a [`Record`], each as received and to be escaped by whoever prints it.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Texts<'a> {
    pub route: &'a [u8],
    pub upstream: &'a [u8],
    pub version: &'a [u8],
    pub client: &'a [u8],
    pub method: &'a [u8],
    pub host: &'a [u8],
    pub path: &'a [u8],
    pub query: Option<&'a [u8]>,
    pub referer: &'a [u8],
    pub user_agent: &'a [u8],
    pub request_id: &'a [u8],
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    pub endpoint: &'a [u8],
}

/// A core's end of its ring.
#[derive(Debug)]
pub struct Recorder {
    ring: Producer<u8>,
    /// Where a frame is put together, so that the ring takes it in one copy.
    frame: Vec<u8>,
}

impl Recorder {
    /// Writes into `ring`.
    #[must_use]
    pub fn new(ring: Producer<u8>) -> Self {
        Self { ring, frame: Vec::with_capacity(FRAME_MAX) }
    }

    /// Writes `record` into the ring: the whole frame, or nothing and `false` if it has no room.
    /// What is no line of the log may take half of the ring, so that it costs the log none.
    /// No allocation, no lock, no wake-up.
    #[must_use]
    pub fn write(&mut self, record: &Record<'_>) -> bool {
        if !record.wants.line && self.ring.slots() < self.ring.buffer().capacity() / 2 {
            return false;
        }
        let texts = texts_of(&record.texts);
        let bytes: usize = texts.iter().map(|text| text.unwrap_or_default().len()).sum();
        let length = FIXED + bytes + record.spans.len();
        self.frame.clear();
        self.frame.extend_from_slice(&fixed_of(record, &texts, length));
        for text in texts {
            self.frame.extend_from_slice(text.unwrap_or_default());
        }
        self.frame.extend_from_slice(record.spans);
        self.ring.push_entire_slice(&self.frame).is_ok()
    }
}

/// Takes the oldest record out of a core's ring and shows it to `see`; `false` if there is none.
/// `frame` is room to be used again.
pub fn read(ring: &mut Consumer<u8>, frame: &mut Vec<u8>, see: impl FnOnce(&Record<'_>)) -> bool {
    let Ok(head) = ring.read_chunk(4) else { return false };
    let mut length = [0; 4];
    copy(head.as_slices(), &mut length);
    // Not committed: the four bytes are part of the frame, and a frame is there as a whole.
    let Ok(chunk) = ring.read_chunk(u32::from_le_bytes(length) as usize) else { return false };
    let seen = match chunk.as_slices() {
        (whole, []) => decode(whole).map(|record| see(&record)),
        (start, end) => {
            // The ring cuts one frame in some thousand in two.
            frame.clear();
            frame.extend_from_slice(start);
            frame.extend_from_slice(end);
            decode(frame).map(|record| see(&record))
        }
    };
    debug_assert!(seen.is_some(), "a frame of ours is whole");
    chunk.commit_all();
    true
}

fn copy((first, second): (&[u8], &[u8]), to: &mut [u8]) {
    let (start, end) = to.split_at_mut(first.len());
    start.copy_from_slice(first);
    end.copy_from_slice(second);
}

fn texts_of<'a>(texts: &Texts<'a>) -> [Option<&'a [u8]>; TEXTS] {
    let all = [
        Some(texts.route),
        Some(texts.upstream),
        Some(texts.version),
        Some(texts.client),
        Some(texts.method),
        Some(texts.host),
        Some(texts.path),
        texts.query,
        Some(texts.referer),
        Some(texts.user_agent),
        Some(texts.request_id),
        Some(texts.trace_id),
        Some(texts.span_id),
        Some(texts.endpoint),
    ];
    all.map(|text| text.map(|text| &text[..text.len().min(TEXT_MAX)]))
}

fn fixed_of(record: &Record<'_>, texts: &[Option<&[u8]>; TEXTS], length: usize) -> [u8; FIXED] {
    let mut fixed = [0; FIXED];
    let mut out = Out(&mut fixed);
    // At most FRAME_MAX.
    out.put(u32::try_from(length).unwrap_or(0).to_le_bytes());
    out.put(record.time.as_secs().to_le_bytes());
    out.put(record.time.subsec_nanos().to_le_bytes());
    out.put(record.total_us.to_le_bytes());
    out.put(record.queue_us.to_le_bytes());
    out.put(record.connect_us.to_le_bytes());
    out.put(record.first_byte_us.to_le_bytes());
    out.put(record.status.to_le_bytes());
    out.put([record.minor, record.attempts]);
    out.put(record.end);
    out.put([match record.assignment {
        None => 0,
        Some(Assignment::Coin) => 1,
        Some(Assignment::Sticky) => 2,
        Some(Assignment::Pinned) => 3,
        Some(Assignment::Fallback) => 4,
    }]);
    out.put(record.probability.to_le_bytes());
    out.put(record.sent.to_le_bytes());
    out.put(record.received.to_le_bytes());
    out.put([match record.tls {
        None => 0,
        Some((TlsVersion::Tls12, is_resumed)) => 1 + u8::from(is_resumed),
        Some((TlsVersion::Tls13, is_resumed)) => 3 + u8::from(is_resumed),
    }]);
    out.put([match record.arm {
        None => 0,
        Some(Arm::Stable) => 1,
        Some(Arm::Canary) => 2,
        Some(Arm::Pinned) => 3,
        Some(Arm::Shadow) => 4,
    }]);
    out.put([record.wants.bits()]);
    // At most SPANS_MAX.
    out.put(u16::try_from(record.spans.len()).unwrap_or(0).to_le_bytes());
    for text in texts {
        // At most TEXT_MAX, which is less than ABSENT.
        let length = text.map_or(ABSENT, |text| u16::try_from(text.len()).unwrap_or(0));
        out.put(length.to_le_bytes());
    }
    fixed
}

/// Turns a frame back into a record; `None` never happens to a frame that [`Recorder`] made.
#[inline]
fn decode(frame: &[u8]) -> Option<Record<'_>> {
    let mut tail = In(frame.get(FIXED - LENGTHS - TAIL..)?);
    let arm = match u8::from_le_bytes(tail.take()?) {
        1 => Some(Arm::Stable),
        2 => Some(Arm::Canary),
        3 => Some(Arm::Pinned),
        4 => Some(Arm::Shadow),
        _ => None,
    };
    let wants = Wants::of(u8::from_le_bytes(tail.take()?));
    let spans = usize::from(u16::from_le_bytes(tail.take()?));
    let (texts, spans) =
        frame.get(FIXED..)?.split_at_checked(frame.len().checked_sub(FIXED + spans)?)?;
    let mut input = In(frame);
    let _length: [u8; 4] = input.take()?;
    let seconds = u64::from_le_bytes(input.take()?);
    let time = Duration::new(seconds, u32::from_le_bytes(input.take()?));
    Some(Record {
        time,
        total_us: u32::from_le_bytes(input.take()?),
        queue_us: u32::from_le_bytes(input.take()?),
        connect_us: u32::from_le_bytes(input.take()?),
        first_byte_us: u32::from_le_bytes(input.take()?),
        status: u16::from_le_bytes(input.take()?),
        minor: u8::from_le_bytes(input.take()?),
        attempts: u8::from_le_bytes(input.take()?),
        end: input.take()?,
        assignment: match u8::from_le_bytes(input.take()?) {
            1 => Some(Assignment::Coin),
            2 => Some(Assignment::Sticky),
            3 => Some(Assignment::Pinned),
            4 => Some(Assignment::Fallback),
            _ => None,
        },
        probability: u32::from_le_bytes(input.take()?),
        sent: u64::from_le_bytes(input.take()?),
        received: u64::from_le_bytes(input.take()?),
        tls: match u8::from_le_bytes(input.take()?) {
            code @ (1 | 2) => Some((TlsVersion::Tls12, code == 2)),
            code @ (3 | 4) => Some((TlsVersion::Tls13, code == 4)),
            _ => None,
        },
        texts: {
            let mut input = TextsIn(In(frame.get(FIXED - LENGTHS..FIXED)?), In(texts));
            Texts {
                route: input.text()?,
                upstream: input.text()?,
                version: input.text()?,
                client: input.text()?,
                method: input.text()?,
                host: input.text()?,
                path: input.text()?,
                query: input.optional()?,
                referer: input.text()?,
                user_agent: input.text()?,
                request_id: input.text()?,
                trace_id: input.text()?,
                span_id: input.text()?,
                endpoint: input.text()?,
            }
        },
        is_plain: is_plain(texts),
        arm,
        wants,
        spans,
    })
}

/// The texts' lengths, and the texts.
struct TextsIn<'a>(In<'a>, In<'a>);

impl<'a> TextsIn<'a> {
    fn optional(&mut self) -> Option<Option<&'a [u8]>> {
        match u16::from_le_bytes(self.0.take()?) {
            ABSENT => Some(None),
            length => Some(Some(self.1.split(length.into())?)),
        }
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        self.optional().map(Option::unwrap_or_default)
    }
}

/// Whether no format escapes any of it: printable ASCII but for quotes and backslashes. All texts
/// of a frame stand side by side, so one look does for all; it never stops early, so that the
/// compiler can look at many bytes at once.
fn is_plain(texts: &[u8]) -> bool {
    let is_odd = |byte: u8| !matches!(byte, b' '..=b'~') | (byte == b'"') | (byte == b'\\');
    !texts.iter().fold(false, |odd, &byte| odd | is_odd(byte))
}

/// The rest of the place for a frame's fixed part.
struct Out<'a>(&'a mut [u8]);

impl Out<'_> {
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        let rest = std::mem::take(&mut self.0);
        let (place, rest) = rest.split_first_chunk_mut().expect("FIXED counts all that is put");
        *place = bytes;
        self.0 = rest;
    }
}

/// The rest of a frame.
struct In<'a>(&'a [u8]);

impl<'a> In<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn split(&mut self, length: usize) -> Option<&'a [u8]> {
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(text)
    }
}

/// Texts of a record.
const TEXTS: usize = 14;
/// Bytes of the fixed part: length, time, four timers, status, minor, attempts, end, assignment,
/// probability, two sizes, TLS, arm, wants, the length of spans, the texts' lengths.
const FIXED: usize = 4 + 12 + 16 + 2 + 2 + 2 + 1 + 4 + 16 + 1 + TAIL + LENGTHS;
/// Bytes of arm, wants and the length of spans, which stand before the texts' lengths.
const TAIL: usize = 4;
/// Bytes of the texts' lengths.
const LENGTHS: usize = 2 * TEXTS;
/// The longest a frame can be.
const FRAME_MAX: usize = FIXED + TEXTS * TEXT_MAX + spans::BYTES_MAX;
/// Stands for the length of a text that is not there.
const ABSENT: u16 = u16::MAX;

#[cfg(test)]
mod tests;
