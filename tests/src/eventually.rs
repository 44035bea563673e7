//! Waiting for a condition instead of for a time.

use std::{thread, time::Duration};

use gnomon::clock;

use crate::PATIENCE;

/// Waits until `condition` holds.
///
/// # Panics
/// If it does not within [`PATIENCE`]; `what` says what was waited for.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = clock::now() + PATIENCE;
    while !condition() {
        assert!(clock::now() < end, "in vain: {what}");
        thread::park_timeout(STEP);
    }
}

/// Lets `time` pass. Only for scripted peers that have to be slow, never to wait for an outcome.
pub fn linger(time: Duration) {
    let end = clock::now() + time;
    while let Some(left) = end.checked_duration_since(clock::now()).filter(|left| !left.is_zero()) {
        thread::park_timeout(left);
    }
}

/// Between two looks.
const STEP: Duration = Duration::from_millis(2);
