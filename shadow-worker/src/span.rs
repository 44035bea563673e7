//! What a copy adds to the trace of its request: that it was sent, and what came back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};
use gnomon_config::model::Name;

use crate::counts::Failed;

/// A copy that was sent, for the trace of its request.
#[derive(Clone, Debug)]
pub struct CopySpan {
    /// The trace.
    pub trace: u128,
    /// The copy's own span.
    pub span: u64,
    /// The span of the exchange that was copied.
    pub parent: u64,
    /// When it was sent, since the Unix epoch.
    pub begun: Duration,
    /// How long it took to come back.
    pub took: Duration,
    /// The status replied, or why there was no whole reply.
    pub outcome: Result<u16, Failed>,
    /// Whose copy it is.
    pub shadow: Name,
    /// Which upstream and version it went to.
    pub to: (Name, Name),
    /// Which endpoint.
    pub endpoint: Arc<str>,
    /// Its method.
    pub method: Bytes,
}

/// Where spans of copies wait for whoever tells them on.
#[derive(Debug)]
pub struct Spans {
    queue: (Sender<CopySpan>, Receiver<CopySpan>),
    /// Spans that found no room.
    pub drops: AtomicU64,
}

impl Default for Spans {
    fn default() -> Self {
        Self { queue: crossbeam_channel::bounded(WAITING_MAX), drops: AtomicU64::new(0) }
    }
}

impl Spans {
    /// Leaves a span; without room, it is dropped and counted.
    pub(crate) fn leave(&self, span: CopySpan) {
        if self.queue.0.try_send(span).is_err() {
            self.drops.fetch_add(1, Relaxed);
        }
    }

    /// The next span, if there is one.
    #[must_use]
    pub fn next(&self) -> Option<CopySpan> {
        self.queue.1.try_recv().ok()
    }
}

/// Spans that wait: they are taken every few milliseconds, in which not so many copies are sent.
const WAITING_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_counted() {
        let spans = Spans::default();
        let span = CopySpan {
            trace: 1,
            span: 2,
            parent: 3,
            begun: Duration::ZERO,
            took: Duration::ZERO,
            outcome: Ok(200),
            shadow: "new".into(),
            to: ("shop".into(), "v2".into()),
            endpoint: "127.0.0.1:80".into(),
            method: Bytes::from_static(b"GET"),
        };
        (0..WAITING_MAX + 2).for_each(|_| spans.leave(span.clone()));
        assert_eq!(spans.drops.load(Relaxed), 2);
        assert_eq!(std::iter::from_fn(|| spans.next()).count(), WAITING_MAX);
    }
}
