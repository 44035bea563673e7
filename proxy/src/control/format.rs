//! One line of the access log for one record, in each of its formats.
//!
//! Everything that came from a client or an origin is escaped here: no text can end a line, open
//! a field or reach a terminal as a control sequence. Values of named query parameters are
//! replaced before anything is escaped.

use std::{io::Write as _, sync::Arc, time::Duration};

use gnomon_config::model::{AccessField, AccessFormat};
use gnomon_policy::plan::Assignment;
use gnomon_tls::Version as TlsVersion;

use crate::access::Record;

/// What stands before a member's value, but for the first member: put together by the compiler.
/// Where its length is known, it is copied in a step or two, so what takes it is always inlined.
macro_rules! key {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}

/// Turns records into lines.
#[derive(Debug)]
pub(crate) struct Formatter {
    format: AccessFormat,
    redact: Vec<Arc<str>>,
    skip: Skip,
    /// The second that `clock` tells, so that a time stamp is made once a second.
    second: Option<u64>,
    clock: String,
    query: Vec<u8>,
    referer: Vec<u8>,
}

impl Formatter {
    pub(crate) fn new(format: AccessFormat, redact: &[Arc<str>], left_out: &[AccessField]) -> Self {
        Self {
            format,
            redact: redact.to_vec(),
            skip: Skip::of(left_out),
            second: None,
            clock: String::new(),
            query: Vec::new(),
            referer: Vec::new(),
        }
    }

    /// Appends the line of `record`, its end included.
    pub(crate) fn write(&mut self, record: &Record<'_>, line: &mut Vec<u8>) {
        if self.format == AccessFormat::Off {
            return;
        }
        self.tell(record.time);
        self.redact(record);
        match self.format {
            AccessFormat::Off => {}
            AccessFormat::Json => self.json(record, line),
            AccessFormat::Ecs => self.ecs(record, line),
            AccessFormat::Logfmt => self.logfmt(record, line),
            AccessFormat::Common => self.common(record, line),
            AccessFormat::Combined => {
                self.common(record, line);
                line.extend_from_slice(b" \"");
                escape_quoted(or_dash(&self.referer), line);
                line.extend_from_slice(b"\" \"");
                escape_quoted(or_dash(record.texts.user_agent), line);
                line.push(b'"');
            }
        }
        line.push(b'\n');
    }

    /// Sets `clock` to the second of `time`.
    fn tell(&mut self, time: Duration) {
        if self.second.replace(time.as_secs()) == Some(time.as_secs()) {
            return;
        }
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let stamp = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
        let pattern = match self.format {
            AccessFormat::Common | AccessFormat::Combined => "%d/%b/%Y:%H:%M:%S +0000",
            AccessFormat::Off | AccessFormat::Json | AccessFormat::Ecs | AccessFormat::Logfmt => {
                "%Y-%m-%dT%H:%M:%S"
            }
        };
        self.clock = stamp.strftime(pattern).to_string();
    }

    /// Sets `query` and `referer` to those of `record`, named values replaced.
    fn redact(&mut self, record: &Record<'_>) {
        self.query.clear();
        redact_query(record.texts.query.unwrap_or_default(), &self.redact, &mut self.query);
        self.referer.clear();
        let referer = record.texts.referer;
        match referer.iter().position(|&byte| byte == b'?') {
            None => self.referer.extend_from_slice(referer),
            Some(mark) => {
                self.referer.extend_from_slice(&referer[..=mark]);
                redact_query(&referer[mark + 1..], &self.redact, &mut self.referer);
            }
        }
    }

    /// RFC 3339 with milliseconds.
    fn stamp(&self, record: &Record<'_>, line: &mut Vec<u8>) {
        let millis = record.time.subsec_millis();
        let [hundreds, tens, ones] = [millis / 100, millis / 10 % 10, millis % 10].map(digit);
        line.extend_from_slice(self.clock.as_bytes());
        line.extend_from_slice(&[b'.', hundreds, tens, ones, b'Z']);
    }

