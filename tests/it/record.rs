//! Exchanges recorded as they pass, and sent once more.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    thread,
};

use e2e::{Driver, Origin, PATIENCE, Running, eventually, on_each_driver};
use gnomon_shadow::recording::{End, Recorded, Recording};
use serde_json::Value;

use super::to;

const SECRET: &str = "s3cr3t-T0ken";

/// Answers with JSON that repeats the request's target and its credentials; `shade` is what items
/// below ten say beside.
fn origin(shade: &'static str) -> Origin {
    Origin::start(move |call, _| {
        while let Some(request) = call.read_request()? {
            let target = request.line().split(' ').nth(1).unwrap_or_default();
            let said = request.field("authorization").unwrap_or("nobody");
            let number = target.rsplit('/').next().unwrap_or_default();
            let number = number.split('?').next().unwrap_or_default();
            let shade = if number.len() == 1 { shade } else { "green" };
            let body = format!(
                "{{\"number\":\"{number}\",\"shade\":\"{shade}\",\"price\":1.10,\
                 \"token\":\"{SECRET}\",\"greeting\":\"hello {said}\"}}"
            );
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nset-cookie: sid={SECRET}\r\n\
                 content-length: {}\r\n\r\n",
                body.len()
            );
            call.reply(head + &body)?;
        }
        Ok(())
    })
}

fn request(number: usize) -> String {
    let fields = format!("host: shop.example\r\nauthorization: Bearer {SECRET}\r\n");
    if number % 5 == 4 {
        let body = format!("{{\"password\":\"{SECRET}\",\"n\":{number}}}");
        return format!(
            "POST /carts/{number} HTTP/1.1\r\n{fields}content-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
    }
    let line = format!("GET /items/{number}?token={SECRET}&a=b HTTP/1.1\r\n");
    format!("{line}{fields}cookie: uid={SECRET}\r\n\r\n")
}

/// The command line, in a process of its own.
struct Gnomon(Child);

impl Gnomon {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guest"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().expect("it can be started"))
    }

    /// `gnomon record`, once the proxy goes by it.
    #[track_caller]
    fn record(proxy: &Running, file: &Path, more: &[&str]) -> Self {
        let socket = proxy.folder().join("admin.sock").display().to_string();
        let file = file.display().to_string();
        let all = [&["record", "--socket", &socket, "--to", &file], more].concat();
        let recording = Self::start(&all);
        eventually("it records", || proxy.status().shadow.recording && Path::new(&file).exists());
        recording
    }

    /// Exit code, stdout, stderr.
    #[track_caller]
    fn end(mut self) -> (i32, String, String) {
        let due = gnomon::clock::now() + PATIENCE;
        let code = loop {
            match self.0.try_wait().expect("it is a child") {
                Some(status) => break status.code().unwrap_or(-1),
                None if gnomon::clock::now() > due => {
                    let _ = self.0.kill();
                    panic!("it does not end");
                }
                None => thread::park_timeout(std::time::Duration::from_millis(5)),
            }
        };
        let (mut data, mut messages) = (String::new(), String::new());
        let (stdout, stderr) = (self.0.stdout.take(), self.0.stderr.take());
        stdout.expect("it is piped").read_to_string(&mut data).expect("it is text");
        stderr.expect("it is piped").read_to_string(&mut messages).expect("it is text");
        (code, data, messages)
    }
}

/// Clients that ask until `until` says so; all must be answered. How many requests there were.
#[track_caller]
fn drive(proxy: &Running, mut until: impl FnMut() -> bool) -> usize {
    let (is_over, next) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let ask = || {
                    let mut client = proxy.connect();
                    while !is_over.load(SeqCst) {
                        let number = next.fetch_add(1, SeqCst);
                        assert_eq!(client.ask(request(number)).status(), 200);
                    }
                };
                thread::Builder::new().spawn_scoped(scope, ask).expect("there is room")
            })
            .collect();
        let due = gnomon::clock::now() + PATIENCE;
        while !until() && gnomon::clock::now() < due {
            thread::park_timeout(std::time::Duration::from_millis(2));
        }
        is_over.store(true, SeqCst);
        clients.into_iter().for_each(|client| client.join().expect("all are answered"));
    });
    assert!(until(), "in vain");
    next.into_inner()
}

fn read(file: &Path) -> (Vec<Recorded>, Option<End>) {
    let mut recording = Recording::open(File::open(file).expect("it is there")).expect("a capture");
    let mut all = Vec::new();
    while let Some(one) = recording.next_exchange().expect("nothing is damaged") {
        all.push(one);
    }
    (all, recording.end().cloned())
}

