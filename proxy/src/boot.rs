//! The order of starting and stopping; the only place that spawns a thread.
//!
//! Starting: file descriptors, cores, listeners, names, the first snapshot, the cores' threads, the
//! log, the shadow, control. Whatever fails before the end is told plainly, and nothing stays
//! bound. Nothing here is global: several proxies may live in one process.

mod shadower;
mod tickets;

use std::{
    fmt,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use gnomon_config::{
    Loaded, Problems,
    model::{Bind, Cores, Listener, Name, Runtime},
};
use gnomon_shadow::{counts::Account, lanes, run::Desk};
use gnomon_sys::{affinity, entropy, limits};

use self::shadower::Shadower;
pub use crate::control::{Report, Stop};
use crate::{
    access,
    cells::CoreCells,
    clock,
    control::{
        Control, Doors, Parts,
        api::{Done, Kind, Refused, Status},
        listeners, logs,
        memory::Memory,
        reload, resolve,
        rollouts::Rollouts,
        state::State,
    },
    guard::Guard,
    log::OwnLog,
    snapshot::{Phase, Publisher},
    tls::check::{self, Overdue},
    trial::{self, Sighting},
    worker,
};

/// What control and the cores share.
#[derive(Debug)]
pub struct Shared {
    /// The road by which state reaches a core.
    pub publisher: Publisher,
    /// One block of counters for each core.
    pub cores: Vec<Arc<CoreCells>>,
    /// What all cores hold clients to together.
    pub guard: Guard,
}

/// Reads the configuration.
pub type Load = Arc<dyn Fn() -> Result<Loaded, Problems> + Send + Sync>;

/// What a proxy is started with.
pub struct Options {
    /// Reads the configuration: now, and at every reload.
    pub load: Load,
    /// Whether the process's signals are for this proxy.
    pub signals: Signals,
    /// Our own log, where it is installed.
    pub log: Option<OwnLog>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("signals", &self.signals).finish_non_exhaustive()
    }
}

/// Whether the process's signals are for a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signals {
    /// They are: it is the process.
    Handled,
    /// They are not: it is a guest in it.
    Ignored,
}

/// Starts a proxy; it serves when this returns.
///
/// # Errors
/// Why it could not be started; [`Kind::Config`] if its configuration is to blame.
pub fn start(options: Options) -> Result<Running, Refused> {
    let Options { load, signals, log } = options;
    let Prepared { mut state, places, doors, runtime, open_files, files } = prepare(&load)?;
    // Before the first snapshot: nobody gets more of a canary than was written down.
    let mut rollouts = Rollouts::open(&state.config, clock::wall().as_secs());
    rollouts.restore(&mut state);
    let shared = Arc::new(Shared {
        publisher: Publisher::new(state.build()),
        cores: (0..places.count()).map(|_| Arc::default()).collect(),
        guard: Guard::new(secret(&seed()?)),
    });
    let config = state.config.clone();
    let logs = Arc::new(logs::Desk::new(config.access_log.clone()));
    let bell = |error| Refused::new(Kind::Machine, format!("the shadow thread's bell: {error}"));
    let (desk, ear) = Desk::new().map_err(bell)?;
    let shadow = Arc::new(desk);
    let memory = Arc::new(Memory::new(&config.state.dir));
    let started = start_workers(&shared, &places, &config.runtime, &shadow).and_then(|workers| {
        let shadower = Shadower {
            cores: workers.shadowed,
            ear,
            desk: shadow.clone(),
            runtime: config.runtime.clone(),
            cpu: places.spare(),
        };
        let threads = Threads::start(workers.rings, shadower, &logs, &memory)?;
        Ok((workers.drivers, workers.sightings, threads))
    });
    let (drivers, sightings, threads) = started.inspect_err(|_| {
        // Cores that did start give up their listeners.
        (state.phase, state.listeners) = (Phase::Closing, Vec::new());
        state.publish(&shared.publisher);
    })?;
    announce(&state, &places, &drivers, open_files);
    let control = Arc::new(Control::new(Parts {
        shared,
        state,
        load,
        logs,
        own_log: log,
        shadow,
        memory,
        rollouts,
        drivers,
        sightings,
        admin_address: doors.tcp.as_ref().and_then(|tcp| tcp.local_addr().ok()),
    }));
    let handle = runtime.handle().clone();
    let thread = spawn("gnomon-control", {
        let control = control.clone();
        move || {
            affinity::lower_priority(CONTROL_NICE);
            let report = runtime.block_on(control.run(signals, doors));
            // Tasks that a look-up or a check keeps waiting are not worth waiting for.
            runtime.shutdown_background();
            threads.end();
            report
        }
    })?;
    files.keep();
    Ok(Running { control, handle, thread: Some(thread) })
}

