//! Each format with a tame record and with a hostile one.

use super::*;
use gnomon_config::model::Arm;

use crate::access::{Texts, Wants};

fn record(texts: Texts<'_>) -> Record<'_> {
    Record {
        time: Duration::new(1_795_369_260, 45_000_000),
        total_us: 12_345,
        queue_us: 0,
        connect_us: 150,
        first_byte_us: 9_000,
        status: 200,
        minor: 1,
        attempts: 1,
        end: *b"--",
        assignment: Some(Assignment::Coin),
        probability: 5_000,
        sent: 42,
        received: 0,
        texts,
        tls: None,
        is_plain: false,
        arm: Some(Arm::Canary),
        wants: Wants::default(),
        spans: &[],
    }
}

const TAME: Texts<'_> = Texts {
    route: b"shop",
    upstream: b"shop",
    version: b"v2",
    client: b"192.0.2.7",
    method: b"GET",
    host: b"shop.example.com",
    path: b"/cart",
    query: Some(b"a=1&Token=geheim&b=2"),
    referer: b"https://x/?%74oken=geheim",
    user_agent: b"curl/8",
    request_id: b"r1",
    trace_id: b"",
    span_id: b"",
    endpoint: b"10.0.0.21:8080",
};

const HOSTILE: Texts<'_> = Texts {
    path: b"/\r\n200 \"GET\" \x1b[31m\\\xff",
    query: Some(b"x=\r\n"),
    user_agent: b"\" 200 - \"\n{\"a\":1}\xc2\x9b0m",
    referer: b"=",
    ..TAME
};

fn line(format: AccessFormat, texts: Texts<'_>) -> String {
    let mut line = Vec::new();
    Formatter::new(format, &["token".into()], &[]).write(&record(texts), &mut line);
    String::from_utf8(line).unwrap()
}

#[test]
fn every_format_writes_what_is_expected() {
    let table = [
        (AccessFormat::Off, ""),
        (
            AccessFormat::Common,
            "192.0.2.7 - - [22/Nov/2026:17:41:00 +0000] \
             \"GET /cart?a=1&Token=<redacted>&b=2 HTTP/1.1\" 200 42\n",
        ),
        (
            AccessFormat::Combined,
            "192.0.2.7 - - [22/Nov/2026:17:41:00 +0000] \
             \"GET /cart?a=1&Token=<redacted>&b=2 HTTP/1.1\" 200 42 \
             \"https://x/?%74oken=<redacted>\" \"curl/8\"\n",
        ),
        (
            AccessFormat::Logfmt,
            "time=2026-11-22T17:41:00.045Z request_id=r1 trace_id= span_id= client=192.0.2.7 method=GET \
             host=shop.example.com path=/cart query=\"a=1&Token=<redacted>&b=2\" \
             protocol=HTTP/1.1 status=200 sent_bytes=42 received_bytes=0 route=shop \
             upstream=shop version=v2 arm=canary assignment=coin probability=0.05 endpoint=10.0.0.21:8080 \
             attempts=1 end=-- queue_ms=0 connect_ms=0.15 first_byte_ms=9 total_ms=12.345 \
             referer=\"https://x/?%74oken=<redacted>\" user_agent=curl/8\n",
        ),
        (
            AccessFormat::Json,
            "{\"time\":\"2026-11-22T17:41:00.045Z\",\"request_id\":\"r1\",\
             \"client\":\"192.0.2.7\",\"method\":\"GET\",\"host\":\"shop.example.com\",\
             \"path\":\"/cart\",\"query\":\"a=1&Token=<redacted>&b=2\",\
             \"protocol\":\"HTTP/1.1\",\"status\":200,\"sent_bytes\":42,\"received_bytes\":0,\
             \"route\":\"shop\",\"upstream\":\"shop\",\"version\":\"v2\",\"arm\":\"canary\",\
             \"assignment\":\"coin\",\"probability\":0.05,\"endpoint\":\"10.0.0.21:8080\",\
             \"attempts\":1,\"end\":\"--\",\"queue_ms\":0,\"connect_ms\":0.15,\
             \"first_byte_ms\":9,\"total_ms\":12.345,\
             \"referer\":\"https://x/?%74oken=<redacted>\",\"user_agent\":\"curl/8\"}\n",
        ),
    ];
    for (format, expected) in table {
        assert_eq!(line(format, TAME), expected);
    }
}

