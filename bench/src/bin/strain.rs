//! gnomon under hostile clients: `cargo x strain slow-loris`, `cargo x strain churn`.

use std::{fs, io::Write, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use bench::{
    process, run_dir,
    strain::{self, Terms},
};
use clap::{Parser, ValueEnum};

/// Strains gnomon and tells what that costs clients that behave.
#[derive(Debug, Parser)]
struct Arguments {
    /// How.
    kind: Kind,
    /// The gnomon to strain.
    #[arg(long, default_value = "target/release/gnomon")]
    gnomon: PathBuf,
    /// Seconds of each stretch; a minute for `churn`.
    #[arg(long)]
    seconds: Option<u64>,
    /// Requests a second of clients that behave.
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
    /// Clients that do not, 10,000; or consoles, ten.
    #[arg(long)]
    crowd: Option<u32>,
    /// Where they go (of `crowd`).
    #[arg(long)]
    to: Option<SocketAddr>,
    /// The configurations.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/peers"))]
    peers: PathBuf,
    /// Where runs are kept.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/runs"))]
    runs: PathBuf,
    /// The admin socket that is looked at (of `watch`).
    #[arg(long)]
    admin: Option<PathBuf>,
    /// Keep the table in today's folder of this name.
    #[arg(long)]
    keep: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Normal load beside clients that send a byte now and then.
    SlowLoris,
    /// As many new connections as go.
    Churn,
    /// Normal load beside open consoles and a scrape each second.
    Consoles,
    /// Be the slow clients.
    Crowd,
    /// Be the consoles.
    Watch,
}

fn main() -> ExitCode {
    process::exit_code(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), String> {
    process::raise_open_files();
    let dir = std::env::temp_dir().join(format!("gnomon-strain-{}", std::process::id()));
    let lasting = |default| Duration::from_secs(arguments.seconds.unwrap_or(default));
    let kind = arguments.kind;
    let terms = |lasting| Terms {
        gnomon: arguments.gnomon.clone(),
        templates: arguments.peers.clone(),
        dir: dir.clone(),
        lasting,
        rate: arguments.rate,
        crowd: arguments.crowd.unwrap_or(if kind == Kind::Consoles { 10 } else { 10_000 }),
    };
    let (name, report) = match arguments.kind {
        Kind::Crowd => {
            let to = arguments.to.ok_or("--to is needed")?;
            // The clients that behave share the core with these, and are what is measured.
            process::set_nice(19)?;
            strain::crowd(to, terms(Duration::ZERO).crowd, Duration::from_secs(600));
            return Ok(());
        }
        Kind::Watch => {
            let admin = arguments.admin.as_ref().ok_or("--admin is needed")?;
            process::set_nice(19)?;
            let count = arguments.crowd.ok_or("--crowd is needed")?;
            strain::watch(admin, count, Duration::from_secs(600));
            return Ok(());
        }
        Kind::Consoles => {
            fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
            ("consoles", strain::consoles(&terms(lasting(5))))
        }
        Kind::SlowLoris => {
            fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
            ("slow-loris", strain::slow_loris(&terms(lasting(15))))
        }
        Kind::Churn => {
            fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
            ("churn", strain::churn(&terms(lasting(60))))
        }
    };
    let _ = fs::remove_dir_all(&dir);
    let report = report?;
    // Nobody may be reading any more.
    let _ = writeln!(std::io::stdout(), "{report}");
    if let Some(keep) = &arguments.keep {
        let dir = run_dir::of_today(&arguments.runs, keep);
        let text = format!("# {name}\n\n{report}");
        fs::create_dir_all(&dir)
            .and_then(|()| fs::write(dir.join(format!("{name}.md")), text))
            .map_err(|error| format!("{}: {error}", dir.display()))?;
    }
    if report.violations.is_empty() { Ok(()) } else { Err(report.violations.join("; ")) }
}
