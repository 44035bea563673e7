//! Another process takes this one's place, and nothing is lost in between.
//!
//! The new process is started, reads its configuration, and asks. This one lays down the pen:
//! rollouts rest, and all they know is on the disk. It gives its sockets, which stay open here, and
//! what it knows. Once every core of the new process accepts, it is given the pen; only then does
//! this one stop accepting and finish what it began. Until that moment it serves as ever, and
//! whatever goes wrong leaves it as it was.

mod before;
mod leaving;
mod supervised;

use std::{
    os::fd::OwnedFd,
    process::Child,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::task::AbortHandle;

pub(crate) use before::Predecessor;

use super::{
    Control,
    api::{Done, Kind, Refused},
    listeners,
    series::SeriesLeft,
};
use crate::{
    boot::Launcher,
    cells::{CoreCells, totals::Totals},
    clock::{self, Moment},
    heritage::{
        Frame, Line, PROTOCOL, Tag,
        left::{CountsLeft, Left},
    },
    snapshot::Phase,
    systemd::Supervisor,
};

/// Who was before this process, and who comes after it.
#[derive(Debug, Default)]
pub(crate) struct Succession {
    /// Starts the other process; a guest in somebody's process has none.
    launcher: Option<Launcher>,
    /// Who started this process and watches over it, if somebody does.
    pub(super) supervisor: Supervisor,
    /// How many processes were before this one.
    pub(super) number: u64,
    /// The process that left everything, as long as it lives.
    before: Mutex<Option<Predecessor>>,
    /// What the cores before have counted, by the core that counts on.
    cores: Vec<CoreCells>,
    /// What else was counted before.
    own: Mutex<Totals>,
    /// Held while a process is started.
    under_way: tokio::sync::Mutex<()>,
    /// Whether nothing may change now.
    is_handing_over: AtomicBool,
    /// The process that serves now.
    heir: OnceLock<u32>,
    /// The line to it, and what it was told last.
    line: Mutex<Option<Line>>,
    told: Mutex<CountsLeft>,
    /// Where control answers.
    doors: Mutex<Vec<(Tag, OwnedFd)>>,
    serving: Mutex<Vec<AbortHandle>>,
}

impl Succession {
    /// Of a process that may have taken another's place.
    pub(crate) fn new(
        launcher: Option<Launcher>,
        before: Option<Predecessor>,
        cores: usize,
    ) -> Self {
        let blocks: Vec<CoreCells> = (0..cores).map(|_| CoreCells::default()).collect();
        let (number, own) = before
            .as_ref()
            .map(|before| (before.succession, before.own.clone()))
            .unwrap_or_default();
        // A guest leaves the supervisor to the process.
        let supervisor =
            if launcher.is_some() { Supervisor::of_process() } else { Supervisor::default() };
        let succession = Self {
            launcher,
            supervisor,
            number,
            own: own.into(),
            cores: blocks,
            ..Self::default()
        };
        if let Some(before) = before {
            succession.count_cores(&before.cores);
            *lock(&succession.before) = Some(before);
        }
        succession
    }

    /// What a core's predecessors have counted.
    pub(super) fn core(&self, core: usize) -> Option<&CoreCells> {
        self.cores.get(core)
    }

    /// One of the other counts from before.
    pub(super) fn own(&self, name: &str) -> u64 {
        lock(&self.own).get(name)
    }

    /// The process that serves now, if it is no longer this one.
    pub(super) fn heir(&self) -> Option<u32> {
        self.heir.get().copied()
    }

    /// The process before, as long as it lives.
    pub(super) fn before(&self) -> Option<u32> {
        lock(&self.before).as_ref().map(|before| before.pid)
    }

    /// Why nothing may be changed now, if so.
    pub(super) fn in_the_way(&self) -> Option<Refused> {
        if let Some(pid) = self.heir() {
            let error = format!("this process has handed over to {pid}");
            return Some(Refused::new(Kind::State, error).help("connect again, and say it there"));
        }
        self.is_handing_over.load(Relaxed).then(|| {
            Refused::new(Kind::State, "another process is about to take over")
                .help("say it again in a second")
        })
    }

    /// This is where control answers over one of its doors.
    pub(super) fn note_door(&self, tag: Tag, door: Option<OwnedFd>, task: AbortHandle) {
        let mut doors = lock(&self.doors);
        doors.retain(|(known, _)| *known != tag);
        doors.extend(door.map(|door| (tag, door)));
        lock(&self.serving).push(task);
    }

    /// A door of control's is closed.
    pub(super) fn forget_door(&self, tag: &Tag) {
        lock(&self.doors).retain(|(known, _)| known != tag);
    }

    /// What the process before has left for consoles, once.
    pub(super) fn take_series(&self) -> Option<SeriesLeft> {
        lock(&self.before).as_mut()?.series.take()
    }

    fn count_cores(&self, totals: &[Totals]) {
        if self.cores.is_empty() {
            return;
        }
        let mut sums = vec![Totals::default(); self.cores.len()];
        for (core, totals) in totals.iter().enumerate() {
            sums[core % self.cores.len()].merge(totals);
        }
        self.cores.iter().zip(sums).for_each(|(cells, sum)| sum.put(cells));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Control {
    /// Starts the program anew and hands over to it; or says why everything is as before.
    pub(crate) async fn upgrade(self: &Arc<Self>, by: &str) -> Result<Done, Refused> {
        let Ok(_alone) = self.succession.under_way.try_lock() else {
            return Err(Refused::new(Kind::State, "an upgrade is under way already"));
        };
        let launcher = self.may_upgrade()?;
        tracing::info!(by, program = %launcher.program().display(), "upgrade: another process is started");
        match self.hand_over().await {
            Ok(pid) => {
                tracing::info!(
                    pid,
                    "upgrade: the other process serves; this one finishes what it began"
                );
                let change = format!("process {pid} serves now; {} ends", std::process::id());
                let (changes, generation) = (vec![change], self.state().generation);
                Ok(Done { ok: true, changes, generation, ..Done::default() })
            }
            Err(refused) => {
                tracing::error!(error = %refused.error, "upgrade: refused; this process goes on");
                self.upgrade_happened(&refused, by);
                Err(refused)
            }
        }
    }

    fn may_upgrade(&self) -> Result<&Launcher, Refused> {
        let not_now = |error: String| Refused::new(Kind::State, error);
        if let Some(refused) = self.succession.in_the_way() {
            return Err(refused);
        }
        if self.is_stopping() {
            return Err(not_now("the proxy is stopping".to_owned()));
        }
        if let Some(pid) = self.succession.before() {
            let error =
                format!("the last upgrade is not over: process {pid} finishes what it began");
            return Err(not_now(error).help("it ends within timeouts.grace and timeouts.drain"));
        }
        let launcher = self.succession.launcher.as_ref();
        launcher.ok_or_else(|| not_now("this proxy is a guest in another program".to_owned()))
    }

    async fn hand_over(self: &Arc<Self>) -> Result<u32, Refused> {
        let end = clock::now() + PATIENCE;
        let control = self.clone();
        let (mut child, line) = aside(move || {
            let launcher = control.succession.launcher.as_ref();
            launcher.map_or_else(|| Err(failed("there is no program")), Launcher::launch)
        })
        .await?;
        let outcome = self.negotiate(line, end).await;
        let outcome = match outcome {
            Ok(_) if self.is_stopping() => Err(failed("this process was told to stop meanwhile")),
            other => other,
        };
        match outcome {
            Ok(line) => {
                let pid = child.id();
                self.leave_to(pid, line).await;
                Ok(pid)
            }
            Err(mut refused) => {
                let ended = aside(move || Ok(end_child(&mut child))).await?;
                self.go_on();
                if let Some(status) = ended {
                    refused.error = format!("{} ({status})", refused.error);
                }
                Err(refused.help("everything is as before; the log tells more"))
            }
        }
    }

    /// Everything up to the pen. The line, if the other process serves.
    async fn negotiate(self: &Arc<Self>, line: Line, end: Moment) -> Result<Line, Refused> {
        let line = aside(move || greet(line, end)).await?;
        self.rest_shadows(end).await?;
        self.succession.is_handing_over.store(true, Relaxed);
        let rollouts = self.rest_rollouts().await?;
        let (sockets, mut left) = self.leave_everything()?;
        left.rollouts = rollouts;
        let control = self.clone();
        left.series = aside(move || Ok(control.leave_series())).await?;
        lock(&self.succession.told).clone_from(&left.counts);
        aside(move || give(line, &sockets, left, end)).await
    }

    /// No more copies are made, and what shadows have learnt is on the disk.
    async fn rest_shadows(&self, end: Moment) -> Result<(), Refused> {
        if self.state().config.shadows.is_empty() {
            return Ok(());
        }
        {
            let mut state = self.state();
            state.shadows.is_resting = true;
            state.publish(&self.shared.publisher);
        }
        tokio::time::sleep(REPORT).await;
        self.memory.rest();
        while !self.memory.is_resting() {
            if clock::now() >= end {
                return Err(failed("the store of shadows is not written in time"));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    fn leave_everything(&self) -> Result<(Vec<(Tag, OwnedFd)>, Left), Refused> {
        let (counts, tickets) = (self.counts(), self.export_tickets());
        let short = |error: std::io::Error| failed(&format!("sockets cannot be doubled: {error}"));
        let mut sockets = Vec::new();
        let mut state = self.state();
        for (name, place, socket) in listeners::places(&state.listeners) {
            let tag = Tag::Listener { name: name.to_owned(), place };
            sockets.push((tag, socket.try_clone().map_err(short)?));
        }
        for (tag, door) in lock(&self.succession.doors).iter() {
            sockets.push((tag.clone(), door.try_clone().map_err(short)?));
        }
        let (_, out) = state.registry.leave(clock::now().duration_since(self.started));
        let snapshot = self.shared.publisher.current();
        let left = Left {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            succession: self.succession.number + 1,
            splits: state.leave_splits(),
            out,
            counts,
            tickets,
            comparisons: state.comparisons.leave(),
            trials: state.trials.leave(&snapshot),
            last_reload: state.last_reload.clone(),
            flags: state.flags.leave(),
            ..Left::default()
        };
        Ok((sockets, left))
    }

    /// Nothing has come of it.
    fn go_on(&self) {
        let mut state = self.state();
        state.trials.stay();
        if std::mem::take(&mut state.shadows.is_resting) {
            state.publish(&self.shared.publisher);
        }
        drop(state);
        self.memory.wake();
        self.wake_rollouts();
        self.succession.is_handing_over.store(false, Relaxed);
    }

    /// The other process serves: this one takes nobody any more, on no core, once this returns.
    async fn leave_to(self: &Arc<Self>, pid: u32, line: Line) {
        // Set once, as only one upgrade is under way.
        let _ = self.succession.heir.set(pid);
        *lock(&self.succession.line) = Some(line);
        for task in lock(&self.succession.serving).drain(..) {
            task.abort();
        }
        lock(&self.succession.doors).clear();
        self.ofrep.leave();
        self.logs.viewers.leave();
        let generation = {
            let mut state = self.state();
            state.phase = Phase::Leaving;
            // The other process has the same sockets open: nobody in their queues is lost.
            state.listeners.clear();
            state.publish(&self.shared.publisher)
        };
        self.acknowledged(generation).await;
        tokio::spawn(self.clone().tell_for_ever());
        let control = self.clone();
        tokio::spawn(async move {
            // Whoever asked for all this is to have the answer first.
            tokio::time::sleep(LAST_WORD).await;
            control.ask_stop(super::Stop::Graceful);
        });
    }
}

/// Waits for the other process to ask.
fn greet(mut line: Line, end: Moment) -> Result<Line, Refused> {
    let asked = hear(&mut line, end)?;
    let Frame::Hello { protocol, version, pid } = asked else {
        return Err(failed(&asked.unexpected().to_string()));
    };
    if protocol != PROTOCOL {
        let error = format!("gnomon {version} takes over by protocol {protocol}, not {PROTOCOL}");
        return Err(failed(&error));
    }
    tracing::info!(version, pid, "upgrade: the other process asks");
    Ok(line)
}

/// Gives everything, waits until the other process serves, and then gives the pen.
fn give(
    mut line: Line,
    sockets: &[(Tag, OwnedFd)],
    left: Left,
    end: Moment,
) -> Result<Line, Refused> {
    let broken = |error: std::io::Error| failed(&format!("the line is broken: {error}"));
    line.send_sockets(sockets, until(end)).map_err(broken)?;
    line.send(&Frame::Left(Box::new(left)), until(end)).map_err(broken)?;
    let answer = hear(&mut line, end)?;
    if !matches!(answer, Frame::Serving) {
        return Err(failed(&answer.unexpected().to_string()));
    }
    line.send(&Frame::Pen, until(end)).map_err(broken)?;
    Ok(line)
}

fn hear(line: &mut Line, end: Moment) -> Result<Frame, Refused> {
    match line.receive(until(end)) {
        Ok(Some(Frame::Refused(refused))) => Err(refused),
        Ok(Some(frame)) => Ok(frame),
        Ok(None) => Err(failed("the other process has ended before it served")),
        Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
            Err(failed(&format!("the other process does not serve within {PATIENCE:?}")))
        }
        Err(error) => Err(failed(&format!("the other process is not understood: {error}"))),
    }
}

fn until(end: Moment) -> Duration {
    end.saturating_duration_since(clock::now())
}

/// Ends a process that did not come up; how it ended, if it did so by itself.
fn end_child(child: &mut Child) -> Option<std::process::ExitStatus> {
    let end = clock::now() + LAST_WORD;
    while clock::now() < end {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        std::thread::park_timeout(LOOK);
    }
    // It may have ended just now.
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// Does what may block beside the control thread.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(failed(&format!("this is a bug: {error}"))))
}

fn failed(error: &str) -> Refused {
    Refused::new(Kind::Machine, error)
}

/// How long the other process may take, from its start until it serves.
const PATIENCE: Duration = Duration::from_secs(30);
/// Until the shadow thread has told what it knows; it does so twice a second.
const REPORT: Duration = Duration::from_millis(600);
/// How long somebody is waited for who is about to end, or to be answered.
const LAST_WORD: Duration = Duration::from_millis(200);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);
