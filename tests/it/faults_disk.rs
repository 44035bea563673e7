//! A disk that is full, and has room again: a small file system of the test's own.

use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
};

use e2e::{Origin, eventually, on_each_driver};
use gnomon::control::api::Status;

use super::{
    GET,
    guest::{Guest, may_unshare},
    shadow::shadowed,
    to,
};

/// Runs the rest of its arguments with a disk of its own of 2 MiB over the folder of the state.
const SMALL_DISK: [&str; 6] = [
    "unshare",
    "-rm",
    "sh",
    "-c",
    "for last; do :; done; at=$(dirname \"$last\")/state; mkdir -p \"$at\"; \
     mount -t tmpfs -o size=2m none \"$at\"; exec \"$@\"",
    "sh",
];

/// The small disk as seen from here.
fn disk(guest: &Guest) -> PathBuf {
    let inside = guest.folder().join("state");
    let inside = inside.strip_prefix("/").expect("it is absolute");
    PathBuf::from(format!("/proc/{}/root", guest.pid())).join(inside)
}

fn status(guest: &Guest) -> Status {
    serde_json::from_str(&guest.get("/v1/status").1).expect("it is what the API says")
}

/// Writes until nothing fits any more.
fn fill(path: PathBuf) {
    let mut file = File::create(path).expect("the disk can be written");
    while file.write_all(&[7; 4096]).is_ok() {}
    while file.write_all(&[7]).is_ok() {}
}

#[test]
fn a_full_disk_costs_lines_and_no_replies_and_all_goes_on_once_there_is_room() {
    if !may_unshare() {
        return;
    }
    on_each_driver(|driver| {
        let (primary, shadow) = (Origin::named("one"), Origin::named("two"));
        let more = "access_log = { to = \"{folder}/state/access.log\", format = \"common\" }\n\
                    log = { level = \"info\", to = \"{folder}/own.log\" }\n";
        let config = shadowed(&primary, &shadow, more);
        let proxy = Guest::start_on(driver, &SMALL_DISK, &config);
        let mut client = proxy.connect();
        let mut ask = |path: &str| {
            let reply = client.ask(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
            assert_eq!((reply.status(), reply.text().as_str()), (200, "one"));
        };
        let log = || fs::read_to_string(disk(&proxy).join("access.log")).unwrap_or_default();
        ask("/before");
        eventually("it is written", || log().contains("/before"));
        eventually("the store is there", || disk(&proxy).join("shadow.db").exists());

        let waste = disk(&proxy).join("waste");
        fill(waste.clone());
        eventually("the log's failures are counted", || {
            ask("/meanwhile");
            status(&proxy).access_log.failures > 0
        });
        eventually("the store's failures are counted", || {
            ask("/meanwhile");
            status(&proxy).shadow.store.failures > 0
        });
        assert!(status(&proxy).shadow.store.trouble);
        let own = || fs::read_to_string(proxy.folder().join("own.log")).unwrap_or_default();
        eventually("it is said", || own().contains("the access log cannot be written"));
        assert_eq!(proxy.get("/livez").0, 200);

        fs::remove_file(waste).expect("it is there");
        ask("/after");
        eventually("lines are written again", || log().contains("/after"));
        eventually("the store is written again", || !status(&proxy).shadow.store.trouble);
    });
}

#[test]
fn a_log_of_its_own_that_takes_nothing_stops_nobody() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let more = "log = { level = \"trace\", to = \"/dev/full\" }\n\
                    access_log = { to = \"/dev/full\" }\n";
        let proxy = Guest::start_on(driver, &[], &(to(&origin) + more));
        let mut client = proxy.connect();
        for _ in 0..50 {
            assert_eq!(client.ask(GET).text(), "x");
        }
        let (code, text) = proxy.call("POST", "/v1/reload");
        assert_eq!(code, 200, "{text}");
        eventually("it is counted", || status(&proxy).access_log.failures > 0);
        let (_, metrics) = proxy.get("/metrics");
        let counted = metrics.lines().any(|line| {
            line.starts_with("gnomon_access_log_failures_total") && !line.ends_with(" 0")
        });
        assert!(counted, "{metrics}");
    });
}
