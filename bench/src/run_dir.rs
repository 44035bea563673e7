//! A run as it is kept: rows, tables, pictures, and how they came about.

use std::{
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

use crate::{compare::Terms, figure::Row, peer::Peer, plot, report, scenario};

/// The folder of a run of today.
#[must_use]
pub fn of_today(runs: &Path, machine: &str) -> PathBuf {
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d");
    runs.join(format!("{date}-{machine}"))
}

/// Writes a run into `dir`. With `add`, scenarios measured before stay, and so does what was said
/// about them.
///
/// # Errors
/// A sentence, when a file cannot be read or written.
pub fn keep(
    dir: &Path,
    add: bool,
    terms: &Terms,
    peers: &[Peer],
    mut rows: Vec<Row>,
) -> Result<(), String> {
    let fail = |error: io::Error| format!("{}: {error}", dir.display());
    let mut scenarios: Vec<&str> = rows.iter().map(|row| row.scenario.as_str()).collect();
    scenarios.dedup();
    let mut readme = readme(dir, terms, peers, &scenarios);
    if add {
        if let Ok(before) = fs::read_to_string(dir.join(README)) {
            let (_, said) = readme.split_once("\n## ").unwrap_or_default();
            readme = format!("{before}\n## {said}");
        }
        let mut before = if dir.join(RAW).is_file() { read(dir)? } else { Vec::new() };
        before.retain(|row| !scenarios.contains(&row.scenario.as_str()));
        rows.extend(before);
        rows.sort_by_key(|row| scenario::ALL.iter().position(|it| it.name == row.scenario));
    }
    fs::create_dir_all(dir).map_err(fail)?;
    fs::write(dir.join(README), readme).map_err(fail)?;
    fs::write(dir.join(RAW), report::csv(&rows)).map_err(fail)?;
    draw(dir)
}

/// Makes the tables and pictures of the rows in `dir`.
///
/// # Errors
/// A sentence, when a file cannot be read or written.
pub fn draw(dir: &Path) -> Result<(), String> {
    let rows = read(dir)?;
    let mut summary = String::from("# Summary\n\nMedian [least..most] of the rounds.\n");
    let mut pictures = Vec::new();
    for (name, picture) in [("cpu.svg", plot::cpu(&rows)), ("latency.svg", plot::latency(&rows))] {
        if let Some(picture) = picture {
            let _ = write!(summary, "\n![{name}]({name})\n");
            pictures.push((name, picture));
        }
    }
    for scenario in scenario::ALL {
        let own: Vec<&Row> = rows.iter().filter(|row| row.scenario == scenario.name).collect();
        if !own.is_empty() {
            let _ = write!(summary, "\n{}", report::table(&scenario, &own));
        }
    }
    let write = |name: &str, text: &str| {
        fs::write(dir.join(name), text).map_err(|error| format!("{name}: {error}"))
    };
    for (name, picture) in pictures {
        write(name, &picture)?;
    }
    write("summary.md", &summary)
}

fn read(dir: &Path) -> Result<Vec<Row>, String> {
    let path = dir.join(RAW);
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    report::parse(&text)
}

fn readme(dir: &Path, terms: &Terms, peers: &[Peer], scenarios: &[&str]) -> String {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |model| model.trim_start_matches([' ', '\t', ':']));
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let hypervisor = cpuinfo.lines().any(|line| {
        line.starts_with("flags") && line.split_whitespace().any(|flag| flag == "hypervisor")
    });
    let machine = if hypervisor {
        " It is a virtual machine: what its host does meanwhile is not seen, and waking another \
         core is dear."
    } else {
        ""
    };
    let mut text = format!(
        "# {name}\n\n{model}, {cores} cores, Linux {}.{machine}\n\n{CAVEATS}\n\n## {}\n\n",
        kernel.trim(),
        scenarios.join(", "),
    );
    let _ = writeln!(
        text,
        "Proxy on core {}, load and origin in one thread on core {}; {} rounds of {:.1} s after \
         {:.1} s of warm-up. CPU time from: {}.\n",
        terms.proxy_core,
        terms.load_core,
        terms.rounds,
        terms.lasting.as_secs_f64(),
        terms.warm_up.as_secs_f64(),
        terms.cpu_source,
    );
    for peer in peers {
        let _ = writeln!(text, "* {}: {}", peer.name, peer.version);
    }
    text
}

const README: &str = "README.md";
const RAW: &str = "raw.csv";
const CAVEATS: &str = "\
[summary.md](summary.md) has the tables, [raw.csv](raw.csv) every round; \
[bench/README.md](../../README.md) says what is measured and how to repeat it.

Everything went over loopback: no network card, no driver, and the receiver's share of TCP runs in \
the sender's time. That is about the same for every proxy, so it brings ratios nearer to 1. Where \
`load busy` is near 100 %, req/s is a lower bound, and CPU the figure to compare. Differences below \
about 5 % are not established.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Figure;

    fn row(scenario: &str, peer: &str) -> Row {
        let mut row = Row::new(scenario, peer, 1);
        row.set(Figure::CpuUs, 8.0);
        row
    }

    #[test]
    fn a_run_is_added_to() {
        let dir = std::env::temp_dir().join(format!("gnomon-run-{}", std::process::id()));
        let terms = Terms::default();
        keep(&dir, false, &terms, &[], vec![row("sticky", "gnomon"), row("get-1k", "gnomon")])
            .unwrap();
        keep(&dir, true, &terms, &[], vec![row("sticky", "nginx"), row("get-150", "nginx")])
            .unwrap();
        let names: Vec<_> = read(&dir)
            .unwrap()
            .into_iter()
            .map(|row| format!("{} {}", row.scenario, row.peer))
            .collect();
        assert_eq!(names, ["get-150 nginx", "get-1k gnomon", "sticky nginx"]);
        let readme = fs::read_to_string(dir.join(README)).unwrap();
        assert!(readme.contains("## sticky, get-1k\n") && readme.contains("## sticky, get-150\n"));
        fs::remove_dir_all(&dir).unwrap();
    }
}
