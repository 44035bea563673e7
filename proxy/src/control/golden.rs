//! The golden signals of the latest minute, by route and version.
//!
//! Every ten seconds the cores' cells are added up, and what came since the last time is kept, as
//! few numbers as it is. A window is the sum of the latest of these.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use gnomon_config::model::Name;
use gnomon_policy::golden;
use hdrhistogram::Histogram;

use super::{
    Control,
    api::{Arms, Golden, Quantiles, RouteFailures},
};
use crate::{
    cells::routes::{RouteBook, RouteCells, Time},
    clock::{self, Moment},
};

/// A route, its upstream and a version.
type Key = (Name, Name, Name);

/// What the latest windows are made of.
#[derive(Debug)]
pub(crate) struct Minute {
    /// When each began, and what has been counted since, until the next.
    parts: VecDeque<(Moment, HashMap<Key, Counted>)>,
    /// All that had been counted when the last part was begun.
    before: HashMap<Key, Counted>,
    begun: Moment,
}

/// What the cores have counted together: plain numbers, then the cells of three histograms.
#[derive(Clone, Debug, Default, PartialEq)]
struct Counted {
    plain: [u64; PLAIN],
    latency: Cells,
    failure_latency: Cells,
    first_byte: Cells,
}

/// Cells that are not 0, by their place.
pub(super) type Cells = Vec<(u16, u64)>;

/// Four arms, five classes, five failures.
const PLAIN: usize = 14;

impl Control {
    /// The golden signals of the latest minute.
    pub(crate) fn golden(&self) -> Vec<Golden> {
        let book = self.state().routes.clone();
        self.minute().report(&book, clock::now())
    }

    /// Adds up what the cores have counted.
    pub(crate) fn follow_golden(&self) {
        let book = self.state().routes.clone();
        self.minute().turn(&book, clock::now());
    }
}

impl Minute {
    pub(crate) fn new() -> Self {
        Self { parts: VecDeque::new(), before: HashMap::new(), begun: clock::now() }
    }

    /// Begins with what has been counted before.
    pub(crate) fn begin(&mut self, book: &RouteBook) {
        self.before = count(book);
    }

    /// Ends a part and begins the next.
    fn turn(&mut self, book: &RouteBook, now: Moment) {
        let all = count(book);
        let part = self.since(&all);
        self.parts.push_back((self.begun, part));
        (self.before, self.begun) = (all, now);
        while self.parts.len() > PARTS {
            self.parts.pop_front();
        }
    }

    /// What has been counted since the last part was begun.
    fn since(&self, all: &HashMap<Key, Counted>) -> HashMap<Key, Counted> {
        let new = |(key, counted): (&Key, &Counted)| {
            let new = counted.minus(self.before.get(key));
            (new != Counted::default()).then(|| (key.clone(), new))
        };
        all.iter().filter_map(new).collect()
    }

    fn report(&self, book: &RouteBook, now: Moment) -> Vec<Golden> {
        let newest = self.since(&count(book));
        let begun = self.parts.front().map_or(self.begun, |(begun, _)| *begun);
        let mut sums: HashMap<&Key, Counted> = HashMap::new();
        let parts = self.parts.iter().map(|(_, part)| part).chain([&newest]);
        for (key, counted) in parts.flatten() {
            sums.entry(key).or_default().plus(counted);
        }
        let window = now.duration_since(begun);
        let mut all: Vec<Golden> =
            sums.into_iter().map(|(key, counted)| counted.golden(key, window)).collect();
        all.sort_by(|a, b| (&a.route, &a.version).cmp(&(&b.route, &b.version)));
        all
    }
}

impl Counted {
    fn of(cores: &[&RouteCells]) -> Self {
        let mut counted = Self::default();
        for cells in cores {
            let RouteCells { arms, retried, classes, failures, .. } = cells;
            let plain = arms.iter().chain([retried]).chain(classes).chain(failures);
            counted.plain.iter_mut().zip(plain).for_each(|(sum, cell)| *sum += cell.read());
        }
        let cells = |time| {
            let mut sums = vec![0; golden::CELLS];
            cores.iter().for_each(|cells| cells.times.add_to(time, &mut sums));
            let counted = (0..).zip(sums).filter(|(_, count)| *count > 0);
            counted.collect()
        };
        counted.latency = cells(Time::Whole);
        counted.failure_latency = cells(Time::Failed);
        counted.first_byte = cells(Time::FirstByte);
        counted
    }

