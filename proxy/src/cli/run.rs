//! `gnomon run`: the proxy in the foreground.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Console, FAILED, Failure, arguments::Source, source};
use crate::{
    boot::{self, Options, Signals},
    control::api::{Kind, Refused},
    log,
};

/// Serves until a signal or the admin API ends it.
pub(super) fn run(from: &Source, console: Console) -> Result<(), Failure> {
    let Source { config, set } = from.clone();
    let loaded = source::load(&config, &set).map_err(|problems| {
        boot::renounce(&Refused::new(Kind::Config, problems.render(false)));
        Failure::problems(&problems, console.message_colour())
    })?;
    // Warnings come with the log.
    let log = log::install(&loaded.config.log).map_err(|error| {
        let text = format!("the log `log.to` cannot be opened: {error}");
        boot::renounce(&Refused::new(Kind::Machine, text.clone()));
        Failure::new(FAILED, text).help("the folder must exist and belong to the proxy's user")
    })?;
    // A start needs what was just read; reading it again would double its time.
    let first = Mutex::new(Some(loaded));
    let load = Arc::new(move || {
        let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.map_or_else(|| source::load(&config, &set), Ok)
    });
    let running = boot::start(Options { load, signals: Signals::Handled, log: Some(log) })?;
    let report = running.wait();
    if report.stuck > 0 {
        return Err(Failure::new(FAILED, format!("{} cores did not end in time", report.stuck)));
    }
    Ok(())
}
