//! Copies for a version under test: who gets one, what it says, and that the books add up.

use std::collections::{BTreeMap, HashMap};

use e2e::{Client, Origin, Running, eventually, on_each_driver, origin::ok};
use gnomon::control::api::Shadow;

use super::GET;

/// Everybody is answered by `primary`, and `[shadow.new]` goes to `shadow`.
pub(super) fn shadowed(primary: &Origin, shadow: &Origin, more: &str) -> String {
    shadowed_at(&primary.address().to_string(), &shadow.address().to_string(), more)
}

/// The same for addresses. Patience is long, for machines that are slow, unless `more` says more.
pub(super) fn shadowed_at(primary: &str, shadow: &str, more: &str) -> String {
    let patience =
        if more.contains("shadow.new.timeout") { "" } else { "shadow.new.timeout = \"60s\"\n" };
    format!(
        "upstream.shop.versions.v1 = [\"{primary}\"]\nupstream.shop.versions.v2 = [\"{shadow}\"]\n\
         upstream.shop.split = {{ v1 = 100 }}\nroute.all.to = \"shop\"\n\
         shadow.new.from = \"shop@v1\"\nshadow.new.to = \"shop@v2\"\n\
         shadow.new.shed_at = \"100%\"\n{patience}{more}"
    )
}

/// What the proxy says of a shadow now.
#[track_caller]
pub(super) fn books(proxy: &Running, name: &str) -> Shadow {
    let (status, text) = proxy.call("GET", "/v1/shadows", "");
    assert_eq!(status, 200, "{text}");
    let shadows: Vec<Shadow> = serde_json::from_str(&text).expect("it is what the API says");
    shadows.into_iter().find(|shadow| shadow.name == name).expect("there is such a one")
}

pub(super) fn total(reasons: &BTreeMap<String, u64>) -> u64 {
    reasons.values().sum()
}

/// How many there are for a reason.
pub(super) fn of(reasons: &BTreeMap<String, u64>, why: &str) -> u64 {
    reasons.get(why).copied().unwrap_or(0)
}

/// Whether every picked request was copied or dropped, and every copy is somewhere.
fn adds_up(shadow: &Shadow) -> bool {
    let books = &shadow.accounting;
    let unkeyed = of(&books.dropped, "unkeyed");
    let ended = total(&books.failed) + total(&books.unpaired) + books.compared;
    books.eligible >= books.sampled + unkeyed
        && books.sampled + unkeyed == books.copied + total(&books.dropped)
        && books.copied == books.in_flight + ended
}

/// What the proxy says of a shadow once `count` requests have been picked and all copies are done
/// with.
#[track_caller]
pub(super) fn settled(proxy: &Running, name: &str, count: u64) -> Shadow {
    under_way(proxy, name, count, 0)
}

/// The same once all but `left` copies are done with. The books add up.
#[track_caller]
pub(super) fn under_way(proxy: &Running, name: &str, count: u64, left: u64) -> Shadow {
    let end = gnomon::clock::now() + e2e::PATIENCE;
    loop {
        let shadow = books(proxy, name);
        let books = &shadow.accounting;
        if books.sampled == count && books.in_flight == left && adds_up(&shadow) {
            return shadow;
        }
        assert!(gnomon::clock::now() < end, "expected {count} and {left} under way: {shadow:#?}");
        std::thread::park_timeout(std::time::Duration::from_millis(2));
    }
}

/// A request with a body whose length is told.
pub(super) fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_copy_is_the_same_request_with_a_mark() {
    on_each_driver(|driver| {
        let (primary, shadow) = (Origin::named("one"), Origin::named("two"));
        let proxy = Running::start(driver, &shadowed(&primary, &shadow, ""));
        let reply = proxy.ask(
            "GET /a/b?c=d&e HTTP/1.1\r\nhost: shop.example:81\r\ncookie: u=1; v=2\r\n\
             x-request-id: mine\r\nauthorization: Basic abc\r\nconnection: x-hop\r\nx-hop: 1\r\n\r\n",
        );
        assert_eq!(reply.text(), "one");
        let (asked, copied) = (primary.request(), shadow.request());
        assert_eq!(copied.line(), "GET /a/b?c=d&e HTTP/1.1");
        assert_eq!(copied.line(), asked.line());
        let same = ["host", "cookie", "authorization", "x-request-id", "x-forwarded-for", "via"];
        for name in same {
            assert!(asked.field(name).is_some(), "{name}: {asked:?}");
            assert_eq!(copied.field(name), asked.field(name), "{name}");
        }
        assert_eq!((asked.field("x-shadow"), copied.field("x-shadow")), (None, Some("new")));
        assert_eq!(copied.field("x-hop"), None);
        assert_eq!(settled(&proxy, "new", 1).accounting.compared, 1);
    });
}

