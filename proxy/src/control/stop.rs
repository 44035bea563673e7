//! Ending: unready, then draining, then closing, each no longer than configured.

use std::{sync::Arc, time::Duration};

use super::{Control, listeners};
use crate::{clock, snapshot::Phase};

/// How urgent a stop is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// None.
    #[default]
    No,
    /// Unready, then draining, then closing.
    Graceful,
    /// Closing at once.
    Now,
}

/// How a proxy ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Client connections that were still open and had to be cut.
    pub cut: u64,
    /// Cores that did not end in time.
    pub stuck: usize,
}

impl Control {
    /// Asks for a stop; one that is under way can only be made more urgent. A second graceful
    /// stop is meant as one at once by whoever asks twice, but that is for the asker to say.
    pub(crate) fn ask_stop(&self, stop: Stop) {
        self.stop.send_if_modified(|current| {
            let more = stop > *current;
            if more {
                *current = stop;
            }
            more
        });
    }

    /// Whether a stop was asked for.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.stop.borrow() > Stop::No
    }

    /// Stops the cores. To be called once a stop was asked for.
    pub(crate) async fn stop(self: &Arc<Self>) -> Report {
        if self.succession.heir().is_some() {
            return self.finish().await;
        }
        self.succession.supervisor.stopping();
        let timeouts = self.state().config.timeouts.clone();
        self.stop_happened(if self.is_urgent() { "stops at once" } else { "stops: drains first" });
        if !self.is_urgent() {
            tracing::info!(grace = ?timeouts.grace, "stopping: unready, still accepting");
            self.until(timeouts.grace, || false).await;
        }
        if !self.is_urgent() {
            let connections = self.connections();
            tracing::info!(connections, drain = ?timeouts.drain, "draining");
            self.enter(Phase::Draining);
            self.until(timeouts.drain, || self.running() == 0).await;
        }
        self.close().await
    }

    /// Cuts what is still open.
    pub(super) async fn close(&self) -> Report {
        let cut = self.connections();
        self.enter(Phase::Closing);
        let end = clock::now() + CLOSING;
        while self.running() > 0 && clock::now() < end {
            tokio::time::sleep(LOOK).await;
        }
        self.state().free();
        let report = Report { cut, stuck: self.running() };
        if report.stuck > 0 {
            tracing::warn!(cores = report.stuck, "cores did not end within a second");
        }
        tracing::info!(cut, "stopped");
        report
    }

    /// Client connections open now.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.cores.iter().map(|core| core.connections.read()).sum()
    }

    fn is_urgent(&self) -> bool {
        *self.stop.borrow() == Stop::Now
    }

    /// Cores that have not ended.
    pub(super) fn running(&self) -> usize {
        self.shared.cores.iter().filter(|core| core.stopped.read() == 0).count()
    }

    /// Enters a phase without listeners: a socket that is held but not accepted from would keep
    /// clients waiting in its queue.
    pub(super) fn enter(&self, phase: Phase) {
        let mut state = self.state();
        state.phase = phase;
        listeners::unlink(&std::mem::take(&mut state.listeners));
        state.publish(&self.shared.publisher);
    }

    /// Waits until `done`, at most so long, less if it becomes urgent.
    pub(super) async fn until(&self, most: Duration, done: impl Fn() -> bool) {
        let end = clock::now() + most;
        while !done() && !self.is_urgent() && clock::now() < end {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// How long cores may take to shut what is open: twenty of their ticks.
const CLOSING: Duration = Duration::from_secs(1);
/// Between two looks at the cores.
const LOOK: Duration = Duration::from_millis(5);
