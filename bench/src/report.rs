//! Rows to files and tables.

use std::fmt::Write;

use crate::{
    figure::{Figure, Row},
    peer::RELAY,
    scenario::{How, Scenario},
};

mod mirror;

/// Every row as comma-separated values, a line of names first.
#[must_use]
pub fn csv(rows: &[Row]) -> String {
    let mut text = String::from("scenario,peer,round");
    for figure in Figure::ALL {
        let _ = write!(text, ",{}", figure.name());
    }
    text.push('\n');
    for row in rows {
        let _ = write!(text, "{},{},{}", row.scenario, row.peer, row.round);
        for figure in Figure::ALL {
            match row.get(figure) {
                Some(value) => drop(write!(text, ",{}", (value * 1e3).round() / 1e3)),
                None => text.push(','),
            }
        }
        text.push('\n');
    }
    text
}

/// What `csv` wrote. Columns may come in any order, and some may be missing.
///
/// # Errors
/// A sentence on the line that makes no sense.
pub fn parse(csv: &str) -> Result<Vec<Row>, String> {
    let mut lines = csv.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let mut rows = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let values: Vec<&str> = line.split(',').collect();
        let at = |name: &str| {
            let column = names.iter().position(|known| *known == name)?;
            values.get(column).copied()
        };
        let (Some(scenario), Some(peer), Some(round)) =
            (at("scenario"), at("peer"), at("round").and_then(|round| round.parse().ok()))
        else {
            return Err(format!("not a row: {line}"));
        };
        let mut row = Row::new(scenario, peer, round);
        for figure in Figure::ALL {
            if let Some(value) = at(figure.name()).and_then(|value| value.parse().ok()) {
                row.set(figure, value);
            }
        }
        rows.push(row);
    }
    Ok(rows)
}

/// What is compared, and what is told beside it.
fn figures(how: How) -> (Figure, &'static [Figure]) {
    use Figure as F;
    match how {
        How::Saturated => {
            (F::CpuUs, &[F::Rate, F::P50Us, F::P99Us, F::P999Us, F::RssKib, F::LoadBusy, F::Others])
        }
        How::HalfRate => {
            (F::P99Us, &[F::P50Us, F::P999Us, F::MaxUs, F::Asked, F::Rate, F::CpuUs, F::Others])
        }
        How::Idle => (F::IdlePrivate, &[F::IdlePss, F::IdleRss, F::Idle, F::RssKib]),
        How::Restart => (
            F::StartMs,
            &[F::ReloadMs, F::P99Us, F::ReloadP99Us, F::ReloadRequests, F::ReloadLost, F::Asked],
        ),
    }
}

/// One row for the eye, while the comparison runs.
#[must_use]
pub fn line(row: &Row, how: How) -> String {
    let mut line = format!("{:<14} {:<15} round {:<2}", row.scenario, row.peer, row.round);
    let (main, also) = figures(how);
    let all = std::iter::once(main).chain(also.iter().copied().take(4));
    for figure in all.chain([Figure::Delivered]) {
        if let Some(value) = row.get(figure) {
            let _ = write!(line, "  {} {}", figure.tell(value), figure.title());
        }
    }
    if row.faults() > 0.0 {
        let _ = write!(line, "  {} faults", row.faults());
    }
    if row.get(Figure::Others).is_some_and(|others| others > OTHERS_MAX) {
        line.push_str("  disturbed: others took time on the core");
    }
    line
}

/// The proxies in `rows`, in order of appearance.
#[must_use]
pub fn peers(rows: &[&Row]) -> Vec<String> {
    let mut peers: Vec<String> = Vec::new();
    for row in rows {
        if !peers.contains(&row.peer) {
            peers.push(row.peer.clone());
        }
    }
    peers
}

