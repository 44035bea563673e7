//! One line of the access log for one record, in each of its formats.
//!
//! Everything that came from a client or an origin is escaped here: no text can end a line, open
//! a field or reach a terminal as a control sequence. Values of named query parameters are
//! replaced before anything is escaped.

use std::{io::Write as _, sync::Arc, time::Duration};

use gnomon_config::model::AccessFormat;
use gnomon_policy::plan::Assignment;

use crate::access::Record;

/// Turns records into lines.
#[derive(Debug)]
pub(crate) struct Formatter {
    format: AccessFormat,
    redact: Vec<Arc<str>>,
    /// The second that `clock` tells, so that a time stamp is made once a second.
    second: Option<u64>,
    clock: String,
    query: Vec<u8>,
    referer: Vec<u8>,
}

impl Formatter {
    pub(crate) fn new(format: AccessFormat, redact: &[Arc<str>]) -> Self {
        let (query, referer) = (Vec::new(), Vec::new());
        Self { format, redact: redact.to_vec(), second: None, clock: String::new(), query, referer }
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

    fn stamp(&self, record: &Record<'_>) -> String {
        format!("{}.{:03}Z", self.clock, record.time.subsec_millis())
    }

    fn json(&self, record: &Record<'_>, line: &mut Vec<u8>) {
        let texts = &record.texts;
        let mut object = Object::open(line);
        object.text("time", self.stamp(record).as_bytes());
        object.text("request_id", texts.request_id);
        object.text("trace_id", texts.trace_id);
        object.text("client", texts.client);
        object.text("method", texts.method);
        object.text("host", texts.host);
        object.text("path", texts.path);
        if texts.query.is_some() {
            object.text("query", &self.query);
        }
        object.text("protocol", protocol(record).as_bytes());
        object.number("status", record.status);
        object.number("sent_bytes", record.sent);
        object.number("received_bytes", record.received);
        object.text("route", texts.route);
        object.text("upstream", texts.upstream);
        object.text("version", texts.version);
        object.text("assignment", assignment(record).as_bytes());
        object.number("probability", parts(record.probability));
        object.text("endpoint", texts.endpoint);
        object.number("attempts", record.attempts);
        object.text("end", &record.end);
        for (name, micros) in timers(record) {
            object.number(name, millis(micros));
        }
        object.text("referer", &self.referer);
        object.text("user_agent", texts.user_agent);
        object.close();
    }

    fn ecs(&self, record: &Record<'_>, line: &mut Vec<u8>) {
        let texts = &record.texts;
        let mut object = Object::open(line);
        object.text("@timestamp", self.stamp(record).as_bytes());
        object.text("ecs.version", b"8.11");
        object.text("event.kind", b"event");
        object.text("event.dataset", b"gnomon.access");
        object.number("event.duration", u64::from(record.total_us) * 1000);
        let failed = record.status == 0 || record.status >= 500;
        object.text("event.outcome", if failed { b"failure" } else { b"success" });
        object.text("http.request.id", texts.request_id);
        object.text("http.request.method", texts.method);
        object.text("http.request.referrer", &self.referer);
        object.number("http.request.body.bytes", record.received);
        object.number("http.response.status_code", record.status);
        object.number("http.response.body.bytes", record.sent);
        object.text("http.version", if record.minor == 0 { b"1.0" } else { b"1.1" });
        object.text("source.address", texts.client);
        object.text("trace.id", texts.trace_id);
        object.text("url.domain", texts.host);
        object.text("url.path", texts.path);
        if texts.query.is_some() {
            object.text("url.query", &self.query);
        }
        object.text("user_agent.original", texts.user_agent);
        object.text("server.address", texts.endpoint);
        object.text("gnomon.route", texts.route);
        object.text("gnomon.upstream", texts.upstream);
        object.text("gnomon.version", texts.version);
        object.text("gnomon.assignment", assignment(record).as_bytes());
        object.number("gnomon.probability", parts(record.probability));
        object.number("gnomon.attempts", record.attempts);
        object.text("gnomon.end", &record.end);
        for (name, micros) in timers(record) {
            object.number(&format!("gnomon.{name}"), millis(micros));
        }
        object.close();
    }

    fn logfmt(&self, record: &Record<'_>, line: &mut Vec<u8>) {
        let texts = &record.texts;
        line.extend_from_slice(b"time=");
        line.extend_from_slice(self.stamp(record).as_bytes());
        let mut put = |name: &str, value: &[u8]| {
            line.push(b' ');
            line.extend_from_slice(name.as_bytes());
            line.push(b'=');
            logfmt_value(value, line);
        };
        put("request_id", texts.request_id);
        put("trace_id", texts.trace_id);
        put("client", texts.client);
        put("method", texts.method);
        put("host", texts.host);
        put("path", texts.path);
        if texts.query.is_some() {
            put("query", &self.query);
        }
        put("protocol", protocol(record).as_bytes());
        put("status", record.status.to_string().as_bytes());
        put("sent_bytes", record.sent.to_string().as_bytes());
        put("received_bytes", record.received.to_string().as_bytes());
        put("route", texts.route);
        put("upstream", texts.upstream);
        put("version", texts.version);
        put("assignment", assignment(record).as_bytes());
        put("probability", parts(record.probability).to_string().as_bytes());
        put("endpoint", texts.endpoint);
        put("attempts", record.attempts.to_string().as_bytes());
        put("end", &record.end);
        for (name, micros) in timers(record) {
            put(name, millis(micros).to_string().as_bytes());
        }
        put("referer", &self.referer);
        put("user_agent", texts.user_agent);
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
        line.extend_from_slice(protocol(record).as_bytes());
        let _ = write!(line, "\" {} {}", record.status, record.sent);
    }
}

/// One JSON object being written.
struct Object<'a> {
    line: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Object<'a> {
    fn open(line: &'a mut Vec<u8>) -> Self {
        line.push(b'{');
        Self { line, first: true }
    }

    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.first) {
            self.line.push(b',');
        }
        // Names are ours and need no escaping.
        let _ = write!(self.line, "\"{name}\":");
    }

    /// A text that is not empty.
    fn text(&mut self, name: &str, value: &[u8]) {
        if !value.is_empty() {
            self.name(name);
            escape_json(value, self.line);
        }
    }

    fn number(&mut self, name: &str, value: impl std::fmt::Display) {
        self.name(name);
        let _ = write!(self.line, "{value}");
    }

    fn close(self) {
        self.line.push(b'}');
    }
}

