//! A planted secret is found nowhere in what is kept.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::difference::{Body, Kind};

const SECRET: &str = "s3cr3t/T0ken+==";

fn redactor(style: RedactStyle) -> Redactor {
    let fields = ["authorization", "cookie", "set-cookie", "x-api-key"];
    let places = ["$..token", "$.user.cards[*].number"];
    Redactor::for_test(&fields, &["token", "code"], &places, style)
}

fn reply(head: &str, body: &str) -> Reply {
    let bytes = Bytes::copy_from_slice(body.as_bytes());
    let length = bytes.len() as u64;
    Reply {
        head: Bytes::copy_from_slice(head.as_bytes()),
        body: Body { bytes, length, hash: None },
    }
}

fn exchange(head: &str, body: &str) -> Asked {
    Asked {
        head: Bytes::copy_from_slice(head.as_bytes()),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

fn difference(path: &str, primary: &str, other: &str) -> Difference {
    Difference {
        path: path.into(),
        kind: Kind::Value,
        shape: "string".into(),
        primary: Some(primary.into()),
        other: Some(other.into()),
    }
}

fn show(clean: &Clean) -> String {
    serde_json::to_string(&(&clean.request, &clean.primary, &clean.shadow, &clean.differences))
        .unwrap()
}

/// Cleans with each style; whatever it is, `secret` must be gone, encoded too.
#[track_caller]
fn gone(secret: &str, request: &Asked, primary: &Reply, found: &[Difference]) -> Clean {
    let raw = Raw { request, primary, shadow: primary, found };
    for style in [RedactStyle::Drop, RedactStyle::Mask, RedactStyle::Hash] {
        let shown = show(&redactor(style).clean(&raw));
        let escaped = Value::from(secret).to_string();
        for form in [secret, escaped.trim_matches('"'), &text::percent_encoded(secret)] {
            assert!(!shown.contains(form), "{form} is in {shown}");
        }
    }
    redactor(RedactStyle::Hash).clean(&raw)
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n";

#[test]
fn fields_are_redacted_with_their_parts_wherever_they_are_repeated() {
    let heads = [
        format!("GET / HTTP/1.1\r\nhost: a\r\nAuthorization: Bearer {SECRET}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\ncookie: a=b; sid=\"{SECRET}\"; c=d\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nX-Api-Key:{SECRET}\r\nx-echo: {SECRET}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nauthorization: Digest user=\"{SECRET}\", b=c\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nauthorization: Bearer\r\n {SECRET}\r\n\r\n"),
    ];
    for head in heads {
        let echo =
            reply(OK, &format!("<p>you sent {SECRET}, or {}", text::percent_encoded(SECRET)));
        let clean = gone(SECRET, &exchange(&head, ""), &echo, &[]);
        assert!(clean.primary.body.data.starts_with("<p>you sent #"), "{:?}", clean.primary);
        assert!(clean.primary.body.redacted);
    }
}

#[test]
fn what_basic_credentials_hide_is_found() {
    let request =
        exchange("GET / HTTP/1.1\r\nauthorization: Basic dXNlcjpodW50ZXIyMg==\r\n\r\n", "");
    gone("hunter22", &request, &reply(OK, "your password hunter22 is weak"), &[]);
}

#[test]
fn cookies_that_are_set_are_redacted_and_their_attributes_are_no_secrets() {
    let head = format!(
        "HTTP/1.1 200 OK\r\nset-cookie: sid={SECRET}; Path=/account; HttpOnly\r\n\
         location: /a?b=c&token={SECRET}#top\r\nlink: <https://x/?code={SECRET}>; rel=\"next\"\r\n\r\n"
    );
    let clean = gone(
        SECRET,
        &exchange("GET / HTTP/1.1\r\n\r\n", ""),
        &reply(&head, "/account HttpOnly"),
        &[],
    );
    assert_eq!(clean.primary.body.data, "/account HttpOnly");
    let value = |at: usize| clean.primary.fields[at].value.clone();
    assert!(value(1).starts_with("/a?b=c&token=#") && value(1).ends_with("#top"), "{}", value(1));
    assert!(value(2).ends_with(">; rel=\"next\""));
}

#[test]
fn queries_and_forms_are_redacted_by_key() {
    let encoded = text::percent_encoded(SECRET);
    let nested = text::percent_encoded(&format!("https://x/?code={encoded}"));
    let head = format!(
        "POST /a?x=1&TOKEN={encoded}&next={nested} HTTP/1.1\r\n\
         content-type: application/x-www-form-urlencoded\r\nreferer: http://b/?token={encoded}\r\n\r\n"
    );
    let body = format!("a=b&to%6ben={encoded}&c=d");
    let clean = gone(SECRET, &exchange(&head, &body), &reply(OK, ""), &[]);
    assert!(clean.request.target.starts_with("/a?x=1&TOKEN=#"), "{}", clean.request.target);
    assert!(clean.request.body.data.ends_with("&c=d"));
}

#[test]
fn json_is_redacted_by_place_and_elsewhere_by_value() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
    let body = serde_json::json!({
        "a": { "token": { "deep": [SECRET, 1_234_567] } },
        "user": { "cards": [{ "number": "4111111111111111", "kind": "visa" }] },
        "text": format!("it was {SECRET}"), "n": 1_234_567, SECRET: "as a name",
        "link": format!("https://x/?token={SECRET}"),
    });
    let found = [
        difference("$.a.token.deep[*]", &Value::from(SECRET).to_string(), "plain"),
        difference("$.user", &body["user"].to_string(), "null"),
        difference("$", &body.to_string()[..90], "null"),
        difference("$.text", SECRET, "x"),
    ];
    let body = reply(head, &body.to_string());
    let clean = gone(SECRET, &exchange("GET / HTTP/1.1\r\n\r\n", ""), &body, &found);
    let shown = show(&clean);
    assert!(!shown.contains("4111111111111111") && !shown.contains("1234567"), "{shown}");
    assert!(shown.contains("visa"));
}

#[test]
fn what_cannot_be_parsed_or_read_is_not_kept() {
    let json = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
    let request = exchange("GET / HTTP/1.1\r\n\r\n", "");
    let left_out = |head: &str, body: &str| {
        let clean = gone(SECRET, &request, &reply(head, body), &[]);
        let body = clean.primary.body;
        assert_eq!((body.encoding, body.hash.len()), (Encoding::LeftOut, 13), "{}", body.data);
    };
    left_out(json, &format!("{{\"token\":\"{SECRET}"));
    left_out(OK, &format!("{{\"token\":\"{SECRET}\"}}\n{{\"token\":\"{SECRET}\"}}"));
    left_out(OK, &format!("\u{0}{SECRET}"));
    let coded = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n";
    left_out(coded, SECRET);
}

#[test]
fn what_is_secret_in_a_coded_body_is_taken_out_elsewhere_too() {
    let request = exchange("GET / HTTP/1.1\r\nx-a: b\r\n\r\n", "");
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nContent-Encoding: gzip\r\n\
         x-echo: {SECRET}\r\n\r\n"
    );
    let json = format!("{{\"token\":\"{SECRET}\",\"note\":\"{SECRET}\"}}");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, json.as_bytes()).unwrap();
    let mut coded = reply(&head, "");
    coded.body.bytes = gzip.finish().unwrap().into();
    coded.body.length = coded.body.bytes.len() as u64;
    let found = [difference("$.note", SECRET, "x")];
    let clean = gone(SECRET, &request, &coded, &found);
    // That is all: the rest can be read.
    assert_eq!(
        (&*clean.request.fields[0].value, clean.differences[0].shadow.as_deref()),
        ("b", Some("x"))
    );
    // Of what cannot be decoded nothing is known.
    let clean = gone(SECRET, &request, &reply(&head, SECRET), &found);
    assert_eq!(clean.request.fields[0].value, text::MASK);
}

