//! Which exchanges the access log has, and which fields.

use e2e::{Origin, Running, eventually, on_each_driver};

use super::to;

/// An origin that answers with the status that the path names.
fn origin() -> Origin {
    Origin::start(|call, _| {
        while let Some(request) = call.read_request()? {
            let path = request.line().split(' ').nth(1).unwrap_or("/200").to_owned();
            let status: u16 = path[1..].parse().unwrap_or(200);
            call.reply(format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n"))?;
        }
        Ok(())
    })
}

/// The paths that are written, once the last of what was asked is.
fn written(driver: e2e::Driver, settings: &str, asked: &[&str]) -> Vec<String> {
    let origin = origin();
    let more = format!("access_log.to = \"{{folder}}/access.log\"\n{settings}\n");
    let proxy = Running::start(driver, &(to(&origin) + &more));
    for path in asked {
        let _ = proxy.status_of(path);
    }
    let read = || std::fs::read_to_string(proxy.folder().join("access.log")).unwrap_or_default();
    let last = format!("\"path\":\"{}\"", asked.last().expect("something is asked"));
    eventually("the log is written", || read().contains(&last));
    let path = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).expect("it is JSON");
        line["path"].as_str().unwrap_or_default().to_owned()
    };
    read().lines().map(path).collect()
}

#[test]
fn the_log_has_what_it_is_told_to_have() {
    on_each_driver(|driver| {
        let rows: [(&str, &[&str], &[&str]); 6] = [
            (
                "access_log.only.status = [\"5xx\", \"404\"]",
                &["/200", "/404", "/302", "/503"],
                &["/404", "/503"],
            ),
            (
                "access_log.except.path = [\"/healthz\"]",
                &["/healthz", "/healthz/x", "/200"],
                &["/200"],
            ),
            ("access_log.except.status = \"3xx\"", &["/302", "/200"], &["/200"]),
            (
                "access_log.only.upstream = \"o@v1\"\naccess_log.except.method = \"POST\"",
                &["/200", "/201"],
                &["/200", "/201"],
            ),
            // Filters hold whatever is always written; only the sample does not.
            (
                "access_log.sample = \"0%\"\naccess_log.always = \"5xx\"\naccess_log.except.path = \"/500\"",
                &["/200", "/500", "/503"],
                &["/503"],
            ),
            ("access_log.sample = \"0%\"\nroute.all.log_sample = \"100%\"", &["/200"], &["/200"]),
        ];
        for (settings, asked, expected) in rows {
            assert_eq!(written(driver, settings, asked), expected, "{settings}");
        }
    });
}

#[test]
fn fields_that_are_left_out_are_not_there() {
    on_each_driver(|driver| {
        let origin = origin();
        let more = "access_log.to = \"{folder}/access.log\"\n\
                    access_log.fields.keep = [\"path\", \"status\", \"arm\"]\n";
        let proxy = Running::start(driver, &(to(&origin) + more));
        let _ = proxy.status_of("/200");
        let read =
            || std::fs::read_to_string(proxy.folder().join("access.log")).unwrap_or_default();
        eventually("the log is written", || read().ends_with('\n'));
        let line = read();
        let rest = line.split_once("Z\",").map(|(_, rest)| rest.to_owned());
        assert_eq!(
            rest.as_deref(),
            Some("\"path\":\"/200\",\"status\":200,\"arm\":\"stable\"}\n"),
            "{line}"
        );
    });
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() {
    on_each_driver(|driver| {
        let origin = origin();
        let rows = [
            ("access_log.only.status = \"6xx\"", "names no statuses"),
            ("access_log.only.route = \"al\"", "did you mean `all`?"),
            ("access_log.only.upstream = \"o@v2\"", "has no version `v2`"),
            ("access_log.only.arm = \"shadow\"", "none of the words"),
            ("access_log.except.min = \"1s\"", "min"),
            ("access_log.fields = { keep = \"path\", leave_out = \"host\" }", "exclude each other"),
            ("access_log.fields.leave_out = \"user_agents\"", "did you mean \"user_agent\"?"),
            ("trace.otlp.queue = 600", "has no `endpoint`"),
            ("trace.otlp.endpoint = \"127.0.0.1:4318\"", "is not a collector's address"),
        ];
        for (settings, expected) in rows {
            let refused = Running::try_start(driver, &(to(&origin) + settings + "\n"));
            let told = refused.err().map(|it| it.to_string()).unwrap_or_default();
            assert!(told.contains(expected), "{settings}: {told}");
        }
    });
}
