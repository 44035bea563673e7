//! What a process that has handed over still does: it finishes what it began, and tells of it.

use std::{collections::HashMap, hash::Hash, sync::Arc, time::Duration};

use super::{super::stop::Report, Control, aside, lock};
use crate::{
    cells::totals::Totals,
    clock,
    heritage::{
        Frame,
        left::{CountsLeft, News},
    },
    snapshot::Phase,
};

impl Control {
    /// Everything that is counted here and was counted before, by name.
    pub(super) fn counts(&self) -> CountsLeft {
        let (mut counts, _) = self.state().leave_counts(clock::now().duration_since(self.started));
        let cores = self.shared.cores.iter().enumerate();
        counts.cores = cores
            .map(|(core, cells)| {
                let before = self.succession.core(core);
                Totals::of(std::iter::once(&**cells).chain(before))
            })
            .collect();
        let own = &mut counts.own;
        own.count(LINES, self.log_lines());
        own.count(FAILURES, self.log_failures());
        self.leave_ofrep(own);
        self.leave_audit(own);
        counts
    }

    /// Lines of the access log, those of earlier processes among them.
    pub(crate) fn log_lines(&self) -> u64 {
        let lines = self.logs.lines.load(std::sync::atomic::Ordering::Relaxed);
        lines + self.succession.own(LINES)
    }

    /// Times that the access log's sink refused, likewise.
    pub(crate) fn log_failures(&self) -> u64 {
        let failures = self.logs.failures.load(std::sync::atomic::Ordering::Relaxed);
        failures + self.succession.own(FAILURES)
    }

    /// Tells the other process what has changed, until it hears no more.
    pub(super) async fn tell_for_ever(self: Arc<Self>) {
        let mut turn = 0_u32;
        loop {
            tokio::time::sleep(NEWS).await;
            turn += 1;
            // Counts are many, and nobody acts on them within a second.
            if !self.tell(turn.is_multiple_of(COUNTS)).await {
                return;
            }
        }
    }

    async fn tell(self: &Arc<Self>, with_counts: bool) -> bool {
        let counts = if with_counts { self.new_counts() } else { CountsLeft::default() };
        let trials = self.state().trials.news();
        let news = Frame::News(Box::new(News { counts, trials }));
        self.say(news).await
    }

    async fn say(self: &Arc<Self>, frame: Frame) -> bool {
        let control = self.clone();
        let said = aside(move || {
            let mut line = lock(&control.succession.line);
            let sent = line.as_mut().map(|line| line.send(&frame, PATIENCE));
            if let Some(Err(error)) = &sent {
                tracing::warn!(%error, "the process that serves now does not listen");
                *line = None;
            }
            Ok(matches!(sent, Some(Ok(()))))
        });
        said.await.unwrap_or(false)
    }

    /// What was counted since it was last told.
    fn new_counts(&self) -> CountsLeft {
        let now = self.counts();
        let mut told = lock(&self.succession.told);
        let news = CountsLeft {
            cores: if now.cores == told.cores { Vec::new() } else { now.cores.clone() },
            versions: changed(&told.versions, &now.versions),
            endpoints: changed(&told.endpoints, &now.endpoints),
            routes: changed(&told.routes, &now.routes),
            flags: changed(&told.flags, &now.flags),
            own: if now.own == told.own { Totals::default() } else { now.own.clone() },
        };
        *told = now;
        news
    }

    /// Finishes what was begun here, as long as it may take; the other process hears the end of it.
    pub(crate) async fn finish(self: &Arc<Self>) -> Report {
        let timeouts = self.state().config.timeouts.clone();
        let connections = self.connections();
        tracing::info!(connections, grace = ?timeouts.grace, "leaving: replies say that it is over");
        self.until(timeouts.grace.max(GRACE), || self.running() == 0).await;
        tracing::info!(connections = self.connections(), drain = ?timeouts.drain, "draining");
        self.enter(Phase::Draining);
        self.until(timeouts.drain, || self.running() == 0).await;
        let report = self.close().await;
        self.tell(true).await;
        self.say(Frame::Farewell { cut: report.cut }).await;
        report
    }
}

/// Those of `now` that are not among `told`.
fn changed<K: Eq + Hash + Clone>(told: &[(K, Totals)], now: &[(K, Totals)]) -> Vec<(K, Totals)> {
    let told: HashMap<&K, &Totals> = told.iter().map(|(key, totals)| (key, totals)).collect();
    let is_new = |(key, totals): &&(K, Totals)| told.get(key) != Some(&totals);
    now.iter().filter(is_new).cloned().collect()
}

/// What other counts are called.
const LINES: &str = "log_lines";
const FAILURES: &str = "log_failures";
/// Between two times that it tells something.
const NEWS: Duration = Duration::from_millis(250);
/// Every so many times it tells what is counted.
const COUNTS: u32 = 4;
/// How long a client may take for its next request at the least, to be told that it is the last.
const GRACE: Duration = Duration::from_secs(1);
/// How long the other process may take to hear something.
const PATIENCE: Duration = Duration::from_secs(5);