#[test]
fn hostile_bytes_stay_inside_their_field() {
    let formats = [
        AccessFormat::Json,
        AccessFormat::Ecs,
        AccessFormat::Logfmt,
        AccessFormat::Common,
        AccessFormat::Combined,
    ];
    for format in formats {
        let line = line(format, HOSTILE);
        let body = line.strip_suffix('\n').unwrap();
        assert!(!body.contains(char::is_control), "{format:?}: {line:?}");
    }
    assert_eq!(
        line(AccessFormat::Combined, HOSTILE),
        "192.0.2.7 - - [22/Nov/2026:17:41:00 +0000] \
         \"GET /\\x0d\\x0a200 \\\"GET\\\" \\x1b[31m\\\\\\xff?x=\\x0d\\x0a HTTP/1.1\" 200 42 \
         \"=\" \"\\\" 200 - \\\"\\x0a{\\\"a\\\":1}\\xc2\\x9b0m\"\n",
    );
}

#[test]
fn a_line_is_the_same_whether_or_not_its_texts_are_known_to_be_plain() {
    for format in [AccessFormat::Json, AccessFormat::Ecs] {
        let mut lines = [Vec::new(), Vec::new()];
        for (line, is_plain) in lines.iter_mut().zip([false, true]) {
            let record = Record { is_plain, ..record(TAME) };
            Formatter::new(format, &["token".into()], &[]).write(&record, line);
        }
        assert_eq!(lines[0], lines[1]);
    }
}

#[test]
fn fractions_read_as_the_numbers_they_are() {
    for parts in (0..100_000).step_by(7).chain([999, 1000, 1010, u32::MAX]) {
        let (mut millis, mut whole) = (Vec::new(), Vec::new());
        fraction::<MILLI>(parts, &mut millis);
        fraction::<WHOLE>(parts, &mut whole);
        assert_eq!(String::from_utf8(millis).unwrap(), (f64::from(parts) / 1000.0).to_string());
        assert_eq!(String::from_utf8(whole).unwrap(), (f64::from(parts) / 100_000.0).to_string());
    }
}

#[test]
fn runs_between_what_is_escaped_are_kept() {
    let table: [(&[u8], &str); 6] = [
        (b"", ""),
        (b"plain", "plain"),
        (b"\"a\\b\"", "\\\"a\\\\b\\\""),
        ("é\u{7f}ü\u{9b}".as_bytes(), "é\\u007fü\\u009b"),
        (b"a\xff\xfeb\n", "a\u{fffd}\u{fffd}b\\u000a"),
        (b"\0", "\\u0000"),
    ];
    for (text, expected) in table {
        let mut out = Vec::new();
        escape_json(text, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

#[test]
fn json_lines_are_json() {
    for format in [AccessFormat::Json, AccessFormat::Ecs] {
        for texts in [TAME, HOSTILE, Texts::default()] {
            let line = line(format, texts);
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert!(value.is_object());
        }
    }
    let value: serde_json::Value = serde_json::from_str(&line(AccessFormat::Ecs, HOSTILE)).unwrap();
    assert_eq!(value["url.path"], "/\r\n200 \"GET\" \u{1b}[31m\\\u{fffd}");
    assert_eq!(value["event.duration"], 12_345_000);
}

#[test]
fn redaction_sees_through_encoding_and_case() {
    let table: [(&[u8], &str); 7] = [
        (b"", ""),
        (b"token=1", "token=<redacted>"),
        (b"TOKEN=1&x=2", "TOKEN=<redacted>&x=2"),
        (b"%54ok%65n=1;x=2", "%54ok%65n=<redacted>;x=2"),
        (b"token", "token"),
        (b"tokens=1&=token&%", "tokens=1&=token&%"),
        (b"&&token=a=b&", "&&token=<redacted>&"),
    ];
    for (query, expected) in table {
        let mut out = Vec::new();
        redact_query(query, &["token".into()], &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

#[test]
fn fields_that_are_left_out_are_nowhere() {
    let kept = [AccessField::Status, AccessField::Path];
    let left_out: Vec<_> =
        AccessField::ALL.into_iter().filter(|field| !kept.contains(field)).collect();
    let rows = [
        (
            AccessFormat::Json,
            "{\"time\":\"2026-11-22T17:41:00.045Z\",\"path\":\"/cart\",\"status\":200}\n",
        ),
        (AccessFormat::Logfmt, "time=2026-11-22T17:41:00.045Z path=/cart status=200\n"),
        (
            AccessFormat::Ecs,
            "{\"@timestamp\":\"2026-11-22T17:41:00.045Z\",\"ecs.version\":\"8.11\",\
             \"event.kind\":\"event\",\"event.dataset\":\"gnomon.access\",\
             \"event.outcome\":\"success\",\"http.response.status_code\":200,\
             \"url.path\":\"/cart\"}\n",
        ),
    ];
    for (format, expected) in rows {
        let mut line = Vec::new();
        Formatter::new(format, &["token".into()], &left_out).write(&record(TAME), &mut line);
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }
}
