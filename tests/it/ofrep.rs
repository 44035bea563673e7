//! Applications ask for flags: what they are told is what the router does, and they are told it through
//! reloads and upgrades.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
};

use e2e::{Client, Driver, Reply, Running, eventually, on_each_driver};
use serde_json::{Value, json};

use super::heirs::Heirs;

/// A flag that a route goes by, and where applications ask.
const CART: &str = "listen = \"127.0.0.1:0\"\n\
                    flags.by = \"header:x-user\"\n\
                    flag.cart.percent = 50\n\
                    route.new = { match.flag = \"cart\", respond.status = 201 }\n\
                    route.all.respond.status = 200\n\
                    flags.ofrep.listen = \"127.0.0.2:0\"\n";

/// The body that asks for a user.
fn of(user: &str) -> String {
    json!({ "context": { "targetingKey": user } }).to_string()
}

/// A request for a flag, or for all of them.
fn request(path: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /ofrep/v1/evaluate/flags{path} HTTP/1.1\r\nhost: localhost\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n{fields}\r\n{body}"
    )
}

#[track_caller]
fn json_of(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{error}: {}", reply.text()))
}

/// What an application is told of `cart`.
#[track_caller]
fn is_told(application: &mut Client, user: &str, fields: &str) -> bool {
    let reply = application.ask(request("/cart", fields, &of(user)));
    assert_eq!(reply.status(), 200, "{}", reply.text());
    json_of(&reply)["value"].as_bool().expect("it is true or false")
}

/// What the router does for a user.
#[track_caller]
fn is_routed(client: &mut Client, user: &str) -> bool {
    match client.ask(format!("GET / HTTP/1.1\r\nhost: a\r\nx-user: {user}\r\n\r\n")).status() {
        201 => true,
        200 => false,
        other => panic!("{other}"),
    }
}

#[test]
fn router_and_applications_agree_before_and_after_a_reload() {
    on_each_driver(|driver| {
        let proxy = Running::start(driver, CART);
        let (mut client, mut application) = (proxy.connect(), Client::connect(proxy.ofrep()));
        let (mut counts, mut before) = (Vec::new(), 50);
        for share in [50, 80, 20] {
            proxy.edit(&format!("percent = {before}"), &format!("percent = {share}"));
            before = share;
            proxy.reload().expect("it is right");
            let mut on = 0;
            for user in 0..200 {
                let user = format!("u{user}");
                let told = is_told(&mut application, &user, "");
                assert_eq!(told, is_routed(&mut client, &user), "{user} at {share} %");
                on += i32::from(told);
            }
            counts.push(on);
        }
        assert!(counts[2] < counts[0] && counts[0] < counts[1], "{counts:?}");
    });
}

#[test]
fn the_admin_socket_answers_too_even_if_it_only_reads() {
    on_each_driver(|driver| {
        let proxy = Running::start(driver, &format!("{CART}admin.read_only = true\n"));
        let mut admin = Client::connect_unix(&proxy.folder().join("admin.sock"));
        let mut application = Client::connect(proxy.ofrep());
        for user in ["u1", "u2", "u3", "u4", "u5", "u6"] {
            let told = is_told(&mut application, user, "");
            assert_eq!(is_told(&mut admin, user, ""), told);
        }
        let all = json_of(&admin.ask(request("", "", &of("u1"))));
        assert_eq!(all["flags"][0]["key"], "cart");
        assert_eq!(admin.ask(request("/none", "", &of("u1"))).status(), 404);
        let told = Client::connect_unix(&proxy.folder().join("admin.sock"))
            .ask("GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n");
        let told = e2e::exposition::parse(&told.text(), false);
        assert_eq!(told.sum("gnomon_ofrep_answers_total", &[("code", "200")]), 13.0);
        assert_eq!(told.sum("gnomon_ofrep_answers_total", &[("code", "404")]), 1.0);
    });
}

#[test]
fn who_has_sent_half_a_request_keeps_nobody_waiting() {
    on_each_driver(|driver| {
        let proxy = Running::start(driver, CART);
        let half = request("/cart", "", &of("u1"));
        let half = &half[..half.len() - 5];
        let slow: Vec<Client> = (0..300)
            .map(|_| {
                let mut client = Client::connect(proxy.ofrep());
                client.send(half);
                client
            })
            .collect();
        // Control does what it does beside; the others are told to come again, until the slow are gone.
        proxy.reload().expect("control is free");
        let mut application = Client::connect(proxy.ofrep());
        eventually("it is answered", || {
            let reply = application.ask(request("/cart", "", &of("u1")));
            let status = reply.status();
            assert!(status == 200 || reply.field("retry-after") == Some("1"), "{status}");
            status == 200
        });
        drop(slow);
    });
}