fn text(file: &Path) -> String {
    let mut text = String::new();
    let file = File::open(file).expect("it is there");
    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).expect("it is text");
    text
}

/// Records so many exchanges.
#[track_caller]
fn capture(driver: Driver, count: usize) -> (PathBuf, Running) {
    let origin = origin("green");
    let proxy = Running::start(driver, &to(&origin));
    let file = proxy.folder().join("shop.capture");
    let recording = Gnomon::record(&proxy, &file, &["--count", &count.to_string()]);
    drive(&proxy, || !proxy.status().shadow.recording);
    let (code, _, messages) = recording.end();
    assert_eq!(code, 0, "{messages}");
    (file, proxy)
}

#[test]
fn what_passes_is_recorded_without_its_secrets() {
    on_each_driver(|driver| {
        let (file, _proxy) = capture(driver, 100);
        let text = text(&file);
        assert!(!text.contains(SECRET) && !text.contains("s3cr3t"), "{text}");
        let (all, end) = read(&file);
        let end = end.expect("it has its last line");
        assert_eq!((all.len(), end.written, &*end.why), (100, 100, "count"));
        assert!(end.eligible >= end.sampled && end.sampled >= 100, "{end:?}");
        for one in &all {
            let reply = one.reply.as_ref().expect("all were answered");
            let number = one.request.target.split(['/', '?']).nth(2).unwrap_or_default();
            assert!(reply.body.data.contains(&format!("\"number\":\"{number}\"")), "{one:?}");
            assert_eq!((reply.status, &*one.route), (200, "all"));
            assert_eq!(one.request.field("host"), Some("shop.example"));
            assert_eq!(one.request.field("authorization"), None, "it was redacted");
        }
        assert!(all.iter().any(|one| one.request.method == "POST"));
    });
}

#[test]
fn a_capture_is_sent_again_in_order_and_differences_are_found() {
    let (file, _proxy) = capture(Driver::Epoll, 60);
    let (mut all, _) = read(&file);
    all.sort_by_key(|one| one.at_us);
    let sent: Vec<&Recorded> = all.iter().filter(|one| one.request.method == "GET").collect();
    let other = origin("blue");
    let (target, path) = (other.address().to_string(), file.display().to_string());
    let replay = |more: &[&str]| {
        let (code, data, messages) =
            Gnomon::start(&[&["replay", &path, "--to", &target, "--json"], more].concat()).end();
        let json: Value = serde_json::from_str(&data).unwrap_or_else(|_| panic!("{messages}"));
        (code, json)
    };
    let (code, told) = replay(&["--speed", "max", "--connections", "1"]);
    let requests = other.requests();
    let paths: Vec<&str> = requests.iter().map(|request| request.line()).collect();
    let want: Vec<String> = sent
        .iter()
        .map(|one| {
            let path = one.request.target.split('?').next().unwrap_or_default();
            format!("GET {path}?a=b HTTP/1.1")
        })
        .collect();
    assert_eq!(paths, want, "in order, and without what was redacted");
    assert!(requests.iter().all(|it| it.field("host") == Some("shop.example")));
    assert!(requests.iter().all(|it| it.field("authorization").is_none()));
    let small =
        |one: &&&Recorded| one.request.target.split('?').next().is_some_and(|t| t.len() == 8);
    let small = sent.iter().filter(small).count();
    assert!(small > 0);
    assert_eq!(
        (code, &told["sent"], &told["compared"]),
        (1, &sent.len().into(), &sent.len().into())
    );
    assert_eq!((&told["different"], &told["failed"]), (&small.into(), &serde_json::json!({})));
    assert_eq!(told["skipped"]["method POST"], all.len() - sent.len());
    let findings = told["findings"].as_array().expect("it is a list");
    assert_eq!(findings.len(), 1, "{told}");
    let Value::Object(finding) = &findings[0] else { panic!("{told}") };
    assert_eq!(
        (&finding["path"], &finding["endpoint"]),
        (&"$.shade".into(), &"GET /items/{}".into())
    );
    assert_eq!(finding["count"], small);
    let (code, told) = replay(&["--speed", "100x", "--ignore", "$.shade", "--loop", "2"]);
    assert_eq!((code, &told["sent"]), (0, &(2 * sent.len()).into()), "{told}");
    let (code, told) = replay(&[
        "--rate",
        "5000/s",
        "--methods",
        "POST",
        "--ignore",
        "$.shade",
        "-H",
        "authorization: Bearer x",
    ]);
    assert_eq!((code, &told["sent"]), (0, &(all.len() - sent.len()).into()), "{told}");
    let last = other.requests().pop().expect("it was asked");
    assert_eq!(last.field("authorization"), Some("Bearer x"));
    drop(other);
    let (code, told) = replay(&["--speed", "max"]);
    assert_eq!((code, &told["failed"]["connect"]), (1, &sent.len().into()), "{told}");
}

