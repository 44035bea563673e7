//! Spans of sampled traces on their way to a collector, over OTLP/HTTP.
//!
//! The log thread makes them from records and gathers them in batches; control sends these, one
//! after the other. What finds no room is dropped and counted: a collector that is slow or gone
//! costs nobody anything.

pub(crate) mod proto;
mod sender;
mod span;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    time::Duration,
};

use gnomon_config::model::Otlp;
use gnomon_shadow::span::CopySpan;
use tokio::sync::Notify;

use self::proto::Span;
use super::logs::SpanTally;
use crate::{
    access::Record,
    clock::{self, Moment},
};

/// Batches between the log thread and control.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    batches: Mutex<VecDeque<Vec<Span>>>,
    /// Spans that wait, those that are being sent among them.
    waiting: AtomicUsize,
    bell: Notify,
    /// Set to have what is gathered sent at once.
    hurry: AtomicBool,
}

impl Queue {
    /// Leaves a batch, where no more than `most` spans may wait.
    fn push(&self, batch: Vec<Span>, most: usize, tally: &SpanTally) {
        let count = batch.len();
        if self.waiting.load(Acquire) + count > most {
            tally.dropped.fetch_add(count as u64, Relaxed);
            return;
        }
        self.waiting.fetch_add(count, AcqRel);
        self.batches().push_back(batch);
        self.bell.notify_one();
    }

    fn pop(&self) -> Option<Vec<Span>> {
        self.batches().pop_front()
    }

    /// So many spans wait no longer.
    fn done(&self, count: usize) {
        self.waiting.fetch_sub(count, AcqRel);
    }

    /// Spans that wait, those that are being sent among them.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Acquire)
    }

    fn batches(&self) -> MutexGuard<'_, VecDeque<Vec<Span>>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The log thread's side.
pub(super) struct Gatherer<'a> {
    queue: &'a Queue,
    tally: &'a SpanTally,
    otlp: Option<Otlp>,
    redact: Vec<Arc<str>>,
    batch: Vec<Span>,
    /// When the batch's first span came.
    begun: Moment,
}

impl<'a> Gatherer<'a> {
    pub(super) fn new(queue: &'a Queue, tally: &'a SpanTally) -> Self {
        let (redact, batch) = (Vec::new(), Vec::new());
        Self { queue, tally, otlp: None, redact, batch, begun: clock::now() }
    }

    /// Takes over what is configured.
    pub(super) fn follow(&mut self, otlp: Option<&Otlp>, redact: &[Arc<str>]) {
        self.leave();
        self.otlp = otlp.cloned();
        redact.clone_into(&mut self.redact);
    }

    /// Takes the spans of a record.
    pub(super) fn take(&mut self, record: &Record<'_>) {
        let Some(otlp) = &self.otlp else { return };
        if self.batch.is_empty() {
            self.begun = clock::now();
        }
        span::of_record(record, otlp, &self.redact, &mut self.batch);
        if self.batch.len() >= BATCH {
            self.leave();
        }
    }

    /// Takes the span of a copy.
    pub(super) fn take_copy(&mut self, copy: &CopySpan) {
        if self.otlp.is_none() {
            return;
        }
        if self.batch.is_empty() {
            self.begun = clock::now();
        }
        self.batch.push(span::of_copy(copy));
        if self.batch.len() >= BATCH {
            self.leave();
        }
    }

    /// Leaves the batch if its first span has waited for long enough.
    pub(super) fn leave_if_due(&mut self, now: Moment) {
        let hurries = self.queue.hurry.swap(false, Relaxed);
        if hurries || now.duration_since(self.begun) >= LINGER {
            self.leave();
        }
    }

    fn leave(&mut self) {
        let Some(otlp) = self.otlp.as_ref().filter(|_| !self.batch.is_empty()) else { return };
        let batch = std::mem::take(&mut self.batch);
        self.queue.push(batch, otlp.queue as usize, self.tally);
    }
}

/// Spans of a batch; the last exchange's may make it a little longer.
const BATCH: usize = 512;
/// How long a span waits for others.
const LINGER: Duration = Duration::from_secs(1);
