//! Heads: what is accepted and how it is understood, what is refused and why.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use gnomon_wire::{
    Fault, Framing, HeadLimits, Progress, Request, RequestHead, Response, ResponseHead, Side,
    Upgrade, Version,
};

fn with_request<T>(text: &str, see: impl Fn(Request<'_>) -> T) -> Result<T, Fault> {
    let bytes: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let mut head = RequestHead::default();
    match head.read(&bytes, &HeadLimits::REQUEST) {
        Ok(Progress::Done(end)) => Ok(see(Request { head: &head, bytes: &bytes[..end] })),
        Ok(Progress::More) => panic!("open: {text:?}"),
        Err(reject) => {
            assert_eq!(reject.side, Side::Request);
            Err(reject.fault)
        }
    }
}

fn refused(text: &str) -> Option<Fault> {
    with_request(text, |_| ()).err()
}

/// A request with these lines behind the request line, which may be given as the first.
fn request(lines: &str) -> String {
    let start = if lines.contains(" HTTP/") || lines.contains("ICE/") {
        ""
    } else {
        "GET / HTTP/1.1\r\nHost: a\r\n"
    };
    format!("{start}{lines}\r\n")
}

#[test]
fn a_target_is_routed_on_as_it_is_forwarded() {
    let see = |text: &str| {
        with_request(text, |request| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.into()).unwrap();
            let query = request.query().map(text);
            (text(request.path()), query, text(request.host()), text(request.authority()))
        })
    };
    let rows: &[(&str, &str, Option<&str>, &str, &str)] = &[
        ("GET / HTTP/1.1\r\nHost: a:80\r\n\r\n", "/", None, "a", "a:80"),
        ("GET /a%2F..//b?c?d HTTP/1.1\r\nHost:a\r\n\r\n", "/a%2F..//b", Some("c?d"), "a", "a"),
        ("GET /? HTTP/1.1\r\nHost: [::1]:8\r\n\r\n", "/", Some(""), "[::1]", "[::1]:8"),
        ("GET http://A:8?x HTTP/1.1\r\nHost: a:8\r\n\r\n", "/", Some("x"), "A", "A:8"),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "*", None, "a", "a"),
        ("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", "*", None, "a", "a"),
        ("\r\n\r\nGET /x HTTP/1.0\r\n\r\n", "/x", None, "", ""),
    ];
    for (text, path, query, host, authority) in rows {
        let wanted = (
            String::from(*path),
            query.map(String::from),
            String::from(*host),
            String::from(*authority),
        );
        assert_eq!(see(text), Ok(wanted), "{text:?}");
    }
}

#[test]
fn what_is_refused_is_refused_for_its_own_reason() {
    let rows: &[(&str, Fault)] = &[
        ("\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n", Fault::EmptyLines),
        ("\nGET / HTTP/1.1\r\n", Fault::BareLf),
        ("GET / HTTP/1.1\nHost: a\r\n", Fault::BareLf),
        ("X: y\nZ: w\r\n", Fault::BareLf),
        ("X: y\rZ: w\r\n", Fault::FieldValue),
        ("X: y\r\n z\r\n", Fault::ObsFold),
        ("G\u{7f}T / HTTP/1.1\r\nHost: a\r\n", Fault::Method),
        ("\u{16}\u{3}\u{1} / HTTP/1.1", Fault::Method),
        (" GET / HTTP/1.1", Fault::Method),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n", Fault::Connect),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n", Fault::Trace),
        ("GET / HTTP/2.0\r\nHost: a\r\n", Fault::Version),
        ("GET / HTTP/5.6", Fault::Version),
        ("GET / ICE/1.1\r\nHost: a\r\n", Fault::StartLine),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n", Fault::StartLine),
        ("GET  / HTTP/1.1\r\nHost: a\r\n", Fault::StartLine),
        ("GET / HTTP/1.1 \r\nHost: a\r\n", Fault::LineEnd),
        ("GET /\u{1} HTTP/1.1\r\nHost: a\r\n", Fault::Target),
        ("GET /#x HTTP/1.1\r\nHost: a\r\n", Fault::Target),
        ("GET a HTTP/1.1\r\nHost: a\r\n", Fault::TargetForm),
        ("GET / HTTP/1.1\r\nX: y\r\n", Fault::HostMissing),
        ("Host: a\r\n", Fault::HostDuplicate),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n", Fault::HostInvalid),
        ("GET / HTTP/1.0\r\nHost: \r\n", Fault::HostInvalid),
        ("GET http://a/ HTTP/1.1\r\nHost: b\r\n", Fault::HostMismatch),
        ("X : y\r\n", Fault::FieldName),
        (": y\r\n", Fault::FieldName),
        ("X: a\0b\r\n", Fault::FieldValue),
        ("Content-Length: +5\r\n", Fault::LengthMalformed),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", Fault::LengthDuplicate),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Fault::LengthAndCoding),
        ("Transfer-Encoding: gzip, chunked\r\n", Fault::CodingUnknown),
        ("Expect: more\r\n", Fault::Expectation),
    ];
    for (lines, fault) in rows {
        assert_eq!(refused(&request(lines)), Some(*fault), "{lines:?}");
    }
}

