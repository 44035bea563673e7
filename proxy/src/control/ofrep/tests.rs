//! The protocol, as an application sees it: over sockets, against a set made by hand.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
};

use gnomon_config::model::{
    Key, Material, Secret, Share,
    flag::{Flag as Written, Flags, Ofrep, Place, Portion, Rule, Told, VariantValue},
};
use gnomon_flags::{Evaluation, RequestContext, frozen};
use serde_json::{Value, json};

use super::*;
use crate::{
    clock,
    control::tests::{Bench, bench, run},
};

/// A server at an address of its own.
struct Server {
    bench: Bench,
    address: SocketAddr,
}

struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

fn flag(name: &str, variants: Vec<(&str, VariantValue)>, share: Option<u32>) -> Written {
    let portion = share.map(|share| Portion::Fixed(Share(share)));
    let rule = Rule { groups: vec![], not: vec![], users: vec![], portion, serve: vec![(0, 1)] };
    Written {
        name: name.into(),
        enabled: true,
        default: variants.len() - 1,
        variants: variants.into_iter().map(|(name, value)| (name.into(), value)).collect(),
        by: None,
        salt: name.into(),
        rules: share.map(|_| rule).into_iter().collect(),
        start: None,
        end: None,
        owner: "shop".into(),
        description: "".into(),
        expires: None,
        judge: None,
    }
}

fn switch(name: &str, share: Option<u32>) -> Written {
    let (on, off) = (VariantValue::Bool(true), VariantValue::Bool(false));
    flag(name, vec![("on", on), ("off", off)], share)
}

