//! Where an HTTP/1.1 message ends, and nothing more.
//!
//! Both ends of the bench trust what they read: the proxy between them is what is measured, and
//! its strictness is tested elsewhere.

use memchr::{memchr, memmem};

/// Which way a message goes: they differ in what a missing length means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Without a length there is no body.
    Request,
    /// Without a length the body lasts until the connection closes.
    Response,
}

/// A head that has been seen whole.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes up to and with the empty line.
    pub len: usize,
    /// The body that follows.
    pub body: Body,
    /// Whether the sender closes after this message.
    pub close: bool,
}

/// What is still to come of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Body {
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked(Chunks),
    /// Whatever comes until the end of the connection.
    UntilClose,
}

/// Looks for a whole head at the start of `bytes`; `None` asks for more bytes.
#[must_use]
pub fn scan(bytes: &[u8], kind: Kind) -> Option<Head> {
    let len = memmem::find(bytes, b"\r\n\r\n")? + 4;
    let mut body = match kind {
        Kind::Request => Body::Length(0),
        Kind::Response => Body::UntilClose,
    };
    let mut close = false;
    let mut rest = &bytes[..len - 2];
    let mut first = true;
    while let Some(end) = memchr(b'\n', rest) {
        let line = &rest[..end.saturating_sub(1)];
        rest = &rest[end + 1..];
        if std::mem::take(&mut first) {
            continue;
        }
        // One look at the first letter spares most fields the comparison.
        match line.first() {
            Some(b'c' | b'C') => {
                if let Some(value) = value_of(line, b"content-length:") {
                    body = Body::Length(decimal(value));
                } else if let Some(value) = value_of(line, b"connection:") {
                    close = value.eq_ignore_ascii_case(b"close");
                }
            }
            Some(b't' | b'T') if value_of(line, b"transfer-encoding:").is_some() => {
                body = Body::Chunked(Chunks::default());
            }
            _ => {}
        }
    }
    Some(Head { len, body, close })
}

/// The status of a response, 0 if there is none to read.
#[must_use]
pub fn status(head: &[u8]) -> u16 {
    let digits = head.get(9..12).unwrap_or_default();
    u16::try_from(decimal(digits)).unwrap_or(0)
}

/// The target of a request, empty if there is none to read.
#[must_use]
pub fn target(head: &[u8]) -> &[u8] {
    let Some(start) = memchr(b' ', head) else { return &[] };
    let rest = &head[start + 1..];
    &rest[..memchr(b' ', rest).unwrap_or(0)]
}

/// The number at the start of `bytes`, 0 without one.
#[must_use]
pub fn decimal(bytes: &[u8]) -> u64 {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |sum: u64, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
}

fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

impl Body {
    /// Takes what belongs to the body off `bytes`: how many, and whether the body ended there.
    pub fn feed(&mut self, bytes: &[u8]) -> (usize, bool) {
        match self {
            Self::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= here as u64;
                (here, *left == 0)
            }
            Self::Chunked(chunks) => chunks.feed(bytes),
            Self::UntilClose => (bytes.len(), false),
        }
    }
}

/// Where in a chunked body we are.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Chunks {
    state: ChunkState,
}

#[derive(Debug, PartialEq, Eq)]
enum ChunkState {
    Size { size: u64, digits_over: bool },
    Data { left: u64 },
    Trailer { line: u32 },
}

impl Default for ChunkState {
    fn default() -> Self {
        Self::Size { size: 0, digits_over: false }
    }
}

impl Chunks {
    fn feed(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            match &mut self.state {
                ChunkState::Data { left } => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - at);
                    *left -= here as u64;
                    at += here;
                    if *left == 0 {
                        self.state = ChunkState::default();
                    }
                    continue;
                }
                ChunkState::Size { size, digits_over } => match byte {
                    b'\n' if *size == 0 => self.state = ChunkState::Trailer { line: 0 },
                    // The two bytes that end the data count as data: nobody looks at them.
                    b'\n' => self.state = ChunkState::Data { left: size.saturating_add(2) },
                    _ => match char::from(byte).to_digit(16) {
                        Some(digit) if !*digits_over => {
                            *size = size.saturating_mul(16).saturating_add(u64::from(digit));
                        }
                        _ => *digits_over = true,
                    },
                },
                ChunkState::Trailer { line } => match byte {
                    b'\n' if *line == 0 => return (at + 1, true),
                    b'\n' => *line = 0,
                    b'\r' => {}
                    _ => *line = line.saturating_add(1),
                },
            }
            at += 1;
        }
        (at, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_found_only_when_whole() {
        assert_eq!(scan(b"GET / HTTP/1.1\r\nHost: a\r\n", Kind::Request), None);
        let head = scan(b"GET /b/7 HTTP/1.1\r\nHost: a\r\n\r\nGET", Kind::Request).unwrap();
        assert_eq!(head, Head { len: 30, body: Body::Length(0), close: false });
        assert_eq!(target(b"GET /b/7 HTTP/1.1\r\n"), b"/b/7");
    }

    #[test]
    fn a_response_tells_its_length_and_status() {
        let bytes = b"HTTP/1.1 204 No Content\r\ncontent-LENGTH: 12\r\nConnection: Close\r\n\r\n";
        let head = scan(bytes, Kind::Response).unwrap();
        assert_eq!((head.body, head.close, status(bytes)), (Body::Length(12), true, 204));
    }

    #[test]
    fn chunks_end_where_they_end_however_they_are_cut() {
        let bytes = b"3;x=1\r\nabc\r\n0a\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\nnext";
        let whole = bytes.len() - 4;
        assert_eq!(Chunks::default().feed(bytes), (whole, true));
        for cut in 0..whole {
            let mut chunks = Chunks::default();
            assert_eq!(chunks.feed(&bytes[..cut]), (cut, false), "cut at {cut}");
            assert_eq!(chunks.feed(&bytes[cut..]), (whole - cut, true), "cut at {cut}");
        }
    }
}