#[test]
fn addresses_and_tokens_follow_the_configuration() {
    on_each_driver(|driver| {
        let proxy = Running::start(driver, CART);
        let first = proxy.ofrep();
        let taken = TcpListener::bind("127.0.0.1:0").expect("there is a port");
        let taken_at = taken.local_addr().expect("it is bound");
        proxy.edit("127.0.0.2:0", &taken_at.to_string());
        let refused = proxy.reload().expect_err("it is somebody else's");
        assert!(refused.error.contains(&taken_at.to_string()), "{refused}");
        assert!(refused.error.contains("flags.ofrep.listen"), "{refused}");
        is_told(&mut Client::connect(first), "u1", "");
        drop(taken);
        std::fs::write(proxy.folder().join("tokens"), "one\ntwo\n").expect("it is ours");
        let tokens = proxy.folder().join("tokens");
        let with = format!("flags.ofrep.tokens = \"{}\"\nflag.cart", tokens.display());
        proxy.edit("flag.cart", &with);
        proxy.reload().expect("it is free now");
        assert_eq!(proxy.ofrep(), taken_at);
        eventually("nobody listens there any more", || TcpStream::connect(first).is_err());
        let mut application = Client::connect(taken_at);
        assert_eq!(application.ask(request("/cart", "", &of("u1"))).status(), 401);
        is_told(&mut Client::connect(taken_at), "u1", "x-api-key: two\r\n");
        std::fs::write(tokens, "three\n").expect("it is ours");
        proxy.reload().expect("it is right");
        let old = request("/cart", "x-api-key: two\r\n", &of("u1"));
        assert_eq!(Client::connect(taken_at).ask(old).status(), 401);
        is_told(&mut Client::connect(taken_at), "u1", "authorization: Bearer three\r\n");
    });
}

#[test]
fn a_reload_that_changes_flags_is_told_and_another_is_not() {
    on_each_driver(|driver| {
        let proxy = Running::start(driver, CART);
        let all = json_of(&Client::connect(proxy.ofrep()).ask(request("", "", &of("u1"))));
        let uri = all["eventStreams"][0]["endpoint"]["requestUri"].as_str();
        let uri = uri.expect("there is a stream").to_owned();
        let mut stream = Client::connect(proxy.ofrep());
        stream.send(format!("GET {uri} HTTP/1.1\r\nhost: localhost\r\n\r\n"));
        stream.expect_head("HTTP/1.1 200");
        proxy.edit("status = 200", "status = 202");
        proxy.reload().expect("it is right");
        proxy.edit("percent = 50", "percent = 60");
        proxy.reload().expect("it is right");
        let told = heard(&mut stream, "refetchEvaluation");
        assert_eq!(told.matches("data: ").count(), 1, "{told}");
    });
}

