//! From a record to spans: what answered the client, and one for each attempt at an origin, by the
//! names of OpenTelemetry's stable HTTP conventions.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use gnomon_config::model::{Arm, Otlp};
use gnomon_shadow::{counts::Failed, span::CopySpan};

use super::proto::{AnyValue, CLIENT, ERROR, KeyValue, Link, SERVER, Span, Status, Value};
use crate::{
    access::{
        Record,
        spans::{self, Attempt, Trace},
    },
    control::format::redact_query,
};

/// Appends the spans of `record`, whose own bytes tell of its trace.
pub(super) fn of_record(
    record: &Record<'_>,
    otlp: &Otlp,
    redact: &[Arc<str>],
    out: &mut Vec<Span>,
) {
    let Some((trace, attempts)) = spans::read(record.spans) else { return };
    out.push(server(record, &trace, otlp, redact));
    for (attempt, resent) in attempts.iter().zip(0..) {
        out.push(client(record, &trace, attempt, resent));
    }
}

fn server(record: &Record<'_>, trace: &Trace<'_>, otlp: &Otlp, redact: &[Arc<str>]) -> Span {
    let texts = &record.texts;
    let mut all = Attributes::of_request(texts.method);
    all.text("url.path", texts.path);
    all.word("url.scheme", if record.tls.is_some() { "https" } else { "http" });
    all.server(texts.host);
    all.text("client.address", texts.client);
    all.word("network.protocol.version", protocol(record));
    if otlp.query
        && let Some(query) = texts.query
    {
        let mut redacted = Vec::new();
        redact_query(query, redact, &mut redacted);
        all.text("url.query", &redacted);
    }
    if otlp.user_agent {
        all.text("user_agent.original", texts.user_agent);
    }
    all.text("gnomon.route", texts.route);
    all.text("gnomon.upstream", texts.upstream);
    all.text("gnomon.version", texts.version);
    all.arm(record.arm);
    all.text("gnomon.request_id", texts.request_id);
    // A client's fault is none of ours.
    let is_error = all.outcome(record.status, record.end, 500);
    let link = Link { trace_id: trace_id(trace.link.0), span_id: span_id(trace.link.1) };
    let base = Span {
        parent_span_id: parent_id(trace.parent),
        trace_state: String::from_utf8_lossy(trace.state).into_owned(),
        links: if trace.link.0 == 0 { Vec::new() } else { vec![link] },
        flags: if trace.parent == 0 { SAMPLED } else { SAMPLED | KNOWS_REMOTE | IS_REMOTE },
        kind: SERVER,
        ..all.span(texts.method, texts.route, is_error)
    };
    let took = Duration::from_micros(record.total_us.into());
    timed(base, (trace.trace, trace.span), record.time, took)
}

fn client(record: &Record<'_>, trace: &Trace<'_>, attempt: &Attempt<'_>, resent: i64) -> Span {
    let texts = &record.texts;
    let mut all = Attributes::of_request(texts.method);
    all.server(attempt.endpoint);
    all.word("network.protocol.version", "1.1");
    if resent > 0 {
        all.number("http.request.resend_count", resent);
    }
    all.text("gnomon.upstream", texts.upstream);
    all.text("gnomon.version", attempt.version);
    all.arm(attempt.arm);
    let is_error = all.outcome(attempt.status, attempt.end, 400);
    let base = Span {
        parent_span_id: span_id(trace.span),
        trace_state: String::from_utf8_lossy(trace.state).into_owned(),
        flags: SAMPLED | KNOWS_REMOTE,
        kind: CLIENT,
        ..all.span(texts.method, texts.upstream, is_error)
    };
    let begun = record.time + Duration::from_micros(attempt.begun_us.into());
    let took = Duration::from_micros(attempt.took_us.into());
    timed(base, (trace.trace, attempt.span), begun, took)
}

/// The span of a copy.
pub(super) fn of_copy(copy: &CopySpan) -> Span {
    let mut all = Attributes::of_request(&copy.method);
    all.server(copy.endpoint.as_bytes());
    all.word("network.protocol.version", "1.1");
    all.word("gnomon.shadow", &copy.shadow);
    all.word("gnomon.upstream", &copy.to.0);
    all.word("gnomon.version", &copy.to.1);
    all.arm(Some(Arm::Shadow));
    let is_error = match copy.outcome {
        Ok(status) => all.outcome(status, *b"--", 400),
        Err(why) => {
            all.word("error.type", failed(why));
            true
        }
    };
    let base = Span {
        parent_span_id: span_id(copy.parent),
        flags: SAMPLED | KNOWS_REMOTE,
        kind: CLIENT,
        ..all.span(&copy.method, copy.to.0.as_bytes(), is_error)
    };
    timed(base, (copy.trace, copy.span), copy.begun, copy.took)
}

