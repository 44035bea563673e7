//! gnomon under what others do beside clients that behave: thousands that hardly speak, as many new
//! connections as go, and people who look.

mod crowd;
mod watchers;

use std::{
    fmt, fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    rc::Rc,
    time::{Duration, Instant},
};

pub use self::{crowd::run as crowd, watchers::run as watch};
use crate::{
    load::{Plan, Seen},
    process::{self, Running},
    rig::Rig,
    template::{self, Values},
};

/// What is strained, and for how long.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The program.
    pub gnomon: PathBuf,
    /// The templates.
    pub templates: PathBuf,
    /// An empty folder.
    pub dir: PathBuf,
    /// How long each stretch lasts.
    pub lasting: Duration,
    /// Requests a second of clients that behave.
    pub rate: f64,
    /// Clients that do not.
    pub crowd: u32,
}

/// What a proxy holds at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Memory resident, in KiB.
    pub rss: u64,
    /// File descriptors.
    pub fds: u64,
    /// Connections of clients, as it says itself.
    pub connections: u64,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Report {
    /// Name and figure, in the order of a table.
    pub lines: Vec<(String, String)>,
    /// What must not be.
    pub violations: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| | |\n|---|---|")?;
        for (name, figure) in &self.lines {
            writeln!(f, "| {name} | {figure} |")?;
        }
        match self.violations.len() {
            0 => writeln!(f, "\nno violation"),
            count => writeln!(f, "\n{count} VIOLATIONS: {}", self.violations.join("; ")),
        }
    }
}

/// A gnomon of its own, and the loop that is its load and its origin.
struct Stage<'a> {
    terms: &'a Terms,
    rig: Rig,
    proxy: Running,
    listen: SocketAddr,
}

impl<'a> Stage<'a> {
    fn set(terms: &'a Terms) -> Result<Self, String> {
        let (listen, upstream) = (free_address()?, free_address()?);
        let values = Values {
            dir: &terms.dir,
            listen,
            upstream,
            shadow: upstream,
            core: 0,
            size: 1,
            generation: 0,
        };
        let config = template::write(
            &terms.templates.join("strain/gnomon.toml"),
            &terms.templates,
            &values,
        )?;
        let rig = Rig::new().and_then(|rig| rig.with_origin(upstream));
        let rig = rig.map_err(|error| format!("the origin: {error}"))?;
        let mut command = Command::new(&terms.gnomon);
        command.args(["run", "-c"]).arg(config);
        let proxy = Running::start("gnomon", command, &[0], &terms.dir.join("log"))?;
        process::pin(1)?;
        let mut stage = Self { terms, rig, proxy, listen };
        stage.until("it serves", |held| held.is_some())?;
        Ok(stage)
    }

    fn held(&self) -> Option<Held> {
        let status = status(&self.terms.dir.join("admin.sock"))?;
        let cores = status.get("cores")?.as_array()?;
        let connections = cores.iter().filter_map(|core| core.get("connections")?.as_u64()).sum();
        let pid = *self.proxy.processes().first()?;
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
        Some(Held { rss: self.proxy.usage().rss_kib, fds, connections })
    }

