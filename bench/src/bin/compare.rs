//! gnomon and its peers on the same load: `cargo x bench` or `compare get-150 --rounds 4`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use bench::{
    compare::{self, Row, Terms},
    peer::{Kind, Peer},
    process, report,
    scenario::{self, Scenario},
};
use clap::Parser;

/// Measures what a request costs each proxy, in interleaved rounds, and writes the run down.
#[derive(Debug, Parser)]
struct Arguments {
    /// Scenarios by name; without any, all of them.
    scenarios: Vec<String>,
    /// Times each proxy is measured.
    #[arg(long, default_value_t = 4)]
    rounds: u32,
    /// Seconds each time.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Seconds before that, not measured.
    #[arg(long, default_value_t = 0.5)]
    warm_up: f64,
    /// The gnomon to measure.
    #[arg(long, default_value = "target/release/gnomon")]
    gnomon: PathBuf,
    /// Its arguments; `{config}` stands for the file.
    #[arg(long, default_value = "run -c {config}", allow_hyphen_values = true)]
    gnomon_args: String,
    /// Another gnomon, to compare two builds; it is called `before`.
    #[arg(long)]
    before: Option<PathBuf>,
    /// Measure these only (gnomon, nginx, haproxy, envoy, relay), comma-separated.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The core of the proxies.
    #[arg(long, default_value_t = 0)]
    proxy_core: usize,
    /// The core of the load and the origin.
    #[arg(long, default_value_t = 1)]
    load_core: usize,
    /// The origin's port; the proxies take those after it.
    #[arg(long, default_value_t = 29100)]
    port: u16,
    /// Nice value of everything measured; below 0, for a machine others use, it needs
    /// root, and on desktops' kernels a session of its own (`setsid -w compare …`).
    #[arg(long, allow_negative_numbers = true)]
    nice: Option<i32>,
    /// The configurations.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/peers"))]
    peers: PathBuf,
    /// Where runs are kept.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/runs"))]
    runs: PathBuf,
    /// The machine's name for the folder of the run; without it, nothing is written.
    #[arg(long)]
    machine: Option<String>,
    /// Name the proxies and scenarios there are, measure nothing.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    process::exit_code(compare(&Arguments::parse()))
}

fn compare(arguments: &Arguments) -> Result<(), String> {
    let scenarios = chosen(&arguments.scenarios)?;
    let peers = present(arguments);
    if arguments.list {
        for scenario in scenario::ALL {
            say(&format!("scenario {:<13} {}", scenario.name, scenario.what));
        }
        return Ok(());
    }
    if peers.is_empty() {
        return Err("there is nothing to measure".to_owned());
    }
    if let Some(nice) = arguments.nice {
        process::set_nice(nice)?;
    }
    let dir = std::env::temp_dir().join(format!("gnomon-bench-{}", std::process::id()));
    let terms = Terms {
        rounds: arguments.rounds,
        lasting: seconds(arguments.seconds),
        warm_up: seconds(arguments.warm_up),
        proxy_core: arguments.proxy_core,
        load_core: arguments.load_core,
        port: arguments.port,
        templates: arguments.peers.clone(),
        dir: dir.clone(),
    };
    let outcome = measure(&scenarios, &peers, &terms, arguments);
    // What a proxy said helps when something went wrong.
    if outcome.is_ok() {
        let _ = fs::remove_dir_all(&dir);
    }
    outcome
}

fn measure(
    scenarios: &[Scenario],
    peers: &[Peer],
    terms: &Terms,
    arguments: &Arguments,
) -> Result<(), String> {
    let mut rows: Vec<Row> = Vec::new();
    let mut tables = String::new();
    for scenario in scenarios {
        let measured = compare::run(scenario, peers, terms, &mut |row| say(&report::line(row)))?;
        let table = report::table(scenario.what, &measured);
        say(&format!("\n{table}"));
        tables.push_str(&table);
        tables.push('\n');
        rows.extend(measured);
    }
    match &arguments.machine {
        Some(machine) => keep(&arguments.runs, machine, peers, terms, &rows, &tables),
        None => Ok(()),
    }
}

