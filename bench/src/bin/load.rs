//! A cheap load on one thread: `load --to 127.0.0.1:8080 --connections 64`.
//!
//! With `--origin` the same thread is the origin too, which leaves a whole core to the proxy on
//! a machine of two.

use std::{
    io::Write,
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    process::ExitCode,
    rc::Rc,
    time::Duration,
};

use bench::{load::Plan, process, rig::Rig, scenario};
use clap::Parser;

/// Loads a proxy and tells what it saw as one line of JSON.
#[derive(Debug, Parser)]
struct Arguments {
    /// The proxy, as `host:port`.
    #[arg(long)]
    to: String,
    /// Be the origin too, listening here.
    #[arg(long)]
    origin: Option<SocketAddr>,
    /// Connections held open.
    #[arg(long, default_value_t = 64)]
    connections: u32,
    /// Requests under way on one connection (closed load only).
    #[arg(long, default_value_t = 1)]
    depth: u32,
    /// Requests a second, latency counted from the intended time; without it as many as go.
    #[arg(long)]
    rate: Option<f64>,
    /// A new connection for each request.
    #[arg(long)]
    churn: bool,
    /// The target; may be given more than once, then they are taken in turn.
    #[arg(long = "path", default_value = "/")]
    paths: Vec<String>,
    /// POST a body of so many bytes instead of GET.
    #[arg(long)]
    post: Option<usize>,
    /// Send a cookie `uid` with so many different values.
    #[arg(long, default_value_t = 0)]
    cookies: u32,
    /// Seconds measured.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Seconds before that.
    #[arg(long, default_value_t = 0.5)]
    warm_up: f64,
    /// Write all latencies to this file, in HdrHistogram's text format, in microseconds.
    #[arg(long)]
    hdr: Option<PathBuf>,
    /// The core to stay on.
    #[arg(long)]
    core: Option<usize>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    process::exit_code(load(&arguments))
}

fn load(arguments: &Arguments) -> Result<(), String> {
    if let Some(core) = arguments.core {
        process::pin(core)?;
    }
    let address = arguments.to.to_socket_addrs().ok().and_then(|mut all| all.next());
    let address = address.ok_or_else(|| format!("`{}` is not host:port", arguments.to))?;
    let mut rig = Rig::new().map_err(|error| error.to_string())?;
    if let Some(origin) = arguments.origin {
        rig = rig
            .with_origin(origin)
            .map_err(|error| format!("cannot listen on {origin}: {error}"))?;
    }
    let requests = requests(arguments);
    let plan = Plan {
        tls: None,
        address,
        connections: arguments.connections,
        depth: arguments.depth,
        rate: arguments.rate,
        churn: arguments.churn,
        requests,
    };
    let seconds = |seconds: f64| Duration::from_secs_f64(seconds.clamp(0.0, SECONDS_MAX));
    let stretch = rig
        .measure(plan, seconds(arguments.warm_up), seconds(arguments.seconds), &mut || {})
        .map_err(|error| format!("cannot load {address}: {error}"))?;
    if let Some(path) = &arguments.hdr {
        std::fs::write(path, stretch.seen.percentiles())
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    let summary = stretch.seen.summary(stretch.lasted.as_secs_f64());
    let mut line = serde_json::to_vec(&summary).map_err(|error| error.to_string())?;
    line.push(b'\n');
    std::io::stdout().write_all(&line).map_err(|error| error.to_string())
}

fn requests(arguments: &Arguments) -> Vec<Rc<[u8]>> {
    let cookies = arguments.cookies.min(scenario::VARIANTS_MAX);
    let mut requests = Vec::new();
    for variant in 0..cookies.max(1) {
        for path in arguments.paths.iter().take(PATHS_MAX) {
            let cookie = (cookies > 0).then_some(variant);
            requests.push(scenario::request(path, arguments.post, cookie));
        }
    }
    requests
}

/// An hour: longer runs are somebody's typing error.
const SECONDS_MAX: f64 = 3600.0;
const PATHS_MAX: usize = 1000;
