//! The only caller of httparse: complete sections in, spans out.
//!
//! httparse judges every byte of the grammar. What it lets through is refused by its callers: bare
//! LF by [`Lines`](crate::lines), framing and Host by [`Survey`](crate::survey), targets by
//! [`Target`](crate::target).

use std::mem::MaybeUninit;

use httparse::{Error, Header, Status};

use crate::{
    head::{Field, Version},
    known::Known,
    limits::{FIELDS_MAX, HeadLimits, METHOD_BYTES_MAX},
    reject::Fault,
    span::Span,
};

/// A request line, as spans.
pub(crate) struct RequestLine {
    pub(crate) method: Span,
    pub(crate) target: Span,
    pub(crate) version: Version,
}

/// A status line, as values and spans.
pub(crate) struct StatusLine {
    pub(crate) version: Version,
    pub(crate) status: u16,
    pub(crate) reason: Span,
}

/// Parses a complete request head that starts at `start`, its fields into `fields`.
pub(crate) fn request(
    bytes: &[u8],
    start: usize,
    fields: &mut Vec<Field>,
) -> Result<RequestLine, Fault> {
    let head = bytes.get(start..).unwrap_or_default();
    let mut room = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(head, &mut room) {
        Ok(Status::Complete(_)) => {}
        Ok(Status::Partial) => return Err(Fault::StartLine),
        Err(Error::Token | Error::Version) => return Err(start_line_fault(head)),
        Err(error) => return Err(fault(error)),
    }
    let line = request_line(bytes, &parsed)?;
    collect(bytes, parsed.headers, fields);
    Ok(line)
}

fn request_line(bytes: &[u8], parsed: &httparse::Request<'_, '_>) -> Result<RequestLine, Fault> {
    let (method, target) = (parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default());
    if method.len() > METHOD_BYTES_MAX {
        return Err(Fault::MethodTooLong);
    }
    Ok(RequestLine {
        method: Span::within(bytes, method.as_bytes()),
        target: Span::within(bytes, target.as_bytes()),
        version: version(parsed.version),
    })
}

/// Parses the request head that `bytes` begin with, if it is whole and [clean](is_clean); the
/// line and where the head ends.
pub(crate) fn clean_request(
    bytes: &[u8],
    limits: &HeadLimits,
    fields: &mut Vec<Field>,
) -> Option<(RequestLine, usize)> {
    let mut room = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    let Ok(Status::Complete(end)) = parsed.parse_with_uninit_headers(bytes, &mut room) else {
        return None;
    };
    let line = request_line(bytes, &parsed).ok()?;
    collect(bytes, parsed.headers, fields);
    let is_first = line.method.start == 0;
    (is_first && is_clean(bytes.get(..end)?, fields, limits)).then_some((line, end))
}

/// Parses a complete reply head, its fields into `fields`.
pub(crate) fn reply(bytes: &[u8], fields: &mut Vec<Field>) -> Result<StatusLine, Fault> {
    if !bytes.starts_with(b"HTTP/1.") {
        // httparse would skip empty lines, and here they are the tail of an earlier reply.
        return Err(Fault::StartLine);
    }
    let mut room = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut room) {
        Ok(Status::Complete(_)) => {}
        Ok(Status::Partial) => return Err(Fault::StartLine),
        Err(error) => return Err(fault(error)),
    }
    let line = status_line(bytes, &parsed)?;
    collect(bytes, parsed.headers, fields);
    Ok(line)
}

fn status_line(bytes: &[u8], parsed: &httparse::Response<'_, '_>) -> Result<StatusLine, Fault> {
    let status = parsed.code.unwrap_or_default();
    if !(100..600).contains(&status) {
        return Err(Fault::StatusCode);
    }
    Ok(StatusLine { version: version(parsed.version), status, reason: reason(bytes) })
}

/// The same as [`clean_request`] for a reply.
pub(crate) fn clean_reply(
    bytes: &[u8],
    limits: &HeadLimits,
    fields: &mut Vec<Field>,
) -> Option<(StatusLine, usize)> {
    if !bytes.starts_with(b"HTTP/1.") {
        return None;
    }
    let mut room = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let parse = config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut room);
    let Ok(Status::Complete(end)) = parse else { return None };
    let line = status_line(bytes, &parsed).ok()?;
    collect(bytes, parsed.headers, fields);
    is_clean(bytes.get(..end)?, fields, limits).then_some((line, end))
}

/// Whether a head that httparse took needs no second look: every line ends with CRLF, where it
/// would take a bare LF, and everything is within the limits. What is not clean is left to
/// [`Lines`](crate::lines), which knows why.
fn is_clean(head: &[u8], fields: &[Field], limits: &HeadLimits) -> bool {
    let (mut start, mut most) = (0, limits.line_bytes);
    for field in fields {
        let next = field.name.start as usize;
        let line = head.get(start..next).unwrap_or_default();
        if !line.ends_with(b"\r\n") || line.len() > most.saturating_add(2) {
            return false;
        }
        (start, most) = (next, limits.field_bytes);
    }
    let last = head.get(start..).unwrap_or_default();
    last.ends_with(b"\r\n\r\n")
        && last.len() <= most.saturating_add(4)
        && head.len() <= limits.bytes
        && fields.len() <= limits.fields
}

