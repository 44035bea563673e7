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
    figure::{Figure, Row},
    load::Plan,
    peer::{Peer, Setting},
    process::{self, Running, Usage},
    rig::Rig,
    scenario::{How, Scenario, Shadow},
};

mod idle;
mod mirror;
mod restart;

/// How a comparison is made.
#[derive(Debug, Default)]
pub struct Terms {
    /// Times each proxy is measured in each scenario.
    pub rounds: u32,
    /// How long each time.
    pub lasting: Duration,
    /// How long before that without looking.
    pub warm_up: Duration,
    /// Requests a second of open loads; without it half of what the slowest can do.
    pub rate: Option<f64>,
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
    /// Where the proxies' CPU time is read, for whoever reads the figures.
    pub cpu_source: &'static str,
}

/// A proxy in one size of a scenario.
#[derive(Debug)]
struct Entrant<'a> {
    peer: &'a Peer,
    name: String,
    size: u32,
    /// Whether it may also run where the load does.
    apart: bool,
    listen: SocketAddr,
}

/// Where a scenario is played.
struct Stage<'a> {
    scenario: &'a Scenario,
    terms: &'a Terms,
    rig: Rig,
    /// The proxies' core, and that of the load.
    cores: [usize; 2],
    tell: &'a mut dyn FnMut(Event<'_>),
}

/// What happens during a comparison.
#[derive(Debug)]
pub enum Event<'a> {
    /// A row is there.
    Row(&'a Row),
    /// Something a person may want to know.
    Note(&'a str),
    /// A proxy was left out, and why.
    Missing(&'a str),
}

/// Measures `peers` in `scenario`, telling what happens to `tell`. A proxy that fails is left
/// out, which is told.
///
/// # Errors
/// A sentence, when the origin cannot be there.
pub fn run(
    scenario: &Scenario,
    peers: &[Peer],
    terms: &Terms,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Vec<Row>, String> {
    process::pin(terms.load_core)?;
    let host = if scenario.everywhere { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
    let rig = Rig::new().and_then(|rig| rig.with_origin((host, terms.port).into()));
    let rig = rig.and_then(|rig| match scenario.shadow {
        None | Some(Shadow::Refuses) => Ok(rig),
        Some(Shadow::Answers) => rig.with_shadow(shadow(terms.port), false),
        Some(Shadow::Hangs) => rig.with_shadow(shadow(terms.port), true),
    });
    let rig = rig.map_err(|error| format!("the origin cannot use port {}: {error}", terms.port))?;
    let entrants = entrants(scenario, peers, terms);
    let cores = [terms.proxy_core, terms.load_core];
    let mut stage = Stage { scenario, terms, rig, cores, tell };
    Ok(match scenario.how {
        How::Saturated => stage.at_once(&entrants, false),
        How::HalfRate => stage.at_once(&entrants, true),
        How::Idle => stage.in_turn(&entrants, idle::measure),
        How::Restart => restart::run(&mut stage, &entrants),
    })
}

fn entrants<'a>(scenario: &Scenario, peers: &'a [Peer], terms: &Terms) -> Vec<Entrant<'a>> {
    let eligible = |peer: &&Peer| {
        (peer.is_ours() || !scenario.ours) && peer.takes_part(&terms.templates, scenario)
    };
    let sized = |peer: &'a Peer, size: u32| {
        let name = match scenario.sizes {
            [_] => peer.name.clone(),
            _ => format!("{} {size}", peer.name),
        };
        Entrant { peer, name, size, apart: false, listen: local(0) }
    };
    let all = peers.iter().filter(eligible).flat_map(|peer| match scenario.shadow {
        None => scenario.sizes.iter().map(|size| sized(peer, *size)).collect(),
        Some(_) => mirror::entrants(peer),
    });
    let with_ports = all.zip(terms.port + 1..);
    with_ports.map(|(entrant, port)| Entrant { listen: local(port), ..entrant }).collect()
}

/// A proxy that serves.
#[derive(Debug)]
struct Started<'a> {
    entrant: &'a Entrant<'a>,
    dir: PathBuf,
    running: Running,
    /// From its start to its first answer.
    took: Duration,
}

