//! What is told of routes: the same as of versions, in coarser cells, by the route.

use gnomon_config::{Config, model::Action};
use gnomon_policy::golden;

use super::{
    super::{
        catalogue as c,
        fold::{Fold, Histogram},
        text::Page,
    },
    Told,
};
use crate::cells::{
    Cell,
    routes::{FAILURES, RouteBook, RouteCells, Time},
};

/// A version on a route: its labels, and what each core has counted.
struct Row<'a> {
    labels: [&'a str; 4],
    cells: Vec<&'a RouteCells>,
}

impl Row<'_> {
    const fn labels_and<'l>(&'l self, last: &'l str) -> [&'l str; 5] {
        let [route, upstream, version, arm] = self.labels;
        [route, upstream, version, arm, last]
    }

    fn sum(&self, cell: impl Fn(&RouteCells) -> &Cell) -> u64 {
        self.cells.iter().map(|cells| cell(cells).read()).sum()
    }
}

pub(super) fn routes(page: &mut Page, config: &Config, book: &RouteBook, versions: &[Told<'_>]) {
    let rows = rows(config, book, versions);
    let mut series = page.family(&c::ROUTE_REQUESTS);
    for row in &rows {
        for (place, code) in ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().enumerate() {
            series.add(&row.labels_and(code), row.sum(|cells| &cells.classes[place]));
        }
    }
    let mut series = page.family(&c::ROUTE_ERRORS);
    for row in &rows {
        for (place, reason) in FAILURES.into_iter().enumerate() {
            series.add(&row.labels_and(reason), row.sum(|cells| &cells.failures[place]));
        }
    }
    let mut fold = Fold::new(&config.metrics.buckets);
    let mut series = page.family(&c::FIRST_BYTE);
    for row in &rows {
        series.add_histogram(&row.labels, &fold_of(&mut fold, row, Time::FirstByte));
    }
    let mut series = page.family(&c::ROUTE_DURATION);
    for row in &rows {
        for (outcome, time) in [("ok", Time::Whole), ("error", Time::Failed)] {
            series.add_histogram(&row.labels_and(outcome), &fold_of(&mut fold, row, time));
        }
    }
}

fn fold_of(fold: &mut Fold, row: &Row<'_>, time: Time) -> Histogram {
    let mut sums = vec![0; golden::CELLS];
    row.cells.iter().for_each(|cells| cells.times.add_to(time, &mut sums));
    let micros = row.cells.iter().map(|cells| cells.times.sum_micros(time)).sum();
    fold.of_sums(&sums, micros)
}

/// A route that pins a version has no other; what it sends there is no part of a split.
fn rows<'a>(config: &'a Config, book: &'a RouteBook, versions: &[Told<'a>]) -> Vec<Row<'a>> {
    let pins = |name: &str| {
        let mut routes = config.routes.iter();
        let route = routes.find(|route| *route.name == *name);
        route.is_some_and(|route| matches!(route.action, Action::Forward(_, Some(_))))
    };
    book.all()
        .map(|((route, upstream, version), cells)| {
            let is_it = |it: &&Told<'_>| it.upstream == &**upstream && it.version == &**version;
            let own = versions.iter().find(is_it).map_or("stable", |told| told.arm);
            let arm = if pins(route) { "pinned" } else { own };
            Row { labels: [route, upstream, version, arm], cells }
        })
        .collect()
}
