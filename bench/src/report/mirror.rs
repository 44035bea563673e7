//! The table of a scenario with copies: each proxy beside itself without them.

use std::fmt::Write;

use super::{Spread, peers};
use crate::{
    figure::{Figure, Row},
    scenario::Scenario,
};

/// What copies cost, and what else there is to know of who made them.
pub(super) fn table(scenario: &Scenario, rows: &[&Row], main: Figure) -> String {
    let also: Vec<Figure> = ALSO.into_iter().filter(|figure| *figure != main).collect();
    let mut text = format!("### {}: {}\n\n| | {} |", scenario.name, scenario.what, main.title());
    for title in COSTS.iter().copied().chain(also.iter().map(|figure| figure.title())) {
        let _ = write!(text, " {title} |");
    }
    let _ = writeln!(text, " faults |\n|{}", "---|".repeat(3 + COSTS.len() + also.len()));
    for peer in peers(rows) {
        let tell = |figure| {
            Spread::of(rows, &peer, figure).map_or_else(|| "–".to_owned(), |all| all.tell(figure))
        };
        let _ = write!(text, "| {peer} | {} |", tell(main));
        for cost in costs(rows, &peer) {
            let _ = match cost {
                Some(cost) => write!(text, " {cost:.2} |"),
                None => write!(text, " – |"),
            };
        }
        for figure in &also {
            let _ = write!(text, " {} |", tell(*figure));
        }
        let faults: f64 = rows.iter().filter(|row| row.peer == peer).map(|row| row.faults()).sum();
        let _ = writeln!(text, " {faults:.0} |");
    }
    text
}

/// What `peer` costs more than without copies, and how much slower it is; nothing for the proxy
/// without copies.
fn costs(rows: &[&Row], peer: &str) -> [Option<f64>; COSTS.len()] {
    let Some((plain, _)) = peer.split_once(' ') else { return [None; COSTS.len()] };
    let of = |peer, figure| Spread::of(rows, peer, figure).map(|spread| spread.median);
    let both = |figure| Some((of(peer, figure)?, of(plain, figure)?));
    let ratio = |figure| both(figure).map(|(with, without)| with / without);
    let added = both(Figure::CpuUs).map(|(with, without)| with - without);
    let delivered = of(peer, Figure::Delivered).filter(|share| *share >= DELIVERED_MIN);
    let each = added.zip(delivered).map(|(added, share)| added / share);
    [added, each, ratio(Figure::Rate), ratio(Figure::P50Us), ratio(Figure::P99Us)]
}

const COSTS: [&str; 5] =
    ["added us/req", "added us/copy", "req/s to itself", "p50 to itself", "p99 to itself"];
const ALSO: [Figure; 10] = [
    Figure::CpuUs,
    Figure::Rate,
    Figure::P50Us,
    Figure::P99Us,
    Figure::Delivered,
    Figure::Compared,
    Figure::Dropped,
    Figure::RssKib,
    Figure::LoadBusy,
    Figure::Others,
];
/// With fewer copies than this, the price of one is a guess.
const DELIVERED_MIN: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    #[test]
    fn everybody_is_compared_with_themselves() {
        let row = |peer: &str, cpu_us, rate, delivered: Option<f64>| {
            let mut row = Row::new("mirror", peer, 1);
            row.set(Figure::CpuUs, cpu_us);
            row.set(Figure::Rate, rate);
            if let Some(delivered) = delivered {
                row.set(Figure::Delivered, delivered);
            }
            row
        };
        let rows = [
            row("gnomon", 8.0, 100.0, None),
            row("gnomon mirrored", 10.0, 97.0, Some(0.5)),
            row("nginx", 10.0, 90.0, None),
            row("nginx mirrored", 75.0, 9.0, Some(1.0)),
        ];
        let scenario = scenario::by_name("mirror").unwrap();
        let table = table(&scenario, &rows.iter().collect::<Vec<_>>(), Figure::CpuUs);
        assert!(table.contains("| gnomon | 8.00 | – | – | – | – | – | 100 |"), "{table}");
        assert!(
            table.contains("| gnomon mirrored | 10.00 | 2.00 | 4.00 | 0.97 | – | – | 97 |"),
            "{table}"
        );
        assert!(table.contains("| nginx mirrored | 75.00 | 65.00 | 65.00 | 0.10 |"), "{table}");
    }
}
