//! The golden signals of every route and version.
//!
//! Ten thousand routes would need a lot of room on every core, most of it for routes that nobody
//! asks for: a route's cells are made when the first request of it ends on a core.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use gnomon_config::{
    Config,
    model::{Action, Name, VersionIx},
};
use gnomon_policy::{RouteIx, golden};

use super::Cell;

/// What one core counts about one version on one route.
#[derive(Debug, Default)]
pub struct RouteCells {
    /// Requests by how the version came about: coin or sticky hash, pinned, fallback.
    pub arms: [Cell; 3],
    /// Of them, those that took more than one attempt.
    pub retried: Cell,
    /// Replies by class: 1xx (upgrades), 2xx, 3xx, 4xx, 5xx.
    pub classes: [Cell; 5],
    /// Exchanges without a whole reply: connect, reset, timeout, truncated, malformed.
    pub failures: [Cell; 5],
    /// Total time of exchanges with a status below 500.
    pub latency: Coarse,
    /// Total time of the others.
    pub failure_latency: Coarse,
    /// Time to the reply's first byte, from the request's head.
    pub first_byte: Coarse,
}

/// What [`RouteCells::failures`] counts, in its order.
pub const FAILURES: [&str; 5] = ["connect", "reset", "timeout", "truncated", "protocol"];

/// A histogram of durations: four neighbouring cells of [`golden`]'s layout in one, so that a
/// cell's middle is within 6 % of what it counts.
#[derive(Debug)]
pub struct Coarse {
    cells: [Cell; golden::CELLS / COARSE],
    /// Sum of all, in microseconds.
    pub sum_micros: Cell,
}

const COARSE: usize = 4;

impl Default for Coarse {
    fn default() -> Self {
        Self { cells: std::array::from_fn(|_| Cell::default()), sum_micros: Cell::default() }
    }
}

impl Coarse {
    /// Counts one duration.
    pub fn record(&self, nanos: u64) {
        if let Some(cell) = self.cells.get(golden::bucket(nanos) / COARSE) {
            cell.add(1);
            self.sum_micros.add(nanos / 1000);
        }
    }

    /// Adds these counts to `sums`, which has [`golden::CELLS`] places: each to the second of the
    /// four that it stands for.
    pub fn add_to(&self, sums: &mut [u64]) {
        for (sums, cell) in sums.chunks_mut(COARSE).zip(&self.cells) {
            if let Some(sum) = sums.get_mut(1) {
                *sum += cell.read();
            }
        }
    }
}

/// The cells of all routes, for all cores. Made anew with every configuration; what a route of the
/// same name has counted for a version of the same name goes on.
#[derive(Debug, Default)]
pub struct RouteBook {
    /// What a place is called.
    names: Vec<(Name, Name, Name)>,
    /// By route, the place of its upstream's first version.
    starts: Vec<u32>,
    /// By core, then by place.
    cores: Vec<Box<[OnceLock<Arc<RouteCells>>]>>,
}

impl RouteBook {
    /// The book of `config`, with what `before` has counted.
    #[must_use]
    pub fn new(config: &Config, cores: usize, before: Option<&Self>) -> Self {
        let (mut names, mut starts) = (Vec::new(), Vec::with_capacity(config.routes.len()));
        for route in &config.routes {
            starts.push(u32::try_from(names.len()).unwrap_or(u32::MAX));
            let Action::Forward(upstream, _) = route.action else { continue };
            let upstream = &config.upstreams[usize::from(upstream.0)];
            let versions = upstream.versions.iter();
            names.extend(
                versions.map(|version| {
                    (route.name.clone(), upstream.name.clone(), version.name.clone())
                }),
            );
        }
        let known: HashMap<_, usize> =
            before.iter().flat_map(|book| book.names.iter().zip(0..)).collect();
        let cell = |core: usize, name| {
            let kept = known.get(name).and_then(|&place| before?.cores.get(core)?[place].get());
            kept.map_or_else(OnceLock::new, |kept| OnceLock::from(Arc::clone(kept)))
        };
        let all = (0..cores).map(|core| names.iter().map(|name| cell(core, name)).collect());
        Self { cores: all.collect(), names, starts }
    }

    /// A core's cells of a version on a route.
    #[must_use]
    pub fn cells(&self, core: usize, route: RouteIx, version: VersionIx) -> Option<&RouteCells> {
        let place = *self.starts.get(route.0 as usize)? as usize + usize::from(version.0);
        self.cores.get(core)?.get(place).map(|cell| &**cell.get_or_init(Arc::default))
    }

    /// Everything that any core has counted: route, upstream, version, and the cores' cells.
    pub fn all(&self) -> impl Iterator<Item = (&(Name, Name, Name), Vec<&RouteCells>)> {
        let used = |place: usize| -> Vec<&RouteCells> {
            self.cores.iter().filter_map(|core| core.get(place)?.get()).map(|it| &**it).collect()
        };
        let named = self.names.iter().enumerate().map(move |(place, name)| (name, used(place)));
        named.filter(|(_, cells)| !cells.is_empty())
    }
}

#[cfg(test)]
mod tests;
