//! The order of starting and stopping; the only place that spawns a thread.
//!
//! Starting: file descriptors, cores, listeners, names, the first snapshot, the cores' threads, the
//! log, the shadow, control. Whatever fails before the end is told plainly, and nothing stays
//! bound. Nothing here is global: several proxies may live in one process.

mod announcing;
mod answering;
mod files;
mod heir;
mod launch;
pub(crate) mod places;
mod recall;
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
    model::{Bind, Listener, Name, Runtime},
};
use gnomon_shadow::{counts::Account, lanes, run::Desk};
use gnomon_sys::{affinity, entropy, limits};

pub use self::heir::renounce;
pub(crate) use self::launch::Launcher;
use self::{
    answering::Answering,
    files::Files,
    heir::{Given, Heir},
    places::Places,
    recall::{open_flags, open_rollouts},
    shadower::Shadower,
};
pub use crate::control::{Report, Stop};
use crate::{
    access,
    cells::CoreCells,
    clock,
    control::{
        Control, Doors, Parts, Predecessor, Succession,
        api::{Done, Kind, Refused, Status},
        flags,
        gate::Gate,
        listeners::{self, inherited::Inherited},
        logs,
        memory::Memory,
        reload, resolve,
        state::State,
    },
    guard::Guard,
    log::OwnLog,
    snapshot::{Phase, Publisher},
    systemd::Supervisor,
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
    let mut heir = Heir::of(options.signals)?;
    let started = start_as(options, &mut heir);
    if let (Some(heir), Err(refused)) = (heir, &started) {
        heir.refuse(refused);
    }
    started
}

/// Starts a proxy that may be another one's heir.
fn start_as(options: Options, heir: &mut Option<Heir>) -> Result<Running, Refused> {
    let Options { load, signals, log } = options;
    // First of all, as its processes inherit what this thread is now.
    let launcher = (signals == Signals::Handled).then(Launcher::new).transpose()?;
    let prepared = prepare(&load, signals, heir)?;
    let Prepared { mut state, places, mut doors, runtime, open_files, files, .. } = prepared;
    let Prepared { mut given, flags, gate, .. } = prepared;
    // Before the first snapshot: nobody gets more of a canary than was written down.
    let rollouts = open_rollouts(&mut state, given.as_mut().map(|given| &mut *given.left))?;
    open_flags(&mut state, flags, given.as_mut().map(|given| &mut *given.left));
    let shared = Arc::new(Shared {
        publisher: Publisher::new(state.build()),
        cores: (0..places.count()).map(|_| Arc::default()).collect(),
        guard: Guard::new(secret(&seed()?)),
    });
    let config = state.config.clone();
    let logs = Arc::new(logs::Desk::new(&config));
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
        let answering = Answering::start(&shared)?;
        let ofrep = answering.desk.clone();
        let threads = Threads::start(workers.rings, shadower, &logs, &memory, answering)?;
        let before = take_over(heir, given.take(), &shared)?;
        Ok((workers.drivers, workers.sightings, threads, before, ofrep))
    });
    let (drivers, sightings, threads, before, ofrep) = started.inspect_err(|_| {
        // Cores that did start give up their listeners.
        (state.phase, state.listeners) = (Phase::Closing, Vec::new());
        state.publish(&shared.publisher);
    })?;
    announcing::announce(&state, &places, &drivers, open_files);
    let succession = Succession::new(launcher, before, places.count());
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
        succession,
        ofrep,
        gate,
    }));
    control.follow_ofrep(std::mem::take(&mut doors.ofrep));
    files.keep();
    let handle = runtime.handle().clone();
    let running = control.clone();
    let thread = spawn("gnomon-control", move || {
        affinity::lower_priority(CONTROL_NICE);
        let report = runtime.block_on(running.run(signals, doors));
        // Tasks that a look-up or a check keeps waiting are not worth waiting for.
        runtime.shutdown_background();
        threads.end();
        report
    })?;
    Ok(Running { control, handle, thread: Some(thread) })
}

/// Takes the place of the process before, if there is one: every core accepts, and from now on this
/// one decides.
fn take_over(
    heir: &mut Option<Heir>,
    given: Option<Given>,
    shared: &Shared,
) -> Result<Option<Predecessor>, Refused> {
    let Some(given) = given else { return Ok(None) };
    heir::await_cores(&shared.cores)?;
    let before = heir.take().map(|heir| heir.serve(&given.left)).transpose()?;
    let supervisor = Supervisor::of_process();
    given.sockets.close(|name| supervisor.forget(name));
    Ok(before)
}