#[test]
fn nothing_that_a_shadow_replies_reaches_a_client() {
    on_each_driver(|driver| {
        let primary = Origin::named("one");
        let shadow = Origin::replying(
            "HTTP/1.1 500 Broken\r\nset-cookie: a=b\r\nconnection: close\r\n\
             content-length: 8\r\n\r\nsomething",
        );
        let proxy = Running::start(driver, &shadowed(&primary, &shadow, ""));
        let mut client = proxy.connect();
        for _ in 0..20 {
            let reply = client.ask(GET);
            assert_eq!((reply.status(), reply.text().as_str()), (200, "one"));
            assert_eq!((reply.field("set-cookie"), reply.field("connection")), (None, None));
        }
        assert_eq!(settled(&proxy, "new", 20).accounting.compared, 20);
        assert_eq!(proxy.status().upstreams[0].versions[1].assigned, 0);
    });
}

#[test]
fn edits_are_made_on_the_copy_alone() {
    on_each_driver(|driver| {
        let (primary, shadow) = (Origin::named("one"), Origin::named("two"));
        let more = format!(
            "upstream.o.versions.v9 = {{ endpoints = [\"{}\"], \
             headers.request.set = {{ x-version = \"9\" }} }}\n\
             [shadow.other]\nfrom = \"shop\"\nto = \"o@v9\"\nwithout = [\"cookie\"]\n\
             mark = \"x-copy\"\nhost = \"endpoint\"\ntimeout = \"60s\"\nshed_at = \"100%\"\n\
             match.path = \"/a/*\"\nrewrite.replace_prefix = \"/z\"\n\
             [shadow.other.headers.request]\nset = {{ authorization = \"none\" }}\n\
             add = {{ x-more = \"2\" }}\nremove = [\"x-debug\"]\n",
            shadow.address()
        );
        let idle = Origin::named("three");
        let proxy = Running::start(driver, &shadowed(&primary, &idle, &more));
        let reply = proxy.ask(
            "GET /a/b?c=d HTTP/1.1\r\nhost: shop\r\ncookie: u=1\r\nauthorization: secret\r\n\
             x-more: 1\r\nx-debug: 1\r\n\r\n",
        );
        assert_eq!(reply.text(), "one");
        let (asked, copied) = (primary.request(), shadow.request());
        assert_eq!(asked.line(), "GET /a/b?c=d HTTP/1.1");
        assert_eq!(copied.line(), "GET /z/b?c=d HTTP/1.1");
        assert_eq!(copied.field("host"), Some(&*shadow.address().to_string()));
        assert_eq!((copied.field("cookie"), copied.field("x-debug")), (None, None));
        assert_eq!(copied.field("authorization"), Some("none"));
        assert_eq!(copied.fields("x-more").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(copied.field("x-version"), Some("9"));
        assert_eq!((copied.field("x-copy"), copied.field("x-shadow")), (Some("other"), None));
        let untouched = [("host", "shop"), ("cookie", "u=1"), ("authorization", "secret")];
        for (name, value) in untouched {
            assert_eq!(asked.field(name), Some(value));
            assert_eq!(idle.request().field(name), Some(value));
        }
        assert_eq!((asked.field("x-version"), asked.field("x-debug")), (None, Some("1")));
        settled(&proxy, "other", 1);
    });
}

#[test]
fn a_copy_may_name_a_host_of_its_own() {
    on_each_driver(|driver| {
        let (primary, shadow) = (Origin::named("one"), Origin::named("two"));
        let more = "shadow.new.host = \"staging.example\"\n\
                    shadow.new.rewrite = { strip_prefix = \"/a\" }\n\
                    shadow.new.match.path = \"/a/*\"\n";
        let proxy = Running::start(driver, &shadowed(&primary, &shadow, more));
        assert_eq!(proxy.get("/a/b"), "one");
        let copied = shadow.request();
        assert_eq!(copied.field("host"), Some("staging.example"));
        assert_eq!(copied.line(), "GET /b HTTP/1.1");
        assert_eq!(primary.request().field("host"), Some("a"));
    });
}

#[test]
fn several_shadows_of_a_route_each_get_their_copies() {
    on_each_driver(|driver| {
        let primary = Origin::named("one");
        let shadows: Vec<_> = (0..4).map(|_| Origin::named("two")).collect();
        let mut more = String::new();
        for (number, shadow) in shadows.iter().enumerate().skip(1) {
            more += &format!(
                "upstream.o{number}.versions.v = [\"{}\"]\nshadow.s{number} = {{ from = \"shop\", \
                 to = \"o{number}@v\", shed_at = \"100%\", timeout = \"60s\" }}\n",
                shadow.address()
            );
        }
        let proxy = Running::start(driver, &shadowed(&primary, &shadows[0], &more));
        let mut client = proxy.connect();
        for number in 0..10 {
            let request = format!("GET /{number} HTTP/1.1\r\nhost: a\r\n\r\n");
            assert_eq!(client.ask(request).text(), "one");
        }
        for (number, shadow) in shadows.iter().enumerate() {
            let name = if number == 0 { "new".to_owned() } else { format!("s{number}") };
            assert_eq!(settled(&proxy, &name, 10).accounting.compared, 10);
            let copies = shadow.requests();
            assert_eq!(copies.len(), 10);
            assert!(copies.iter().all(|copy| copy.field("x-shadow") == Some(&name)));
        }
    });
}

#[test]
fn a_key_picks_the_same_users_always() {
    on_each_driver(|driver| {
        let (primary, shadow) = (Origin::named("one"), Origin::named("two"));
        let more = "shadow.new.sample = \"30%\"\nshadow.new.by = \"cookie:uid\"\n\
                    shadow.new.in_flight = 4096\n";
        let proxy = Running::start(driver, &shadowed(&primary, &shadow, more));
        let mut client = proxy.connect();
        for user in (0..3).flat_map(|_| 0..200) {
            client.ask(format!("GET / HTTP/1.1\r\nhost: a\r\ncookie: uid=u{user}\r\n\r\n"));
        }
        for _ in 0..7 {
            client.ask(GET);
        }
        eventually("all are seen", || books(&proxy, "new").accounting.eligible == 607);
        let sampled = books(&proxy, "new").accounting.sampled;
        let books = settled(&proxy, "new", sampled).accounting;
        assert_eq!(of(&books.dropped, "unkeyed"), 7);
        assert_eq!((books.compared, total(&books.dropped)), (sampled, 7));
        let mut users = HashMap::<String, u32>::new();
        for copy in shadow.requests() {
            *users.entry(copy.field("cookie").unwrap_or_default().to_owned()).or_default() += 1;
        }
        assert!(users.values().all(|&times| times == 3), "{users:?}");
        assert_eq!(users.len() as u64 * 3, sampled);
        // Four standard errors.
        assert!((60 - 26..=60 + 26).contains(&users.len()), "{}", users.len());
    });
}

/// Asks for `path` so many times, a hundred at once.
fn ask_often(client: &mut Client, path: &str, count: usize) {
    let batch = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").repeat(100);
    for _ in 0..count / 100 {
        client.send(&batch);
        for _ in 0..100 {
            assert_eq!(client.read_reply().text(), "one");
        }
    }
}

#[test]
fn a_coin_picks_its_share_and_the_books_add_up_under_load() {
    on_each_driver(|driver| {
        let (primary, shadow) = (Origin::fast("one"), Origin::fast("two"));
        let more = "shadow.new.sample = \"0.001%\"\n";
        let proxy = Running::start(driver, &shadowed(&primary, &shadow, more));
        let mut client = proxy.connect();
        let (mut asked, mut picked, mut before) = (0, 0, "0.001%");
        for (text, share) in [("0.001%", 0.000_01), ("1%", 0.01), ("50%", 0.5), ("100%", 1.0)] {
            proxy.edit(&format!("sample = \"{before}\""), &format!("sample = \"{text}\""));
            proxy.reload().expect("it is right");
            before = text;
            let count = 5000;
            ask_often(&mut client, "/", count);
            asked += count as u64;
            eventually("all are seen", || books(&proxy, "new").accounting.eligible == asked);
            let sampled = books(&proxy, "new").accounting.sampled;
            let (expected, got) = (count as f64 * share, (sampled - picked) as f64);
            // Few of many are not spread as many are: three more.
            let most = 4.0 * (expected * (1.0 - share)).sqrt() + 3.0 * f64::from(share < 0.001);
            assert!((got - expected).abs() <= most, "{got} of {count} at {text}");
            picked = sampled;
            let books = settled(&proxy, "new", picked).accounting;
            assert_eq!((total(&books.failed), total(&books.unpaired)), (0, 0), "{books:?}");
        }
    });
}

#[test]
fn only_what_matches_is_copied() {
    on_each_driver(|driver| {
        let (primary, shadow) = (Origin::named("one"), Origin::named("two"));
        let more = "[shadow.new.match]\nhost = \"b.example\"\npath = \"/api/*\"\n\
                    header = { x-country = \"NO\" }\nquery = { v = \"2\" }\n\
                    cookie = { tier = \"gold\" }\nclient = [\"127.0.0.0/8\"]\n";
        let proxy = Running::start(driver, &shadowed(&primary, &shadow, more));
        let right = "GET /api/x?v=2 HTTP/1.1\r\nhost: b.example\r\nx-country: NO\r\n\
                     cookie: tier=gold\r\n\r\n";
        let wrong = [
            ("GET", "POST"),
            ("/api", "/other"),
            ("v=2", "v=3"),
            ("b.example", "c.example"),
            ("NO", "SE"),
            ("gold", "tin"),
        ];
        let mut client = proxy.connect();
        assert_eq!(client.ask(right).text(), "one");
        for (from, to) in wrong {
            assert_eq!(client.ask(right.replacen(from, to, 1)).text(), "one", "{to}");
        }
        assert_eq!(client.ask(right.replacen("GET", "HEAD", 1)).status(), 200);
        assert_eq!(settled(&proxy, "new", 2).accounting.eligible, 2);
        let mut lines: Vec<_> = shadow.requests().iter().map(|it| it.line().to_owned()).collect();
        lines.sort();
        assert_eq!(lines, ["GET /api/x?v=2 HTTP/1.1", "HEAD /api/x?v=2 HTTP/1.1"]);
    });
}

#[test]
fn what_a_route_forces_is_copied_only_on_purpose() {
    on_each_driver(|driver| {
        let (primary, shadow) = (Origin::named("one"), Origin::named("two"));
        let more = "route.pinned = { to = \"shop@v1\", match.path = \"/pinned\" }\n\
                    shadow.all = { from = \"shop@v1\", to = \"shop@v2\", forced = true, \
                    shed_at = \"100%\", timeout = \"60s\" }\n";
        let proxy = Running::start(driver, &shadowed(&primary, &shadow, more));
        assert_eq!((proxy.get("/pinned"), proxy.get("/")), ("one".to_owned(), "one".to_owned()));
        assert_eq!(settled(&proxy, "all", 2).accounting.eligible, 2);
        assert_eq!(settled(&proxy, "new", 1).accounting.eligible, 1);
    });
}

#[test]
fn what_is_no_exchange_is_never_copied() {
    on_each_driver(|driver| {
        let primary = Origin::start(|call, _| {
            while let Some(request) = call.read_request()? {
                if request.field("upgrade").is_some() {
                    call.reply(
                        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
                         upgrade: websocket\r\n\r\n",
                    )?;
                    return call.echo();
                }
                call.reply(ok("one"))?;
            }
            Ok(())
        });
        let shadow = Origin::named("two");
        let more = "route.moved = { match.path = \"/moved\", redirect.to = \"/\" }\n\
                    route.said = { match.path = \"/said\", respond.status = 204 }\n";
        let proxy = Running::start(driver, &shadowed(&primary, &shadow, more));
        let mut chat = proxy.connect();
        chat.send(
            "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        chat.expect_head("HTTP/1.1 101");
        assert_eq!(chat.send("hello").read_bytes(5), b"hello");
        assert!(matches!(proxy.status_of("/moved"), 301..=308));
        assert_eq!((proxy.status_of("/said"), proxy.status_of("/")), (204, 200));
        assert_eq!(settled(&proxy, "new", 1).accounting.eligible, 1);
        assert_eq!(shadow.request().line(), "GET / HTTP/1.1");
    });
}

#[test]
fn bodies_are_copied_however_they_come() {
    on_each_driver(|driver| {
        let (primary, shadow) = (Origin::named("one"), Origin::named("two"));
        let more = "shadow.new.match.method = [\"POST\", \"PUT\"]\n";
        let proxy = Running::start(driver, &shadowed(&primary, &shadow, more));
        let mut client = proxy.connect();
        assert_eq!(client.ask(post("/1", "told")).text(), "one");
        assert_eq!(client.ask(post("/2", "")).text(), "one");
        client
            .send("POST /3 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nin p\r\n");
        eventually("the body is under way", || primary.open() > 0);
        client.send("5\r\nieces\r\n0\r\nx-trailer: 1\r\n\r\n");
        assert_eq!(client.read_reply().text(), "one");
        let long = "0123456789abcdef".repeat(20_000);
        assert_eq!(client.ask(post("/4", &long)).text(), "one");
        client.send(
            "PUT /5 HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n",
        );
        client.send("later");
        while client.expect_head("HTTP/1.1 ").contains(" 100 ") {}
        assert_eq!(settled(&proxy, "new", 5).accounting.compared, 5);
        let mut copies = shadow.requests();
        copies.sort_by(|a, b| a.line().cmp(b.line()));
        let bodies: Vec<_> = copies.iter().map(|copy| copy.body.as_slice()).collect();
        assert_eq!(bodies, [b"told", &b""[..], b"in pieces", long.as_bytes(), b"later"]);
        for copy in &copies {
            assert_eq!(copy.field("content-length"), Some(&*copy.body.len().to_string()));
            assert_eq!((copy.field("transfer-encoding"), copy.field("expect")), (None, None));
        }
    });
}

#[test]
fn what_is_longer_than_the_cap_is_served_and_not_copied() {
    on_each_driver(|driver| {
        let (primary, shadow) = (Origin::named("one"), Origin::named("two"));
        let more = "shadow.new.match.method = \"POST\"\nshadow.new.body = \"1KiB\"\n\
                    shadow.wide = { from = \"shop@v1\", to = \"shop@v2\", body = \"2KiB\", \
                    match.method = \"POST\", shed_at = \"100%\", timeout = \"60s\" }\n";
        let proxy = Running::start(driver, &shadowed(&primary, &shadow, more));
        let mut client = proxy.connect();
        for length in [1024, 1025, 2048, 2049] {
            let body = "x".repeat(length);
            assert_eq!(client.ask(post("/", &body)).text(), "one");
            client.send(format!(
                "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n"
            ));
            let (first, rest) = body.split_at(500);
            client.send(first).send(rest).send("\r\n0\r\n\r\n");
            assert_eq!(client.read_reply().text(), "one");
        }
        let (narrow, wide) = (settled(&proxy, "new", 8), settled(&proxy, "wide", 8));
        assert_eq!(of(&narrow.accounting.dropped, "too_long"), 6);
        assert_eq!(of(&wide.accounting.dropped, "too_long"), 2);
        assert_eq!((narrow.accounting.compared, wide.accounting.compared), (2, 6));
        assert_eq!(shadow.requests().len(), 8);
        assert!(primary.requests().iter().all(|request| request.whole));
    });
}

#[test]
fn an_upload_does_not_wait_for_a_shadow_that_never_reads() {
    on_each_driver(|driver| {
        let primary = Origin::named("one");
        let shadow = Origin::start(|call, _| {
            call.read_head()?;
            call.never_read_again();
            Ok(())
        });
        let more = "shadow.new.match.method = \"POST\"\nshadow.new.body = \"16MiB\"\n";
        let proxy = Running::start(driver, &shadowed(&primary, &shadow, more));
        let body = "x".repeat(16 << 20);
        let mut client = proxy.connect();
        assert_eq!(client.ask(post("/", &body)).text(), "one");
        assert_eq!(primary.request().body.len(), body.len());
        eventually("the copy has begun", || !shadow.requests().is_empty());
        assert_eq!(under_way(&proxy, "new", 1, 1).accounting.copied, 1);
        assert_eq!(client.ask(GET).text(), "one");
    });
}

#[test]
fn a_long_upload_comes_whole() {
    on_each_driver(|driver| {
        let (primary, shadow) = (Origin::named("one"), Origin::named("two"));
        let more = "shadow.new.match.method = \"POST\"\nshadow.new.body = \"16MiB\"\n";
        let proxy = Running::start(driver, &shadowed(&primary, &shadow, more));
        let body = "0123456789abcdef".repeat(1 << 20);
        assert_eq!(proxy.ask(post("/", &body)).text(), "one");
        assert_eq!(settled(&proxy, "new", 1).accounting.compared, 1);
        assert!(shadow.request().body == body.as_bytes(), "the copy is not the same");
    });
}

#[test]
fn what_does_not_come_whole_is_not_copied() {
    on_each_driver(|driver| {
        let (primary, shadow) = (Origin::named("one"), Origin::named("two"));
        let more = "shadow.new.match.method = \"POST\"\n";
        let proxy = Running::start(driver, &shadowed(&primary, &shadow, more));
        let mut client = proxy.connect();
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf");
        eventually("it is under way", || books(&proxy, "new").accounting.sampled == 1);
        client.reset();
        let books = settled(&proxy, "new", 1).accounting;
        assert_eq!(of(&books.dropped, "incomplete"), 1, "{books:?}");
        assert_eq!(shadow.connections(), 0);
    });
}