/// The table of one scenario: medians with their spread, and ratios to whom there is.
#[must_use]
pub fn table(scenario: &Scenario, rows: &[&Row]) -> String {
    let (main, also) = figures(scenario.how);
    let peers = peers(rows);
    if scenario.shadow.is_some() {
        return mirror::table(scenario, rows, main);
    }
    let of = |peer: &str| Spread::of(rows, peer, main).map(|spread| spread.median);
    let references = if scenario.sizes.len() > 1 {
        vec![("to the first", peers.first().and_then(|first| of(first)))]
    } else {
        let rivals =
            peers.iter().filter(|peer| !matches!(peer.as_str(), "gnomon" | "before" | RELAY));
        let best = rivals.filter_map(|peer| of(peer)).min_by(f64::total_cmp);
        vec![("to nginx", of("nginx")), ("to the best peer", best), ("to the floor", of(RELAY))]
    };
    let references: Vec<_> =
        references.into_iter().filter_map(|(title, value)| Some((title, value?))).collect();
    let mut text = format!("### {}: {}\n\n| | {} |", scenario.name, scenario.what, main.title());
    for title in references.iter().map(|(title, _)| *title).chain(also.iter().map(|f| f.title())) {
        let _ = write!(text, " {title} |");
    }
    let columns = 3 + references.len() + also.len();
    let _ = writeln!(text, " faults |\n|{}", "---|".repeat(columns));
    for peer in &peers {
        let tell = |figure| {
            Spread::of(rows, peer, figure).map_or_else(|| "–".to_owned(), |all| all.tell(figure))
        };
        let _ = write!(text, "| {peer} | {} |", tell(main));
        for (_, reference) in &references {
            let ratio = of(peer).map_or(f64::NAN, |own| own / reference);
            let _ = write!(text, " {ratio:.2} |");
        }
        for figure in also {
            let _ = write!(text, " {} |", tell(*figure));
        }
        let faults: f64 = rows.iter().filter(|row| row.peer == *peer).map(|row| row.faults()).sum();
        let _ = writeln!(text, " {faults:.0} |");
    }
    text
}

/// The middle and the ends of some values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// As many are below as above.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// The spread of a figure of `peer` over the rounds, if it was measured.
    #[must_use]
    pub fn of(rows: &[&Row], peer: &str, figure: Figure) -> Option<Self> {
        let own = rows.iter().filter(|row| row.peer == peer);
        let mut values: Vec<f64> = own.filter_map(|row| row.get(figure)).collect();
        values.sort_by(f64::total_cmp);
        let (&least, &most) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Some(Self { median, least, most })
    }

    fn tell(&self, figure: Figure) -> String {
        let [median, least, most] = [self.median, self.least, self.most].map(|it| figure.tell(it));
        if least == most { median } else { format!("{median} [{least}..{most}]") }
    }
}

/// Below this the other work on the core is the kernel's own.
const OTHERS_MAX: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    fn rows(cpu: &[(&str, f64)]) -> Vec<Row> {
        let row = |&(peer, cpu_us): &(&str, f64)| {
            let mut row = Row::new("get-150", peer, 1);
            row.set(Figure::CpuUs, cpu_us);
            row.set(Figure::RssKib, 2048.0);
            row
        };
        cpu.iter().map(row).collect()
    }

    #[test]
    fn a_table_gives_medians_and_ratios() {
        let rows = rows(&[
            ("gnomon", 6.0),
            ("nginx", 9.0),
            ("gnomon", 8.0),
            ("nginx", 11.0),
            ("relay", 5.0),
        ]);
        let scenario = scenario::by_name("get-150").unwrap();
        let table = table(&scenario, &rows.iter().collect::<Vec<_>>());
        assert!(table.contains("| to nginx | to the best peer | to the floor |"), "{table}");
        assert!(
            table.contains("| gnomon | 7.00 [6.00..8.00] | 0.70 | 0.70 | 1.40 | – |"),
            "{table}"
        );
        assert!(table.contains("| nginx | 10.00 [9.00..11.00] | 1.00 | 1.00 | 2.00 |"), "{table}");
        assert!(table.contains("| relay | 5.00 | 0.50 |") && table.contains("| 2.0 |"), "{table}");
    }

    #[test]
    fn sizes_are_compared_with_the_first() {
        let rows = rows(&[("gnomon 1", 8.0), ("gnomon 2", 10.0)]);
        let scenario = scenario::by_name("workers").unwrap();
        let table = table(&scenario, &rows.iter().collect::<Vec<_>>());
        assert!(table.contains("| gnomon 2 | 10.00 | 1.25 |"), "{table}");
        assert!(!table.contains("to nginx"), "{table}");
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let rows = rows(&[("gnomon", 6.125), ("nginx", 9.0)]);
        assert_eq!(parse(&csv(&rows)).unwrap(), rows);
        assert!(parse("scenario,peer,round\nx,y,z\n").is_err());
    }
}
