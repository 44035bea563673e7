//! The comparison: the same load on every proxy, in interleaved rounds.
//!
//! The proxy has one core and this thread, origin and load at once, the other. Rounds go
//! A B C C B A, so that a machine that slows down over time slows everybody. The figure that
//! counts is the proxy's time on its core per request: it is what a request costs, whoever is
//! the bottleneck.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    load::Summary,
    peer::{Peer, Setting},
    process::{self, Running, Usage},
    rig::Rig,
    scenario::Scenario,
};

/// How a comparison is made.
#[derive(Debug)]
pub struct Terms {
    /// Times each proxy is measured in each scenario.
    pub rounds: u32,
    /// How long each time.
    pub lasting: Duration,
    /// How long before that without looking.
    pub warm_up: Duration,
    /// Where the proxies run.
    pub proxy_core: usize,
    /// Where the load and the origin run.
    pub load_core: usize,
    /// The origin's port; the proxies get those that follow.
    pub port: u16,
    /// The folder of configurations.
    pub templates: PathBuf,
    /// A folder for the proxies' files.
    pub dir: PathBuf,
}

/// One proxy in one round of one scenario.
#[derive(Debug, Clone)]
pub struct Row {
    /// The scenario's name.
    pub scenario: &'static str,
    /// The proxy's name.
    pub peer: String,
    /// Which round, from 1.
    pub round: u32,
    /// What the load saw.
    pub load: Summary,
    /// Microseconds of the proxy's processes for each request.
    pub cpu_us: f64,
    /// Where that was read.
    pub cpu_source: &'static str,
    /// Memory of the proxy's processes at the end, in KiB.
    pub rss_kib: u64,
    /// How busy the proxy was, as a share of one core.
    pub busy: f64,
    /// How busy the load and the origin were: near 1 they are the bottleneck.
    pub load_busy: f64,
    /// Time others took on the proxy's core: more than a little and the row is suspect.
    pub others: f64,
}

/// Measures `peers` in `scenario`, telling each row to `tell`.
///
/// # Errors
/// A sentence, when a proxy does not start or does not answer.
pub fn run(
    scenario: &Scenario,
    peers: &[Peer],
    terms: &Terms,
    tell: &mut dyn FnMut(&Row),
) -> Result<Vec<Row>, String> {
    process::pin(terms.load_core)?;
    let upstream = local(terms.port);
    let rig = Rig::new().and_then(|rig| rig.with_origin(upstream));
    let mut rig =
        rig.map_err(|error| format!("the origin cannot use port {}: {error}", terms.port))?;
    let mut started = Vec::new();
    for (peer, port) in peers.iter().zip(terms.port + 1..) {
        if peer.takes_part(&terms.templates, scenario) {
            started.push(start(peer, local(port), scenario, terms, &mut rig)?);
        }
    }
    let mut rows = Vec::new();
    for round in 1..=terms.rounds.min(ROUNDS_MAX) {
        let mut order: Vec<usize> = (0..started.len()).collect();
        if round % 2 == 0 {
            order.reverse();
        }
        for at in order {
            let row = measure(&mut started[at], scenario, round, terms, &mut rig)?;
            tell(&row);
            rows.push(row);
        }
    }
    Ok(rows)
}

struct Started {
    name: String,
    address: SocketAddr,
    running: Running,
}

fn start(
    peer: &Peer,
    listen: SocketAddr,
    scenario: &Scenario,
    terms: &Terms,
    rig: &mut Rig,
) -> Result<Started, String> {
    let dir = terms.dir.join(format!("{}-{}", scenario.name, peer.name));
    fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let (templates, upstream, core) = (&terms.templates, local(terms.port), terms.proxy_core);
    let setting = Setting { templates, dir: &dir, listen, upstream, core };
    if TcpStream::connect_timeout(&listen, KNOCK_TIMEOUT).is_ok() {
        return Err(format!("somebody else listens on {listen}; choose another --port"));
    }
    let mut running = peer.start(scenario, &setting)?;
    let end = Instant::now() + START_TIMEOUT;
    while Instant::now() < end {
        // The origin is served meanwhile: a proxy may ask after its health first.
        rig.serve(Duration::from_millis(50)).map_err(|error| error.to_string())?;
        if let Some(why) = running.gone() {
            return Err(format!("{why}; it said:\n{}", last_words(&dir)));
        }
        if TcpStream::connect_timeout(&listen, KNOCK_TIMEOUT).is_ok() {
            return Ok(Started { name: peer.name.clone(), address: listen, running });
        }
    }
    Err(format!("{} does not listen on {listen}; it said:\n{}", peer.name, last_words(&dir)))
}

fn measure(
    started: &mut Started,
    scenario: &Scenario,
    round: u32,
    terms: &Terms,
    rig: &mut Rig,
) -> Result<Row, String> {
    let plan = scenario.plan(started.address);
    let mut edges: Vec<(Usage, Usage, Duration)> = Vec::new();
    let running = &started.running;
    let stretch = rig
        .measure(plan, terms.warm_up, terms.lasting, &mut || {
            edges.push((running.usage(), process::own_usage(), core_busy(terms.proxy_core)));
        })
        .map_err(|error| format!("{} in {}: {error}", started.name, scenario.name))?;
    if let Some(why) = started.running.gone() {
        return Err(why);
    }
    let [(before, own_before, core_before), (after, own_after, core_after)] = edges[..] else {
        return Err("a stretch has two edges".to_owned());
    };
    let seconds = stretch.lasted.as_secs_f64();
    let load = stretch.seen.summary(seconds);
    if load.requests == 0 {
        return Err(format!("{} answered nothing in {}", started.name, scenario.name));
    }
    let cpu_seconds = after.cpu_ns.saturating_sub(before.cpu_ns) as f64 / 1e9;
    let own_seconds = own_after.cpu_ns.saturating_sub(own_before.cpu_ns) as f64 / 1e9;
    let core_seconds = core_after.saturating_sub(core_before).as_secs_f64();
    Ok(Row {
        scenario: scenario.name,
        peer: started.name.clone(),
        round,
        cpu_us: cpu_seconds * 1e6 / load.requests as f64,
        cpu_source: started.running.cpu_source(),
        rss_kib: after.rss_kib,
        busy: cpu_seconds / seconds,
        load_busy: own_seconds / seconds,
        others: (core_seconds - cpu_seconds).max(0.0) / seconds,
        load,
    })
}

/// How long `core` has been busy since the machine started, to the tick.
fn core_busy(core: usize) -> Duration {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let name = format!("cpu{core} ");
    let Some(line) = text.lines().find_map(|line| line.strip_prefix(&name)) else {
        return Duration::ZERO;
    };
    let ticks = line.split_whitespace().filter_map(|ticks| ticks.parse::<u64>().ok());
    // user nice system idle iowait irq softirq steal: all but idle and iowait.
    let busy: u64 =
        ticks.take(8).enumerate().filter(|(at, _)| !matches!(at, 3 | 4)).map(|(_, t)| t).sum();
    Duration::from_millis(busy.saturating_mul(TICK_MILLIS))
}

fn last_words(dir: &Path) -> String {
    let text = fs::read_to_string(dir.join("log")).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(20).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Linux tells user space hundredths of a second on every machine we know.
const TICK_MILLIS: u64 = 10;
const ROUNDS_MAX: u32 = 100;
const START_TIMEOUT: Duration = Duration::from_secs(15);
const KNOCK_TIMEOUT: Duration = Duration::from_millis(200);
