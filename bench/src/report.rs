//! Rows to tables.

use std::fmt::Write;

use crate::compare::Row;

/// Every row as comma-separated values, a line of names first.
#[must_use]
pub fn csv(rows: &[Row]) -> String {
    let mut text = String::from(
        "scenario,peer,round,seconds,requests,other_status,errors,unanswered,rate,cpu_us,\
         p50_us,p90_us,p99_us,p999_us,max_us,rss_kib,busy,load_busy,others\n",
    );
    for row in rows {
        let load = &row.load;
        let _ = writeln!(
            text,
            "{},{},{},{:.3},{},{},{},{},{:.0},{:.3},{},{},{},{},{},{},{:.3},{:.3},{:.3}",
            row.scenario,
            row.peer,
            row.round,
            load.seconds,
            load.requests,
            load.other_status,
            load.errors,
            load.unanswered,
            load.rate,
            row.cpu_us,
            load.p50_us,
            load.p90_us,
            load.p99_us,
            load.p999_us,
            load.max_us,
            row.rss_kib,
            row.busy,
            row.load_busy,
            row.others,
        );
    }
    text
}

/// One row for the eye, while the comparison runs.
#[must_use]
pub fn line(row: &Row) -> String {
    let load = &row.load;
    let mut line = format!(
        "{:<13} {:<8} round {:<2} {:>7.2} us CPU/req {:>8.0} req/s  p50 {:>5} p99 {:>6} us",
        row.scenario, row.peer, row.round, row.cpu_us, load.rate, load.p50_us, load.p99_us
    );
    let faults = load.errors + load.other_status;
    if faults > 0 {
        let _ = write!(line, "  {} errors, {} not 2xx", load.errors, load.other_status);
    }
    if row.others > OTHERS_MAX {
        let _ = write!(line, "  disturbed: others took {:.0} % of the core", row.others * 100.0);
    }
    line
}

/// The table of one scenario: medians with their spread, and ratios.
#[must_use]
pub fn table(what: &str, rows: &[Row]) -> String {
    let mut peers: Vec<&str> = Vec::new();
    for row in rows {
        if !peers.contains(&row.peer.as_str()) {
            peers.push(&row.peer);
        }
    }
    let cpu = |peer: &str| spread(rows, peer, |row| row.cpu_us);
    let nginx = peers.contains(&"nginx").then(|| cpu("nginx").median);
    let rivals = peers.iter().filter(|peer| !matches!(**peer, "gnomon" | "before" | "relay"));
    let floor = peers.contains(&"relay").then(|| cpu("relay").median);
    let best = rivals.map(|peer| cpu(peer).median).min_by(f64::total_cmp);
    let mut text = format!(
        "### {what}\n\n| | CPU us/req | to nginx | to the best peer | to the floor | req/s | p50 us | p99 us | p99.9 us \
         | RSS MiB | load busy | others | faults |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
    );
    for peer in peers {
        let of = |value: fn(&Row) -> f64| spread(rows, peer, value);
        let cpu = cpu(peer);
        let ratio = |to: Option<f64>| {
            to.map_or_else(|| "-".to_owned(), |to| format!("{:.2}", cpu.median / to))
        };
        let faults: u64 = rows.iter().filter(|row| row.peer == peer).map(faults).sum();
        let _ = writeln!(
            text,
            "| {peer} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} % | {} % | {faults} |",
            cpu.tell(2),
            ratio(nginx),
            ratio(best),
            ratio(floor),
            of(|row| row.load.rate).tell(0),
            of(|row| row.load.p50_us as f64).tell(0),
            of(|row| row.load.p99_us as f64).tell(0),
            of(|row| row.load.p999_us as f64).tell(0),
            of(|row| row.rss_kib as f64 / 1024.0).tell(1),
            of(|row| row.load_busy * 100.0).tell(0),
            of(|row| row.others * 100.0).tell(0),
        );
    }
    text
}

fn faults(row: &Row) -> u64 {
    row.load.errors + row.load.other_status + row.load.unanswered
}

struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn tell(&self, digits: usize) -> String {
        format!("{:.digits$} [{:.digits$}..{:.digits$}]", self.median, self.least, self.most)
    }
}

fn spread(rows: &[Row], peer: &str, value: impl Fn(&Row) -> f64) -> Spread {
    let mut values: Vec<f64> = rows.iter().filter(|row| row.peer == peer).map(value).collect();
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    let middle = values.len() / 2;
    let median = if values.len().is_multiple_of(2) {
        f64::midpoint(at(middle.wrapping_sub(1)), at(middle))
    } else {
        at(middle)
    };
    Spread { median, least: at(0), most: at(values.len().wrapping_sub(1)) }
}

/// Below this the other work on the core is the kernel's own.
const OTHERS_MAX: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Seen;

    fn row(peer: &str, cpu_us: f64) -> Row {
        Row {
            scenario: "get-150",
            peer: peer.to_owned(),
            round: 1,
            load: Seen::default().summary(1.0),
            cpu_us,
            cpu_source: "",
            rss_kib: 2048,
            busy: 1.0,
            load_busy: 1.0,
            others: 0.0,
        }
    }

    #[test]
    fn a_table_gives_medians_and_ratios() {
        let cpu =
            [("gnomon", 6.0), ("nginx", 9.0), ("gnomon", 8.0), ("nginx", 11.0), ("relay", 5.0)];
        let rows: Vec<_> = cpu.iter().map(|(peer, cpu_us)| row(peer, *cpu_us)).collect();
        let table = table("GET", &rows);
        assert!(table.contains("| gnomon | 7.00 [6.00..8.00] | 0.70 | 0.70 | 1.40 |"), "{table}");
        assert!(table.contains("| nginx | 10.00 [9.00..11.00] | 1.00 | 1.00 | 2.00 |"), "{table}");
    }
}