fn chosen(names: &[String]) -> Result<Vec<Scenario>, String> {
    if names.is_empty() {
        return Ok(scenario::ALL.to_vec());
    }
    let known = || scenario::ALL.map(|scenario| scenario.name).join(", ");
    let find = |name: &String| {
        scenario::by_name(name)
            .ok_or_else(|| format!("there is no scenario `{name}`; there are {}", known()))
    };
    names.iter().map(find).collect()
}

/// The proxies on this machine; for the others, says how to get them.
fn present(arguments: &Arguments) -> Vec<Peer> {
    let mut peers = Vec::new();
    let wanted = |kind: Kind| {
        arguments.only.is_empty() || arguments.only.iter().any(|name| name == kind.name())
    };
    for kind in Kind::ALL.into_iter().filter(|kind| wanted(*kind)) {
        let ours = kind == Kind::Gnomon;
        let program = if ours {
            arguments.gnomon.clone()
        } else if kind == Kind::Relay {
            beside_us("relay")
        } else {
            PathBuf::from(kind.name())
        };
        let words = ours.then(|| arguments.gnomon_args.clone());
        match Peer::find(kind, &program, words.clone()) {
            Some(peer) => {
                say(&format!("{:<8} {} {}", peer.name, peer.program.display(), peer.version));
                peers.push(peer);
            }
            None => say(&format!("{:<8} not found; {}", kind.name(), kind.how_to_get())),
        }
        let before = arguments.before.as_ref().filter(|_| ours);
        if let Some(mut peer) = before.and_then(|program| Peer::find(kind, program, words)) {
            peer.name = "before".to_owned();
            peers.push(peer);
        }
    }
    peers
}

/// A program of this crate lies beside this one.
fn beside_us(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap_or_default();
    here.parent().unwrap_or_else(|| Path::new(".")).join(name)
}

/// Writes the run into a folder of its own.
fn keep(
    runs: &Path,
    machine: &str,
    peers: &[Peer],
    terms: &Terms,
    rows: &[Row],
    tables: &str,
) -> Result<(), String> {
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d");
    let dir = runs.join(format!("{date}-{machine}"));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |model| model.trim_start_matches([' ', '\t', ':']));
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let versions: Vec<_> =
        peers.iter().map(|peer| format!("* {}: {}", peer.name, peer.version)).collect();
    let readme = format!(
        "# {date}, {machine}\n\n{model}, Linux {}, {cores} cores.\n\n\
         Loopback; proxy on core {}, load and origin in one thread on core {}; {} rounds of \
         {:.1} s after {:.1} s of warm-up, interleaved. CPU is the time of the \
         proxy's processes ({}). Where `load busy` is near 100 %, req/s is a lower bound and CPU the \
         figure to compare.\n\n{}\n",
        kernel.trim(),
        terms.proxy_core,
        terms.load_core,
        terms.rounds,
        terms.lasting.as_secs_f64(),
        terms.warm_up.as_secs_f64(),
        rows.first().map_or("nothing", |row| row.cpu_source),
        versions.join("\n"),
    );
    let write = |name: &str, text: &str| fs::write(dir.join(name), text);
    fs::create_dir_all(&dir)
        .and_then(|()| write("README.md", &readme))
        .and_then(|()| write("raw.csv", &report::csv(rows)))
        .and_then(|()| write("summary.md", &format!("# Summary\n\n{tables}")))
        .map_err(|error| format!("cannot write {}: {error}", dir.display()))?;
    say(&format!("written to {}", dir.display()));
    Ok(())
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(0.0, SECONDS_MAX))
}

#[expect(clippy::print_stdout, reason = "a tool for the command line speaks there")]
fn say(line: &str) {
    println!("{line}");
}

/// Ten minutes for one proxy in one round is more than anyone means.
const SECONDS_MAX: f64 = 600.0;