    fn json(&self, record: &Record<'_>, line: &mut Vec<u8>) {
        let texts = &record.texts;
        line.extend_from_slice(b"{\"time\":\"");
        self.stamp(record, line);
        line.push(b'"');
        let mut object = Object { line, is_plain: record.is_plain, skip: self.skip };
        object.text(AccessField::RequestId, key!("request_id"), texts.request_id);
        object.text(AccessField::TraceId, key!("trace_id"), texts.trace_id);
        object.text(AccessField::SpanId, key!("span_id"), texts.span_id);
        object.text(AccessField::Client, key!("client"), texts.client);
        object.text(AccessField::Method, key!("method"), texts.method);
        object.text(AccessField::Host, key!("host"), texts.host);
        object.text(AccessField::Path, key!("path"), texts.path);
        if texts.query.is_some() {
            object.text(AccessField::Query, key!("query"), &self.query);
        }
        object.text(AccessField::Protocol, key!("protocol"), protocol(record));
        if let Some((version, is_resumed)) = record.tls {
            object.text(AccessField::Tls, key!("tls_version"), tls_version(version));
            object.flag(AccessField::Tls, key!("tls_resumed"), is_resumed);
        }
        object.number(AccessField::Status, key!("status"), record.status.into());
        object.number(AccessField::Sent, key!("sent_bytes"), record.sent);
        object.number(AccessField::Received, key!("received_bytes"), record.received);
        object.text(AccessField::Route, key!("route"), texts.route);
        object.text(AccessField::Upstream, key!("upstream"), texts.upstream);
        object.text(AccessField::Version, key!("version"), texts.version);
        object.text(AccessField::Arm, key!("arm"), arm(record));
        object.text(AccessField::Assignment, key!("assignment"), assignment(record));
        object.parts::<WHOLE>(AccessField::Probability, key!("probability"), record.probability);
        object.text(AccessField::Endpoint, key!("endpoint"), texts.endpoint);
        object.number(AccessField::Attempts, key!("attempts"), record.attempts.into());
        object.text(AccessField::End, key!("end"), &record.end);
        object.parts::<MILLI>(AccessField::Queue, key!("queue_ms"), record.queue_us);
        object.parts::<MILLI>(AccessField::Connect, key!("connect_ms"), record.connect_us);
        object.parts::<MILLI>(AccessField::FirstByte, key!("first_byte_ms"), record.first_byte_us);
        object.parts::<MILLI>(AccessField::Total, key!("total_ms"), record.total_us);
        object.text(AccessField::Referer, key!("referer"), &self.referer);
        object.text(AccessField::UserAgent, key!("user_agent"), texts.user_agent);
        line.push(b'}');
    }

    fn ecs(&self, record: &Record<'_>, line: &mut Vec<u8>) {
        let texts = &record.texts;
        line.extend_from_slice(b"{\"@timestamp\":\"");
        self.stamp(record, line);
        line.push(b'"');
        let mut object = Object { line, is_plain: record.is_plain, skip: self.skip };
        object.always(key!("ecs.version"), b"8.11");
        object.always(key!("event.kind"), b"event");
        object.always(key!("event.dataset"), b"gnomon.access");
        object.number(
            AccessField::Total,
            key!("event.duration"),
            u64::from(record.total_us) * 1000,
        );
        let failed = record.status == 0 || record.status >= 500;
        object.text(
            AccessField::Status,
            key!("event.outcome"),
            if failed { b"failure" } else { b"success" },
        );
        object.text(AccessField::RequestId, key!("http.request.id"), texts.request_id);
        object.text(AccessField::Method, key!("http.request.method"), texts.method);
        object.text(AccessField::Referer, key!("http.request.referrer"), &self.referer);
        object.number(AccessField::Received, key!("http.request.body.bytes"), record.received);
        object.number(AccessField::Status, key!("http.response.status_code"), record.status.into());
        object.number(AccessField::Sent, key!("http.response.body.bytes"), record.sent);
        object.text(
            AccessField::Protocol,
            key!("http.version"),
            if record.minor == 0 { b"1.0" } else { b"1.1" },
        );
        if let Some((version, is_resumed)) = record.tls {
            object.text(AccessField::Tls, key!("tls.version"), tls_version(version));
            object.flag(AccessField::Tls, key!("tls.resumed"), is_resumed);
        }
        object.text(AccessField::Client, key!("source.address"), texts.client);
        object.text(AccessField::TraceId, key!("trace.id"), texts.trace_id);
        object.text(AccessField::SpanId, key!("span.id"), texts.span_id);
        object.text(AccessField::Host, key!("url.domain"), texts.host);
        object.text(AccessField::Path, key!("url.path"), texts.path);
        if texts.query.is_some() {
            object.text(AccessField::Query, key!("url.query"), &self.query);
        }
        object.text(AccessField::UserAgent, key!("user_agent.original"), texts.user_agent);
        object.text(AccessField::Endpoint, key!("server.address"), texts.endpoint);
        object.text(AccessField::Route, key!("gnomon.route"), texts.route);
        object.text(AccessField::Upstream, key!("gnomon.upstream"), texts.upstream);
        object.text(AccessField::Version, key!("gnomon.version"), texts.version);
        object.text(AccessField::Arm, key!("gnomon.arm"), arm(record));
        object.text(AccessField::Assignment, key!("gnomon.assignment"), assignment(record));
        object.parts::<WHOLE>(
            AccessField::Probability,
            key!("gnomon.probability"),
            record.probability,
        );
        object.number(AccessField::Attempts, key!("gnomon.attempts"), record.attempts.into());
        object.text(AccessField::End, key!("gnomon.end"), &record.end);
        object.parts::<MILLI>(AccessField::Queue, key!("gnomon.queue_ms"), record.queue_us);
        object.parts::<MILLI>(AccessField::Connect, key!("gnomon.connect_ms"), record.connect_us);
        object.parts::<MILLI>(
            AccessField::FirstByte,
            key!("gnomon.first_byte_ms"),
            record.first_byte_us,
        );
        object.parts::<MILLI>(AccessField::Total, key!("gnomon.total_ms"), record.total_us);
        line.push(b'}');
    }

