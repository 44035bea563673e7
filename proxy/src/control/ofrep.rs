//! The server for applications that ask what their users get (OFREP 0.3).
//!
//! It answers from the snapshot that the cores use, on a thread of its own, so that however many ask,
//! control goes on ejecting and rolling back. Whoever has the admin socket may ask there as well, for
//! a look; those few are answered by control.

mod answer;
mod door;
pub(super) use door::Patient;
mod routes;
mod stream;

use std::{
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use gnomon_config::Config;
use tokio::{
    runtime::Handle,
    sync::{Notify, Semaphore, watch},
    task::AbortHandle,
};

pub(super) use self::routes::{is_ours, router};
use self::stream::Edition;
use super::{
    Control,
    api::{Kind, Refused},
    doors,
    listeners::inherited::Inherited,
};
use crate::{boot::Shared, cells::totals::Totals, heritage::Tag, snapshot::Snapshot};

/// What those who answer applications share.
#[derive(Debug)]
pub(crate) struct Desk {
    shared: Arc<Shared>,
    /// Where those are served who come over its own addresses.
    runtime: Handle,
    doors: Mutex<Vec<Door>>,
    /// What the flags are now, as streams were told.
    edition: watch::Sender<Edition>,
    /// Somebody listens to changes.
    listened: Notify,
    ending: watch::Sender<Ending>,
    places: Places,
    tally: Tally,
}

/// Whether it goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    #[default]
    No,
    /// As far as those are concerned who come anew.
    Leaving,
    Now,
}

/// How many may do what at once.
#[derive(Debug)]
struct Places {
    connections: Arc<Semaphore>,
    requests: Semaphore,
    streams: Arc<Semaphore>,
    /// Of those streams that are served by control.
    admin_streams: Arc<Semaphore>,
}

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Answers, by [`STATUSES`].
    answers: [AtomicU64; STATUSES.len()],
    /// Fields that tell what the router decided: those not believed, and those believed.
    frozen: [AtomicU64; 2],
}

/// A bound address.
#[derive(Debug)]
struct Door {
    /// As configured; its port may be 0.
    wanted: SocketAddr,
    bound: SocketAddr,
    task: AbortHandle,
}

/// An address that is bound and not served yet.
#[derive(Debug)]
pub(crate) struct Unopened {
    wanted: SocketAddr,
    listener: TcpListener,
}

impl Desk {
    /// Nobody is served before its runtime runs.
    pub(crate) fn new(shared: Arc<Shared>, runtime: Handle) -> Self {
        let edition = Edition::of(&shared.publisher.current().flags);
        Self {
            shared,
            runtime,
            doors: Mutex::default(),
            edition: watch::Sender::new(edition),
            listened: Notify::new(),
            ending: watch::Sender::default(),
            places: Places {
                connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
                requests: Semaphore::new(REQUESTS_MAX),
                streams: Arc::new(Semaphore::new(STREAMS_MAX)),
                admin_streams: Arc::new(Semaphore::new(ADMIN_STREAMS_MAX)),
            },
            tally: Tally::default(),
        }
    }

    /// Runs until [`end`](Self::end) was called and those who were being answered have their answers.
    pub(crate) async fn run(self: Arc<Self>) {
        let watched = tokio::spawn(self.clone().watch_for_ever());
        self.reached(Ending::Now).await;
        for door in lock(&self.doors).drain(..) {
            door.task.abort();
        }
        watched.abort();
        let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
        // Whoever is not done by then is cut.
        let _ =
            tokio::time::timeout(door::LAST_WORD, self.places.connections.acquire_many(all)).await;
    }

    /// Waits until it ends so soon.
    async fn reached(&self, wanted: Ending) {
        let mut ending = self.ending.subscribe();
        // The sender lives in `self`.
        let _ = ending.wait_for(|ending| *ending >= wanted).await;
    }

    fn is_ending(&self) -> bool {
        *self.ending.borrow() != Ending::No
    }

    /// Another process answers from now on. Connections that are open end with their next answer,
    /// which nobody else could give; streams at once, and come again.
    pub(crate) fn leave(&self) {
        self.ending.send_replace(Ending::Leaving);
    }

    /// It is over: those who wait for an answer get it, and the others are let go.
    pub(crate) fn end(&self) {
        self.ending.send_replace(Ending::Now);
    }

    /// Where it is served, as bound.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        lock(&self.doors).iter().map(|door| door.bound).collect()
    }

    /// Streams that are open now.
    pub(super) fn streams(&self) -> usize {
        let taken = |all: &Semaphore, most| most - all.available_permits();
        taken(&self.places.streams, STREAMS_MAX)
            + taken(&self.places.admin_streams, ADMIN_STREAMS_MAX)
    }

    /// What the cores go by, or will at their next request.
    fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.publisher.current()
    }

    fn count_frozen(&self, is_believed: bool) {
        self.tally.frozen[usize::from(is_believed)].fetch_add(1, Relaxed);
    }

    fn count(&self, status: u16) {
        if let Some(at) = STATUSES.iter().position(|known| *known == status) {
            self.tally.answers[at].fetch_add(1, Relaxed);
        }
    }

    /// Binds what `config` wants and is not bound yet. Whatever fails, nothing has changed.
    pub(crate) fn bind(&self, config: &Config) -> Result<Vec<Unopened>, Refused> {
        let bound: Vec<SocketAddr> = lock(&self.doors).iter().map(|door| door.wanted).collect();
        bind(config, &bound, &mut Inherited::default())
    }
}

