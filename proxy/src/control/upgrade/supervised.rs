//! What the supervisor hears of this process, and keeps for it.

use std::{os::fd::AsFd, sync::Arc, time::Duration};

use gnomon_sys::socket;

use super::Control;
use crate::{
    cells::CoreCells,
    control::listeners::{self, inherited},
};

impl Control {
    /// This process serves.
    pub(crate) fn tell_ready(&self) {
        let supervisor = &self.succession.supervisor;
        self.tell_sockets();
        let state = self.state();
        let listeners = state.listeners.len();
        let generation = state.generation;
        supervisor.ready(&format!("serving on {listeners} addresses, generation {generation}"));
    }

    /// Has the supervisor keep the listening sockets, so that nobody is refused if this process dies.
    pub(crate) fn tell_sockets(&self) {
        let state = self.state();
        let sockets = listeners::places(&state.listeners).map(|(name, place, socket)| {
            let key = socket::examine(socket).map_or(0, |found| found.inode);
            (inherited::name(name, place), key, socket.as_fd())
        });
        self.succession.supervisor.keep(sockets);
    }

    /// Tells the supervisor that all is well for as long as every core moves: one that stands still
    /// must not hide behind the others.
    pub(crate) async fn feed_for_ever(self: Arc<Self>) {
        let Some(wanted) = self.succession.supervisor.watchdog() else { return };
        let mut seen = Vec::new();
        loop {
            tokio::time::sleep((wanted / 3).max(LEAST)).await;
            if all_move(&self.shared.cores, &mut seen) {
                self.succession.supervisor.alive();
            }
            if self.succession.heir().is_some() {
                // The other process has the watch.
                return;
            }
        }
    }
}

/// Whether every core's heart has beaten since this was last so; one that has ended need not.
fn all_move(cores: &[Arc<CoreCells>], seen: &mut Vec<u64>) -> bool {
    seen.resize(cores.len(), 0);
    let is_still = |(core, seen): (&Arc<CoreCells>, &u64)| {
        core.heartbeat.read() == *seen && core.stopped.read() == 0
    };
    if cores.iter().zip(&*seen).any(is_still) {
        return false;
    }
    *seen = cores.iter().map(|core| core.heartbeat.read()).collect();
    true
}

/// Two ticks of a core.
const LEAST: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_core_that_stands_still_is_enough() {
        let cores: Vec<Arc<CoreCells>> = vec![Arc::default(), Arc::default()];
        let mut seen = Vec::new();
        assert!(!all_move(&cores, &mut seen), "nobody has begun");
        cores.iter().for_each(|core| core.heartbeat.add(1));
        assert!(all_move(&cores, &mut seen));
        cores[0].heartbeat.add(1);
        assert!(!all_move(&cores, &mut seen), "the other one stands still");
        assert!(!all_move(&cores, &mut seen));
        cores[1].heartbeat.add(1);
        assert!(all_move(&cores, &mut seen), "both have moved since the last good look");
        cores[0].heartbeat.add(1);
        cores[1].stopped.set(1);
        assert!(all_move(&cores, &mut seen), "one that has ended need not");
    }
}