/// Reads until somebody has said this.
#[track_caller]
fn heard(stream: &mut Client, word: &str) -> String {
    let mut all = Vec::new();
    while !String::from_utf8_lossy(&all).contains(word) {
        all.extend(stream.read_bytes(1));
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn what_was_decided_for_a_request_holds_for_all_it_leads_to() {
    on_each_driver(|driver| {
        let origin = e2e::Origin::named("x");
        let config = format!(
            "listen = \"127.0.0.1:0\"\nflags.by = \"header:x-user\"\nflags.send = \"all\"\nflag.cart.percent = 50\n\
             flags.ofrep.listen = \"127.0.0.2:0\"\n{}",
            super::to(&origin)
        );
        let proxy = Running::start(driver, &config);
        let mut client = proxy.connect();
        let fields: Vec<(String, String)> = (0..20)
            .map(|user| {
                let user = format!("u{user}");
                client.ask(format!("GET / HTTP/1.1\r\nhost: a\r\nx-user: {user}\r\n\r\n"));
                let head = origin.requests().last().expect("it was asked").clone();
                let field = head.field("x-gnomon-flags").expect("it is told").to_owned();
                (user, format!("x-gnomon-flags: {field}\r\n"))
            })
            .collect();
        let mut application = Client::connect(proxy.ofrep());
        let before: Vec<bool> =
            fields.iter().map(|(user, _)| is_told(&mut application, user, "")).collect();
        assert!(before.contains(&true) && before.contains(&false), "{before:?}");
        proxy.edit("percent = 50", "percent = 0");
        proxy.reload().expect("it is right");
        for ((user, field), before) in fields.iter().zip(before) {
            assert_eq!(is_told(&mut application, user, field), before);
            assert!(!is_told(&mut application, user, ""));
        }
    });
}

#[test]
fn over_an_upgrade_every_application_is_answered() {
    on_each_driver(|driver| {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
        let address: SocketAddr = free.expect("there is a port");
        let config = CART.replace("127.0.0.2:0", &address.to_string());
        let mut heirs = Heirs::start(driver, &config);
        let is_over = AtomicBool::new(false);
        let asked = thread::scope(|scope| {
            let applications: Vec<_> = (0..3)
                .map(|_| {
                    let ask = || {
                        let mut asked = 0_u32;
                        while !is_over.load(SeqCst) {
                            // Each on a connection of its own: it is whoever accepts then.
                            is_told(&mut Client::connect(address), "u1", "connection: close\r\n");
                            asked += 1;
                        }
                        asked
                    };
                    thread::Builder::new().spawn_scoped(scope, ask).expect("there is room")
                })
                .collect();
            let mut stream = Client::connect(address);
            stream.send("GET /ofrep/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n");
            stream.expect_head("HTTP/1.1 200");
            for _ in 0..2 {
                heirs.upgrade_well();
                heirs.settle();
            }
            assert!(stream.read_rest().ends_with(b"0\r\n\r\n"), "a stream ends well");
            is_over.store(true, SeqCst);
            applications.into_iter().map(|it| it.join().expect("it is answered")).sum::<u32>()
        });
        let answered = heirs.metric("gnomon_ofrep_answers_total", &[]);
        // The stream's answer is one of them.
        assert_eq!(answered, f64::from(asked) + 1.0);
    });
}

/// A Python that has what the comparison needs, as CI installs it; or any other.
fn python() -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_guest")).ancestors().nth(2);
    let ours = target.map(|target| target.join("ofrep-provider/bin/python"));
    ours.filter(|python| python.exists()).unwrap_or_else(|| PathBuf::from("python3"))
}

/// What the provider is asked of the flags of a configuration.
fn own_cases() -> Vec<Value> {
    let cases = json!([
        {"flag": "on", "kind": "boolean", "default": false, "value": true, "reason": "STATIC", "variant": "on"},
        {"flag": "dead", "kind": "boolean", "default": true, "value": true, "reason": "DISABLED"},
        {"flag": "some", "kind": "boolean", "default": false, "key": "u1", "value": true,
         "reason": "TARGETING_MATCH", "variant": "on"},
        {"flag": "some", "kind": "boolean", "default": true, "key": "u2", "value": false,
         "reason": "DEFAULT", "variant": "off"},
        {"flag": "half", "kind": "boolean", "default": true, "value": true, "reason": "ERROR",
         "error": "TARGETING_KEY_MISSING"},
        {"flag": "text", "kind": "string", "default": "z", "value": "y", "reason": "STATIC", "variant": "b"},
        {"flag": "whole", "kind": "integer", "default": 1, "value": 7, "reason": "STATIC", "variant": "a"},
        {"flag": "broken", "kind": "float", "default": 1.5, "value": 2.0, "reason": "STATIC", "variant": "a"},
        {"flag": "table", "kind": "object", "default": {}, "value": {"n": [1, 2]}, "reason": "STATIC", "variant": "a"},
        {"flag": "text", "kind": "boolean", "default": true, "value": true, "reason": "ERROR", "error": "TYPE_MISMATCH"},
        {"flag": "none", "kind": "integer", "default": 3, "value": 3, "reason": "ERROR", "error": "FLAG_NOT_FOUND"},
    ]);
    cases.as_array().expect("it is a list").clone()
}

/// Flags in flagd's format, and what the provider is asked of them.
fn foreign() -> (Value, Vec<Value>) {
    let ends = json!({"ends_with": [{"var": "email"}, "@example.com"]});
    let flags = json!({"flags": {
        "f-bool": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "on"},
        "f-text": {"state": "ENABLED", "variants": {"a": "x", "b": "y"}, "defaultVariant": "a",
                   "targeting": {"if": [ends, "b", null]}},
        "f-whole": {"state": "ENABLED", "variants": {"a": 7, "b": 8}, "defaultVariant": "a"},
        "f-broken": {"state": "ENABLED", "variants": {"a": 0.5}, "defaultVariant": "a"},
        "f-table": {"state": "ENABLED", "variants": {"a": {"k": {"l": "m"}}}, "defaultVariant": "a"},
        "f-dead": {"state": "DISABLED", "variants": {"a": 1}, "defaultVariant": "a"},
        "f-code": {"state": "ENABLED", "variants": {"a": 1}, "defaultVariant": null},
    }});
    let cases = json!([
        {"flag": "f-bool", "kind": "boolean", "default": false, "value": true, "reason": "STATIC", "variant": "on"},
        {"flag": "f-text", "kind": "string", "default": "z", "attributes": {"email": "a@example.com"},
         "value": "y", "reason": "TARGETING_MATCH", "variant": "b"},
        {"flag": "f-text", "kind": "string", "default": "z", "attributes": {"email": "a@example.org"},
         "value": "x", "reason": "DEFAULT", "variant": "a"},
        {"flag": "f-whole", "kind": "integer", "default": 1, "value": 7, "reason": "STATIC", "variant": "a"},
        {"flag": "f-broken", "kind": "float", "default": 1.5, "value": 0.5, "reason": "STATIC", "variant": "a"},
        {"flag": "f-table", "kind": "object", "default": {}, "value": {"k": {"l": "m"}}, "reason": "STATIC",
         "variant": "a"},
        {"flag": "f-dead", "kind": "integer", "default": 9, "value": 9, "reason": "DISABLED"},
        {"flag": "f-code", "kind": "integer", "default": 9, "value": 9, "reason": "DEFAULT"},
    ]);
    (flags, cases.as_array().expect("it is a list").clone())
}

