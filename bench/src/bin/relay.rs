//! The floor of a comparison: `relay --listen 127.0.0.1:29010 --to 127.0.0.1:29000`.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use bench::{process, rig::Rig};
use clap::Parser;

/// Relays bytes without looking at them.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:29010")]
    listen: SocketAddr,
    /// Where every connection goes.
    #[arg(long, default_value = "127.0.0.1:29000")]
    to: SocketAddr,
    /// How long to relay before leaving by itself.
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    process::exit_code(relay(&arguments))
}

fn relay(arguments: &Arguments) -> Result<(), String> {
    let address = arguments.listen;
    let rig = Rig::new().and_then(|rig| rig.with_relay(address, arguments.to));
    let mut rig = rig.map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let lasting = Duration::from_secs(arguments.seconds);
    rig.serve(lasting).map_err(|error| format!("relaying failed: {error}"))
}