    /// Lets the origin serve until something holds.
    fn until(&mut self, what: &str, is_so: impl Fn(Option<Held>) -> bool) -> Result<(), String> {
        let begun = Instant::now();
        while !is_so(self.held()) {
            if begun.elapsed() > PATIENCE {
                return Err(format!("in vain: {what}; {:?}", self.held()));
            }
            self.rig.serve(LOOK).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// People who look, as the terms say.
    fn watchers(&mut self) -> Result<Crowd, String> {
        let admin = self.terms.dir.join("admin.sock");
        let admin = admin.to_str().ok_or("the folder has a name that is no text")?;
        let count = self.terms.crowd.to_string();
        let crowd = Crowd::run(&["watch", "--admin", admin, "--crowd", &count])?;
        // They come, and read the hour once.
        self.rig.serve(Duration::from_secs(2)).map_err(|error| error.to_string())?;
        Ok(crowd)
    }

    fn plan(&self, connections: u32, rate: Option<f64>, churn: bool) -> Plan {
        let request = b"GET /b/1024 HTTP/1.1\r\nhost: bench\r\n\r\n";
        let requests = vec![Rc::from(&request[..])];
        Plan { address: self.listen, connections, depth: 1, rate, churn, requests, tls: None }
    }

    /// Clients that behave, at the rate of the terms.
    fn behave(&mut self) -> Result<Seen, String> {
        let plan = self.plan(32, Some(self.terms.rate), false);
        let stretch = self.rig.measure(plan, WARM_UP, self.terms.lasting, &mut || {});
        stretch.map(|stretch| stretch.seen).map_err(|error| error.to_string())
    }
}

/// Clients that behave, alone and then beside ten thousand that send a byte now and then.
///
/// # Errors
/// A sentence on what could not be done.
pub fn slow_loris(terms: &Terms) -> Result<Report, String> {
    let mut stage = Stage::set(terms)?;
    let alone = stage.behave()?;
    let before = stage.held().ok_or("the admin API does not answer")?;
    let mut crowd = Crowd::start(stage.listen, terms.crowd)?;
    // Those whose time is up come again, so there are hardly ever all of them.
    let most = u64::from(terms.crowd) * 4 / 5;
    stage.until("the crowd is there", |held| held.is_some_and(|held| held.connections >= most))?;
    let beside = stage.behave()?;
    let during = stage.held().ok_or("the admin API does not answer")?;
    crowd.end();
    stage.until("the crowd is gone", |held| held.is_some_and(|held| held.connections == 0))?;
    let most = before.rss + KEPT_KIB;
    stage.until("its memory is given back", |held| held.is_some_and(|held| held.rss <= most))?;
    let after = stage.held().ok_or("the admin API does not answer")?;
    let mut report = Report { lines: Vec::new(), violations: Vec::new() };
    for (name, seen) in [("alone", &alone), ("beside the crowd", &beside)] {
        report.lines.push((
            format!("{name}: p50, p99, p99.9 µs"),
            format!("{}, {}, {}", seen.micros_at(0.5), seen.micros_at(0.99), seen.micros_at(0.999)),
        ));
        report.lines.push((format!("{name}: requests, failed"), {
            format!("{}, {}", seen.requests, failed(seen))
        }));
        if failed(seen) > 0 {
            report.violations.push(format!("{name}: {} requests failed", failed(seen)));
        }
    }
    for (name, held) in [("before", before), ("with the crowd", during), ("after", after)] {
        report.hold(name, held);
    }
    if beside.micros_at(0.99) > alone.micros_at(0.99) * 2 {
        report.violations.push("p99 beside the crowd is more than twice that alone".to_owned());
    }
    if after.fds > before.fds + FDS_SLACK {
        report.violations.push("descriptors are left behind".to_owned());
    }
    Ok(report)
}

/// As many new connections as go.
///
/// # Errors
/// A sentence on what could not be done.
pub fn churn(terms: &Terms) -> Result<Report, String> {
    let mut stage = Stage::set(terms)?;
    let mut report = Report { lines: Vec::new(), violations: Vec::new() };
    let mut samples = Vec::new();
    let parts: u32 = 12;
    for part in 0..parts {
        let plan = stage.plan(64, None, true);
        let lasting = terms.lasting / parts;
        let stretch = stage.rig.measure(plan, Duration::ZERO, lasting, &mut || {});
        let seen = stretch.map_err(|error| error.to_string())?.seen;
        stage.until("nobody is left", |held| held.is_some_and(|held| held.connections == 0))?;
        let held = stage.held().ok_or("the admin API does not answer")?;
        report.lines.push((
            format!("part {part}: connections, failed"),
            format!("{}, {}", seen.connects, failed(&seen)),
        ));
        report.hold(&format!("part {part}"), held);
        samples.push(held);
    }
    // The first quarter finds its size.
    let quarter = samples.len() / 4;
    let (early, late) = (samples[quarter], samples[samples.len() - 1]);
    if late.rss > early.rss + early.rss / 10 + RSS_SLACK_KIB {
        report.violations.push(format!("memory grew from {} to {} KiB", early.rss, late.rss));
    }
    if late.fds > early.fds + FDS_SLACK {
        report.violations.push(format!("descriptors grew from {} to {}", early.fds, late.fds));
    }
    Ok(report)
}

/// Clients that behave, in turns alone and beside open consoles and a scrape each second.
///
/// # Errors
/// A sentence on what could not be done.
pub fn consoles(terms: &Terms) -> Result<Report, String> {
    let mut stage = Stage::set(terms)?;
    let mut p99 = [Vec::new(), Vec::new()];
    let mut report = Report { lines: Vec::new(), violations: Vec::new() };
    stage.behave()?;
    for round in 0..ROUNDS {
        // Whatever drifts is shared by both.
        for is_watched in if round % 2 == 0 { [false, true] } else { [true, false] } {
            let watchers = is_watched.then(|| stage.watchers()).transpose()?;
            let seen = stage.behave()?;
            drop(watchers);
            if failed(&seen) > 0 {
                report.violations.push(format!("{} requests failed", failed(&seen)));
            }
            p99[usize::from(is_watched)].push(seen.micros_at(0.99));
        }
    }
    let [alone, watched] = p99.each_mut().map(|all| {
        all.sort_unstable();
        all[all.len() / 2]
    });
    let shown = |all: &[u64]| all.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    report.lines.push(("alone: p99 µs of each stretch".to_owned(), shown(&p99[0])));
    report.lines.push((format!("{} consoles: the same", terms.crowd), shown(&p99[1])));
    report.lines.push(("medians".to_owned(), format!("{alone}, {watched}")));
    let micros = |micros| Duration::from_micros(micros).as_secs_f64();
    let ratio = micros(watched) / micros(alone);
    report.lines.push(("ratio".to_owned(), format!("{ratio:.3}")));
    if ratio > MORE_FOR_CONSOLES {
        report.violations.push(format!("who looks makes p99 {ratio:.3} times as long"));
    }
    Ok(report)
}

impl Report {
    fn hold(&mut self, name: &str, held: Held) {
        let Held { rss, fds, connections } = held;
        let figure = format!("{rss} KiB, {fds}, {connections}");
        self.lines.push((format!("{name}: memory, descriptors, connections"), figure));
    }
}

fn failed(seen: &Seen) -> u64 {
    seen.errors + seen.other_status + seen.unanswered
}

/// Others, in a process of their own: each end of a connection needs a descriptor.
struct Crowd(Child);

impl Crowd {
    fn start(to: SocketAddr, count: u32) -> Result<Self, String> {
        Self::run(&["crowd", "--to", &to.to_string(), "--crowd", &count.to_string()])
    }

    fn run(arguments: &[&str]) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let child = Command::new(program).args(arguments).stdin(Stdio::null()).spawn();
        child.map(Self).map_err(|error| format!("the crowd: {error}"))
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.end();
    }
}

fn status(admin: &Path) -> Option<serde_json::Value> {
    let mut socket = UnixStream::connect(admin).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    socket.write_all(b"GET /v1/status HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").ok()?;
    let mut said = String::new();
    socket.read_to_string(&mut said).ok()?;
    serde_json::from_str(said.split_once("\r\n\r\n")?.1).ok()
}

fn free_address() -> Result<SocketAddr, String> {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    free.map_err(|error| error.to_string())
}

/// Stretches of each kind.
const ROUNDS: u32 = 8;
/// What may come of ten consoles and a scrape each second.
const MORE_FOR_CONSOLES: f64 = 1.03;
const WARM_UP: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(60);
/// As in the soak: pools and arenas find their size.
const RSS_SLACK_KIB: u64 = 8 << 10;
const FDS_SLACK: u64 = 64;
/// What a core keeps for the next burst (spare buffers of both kinds, 18 MiB at most), and arenas.
const KEPT_KIB: u64 = 32 << 10;
