//! A cheap origin on one thread: `upstream --listen 127.0.0.1:29000`.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use bench::{process, rig::Rig};
use clap::Parser;

/// Answers any request: `/b/N` with a body of N bytes, anything else with a small one.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:29000")]
    listen: SocketAddr,
    /// The core to stay on.
    #[arg(long)]
    core: Option<usize>,
    /// How long to serve before leaving by itself.
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    process::exit_code(serve(&arguments))
}

fn serve(arguments: &Arguments) -> Result<(), String> {
    if let Some(core) = arguments.core {
        process::pin(core)?;
    }
    let address = arguments.listen;
    let rig = Rig::new().and_then(|rig| rig.with_origin(address));
    let mut rig = rig.map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let lasting = Duration::from_secs(arguments.seconds);
    rig.serve(lasting).map_err(|error| format!("serving failed: {error}"))
}