    fn logfmt(&self, record: &Record<'_>, line: &mut Vec<u8>) {
        let texts = &record.texts;
        line.extend_from_slice(b"time=");
        self.stamp(record, line);
        let mut pairs = Pairs { line, skip: self.skip };
        pairs.text(AccessField::RequestId, " request_id=", texts.request_id);
        pairs.text(AccessField::TraceId, " trace_id=", texts.trace_id);
        pairs.text(AccessField::SpanId, " span_id=", texts.span_id);
        pairs.text(AccessField::Client, " client=", texts.client);
        pairs.text(AccessField::Method, " method=", texts.method);
        pairs.text(AccessField::Host, " host=", texts.host);
        pairs.text(AccessField::Path, " path=", texts.path);
        if texts.query.is_some() {
            pairs.text(AccessField::Query, " query=", &self.query);
        }
        pairs.text(AccessField::Protocol, " protocol=", protocol(record));
        if let Some((version, is_resumed)) = record.tls {
            pairs.text(AccessField::Tls, " tls_version=", tls_version(version));
            pairs.text(AccessField::Tls, " tls_resumed=", word(is_resumed));
        }
        pairs.number(AccessField::Status, " status=", record.status.into());
        pairs.number(AccessField::Sent, " sent_bytes=", record.sent);
        pairs.number(AccessField::Received, " received_bytes=", record.received);
        pairs.text(AccessField::Route, " route=", texts.route);
        pairs.text(AccessField::Upstream, " upstream=", texts.upstream);
        pairs.text(AccessField::Version, " version=", texts.version);
        pairs.text(AccessField::Arm, " arm=", arm(record));
        pairs.text(AccessField::Assignment, " assignment=", assignment(record));
        pairs.parts::<WHOLE>(AccessField::Probability, " probability=", record.probability);
        pairs.text(AccessField::Endpoint, " endpoint=", texts.endpoint);
        pairs.number(AccessField::Attempts, " attempts=", record.attempts.into());
        pairs.text(AccessField::End, " end=", &record.end);
        pairs.parts::<MILLI>(AccessField::Queue, " queue_ms=", record.queue_us);
        pairs.parts::<MILLI>(AccessField::Connect, " connect_ms=", record.connect_us);
        pairs.parts::<MILLI>(AccessField::FirstByte, " first_byte_ms=", record.first_byte_us);
        pairs.parts::<MILLI>(AccessField::Total, " total_ms=", record.total_us);
        pairs.text(AccessField::Referer, " referer=", &self.referer);
        pairs.text(AccessField::UserAgent, " user_agent=", texts.user_agent);
    }

