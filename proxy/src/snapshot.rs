//! All that a worker may know of the outside, immutable, and the one way it gets there.
//!
//! Control builds a [`Snapshot`] and publishes it; a worker notices the new generation at its next
//! request or tick, takes it over, and writes the generation back into its cells. It is pulled:
//! no core is ever woken for it. An exchange ends under the snapshot it began with.

use std::{
    net::SocketAddr,
    ops::Range,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use gnomon_config::{
    Config,
    model::{Limits, Listener, Pool},
};
use gnomon_flags::FlagSet;
use gnomon_policy::{
    limit::Rates,
    table::{Availability, Table},
};
use gnomon_shadow::terms::Terms;
pub use gnomon_sys::address::Address;

use crate::{
    cells::{EndpointCells, VersionCells, flags::FlagBook, routes::RouteBook},
    jwt::Verifier,
    patience,
    tls::{OriginTls, ServerTls},
    trial::{FlagTrial, Trial},
};

/// What the process as a whole is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Serving.
    Serving,
    /// Another process serves whoever comes: no new connections, replies say `Connection: close`, and
    /// idle connections wait for their next request, which is told so.
    Leaving,
    /// Finishing: no new connections, replies say `Connection: close`, idle connections close.
    Draining,
    /// Over: whatever is still open is shut down.
    Closing,
}

/// All that a worker may know of the outside.
#[derive(Debug)]
pub struct Snapshot {
    /// Rises with every snapshot published.
    pub generation: u64,
    /// What the process as a whole is doing.
    pub phase: Phase,
    /// Whether somebody looks at exchanges as they end, so that all are written down.
    pub viewed: bool,
    /// The configuration it was made from.
    pub config: Arc<Config>,
    /// Its compiled routes and splits.
    pub table: Arc<Table>,
    /// Deadlines of each route, in the configuration's order.
    pub(crate) patience: Arc<patience::OfRoutes>,
    /// How often its clients may ask; absent without rates.
    pub rates: Option<Arc<Rates>>,
    /// Who gets which feature.
    pub flags: Arc<FlagSet>,
    /// Who vouches for claims; absent where nobody does.
    pub jwt: Option<Arc<Verifier>>,
    /// Which versions have an endpoint that may be used.
    pub availability: Availability,
    /// Bound listeners.
    pub listeners: Vec<ListenerView>,
    /// Versions of all upstreams, flat, in the order of the configuration.
    pub versions: Vec<VersionView>,
    /// Index in `versions` of each upstream's first version.
    pub first_version: Vec<usize>,
    /// Endpoints of all versions, flat; a version's are adjacent.
    pub endpoints: Vec<EndpointView>,
    /// Who gets copies of what; absent without shadows.
    pub shadows: Option<Arc<Terms>>,
    /// Which versions are compared, by upstream; empty without rollouts.
    pub trials: Vec<Option<Arc<Trial>>>,
    /// Flags that are judged.
    pub flag_trials: Vec<Arc<FlagTrial>>,
    /// Counters of every route and version.
    pub routes: Arc<RouteBook>,
    /// Counters of every flag and variant.
    pub flag_book: Arc<FlagBook>,
}

/// A bound listener.
#[derive(Debug)]
pub struct ListenerView {
    /// Stays the same over reloads, for as long as the address is bound.
    pub id: u64,
    /// Its configuration.
    pub config: Listener,
    /// Listening sockets, at least one for each core: of so many cores, the first serves the first, and
    /// so on, round and round. A unix socket is one and the same, duplicated. Held by control and by the core that accepts on it: an exchange that lives on must not keep open a
    /// listener that nobody serves.
    pub sockets: Vec<Weak<OwnedFd>>,
    /// The port bound, for TCP: what the kernel chose where port 0 was asked for.
    pub local: Option<SocketAddr>,
    /// How TLS is spoken with its clients, if it is.
    pub tls: Option<ServerTls>,
}

/// A version as a worker sees it.
#[derive(Debug)]
pub struct VersionView {
    /// Its endpoints, in [`Snapshot::endpoints`].
    pub endpoints: Range<usize>,
    /// Its counters, one block per core.
    pub cells: Vec<Arc<VersionCells>>,
}

/// An endpoint as a worker sees it.
#[derive(Debug)]
pub struct EndpointView {
    /// Stays the same over reloads for the same address in the same version; pools go by it.
    pub id: u64,
    /// Where it is.
    pub address: Address,
    /// What the `Host` field says under `host = "endpoint"`: name and port as configured.
    pub authority: Arc<str>,
    /// Stable seed for rendezvous hashing, from the address.
    pub seed: u64,
    /// Whether health checks and ejection let it be used.
    pub available: bool,
    /// How TLS is spoken with it, if it is. Where that changes, so does `id`.
    pub tls: Option<Arc<OriginTls>>,
    /// Whether it is told by a PROXY protocol header who each connection is for.
    pub announced: bool,
    /// Its counters, one block per core.
    pub cells: Vec<Arc<EndpointCells>>,
}

/// Client connections that one of so many cores may hold. Where `limits.connections` is 0: each may
/// need a descriptor of its own and one to an origin, and a fifth is left for everything else.
#[must_use]
pub fn connections_per_core(limits: &Limits, cores: usize) -> u32 {
    let most = match limits.connections {
        0 => u32::try_from(gnomon_sys::limits::open_files() / 2 * 4 / 5).unwrap_or(u32::MAX),
        most => most,
    };
    most.div_ceil(u32::try_from(cores).unwrap_or(u32::MAX).max(1)).max(1)
}

/// TLS handshakes with clients that one of so many cores may have under way.
#[must_use]
pub fn handshakes_per_core(limits: &Limits, cores: usize) -> u64 {
    match limits.handshakes {
        0 => 512,
        most => u64::from(most).div_ceil(cores.max(1) as u64),
    }
}

/// Connections to one endpoint that one of so many cores may hold.
#[must_use]
pub fn pool_per_core(pool: &Pool, cores: usize) -> u32 {
    pool.max.div_ceil(u32::try_from(cores).unwrap_or(u32::MAX).max(1)).max(1)
}

/// Where the current snapshot is kept.
#[derive(Debug)]
pub struct Publisher {
    generation: AtomicU64,
    current: Mutex<Arc<Snapshot>>,
}

impl Publisher {
    /// Starts with `first`.
    #[must_use]
    pub fn new(first: Snapshot) -> Self {
        Self { generation: AtomicU64::new(first.generation), current: Mutex::new(Arc::new(first)) }
    }

    /// Publishes `next`, whose generation must be greater than any before, and gives back the
    /// snapshot it replaces. Called by control alone, which keeps the old one until every core
    /// has let go of it, so that no core pays for freeing it.
    pub fn publish(&self, next: Snapshot) -> Arc<Snapshot> {
        let generation = next.generation;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *current, Arc::new(next));
        self.generation.store(generation, Ordering::Release);
        old
    }

    /// The newest generation: one load, cheap enough for every request.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The newest snapshot. Takes a lock: only for when the generation has changed.
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