/// Binds all addresses of `config` but those that are `bound`, or else takes over what is open already.
pub(crate) fn bind(
    config: &Config,
    bound: &[SocketAddr],
    inherited: &mut Inherited,
) -> Result<Vec<Unopened>, Refused> {
    let Some(ofrep) = &config.flags.ofrep else { return Ok(Vec::new()) };
    let mut all: Vec<Unopened> = Vec::new();
    for &wanted in &ofrep.bind {
        if bound.contains(&wanted) || all.iter().any(|it| it.wanted == wanted) {
            continue;
        }
        if ofrep.tokens.is_none() && !wanted.ip().is_loopback() {
            let error = format!("`{KEY}`: anybody who reaches {wanted} could ask");
            return Err(Refused::new(Kind::Config, error)
                .help("set `flags.ofrep.tokens`, or bind a loopback address"));
        }
        let listener = match inherited.ofrep(wanted) {
            Some(known) => known,
            None => doors::bind_tcp(KEY, wanted)?,
        };
        all.push(Unopened { wanted, listener });
    }
    Ok(all)
}

impl Control {
    /// Serves applications where the configuration says now: at `new` and at what was open before.
    pub(crate) fn follow_ofrep(&self, new: Vec<Unopened>) {
        let config = self.state().config.clone();
        let wanted = config.flags.ofrep.iter().flat_map(|ofrep| &ofrep.bind);
        let wanted: Vec<SocketAddr> = wanted.copied().collect();
        let mut doors = lock(&self.ofrep.doors);
        doors.retain(|door| {
            let stays = wanted.contains(&door.wanted);
            if !stays {
                door.task.abort();
                self.succession.forget_door(&Tag::Ofrep(door.bound));
            }
            stays
        });
        for unopened in new {
            match self.open_ofrep(unopened) {
                Ok(door) => doors.push(door),
                Err(error) => tracing::error!(%error, "`{KEY}` cannot be served"),
            }
        }
        drop(doors);
        self.ofrep.look();
    }

    /// Answers so far, those of earlier processes among them, by status.
    pub(super) fn ofrep_answers(&self) -> impl Iterator<Item = (u16, u64)> {
        let answers = STATUSES.iter().zip(&self.ofrep.tally.answers);
        answers.map(|(status, count)| {
            let before = self.succession.own(&format!("{ANSWERS}{status}"));
            (*status, before + count.load(Relaxed))
        })
    }

    /// Requests that told what the router had decided, likewise, by what was made of it.
    pub(super) fn ofrep_frozen(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let frozen = ["refused", "believed"].into_iter().zip(&self.ofrep.tally.frozen);
        frozen.map(|(result, count)| {
            let before = self.succession.own(&format!("{FROZEN}{result}"));
            (result, before + count.load(Relaxed))
        })
    }

    /// Both, for the process that comes after this one.
    pub(super) fn leave_ofrep(&self, own: &mut Totals) {
        for (status, count) in self.ofrep_answers() {
            own.count(&format!("{ANSWERS}{status}"), count);
        }
        for (result, count) in self.ofrep_frozen() {
            own.count(&format!("{FROZEN}{result}"), count);
        }
    }

    fn open_ofrep(&self, Unopened { wanted, listener }: Unopened) -> std::io::Result<Door> {
        let bound = listener.local_addr()?;
        let double = listener.try_clone().ok().map(OwnedFd::from);
        let listener = {
            let _inside = self.ofrep.runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let task = self.ofrep.runtime.spawn(door::accept(listener, self.ofrep.clone()));
        let task = task.abort_handle();
        self.succession.note_door(Tag::Ofrep(bound), double, task.clone());
        tracing::info!(address = %bound, "applications may ask for flags");
        Ok(Door { wanted, bound, task })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What configures its addresses.
const KEY: &str = "flags.ofrep.listen";

/// What it answers with.
const STATUSES: [u16; 12] = [200, 304, 400, 401, 403, 404, 405, 408, 413, 415, 429, 500];

/// What counts are called where they are left.
const ANSWERS: &str = "ofrep_answers_";
const FROZEN: &str = "ofrep_frozen_";

/// Connections at once; those beyond wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 2048;
/// Requests at once: few, as only those count whose bodies are still to come.
const REQUESTS_MAX: usize = 256;
/// Streams at once: half of all connections, so that others can still ask.
const STREAMS_MAX: usize = 1024;
/// Streams at once over the admin API, which has 64 connections.
const ADMIN_STREAMS_MAX: usize = 16;

#[cfg(test)]
mod tests;
