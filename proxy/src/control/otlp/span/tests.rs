//! Spans of records: who is whose parent, what they are called, and what counts as an error.

use gnomon_config::model::{Secret, Share};

use super::*;
use crate::access::{Texts, Wants};

fn otlp() -> Otlp {
    Otlp {
        endpoint: "http://127.0.0.1:4318/v1/traces".into(),
        headers: vec![("authorization".into(), Secret(b"x".to_vec()))],
        sample: Share::WHOLE,
        timeout: Duration::from_secs(1),
        queue: 512,
        gzip: false,
        service: "gnomon".into(),
        user_agent: false,
        query: false,
    }
}

fn attempt(span: u64, status: u16, end: [u8; 2]) -> Attempt<'static> {
    let (endpoint, version) = (&b"10.0.0.21:8080"[..], &b"v2"[..]);
    let arm = Some(Arm::Canary);
    Attempt { span, begun_us: 100, took_us: 50, status, end, arm, endpoint, version }
}

/// The spans of an exchange that ended so, after these attempts.
fn spans(status: u16, end: [u8; 2], trace: &Trace<'_>, attempts: &[Attempt<'_>]) -> Vec<Span> {
    let mut bytes = Vec::new();
    trace.write(&mut bytes);
    attempts.iter().for_each(|attempt| attempt.write(&mut bytes));
    let texts = Texts {
        route: b"all",
        upstream: b"shop",
        version: b"v2",
        client: b"192.0.2.7",
        method: b"GET",
        host: b"shop.example:8443",
        path: b"/cart",
        query: Some(b"token=secret&a=1"),
        user_agent: b"curl/8",
        ..Texts::default()
    };
    let record = Record {
        time: Duration::from_secs(1000),
        total_us: 500,
        queue_us: 0,
        connect_us: 0,
        first_byte_us: 0,
        status,
        minor: 1,
        attempts: 1,
        end,
        assignment: None,
        probability: 0,
        sent: 0,
        received: 0,
        texts,
        tls: None,
        is_plain: true,
        arm: Some(Arm::Canary),
        wants: Wants { spans: true, ..Wants::default() },
        spans: &bytes,
    };
    let mut out = Vec::new();
    let otlp = Otlp { query: status == 418, user_agent: status == 418, ..otlp() };
    of_record(&record, &otlp, &["token".into()], &mut out);
    out
}

fn said<'a>(span: &'a Span, key: &str) -> Option<&'a Value> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    found.value.as_ref()?.value.as_ref()
}

fn word(text: &str) -> Option<Value> {
    Some(Value::Text(text.to_owned()))
}

const TRACE: Trace<'_> =
    Trace { trace: 0xabc, span: 0x51, parent: 0x99, link: (0, 0), state: b"k=v" };

#[test]
fn attempts_are_children_of_the_span_that_answers() {
    let failed = attempt(0x61, 0, *b"OC");
    let spans = spans(200, *b"--", &TRACE, &[failed, attempt(0x62, 200, *b"--")]);
    let [server, first, second] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!((server.kind, first.kind, second.kind), (SERVER, CLIENT, CLIENT));
    assert_eq!(&server.parent_span_id[..], 0x99_u64.to_be_bytes());
    assert_eq!((&first.parent_span_id, &second.parent_span_id), (&server.span_id, &server.span_id));
    assert!(spans.iter().all(|span| span.trace_id[..] == 0xabc_u128.to_be_bytes()));
    assert!(spans.iter().all(|span| span.trace_state == "k=v"));
    assert_eq!((server.name.as_str(), first.name.as_str()), ("GET all", "GET shop"));
    assert_eq!(server.end_time_unix_nano - server.start_time_unix_nano, 500_000);
    assert_eq!(first.start_time_unix_nano - server.start_time_unix_nano, 100_000);
    assert_eq!((server.flags, first.flags), (0x301, 0x101));
    let error = Some(Status { code: ERROR });
    assert_eq!((&server.status, &first.status, &second.status), (&None, &error, &None));
    assert_eq!(said(first, "error.type").cloned(), word("connect"));
    assert_eq!(said(first, "http.request.resend_count"), None);
    assert_eq!(said(second, "http.request.resend_count"), Some(&Value::Number(1)));
}