/// All that may fail for want of rights or of room, done.
struct Prepared {
    state: State,
    places: Places,
    doors: Doors,
    runtime: tokio::runtime::Runtime,
    open_files: u64,
    files: Files,
    /// What the process before has given, if there is one.
    given: Option<Given>,
    /// What is known of flags beside the configuration.
    flags: flags::Opened,
    /// Who may come in over the admin API.
    gate: Gate,
}

fn prepare(load: &Load, signals: Signals, heir: &mut Option<Heir>) -> Result<Prepared, Refused> {
    let loaded = check::checked(load(), clock::wall().as_secs(), Overdue::Served);
    let loaded = loaded.map_err(|problems| Refused::new(Kind::Config, problems.render(false)))?;
    for warning in loaded.warnings.iter() {
        tracing::warn!(code = warning.code, "{}", warning.message);
    }
    let config = loaded.config;
    let open_files = limits::raise_open_files();
    let places = Places::of(&config.runtime)?;
    reload::check_sinks(&config)?;
    let gate = Gate::make(&config.admin)?;
    let runtime = control_runtime()?;
    let answers = runtime.block_on(resolve::look_up(resolve::targets(&config)));
    let flags = runtime.block_on(flags::open(&config, clock::wall().as_secs()));
    // The process before does nothing else from here on: all that takes its time is done.
    let mut given = heir.as_mut().map(Heir::ask).transpose()?;
    let sockets = if heir.is_none() && signals == Signals::Handled {
        Supervisor::sockets()
    } else {
        Vec::new()
    };
    let mut alone = Inherited::from_supervisor(sockets);
    let inherited = given.as_mut().map_or(&mut alone, |given| &mut given.sockets);
    let mut files = Files(Vec::new());
    let mut last_id = 0;
    let have = inherited.listeners(&config.listeners, places.count(), &mut last_id);
    let bound = bind(&config.listeners, &have, places.count(), &mut last_id)?;
    let is_new = |bound: &&listeners::Bound| !have.iter().any(|known| known.id == bound.id);
    files.0.extend(bound.iter().filter(is_new).filter_map(|bound| match &bound.bind {
        Bind::Unix(path) => Some(path.clone()),
        Bind::Tcp(_) => None,
    }));
    let (doors, is_socket_new) = Doors::bind(&config, inherited)?;
    if is_socket_new {
        files.0.push(config.admin.socket.clone());
    }
    let state = State::new(config, places.count(), bound, last_id, answers)?;
    let supervisor = Supervisor::of_process();
    alone.close(|name| supervisor.forget(name));
    Ok(Prepared { state, places, doors, runtime, open_files, files, given, flags, gate })
}

/// Binds all listeners. A ring gives its sockets back a moment after its process was killed: who is
/// started again at once finds them still in use.
fn bind(
    wanted: &[Listener],
    have: &[listeners::Bound],
    cores: usize,
    last_id: &mut u64,
) -> Result<Vec<listeners::Bound>, Refused> {
    for _ in 0..BIND_TRIES {
        if let Ok(bound) = listeners::bind_all(wanted, have, cores, last_id) {
            return Ok(bound);
        }
        thread::park_timeout(BIND_PAUSE);
    }
    listeners::bind_all(wanted, have, cores, last_id)
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

    /// Where applications ask for flags, beside the admin API.
    #[must_use]
    pub fn ofrep_addresses(&self) -> Vec<SocketAddr> {
        self.control.ofrep.addresses()
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
                // Nobody has told the cores to end: that is no success.
                Report { cut: self.control.connections(), stuck: self.control.shared.cores.len() }
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
    answering: Answering,
}

impl Threads {
    fn start(
        mut rings: Vec<rtrb::Consumer<u8>>,
        shadower: Shadower,
        desk: &Arc<logs::Desk>,
        memory: &Arc<Memory>,
        answering: Answering,
    ) -> Result<Self, Refused> {
        let log = spawn("gnomon-log", {
            let (desk, copies) = (desk.clone(), shadower.desk.spans.clone());
            move || logs::run(&mut rings, &copies, &desk)
        })?;
        let shadow = shadower.desk.clone();
        let seed = seed()?;
        let shadows = spawn("gnomon-shadow", move || shadower.run(seed))?;
        let store = spawn("gnomon-store", {
            let (memory, shadow) = (memory.clone(), shadow.clone());
            move || memory.keep(&shadow)
        })?;
        let (desk, memory) = (desk.clone(), memory.clone());
        Ok(Self { desk, shadow, memory, log, shadows, store, answering })
    }

    /// Has them finish and waits for it.
    fn end(self) {
        self.desk.end();
        self.shadow.end();
        self.answering.end();
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
