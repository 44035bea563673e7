//! How full everything is that can be full: once a second, from cells and from the kernel.
//!
//! A proxy is as full as the fullest of its parts: of cores the hottest counts, never the mean, which
//! hides the one that is slow. Cores are only read, never asked.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use gnomon_config::model::Upstream;
use gnomon_sys::{limits, socket};
use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;

use super::{
    Control,
    registry::{Registry, VersionKey},
    state::State,
};
use crate::{
    cells::{EndpointCells, WAITING_MAX},
    snapshot::{connections_per_core, pool_per_core},
};

/// How full everything is, over the last second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Saturation {
    /// The process and its cores. Empty in the first second.
    pub components: Vec<Component>,
    /// In the order of the configuration.
    pub versions: Vec<OfVersion>,
    /// Share of its time that each core worked, 0 to 1, by number.
    #[serde(default)]
    pub cores: Vec<f64>,
}

/// How full one component is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// Its name: `core`, `accept_queue`, `connections`, `fds`, `upstream_pool` or `upstream_queue`.
    pub name: String,
    /// How full the fullest of its kind is, 0 to 1.
    pub ratio: f64,
    /// Which one that is.
    pub which: String,
}

/// How full what leads to a version is. What the version itself has left only it can know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OfVersion {
    /// The upstream.
    pub upstream: String,
    /// The version.
    pub version: String,
    /// Requests under way against the connections that its endpoints may have, 0 to 1.
    pub pool: f64,
    /// The longest queue for a connection against its bound, 0 to 1.
    pub queue: f64,
}

impl OfVersion {
    /// The fuller of the two.
    #[must_use]
    pub const fn ratio(&self) -> f64 {
        self.pool.max(self.queue)
    }
}

impl Saturation {
    /// The fullest component.
    #[must_use]
    pub fn hottest(&self) -> Option<&Component> {
        self.components.iter().max_by(|one, other| one.ratio.total_cmp(&other.ratio))
    }

    /// How full a version is, 0 to 1; 0 if it is not known.
    #[must_use]
    pub fn of_version(&self, upstream: &str, version: &str) -> f64 {
        let mut all = self.versions.iter();
        all.find(|it| it.upstream == upstream && it.version == version)
            .map_or(0.0, OfVersion::ratio)
    }
}

/// What has to be remembered from one look to the next.
#[derive(Debug, Default)]
struct Before {
    /// Work and waiting of each core, in nanoseconds.
    cores: Vec<(u64, u64)>,
    /// Open files that are no connections.
    others: u64,
    /// Looks so far.
    looks: u32,
}