#[test]
fn the_provider_of_openfeature_understands_every_answer() {
    let config = "listen = \"127.0.0.1:0\"\nflags.by = \"header:x-user\"\n\
         flags.ofrep = { listen = \"127.0.0.2:0\", tokens = \"{folder}/tokens\" }\n\
         flags.source = \"{folder}/flags.json\"\n\
         route.all.respond.status = 204\n\
         flag.on = { default = \"on\" }\n\
         flag.dead = { enabled = false }\n\
         flag.some = { allow = [\"u1\"] }\n\
         flag.half = { percent = 50 }\n\
         flag.text = { variants = { a = \"x\", b = \"y\" }, default = \"b\" }\n\
         flag.whole = { variants = { a = 7 }, default = \"a\" }\n\
         flag.broken = { variants = { a = 2.0 }, default = \"a\" }\n\
         flag.table = { variants = { a = { n = [1, 2] } }, default = \"a\" }\n";
    let folder = super::heirs::folder();
    let (flags, theirs) = foreign();
    std::fs::write(folder.join("tokens"), "secret\n").expect("it is ours");
    std::fs::write(folder.join("flags.json"), flags.to_string()).expect("it is ours");
    let config = config.replace("{folder}", &folder.to_string_lossy());
    let proxy = Running::start(Driver::Epoll, &config);
    let known = || proxy.snapshot().flags.find("f-bool").is_some();
    eventually("the source is read", known);
    let cases = Value::Array([own_cases(), theirs].concat());
    compare(&folder, proxy.ofrep(), &cases);
    // What stays is in the temporary folder.
    let _ = std::fs::remove_dir_all(folder);
}

/// Has the provider ask for these.
#[track_caller]
fn compare(folder: &Path, address: SocketAddr, cases: &Value) {
    let file = folder.join("cases.json");
    std::fs::write(&file, cases.to_string()).expect("it is ours");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/ofrep_provider.py");
    let output = Command::new(python())
        .arg(script)
        .arg(format!("http://{address}"))
        .arg(file)
        .args(["--token", "secret"])
        .output();
    #[expect(clippy::print_stderr, reason = "a test that does not run says so")]
    match output {
        Err(error) => eprintln!("the provider: skipped, {error}"),
        Ok(output) => {
            let said =
                String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(output.status.success(), "{said}");
            eprintln!("the provider: {said}");
        }
    }
}