#[test]
fn each_bound_has_its_status() {
    let long = |n: usize| "x".repeat(n);
    let rows = [
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", long(9000)), Fault::LineTooLong, 414),
        (format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", long(33)), Fault::MethodTooLong, 501),
        (request(&format!("X: {}\r\n", long(17_000))), Fault::FieldTooLong, 431),
        (request(&"X: y\r\n".repeat(100)), Fault::TooManyFields, 431),
        (request(&format!("X: {}\r\n", long(16_000)).repeat(3)), Fault::HeadTooLarge, 431),
        (request(&format!("Connection: {}\r\n", "x,".repeat(33))), Fault::TooManyOptions, 400),
        (request(&"X-Forwarded-For: a, b\r\n".repeat(26)), Fault::TooManyHops, 400),
    ];
    for (text, fault, status) in rows {
        assert_eq!(refused(&text), Some(fault));
        assert_eq!(fault.of(Side::Request).status(), status);
    }
    assert_eq!(refused(&request(&"X: y\r\n".repeat(99))), None);
}

#[test]
fn a_connection_is_kept_as_both_ends_understand() {
    let persistent = |lines: &str| with_request(&request(lines), |request| request.persistent());
    assert_eq!(persistent(""), Ok(true));
    assert_eq!(persistent("Connection: keep-alive, close\r\n"), Ok(false));
    assert_eq!(persistent("Connection: x\r\nConnection: CLOSE\r\n"), Ok(false));
    assert_eq!(persistent("GET / HTTP/1.0\r\n"), Ok(false));
    assert_eq!(persistent("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n"), Ok(true));
}

#[test]
fn an_upgrade_is_asked_for_in_full_or_not_at_all() {
    let upgrade = |lines: &str| with_request(&request(lines), |request| request.upgrade());
    let websocket = "Connection: x, Upgrade\r\nUpgrade: h2c, WebSocket\r\n";
    assert_eq!(upgrade(websocket), Ok(Upgrade::WebSocket));
    assert_eq!(upgrade("Upgrade: websocket\r\n"), Ok(Upgrade::None));
    assert_eq!(upgrade("Connection: upgrade\r\nUpgrade: h2c\r\n"), Ok(Upgrade::Other));
    assert_eq!(upgrade(&format!("{websocket}Content-Length: 5\r\n")), Ok(Upgrade::None));
    assert_eq!(upgrade(&format!("GET / HTTP/1.0\r\n{websocket}")), Ok(Upgrade::None));
    let post = format!("POST / HTTP/1.1\r\nHost: a\r\n{websocket}");
    assert_eq!(upgrade(&post), Ok(Upgrade::Other));
}

#[test]
fn only_a_client_that_has_a_body_and_knows_how_waits_for_a_100() {
    let waits = |lines: &str| with_request(&request(lines), |request| request.expects_continue());
    assert_eq!(waits("Expect: 100-Continue\r\nContent-Length: 5\r\n"), Ok(true));
    assert_eq!(waits("Expect: 100-continue\r\n"), Ok(false));
    let old = "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n";
    assert_eq!(waits(old), Ok(false));
}

#[test]
fn cookies_and_parameters_are_found_by_their_whole_name() {
    let text = "GET /?a=1&ab=2&c&a=3 HTTP/1.1\r\nHost: a\r\nCookie: x=1;  y=\"2\"\r\nCookie: z=3; yy=4\r\n\r\n";
    let found = with_request(text, |request| {
        assert_eq!(request.cookie("y"), Some(&b"\"2\""[..]));
        assert_eq!(request.cookie("z"), Some(&b"3"[..]));
        assert_eq!(request.cookie("yy"), Some(&b"4"[..]));
        assert_eq!(request.cookie("zz"), None);
        assert_eq!(request.query_value("a"), Some(&b"1"[..]));
        assert_eq!(request.query_value("ab"), Some(&b"2"[..]));
        assert_eq!(request.query_value("c"), Some(&b""[..]));
        assert_eq!(request.query_value("b"), None);
        assert_eq!(request.values("COOKIE").count(), 2);
    });
    assert_eq!(found, Ok(()));
}

#[test]
fn a_head_forgets_the_one_before_it() {
    let mut head = RequestHead::default();
    let first = b"POST /1 HTTP/1.0\r\nConnection: close\r\nContent-Length: 5\r\n\r\n";
    assert!(matches!(head.read(first, &HeadLimits::REQUEST), Ok(Progress::Done(_))));
    head.clear();
    let second = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET";
    assert_eq!(head.read(second, &HeadLimits::REQUEST), Ok(Progress::Done(27)));
    let request = Request { head: &head, bytes: second };
    assert_eq!(request.framing(), Framing::Empty);
    assert_eq!(request.version(), Version::Http11);
    assert!(request.persistent() && request.is_safe() && request.is_idempotent());
    assert_eq!(request.fields().count(), 1);
}

#[test]
fn empty_lines_begin_no_request() {
    assert!(!RequestHead::is_begun(b""));
    assert!(!RequestHead::is_begun(b"\r\n\r"));
    assert!(RequestHead::is_begun(b"\r\nG"));
}

fn with_reply<T>(text: &str, see: impl Fn(Response<'_>) -> T) -> Result<T, Fault> {
    let mut head = ResponseHead::default();
    match head.read(text.as_bytes(), &HeadLimits::REPLY) {
        Ok(Progress::Done(end)) => {
            Ok(see(Response { head: &head, bytes: &text.as_bytes()[..end] }))
        }
        Ok(Progress::More) => panic!("open: {text:?}"),
        Err(reject) => {
            assert_eq!(reject.status(), 502);
            Err(reject.fault)
        }
    }
}

#[test]
fn a_reply_is_understood_or_a_bad_gateway() {
    let refused = |text: &str| with_reply(text, |_| ()).err();
    let rows: &[(&str, Fault)] = &[
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", Fault::StartLine),
        ("ICY 200 OK\r\n\r\n", Fault::StartLine),
        ("HTTP/2.0 200 OK\r\n\r\n", Fault::StartLine),
        ("HTTP/1.1 600 OK\r\n\r\n", Fault::StatusCode),
        ("HTTP/1.1 99 OK\r\n\r\n", Fault::StatusCode),
        ("HTTP/1.1 1000 OK\r\n\r\n", Fault::StatusCode),
        ("HTTP/1.1 200 O\rK\r\n\r\n", Fault::StatusCode),
        ("HTTP/1.1 200 OK\r\n Host: a", Fault::ObsFold),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Fault::CodingInHttp10),
        ("HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", Fault::CodingWithoutBody),
        (
            "HTTP/1.1 304 X\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            Fault::LengthDuplicate,
        ),
    ];
    for (text, fault) in rows {
        assert_eq!(refused(text), Some(*fault), "{text:?}");
    }
    let reason = |text: &str| with_reply(text, |reply| reply.reason().to_vec());
    assert_eq!(reason("HTTP/1.1 200\r\n\r\n"), Ok(vec![]));
    assert_eq!(reason("HTTP/1.1 200 \r\n\r\n"), Ok(vec![]));
    assert_eq!(reason("HTTP/1.1 500 Orient\u{e9}\r\n\r\n"), Ok("Orient\u{e9}".into()));
}

#[test]
fn an_origin_is_used_again_only_if_it_says_so() {
    let persistent = |text: &str| with_reply(text, |reply| reply.persistent());
    assert_eq!(persistent("HTTP/1.1 200 OK\r\n\r\n"), Ok(true));
    assert_eq!(persistent("HTTP/1.1 200 OK\r\nConnection: x, close\r\n\r\n"), Ok(false));
    assert_eq!(persistent("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n"), Ok(false));
    assert_eq!(persistent("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n"), Ok(true));
}
