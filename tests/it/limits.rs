//! Bounds: on sizes, on numbers, on time.

use std::time::Duration;

use e2e::{Driver, Origin, Running, eventually, eventually::linger, on_each_driver, origin::ok};

use super::{GET, guest::Guest, to};

#[test]
fn heads_that_are_too_large_are_refused() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let more =
            "limits = { header_bytes = \"4KiB\", request_line_bytes = \"1KiB\", headers = 20 }\n";
        let proxy = Running::start(driver, &(to(&origin) + more));
        let long = "x".repeat(2000);
        let table = [
            (format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n"), 414),
            (format!("GET / HTTP/1.1\r\nhost: a\r\nx: {long}{long}{long}\r\n\r\n"), 431),
            (format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(20)), 431),
            (format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(19)), 200),
            (format!("GET /?{} HTTP/1.1\r\nhost: a\r\n\r\n", &long[..900]), 200),
        ];
        for (request, status) in table {
            let mut client = proxy.connect();
            assert_eq!(client.ask(&request).status(), status, "{} bytes", request.len());
            assert!(status == 200 || client.is_closed());
        }
    });
}

#[test]
fn bodies_that_are_too_large_are_refused() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let more = "limits.body = \"1KiB\"\n\
            route.big = { match.path = \"/big\", to = \"o\", limits.body = \"1MiB\" }\n";
        let proxy = Running::start(driver, &(to(&origin) + more));
        let post = |path: &str, count: usize| {
            let body = "x".repeat(count);
            format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {count}\r\n\r\n{body}")
        };
        assert_eq!(proxy.ask(post("/", 1024)).status(), 200);
        let mut client = proxy.connect();
        assert_eq!(client.ask(post("/", 1025)).status(), 413);
        assert!(client.is_closed());
        assert_eq!(proxy.ask(post("/big", 100_000)).status(), 200);
        let whole = origin.requests().iter().filter(|request| request.whole).count();
        assert_eq!(whole, 2);
        // Nobody knows how much is to come until it has.
        let mut client = proxy.connect();
        client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
        client.try_send(format!("800\r\n{}\r\n0\r\n\r\n", "x".repeat(0x800)));
        assert_eq!(client.read_reply().status(), 413);
        assert_eq!(origin.requests().iter().filter(|request| request.whole).count(), 2);
    });
}

#[test]
fn more_connections_than_allowed_wait_until_others_go() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let proxy = Running::start(driver, &(to(&origin) + "limits.connections = 2\n"));
        let mut first: Vec<_> = (0..2).map(|_| proxy.connect()).collect();
        for client in &mut first {
            assert_eq!(client.ask(GET).text(), "x");
        }
        let mut third = proxy.connect();
        third.send(GET);
        eventually("the proxy pauses", || proxy.sum(|core| core.accept_pauses) > 0);
        assert_eq!(proxy.sum(|core| core.accepted), 2);
        drop(first.pop());
        assert_eq!(third.read_reply().text(), "x");
    });
}

#[test]
fn a_connection_is_closed_after_its_last_allowed_request() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let more = "limits.requests_per_connection = 2\n";
        let proxy = Running::start(driver, &(to(&origin) + more));
        let mut client = proxy.connect();
        assert_eq!(client.ask(GET).field("connection"), None);
        assert_eq!(
            client.ask(GET).field("connection").map(str::to_lowercase).as_deref(),
            Some("close")
        );
        assert!(client.is_closed());
    });
}

#[test]
fn a_head_that_does_not_come_in_time_is_a_timeout() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let proxy = Running::start(driver, &(to(&origin) + "timeouts.header = \"300ms\"\n"));
        let mut client = proxy.connect();
        client.send("GET / HTTP/1.1\r\nhost:");
        assert_eq!(client.read_reply().status(), 408);
        assert!(client.is_closed());
        // Drop by drop is no better.
        let mut client = proxy.connect();
        let mut drops = GET.as_bytes().iter().cycle();
        eventually("the proxy has enough", || {
            let sent = client.try_send([drops.next().copied().unwrap_or(b'x')]);
            linger(Duration::from_millis(20));
            !sent || client.is_answered()
        });
        assert!(matches!(client.read_reply().status(), 408 | 0));
    });
}

