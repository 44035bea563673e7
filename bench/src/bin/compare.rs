//! gnomon and its peers on the same load: `cargo x bench` or `compare get-150 --rounds 4`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use bench::{
    compare::{self, Event, Terms},
    figure::Row,
    peer::{KNOWN, Known, Peer, RELAY},
    process, report, run_dir,
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
    /// Requests a second in `rate`, `mirror-rate` and `restart`; without it half of what the slowest can do.
    #[arg(long)]
    rate: Option<f64>,
    /// The gnomon to measure.
    #[arg(long, default_value = "target/release/gnomon")]
    gnomon: PathBuf,
    /// Its arguments; `{config}` stands for the file.
    #[arg(long, default_value = "run -c {config}", allow_hyphen_values = true)]
    gnomon_args: String,
    /// Another gnomon, to compare two builds; it is called `before`.
    #[arg(long)]
    before: Option<PathBuf>,
    /// The nginx to measure.
    #[arg(long, default_value = "nginx")]
    nginx: PathBuf,
    /// The haproxy to measure.
    #[arg(long, default_value = "haproxy")]
    haproxy: PathBuf,
    /// The Envoy to measure.
    #[arg(long, default_value = "envoy")]
    envoy: PathBuf,
    /// Another proxy as `NAME=PATH ARGUMENTS`, which may say `{listen}`, `{upstream}` and
    /// `{config}`; that is a file of its name in the folder of configurations.
    #[arg(long = "peer")]
    others: Vec<String>,
    /// Measure these only (gnomon, before, nginx, haproxy, envoy, relay …), comma-separated.
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
    /// The machine's name for the folder of the run; without it, nothing is written. There may be
    /// no such run of today, unless it is added to.
    #[arg(long)]
    machine: Option<String>,
    /// Add to today's run of that machine, or replace these scenarios in it.
    #[arg(long, requires = "machine")]
    add: bool,
    /// Make the tables and pictures of a kept run anew, measure nothing.
    #[arg(long, value_name = "FOLDER")]
    draw: Option<PathBuf>,
    /// Name the proxies and scenarios there are, measure nothing.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    process::exit_code(compare(&Arguments::parse()))
}

fn compare(arguments: &Arguments) -> Result<(), String> {
    if let Some(dir) = &arguments.draw {
        return run_dir::draw(dir);
    }
    let scenarios = chosen(&arguments.scenarios)?;
    let peers = present(arguments)?;
    if arguments.list {
        for scenario in scenario::ALL {
            say(&format!("scenario {:<14} {}", scenario.name, scenario.what));
        }
        return Ok(());
    }
    if peers.is_empty() {
        return Err("there is nothing to measure".to_owned());
    }
    let kept = arguments.machine.as_ref().map(|name| run_dir::of_today(&arguments.runs, name));
    if let Some(dir) = kept.as_ref().filter(|dir| dir.exists() && !arguments.add) {
        return Err(format!("{} is there already: --add to it, or remove it", dir.display()));
    }
    if let Some(nice) = arguments.nice {
        process::set_nice(nice)?;
    }
    process::raise_open_files();
    let dir = std::env::temp_dir().join(format!("gnomon-bench-{}", std::process::id()));
    let terms = Terms {
        rounds: arguments.rounds,
        lasting: seconds(arguments.seconds),
        warm_up: seconds(arguments.warm_up),
        rate: arguments.rate,
        proxy_core: arguments.proxy_core,
        load_core: arguments.load_core,
        port: arguments.port,
        templates: arguments.peers.clone(),
        dir: dir.clone(),
        cpu_source: process::cpu_source(),
    };
    say(&format!("CPU time from: {}", terms.cpu_source));
    let outcome = measure(&scenarios, &peers, &terms, kept.as_deref(), arguments.add);
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
    kept: Option<&Path>,
    add: bool,
) -> Result<(), String> {
    let mut rows: Vec<Row> = Vec::new();
    let mut missing = 0;
    for scenario in scenarios {
        let measured = compare::run(scenario, peers, terms, &mut |event| match event {
            Event::Row(row) => say(&report::line(row, scenario.how)),
            Event::Note(note) => say(note),
            Event::Missing(why) => {
                missing += 1;
                say(&format!("left out: {why}"));
            }
        })?;
        say(&format!("\n{}", report::table(scenario, &measured.iter().collect::<Vec<_>>())));
        rows.extend(measured);
    }
    if let Some(dir) = kept {
        run_dir::keep(dir, add, terms, peers, rows)?;
        say(&format!("written to {}", dir.display()));
    }
    match missing {
        0 => Ok(()),
        _ => Err(format!("{missing} times a proxy was left out, see above")),
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
fn present(arguments: &Arguments) -> Result<Vec<Peer>, String> {
    let mut peers = Vec::new();
    for known in &KNOWN {
        let (program, words) = program(known, arguments);
        match Peer::find(known, &program, words) {
            Some(peer) => peers.push(peer),
            None => say(&format!("{:<8} not found; {}", known.name, known.how_to_get)),
        }
        let before = arguments.before.as_ref().filter(|_| words.is_some());
        if let Some(program) = before {
            let peer = Peer::find(known, program, words);
            let peer = peer.ok_or_else(|| format!("{} is not there", program.display()))?;
            peers.push(peer.called("before"));
        }
    }
    for other in &arguments.others {
        peers.push(Peer::other(other)?);
    }
    peers.retain(|peer| arguments.only.is_empty() || arguments.only.contains(&peer.name));
    for peer in &peers {
        say(&format!("{:<8} {} ({})", peer.name, peer.program.display(), peer.version));
    }
    Ok(peers)
}

/// Which program, and its arguments if they are not the usual ones.
fn program<'a>(known: &Known, arguments: &'a Arguments) -> (PathBuf, Option<&'a str>) {
    match known.name {
        "gnomon" => (arguments.gnomon.clone(), Some(&arguments.gnomon_args)),
        "nginx" => (arguments.nginx.clone(), None),
        "haproxy" => (arguments.haproxy.clone(), None),
        "envoy" => (arguments.envoy.clone(), None),
        RELAY => (beside_us(RELAY), None),
        other => (PathBuf::from(other), None),
    }
}

/// A program of this crate lies beside this one.
fn beside_us(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap_or_default();
    here.parent().unwrap_or_else(|| Path::new(".")).join(name)
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
