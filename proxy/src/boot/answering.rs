//! The thread that answers applications.

use std::{sync::Arc, thread::JoinHandle};

use gnomon_sys::affinity;

use super::{CONTROL_NICE, Kind, Refused, Shared, join, spawn};
use crate::control::ofrep::Desk;

/// The thread, and what it works at.
pub(super) struct Answering {
    pub(super) desk: Arc<Desk>,
    thread: JoinHandle<()>,
}

impl Answering {
    pub(super) fn start(shared: &Arc<Shared>) -> Result<Self, Refused> {
        let failed = |error| Refused::new(Kind::Machine, format!("gnomon-ofrep: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let desk = Arc::new(Desk::new(shared.clone(), runtime.handle().clone()));
        let thread = spawn("gnomon-ofrep", {
            let desk = desk.clone();
            move || {
                affinity::lower_priority(CONTROL_NICE);
                runtime.block_on(desk.run());
                runtime.shutdown_background();
            }
        })?;
        Ok(Self { desk, thread })
    }

    pub(super) fn end(self) {
        self.desk.end();
        join(self.thread);
    }
}