    /// NCSA common: `client - - [time] "request line" status bytes`.
    fn common(&self, record: &Record<'_>, line: &mut Vec<u8>) {
        let texts = &record.texts;
        escape_quoted(or_dash(texts.client), line);
        line.extend_from_slice(b" - - [");
        line.extend_from_slice(self.clock.as_bytes());
        line.extend_from_slice(b"] \"");
        escape_quoted(or_dash(texts.method), line);
        line.push(b' ');
        escape_quoted(texts.path, line);
        if texts.query.is_some() {
            line.push(b'?');
            escape_quoted(&self.query, line);
        }
        line.push(b' ');
        line.extend_from_slice(protocol(record));
        line.extend_from_slice(b"\" ");
        decimal(record.status.into(), line);
        line.push(b' ');
        decimal(record.sent, line);
    }
}

/// Fields that are left out.
#[derive(Clone, Copy, Debug, Default)]
struct Skip(u32);

impl Skip {
    fn of(fields: &[AccessField]) -> Self {
        // Fewer than 32 are known.
        Self(fields.iter().fold(0, |all, field| all | 1 << (*field as u32)))
    }

    const fn has(self, field: AccessField) -> bool {
        self.0 >> (field as u32) & 1 != 0
    }
}

/// Members of a JSON object being written.
struct Object<'a> {
    line: &'a mut Vec<u8>,
    /// Whether no text needs escaping.
    is_plain: bool,
    skip: Skip,
}

impl Object<'_> {
    #[inline(always)]
    fn flag(&mut self, field: AccessField, key: &'static str, flag: bool) {
        if self.skip.has(field) {
            return;
        }
        self.line.extend_from_slice(key.as_bytes());
        self.line.extend_from_slice(word(flag));
    }

    /// A text that is not empty.
    fn text(&mut self, field: AccessField, key: &'static str, value: &[u8]) {
        if !value.is_empty() && !self.skip.has(field) {
            self.always(key, value);
        }
    }

    fn always(&mut self, key: &'static str, value: &[u8]) {
        self.line.extend_from_slice(key.as_bytes());
        self.line.push(b'"');
        if self.is_plain {
            self.line.extend_from_slice(value);
        } else {
            escape_json(value, self.line);
        }
        self.line.push(b'"');
    }

    #[inline(always)]
    fn number(&mut self, field: AccessField, key: &'static str, value: u64) {
        if self.skip.has(field) {
            return;
        }
        self.line.extend_from_slice(key.as_bytes());
        decimal(value, self.line);
    }

    #[inline(always)]
    fn parts<const UNIT: u32>(&mut self, field: AccessField, key: &'static str, value: u32) {
        if self.skip.has(field) {
            return;
        }
        self.line.extend_from_slice(key.as_bytes());
        fraction::<UNIT>(value, self.line);
    }
}

/// Pairs of a logfmt line being written; a key brings its blank and its `=`.
struct Pairs<'a> {
    line: &'a mut Vec<u8>,
    skip: Skip,
}

impl Pairs<'_> {
    fn text(&mut self, field: AccessField, key: &'static str, value: &[u8]) {
        if self.skip.has(field) {
            return;
        }
        self.line.extend_from_slice(key.as_bytes());
        logfmt_value(value, self.line);
    }

    fn number(&mut self, field: AccessField, key: &'static str, value: u64) {
        if self.skip.has(field) {
            return;
        }
        self.line.extend_from_slice(key.as_bytes());
        decimal(value, self.line);
    }

    fn parts<const UNIT: u32>(&mut self, field: AccessField, key: &'static str, value: u32) {
        if self.skip.has(field) {
            return;
        }
        self.line.extend_from_slice(key.as_bytes());
        fraction::<UNIT>(value, self.line);
    }
}

fn protocol(record: &Record<'_>) -> &'static [u8] {
    if record.minor == 0 { b"HTTP/1.0" } else { b"HTTP/1.1" }
}

const fn tls_version(version: TlsVersion) -> &'static [u8] {
    match version {
        TlsVersion::Tls12 => b"1.2",
        TlsVersion::Tls13 => b"1.3",
    }
}

const fn word(flag: bool) -> &'static [u8] {
    if flag { b"true" } else { b"false" }
}