fn protocol(record: &Record<'_>) -> &'static str {
    if record.minor == 0 { "HTTP/1.0" } else { "HTTP/1.1" }
}

fn assignment(record: &Record<'_>) -> &'static str {
    match record.assignment {
        None => "",
        Some(Assignment::Coin) => "coin",
        Some(Assignment::Sticky) => "sticky",
        Some(Assignment::Pinned) => "pinned",
        Some(Assignment::Fallback) => "fallback",
    }
}

fn timers(record: &Record<'_>) -> [(&'static str, u32); 4] {
    [
        ("queue_ms", record.queue_us),
        ("connect_ms", record.connect_us),
        ("first_byte_ms", record.first_byte_us),
        ("total_ms", record.total_us),
    ]
}

fn millis(micros: u32) -> f64 {
    f64::from(micros) / 1000.0
}

fn parts(probability: u32) -> f64 {
    f64::from(probability) / 100_000.0
}

fn or_dash(text: &[u8]) -> &[u8] {
    if text.is_empty() { b"-" } else { text }
}

/// Copies a query, the values of the parameters named in `names` replaced.
fn redact_query(query: &[u8], names: &[Arc<str>], out: &mut Vec<u8>) {
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

/// A JSON string: controls escaped, C1 and DEL too, what is not UTF-8 replaced by U+FFFD.
fn escape_json(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                control if control.is_control() => {
                    let _ = write!(out, "\\u{:04x}", u32::from(control));
                }
                other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
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
    if value.iter().all(bare) { out.extend_from_slice(value) } else { escape_json(value, out) }
}

#[cfg(test)]
mod tests;