fn flags() -> Flags {
    let mut dead = switch("dead", None);
    dead.enabled = false;
    let one = |name: &str, value| flag(name, vec![("only", value)], None);
    Flags {
        own: vec![
            switch("half", Some(50_000)),
            dead,
            one("text", VariantValue::Text("blue".into())),
            one("whole", VariantValue::Integer(7)),
            one("broken", VariantValue::Float(2.0)),
            one("table", VariantValue::Json(r#"{"a":[1,2]}"#.into())),
        ],
        by: Some(Place::Key(Key::Header("x-user".into()))),
        header: Some("x-gnomon-flags".into()),
        sign: Secret(b"secret".to_vec()),
        send: Told::All,
        ofrep: Some(Ofrep {
            bind: vec!["127.0.0.1:0".parse().unwrap()],
            tokens: None,
            headers: vec![("x-as".into(), "targetingKey".into())],
        }),
        ..Flags::default()
    }
}

fn start(name: &str, flags: Flags) -> Server {
    let bench = bench(name, "");
    publish(&bench, flags);
    let config = gnomon_flags_config(&bench);
    run(async {
        let new = bench.control.ofrep.bind(&config).unwrap();
        bench.control.state().config = config;
        bench.control.follow_ofrep(new);
    });
    let address = bench.control.ofrep.addresses()[0];
    Server { bench, address }
}

fn gnomon_flags_config(bench: &Bench) -> Arc<Config> {
    let set = bench.control.ofrep.snapshot().flags.clone();
    let config = bench.control.state().config.clone();
    Arc::new(Config { flags: set.terms().clone(), ..Config::clone(&config) })
}

/// From now on, these are the flags.
fn publish(bench: &Bench, flags: Flags) {
    let mut state = bench.control.state();
    let config = Arc::new(Config { flags, ..Config::clone(&state.config) });
    let made = state.flags.make(&config, None).unwrap();
    state.flags.take(made, &config, 0);
    state.publish(&bench.control.shared.publisher);
}

impl Server {
    fn send(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    fn raw(&self, request: &str) -> Reply {
        let mut whole = String::new();
        self.send(request).read_to_string(&mut whole).unwrap();
        let (head, body) = whole.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// Asks by POST, with these fields beside.
    fn ask(&self, path: &str, fields: &str, body: &str) -> Reply {
        let length = body.len();
        self.raw(&format!(
            "POST /ofrep/v1/evaluate/flags{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n{fields}\r\n{body}"
        ))
    }

    fn one(&self, key: &str, user: &str) -> Reply {
        self.ask(&format!("/{key}"), "", &of(user))
    }

    fn all(&self, fields: &str, user: &str) -> Reply {
        self.ask("", fields, &of(user))
    }

    /// A stream, behind its head.
    fn events(&self, path: &str, fields: &str) -> BufReader<TcpStream> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n");
        let mut stream = BufReader::new(self.send(&request));
        let head = until(&mut stream, "\r\n");
        assert!(head.contains(&"HTTP/1.1 200 OK\r\n".to_owned()), "{head:?}");
        assert!(head.contains(&"content-type: text/event-stream\r\n".to_owned()), "{head:?}");
        stream
    }
}

fn of(user: &str) -> String {
    json!({ "context": { "targetingKey": user } }).to_string()
}

/// Lines up to this one.
fn until(stream: &mut impl BufRead, last: &str) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        assert_ne!(stream.read_line(&mut line).unwrap(), 0, "it ends: {lines:?}");
        if line == last {
            return lines;
        }
        lines.push(line);
    }
}

/// The data of the next event.
fn event(stream: &mut impl BufRead) -> Value {
    loop {
        let mut line = String::new();
        assert_ne!(stream.read_line(&mut line).unwrap(), 0, "it ends");
        if let Some(data) = line.strip_prefix("data: ") {
            return serde_json::from_str(data).unwrap();
        }
    }
}

#[test]
fn each_kind_of_flag_is_told_as_it_is() {
    let server = start("ofrep-kinds", flags());
    for (key, value, variant) in [
        ("text", json!("blue"), "only"),
        ("whole", json!(7), "only"),
        ("broken", json!(2.0), "only"),
        ("table", json!({"a": [1, 2]}), "only"),
    ] {
        let reply = server.one(key, "u1");
        assert_eq!(reply.status, 200);
        assert_eq!(reply.field("content-type"), Some("application/json"));
        let metadata = json!({ "owner": "shop" });
        let said = json!({"key": key, "value": value, "reason": "STATIC", "variant": variant, "metadata": metadata});
        assert_eq!(reply.json(), said);
    }
    assert!(server.one("broken", "u1").body.contains("\"value\":2.0"), "a float stays one");
    let reply = server.one("dead", "u1").json();
    assert_eq!(reply["reason"], "DISABLED");
    assert_eq!((reply.get("value"), reply["variant"].as_str()), (None, Some("")));
    let drawn: Vec<Value> = (0..50).map(|u| server.one("half", &format!("u{u}")).json()).collect();
    assert!(drawn.iter().any(|it| it["value"] == true && it["reason"] == "SPLIT"), "{drawn:?}");
    assert!(drawn.iter().any(|it| it["value"] == false), "{drawn:?}");
}

#[test]
fn what_cannot_be_answered_says_why_in_the_words_of_the_protocol() {
    let server = start("ofrep-flaws", flags());
    let long = "x".repeat(70_000);
    for (path, body, status, code) in [
        ("/none", of("u1").as_str(), 404, "FLAG_NOT_FOUND"),
        ("/a/b%20c", &of("u1"), 404, "FLAG_NOT_FOUND"),
        ("/half", "{}", 400, "TARGETING_KEY_MISSING"),
        ("/half", r#"{"context":null}"#, 400, "TARGETING_KEY_MISSING"),
        ("/half", r#"{"context":{"targetingKey":""}}"#, 400, "TARGETING_KEY_MISSING"),
        ("/half", r#"{"context":[]}"#, 400, "INVALID_CONTEXT"),
        ("/half", r#"{"context":{"targetingKey":7}}"#, 400, "INVALID_CONTEXT"),
        ("/half", "", 400, "PARSE_ERROR"),
        ("/half", "{", 400, "PARSE_ERROR"),
        ("/half", "[]", 400, "PARSE_ERROR"),
        ("", "{", 400, "PARSE_ERROR"),
        ("", r#"{"context":1}"#, 400, "INVALID_CONTEXT"),
    ] {
        let reply = server.ask(path, "", body);
        let said = reply.json();
        assert_eq!(
            (reply.status, said["errorCode"].as_str()),
            (status, Some(code)),
            "{path} {body}"
        );
        assert!(said["errorDetails"].as_str().is_some_and(|it| !it.is_empty()), "{said}");
        let key = path.strip_prefix('/').map(|key| key.replace("%20", " "));
        assert_eq!(said.get("key").and_then(Value::as_str), key.as_deref());
    }
    assert_eq!(server.ask("/half", "", &long).status, 413);
    assert_eq!(server.ask("/text", "", "{}").status, 200, "a flag that draws nothing needs nobody");
    let plain =
        "POST /ofrep/v1/evaluate/flags/text HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
    for kind in ["", "content-type: text/plain\r\n"] {
        assert_eq!(server.raw(&format!("{plain}{kind}content-length: 2\r\n\r\n{{}}")).status, 415);
    }
    let get = |path| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    assert_eq!(server.raw(&get("/ofrep/v1/evaluate/flags")).status, 405);
    assert_eq!(server.raw(&get("/v1/status")).status, 404, "nothing else is there");
}

#[test]
fn those_beyond_the_bounds_are_told_when_to_come_again() {
    let server = start("ofrep-bounds", flags());
    let desk = server.bench.control.ofrep.clone();
    let all = desk.places.requests.try_acquire_many(u32::try_from(REQUESTS_MAX).unwrap());
    let reply = server.one("text", "u1");
    assert_eq!((reply.status, reply.field("retry-after")), (429, Some("1")));
    drop(all.unwrap());
    assert_eq!(server.one("text", "u1").status, 200);
    let _all = desk.places.streams.try_acquire_many(u32::try_from(STREAMS_MAX).unwrap()).unwrap();
    let get = "GET /ofrep/v1/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert_eq!(server.raw(get).status, 429);
    let counted: Vec<(u16, u64)> =
        server.bench.control.ofrep_answers().filter(|(_, count)| *count > 0).collect();
    assert_eq!(counted, [(200, 1), (429, 2)]);
}

#[test]
fn an_answer_is_known_by_flags_user_and_content() {
    let server = start("ofrep-etag", flags());
    let reply = server.all("", "u1");
    let said = reply.json();
    let keys: Vec<&str> =
        said["flags"].as_array().unwrap().iter().map(|it| it["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["half", "dead", "text", "whole", "broken", "table"]);
    let tag = reply.field("etag").unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    let bare = tag.trim_matches('"');
    for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), bare.to_owned()] {
        let again = server.all(&format!("if-none-match: {known}\r\n"), "u1");
        assert_eq!((again.status, again.body.as_str()), (304, ""));
        assert_eq!(again.field("etag"), Some(&*tag));
    }
    let known = format!("if-none-match: {tag}\r\n");
    for user in 2..20 {
        assert_eq!(server.all(&known, &format!("u{user}")).status, 200, "another user is another");
    }
    let edition = server.bench.control.ofrep.look().tag;
    for (changed, status) in [(&*edition, 304), ("other", 200)] {
        let path = format!("?flagConfigEtag={changed}&flagConfigLastModified=1790000000");
        assert_eq!(server.ask(&path, &known, &of("u1")).status, status, "{changed}");
    }
    let mut changed = flags();
    changed.own[2].owner = "other".into();
    publish(&server.bench, changed);
    let new = server.all(&known, "u1");
    assert_eq!(new.status, 200);
    assert_ne!(new.field("etag"), Some(&*tag));
}

#[test]
fn a_flag_that_fails_is_said_to_fail_among_the_others() {
    let server = start("ofrep-bulk", flags());
    let said = server.ask("", "", "{}").json();
    assert_eq!(said["flags"][0]["errorCode"], "TARGETING_KEY_MISSING");
    assert_eq!(said["flags"][0]["key"], "half");
    assert_eq!(said["flags"][2]["value"], "blue");
}

#[test]
fn changes_are_told_and_none_is_missed() {
    let server = start("ofrep-events", flags());
    let said = server.all("", "u1").json();
    let stream = &said["eventStreams"][0];
    assert_eq!(
        (stream["type"].as_str(), stream["inactivityDelaySec"].as_u64()),
        (Some("sse"), Some(120))
    );
    let path = stream["endpoint"]["requestUri"].as_str().unwrap().to_owned();
    let tell = |owner: &str| {
        let mut changed = flags();
        changed.own[2].owner = owner.into();
        publish(&server.bench, changed);
    };
    let mut open = server.events(&path, "");
    let mut other = server.events("/ofrep/v1/events", "");
    tell("second");
    let told = event(&mut open);
    assert_eq!(told["type"], "refetchEvaluation");
    assert!(told["lastModified"].as_u64().unwrap() > 1_700_000_000);
    assert_eq!(event(&mut other)["etag"], told["etag"]);
    assert_eq!(server.bench.control.ofrep.look().tag, told["etag"].as_str().unwrap());
    // Of what happened between an answer and its stream, or between two streams, it is told at once.
    assert_eq!(event(&mut server.events(&path, ""))["etag"], told["etag"]);
    let last = format!("last-event-id: {}\r\n", told["etag"].as_str().unwrap());
    let mut again = server.events(&path, &last);
    tell("third");
    assert_ne!(event(&mut again)["etag"], told["etag"]);
    assert_ne!(event(&mut open)["etag"], told["etag"]);
    assert_eq!(server.bench.control.ofrep.streams(), 3);
    server.bench.control.ofrep.end();
    let mut rest = String::new();
    assert!(again.read_to_string(&mut rest).is_ok(), "it ends well: {rest}");
}

#[test]
fn a_date_that_passes_is_a_change() {
    let now = clock::wall().as_secs();
    let edition = |start: Option<u64>| {
        let mut all = flags();
        all.own[0].start = start;
        let bench = bench("ofrep-dates", "");
        publish(&bench, all);
        bench.control.ofrep.look().tag
    };
    let passed = |tag: &str| tag.rsplit_once('-').unwrap().1.to_owned();
    assert_eq!(passed(&edition(Some(now + 1000))), "0");
    assert_eq!(passed(&edition(Some(now - 1000))), "1");
    assert_eq!(passed(&edition(None)), "0");
}

#[test]
fn tokens_are_asked_for_and_hosts_without_them() {
    let mut guarded = flags();
    let content = Secret(b"# ours\nfirst\n\n  second  \n".to_vec());
    let tokens = Material {
        path: "/tokens".into(),
        content,
        mode: 0o600,
        place: gnomon_config::model::Written::default(),
    };
    guarded.ofrep.as_mut().unwrap().tokens = Some(tokens);
    let server = start("ofrep-tokens", guarded);
    for (fields, status) in [
        ("", 401),
        ("authorization: Bearer third\r\n", 401),
        ("authorization: Basic first\r\n", 401),
        ("authorization: Bearer # ours\r\n", 401),
        ("x-api-key:\r\n", 401),
        ("authorization: Bearer first\r\n", 200),
        ("authorization: bearer second\r\n", 200),
        ("x-api-key: second\r\n", 200),
    ] {
        let reply = server.ask("/text", fields, "{}");
        assert_eq!(reply.status, status, "{fields}");
        assert_eq!(reply.field("www-authenticate").is_some(), status == 401);
    }
    let get = "GET /ofrep/v1/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert_eq!(server.raw(get).status, 401);
    let free = start("ofrep-hosts", flags());
    let head = "POST /ofrep/v1/evaluate/flags/text HTTP/1.1\r\nconnection: close\r\n\
                content-type: application/json\r\ncontent-length: 2\r\n";
    for (host, status) in [("127.0.0.1:8016", 200), ("evil.example", 403)] {
        assert_eq!(free.raw(&format!("{head}host: {host}\r\n\r\n{{}}")).status, status);
    }
}

#[test]
fn fields_of_the_request_win_over_what_it_says() {
    let server = start("ofrep-fields", flags());
    let of_user = |user: &str| server.one("half", user).json()["variant"].clone();
    let users: Vec<String> = (0..50).map(|u| format!("u{u}")).collect();
    let on = users.iter().find(|user| of_user(user) == "on").unwrap();
    let off = users.iter().find(|user| of_user(user) == "off").unwrap();
    let reply = server.ask("/half", &format!("x-as: {on}\r\n"), &of(off));
    assert_eq!(reply.json()["variant"], "on");
}

#[test]
fn what_the_router_decided_is_what_the_application_is_told() {
    let server = start("ofrep-frozen", flags());
    let set = server.bench.control.ofrep.snapshot().flags.clone();
    let user = "u1";
    let bytes = format!("GET / HTTP/1.1\r\nhost: h\r\nx-user: {user}\r\n\r\n").into_bytes();
    let mut head = gnomon_wire::RequestHead::default();
    head.read(&bytes, &gnomon_wire::HeadLimits::REQUEST).unwrap();
    let request = gnomon_wire::Request { head: &head, bytes: &bytes };
    let client = std::net::Ipv4Addr::LOCALHOST.into();
    let context = RequestContext { terms: set.terms(), request, client, claims: None };
    let mut text = Vec::new();
    frozen::write(&Evaluation::new(&set, context, clock::wall().as_secs()), &mut text);
    let decided = format!("x-gnomon-flags: {}\r\n", String::from_utf8(text).unwrap());
    let before = server.one("half", user).json()["variant"].clone();
    let mut turned = flags();
    turned.own[0].enabled = false;
    publish(&server.bench, turned);
    assert_eq!(server.one("half", user).json()["reason"], "DISABLED");
    assert_eq!(server.ask("/half", &decided, &of(user)).json()["variant"], before);
    assert_eq!(server.ask("/half", &decided, &of("u2")).json()["reason"], "DISABLED", "another's");
    let forged = decided.replace("half=", "halb=");
    assert_eq!(server.ask("/half", &forged, &of(user)).json()["reason"], "DISABLED");
    let told: Vec<_> = server.bench.control.ofrep_frozen().collect();
    assert_eq!(told, [("refused", 2), ("believed", 1)]);
    let tag = |fields: &str| server.all(fields, user).field("etag").unwrap().to_owned();
    assert_ne!(tag(""), tag(&decided));
}