#[test]
fn what_is_secret_and_cannot_be_found_is_not_repeated_elsewhere() {
    let parts = format!(
        "--cut\r\ncontent-disposition: form-data; name=\"token\"\r\n\r\n{SECRET}\r\n--cut--\r\n"
    );
    let request = exchange(
        "POST / HTTP/1.1\r\ncontent-type: multipart/form-data; boundary=cut\r\n\r\n",
        &parts,
    );
    let echo = reply(OK, &format!("<p>you sent {SECRET}"));
    gone(SECRET, &request, &echo, &[difference("body", SECRET, "x")]);
    let request = exchange("GET / HTTP/1.1\r\n\r\n", "");
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-echo: {SECRET}\r\n\r\n");
    let broken = reply(&head, &format!("{{\"token\":\"{SECRET}\", \"by\": me}}"));
    gone(SECRET, &request, &broken, &[difference("header.x-echo", SECRET, "x")]);
}

#[test]
fn a_secret_that_a_cut_goes_through_is_taken_out_as_well() {
    let request = exchange(&format!("GET / HTTP/1.1\r\nx-api-key: {SECRET}\r\n\r\n"), "");
    for left in 3..SECRET.len() {
        let mut cut = "x".repeat(VALUE_MAX - left);
        cut.push_str(&SECRET[..left]);
        let mut body = reply(OK, &cut);
        body.body.length += 99;
        let clean = gone(&SECRET[..left], &request, &body, &[difference("body", &cut, "")]);
        assert!(clean.primary.body.cut);
    }
}