    fn minus(&self, before: Option<&Self>) -> Self {
        let mut new = self.clone();
        let Some(before) = before else { return new };
        for (sum, less) in new.plain.iter_mut().zip(before.plain) {
            *sum = sum.saturating_sub(less);
        }
        take(&mut new.latency, &before.latency);
        take(&mut new.failure_latency, &before.failure_latency);
        take(&mut new.first_byte, &before.first_byte);
        new
    }

    fn plus(&mut self, more: &Self) {
        self.plain.iter_mut().zip(more.plain).for_each(|(sum, more)| *sum += more);
        add(&mut self.latency, &more.latency);
        add(&mut self.failure_latency, &more.failure_latency);
        add(&mut self.first_byte, &more.first_byte);
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of a minute")]
    fn golden(&self, (route, upstream, version): &Key, window: Duration) -> Golden {
        let [drawn, pinned, fallback, retried, rest @ ..] = self.plain;
        let [c1, c2, c3, c4, c5, connect, reset, timeout, truncated, protocol] = rest;
        let requests = drawn + pinned + fallback;
        // A failure before the reply began is answered by us, with a 5xx.
        let failed = c5 + truncated;
        let seconds = window.as_secs_f64();
        Golden {
            route: route.to_string(),
            upstream: upstream.to_string(),
            version: version.to_string(),
            seconds,
            rate: requests as f64 / seconds.max(1e-3),
            arms: Arms { drawn, pinned, fallback, retried },
            classes: [c1, c2, c3, c4, c5],
            failures: RouteFailures { connect, reset, timeout, truncated, protocol },
            error_rate: failed as f64 / requests.max(1) as f64,
            latency: quantiles(&self.latency),
            failure_latency: quantiles(&self.failure_latency),
            first_byte: quantiles(&self.first_byte),
        }
    }
}

fn count(book: &RouteBook) -> HashMap<Key, Counted> {
    book.all().map(|(key, cores)| (key.clone(), Counted::of(&cores))).collect()
}

pub(super) fn take(from: &mut Cells, less: &Cells) {
    for (place, count) in less {
        if let Ok(at) = from.binary_search_by_key(place, |(known, _)| *known) {
            from[at].1 = from[at].1.saturating_sub(*count);
        }
    }
    from.retain(|(_, count)| *count > 0);
}

pub(super) fn add(into: &mut Cells, more: &Cells) {
    for (place, count) in more {
        match into.binary_search_by_key(place, |(known, _)| *known) {
            Ok(at) => into[at].1 += count,
            Err(at) => into.insert(at, (*place, *count)),
        }
    }
}

/// Quantiles of what cells have counted, each taken for the middle of its cell.
fn quantiles(cells: &Cells) -> Quantiles {
    // Two digits are more than the cells have.
    let Ok(mut histogram) = Histogram::<u64>::new(2) else { return Quantiles::default() };
    for (place, count) in cells {
        let (low, high) = golden::bounds(usize::from(*place));
        // It grows as it must, and no cell is beyond what it can hold.
        let _ = histogram.record_n(low + (high - low) / 2, *count);
    }
    let at = |q: f64| {
        let seconds = Duration::from_nanos(histogram.value_at_quantile(q)).as_secs_f64();
        (!histogram.is_empty()).then_some(seconds)
    };
    Quantiles {
        count: histogram.len(),
        p50_seconds: at(0.5),
        p90_seconds: at(0.9),
        p99_seconds: at(0.99),
        max_seconds: at(1.0),
    }
}

/// How long a part is.
pub(crate) const PART: Duration = Duration::from_secs(10);
/// With the one that is under way, a minute.
const PARTS: usize = 5;

#[cfg(test)]
mod tests;
