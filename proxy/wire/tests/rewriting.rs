//! Heads as they go on.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use gnomon_wire::{
    Answer, Edits, Forwarding, Framing, HeadLimits, Progress, Request, RequestHead, RequestRewrite,
    Response, ResponseHead, ResponseRewrite, Trace, Version, write_answer, write_request,
    write_response,
};

fn sent(text: &str, rewrite: &RequestRewrite<'_>) -> String {
    let mut head = RequestHead::default();
    let Ok(Progress::Done(end)) = head.read(text.as_bytes(), &HeadLimits::REQUEST) else {
        panic!("refused: {text:?}");
    };
    let mut out = Vec::new();
    write_request(&mut out, Request { head: &head, bytes: &text.as_bytes()[..end] }, rewrite);
    String::from_utf8(out).unwrap()
}

fn replied(text: &str, rewrite: &ResponseRewrite<'_>) -> String {
    let mut head = ResponseHead::default();
    let Ok(Progress::Done(end)) = head.read(text.as_bytes(), &HeadLimits::REPLY) else {
        panic!("refused: {text:?}");
    };
    let mut out = Vec::new();
    write_response(&mut out, Response { head: &head, bytes: &text.as_bytes()[..end] }, rewrite);
    String::from_utf8(out).unwrap()
}

const CLIENT: Forwarding<'static> =
    Forwarding { ip: b"9.9.9.9", proto: b"http", trusted: false, forwarded: false };

#[test]
fn a_request_goes_on_without_what_was_for_us() {
    let text = "GET http://a/x?y HTTP/1.0\r\nHost: A\r\nConnection: x-hop, host, cookie, x-real-ip\r\n\
        X-Hop: 1\r\nKeep-Alive: 1\r\nProxy-Connection: 1\r\nTE: gzip\r\nTrailer: t\r\nUpgrade: h2c\r\n\
        HTTP2-Settings: x\r\nProxy-Authorization: x\r\nContent_Length: 5\r\nCookie: c\r\n\
        Authorization: d\r\nX-Real-IP: 1.1.1.1\r\nX-Forwarded-Client-Cert: e\r\nAccept:\t*/* \r\n\r\n";
    let rewrite = RequestRewrite { client: CLIENT, via: b"gnomon", ..RequestRewrite::default() };
    assert_eq!(
        sent(text, &rewrite),
        "GET /x?y HTTP/1.1\r\nHost: a\r\nCookie: c\r\nAuthorization: d\r\nAccept: */*\r\n\
         X-Forwarded-For: 9.9.9.9\r\nX-Real-IP: 9.9.9.9\r\nX-Forwarded-Host: a\r\n\
         X-Forwarded-Proto: http\r\nVia: 1.0 gnomon\r\n\r\n"
    );
}

#[test]
fn a_trusted_proxy_is_believed_and_appended_to() {
    let text = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n\
        X-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\nX-Real-IP: 1.1.1.1\r\n\
        Forwarded: for=1.1.1.1\r\nVia: 1.1 b\r\n\r\n";
    let client = Forwarding { ip: b"::9", trusted: true, forwarded: true, ..CLIENT };
    let rewrite = RequestRewrite { client, via: b"gnomon", ..RequestRewrite::default() };
    assert_eq!(
        sent(text, &rewrite),
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\n\
         X-Real-IP: 1.1.1.1\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2, ::9\r\nX-Forwarded-Host: a\r\n\
         Forwarded: for=1.1.1.1, for=\"[::9]\";host=\"a\";proto=http\r\nVia: 1.1 b, 1.1 gnomon\r\n\r\n"
    );
}

