//! The access log: a line per exchange, in the form that was asked for.

use e2e::{Origin, Running, eventually, on_each_driver};

use super::to;

/// The lines of the log, once there are so many.
fn lines(proxy: &Running, count: usize) -> Vec<String> {
    let path = proxy.folder().join("access.log");
    let read = || std::fs::read_to_string(&path).unwrap_or_default();
    eventually("the log is written", || read().lines().count() >= count);
    read().lines().map(str::to_owned).collect()
}

const REQUEST: &str = "GET /cart?id=1&token=secret HTTP/1.1\r\nhost: shop.example\r\n\
                       user-agent: test \"agent\"\r\nreferer: http://r.example/\r\n\r\n";

#[test]
fn a_line_of_json_says_what_happened() {
    on_each_driver(|driver| {
        let origin = Origin::named("hello");
        let more = "access_log.to = \"{folder}/access.log\"\n";
        let proxy = Running::start(driver, &(to(&origin) + more));
        assert_eq!(proxy.ask(REQUEST).status(), 200);
        let line: serde_json::Value =
            serde_json::from_str(&lines(&proxy, 1)[0]).expect("it is JSON");
        let table = [
            ("method", "GET".into()),
            ("host", "shop.example".into()),
            ("path", "/cart".into()),
            ("query", "id=1&token=<redacted>".into()),
            ("status", 200.into()),
            ("sent_bytes", 5.into()),
            ("route", "all".into()),
            ("upstream", "o".into()),
            ("version", "v1".into()),
            ("attempts", 1.into()),
            ("end", "--".into()),
            ("user_agent", "test \"agent\"".into()),
            ("client", "127.0.0.1".into()),
            ("endpoint", origin.address().to_string().into()),
        ];
        for (key, expected) in table {
            let expected: serde_json::Value = expected;
            assert_eq!(line[key], expected, "{key} of {line}");
        }
        assert_eq!(line["request_id"].as_str(), origin.request().field("x-request-id"));
    });
}

#[test]
fn every_format_writes_a_line() {
    on_each_driver(|driver| {
        for (format, expected) in [
            ("logfmt", "method=GET"),
            ("common", "\"GET /cart?id=1&token=<redacted> HTTP/1.1\" 200 5"),
            ("combined", "\"http://r.example/\" \"test \\\"agent\\\"\""),
            ("ecs", "\"http.request.method\":\"GET\""),
        ] {
            let origin = Origin::named("hello");
            let more = format!(
                "access_log = {{ to = \"{{folder}}/access.log\", format = \"{format}\" }}\n"
            );
            let proxy = Running::start(driver, &(to(&origin) + &more));
            let _ = proxy.ask(REQUEST);
            let line = &lines(&proxy, 1)[0];
            assert!(line.contains(expected), "{expected:?} is not in {line:?}");
            assert!(!line.contains("secret"), "{line}");
        }
    });
}

#[test]
fn the_end_of_an_exchange_has_two_letters() {
    on_each_driver(|driver| {
        let origin = Origin::start(|call, number| {
            call.read_head()?;
            match number {
                0 => call.reply("garbage\r\n\r\n"),
                1 => call.reply("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"),
                _ => {
                    call.drain();
                    Ok(())
                }
            }
        });
        let more = "access_log.to = \"{folder}/access.log\"\ntimeouts.response = \"300ms\"\n\
                    upstream.o.retry.attempts = 0\n";
        let proxy = Running::start(driver, &(to(&origin) + more));
        let end = |count: usize| {
            let line = lines(&proxy, count).pop().unwrap_or_default();
            let line: serde_json::Value = serde_json::from_str(&line).expect("it is JSON");
            (line["end"].as_str().unwrap_or_default().to_owned(), line["status"].clone())
        };
        assert_eq!(proxy.status_of("/"), 502);
        assert_eq!(end(1), ("OH".to_owned(), 502.into()));
        let _ = proxy.connect().send(super::GET).read_rest();
        assert_eq!(end(2), ("OD".to_owned(), 200.into()));
        assert_eq!(proxy.status_of("/"), 504);
        assert_eq!(end(3), ("Oh".to_owned(), 504.into()));
        let _ = proxy.ask("GET / HTTP/1.1\r\nbad field\r\n\r\n");
        assert_eq!(end(4), ("CR".to_owned(), 400.into()));
    });
}

#[test]
fn a_log_that_was_moved_away_is_opened_anew() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let more = "access_log.to = \"{folder}/access.log\"\n";
        let proxy = Running::start(driver, &(to(&origin) + more));
        let _ = proxy.get("/before");
        assert!(lines(&proxy, 1)[0].contains("/before"));
        let log = proxy.folder().join("access.log");
        std::fs::rename(&log, proxy.folder().join("access.log.1")).expect("it is there");
        proxy.act("/v1/logs/reopen", "");
        let _ = proxy.get("/after");
        assert!(lines(&proxy, 1)[0].contains("/after"));
    });
}

#[test]
fn of_a_sample_only_what_matters_is_always_written() {
    on_each_driver(|driver| {
        let more = "access_log = { to = \"{folder}/access.log\", sample = \"0%\" }\n\
            route.bad = { match.path = \"/bad\", respond.status = 500 }\n\
            route.all.respond.status = 204\n";
        let proxy = Running::start(driver, more);
        for path in ["/", "/", "/bad", "/"] {
            let _ = proxy.status_of(path);
        }
        let lines = lines(&proxy, 1);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("\"status\":500"), "{lines:?}");
    });
}
