//! Exchanges shown as they end: to whom, how much, and until when.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
};

use e2e::{Origin, Running, eventually, on_each_driver};
use gnomon::control::api::Status;
use serde_json::Value;

use super::{between, to};

/// Somebody who looks.
struct Viewer(BufReader<UnixStream>);

impl Viewer {
    /// Begins to look; the reply's head has come, so that nothing that ends from now on is missed.
    #[track_caller]
    fn begin(proxy: &Running, query: &str) -> Self {
        let socket = proxy.folder().join("admin.sock");
        let mut stream = UnixStream::connect(socket).expect("it listens");
        let asked = format!("GET /v1/tap?{query} HTTP/1.0\r\nhost: localhost\r\n\r\n");
        stream.write_all(asked.as_bytes()).expect("it reads");
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            assert_ne!(reader.read_line(&mut line).expect("it answers"), 0);
        }
        Self(reader)
    }

    /// The next line; `None` at the end, which comes with the connection's.
    fn next(&mut self) -> Option<Value> {
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap_or(0) == 0 {
                return None;
            }
            if line.starts_with('{') {
                return Some(serde_json::from_str(&line).expect("it is JSON"));
            }
        }
    }
}

fn viewers(proxy: &Running) -> bool {
    proxy.snapshot().viewed
}

#[test]
fn who_looks_sees_what_passes_the_filter_and_no_secret() {
    on_each_driver(|driver| {
        let origin = Origin::start(|call, _| {
            while let Some(request) = call.read_request()? {
                let status =
                    if request.line().contains("/broken") { "503 Broken" } else { "200 OK" };
                call.reply(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n"))?;
            }
            Ok(())
        });
        // There is no access log.
        let proxy = Running::start(driver, &to(&origin));
        assert!(!viewers(&proxy), "nobody looks");
        let mut all = Viewer::begin(&proxy, "count=3");
        let mut broken = Viewer::begin(&proxy, "status=5xx&path=/broken&count=1");
        let _ = proxy.get("/a?token=secret&b=1");
        let _ = proxy.get("/broken");
        let _ = proxy.get("/c");
        let seen: Vec<Value> = std::iter::from_fn(|| all.next()).collect();
        let [a, b, c, end] = seen.as_slice() else { panic!("{seen:?}") };
        assert_eq!((&a["path"], &a["query"]), (&"/a".into(), &"token=<redacted>&b=1".into()));
        assert_eq!((&b["status"], &b["upstream"]), (&503.into(), &"o".into()));
        assert_eq!((&c["path"], &c["arm"]), (&"/c".into(), &"stable".into()));
        assert_eq!(end["end"], "count");
        let seen: Vec<Value> = std::iter::from_fn(|| broken.next()).collect();
        assert_eq!(seen[0]["path"], "/broken");
        eventually("the cores go back to writing nothing", || !viewers(&proxy));
        assert_eq!(proxy.status().access_log.drops, 0);
    });
}

#[test]
fn versions_and_arms_are_told_apart() {
    on_each_driver(|driver| {
        let (stable, canary) = (Origin::named("v1"), Origin::named("v2"));
        let config = between(&stable, &canary, 50.0);
        let proxy = Running::start(driver, &config);
        let mut canaries = Viewer::begin(&proxy, "arm=canary&count=2");
        let mut first = Viewer::begin(&proxy, "upstream=shop%40v1&count=2");
        for _ in 0..100 {
            let _ = proxy.get("/");
        }
        for (viewer, version) in [(&mut canaries, "v2"), (&mut first, "v1")] {
            for _ in 0..2 {
                assert_eq!(viewer.next().expect("there are some")["version"], version);
            }
        }
    });
}

#[test]
fn who_reads_too_slowly_loses_lines_and_is_told() {
    on_each_driver(|driver| {
        let proxy = Running::start(driver, "route.all.respond.status = 204\n");
        let mut viewer = Viewer::begin(&proxy, "");
        let mut client = proxy.connect();
        let dropped = || {
            let (_, page) = proxy.call("GET", "/metrics", "");
            let start = "gnomon_viewer_lines_total{result=\"dropped\"} ";
            let found = page.lines().find_map(|line| line.strip_prefix(start)).map(str::to_owned);
            found.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0)
        };
        let path = "x".repeat(1500);
        // More than the viewer's queue and all on the way to it hold: the ring may lose some before them.
        let mut asked = 0;
        eventually("lines are lost", || {
            for _ in 0..1000 {
                client.send(format!("GET /{path} HTTP/1.1\r\nhost: a\r\n\r\n"));
                assert_eq!(client.read_reply().status(), 204);
            }
            asked += 1000;
            asked >= 6000 && dropped() > 0
        });
        let told = std::iter::from_fn(|| viewer.next()).find_map(|line| line["dropped"].as_u64());
        assert!(told.is_some_and(|told| told > 0));
    });
}

#[test]
fn only_so_many_may_look_and_who_leaves_makes_room() {
    on_each_driver(|driver| {
        let proxy = Running::start(driver, "route.all.respond.status = 204\n");
        let viewers_: Vec<_> = (0..8).map(|_| Viewer::begin(&proxy, "")).collect();
        let (status, answer) = proxy.call("GET", "/v1/tap?count=1", "");
        assert_eq!(status, 409, "{answer}");
        let (status, answer) = proxy.call("GET", "/v1/tap?status=wrong", "");
        assert_eq!(status, 400, "{answer}");
        drop(viewers_);
        eventually("they are gone", || !viewers(&proxy));
        let mut again = Viewer::begin(&proxy, "count=1");
        let _ = proxy.get("/");
        assert_eq!(again.next().expect("it is shown")["status"], 204);
    });
}

#[test]
fn a_look_ends_with_the_proxy_and_the_log_is_not_the_worse_for_it() {
    on_each_driver(|driver| {
        let more = "access_log.to = \"{folder}/access.log\"\naccess_log.only.path = [\"/a\"]\n";
        let config = format!("route.all.respond.status = 204\n{more}");
        let proxy = Running::start(driver, &config);
        let mut viewer = Viewer::begin(&proxy, "");
        let _ = proxy.get("/a");
        let _ = proxy.get("/b");
        assert_eq!(viewer.next().expect("it is shown")["path"], "/a");
        assert_eq!(viewer.next().expect("it is shown")["path"], "/b");
        let log = proxy.folder().join("access.log");
        let text = || std::fs::read_to_string(&log).unwrap_or_default();
        eventually("the line is written", || text().contains("/a"));
        assert!(!text().contains("/b"), "{}", text());
        let status: Status = proxy.status();
        assert_eq!(status.access_log.lines, 1);
        drop(proxy);
        assert!(viewer.next().is_none_or(|last| last["end"] == "leaving"));
    });
}
