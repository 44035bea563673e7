//! The program as a person or a supervisor meets it: arguments in, text, signals and exit codes
//! out.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests as well")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;

mod cli {
    mod certificates;
    mod demos;
    mod imports;
    mod rollouts;
    mod shadows;
    mod shell;
}

fn gnomon(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gnomon"));
    command.args(arguments).stdin(Stdio::null());
    command.env_remove("GNOMON_SOCKET").env_remove("NO_COLOR");
    command
}

/// Runs a command that ends by itself.
fn run(arguments: &[&str]) -> Told {
    Told::of(&gnomon(arguments).output().unwrap())
}

/// What a command told.
#[derive(Debug)]
struct Told {
    code: i32,
    data: String,
    messages: String,
}

impl Told {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            data: String::from_utf8(output.stdout.clone()).unwrap(),
            messages: String::from_utf8(output.stderr.clone()).unwrap(),
        }
    }

    fn json(&self) -> Json {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    fn is(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

/// Waits for a condition, at most ten seconds.
#[track_caller]
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..1000 {
        if let Some(found) = look() {
            return found;
        }
        thread::park_timeout(Duration::from_millis(10));
    }
    panic!("not within ten seconds: {what}");
}

/// A folder of a test's own.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("gnomon-cli-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A proxy in a process of its own, killed when dropped.
struct Proxy {
    child: Child,
    folder: Folder,
    file: String,
    socket: String,
}

impl Proxy {
    /// Starts one and waits until it is ready. Only the route that responds with `body` answers.
    fn start(body: &str, timeouts: &str) -> Self {
        Self::start_with(body, timeouts, |_| String::new())
    }

    /// The same with more lines of configuration, which may name the folder.
    fn start_with(body: &str, timeouts: &str, more: impl FnOnce(&Path) -> String) -> Self {
        let folder = Folder::new();
        let socket = folder.0.join("admin.sock").display().to_string();
        let text = config(&socket, body, timeouts) + &more(&folder.0);
        let file = folder.write("gnomon.toml", &text);
        let mut command = gnomon(&["run", "-c", &file]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let proxy = Self { child, folder, file, socket };
        eventually("ready", || (proxy.ask(&["status", "--ready"]).code == 0).then_some(()));
        proxy
    }

    fn ask(&self, arguments: &[&str]) -> Told {
        run(&[arguments, &["--socket", &self.socket]].concat())
    }

    #[track_caller]
    fn status(&self) -> Json {
        self.ask(&["status", "--json"]).is(0).json()
    }

    fn address(&self) -> SocketAddr {
        self.status()["listeners"][0]["address"].as_str().unwrap().parse().unwrap()
    }

    fn body(&self) -> String {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned()
    }

    fn rewrite(&self, body: &str) {
        self.folder.write("gnomon.toml", &config(&self.socket, body, AT_ONCE));
    }

    fn signal(&self, signal: Signal) {
        send(&self.child, signal);
    }

    fn exit_code(&mut self) -> Option<i32> {
        eventually("the end", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, signal).unwrap();
}

fn config(socket: &str, body: &str, timeouts: &str) -> String {
    format!(
        "listen = \"127.0.0.1:0\"\n\
         runtime.cores = 1\nruntime.pin = false\n\
         admin.socket = \"{socket}\"\n\
         timeouts = {{ {timeouts} }}\n\
         upstream.shop.versions.v1 = [\"127.0.0.1:1\"]\n\
         upstream.shop.versions.v2 = [\"127.0.0.1:2\"]\n\
         upstream.shop.split = {{ v1 = 90, v2 = 10 }}\n\
         upstream.shop.sticky = \"cookie\"\n\
         [route.shop]\nmatch = {{ host = \"shop.test\" }}\nto = \"shop\"\n\
         [route.hello]\nrespond = {{ status = 200, body = \"{body}\" }}\n"
    )
}

const AT_ONCE: &str = "grace = \"0s\", drain = \"1s\"";

const BAD: &str = "listen = \"127.0.0.1:0\"\n\
    upstream.shop.versions.v1 = [\"127.0.0.1:1\"]\n\
    upstream.shop.split = { v1 = 90, v3 = 10 }\n\
    routes.shop.to = \"shop\"\n";

fn sample() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/sample/canary.toml");
    path.display().to_string()
}

#[test]
fn a_good_file_passes_at_three_depths() {
    let folder = Folder::new();
    let socket = folder.0.join("admin.sock").display().to_string();
    let file = folder.write("good.toml", &config(&socket, "hello", AT_ONCE));
    let told = run(&["check", &file]).is(0);
    for depth in ["syntax", "meaning", "this host"] {
        assert!(told.data.contains(depth), "{told:?}");
    }
    assert!(!told.data.contains('\x1b'), "no colours but on a terminal: {told:?}");
    let told = run(&["check", "--offline", &file]).is(0);
    assert!(told.data.contains("skipped --offline"), "{told:?}");
    run(&["check", "--json", "--offline", &file]).is(0);
    for alias in [&["-t", "-c", &file][..], &["-c", &file, "-t"], &["-t", &file]] {
        run(alias).is(0);
    }
}

#[test]
fn a_bad_file_is_told_as_a_whole_and_exits_with_78() {
    let folder = Folder::new();
    let file = folder.write("bad.toml", BAD);
    let told = run(&["check", &file]).is(78);
    for part in ["error[G003]", "error[G012]", "bad.toml:3:", "did you mean `route`", "failed"] {
        assert!(told.data.contains(part), "{part}: {}", told.data);
    }
    let problems = run(&["check", "--json", &file]).is(78).json();
    let codes: Vec<_> = problems.as_array().unwrap().iter().map(|it| it["code"].clone()).collect();
    assert!(codes.contains(&Json::from("G012")), "{codes:?}");
    assert_eq!(problems[0]["depth"], "meaning");
    let told = run(&["run", "-c", &file]).is(78);
    assert!(told.messages.contains("error[G012]"), "{told:?}");
    assert_eq!(told.data, "");
    let file = folder.write("broken.toml", "listen = \n[[[");
    let told = run(&["check", &file]).is(78);
    assert!(told.data.contains("error[G002]"), "{told:?}");
    assert!(told.data.contains("syntax     failed"), "{told:?}");
}

#[test]
fn what_this_host_lacks_is_found_before_it_hurts() {
    let folder = Folder::new();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap();
    let set = format!("listen={taken}");
    let socket = folder.0.join("admin.sock").display().to_string();
    let file = folder.write("good.toml", &config(&socket, "hello", AT_ONCE));
    let told = run(&["check", &file, "--set", &set]).is(78);
    assert!(told.data.contains(&format!("{taken} is in use by another process")), "{told:?}");
    run(&["check", &file, "--set", &set, "--offline"]).is(0);
    let told = run(&["run", "-c", &file, "--set", &set]).is(1);
    assert!(told.messages.contains(&format!("{taken} is in use by another process")), "{told:?}");
    assert!(told.messages.contains("help: find it with: ss"), "{told:?}");
    assert!(!Path::new(&socket).exists(), "a start that failed leaves nothing behind");
}

#[test]
fn a_missing_file_and_stdin_are_understood() {
    let told = run(&["check", "/nonexistent/gnomon.toml"]).is(78);
    assert!(told.data.contains("/nonexistent/gnomon.toml"), "{told:?}");
    let told = run(&["run", "-c", "/nonexistent/gnomon.toml"]).is(78);
    assert!(told.messages.contains("gnomon demo"), "{told:?}");
    let mut command = gnomon(&["check", "--offline", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(BAD.as_bytes()).unwrap();
    let told = Told::of(&child.wait_with_output().unwrap()).is(78);
    assert!(told.data.contains("<stdin>:3:"), "{told:?}");
}

#[test]
fn warnings_pass_unless_strictness_is_asked_for() {
    let folder = Folder::new();
    let text = "listen = \"127.0.0.1:0\"\nupstream.unused.versions.v1 = [\"127.0.0.1:1\"]\n\
                route.a.respond = { status = 200 }\n";
    let file = folder.write("warned.toml", text);
    let told = run(&["check", "--offline", &file]).is(0);
    assert!(told.data.contains("warning[G036]"), "{told:?}");
    run(&["check", "--offline", "--strict", &file]).is(78);
}

#[test]
fn a_route_is_explained_from_a_file_alone() {
    let file = sample();
    let route = |more: &[&str]| run(&[&["route", "-c", &file, "GET"], more].concat());
    let told = route(&["http://shop.example.com/cart", "--explain"]).is(0);
    assert!(told.data.starts_with("route shop → shop@v"), "{told:?}");
    assert!(told.data.contains("+ shop: takes the request"), "{told:?}");
    let told = route(&["/cart?a=b", "-H", "host: elsewhere.example"]).is(0);
    assert!(told.data.contains("404"), "{told:?}");
    let json = route(&["http://shop.example.com/", "--json", "--client", "10.1.2.3"]).is(0).json();
    assert_eq!((&json["decision"], &json["route"]), (&"forward".into(), &"shop".into()));
    assert_eq!(json["split"]["v2"], 5.0);
    let refused = route(&["http://shop.example.com/", "-H", "content-length: x"]).is(1);
    assert!(refused.messages.contains("would refuse this request with 400"), "{refused:?}");
    for wrong in [&["shop.example.com"][..], &["/"], &["http://a/", "-H", "no field"]] {
        route(wrong).is(2);
    }
}

#[test]
fn a_running_proxy_tells_routes_history_and_events() {
    let proxy = Proxy::start("hello", AT_ONCE);
    let file = ["route", "-c", &proxy.file, "GET", "http://a/b", "--explain"];
    let running = ["route", "--running", "GET", "http://a/b", "--explain"];
    assert_eq!(proxy.ask(&running).is(0).data, run(&file).is(0).data);
    proxy.ask(&["weight", "shop", "v2=50"]).is(0);
    let ask = ["GET", "http://shop.test/", "--json", "-H", "x-a: ü & =%"];
    let now = proxy.ask(&[&["route", "--running"], &ask[..]].concat()).is(0).json();
    let then = run(&[&["route", "-c", &proxy.file], &ask[..]].concat()).is(0).json();
    assert_eq!((&now["split"]["v2"], &then["split"]["v2"]), (&50.0.into(), &10.0.into()));
    proxy.ask(&["route", "--running", "-c", &proxy.file, "GET", "/"]).is(2);
    let events = proxy.ask(&["events"]).is(0).data;
    assert!(events.contains("split    shop: ") && events.contains(" serves as "), "{events}");
    // What was asked for, and what came of it.
    let newest = proxy.ask(&["events", "-n", "2", "--json"]).is(0).json();
    let kinds = [0, 1].map(|place| newest["items"][place]["kind"].clone());
    assert!(kinds.contains(&"split".into()) && kinds.contains(&"action".into()), "{newest}");
    let history = eventually("a beat", || {
        let told = proxy.ask(&["history", "shop@v1"]).is(0).data;
        told.contains("shop@v1").then_some(told)
    });
    assert!(!history.contains("shop@v2") && history.contains("50.0 %"), "{history}");
    proxy.ask(&["history", "nix"]).is(1);
    assert!(proxy.ask(&["history", "--json"]).is(0).json()["beats"][0]["at"].is_u64());
}

#[test]
fn what_needs_no_proxy_is_told_at_once() {
    let version = run(&["--version"]).is(0).data;
    assert!(version.starts_with("gnomon ") && version.lines().count() == 1, "{version}");
    assert_eq!(run(&["version", "--json"]).is(0).json()["name"], "gnomon");
    assert!(run(&["version"]).is(0).data.contains("io_uring"));
    assert!(run(&["explain", "g012"]).is(0).data.contains("split"));
    run(&["explain", "G999"]).is(1);
    assert!(run(&["schema"]).is(0).json()["properties"].is_object());
    for shell in ["bash", "zsh", "fish"] {
        assert!(run(&["completions", shell]).is(0).data.contains("gnomon"));
    }
    assert!(run(&["config", "--defaults"]).is(0).data.contains("timeouts"));
    let effective = run(&["config", "-c", &sample(), "--json"]).is(0).json();
    assert_eq!(effective["upstream.shop.split.v2"], "5");
    let help = run(&["--help"]).is(0).data;
    for code in ["0 done", "1 failed", "2 usage", "3 no running proxy", "78 bad config"] {
        assert!(help.contains(code), "{help}");
    }
    run(&["nonsense"]).is(2);
    run(&[]).is(2);
}

#[test]
fn without_a_proxy_the_exit_code_is_3() {
    let folder = Folder::new();
    let socket = folder.0.join("nobody.sock").display().to_string();
    for command in [
        &["status"][..],
        &["status", "--ready"],
        &["reload"],
        &["diff"],
        &["weight", "shop", "v2=10"],
        &["drain", "shop@v2"],
        &["freeze", "shop"],
        &["stop"],
        &["logs", "reopen"],
        &["config", "--running"],
    ] {
        let told = run(&[command, &["--socket", &socket]].concat()).is(3);
        assert!(told.messages.contains("no gnomon answers"), "{told:?}");
        assert!(told.messages.contains("help: "), "{told:?}");
    }
    run(&["weight", "shop", "v2=110"]).is(2);
    run(&["weight", "shop", "v2=1", "v2=2", "--socket", &socket]).is(2);
    run(&["drain", "shop"]).is(2);
    run(&["freeze", "../x", "--socket", &socket]).is(2);
}

#[test]
fn a_reader_who_has_had_enough_is_no_failure() {
    let mut child = gnomon(&["schema"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn verbs_change_the_split_and_say_so() {
    let proxy = Proxy::start("hello", AT_ONCE);
    let version = |ix: usize| proxy.status()["upstreams"][0]["versions"][ix].clone();
    let told = proxy.ask(&["weight", "shop", "v2=25"]).is(0);
    assert!(told.data.contains("v2"), "{told:?}");
    assert!(told.messages.contains("next: "), "{told:?}");
    assert_eq!((&version(0)["share"], &version(1)["share"]), (&75.0.into(), &25.0.into()));
    let shown = proxy.ask(&["status"]).is(0).data;
    assert!(shown.contains("v2 canary") && shown.contains("not as in the file"), "{shown}");
    assert!(proxy.ask(&["weight", "shop", "v2=25"]).is(0).data.contains("nothing has changed"));
    proxy.ask(&["weight", "shop", "v9=1"]).is(1);
    proxy.ask(&["weight", "nowhere", "v2=1"]).is(1);
    proxy.ask(&["freeze", "shop"]).is(0);
    let told = proxy.ask(&["weight", "shop", "v2=30"]).is(1);
    assert!(told.messages.contains("frozen"), "{told:?}");
    proxy.ask(&["resume", "shop"]).is(0);
    proxy.ask(&["drain", "shop@v2"]).is(0);
    assert_eq!(version(1)["draining"], true);
    assert_eq!(proxy.ask(&["rollback", "shop", "--json"]).is(0).json()["ok"], true);
    assert_eq!(version(1)["share"], 0.0);
    proxy.ask(&["logs", "reopen"]).is(0);
    let running = proxy.ask(&["config", "--running"]).is(0).data;
    assert!(running.contains("upstream.shop.split.v2 = 10"), "{running}");
}

#[test]
fn a_port_of_the_running_proxy_is_ours() {
    let proxy = Proxy::start("hello", AT_ONCE);
    let set = format!("listen={}", proxy.address());
    run(&["check", &proxy.file, "--set", &set]).is(0);
}

#[test]
fn diff_and_reload_agree_on_what_changes() {
    let mut proxy = Proxy::start("one", AT_ONCE);
    assert_eq!(proxy.ask(&["diff"]).is(0).data, "");
    proxy.rewrite("two");
    let diff = proxy.ask(&["diff"]).is(1).data;
    assert!(diff.contains("route.hello"), "{diff}");
    let named = proxy.ask(&["diff", &proxy.file]).is(1).data;
    assert!(named.contains("two"), "{named}");
    assert_eq!(proxy.body(), "one");
    assert_eq!(proxy.ask(&["reload"]).is(0).data, diff);
    assert_eq!(proxy.body(), "two");
    proxy.ask(&["diff", &proxy.file]).is(0);
    fs::write(&proxy.file, BAD).unwrap();
    for command in ["reload", "diff"] {
        let told = proxy.ask(&[command]).is(78);
        assert!(told.messages.contains("error[G012]"), "{told:?}");
    }
    assert_eq!(proxy.body(), "two");
    proxy.ask(&["stop"]).is(0);
    assert_eq!(proxy.exit_code(), Some(0));
    assert!(!Path::new(&proxy.socket).exists());
}

#[test]
fn sighup_takes_a_good_file_over_and_refuses_a_bad_one() {
    let proxy = Proxy::start("one", AT_ONCE);
    assert_eq!(proxy.body(), "one");
    proxy.rewrite("two");
    proxy.signal(Signal::HUP);
    eventually("the new body", || (proxy.body() == "two").then_some(()));
    fs::write(&proxy.file, BAD).unwrap();
    proxy.signal(Signal::HUP);
    eventually("the refusal", || {
        (proxy.status()["config"]["last_reload"]["ok"] == false).then_some(())
    });
    assert_eq!(proxy.body(), "two");
    let shown = proxy.ask(&["status"]).is(0).data;
    assert!(shown.contains("refused"), "{shown}");
}

#[test]
fn sigterm_drains_and_exits_with_0() {
    let mut proxy = Proxy::start("hello", AT_ONCE);
    // A connection that is kept does not hold it up.
    let _idle = TcpStream::connect(proxy.address()).unwrap();
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit_code(), Some(0));
    assert!(!Path::new(&proxy.socket).exists());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut proxy = Proxy::start("hello", "grace = \"5m\", drain = \"5m\"");
    proxy.signal(Signal::TERM);
    eventually("leaving", || (proxy.status()["phase"] == "leaving").then_some(()));
    proxy.ask(&["status", "--ready"]).is(1);
    proxy.signal(Signal::INT);
    assert_eq!(proxy.exit_code(), Some(0));
}

#[test]
fn the_demo_of_a_split_keeps_its_promises() {
    let asked = ["demo", "--split", "--seconds", "2", "--rate", "100", "--users", "60", "--json"];
    let told = run(&asked).is(0);
    let verdict: Json = serde_json::from_str(told.data.lines().last().unwrap()).unwrap();
    assert_eq!(verdict["event"], "verdict");
    assert_eq!(verdict["sound"], true, "{verdict}");
    assert_eq!(verdict["view"]["users_flipped"], 0);
    assert_eq!(verdict["view"]["failed_by_proxy"], 0);
    assert_eq!(told.data.lines().count(), 3, "two seconds and a verdict: {told:?}");
}

#[test]
fn ctrl_c_ends_the_demo_of_a_split_with_its_verdict() {
    let mut command =
        gnomon(&["demo", "--split", "--rate", "50", "--users", "20", "--driver", "epoll"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("requests/s")), "a first table");
    send(&child, Signal::INT);
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(rest.iter().any(|line| line.contains("0 users flipped")), "{rest:#?}");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let prefix = format!("gnomon-demo-{}-", child.id());
    let left = fs::read_dir(std::env::temp_dir()).unwrap().flatten();
    let names: Vec<String> = left.map(|it| it.file_name().to_string_lossy().into_owned()).collect();
    assert!(!names.iter().any(|name| name.starts_with(&prefix)), "the folder is gone");
}

#[test]
fn an_outcome_of_nobody_is_told_so() {
    let proxy = Proxy::start("hello", AT_ONCE);
    let told = proxy.ask(&["kpi", "list"]).is(0);
    assert!(told.data.is_empty() && told.messages.contains("[kpi.NAME]"), "{told:?}");
    assert_eq!(proxy.ask(&["kpi", "list", "--json"]).is(0).json(), serde_json::json!([]));
    let told = proxy.ask(&["kpi", "report", "some-id", "orders", "-12.5"]).is(1);
    assert!(told.messages.contains("there is no KPI `orders`"), "{told:?}");
    proxy.ask(&["kpi", "report", "some-id", "orders", "many"]).is(2);
}
