//! What control looks at ten times a second: hearts that stand still, counters that should not
//! rise.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use super::Control;
use crate::{
    cells::CoreCells,
    clock::{self, Moment},
};

/// What was seen last.
#[derive(Debug)]
pub(crate) struct Watch {
    hearts: Vec<Heart>,
    alarms: [Alarm; 8],
}

#[derive(Clone, Copy, Debug)]
struct Heart {
    beat: u64,
    /// When it was seen to beat.
    at: Moment,
    stuck: bool,
}

/// A counter that should not rise, and when that was last said.
#[derive(Clone, Copy, Debug, Default)]
struct Alarm {
    seen: u64,
    said: Option<Moment>,
}

impl Alarm {
    /// By how much the counter has risen, if that is to be said now.
    fn rise(&mut self, count: u64, now: Moment) -> Option<u64> {
        let quiet = self.said.is_some_and(|said| now.duration_since(said) < SILENCE);
        if count <= self.seen || quiet {
            return None;
        }
        self.said = Some(now);
        Some(count - std::mem::replace(&mut self.seen, count))
    }
}

impl Watch {
    pub(crate) fn new(cores: usize) -> Self {
        let heart = Heart { beat: 0, at: clock::now(), stuck: false };
        Self { hearts: vec![heart; cores], alarms: [Alarm::default(); 8] }
    }

    /// Whether a core's heartbeat stands still.
    pub(crate) fn is_stuck(&self, core: usize) -> bool {
        self.hearts.get(core).is_some_and(|heart| heart.stuck)
    }

    /// Looks at one core; whether it stands still, if that is new.
    fn look(&mut self, core: usize, cells: &CoreCells, now: Moment) -> Option<bool> {
        let heart = self.hearts.get_mut(core)?;
        let was_stuck = heart.stuck;
        let beat = cells.heartbeat.read();
        if beat != heart.beat || cells.stopped.read() == 1 {
            if heart.stuck {
                tracing::info!(core, "the core moves again");
            }
            *heart = Heart { beat, at: now, stuck: false };
        } else if !heart.stuck && now.duration_since(heart.at) > STILL {
            heart.stuck = true;
            tracing::error!(core, "the core stands still: its heartbeat is over 5 s old");
        }
        (heart.stuck != was_stuck).then_some(heart.stuck)
    }
}

impl Control {
    /// One look at everything.
    pub(crate) fn tick(&self) {
        let now = clock::now();
        self.hear_before();
        {
            let mut watch = self.watch();
            for (core, cells) in self.shared.cores.iter().enumerate() {
                if let Some(is_stuck) = watch.look(core, cells, now) {
                    self.core_happened(core, is_stuck);
                }
            }
            self.sound(&mut watch, now);
        }
        let mut state = self.state();
        state.trials.tick(now);
        let changed = state.tick(now.duration_since(self.started));
        for (endpoint, until) in &changed {
            match until {
                Some(until) => {
                    let seconds =
                        until.saturating_sub(now.duration_since(self.started)).as_secs_f64();
                    tracing::warn!(%endpoint, seconds, "ejected after failures in a row");
                    self.ejection_happened(endpoint, Some(seconds));
                }
                None => {
                    tracing::info!(%endpoint, "back after its ejection");
                    self.ejection_happened(endpoint, None);
                }
            }
        }
        if changed.is_empty() && !state.is_stale {
            state.free();
        } else {
            state.publish(&self.shared.publisher);
        }
    }

    fn sound(&self, watch: &mut Watch, now: Moment) {
        let sum = |cell: fn(&CoreCells) -> &crate::cells::Cell| {
            self.shared.cores.iter().map(|core| cell(core).read()).sum::<u64>()
        };
        let [accepts, pauses, drops, panics, sinks, clients, rates, strain] = &mut watch.alarms;
        if let Some(times) = clients.rise(sum(|core| &core.client_refusals), now) {
            tracing::warn!(times, "connections refused: a client has limits.per_client of them");
        }
        if let Some(times) = rates.rise(sum(|core| &core.rates_forgotten), now) {
            tracing::warn!(times, "more clients at once than limits.rate has places to count");
        }
        let shed = sum(|core| &core.strain_connections) + sum(|core| &core.strain_requests);
        if let Some(times) = strain.rise(shed, now) {
            tracing::warn!(times, "connections and requests refused: the process is pressed");
        }
        if let Some(times) = accepts.rise(sum(|core| &core.accept_failures), now) {
            tracing::warn!(
                times,
                "accepting failed: out of file descriptors or memory; raise LimitNOFILE or lower \
                 limits.connections"
            );
        }
        if let Some(times) = pauses.rise(sum(|core| &core.accept_pauses), now) {
            tracing::warn!(times, "accepting pauses: limits.connections is reached");
        }
        if let Some(lines) = drops.rise(sum(|core| &core.log_drops), now) {
            tracing::warn!(lines, "access-log lines dropped: the log's sink is too slow");
        }
        if let Some(times) = panics.rise(sum(|core| &core.panics), now) {
            tracing::error!(times, "connections ended by a panic; please report this as a bug");
        }
        if let Some(times) = sinks.rise(self.logs.failures.load(Relaxed), now) {
            let why = self.logs.last_failure();
            tracing::warn!(times, why, "the access log cannot be written");
        }
    }
}

/// A heartbeat older than this is a core that stands still: a hundred of its ticks.
const STILL: Duration = Duration::from_secs(5);
/// Between two words about the same counter, so that trouble does not fill the log.
const SILENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heart_that_stands_still_is_seen_and_one_that_beats_again_too() {
        let mut watch = Watch::new(1);
        let cells = CoreCells::default();
        let start = clock::now();
        cells.heartbeat.add(1);
        watch.look(0, &cells, start);
        watch.look(0, &cells, start + Duration::from_secs(5));
        assert!(!watch.is_stuck(0));
        watch.look(0, &cells, start + Duration::from_secs(6));
        assert!(watch.is_stuck(0));
        cells.heartbeat.add(1);
        watch.look(0, &cells, start + Duration::from_secs(7));
        assert!(!watch.is_stuck(0));
    }

    #[test]
    fn a_stopped_core_may_stand_still() {
        let mut watch = Watch::new(1);
        let cells = CoreCells::default();
        cells.stopped.set(1);
        watch.look(0, &cells, clock::now() + Duration::from_secs(60));
        assert!(!watch.is_stuck(0));
    }

    #[test]
    fn an_alarm_tells_all_that_rose_meanwhile_but_seldom() {
        let (mut alarm, start) = (Alarm::default(), clock::now());
        assert_eq!(alarm.rise(0, start), None);
        assert_eq!(alarm.rise(3, start), Some(3));
        assert_eq!(alarm.rise(5, start + Duration::from_secs(1)), None);
        assert_eq!(alarm.rise(6, start + Duration::from_secs(10)), Some(3));
        assert_eq!(alarm.rise(6, start + Duration::from_secs(30)), None);
    }
}
