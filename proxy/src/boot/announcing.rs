//! What is said when everything has been started.

use gnomon_sys::limits;

use super::{State, places::Places};

/// Says plainly what has been started.
pub(super) fn announce(state: &State, places: &Places, drivers: &[String], open_files: u64) {
    let config = &state.config;
    let listeners: Vec<String> = state
        .listeners
        .iter()
        .map(|bound| format!("{} {}", bound.config.name, bound.address()))
        .collect();
    // A client and an origin connection each.
    if u64::from(config.limits.connections) * 2 > open_files {
        let connections = config.limits.connections;
        tracing::warn!(
            connections,
            open_files,
            "limits.connections needs more file descriptors than there are: raise LimitNOFILE"
        );
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = %config.files.first().map(|path| path.display().to_string()).unwrap_or_default(),
        cores = places.count(),
        pinned = places.pinned,
        open_files,
        connections = config.limits.connections,
        locked_memory = limits::locked_memory(),
        listeners = listeners.join(", "),
        admin = %config.admin.socket.display(),
        "gnomon serves"
    );
    for (core, driver) in drivers.iter().enumerate() {
        tracing::info!(core, driver, "core");
    }
}
