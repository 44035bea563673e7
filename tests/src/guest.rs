//! The proxy as a process of its own, for tests that starve or measure one: `guest FILE.toml`. With
//! other arguments it is the command line.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use gnomon::{boot, log};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().unwrap_or_default());
    if path.extension().is_none_or(|extension| extension != "toml") {
        return gnomon::cli::main();
    }
    let load = Arc::new(move || gnomon_config::load(&path, &gnomon_config::Options::default()));
    let log = load().ok().and_then(|loaded| log::install(&loaded.config.log).ok());
    let refused = match boot::start(boot::Options { load, signals: boot::Signals::Handled, log }) {
        Ok(running) => {
            let report = running.wait();
            return if report.stuck == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        Err(refused) => refused,
    };
    #[expect(clippy::print_stderr, reason = "this is where a person reads why")]
    {
        eprintln!("{refused}");
    }
    ExitCode::FAILURE
}