/// Parses a complete trailer section, fields and empty line.
pub(crate) fn trailers(bytes: &[u8], fields: &mut Vec<Field>) -> Result<(), Fault> {
    let mut room = [httparse::EMPTY_HEADER; FIELDS_MAX];
    match httparse::parse_headers(bytes, &mut room) {
        Ok(Status::Complete((_, headers))) => {
            collect(bytes, headers, fields);
            Ok(())
        }
        Ok(Status::Partial) => Err(Fault::LineEnd),
        Err(error) => Err(fault(error)),
    }
}

/// Judges the beginning of a request line, so that a peer that does not speak HTTP is told at once.
/// Remembers how far earlier calls came.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Opening {
    is_judged: bool,
    method_end: usize,
    target_seen: usize,
    target_end: usize,
}

impl Opening {
    /// Judges `head` up to the end of its first line, and that line once more when it is whole.
    pub(crate) fn judge(&mut self, head: &[u8], is_whole: bool) -> Result<(), Fault> {
        if self.is_judged {
            return Ok(());
        }
        self.is_judged = is_whole;
        let end = if is_whole { memchr::memchr(b'\n', head) } else { None };
        self.judge_line(head.get(..end.unwrap_or(head.len())).unwrap_or_default())
    }

    fn judge_line(&mut self, line: &[u8]) -> Result<(), Fault> {
        if self.method_end == 0 {
            match line.iter().take(METHOD_BYTES_MAX + 1).position(|byte| !is_token(*byte)) {
                Some(0) => return Err(Fault::Method),
                Some(end) if line.get(end) == Some(&b' ') => self.method_end = end,
                Some(_) => return Err(Fault::Method),
                None if line.len() > METHOD_BYTES_MAX => return Err(Fault::MethodTooLong),
                None => return Ok(()),
            }
            self.target_seen = self.method_end.saturating_add(1);
        }
        if self.target_end == 0 {
            let target = line.get(self.target_seen..).unwrap_or_default();
            let Some(length) = memchr::memchr(b' ', target) else {
                self.target_seen = line.len();
                return Ok(());
            };
            self.target_end = self.target_seen.saturating_add(length);
        }
        let version = line.get(self.target_end.saturating_add(1)..).unwrap_or_default();
        let is_begun = |whole: &[u8]| whole.starts_with(version);
        if is_begun(b"HTTP/1.1\r") || is_begun(b"HTTP/1.0\r") {
            Ok(())
        } else {
            Err(version_fault(version))
        }
    }
}

/// Which part of a start line that httparse refused is at fault.
fn start_line_fault(head: &[u8]) -> Fault {
    Opening::default().judge(head, true).err().unwrap_or(Fault::Target)
}

//= rfc9110#section-15.6.6
//# The 505 (HTTP Version Not Supported) status code indicates that the server does not support, or
//# refuses to support, the major version of HTTP that was used in the request message.
fn version_fault(version: &[u8]) -> Fault {
    match version.strip_prefix(b"HTTP/") {
        Some([major, b'.', minor] | [major, b'.', minor, b'\r'])
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Fault::Version
        }
        _ => Fault::StartLine,
    }
}

fn fault(error: Error) -> Fault {
    match error {
        Error::HeaderName => Fault::FieldName,
        Error::HeaderValue => Fault::FieldValue,
        Error::NewLine => Fault::LineEnd,
        Error::Status => Fault::StatusCode,
        Error::Token | Error::Version => Fault::StartLine,
        Error::TooManyHeaders => Fault::TooManyFields,
    }
}

fn version(minor: Option<u8>) -> Version {
    if minor == Some(0) { Version::Http10 } else { Version::Http11 }
}

/// The reason phrase. httparse judged its bytes, but hides those beyond ASCII.
fn reason(bytes: &[u8]) -> Span {
    let start = b"HTTP/1.1 200 ".len();
    let end = memchr::memchr(b'\r', bytes).unwrap_or_default();
    if start < end { Span::new(start, end) } else { Span::default() }
}

fn collect(bytes: &[u8], headers: &[Header<'_>], fields: &mut Vec<Field>) {
    fields.extend(headers.iter().map(|header| Field {
        name: Span::within(bytes, header.name.as_bytes()),
        value: Span::within(bytes, header.value),
        known: Known::of(header.name.as_bytes()),
    }));
}

//= rfc9110#section-5.6.2
//# tchar = "!" / "#" / "$" / "%" / "&" / "'" / "*" / "+" / "-" / "." / "^" / "_" / "`" / "|" / "~" /
//# DIGIT / ALPHA
/// Whether a byte may stand in a token.
pub(crate) const fn is_token(byte: u8) -> bool {
    matches!(byte,
        b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~'
        | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')
}

/// Whether a byte may stand in a field value.
pub(crate) const fn is_value(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}