#[test]
fn a_slow_target_does_not_slow_the_sender() {
    let (file, _proxy) = capture(Driver::Epoll, 60);
    let count = read(&file).0.iter().filter(|one| one.request.method == "GET").count();
    let arrived = AtomicUsize::new(0);
    // Nobody is answered before all have asked.
    let target = Origin::start(move |call, _| {
        call.read_request()?;
        arrived.fetch_add(1, SeqCst);
        eventually("all ask", || arrived.load(SeqCst) == count);
        call.reply("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
    });
    let (to, path) = (target.address().to_string(), file.display().to_string());
    let (code, data, messages) =
        Gnomon::start(&["replay", &path, "--to", &to, "--rate", "500/s", "--json"]).end();
    let told: Value = serde_json::from_str(&data).unwrap_or_else(|_| panic!("{messages}"));
    assert_eq!((code, &told["sent"]), (1, &count.into()), "{told}");
    assert_eq!((&told["compared"], &told["different"]), (&count.into(), &count.into()));
}

#[test]
fn there_is_one_recording_at_a_time_and_it_ends_when_asked() {
    on_each_driver(|driver| {
        let origin = origin("green");
        let proxy = Running::start(driver, &to(&origin));
        let file = proxy.folder().join("first.capture");
        let recording = Gnomon::record(&proxy, &file, &[]);
        let (status, told) = proxy.call("POST", "/v1/record", "{}");
        assert!(status == 409 && told.contains("one recording at a time"), "{status} {told}");
        let written = |count: usize| move |origin: &Origin| origin.requests().len() >= count;
        drive(&proxy, || written(20)(&origin));
        proxy.act("/v1/record/stop", "{}");
        let (code, _, messages) = recording.end();
        assert_eq!(code, 0, "{messages}");
        let (all, end) = read(&file);
        let end = end.expect("it has its last line");
        assert_eq!((&*end.why, end.written, all.len() as u64), ("asked", end.written, end.written));
        assert_eq!(end.sampled, end.written + end.dropped.values().sum::<u64>(), "{end:?}");
        assert!(!proxy.status().shadow.recording);
        assert_eq!(proxy.call("POST", "/v1/record/stop", "{}").0, 409);
        let (status, told) = proxy.call("POST", "/v1/record", "{\"route\":\"nix\"}");
        assert!(status == 404 && told.contains("there are: all"), "{status} {told}");
        proxy.write(&format!("admin.read_only = true\n{}", to(&origin)));
        proxy.reload().expect("it can be reloaded");
        assert_eq!(proxy.call("POST", "/v1/record", "{}").0, 403);
    });
}

#[test]
fn a_reader_that_is_killed_ends_the_recording_and_no_client_sees_it() {
    on_each_driver(|driver| {
        let origin = origin("green");
        let proxy = Running::start(driver, &to(&origin));
        let file = proxy.folder().join("killed.capture");
        let mut recording = Gnomon::record(&proxy, &file, &["--sample", "50%"]);
        let generation = proxy.status().generation;
        let mut is_killed = false;
        let requests = drive(&proxy, || {
            if !is_killed && origin.requests().len() > 50 {
                recording.0.kill().expect("it runs");
                is_killed = true;
            }
            is_killed && !proxy.status().shadow.recording
        });
        assert!(requests > 50 && proxy.status().generation > generation);
        let _ = recording.0.wait();
        // Nothing may have been flushed yet.
        if std::fs::metadata(&file).expect("it is there").len() > 10 {
            assert_eq!(read(&file).1, None, "there is no last line");
        }
        let again = proxy.folder().join("again.capture");
        let recording = Gnomon::record(&proxy, &again, &["--count", "3"]);
        drive(&proxy, || !proxy.status().shadow.recording);
        assert_eq!(recording.end().0, 0);
        assert_eq!(read(&again).0.len(), 3);
    });
}
