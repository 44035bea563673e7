//! Restarts under load: `cargo x restarts`, or `restarts --gnomon PATH --reloads 50`.

use std::{
    fs,
    io::Write,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use bench::{
    process,
    restarts::{self, Event, Kind, Row, Site, Terms},
    run_dir,
};
use clap::Parser;

/// Reloads, upgrades and kills proxies under load, and counts what their clients lose.
#[derive(Debug, Parser)]
struct Arguments {
    /// The gnomon to restart.
    #[arg(long, default_value = "target/release/gnomon")]
    gnomon: PathBuf,
    /// The nginx to restart.
    #[arg(long, default_value = "nginx")]
    nginx: PathBuf,
    /// The haproxy to restart.
    #[arg(long, default_value = "haproxy")]
    haproxy: PathBuf,
    /// Only these, comma-separated.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Reloads of each.
    #[arg(long, default_value_t = 50)]
    reloads: u32,
    /// Upgrades of each.
    #[arg(long, default_value_t = 20)]
    upgrades: u32,
    /// Kills of each.
    #[arg(long, default_value_t = 20)]
    kills: u32,
    /// Clients that keep their connection, and as many that do not.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Milliseconds between two requests of a client.
    #[arg(long, default_value_t = 5)]
    pause: u64,
    /// Milliseconds between two events.
    #[arg(long, default_value_t = 400)]
    gap: u64,
    /// The configurations.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/peers"))]
    peers: PathBuf,
    /// Where runs are kept.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/runs"))]
    runs: PathBuf,
    /// Keep the table in today's folder of this name.
    #[arg(long)]
    keep: Option<String>,
}

fn main() -> ExitCode {
    process::exit_code(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), String> {
    process::raise_open_files();
    // Processes whose parents were replaced are ours.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    let terms = Terms {
        clients: arguments.clients.clamp(1, 64),
        pause: Duration::from_millis(arguments.pause),
        gap: Duration::from_millis(arguments.gap),
    };
    let known = [
        (Kind::Gnomon, "gnomon", &arguments.gnomon, "--version"),
        (Kind::Nginx, "nginx", &arguments.nginx, "-v"),
        (Kind::Haproxy, "haproxy", &arguments.haproxy, "-v"),
    ];
    let mut rows = Vec::new();
    for (kind, name, program, flag) in known {
        if !arguments.only.is_empty() && !arguments.only.iter().any(|only| only == name) {
            continue;
        }
        let Some(program) = process::find(program) else {
            say(&format!("{name}: skipped, it is not there"));
            continue;
        };
        let program = fs::canonicalize(&program).map_err(|error| error.to_string())?;
        say(&format!("{name}: {}", process::version(&program, flag)));
        for (event, times) in [
            (Event::Reload, arguments.reloads),
            (Event::Upgrade, arguments.upgrades),
            (Event::Kill, arguments.kills),
            (Event::KillHeld, arguments.kills),
        ] {
            if times > 0 && (event != Event::KillHeld || kind == Kind::Gnomon) {
                let row = one(arguments, &terms, (kind, name, &program), event, times);
                rows.push(row.unwrap_or_else(|why| Row::failed(name, event, times, why)));
                say(&restarts::table(&rows[rows.len() - 1..]));
            }
        }
    }
    let table = restarts::table(&rows);
    say(&table);
    if let Some(keep) = &arguments.keep {
        let dir = run_dir::of_today(&arguments.runs, keep);
        let text = format!(
            "# Restarts under load\n\n{0} clients keep their connection and {0} do not, each asks every \
             {1} ms; `refused`: nobody took the connection; `crossed`: a kept connection was closed \
             as the request went out; `broken`: no reply, or a part of one.\n\n{table}",
            terms.clients, arguments.pause
        );
        fs::create_dir_all(&dir)
            .and_then(|()| fs::write(dir.join("summary.md"), text))
            .map_err(|error| format!("{}: {error}", dir.display()))?;
    }
    verdict(&rows)
}

/// Ours must lose nothing by a reload or an upgrade.
fn verdict(rows: &[Row]) -> Result<(), String> {
    let is_promised =
        |row: &&Row| row.proxy == "gnomon" && matches!(row.event, Event::Reload | Event::Upgrade);
    for row in rows.iter().filter(is_promised) {
        let lost: u64 = row.counts.failed.iter().sum();
        if lost > 0 || row.trouble.is_some() {
            return Err(format!("gnomon lost {lost} requests by: {}", row.event.name()));
        }
    }
    Ok(())
}

fn one(
    arguments: &Arguments,
    terms: &Terms,
    (kind, name, program): (Kind, &str, &Path),
    event: Event,
    times: u32,
) -> Result<Row, String> {
    let dir = std::env::temp_dir().join(format!("gnomon-restarts-{}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let listen = free_address()?;
    let held = if event == Event::KillHeld { hold(listen)? } else { Vec::new() };
    let site = Site {
        kind,
        program: program.to_owned(),
        templates: arguments.peers.clone(),
        dir: dir.clone(),
        listen,
        upstream: free_address()?,
        held,
    };
    let row = restarts::run(terms, &site, event, times, name);
    let _ = fs::remove_dir_all(&dir);
    row
}

fn free_address() -> Result<SocketAddr, String> {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    free.map_err(|error| error.to_string())
}

/// Listens there, with a socket that processes inherit.
fn hold(address: SocketAddr) -> Result<Vec<TcpListener>, String> {
    let held = TcpListener::bind(address).map_err(|error| error.to_string())?;
    rustix::io::fcntl_setfd(&held, rustix::io::FdFlags::empty())
        .and_then(|()| rustix::net::listen(&held, 4096))
        .map_err(|error| error.to_string())?;
    Ok(vec![held])
}

fn say(text: &str) {
    // Nobody may be reading any more.
    let _ = writeln!(std::io::stdout(), "{text}");
}
