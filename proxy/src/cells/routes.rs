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

use super::{Cell, totals::Totals};

/// What one core counts about one version on one route.
///
/// A request of one of ten thousand routes finds none of this in the cache: what it counts lies in
/// as few cache lines as can be.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct RouteCells {
    /// Requests by how the version came about: coin or sticky hash, pinned, fallback.
    pub arms: [Cell; 3],
    /// Replies by class: 1xx (upgrades), 2xx, 3xx, 4xx, 5xx.
    pub classes: [Cell; 5],
    /// Exchanges without a whole reply: connect, reset, timeout, truncated, malformed.
    pub failures: [Cell; 5],
    /// Of the requests, those that took more than one attempt.
    pub retried: Cell,
    /// How long they took.
    pub times: Times,
}

/// What [`RouteCells::failures`] counts, in its order.
pub const FAILURES: [&str; 5] = ["connect", "reset", "timeout", "truncated", "protocol"];

/// What a histogram is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// Total time of exchanges with a status below 500.
    Whole,
    /// Time to the reply's first byte, from the request's head.
    FirstByte,
    /// Total time of exchanges with a status of 500 or above.
    Failed,
}

/// Histograms of durations: four neighbouring cells of [`golden`]'s layout in one, so that a cell's
/// middle is within 6 % of what it counts. Whole and first byte lie cell by cell beside each other,
/// since they are mostly about the same; the failed have room of their own once one has.
#[derive(Debug)]
pub struct Times {
    /// Sums in microseconds, in the order of [`Time`].
    sums: [Cell; 3],
    pairs: [[Cell; 2]; COARSE_CELLS],
    failed: OnceLock<Box<[Cell; COARSE_CELLS]>>,
}

/// So many neighbouring cells of [`golden`]'s layout are one.
pub(super) const COARSE: usize = 4;
/// Cells of such a histogram.
pub(super) const COARSE_CELLS: usize = golden::CELLS / COARSE;

impl Default for Times {
    fn default() -> Self {
        let pairs = std::array::from_fn(|_| <[Cell; 2]>::default());
        Self { sums: Default::default(), pairs, failed: OnceLock::new() }
    }
}

impl Times {
    /// Counts one duration.
    pub fn record(&self, time: Time, nanos: u64) {
        let place = golden::bucket(nanos) / COARSE;
        let pair = || self.pairs.get(place);
        let cell = match time {
            Time::Whole => pair().map(|pair| &pair[0]),
            Time::FirstByte => pair().map(|pair| &pair[1]),
            Time::Failed => self.failed().get(place),
        };
        if let Some(cell) = cell {
            cell.add(1);
            self.sums[time as usize].add(nanos / 1000);
        }
    }

    /// The cells of one histogram, in order. Room for the failed is there once one has, or if it is to
    /// be made.
    pub(crate) fn cells(&self, time: Time, make: bool) -> Vec<&Cell> {
        match time {
            Time::Whole => self.pairs.iter().map(|pair| &pair[0]).collect(),
            Time::FirstByte => self.pairs.iter().map(|pair| &pair[1]).collect(),
            Time::Failed if make => self.failed().iter().collect(),
            Time::Failed => self.failed.get().into_iter().flat_map(|cells| cells.iter()).collect(),
        }
    }

    /// The cell of a sum.
    pub(crate) const fn sum_cell(&self, time: Time) -> &Cell {
        &self.sums[time as usize]
    }

    #[cold]
    fn failed(&self) -> &[Cell; COARSE_CELLS] {
        self.failed.get_or_init(|| Box::new(std::array::from_fn(|_| Cell::default())))
    }

    /// The sum of all, in microseconds.
    #[must_use]
    pub fn sum_micros(&self, time: Time) -> u64 {
        self.sums[time as usize].read()
    }

    /// Adds these counts to `sums`, which has [`golden::CELLS`] places: each to the second of the
    /// four that it stands for.
    pub fn add_to(&self, time: Time, sums: &mut [u64]) {
        let mut add = |place: usize, cell: &Cell| {
            if let Some(sum) = sums.get_mut(place * COARSE + 1) {
                *sum += cell.read();
            }
        };
        match time {
            Time::Whole => (0..).zip(&self.pairs).for_each(|(place, pair)| add(place, &pair[0])),
            Time::FirstByte => {
                (0..).zip(&self.pairs).for_each(|(place, pair)| add(place, &pair[1]))
            }
            Time::Failed => {
                let cells = self.failed.get().into_iter().flat_map(|cells| cells.iter());
                (0..).zip(cells).for_each(|(place, cell)| add(place, cell));
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

    /// What an earlier process has counted goes into the last block of cells, which no core has.
    pub(crate) fn inherit(&self, counted: &[((String, String, String), Totals)]) {
        let Some(last) = self.cores.last() else { return };
        let places: HashMap<(&str, &str, &str), usize> = self
            .names
            .iter()
            .zip(0..)
            .map(|((route, upstream, version), place)| ((&**route, &**upstream, &**version), place))
            .collect();
        for ((route, upstream, version), totals) in counted {
            let place = places.get(&(&**route, &**upstream, &**version));
            if let Some(cells) = place.and_then(|place| last.get(*place)) {
                totals.put(&**cells.get_or_init(Arc::default));
            }
        }
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
