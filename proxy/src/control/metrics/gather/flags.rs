//! What is told of flags: who had which variant, and what became of their requests.

use gnomon_config::Config;

use super::super::{catalogue as c, fold::Fold, text::Page};
use crate::cells::flags::{Counted, FlagBook, OUTCOMES};

pub(super) fn flags(page: &mut Page, config: &Config, book: &FlagBook) {
    let all: Vec<([&str; 2], Counted<'_>)> =
        book.all().map(|((flag, variant), counted)| ([&**flag, &**variant], counted)).collect();
    let mut series = page.family(&c::FLAG_EXPOSURES);
    for ([flag, variant], counted) in &all {
        series.add(&[flag, variant, "router"], counted.sum(|cells| &cells.exposures));
        series.add(&[flag, variant, "ofrep"], counted.sum(|cells| &cells.asked));
    }
    let mut series = page.family(&c::FLAG_REQUESTS);
    for ([flag, variant], counted) in &all {
        for (place, outcome) in OUTCOMES.into_iter().enumerate() {
            series.add(&[flag, variant, outcome], counted.sum(|cells| &cells.requests[place]));
        }
    }
    let mut fold = Fold::new(&config.metrics.buckets);
    let mut series = page.family(&c::FLAG_DURATION);
    for (labels, counted) in &all {
        let micros = counted.sum(|cells| &cells.micros);
        series.add_histogram(labels, &fold.of_sums(&counted.times(), micros));
    }
}