const fn failed(why: Failed) -> &'static str {
    match why {
        // The word that OpenTelemetry knows.
        Failed::Timeout => "timeout",
        Failed::Unavailable
        | Failed::Refused
        | Failed::Connect
        | Failed::Reset
        | Failed::Malformed
        | Failed::TooLong
        | Failed::Panic => why.name(),
    }
}

fn timed(base: Span, (trace, span): (u128, u64), begun: Duration, took: Duration) -> Span {
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Span {
        trace_id: trace_id(trace),
        span_id: span_id(span),
        start_time_unix_nano: nanos(begun),
        end_time_unix_nano: nanos(begun + took),
        ..base
    }
}

fn trace_id(id: u128) -> Bytes {
    Bytes::copy_from_slice(&id.to_be_bytes())
}

fn span_id(id: u64) -> Bytes {
    Bytes::copy_from_slice(&id.to_be_bytes())
}

fn parent_id(id: u64) -> Bytes {
    if id == 0 { Bytes::new() } else { span_id(id) }
}

fn protocol(record: &Record<'_>) -> &'static str {
    if record.minor == 0 { "1.0" } else { "1.1" }
}

/// Attributes of a span being made.
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn of_request(method: &[u8]) -> Self {
        let mut all = Self(Vec::with_capacity(16));
        match known_method(method) {
            Some(known) => all.word("http.request.method", known),
            None => {
                all.word("http.request.method", "_OTHER");
                all.text("http.request.method_original", method);
            }
        }
        all
    }

    /// A text that is not empty.
    fn text(&mut self, key: &str, value: &[u8]) {
        if !value.is_empty() {
            self.word(key, &String::from_utf8_lossy(value));
        }
    }

    fn word(&mut self, key: &str, value: &str) {
        self.put(key, Value::Text(value.to_owned()));
    }

    fn number(&mut self, key: &str, value: i64) {
        self.put(key, Value::Number(value));
    }

    fn put(&mut self, key: &str, value: Value) {
        let value = Some(AnyValue { value: Some(value) });
        self.0.push(KeyValue { key: key.to_owned(), value });
    }

    fn arm(&mut self, arm: Option<Arm>) {
        if let Some(arm) = arm {
            self.word("gnomon.arm", arm.word());
        }
    }

    /// Host and port of an authority; of a unix socket, its path.
    fn server(&mut self, authority: &[u8]) {
        let text = String::from_utf8_lossy(authority);
        let parts = text.rsplit_once(':').filter(|(host, _)| !host.ends_with(':'));
        let parts = parts.and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
        let (host, port) = match parts {
            Some((host, port)) => (host, Some(port)),
            None => (&*text, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        self.text("server.address", host.as_bytes());
        if let Some(port) = port {
            self.number("server.port", port.into());
        }
    }

    /// The status, and what went wrong; whether that is an error, as statuses from `errors` are.
    fn outcome(&mut self, status: u16, end: [u8; 2], errors: u16) -> bool {
        if status > 0 {
            self.number("http.response.status_code", status.into());
        }
        let failed = error_type(end);
        if let Some(word) = &failed {
            self.word("error.type", word);
        } else if status >= errors {
            self.word("error.type", &status.to_string());
        }
        // A client that has gone is no error of whoever serves it.
        let blames_client = end[0] == b'C' && errors >= 500;
        status >= errors || (failed.is_some() && !blames_client)
    }

    fn span(self, method: &[u8], target: &[u8], is_error: bool) -> Span {
        let method = known_method(method).unwrap_or("HTTP");
        let name = match target {
            b"" => method.to_owned(),
            target => format!("{method} {}", String::from_utf8_lossy(target)),
        };
        let status = is_error.then_some(Status { code: ERROR });
        Span { name, attributes: self.0, status, ..Span::default() }
    }
}

/// What went wrong, in a word, by the two letters of the access log.
fn error_type(end: [u8; 2]) -> Option<String> {
    let word = match &end {
        b"--" => return None,
        [_, stage] if stage.is_ascii_lowercase() => "timeout",
        b"CL" => "rate_limited",
        [_, b'L'] => "overload",
        [_, b'Q'] => "queue",
        b"OC" => "connect",
        b"OH" | b"OD" | b"OB" => "reset",
        b"CR" => "request",
        [b'C', _] => "client_gone",
        other => return Some(String::from_utf8_lossy(other).into_owned()),
    };
    Some(word.to_owned())
}

fn known_method(method: &[u8]) -> Option<&'static str> {
    METHODS.into_iter().find(|known| known.as_bytes() == method)
}

/// Those that OpenTelemetry knows.
const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// Flags of a span: those of `traceparent`, whether it is known where its parent is, and that it is
/// elsewhere.
const SAMPLED: u32 = 1;
const KNOWS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

#[cfg(test)]
mod tests;