/// All that may fail for want of rights or of room, done.
struct Prepared {
    state: State,
    places: Places,
    doors: Doors,
    runtime: tokio::runtime::Runtime,
    open_files: u64,
    files: Files,
}

fn prepare(load: &Load) -> Result<Prepared, Refused> {
    let loaded = check::checked(load(), clock::wall().as_secs(), Overdue::Served);
    let loaded = loaded.map_err(|problems| Refused::new(Kind::Config, problems.render(false)))?;
    for warning in loaded.warnings.iter() {
        tracing::warn!(code = warning.code, "{}", warning.message);
    }
    let config = loaded.config;
    let open_files = limits::raise_open_files();
    let places = Places::of(&config.runtime)?;
    reload::check_sinks(&config)?;
    let mut files = Files(Vec::new());
    let mut last_id = 0;
    let bound = bind(&config.listeners, places.count(), &mut last_id)?;
    files.0.extend(bound.iter().filter_map(|bound| match &bound.bind {
        Bind::Unix(path) => Some(path.clone()),
        Bind::Tcp(_) => None,
    }));
    let doors = Doors::bind(&config)?;
    files.0.push(config.admin.socket.clone());
    let runtime = control_runtime()?;
    let answers = runtime.block_on(resolve::look_up(resolve::targets(&config)));
    let state = State::new(config, places.count(), bound, last_id, answers)?;
    Ok(Prepared { state, places, doors, runtime, open_files, files })
}

/// Binds all listeners. A ring gives its sockets back a moment after its process was killed: who is
/// started again at once finds them still in use.
fn bind(
    wanted: &[Listener],
    cores: usize,
    last_id: &mut u64,
) -> Result<Vec<listeners::Bound>, Refused> {
    for _ in 0..BIND_TRIES {
        if let Ok(bound) = listeners::bind_all(wanted, &[], cores, last_id) {
            return Ok(bound);
        }
        thread::park_timeout(BIND_PAUSE);
    }
    listeners::bind_all(wanted, &[], cores, last_id)
}

/// Socket files, removed again unless the start comes to a good end.
struct Files(Vec<PathBuf>);

impl Files {
    fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for path in &self.0 {
            // It may be gone already.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A proxy that runs.
pub struct Running {
    control: Arc<Control>,
    handle: tokio::runtime::Handle,
    thread: Option<JoinHandle<Report>>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}

impl Running {
    /// Where it listens over TCP, by listener, as bound.
    #[must_use]
    pub fn addresses(&self) -> Vec<(Name, SocketAddr)> {
        self.control.addresses()
    }

    /// Path of its admin socket.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        self.control.socket()
    }

    /// Where its admin API answers over TCP, if it does.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.control.admin_address
    }