fn assignment(record: &Record<'_>) -> &'static [u8] {
    match record.assignment {
        None => b"",
        Some(Assignment::Coin) => b"coin",
        Some(Assignment::Sticky) => b"sticky",
        Some(Assignment::Pinned) => b"pinned",
        Some(Assignment::Fallback) => b"fallback",
    }
}

fn arm(record: &Record<'_>) -> &'static [u8] {
    record.arm.map_or(b"", |arm| arm.word().as_bytes())
}

fn decimal(number: u64, line: &mut Vec<u8>) {
    line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// `parts` of so many to the `UNIT`, a power of ten, without the zeros that would end it.
fn fraction<const UNIT: u32>(parts: u32, line: &mut Vec<u8>) {
    decimal(u64::from(parts / UNIT), line);
    let mut rest = parts % UNIT;
    if rest > 0 {
        line.push(b'.');
    }
    while rest > 0 {
        rest *= 10;
        line.push(digit(rest / UNIT));
        rest %= UNIT;
    }
}

/// A number below ten.
fn digit(number: u32) -> u8 {
    b'0' + number.to_le_bytes()[0]
}

fn or_dash(text: &[u8]) -> &[u8] {
    if text.is_empty() { b"-" } else { text }
}

/// Copies a query, the values of the parameters named in `names` replaced.
pub(super) fn redact_query(query: &[u8], names: &[Arc<str>], out: &mut Vec<u8>) {
    for piece in query.split_inclusive(|&byte| byte == b'&' || byte == b';') {
        let (pair, separator) = match piece.split_last() {
            Some((&(b'&' | b';'), pair)) => (pair, &piece[pair.len()..]),
            Some(_) | None => (piece, &piece[piece.len()..]),
        };
        match pair.iter().position(|&byte| byte == b'=') {
            Some(equals) if names.iter().any(|name| same_key(&pair[..equals], name)) => {
                out.extend_from_slice(&pair[..=equals]);
                out.extend_from_slice(b"<redacted>");
            }
            Some(_) | None => out.extend_from_slice(pair),
        }
        out.extend_from_slice(separator);
    }
}

/// Whether a key as it stands in a query is `name`, whatever its case and percent-encoding.
fn same_key(key: &[u8], name: &str) -> bool {
    let mut rest = key;
    let decoded = std::iter::from_fn(|| {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        if byte != b'%' {
            return Some(byte);
        }
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if value.is_some() {
            rest = &after[2..];
        }
        Some(value.unwrap_or(byte))
    });
    decoded.map(|byte| byte.to_ascii_lowercase()).eq(name.bytes().map(|b| b.to_ascii_lowercase()))
}

/// The inside of a JSON string: controls escaped, C1 and DEL too, what is not UTF-8 replaced by
/// U+FFFD.
fn escape_json(text: &[u8], out: &mut Vec<u8>) {
    let is_special = |character: char| matches!(character, '"' | '\\') || character.is_control();
    for chunk in text.utf8_chunks() {
        for run in chunk.valid().split_inclusive(is_special) {
            match run.char_indices().next_back().filter(|&(_, last)| is_special(last)) {
                None => out.extend_from_slice(run.as_bytes()),
                Some((end, last)) => {
                    out.extend_from_slice(&run.as_bytes()[..end]);
                    let _ = match last {
                        '"' | '\\' => write!(out, "\\{last}"),
                        control => write!(out, "\\u{:04x}", u32::from(control)),
                    };
                }
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// The inside of a quoted text as Apache writes it: printable ASCII as it stands, quotes and
/// backslashes behind a backslash, every other byte as `\xHH`.
fn escape_quoted(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
}

/// A value of logfmt: bare where that is safe, else a JSON string.
fn logfmt_value(value: &[u8], out: &mut Vec<u8>) {
    let bare = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'\\');
    if value.iter().all(bare) {
        return out.extend_from_slice(value);
    }
    out.push(b'"');
    escape_json(value, out);
    out.push(b'"');
}

/// Microseconds in a millisecond.
const MILLI: u32 = 1000;
/// Parts in a whole probability.
const WHOLE: u32 = gnomon_config::model::Share::WHOLE.0;

#[cfg(test)]
mod tests;