#[test]
fn of_what_is_too_much_to_look_into_nothing_is_kept() {
    let request = exchange("GET / HTTP/1.1\r\nx-long: yes\r\n\r\n", "short");
    let long = reply(OK, &format!("{}{SECRET}", "x".repeat(body::READ_MAX)));
    let clean = gone(SECRET, &request, &long, &[difference("$.a", SECRET, "b")]);
    assert_eq!(clean.request.body.encoding, Encoding::LeftOut);
    let cookies: Vec<String> = (0..3000).map(|nth| format!("c{nth}=value-{nth}")).collect();
    let head = format!(
        "GET / HTTP/1.1\r\ncookie: {}; d={SECRET}\r\nx-echo: {SECRET}\r\n\r\n",
        cookies.join("; ")
    );
    gone(SECRET, &exchange(&head, ""), &reply(OK, SECRET), &[difference("body", SECRET, "")]);
}

#[test]
fn equal_secrets_look_equal_and_the_key_matters() {
    let one = StandIn::new(RedactStyle::Hash, &[1; 32]);
    let mut key = [1; 32];
    key[31] = 2;
    let other = StandIn::new(RedactStyle::Hash, &key);
    assert_eq!(one.of("a"), one.of("a"));
    assert_ne!(one.of("a"), one.of("b"));
    assert_ne!(one.of("a"), other.of("a"));
    assert_eq!((one.of("a").len(), &one.of("a")[..1]), (13, "#"));
}

proptest! {
    #[test]
    fn no_planted_secret_is_kept(
        secret in "[A-Za-z0-9/+=_.:$-]{10,40}",
        place in 0..8_usize,
        before in "[ -~]{0,20}",
    ) {
        let encoded = text::percent_encoded(&secret);
        let json = "content-type: application/json";
        let (mut line, mut field, mut body) = ("/".to_owned(), "a: b".to_owned(), String::new());
        match place {
            0 => field = format!("authorization: Bearer {secret}"),
            1 => field = format!("cookie: a=b; c={encoded}"),
            2 => line = format!("/?code={encoded}"),
            3 => field = format!("referer: /x?a=b&code={encoded}"),
            4 => (field, body) = (json.to_owned(), serde_json::json!({"token": secret}).to_string()),
            5 => field = format!("x-api-key: {secret}"),
            6 => {
                field = "content-type: application/x-www-form-urlencoded".to_owned();
                body = format!("token={encoded}");
            }
            _ => (field, body) = (json.to_owned(), serde_json::json!([{"token": [secret]}]).to_string()),
        }
        let request = exchange(&format!("POST {line} HTTP/1.1\r\n{field}\r\n\r\n"), &body);
        let echo = reply(
            &format!("HTTP/1.1 200 OK\r\n{json}\r\nx-echo: {secret}\r\n\r\n"),
            &serde_json::json!({"echo": format!("{before} {secret}"), "e": encoded}).to_string(),
        );
        let found = [difference("$.echo", &secret, &encoded), difference("header.x-echo", &secret, "")];
        gone(&secret, &request, &echo, &found);
    }

    #[test]
    fn any_bytes_are_survived(
        head in proptest::collection::vec(any::<u8>(), 0..200),
        body in proptest::collection::vec(any::<u8>(), 0..200),
        path in "\\PC{0,30}",
        value in "\\PC{0,40}=%3Dtoken=\\PC{0,30}",
    ) {
        let exchange = Asked { head: head.clone().into(), body: body.clone().into() };
        let length = body.len() as u64 + 1;
        let reply = Reply { head: head.into(), body: Body { bytes: body.into(), length, hash: None } };
        let found = [difference(&path, &value, &value)];
        let raw = Raw { request: &exchange, primary: &reply, shadow: &reply, found: &found };
        let _ = redactor(RedactStyle::Hash).clean(&raw);
    }
}
