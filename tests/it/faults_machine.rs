//! A machine that fails its proxy: threads that stand still, memory that runs out.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::{net::UnixStream, process::ExitStatusExt},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use e2e::{Client, Door, Origin, Running, eventually, on_each_driver, spawn};
use gnomon::control::api::{CoreStatus, Done, Status};

use super::{GET, guest::Guest, to};

/// A thread that is held still until this is dropped.
struct Still {
    holder: Child,
    release: Option<ChildStdin>,
}

impl Still {
    /// Holds the thread with this name; `None` where that is not allowed, or there is no python3.
    fn hold(guest: &Guest, name: &str) -> Option<Self> {
        let threads = fs::read_dir(format!("/proc/{}/task", guest.pid())).ok()?;
        let mut threads = threads.flatten().map(|thread| thread.path());
        let of_name = |path: &std::path::PathBuf| {
            // The kernel keeps fifteen bytes of a name.
            let said = fs::read_to_string(path.join("comm")).unwrap_or_default();
            said.trim() == &name[..name.len().min(15)]
        };
        let thread = threads.find(of_name)?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/stall.py");
        let mut holder = Command::new("python3")
            .arg(script)
            .arg(thread.file_name()?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let release = holder.stdin.take();
        let mut said = String::new();
        let _ = BufReader::new(holder.stdout.take()?).read_line(&mut said);
        let still = Self { holder, release };
        (said == "still\n").then_some(still)
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        self.release = None;
        let _ = self.holder.wait();
    }
}

fn cores(guest: &Guest) -> Vec<CoreStatus> {
    let status: Status = serde_json::from_str(&guest.get("/v1/status").1).expect("it is the API's");
    status.cores
}

/// Changes something of the configuration and has it taken over.
fn reload(guest: &Guest, config: &str) -> Done {
    let text = format!("{}{config}", guest.doors());
    fs::write(guest.folder().join("gnomon.toml"), text).expect("it can be written");
    let (status, text) = guest.call("POST", "/v1/reload");
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).expect("it is what the API says")
}

#[test]
fn a_core_that_stands_still_is_named_and_the_others_serve_on() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let config = to(&origin) + "runtime.cores = 2\n";
        let guest = Guest::start_on(driver, &[], &config);
        let mut clients = Vec::new();
        eventually("both cores have clients", || {
            let mut client = guest.connect();
            assert_eq!(client.ask(GET).text(), "x");
            clients.push(client);
            cores(&guest).iter().all(|core| core.connections > 0)
        });
        let Some(still) = Still::hold(&guest, "gnomon-core-0") else { return };

        eventually("it is seen", || cores(&guest)[0].stuck);
        assert!(!cores(&guest)[1].stuck);
        assert_eq!(guest.get("/livez").0, 503);
        for _ in 0..20 {
            assert_eq!(guest.connect().ask(GET).text(), "x", "others serve whoever comes");
        }
        let done = reload(&guest, &format!("{config}limits.headers = 90\n"));
        assert_eq!(done.cores_missing, [0]);
        assert_eq!(guest.connect().ask(GET).text(), "x");

        drop(still);
        eventually("it moves again", || !cores(&guest)[0].stuck);
        eventually("it takes over what it missed", || {
            cores(&guest).iter().all(|core| core.generation == done.generation)
        });
        for client in &mut clients {
            assert_eq!(client.ask(GET).text(), "x", "nobody was lost");
        }
        assert_eq!(guest.get("/livez").0, 200);
    });
}

#[test]
fn while_control_stands_still_the_cores_serve_on() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let guest = Guest::start_on(driver, &[], &to(&origin));
        let mut client = guest.connect();
        assert_eq!(client.ask(GET).text(), "x");
        let Some(still) = Still::hold(&guest, "gnomon-control") else { return };
        for _ in 0..200 {
            assert_eq!(client.ask(GET).text(), "x");
            assert_eq!(guest.connect().ask(GET).text(), "x");
        }
        // Whoever watches from outside has no answer, which is one.
        let mut asked = UnixStream::connect(guest.folder().join("admin.sock")).expect("it listens");
        let wait = std::time::Duration::from_millis(500);
        asked.set_read_timeout(Some(wait)).expect("it is not zero");
        std::io::Write::write_all(&mut asked, b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n")
            .expect("the kernel takes it");
        assert!(asked.read(&mut [0]).is_err());
        drop(still);
        assert_eq!(guest.get("/livez").0, 200);
        assert_eq!(client.ask(GET).text(), "x");
    });
}

#[test]
fn a_reload_that_panics_is_refused_and_the_next_one_works() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let config = to(&origin);
        let proxy = Running::start(driver, &config);
        assert_eq!(proxy.get("/"), "x");
        proxy.write(&format!("{config}# the reader panics\n"));
        let refused = proxy.reload().expect_err("it is read by a panic");
        assert!(refused.to_string().contains("panic"), "{refused}");
        assert_eq!(proxy.get("/"), "x");
        proxy.write(&format!("{config}limits.headers = 90\n"));
        assert!(proxy.reload().is_ok_and(|done| done.cores_missing.is_empty()));
        assert_eq!(proxy.get("/"), "x");
    });
}

#[test]
fn a_process_whose_memory_runs_out_tells_nobody_that_half_a_reply_is_whole() {
    on_each_driver(|driver| {
        let body: String = (0..40_000).map(|n| format!("{n:05} ")).collect();
        let reply = e2e::origin::ok(&body);
        let origin = Origin::start(move |call, _| {
            while call.skip_request()? {
                call.reply(&reply)?;
            }
            Ok(())
        });
        let mut guest = Guest::start_on(driver, &[], &to(&origin));
        assert_eq!(guest.connect().ask(GET).text(), body);
        limit_memory(guest.pid());
        let door = Door::Unix(guest.socket());
        let crowd: Vec<_> = (0..200)
            .map(|_| {
                let (door, body) = (door.clone(), body.clone());
                spawn("client", move || ask_a_few(&door, &body))
            })
            .collect();
        for client in crowd {
            client.join().expect("no reply was wrong");
        }
        let ended = guest.await_end();
        assert_eq!(ended.signal(), Some(ABORT), "{ended}");
        guest.revive();
        assert_eq!(guest.connect().ask(GET).text(), body);
    });
}

/// SIGABRT: how a process ends that can't have the memory it needs.
const ABORT: i32 = 6;

/// Asks until nobody answers any more: what comes is the body, or its beginning and no end.
fn ask_a_few(door: &Door, body: &str) {
    let Ok(mut client) = Client::try_connect(door) else { return };
    for _ in 0..5 {
        if !client.try_send(GET) {
            return;
        }
        let Ok(reply) = client.try_read_reply_to("GET") else { return };
        match reply.status() {
            200 if reply.whole => assert_eq!(reply.text(), body),
            200 => {
                assert!(body.as_bytes().starts_with(&reply.body));
                return;
            }
            status => {
                assert!(matches!(status, 0 | 502 | 503), "{status}");
                return;
            }
        }
    }
}

/// Leaves a process hardly more memory of its own than it has.
fn limit_memory(pid: u32) {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = text.lines().find(|line| line.starts_with("VmData:")).expect("Linux says so");
    let kib: u64 =
        line.split_whitespace().nth(1).and_then(|size| size.parse().ok()).expect("a number");
    let most = format!("--data={}", (kib + 512) * 1024);
    let set = Command::new("prlimit").arg("--pid").arg(pid.to_string()).arg(most).status();
    assert!(set.is_ok_and(|status| status.success()), "util-linux has prlimit");
}