impl Control {
    /// How full everything is, as of the last look.
    pub(crate) fn saturation(&self) -> Arc<Saturation> {
        self.saturation.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) async fn follow_saturation(self: Arc<Self>) {
        let mut looks = tokio::time::interval(EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = Before::default();
        loop {
            looks.tick().await;
            let latest = Arc::new(self.look(&mut before));
            *self.saturation.lock().unwrap_or_else(PoisonError::into_inner) = latest;
        }
    }

    fn look(&self, before: &mut Before) -> Saturation {
        let cores = self.busy_cores(before);
        let connections = self.fullest_core();
        let fds = self.files(before);
        let state = self.state();
        let versions: Vec<OfVersion> = state
            .config
            .upstreams
            .iter()
            .flat_map(|upstream| {
                let versions = upstream.versions.iter();
                versions.map(|version| of_version(&state.registry, upstream, &version.name))
            })
            .collect();
        let fullest = |name: &str, ratio: fn(&OfVersion) -> f64| {
            let fullest = versions.iter().max_by(|a, b| ratio(a).total_cmp(&ratio(b)));
            fullest.map(|it| component(name, ratio(it), format!("{}@{}", it.upstream, it.version)))
        };
        let components = [
            hottest_core(&cores),
            accept_queue(&state),
            connections,
            fds,
            fullest("upstream_pool", |it| it.pool),
            fullest("upstream_queue", |it| it.queue),
        ];
        Saturation { components: components.into_iter().flatten().collect(), versions, cores }
    }

    /// The part of the time since the last look that each core has worked; of the first look, none.
    fn busy_cores(&self, before: &mut Before) -> Vec<f64> {
        let now =
            self.shared.cores.iter().map(|core| (core.busy_nanos.read(), core.wait_nanos.read()));
        let now: Vec<(u64, u64)> = now.collect();
        let before = std::mem::replace(&mut before.cores, now);
        let pairs = before.iter().zip(&self.shared.cores);
        let busy = pairs.map(|((busy, wait), core)| {
            let stopped = core.stopped.read() == 1;
            let busy = core.busy_nanos.read() - busy;
            let whole = busy + core.wait_nanos.read() - wait;
            // A core that has not turned once in a second has no time for anything.
            if whole == 0 { f64::from(u8::from(!stopped)) } else { ratio(busy, whole) }
        });
        busy.collect()
    }

    /// The core that has the most client connections of those it may have.
    fn fullest_core(&self) -> Option<Component> {
        let cores = &self.shared.cores;
        let most = connections_per_core(&self.state().config.limits, cores.len());
        let counts = cores.iter().map(|core| core.connections.read()).enumerate();
        let (core, count) = counts.max_by_key(|(_, count)| *count)?;
        let which = format!("core {core}: {count} of {most}");
        Some(component("connections", ratio(count, most.into()), which))
    }

    /// Open files. They are counted now and then; in between, connections come and go.
    fn files(&self, before: &mut Before) -> Option<Component> {
        let most = limits::open_files();
        let cores = self.shared.cores.iter();
        let connections: u64 =
            cores.map(|core| core.connections.read() + core.origin_connections.read()).sum();
        if before.looks.is_multiple_of(COUNT_EVERY) {
            before.others = limits::open_files_now().saturating_sub(connections);
        }
        before.looks = before.looks.wrapping_add(1);
        let open = before.others + connections;
        Some(component("fds", ratio(open, most), format!("{open} of {most}")))
    }
}

/// The length of each core's queue of connections to be accepted, and its bound, by listener.
pub(super) fn queues(state: &State) -> impl Iterator<Item = (&str, usize, u32, u32)> {
    state.listeners.iter().flat_map(|bound| {
        // Of a unix socket's queue the kernel tells nothing here.
        let sockets = bound.sockets.iter().enumerate().filter(|_| bound.local.is_some());
        sockets.filter_map(|(core, listener)| {
            let (queue, most) = socket::accept_queue(listener).ok()?;
            Some((&*bound.config.name, core % state.registry.cores(), queue, most))
        })
    })
}

/// The core that has worked the largest part of the time.
fn hottest_core(cores: &[f64]) -> Option<Component> {
    let all = cores.iter().enumerate();
    let (core, ratio) = all.max_by(|one, other| one.1.total_cmp(other.1))?;
    Some(component("core", *ratio, format!("core {core}")))
}

fn accept_queue(state: &State) -> Option<Component> {
    let full =
        |(_, _, queue, most): &(&str, usize, u32, u32)| ratio((*queue).into(), (*most).into());
    let fullest = queues(state).max_by(|one, other| full(one).total_cmp(&full(other)))?;
    let (listener, core, queue, most) = fullest;
    let which = format!("{listener}, core {core}: {queue} of {most}");
    Some(component("accept_queue", full(&fullest), which))
}

fn of_version(registry: &Registry, upstream: &Upstream, version: &str) -> OfVersion {
    let key = VersionKey { upstream: upstream.name.clone(), version: version.into() };
    let known = registry.version(&key);
    let (mut places, mut in_flight, mut waiting) = (0, 0, 0);
    let cores = registry.cores();
    for key in known.into_iter().flat_map(|version| version.endpoints()) {
        let Some(entry) = registry.endpoint(key) else { continue };
        in_flight += entry.sum(|cells| &cells.in_flight);
        let longest = entry.cells.iter().map(|cells: &Arc<EndpointCells>| cells.waiting.read());
        waiting = longest.max().unwrap_or(0).max(waiting);
        if registry.is_available(key) {
            places += u64::from(pool_per_core(&upstream.pool, cores)) * cores as u64;
        }
    }
    OfVersion {
        upstream: upstream.name.to_string(),
        version: version.to_owned(),
        pool: if in_flight == 0 { 0.0 } else { ratio(in_flight, places) },
        queue: ratio(waiting, WAITING_MAX as u64),
    }
}

fn component(name: &str, ratio: f64, which: String) -> Component {
    Component { name: name.to_owned(), ratio, which }
}

/// A part of a whole, 1 at most; of nothing, all.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { (part as f64 / whole as f64).min(1.0) }
}

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// Looks between two counts of all open files, which take longer than everything else.
const COUNT_EVERY: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, ratio: f64) -> Component {
        component(name, ratio, format!("the {name}"))
    }

    #[test]
    fn the_fullest_component_is_the_hottest() {
        let mut saturation = Saturation::default();
        assert_eq!((saturation.hottest(), saturation.of_version("shop", "v2")), (None, 0.0));
        saturation.components = vec![one("core", 0.61), one("fds", 0.7), one("connections", 0.2)];
        assert_eq!(saturation.hottest().unwrap().name, "fds");
    }

    #[test]
    fn a_version_is_as_full_as_the_fuller_of_pool_and_queue() {
        let of = |version: &str, pool, queue| OfVersion {
            upstream: "shop".to_owned(),
            version: version.to_owned(),
            pool,
            queue,
        };
        let versions = vec![of("v1", 0.2, 0.0), of("v2", 0.9, 0.95)];
        let saturation = Saturation { versions, ..Saturation::default() };
        let of_version = |version| saturation.of_version("shop", version);
        assert_eq!((of_version("v1"), of_version("v2"), of_version("v3")), (0.2, 0.95, 0.0));
    }

    #[test]
    fn ratios_stay_between_none_and_all() {
        assert_eq!((ratio(1, 4), ratio(9, 4), ratio(0, 0)), (0.25, 1.0, 1.0));
    }
}
