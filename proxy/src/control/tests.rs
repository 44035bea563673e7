//! Control with cores that only acknowledge: reloads, verbs, the admin API, stopping.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use gnomon_config::{Options, parse};

use super::*;
use crate::{
    control::listeners::inherited::Inherited,
    guard::Guard,
    snapshot::{Phase, Publisher},
};

/// A configuration that a test may change, and a control that reads it.
pub(super) struct Bench {
    pub(super) control: Arc<Control>,
    pub(super) text: Arc<Mutex<String>>,
    socket: PathBuf,
    ending: Arc<AtomicBool>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.ending.store(true, Relaxed);
        self.control.ofrep.end();
    }
}

const SHOP: &str = "upstream.shop.versions.v1 = [\"127.0.0.1:1\"]\n\
                    upstream.shop.versions.v2 = [\"127.0.0.1:2\"]\n\
                    upstream.shop.split = { v1 = 95, v2 = 5 }\nroute.all.to = \"shop\"\n\
                    timeouts.grace = \"0s\"\ntimeouts.drain = \"200ms\"\n";

pub(super) fn bench(name: &str, more: &str) -> Bench {
    bench_of(name, &format!("{SHOP}{more}"))
}

pub(super) fn bench_of(name: &str, rest: &str) -> Bench {
    let folder = std::env::temp_dir().join(format!("gnomon-control-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let socket = folder.join("admin.sock");
    let head = format!("listen = \"127.0.0.1:0\"\nadmin.socket = \"{}\"\n", socket.display());
    let text = Arc::new(Mutex::new(format!("{head}{rest}")));
    let read = text.clone();
    let load: Load =
        Arc::new(move || parse("test.toml", &read.lock().unwrap(), &Options::default()));
    let config = load().unwrap().config;
    let logs = Arc::new(logs::Desk::new(&config));
    let mut last_id = 0;
    let bound = listeners::bind_all(&config.listeners, &[], 2, &mut last_id).unwrap();
    let mut state = State::new(config, 2, bound, last_id, resolve::Answers::new()).unwrap();
    let mut rollouts = Rollouts::open(&state.config, clock::wall().as_secs());
    rollouts.restore(&mut state);
    let shared = Arc::new(Shared {
        publisher: Publisher::new(state.build()),
        cores: vec![Arc::default(), Arc::default()],
        guard: Guard::new([1, 2]),
    });
    let ending = Arc::new(AtomicBool::new(false));
    let (theirs, over) = (shared.clone(), ending.clone());
    thread::Builder::new().spawn(move || acknowledge(&theirs, &over)).unwrap();
    let control = Arc::new(Control::new(Parts {
        ofrep: answering(&shared),
        sightings: Vec::new(),
        shared,
        state,
        load,
        logs,
        own_log: None,
        memory: Arc::new(Memory::new(Path::new("/nowhere"))),
        rollouts,
        shadow: Arc::new(gnomon_shadow::run::Desk::new().unwrap().0),
        drivers: vec!["none".to_owned(); 2],
        admin_address: None,
        succession: Succession::default(),
        gate: Gate::default(),
    }));
    Bench { control, text, socket, ending }
}

/// Answers applications on a thread of its own.
fn answering(shared: &Arc<Shared>) -> Arc<ofrep::Desk> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let desk = Arc::new(ofrep::Desk::new(shared.clone(), runtime.handle().clone()));
    let theirs = desk.clone();
    thread::Builder::new().spawn(move || runtime.block_on(theirs.run())).unwrap();
    desk
}

/// Two cores that take every snapshot over, and end when told.
fn acknowledge(shared: &Shared, over: &AtomicBool) {
    while !over.load(Relaxed) {
        for core in &shared.cores {
            let snapshot = shared.publisher.current();
            core.ready.set(1);
            core.heartbeat.add(1);
            core.generation.set(snapshot.generation);
            let open = core.connections.read() > 0 && snapshot.phase != Phase::Closing;
            core.stopped.set(u64::from(snapshot.phase != Phase::Serving && !open));
        }
        thread::park_timeout(Duration::from_millis(1));
    }
}

pub(super) fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

impl Bench {
    pub(super) fn change(&self, from: &str, to: &str) {
        let mut text = self.text.lock().unwrap();
        assert!(text.contains(from));
        *text = text.replace(from, to);
    }

    fn generation(&self) -> u64 {
        self.control.state().generation
    }
}

#[test]
fn a_reload_is_acknowledged_by_every_core() {
    let bench = bench("reload", "");
    run(async {
        let done = bench.control.reload().await.unwrap();
        assert!(done.changes.is_empty(), "{done:?}");
        assert_eq!(bench.generation(), 1);
        bench.change("v2 = 5", "v2 = 10");
        bench.change("v1 = 95", "v1 = 90");
        let diff = bench.control.diff().await.unwrap();
        assert_eq!((diff.changes.len(), bench.generation()), (2, 1));
        let done = bench.control.reload().await.unwrap();
        assert_eq!((done.changes, done.generation, done.cores_missing), (diff.changes, 2, vec![]));
        assert!(done.acknowledged_ms < 1000.0);
        assert!(bench.control.state().last_reload.as_ref().unwrap().ok);
    });
}

#[test]
fn a_core_that_does_not_take_a_change_over_is_named() {
    let bench = bench("missing", "");
    bench.ending.store(true, Relaxed);
    thread::park_timeout(Duration::from_millis(20));
    run(async {
        let done = bench.control.act("shop", &Verb::Freeze, "test").await.unwrap();
        assert_eq!(done.cores_missing, [0, 1]);
        assert!(done.acknowledged_ms >= 2000.0);
    });
}

#[test]
fn a_reload_that_fails_changes_nothing() {
    let bench = bench("refused", "");
    run(async {
        bench.change("route.all", "routes.all");
        let refused = bench.control.reload().await.unwrap_err();
        assert_eq!(refused.kind, api::Kind::Config);
        assert!(refused.error.contains("routes"), "{refused}");
        bench.change("routes.all", "route.all");
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = other.local_addr().unwrap().to_string();
        bench.change("127.0.0.1:0", &taken);
        bench.change("v2 = 5", "v2 = 6");
        bench.change("v1 = 95", "v1 = 94");
        let refused = bench.control.reload().await.unwrap_err();
        assert!(refused.error.contains("in use"), "{refused}");
        bench.change(&taken, "127.0.0.1:0");
        bench.change("127.0.0.1:1\"", "nowhere.invalid:1\"");
        let refused = bench.control.reload().await.unwrap_err();
        assert!(refused.error.contains("nowhere.invalid"), "{refused}");
        assert_eq!(bench.generation(), 1);
        assert_eq!(bench.control.status().upstreams[0].versions[1].share, 5.0);
        assert!(!bench.control.state().last_reload.as_ref().unwrap().ok);
    });
}

#[test]
fn what_needs_a_restart_is_said_and_left() {
    let bench = bench("restart", "runtime.entries = 1024\n");
    run(async {
        bench.change("entries = 1024", "entries = 2048");
        let done = bench.control.reload().await.unwrap();
        assert!(done.warnings[0].contains("needs a restart"), "{done:?}");
        assert_eq!((done.changes.len(), bench.generation()), (0, 1));
        bench.change("grace = \"0s\"", "grace = \"1s\"");
        let done = bench.control.reload().await.unwrap();
        assert_eq!((done.changes.len(), done.generation), (1, 2));
        assert_eq!(bench.control.state().config.runtime.entries, 1024);
    });
}

#[test]
fn the_api_answers_over_its_socket() {
    let bench = bench("api", "");
    let config = bench.control.state().config.clone();
    let (doors, _) = Doors::bind(&config, &mut Inherited::default()).unwrap();
    let (control, path) = (bench.control.clone(), bench.socket.clone());
    let server =
        thread::Builder::new().spawn(move || run(control.run(Signals::Ignored, doors))).unwrap();
    let act = |path: &str, body: serde_json::Value| ctl::act::<Done>(&bench.socket, path, &body);
    let done = act("/v1/upstreams/shop/weight", serde_json::json!({"v2": 25})).unwrap();
    assert_eq!((done.changes.len(), done.cores_missing.len()), (2, 0));
    let status: api::Status = ctl::read(&path, "/v1/status").unwrap();
    assert_eq!(status.upstreams[0].versions[1].share, 25.0);
    assert!(status.upstreams[0].overridden && status.ready && status.live);
    let unknown = act("/v1/upstreams/nix/freeze", serde_json::Value::Null).unwrap_err();
    assert!(
        matches!(&unknown, ctl::Failure::Refused(refused) if refused.kind == api::Kind::Unknown)
    );
    check_statuses(&path);
    act("/v1/stop", serde_json::Value::Null).unwrap();
    assert_eq!(server.join().unwrap(), Report { cut: 0, stuck: 0 });
    assert!(!path.exists());
    assert!(matches!(ctl::call(&path, "GET", "/livez", b""), Err(ctl::Failure::Absent(_))));
}

fn check_statuses(socket: &Path) {
    let table = [
        ("GET", "/livez", 200),
        ("GET", "/readyz?verbose", 200),
        ("GET", "/healthz", 200),
        ("GET", "/v1/config", 200),
        ("GET", "/v1/diff", 200),
        ("GET", "/v1/reload", 405),
        ("POST", "/v1/status", 405),
        ("GET", "/v2", 404),
        ("POST", "/v1/upstreams/shop/weight", 400),
        ("POST", "/v1/upstreams/shop/drain", 400),
        ("POST", "/v1/logs/reopen", 200),
    ];
    for (method, path, expected) in table {
        let (status, body) = ctl::call(socket, method, path, b"").unwrap();
        let body = String::from_utf8_lossy(&body);
        assert_eq!(status, expected, "{method} {path}: {body}");
    }
}

#[test]
fn only_reading_is_only_reading() {
    let bench = bench("reading", "admin.read_only = true\n");
    let config = bench.control.state().config.clone();
    let (doors, _) = Doors::bind(&config, &mut Inherited::default()).unwrap();
    let control = bench.control.clone();
    let server =
        thread::Builder::new().spawn(move || run(control.run(Signals::Ignored, doors))).unwrap();
    let (status, _) = ctl::call(&bench.socket, "POST", "/v1/upstreams/shop/freeze", b"").unwrap();
    assert_eq!(status, 403);
    assert_eq!(ctl::call(&bench.socket, "GET", "/v1/status", b"").unwrap().0, 200);
    bench.control.ask_stop(Stop::Now);
    server.join().unwrap();
}

#[test]
fn a_stop_waits_for_connections_and_then_cuts_them() {
    let bench = bench("stop", "");
    bench.control.shared.cores[0].connections.set(3);
    bench.control.ask_stop(Stop::Graceful);
    let begun = clock::now();
    let report = run(bench.control.stop());
    assert_eq!(report, Report { cut: 3, stuck: 0 });
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert!(!bench.control.readiness().iter().all(|check| check.ok));
}

#[test]
fn a_second_stop_does_not_wait() {
    let bench = bench("twice", "");
    bench.change("drain = \"200ms\"", "drain = \"1h\"");
    run(async {
        bench.control.reload().await.unwrap();
        bench.control.shared.cores[0].connections.set(1);
        bench.control.ask_stop(Stop::Graceful);
        let control = bench.control.clone();
        let stopping = tokio::spawn(async move { control.stop().await });
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert!(!stopping.is_finished());
        bench.control.ask_stop(Stop::Now);
        // A wish for less haste comes too late.
        bench.control.ask_stop(Stop::Graceful);
        assert_eq!(stopping.await.unwrap().cut, 1);
    });
}

#[test]
fn checks_take_an_endpoint_out_and_bring_it_back() {
    let origin = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = origin.local_addr().unwrap();
    let failing = Arc::new(AtomicBool::new(true));
    let fails = failing.clone();
    thread::Builder::new().spawn(move || answer_checks(&origin, &fails)).unwrap();
    let bench = bench("checks", "");
    bench.change("127.0.0.1:2", &address.to_string());
    bench.change(
        "route.all",
        "upstream.shop.health = { path = \"/up\", interval = \"20ms\", timeout = \"15ms\", \
         healthy = 2, unhealthy = 2 }\nroute.all",
    );
    run(async {
        bench.control.reload().await.unwrap();
        tokio::spawn(bench.control.clone().tick_for_ever());
        until(|| !canary(&bench).available).await;
        let out = canary(&bench).endpoints[0].out.clone().unwrap();
        assert!(out.contains("status 500"), "{out}");
        failing.store(false, Relaxed);
        until(|| canary(&bench).available).await;
        let snapshot = bench.control.shared.publisher.current();
        assert!(snapshot.endpoints[1].available);
    });
}

fn canary(bench: &Bench) -> api::VersionStatus {
    bench.control.status().upstreams[0].versions[1].clone()
}

async fn until(condition: impl Fn() -> bool) {
    let end = clock::now() + Duration::from_secs(10);
    while !condition() {
        assert!(clock::now() < end, "it never comes");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The next tick publishes it.
    tokio::time::sleep(Duration::from_millis(250)).await;
}

fn answer_checks(origin: &std::net::TcpListener, failing: &AtomicBool) {
    use std::io::{Read, Write};
    for stream in origin.incoming() {
        let mut stream = stream.unwrap();
        let mut head = [0; 1024];
        let length = stream.read(&mut head).unwrap_or(0);
        assert!(head[..length].starts_with(b"GET /up HTTP/1.1\r\n") || length == 0);
        let status = if failing.load(Relaxed) { 500 } else { 204 };
        let reply =
            format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let _ = stream.write_all(reply.as_bytes());
    }
}