    /// Where the metrics are served on their own, if they are.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.control.metrics_address()
    }

    /// What `GET /v1/status` says.
    #[must_use]
    pub fn status(&self) -> Status {
        self.control.status()
    }

    /// The counters and the publisher.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.control.shared
    }

    /// Reads the configuration again, as SIGHUP does.
    ///
    /// # Errors
    /// Why nothing has changed.
    pub fn reload(&self) -> Result<Done, Refused> {
        let (sender, receiver) = crossbeam_channel::bounded(1);
        let control = self.control.clone();
        self.handle.spawn(async move {
            // Nobody may be waiting any more.
            let _ = sender.send(control.reload().await);
        });
        let gone = || Refused::new(Kind::State, "the proxy has stopped");
        receiver.recv().map_err(|_| gone())?
    }

    /// Asks for a stop, and does not wait for it.
    pub fn ask_stop(&self, stop: Stop) {
        self.control.ask_stop(stop);
    }

    /// Stops as configured, by grace and drain, and waits for it.
    #[must_use]
    pub fn stop(self) -> Report {
        self.ask_stop(Stop::Graceful);
        self.wait()
    }

    /// Waits until a signal or the API has stopped it.
    #[must_use]
    pub fn wait(mut self) -> Report {
        let ended = self.thread.take().map(JoinHandle::join);
        match ended {
            Some(Ok(report)) => report,
            Some(Err(_)) | None => {
                tracing::error!("the control thread has panicked; please report this as a bug");
                Report::default()
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that fails must not leave a proxy behind; after `wait` there is nothing to stop.
        if self.thread.is_some() {
            self.ask_stop(Stop::Now);
        }
    }
}

/// Which core each worker runs on.
#[derive(Debug)]
struct Places {
    cores: Vec<usize>,
    pinned: bool,
}

impl Places {
    /// Chooses them as configured.
    fn of(runtime: &Runtime) -> Result<Self, Refused> {
        let allowed = affinity::allowed_cores();
        let quota = affinity::cgroup_quota();
        let cores = choose_cores(&runtime.cores, &allowed, quota)?;
        // More workers than cores, or than the quota pays for, would only stand in line if pinned.
        let pinned = runtime.pin && cores.iter().all(|core| allowed.contains(core));
        Ok(Self { cores, pinned })
    }

    fn count(&self) -> usize {
        self.cores.len()
    }

    /// A core that no worker is pinned to, if there is one.
    fn spare(&self) -> Option<usize> {
        let allowed = affinity::allowed_cores();
        allowed.into_iter().rev().find(|core| !self.cores.contains(core)).filter(|_| self.pinned)
    }

    fn cpu(&self, index: usize) -> Option<usize> {
        self.cores.get(index).copied().filter(|_| self.pinned)
    }
}

/// The cores to run on, one for each worker.
fn choose_cores(
    wanted: &Cores,
    allowed: &[usize],
    quota: Option<usize>,
) -> Result<Vec<usize>, Refused> {
    if allowed.is_empty() {
        return Err(Refused::new(Kind::Machine, "the affinity mask allows no core"));
    }
    let within = |cores: &[usize]| {
        let most = quota.unwrap_or(usize::MAX).clamp(1, cores.len());
        // One for control and the kernel's own work, where there are enough.
        let most = if most >= 4 { most - 1 } else { most };
        cores[..most].to_vec()
    };
    match wanted {
        Cores::Auto => Ok(within(allowed)),
        Cores::Physical => Ok(within(&affinity::one_per_physical_core(allowed))),
        // A count is obeyed, even beyond what there is: tests of many workers want that.
        Cores::Count(count) => {
            Ok(allowed.iter().copied().cycle().take((*count).clamp(1, CORES_MAX)).collect())
        }
        Cores::List(list) => match list.iter().find(|core| !allowed.contains(core)) {
            None if !list.is_empty() => Ok(list.clone()),
            None => Err(Refused::new(Kind::Config, "`runtime.cores` lists no core")),
            Some(core) => {
                let error = format!("`runtime.cores`: core {core} is not allowed to this process");
                Err(Refused::new(Kind::Machine, error).help(format!("allowed are: {allowed:?}")))
            }
        },
    }
}

#[derive(Default)]
struct Workers {
    drivers: Vec<String>,
    rings: Vec<rtrb::Consumer<u8>>,
    /// What cores have seen of users and requests in trials.
    sightings: Vec<rtrb::Consumer<Sighting>>,
    /// The shadow thread's end of each core.
    shadowed: Vec<gnomon_shadow::run::Core>,
}

/// Starts every worker and waits until each has said how it asks the kernel for IO.
fn start_workers(
    shared: &Arc<Shared>,
    places: &Places,
    runtime: &Runtime,
    shadow: &Arc<Desk>,
) -> Result<Workers, Refused> {
    let count = places.count();
    let mut workers = Workers::default();
    let mut reports = Vec::new();
    for index in 0..count {
        let (log, ring) = rtrb::RingBuffer::new(access::RING_BYTES);
        let (sightings, seen) = rtrb::RingBuffer::new(trial::SIGHTINGS);
        let (lane, outlet) = lanes::lane(lanes::PLACES);
        let (report, reported) = crossbeam_channel::bounded(1);
        workers.rings.push(ring);
        workers.sightings.push(seen);
        let account = Arc::new(Account { core: index, ..Account::default() });
        workers.shadowed.push(gnomon_shadow::run::Core { outlet, account: account.clone() });
        reports.push(reported);
        let setup = worker::Setup {
            index,
            cpu: places.cpu(index),
            shared: shared.clone(),
            log,
            sightings,
            runtime: runtime.clone(),
            lane,
            account,
            shadow: shadow.clone(),
            seed: seed()?,
            report,
        };
        // Never joined: a worker parks after its end, since its ring must not be dropped.
        drop(spawn(&format!("gnomon-core-{index}"), move || worker::run(setup))?);
    }
    for (index, reported) in reports.iter().enumerate() {
        let driver = match reported.recv_timeout(PATIENCE) {
            Ok(Ok(driver)) => driver,
            Ok(Err(why)) => {
                return Err(Refused::new(Kind::Machine, format!("core {index}: {why}")));
            }
            Err(_) => {
                let error = format!("core {index} did not start within {PATIENCE:?}");
                return Err(Refused::new(Kind::Machine, error));
            }
        };
        workers.drivers.push(driver);
    }
    Ok(workers)
}

/// The threads that end with the proxy.
struct Threads {
    desk: Arc<logs::Desk>,
    shadow: Arc<Desk>,
    memory: Arc<Memory>,
    log: JoinHandle<()>,
    shadows: JoinHandle<()>,
    store: JoinHandle<()>,
}

impl Threads {
    fn start(
        mut rings: Vec<rtrb::Consumer<u8>>,
        shadower: Shadower,
        desk: &Arc<logs::Desk>,
        memory: &Arc<Memory>,
    ) -> Result<Self, Refused> {
        let log = spawn("gnomon-log", {
            let desk = desk.clone();
            move || logs::run(&mut rings, &desk)
        })?;
        let shadow = shadower.desk.clone();
        let seed = seed()?;
        let shadows = spawn("gnomon-shadow", move || shadower.run(seed))?;
        let store = spawn("gnomon-store", {
            let (memory, shadow) = (memory.clone(), shadow.clone());
            move || memory.keep(&shadow)
        })?;
        let (desk, memory) = (desk.clone(), memory.clone());
        Ok(Self { desk, shadow, memory, log, shadows, store })
    }

    /// Has them finish and waits for it.
    fn end(self) {
        self.desk.end();
        self.shadow.end();
        join(self.log);
        join(self.shadows);
        // Last, as it writes what the shadow thread has published in the end.
        self.memory.end();
        join(self.store);
    }
}

/// Waits for a thread to end, but not for one that is stuck: the process ends all the same.
fn join(thread: JoinHandle<()>) {
    let begun = clock::now();
    while !thread.is_finished() && begun.elapsed() < PATIENCE_TO_END {
        thread.thread().unpark();
        thread::park_timeout(LOOK);
    }
    if !thread.is_finished() {
        let name = thread.thread().name().unwrap_or_default();
        tracing::warn!(name, "a thread does not end and is left behind");
    } else if thread.join().is_err() {
        tracing::error!("a thread has panicked; please report this as a bug");
    }
}

/// Clients come first, but on a core that is shared with a busy worker control gets its quarter.
const CONTROL_NICE: i32 = 5;

fn control_runtime() -> Result<tokio::runtime::Runtime, Refused> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // getaddrinfo blocks; a few names at a time are enough.
        .max_blocking_threads(8)
        .thread_name("gnomon-names")
        .build()
        .map_err(|error| Refused::new(Kind::Machine, format!("the control thread: {error}")))
}

fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Refused> {
    thread::Builder::new().name(name.to_owned()).spawn(body).map_err(|error| {
        Refused::new(Kind::Machine, format!("the thread {name} cannot be started: {error}"))
            .help("raise TasksMax, or the limit of processes of the proxy's user")
    })
}

pub(crate) fn seed() -> Result<[u8; 32], Refused> {
    entropy::draw().map_err(|error| Refused::new(Kind::Machine, format!("/dev/urandom: {error}")))
}

/// The key of the limits' tables.
fn secret(seed: &[u8; 32]) -> [u64; 2] {
    let half = |at: usize| seed[at..at + 8].iter().fold(0, |all, &byte| all << 8 | u64::from(byte));
    [half(0), half(8)]
}

/// Says plainly what has been started.
fn announce(state: &State, places: &Places, drivers: &[String], open_files: u64) {
    let config = &state.config;
    let listeners: Vec<String> = state
        .listeners
        .iter()
        .map(|bound| format!("{} {}", bound.config.name, bound.address()))
        .collect();
    // A client and an origin connection each.
    if u64::from(config.limits.connections) * 2 > open_files {
        let connections = config.limits.connections;
        tracing::warn!(
            connections,
            open_files,
            "limits.connections needs more file descriptors than there are: raise LimitNOFILE"
        );
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = %config.files.first().map(|path| path.display().to_string()).unwrap_or_default(),
        cores = places.count(),
        pinned = places.pinned,
        open_files,
        connections = config.limits.connections,
        locked_memory = ?limits::locked_memory(),
        listeners = listeners.join(", "),
        admin = %config.admin.socket.display(),
        "gnomon serves"
    );
    for (core, driver) in drivers.iter().enumerate() {
        tracing::info!(core, driver, "core");
    }
}

/// Workers at most, whatever is counted: each has a ring and a mebibyte of log.
const CORES_MAX: usize = 1024;
/// How long a core may take to build its driver.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a thread may take to end: the store writes once more.
const PATIENCE_TO_END: Duration = Duration::from_secs(5);
/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(5);
/// Tries to bind before the last one, and what lies between two: a second in all.
const BIND_TRIES: u32 = 20;
const BIND_PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;
