//! The shadow's thread, which nobody waits for.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::Duration,
};

use gnomon_config::model::Runtime;
use gnomon_shadow::run::Desk;
use gnomon_sys::affinity;

use crate::{clock, runtime};

/// The shadow's thread: begun anew after a panic, which no client ever sees.
pub(super) struct Shadower {
    pub(super) cores: Vec<gnomon_shadow::run::Core>,
    pub(super) ear: std::os::unix::net::UnixStream,
    pub(super) desk: Arc<Desk>,
    pub(super) runtime: Runtime,
    pub(super) cpu: Option<usize>,
}

impl Shadower {
    pub(super) fn run(self, seed: [u8; 32]) {
        // Elsewhere it works as well, but only behind everybody else.
        let is_apart = self.cpu.is_some_and(affinity::pin_to);
        affinity::lower_priority(if is_apart { APART_NICE } else { SHADOW_NICE });
        while !self.desk.is_ending() {
            let body = std::panic::AssertUnwindSafe(|| self.serve(seed));
            match std::panic::catch_unwind(body) {
                Ok(Ok(())) => return,
                Ok(Err(why)) => tracing::error!(why, "the shadow's thread cannot run"),
                Err(_) => {
                    tracing::error!("the shadow's thread has panicked and is begun anew");
                }
            }
            self.desk.restarts.fetch_add(1, Relaxed);
            // Not at once: what fails at its first step must not turn into a busy loop.
            thread::park_timeout(REST);
        }
    }

    fn serve(&self, seed: [u8; 32]) -> Result<(), String> {
        let engine = runtime::build(&self.runtime)?;
        // Never dropped: tasks that are still suspended hold operations the kernel may complete.
        let mut runtime = std::mem::ManuallyDrop::new(engine.runtime);
        let clock = gnomon_shadow::Clock { now: clock::now, wall: clock::wall };
        let serving = gnomon_shadow::run::run(&self.cores, &self.ear, &self.desk, clock, seed);
        runtime.block_on(serving).map_err(|error| error.to_string())
    }
}

/// The last of all: a copy must never slow a client.
const SHADOW_NICE: i32 = 19;
/// On a core that no worker has: behind control and the log, which live there as well.
const APART_NICE: i32 = 10;

/// Between a panic of the shadow's thread and its next try.
const REST: Duration = Duration::from_secs(1);