#[test]
fn what_is_ours_to_say_is_said_once() {
    let text = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\
        TE: trailers, gzip\r\nX-Request-Id: theirs\r\ntraceparent: old\r\ntracestate: t=1\r\n\r\n";
    let rewrite = RequestRewrite {
        target: Some(b"/y?z"),
        host: Some(b"b:80"),
        request_id: Some(b"ours"),
        trace: Trace::Start(b"new"),
        framing: Framing::Chunked,
        expect: true,
        ..RequestRewrite::default()
    };
    assert_eq!(
        sent(text, &rewrite),
        "POST /y?z HTTP/1.1\r\nHost: b:80\r\nX-Forwarded-Host: a\r\nX-Request-Id: ours\r\n\
         Traceparent: new\r\nConnection: te\r\nTE: trailers\r\nExpect: 100-continue\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    let kept = RequestRewrite { trace: Trace::Continue(b"new"), ..RequestRewrite::default() };
    let kept = sent(text, &kept);
    assert!(kept.contains("X-Request-Id: theirs\r\ntracestate: t=1\r\n"), "{kept}");
    assert!(kept.contains("Traceparent: new\r\n") && !kept.contains("old"), "{kept}");
}

#[test]
fn a_tracestate_alone_is_nobodys() {
    let alone = "GET / HTTP/1.1\r\nHost: a\r\ntracestate: t=1\r\n\r\n";
    assert!(!sent(alone, &RequestRewrite::default()).contains("tracestate"));
    let both = "GET / HTTP/1.1\r\nHost: a\r\ntracestate: t=1\r\ntraceparent: p\r\n\r\n";
    assert!(sent(both, &RequestRewrite::default()).contains("tracestate: t=1\r\n"));
}

#[test]
fn what_is_told_of_flags_is_ours_alone() {
    let text = "GET / HTTP/1.1\r\nHost: a\r\nX-Gnomon-Flags: mine\r\nX_gnomon_FLAGS: mine\r\n\
        X-Gnomon-Flags-2: kept\r\nx-gnomon-flags: mine\r\n\r\n";
    let told = |said| {
        let flags = Some(("x-gnomon-flags", said));
        sent(text, &RequestRewrite { flags, ..RequestRewrite::default() })
    };
    let said = told(&b"1;on"[..]);
    assert!(
        said.ends_with(
            "X-Gnomon-Flags-2: kept\r\nX-Forwarded-Host: a\r\nx-gnomon-flags: 1;on\r\n\r\n"
        ),
        "{said}"
    );
    let nothing = told(&b""[..]);
    assert!(
        nothing.ends_with("X-Gnomon-Flags-2: kept\r\nX-Forwarded-Host: a\r\n\r\n"),
        "{nothing}"
    );
    assert!(!said.contains("mine") && !nothing.contains("mine"));
    assert!(sent(text, &RequestRewrite::default()).contains("X-Gnomon-Flags: mine\r\n"));
}

#[test]
fn a_websocket_is_asked_for_again_and_nothing_else_is() {
    let upgrade = RequestRewrite { upgrade: true, ..RequestRewrite::default() };
    let text = |token| {
        format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: {token}\r\n\r\n")
    };
    let websocket = sent(&text("h2c, websocket"), &upgrade);
    assert!(
        websocket.ends_with("Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
        "{websocket}"
    );
    assert!(!sent(&text("h2c"), &upgrade).contains("pgrade"));
    assert!(!sent(&text("websocket"), &RequestRewrite::default()).contains("pgrade"));
}

#[test]
fn edits_have_the_last_word() {
    let mut edits = Edits::default();
    edits.remove("cookie").unwrap();
    edits.set("X-Forwarded-Proto", "https").unwrap();
    edits.add("x-a", "2").unwrap();
    let text = "OPTIONS * HTTP/1.1\r\nHost: a\r\nCOOKIE: c\r\nX-A: 1\r\n\r\n";
    let rewrite = RequestRewrite { client: CLIENT, edits: &[&edits], ..RequestRewrite::default() };
    assert_eq!(
        sent(text, &rewrite),
        "OPTIONS * HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nX-Forwarded-For: 9.9.9.9\r\n\
         X-Real-IP: 9.9.9.9\r\nX-Forwarded-Host: a\r\nx-forwarded-proto: https\r\nx-a: 2\r\n\r\n"
    );
}

#[test]
fn a_reply_goes_on_in_our_framing() {
    let text = "HTTP/1.0 200 \r\nServer: s\r\nConnection: x-hop, keep-alive\r\nX-Hop: 1\r\n\
        Content-Length: 005\r\nKeep-Alive: 1\r\nSet-Cookie: a=b\r\n\r\n";
    let rewrite = ResponseRewrite {
        framing: Framing::Length(5),
        keep_alive: true,
        set_cookie: Some(b"c=d"),
        via: b"gnomon",
        date: Some(b"now"),
        ..ResponseRewrite::default()
    };
    assert_eq!(
        replied(text, &rewrite),
        "HTTP/1.1 200 OK\r\nServer: s\r\nSet-Cookie: a=b\r\nVia: 1.0 gnomon\r\nDate: now\r\n\
         Set-Cookie: c=d\r\nContent-Length: 5\r\n\r\n"
    );
    let old = ResponseRewrite { version: Version::Http10, ..rewrite };
    assert!(replied(text, &old).contains("Connection: keep-alive\r\n"));
    let timed = ResponseRewrite { server_timing: Some(b"gnomon;dur=1"), ..rewrite };
    assert!(replied(text, &timed).contains("Set-Cookie: c=d\r\nServer-Timing: gnomon;dur=1\r\n"));
    let until_close = ResponseRewrite { framing: Framing::UntilClose, ..old };
    let until_close = replied(text, &until_close);
    assert!(until_close.contains("Connection: close\r\n") && !until_close.contains("Length"));
}

#[test]
fn a_length_without_a_body_is_said_where_it_informs() {
    let empty = ResponseRewrite { keep_alive: true, ..ResponseRewrite::default() };
    let reply = |status| format!("HTTP/1.1 {status} X\r\nContent-Length: 5\r\n\r\n");
    for (status, is_said) in [(200, true), (304, true), (204, false), (103, false)] {
        assert_eq!(replied(&reply(status), &empty).contains("Content-Length: 5"), is_said);
    }
}

#[test]
fn an_interim_reply_says_nothing_of_the_connection() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: close\r\n\r\n";
    let rewrite = ResponseRewrite { date: Some(b"now"), ..ResponseRewrite::default() };
    assert_eq!(replied(hints, &rewrite), "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    let switch = "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";
    let upgrade = ResponseRewrite { upgrade: true, ..ResponseRewrite::default() };
    assert_eq!(
        replied(switch, &upgrade),
        "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    );
}

#[test]
fn an_answer_of_ours_is_short_and_whole() {
    let answered = |answer: Answer<'_>| {
        let mut out = Vec::new();
        write_answer(&mut out, &answer);
        String::from_utf8(out).unwrap()
    };
    let answer = Answer { status: 404, ..Answer::default() };
    assert_eq!(
        answered(answer),
        "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: 14\r\n\r\n404 Not Found\n"
    );
    assert!(answered(Answer { head_only: true, ..answer }).ends_with("Content-Length: 14\r\n\r\n"));
    let body = Answer { body: Some((b"{}", b"application/json")), keep_alive: true, ..answer };
    assert!(answered(body).ends_with("application/json\r\nContent-Length: 2\r\n\r\n{}"));
    let moved = Answer { status: 204, fields: &[(b"X", b"y")], keep_alive: true, ..answer };
    assert_eq!(answered(moved), "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n");
}
