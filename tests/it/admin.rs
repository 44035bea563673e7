//! What the proxy says of itself.

use e2e::{Origin, Running, eventually, on_each_driver};
use gnomon::control::api::Status;

use super::{GET, to};

#[test]
fn it_is_live_and_ready_when_it_serves() {
    on_each_driver(|driver| {
        let proxy = Running::start(driver, "route.all.respond.status = 204\n");
        for path in ["/livez", "/readyz", "/healthz"] {
            assert_eq!(proxy.call("GET", path, "").0, 200, "{path}");
        }
        let (_, text) = proxy.call("GET", "/readyz?verbose", "");
        assert!(text.lines().count() > 1, "{text}");
        assert_eq!(proxy.call("GET", "/nowhere", "").0, 404);
        assert_eq!(proxy.call("GET", "/v1/reload", "").0, 405);
    });
}

#[test]
fn the_driver_that_was_asked_for_is_the_driver_that_runs() {
    on_each_driver(|driver| {
        let proxy = Running::start(driver, "route.all.respond.status = 204\n");
        let status = proxy.status();
        assert!(status.cores[0].driver.starts_with(driver.name()), "{:?}", status.cores);
    });
}

#[test]
fn status_counts_what_happened() {
    on_each_driver(|driver| {
        let origin = Origin::named("hello");
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        for _ in 0..3 {
            client.ask(GET);
        }
        client.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 7\r\n\r\n1234567");
        // An exchange is counted once its reply is out.
        let counted = |status: &Status| status.upstreams[0].versions[0].latency.count == 4;
        eventually("all are counted", || counted(&proxy.status()));
        let status = proxy.status();
        let version = &status.upstreams[0].versions[0];
        assert_eq!((version.assigned, version.classes), (4, [0, 4, 0, 0, 0]));
        assert_eq!((version.request_bytes, version.response_bytes), (7, 20));
        assert_eq!((version.in_flight, version.latency.count), (0, 4));
        let p99 = version.latency.p99_seconds.unwrap_or_default();
        assert!(p99 > 0.0 && p99 < 20.0, "{p99}");
        let core = &status.cores[0];
        assert_eq!((core.requests, core.accepted, core.connections, core.dials), (4, 1, 1, 1));
        assert_eq!((version.endpoints[0].requests, version.endpoints[0].idle), (4, 1));
    });
}

#[test]
fn the_configuration_in_force_can_be_read_back() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let proxy = Running::start(driver, &to(&origin));
        let (status, text) = proxy.call("GET", "/v1/config", "");
        assert_eq!(status, 200);
        assert!(text.contains(&origin.address().to_string()), "{text}");
        proxy.edit("route.all.to", "route.every.to");
        let (status, diff) = proxy.call("GET", "/v1/diff", "");
        assert_eq!(status, 200);
        assert!(diff.contains("route.every"), "{diff}");
        assert_eq!(proxy.status().generation, 1, "a diff changes nothing");
    });
}

#[test]
fn failures_are_counted_by_their_reason() {
    on_each_driver(|driver| {
        let origin = Origin::start(|call, number| {
            call.read_head()?;
            match number {
                0 => call.reply("garbage\r\n\r\n"),
                1 => Ok(()),
                _ => {
                    call.drain();
                    Ok(())
                }
            }
        });
        let more = "timeouts.response = \"300ms\"\nupstream.o.retry.attempts = 0\n\
                    upstream.o.eject.after = 0\n";
        let proxy = Running::start(driver, &(to(&origin) + more));
        for expected in [502, 502, 504] {
            assert_eq!(proxy.status_of("/"), expected);
        }
        let failures = || proxy.status().upstreams[0].versions[0].failures;
        eventually("all are counted", || failures().timeout == 1);
        let failures = failures();
        assert_eq!((failures.protocol, failures.reset, failures.timeout), (1, 1, 1));
        assert_eq!(failures.connect, 0);
    });
}