#[test]
fn names_are_those_of_the_conventions() {
    let spans = spans(200, *b"--", &TRACE, &[attempt(1, 200, *b"--")]);
    let rows = [
        ("http.request.method", "GET"),
        ("url.path", "/cart"),
        ("url.scheme", "http"),
        ("server.address", "shop.example"),
        ("client.address", "192.0.2.7"),
        ("network.protocol.version", "1.1"),
        ("gnomon.route", "all"),
        ("gnomon.upstream", "shop"),
        ("gnomon.version", "v2"),
        ("gnomon.arm", "canary"),
    ];
    for (key, value) in rows {
        assert_eq!(said(&spans[0], key).cloned(), word(value), "{key}");
    }
    assert_eq!(said(&spans[0], "server.port"), Some(&Value::Number(8443)));
    assert_eq!(said(&spans[0], "http.response.status_code"), Some(&Value::Number(200)));
    assert_eq!(said(&spans[1], "server.address").cloned(), word("10.0.0.21"));
    for absent in ["user_agent.original", "url.query", "error.type"] {
        assert_eq!(said(&spans[0], absent), None, "{absent}");
    }
}

#[test]
fn what_is_asked_for_besides_is_redacted() {
    let spans = spans(418, *b"--", &TRACE, &[]);
    assert_eq!(said(&spans[0], "url.query").cloned(), word("token=<redacted>&a=1"));
    assert_eq!(said(&spans[0], "user_agent.original").cloned(), word("curl/8"));
}

#[test]
fn what_counts_as_an_error_depends_on_the_side() {
    let rows: [(u16, &[u8; 2], Option<&str>, bool); 6] = [
        (404, b"--", None, false),
        (503, b"--", Some("503"), true),
        (504, b"Oh", Some("timeout"), true),
        (502, b"OH", Some("reset"), true),
        (200, b"CD", Some("client_gone"), false),
        (429, b"CL", Some("rate_limited"), false),
    ];
    for (status, end, kind, is_error) in rows {
        let spans = spans(status, *end, &TRACE, &[]);
        assert_eq!(said(&spans[0], "error.type").cloned(), kind.and_then(word), "{status}");
        assert_eq!(spans[0].status.is_some(), is_error, "{status}");
    }
    let asked = spans(404, *b"--", &TRACE, &[attempt(1, 404, *b"--")]);
    assert!(asked[0].status.is_none() && asked[1].status.is_some());
}

#[test]
fn a_trace_that_begins_here_has_no_parent_and_may_have_a_link() {
    let trace = Trace { parent: 0, link: (0xdef, 7), state: b"", ..TRACE };
    let spans = spans(200, *b"--", &trace, &[]);
    assert!(spans[0].parent_span_id.is_empty());
    assert_eq!(spans[0].flags, 1);
    assert_eq!(&spans[0].links[0].trace_id[..], 0xdef_u128.to_be_bytes());
    assert_eq!(&spans[0].links[0].span_id[..], 7_u64.to_be_bytes());
}

#[test]
fn a_copy_is_told_with_its_shadow() {
    let copy = CopySpan {
        trace: 1,
        span: 2,
        parent: 3,
        begun: Duration::from_secs(1),
        took: Duration::from_millis(1),
        outcome: Err(Failed::Timeout),
        shadow: "new".into(),
        to: ("shop".into(), "v2".into()),
        endpoint: "[::1]:80".into(),
        method: Bytes::from_static(b"BREW"),
    };
    let span = of_copy(&copy);
    assert_eq!(said(&span, "gnomon.arm").cloned(), word("shadow"));
    assert_eq!(said(&span, "gnomon.shadow").cloned(), word("new"));
    assert_eq!(said(&span, "error.type").cloned(), word("timeout"));
    assert_eq!(said(&span, "server.address").cloned(), word("::1"));
    assert_eq!(said(&span, "http.request.method").cloned(), word("_OTHER"));
    assert_eq!(said(&span, "http.request.method_original").cloned(), word("BREW"));
    assert_eq!((span.name.as_str(), span.kind), ("HTTP shop", CLIENT));
    assert!(span.status.is_some());
}