#[test]
fn a_connection_that_says_nothing_is_closed_without_a_word() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let more = "timeouts = { header = \"300ms\", idle = \"300ms\" }\n";
        let proxy = Running::start(driver, &(to(&origin) + more));
        assert!(proxy.connect().is_closed());
        let mut client = proxy.connect();
        assert_eq!(client.ask(GET).status(), 200);
        assert!(client.is_closed());
    });
}

#[test]
fn a_body_that_stops_coming_is_a_timeout() {
    on_each_driver(|driver| {
        let origin = Origin::start(|call, _| {
            let head = call.read_head()?;
            call.read_body(&head).map(|_| ())
        });
        let proxy = Running::start(driver, &(to(&origin) + "timeouts.body = \"300ms\"\n"));
        let mut client = proxy.connect();
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf");
        assert_eq!(client.read_reply().status(), 408);
        assert!(client.is_closed());
        eventually("the origin's connection ends", || origin.open() == 0);
        assert!(!origin.request().whole);
    });
}

#[test]
fn an_origin_that_does_not_reply_in_time_is_a_gateway_timeout() {
    on_each_driver(|driver| {
        let origin = Origin::start(|call, _| {
            call.read_head()?;
            call.drain();
            Ok(())
        });
        let more = "route.all.timeouts.response = \"300ms\"\n";
        let proxy = Running::start(driver, &(to(&origin) + more));
        let mut client = proxy.connect();
        assert_eq!(client.ask(GET).status(), 504);
        eventually("the origin's connection ends", || origin.open() == 0);
        assert_eq!(origin.requests().len(), 1, "a timeout is not retried");
    });
}

#[test]
fn a_reply_that_stops_coming_is_cut() {
    on_each_driver(|driver| {
        let origin = Origin::start(|call, _| {
            call.read_head()?;
            call.reply("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")?;
            call.drain();
            Ok(())
        });
        let proxy = Running::start(driver, &(to(&origin) + "timeouts.body = \"300ms\"\n"));
        let mut client = proxy.connect();
        let reply = client.ask(GET);
        assert_eq!((reply.status(), reply.whole), (200, false));
        assert!(client.is_closed());
        eventually("the origin's connection ends", || origin.open() == 0);
    });
}

#[test]
fn a_whole_exchange_may_have_a_deadline() {
    on_each_driver(|driver| {
        let origin = Origin::start(|call, _| {
            call.read_head()?;
            call.reply("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            loop {
                call.reply("1\r\nx\r\n")?;
                linger(Duration::from_millis(20));
            }
        });
        let proxy = Running::start(driver, &(to(&origin) + "timeouts.request = \"500ms\"\n"));
        let mut client = proxy.connect();
        let reply = client.ask(GET);
        assert_eq!((reply.status(), reply.whole), (200, false));
    });
}

#[test]
fn a_process_without_file_descriptors_recovers_when_there_are_some() {
    // One after the other: both starve.
    for driver in Driver::all() {
        let origin = Origin::start(|call, _| {
            while let Some(request) = call.read_request()? {
                call.reply(ok(&format!("{} bytes", request.body.len())))?;
            }
            Ok(())
        });
        let config = format!(
            "runtime.driver = \"{}\"\nlimits.connections = 1000\ntimeouts.body = \"600s\"\n{}",
            driver.name(),
            to(&origin)
        );
        let proxy = Guest::start_by(&["sh", "-c", "ulimit -n 40; exec \"$0\" \"$@\""], &config);
        let mut before = proxy.connect();
        before.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhal");
        eventually("it is under way", || origin.open() == 1);
        let crowd: Vec<_> = (0..100).map(|_| proxy.connect()).collect();
        eventually("there are none left", || proxy.files() >= 38);
        // Who is being served is served on, and who is not waits, or is closed.
        before.send("ff");
        assert_eq!(before.read_reply().text(), "5 bytes");
        drop(crowd);
        eventually("whoever comes is served again", || {
            let mut after = proxy.connect();
            let reply = after.try_send(GET).then(|| after.try_read_reply_to("GET"));
            matches!(reply, Some(Ok(reply)) if reply.status() == 200)
        });
    }
}