impl Stage<'_> {
    fn note(&mut self, text: &str) {
        (self.tell)(Event::Note(text));
    }

    /// Every proxy runs all the time, and is loaded in its turn.
    fn at_once(&mut self, entrants: &[Entrant<'_>], open: bool) -> Vec<Row> {
        let mut all = Vec::new();
        for entrant in entrants {
            match self.start(entrant) {
                Ok(started) => all.push(started),
                Err(why) => (self.tell)(Event::Missing(&why)),
            }
        }
        let rate = if open { self.rate(&mut all) } else { None };
        self.rounds(all, |stage, started, round| {
            let mut plan = stage.plan(started.entrant);
            plan.rate = rate;
            let copies = stage.scenario.shadow.is_some();
            let books = if copies { mirror::Books::of(started)? } else { None };
            let mut row = stage.measure(started, plan, round)?;
            if let Some(rate) = rate {
                row.set(Figure::Asked, rate);
            }
            if let Some(books) = books {
                mirror::settle(stage, started, books, &mut row)?;
            }
            Ok(row)
        })
    }

    /// Every proxy is started afresh for each of its turns.
    fn in_turn(
        &mut self,
        entrants: &[Entrant<'_>],
        measure: fn(&mut Stage<'_>, &mut Started<'_>, u32) -> Result<Row, String>,
    ) -> Vec<Row> {
        self.rounds(entrants.iter().collect(), |stage, entrant, round| {
            let mut started = stage.start(entrant)?;
            measure(stage, &mut started, round)
        })
    }

    /// A B C C B A; who fails is left out from then on.
    fn rounds<T>(
        &mut self,
        mut all: Vec<T>,
        mut measure: impl FnMut(&mut Self, &mut T, u32) -> Result<Row, String>,
    ) -> Vec<Row> {
        let mut rows = Vec::new();
        for round in 1..=self.terms.rounds.min(ROUNDS_MAX) {
            let mut kept = Vec::with_capacity(all.len());
            for mut one in all {
                match measure(self, &mut one, round) {
                    Ok(row) => {
                        (self.tell)(Event::Row(&row));
                        rows.push(row);
                        kept.push(one);
                    }
                    Err(why) => {
                        (self.tell)(Event::Missing(&format!("from round {round} on: {why}")));
                    }
                }
            }
            kept.reverse();
            all = kept;
        }
        rows
    }

    /// Half of what the slowest can do, to the full hundred, unless a rate was asked for.
    fn rate(&mut self, all: &mut [Started<'_>]) -> Option<f64> {
        if self.terms.rate.is_some() {
            return self.terms.rate;
        }
        let mut slowest = f64::INFINITY;
        for started in all {
            let plan = self.plan(started.entrant);
            let row = self.measure(started, plan, 0).ok()?;
            let rate = row.get(Figure::Rate)?;
            self.note(&format!("{} can do {rate:.0} req/s", started.entrant.name));
            slowest = slowest.min(rate);
        }
        slowest.is_finite().then(|| (slowest / 200.0).floor().max(1.0) * 100.0)
    }

    fn plan(&self, entrant: &Entrant<'_>) -> Plan {
        self.scenario.plan(entrant.listen, entrant.size)
    }

    fn setting<'s>(&'s self, entrant: &Entrant<'_>, dir: &'s Path) -> Setting<'s> {
        let cores = if entrant.apart { 2 } else { 1 };
        Setting {
            templates: &self.terms.templates,
            dir,
            listen: entrant.listen,
            upstream: local(self.terms.port),
            shadow: shadow(self.terms.port),
            size: entrant.size,
            cores: &self.cores[..cores],
        }
    }

    /// Starts a proxy and waits for its first answer.
    fn start<'a>(&mut self, entrant: &'a Entrant<'a>) -> Result<Started<'a>, String> {
        let folder = format!("{}-{}", self.scenario.name, entrant.name.replace(' ', "-"));
        let dir = self.terms.dir.join(folder);
        fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let listen = entrant.listen;
        // The kernel takes down an io_uring, and the sockets in it, after its process has ended.
        let end = Instant::now() + FREE_TIMEOUT;
        while TcpStream::connect_timeout(&listen, KNOCK_TIMEOUT).is_ok() {
            if Instant::now() >= end {
                return Err(format!("somebody else listens on {listen}; choose another --port"));
            }
            std::thread::sleep(KNOCK_TIMEOUT);
        }
        let began = Instant::now();
        let mut running = entrant.peer.start(self.scenario, &self.setting(entrant, &dir))?;
        while began.elapsed() < START_TIMEOUT {
            if let Some(why) = running.gone() {
                return Err(format!("{why}; it said:\n{}", last_words(&dir)));
            }
            if TcpStream::connect_timeout(&listen, KNOCK_TIMEOUT).is_ok()
                && self.answers(entrant)?
            {
                return Ok(Started { entrant, dir, running, took: began.elapsed() });
            }
            self.rig.serve(KNOCK_PAUSE).map_err(|error| error.to_string())?;
        }
        let words = last_words(&dir);
        Err(format!("{} does not serve on {listen}; it said:\n{words}", entrant.name))
    }

    /// Whether one request has a good answer, soon.
    fn answers(&mut self, entrant: &Entrant<'_>) -> Result<bool, String> {
        let mut plan = Plan { connections: 1, depth: 1, churn: false, ..self.plan(entrant) };
        plan.requests.truncate(1);
        // One request and no second one before the first has long been answered.
        plan.rate = Some(1.0);
        let asked = self.rig.once(plan, ANSWER_TIMEOUT);
        Ok(asked.is_ok_and(|seen| seen.requests > 0 && seen.other_status == 0))
    }

    fn measure(
        &mut self,
        started: &mut Started<'_>,
        plan: Plan,
        round: u32,
    ) -> Result<Row, String> {
        let (scenario, terms, name) = (self.scenario, self.terms, &started.entrant.name);
        let mut edges: Vec<(Usage, Usage, Duration)> = Vec::new();
        let running = &started.running;
        let stretch = self
            .rig
            .measure(plan, terms.warm_up, terms.lasting, &mut || {
                edges.push((running.usage(), process::own_usage(), core_busy(terms.proxy_core)));
            })
            .map_err(|error| format!("{name} in {}: {error}", scenario.name))?;
        if let Some(why) = started.running.gone() {
            return Err(why);
        }
        let [(before, own_before, core_before), (after, own_after, core_after)] = edges[..] else {
            return Err("a stretch has two edges".to_owned());
        };
        let seconds = stretch.lasted.as_secs_f64();
        let load = stretch.seen.summary(seconds);
        if load.requests == 0 {
            return Err(format!("{name} answered nothing in {}", scenario.name));
        }
        let cpu_seconds = after.cpu_ns.saturating_sub(before.cpu_ns) as f64 / 1e9;
        let own_seconds = own_after.cpu_ns.saturating_sub(own_before.cpu_ns) as f64 / 1e9;
        let core_seconds = core_after.saturating_sub(core_before).as_secs_f64();
        let mut row = Row::new(scenario.name, name, round);
        row.set_load(&load);
        row.set(Figure::CpuUs, cpu_seconds * 1e6 / load.requests as f64);
        row.set(Figure::RssKib, after.rss_kib as f64);
        row.set(Figure::Busy, cpu_seconds / seconds);
        row.set(Figure::LoadBusy, own_seconds / seconds);
        if started.entrant.size > 0 && scenario.shadow.is_some() {
            row.set(Figure::Delivered, stretch.copies as f64 / load.requests as f64);
        }
        row.set(Figure::Others, (core_seconds - cpu_seconds).max(0.0) / seconds);
        Ok(row)
    }
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

/// Where a shadow's origin listens, or nobody does. All of 127.0.0.0/8 is this machine.
fn shadow(port: u16) -> SocketAddr {
    (Ipv4Addr::new(127, 0, 0, 2), port).into()
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Linux tells user space hundredths of a second on every machine we know.
const TICK_MILLIS: u64 = 10;
const ROUNDS_MAX: u32 = 100;
/// Envoy takes seconds for many routes.
const START_TIMEOUT: Duration = Duration::from_secs(30);
const FREE_TIMEOUT: Duration = Duration::from_secs(5);
const KNOCK_TIMEOUT: Duration = Duration::from_millis(200);
/// How exactly the time to start is known.
const KNOCK_PAUSE: Duration = Duration::from_millis(1);
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);
