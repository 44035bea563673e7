//! Who writes exchanges down as they pass: the shadow thread's end of a recording.
//!
//! Copies come by the same road as a shadow's, out of the same rations, and under the same rule:
//! what finds no room is counted and let go. An exchange is redacted here, on the shadow thread;
//! nothing else ever leaves it.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use gnomon_config::model::{Redact, Share};

use crate::{
    counts::{Count, Counts, Unpaired},
    exchange::{Answer, Lost, Reply},
    pair::Pair,
    plain,
    recording::{End, Recorded},
    redact::{Raw, Redactor},
    terms::Taker,
};

/// Where a recorder's lines go.
pub trait Sink: Send + Sync {
    /// Takes a line, if there is room for it now. Never waits.
    fn offer(&self, line: Bytes) -> bool;

    /// As many lines as were asked for have been taken.
    fn full(&self);
}

/// What is to be recorded, and how.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Share of the exchanges.
    pub sample: Share,
    /// Exchanges at most.
    pub most: u64,
    /// What is made unreadable.
    pub redact: Redact,
    /// Under which secrets are hashed: this recording's own.
    pub key: [u8; 32],
    /// When it begins.
    pub begun: Instant,
}

/// Writes exchanges down.
pub struct Recorder {
    /// Share of the exchanges.
    pub sample: Share,
    /// What is counted of it.
    pub counts: Arc<Counts>,
    redactor: Redactor,
    begun: Instant,
    most: u64,
    written: AtomicU64,
    /// Lines that nobody took in time.
    slow: Count,
    /// Exchanges written down without a reply.
    unanswered: Count,
    /// Bytes of lines on their way.
    queued: AtomicU64,
    closed: AtomicBool,
    sink: Box<dyn Sink>,
}

impl Recorder {
    /// A recorder for so many cores, whose lines go to `sink`.
    #[must_use]
    pub fn new(wish: &Wish, cores: usize, sink: Box<dyn Sink>) -> Self {
        Self {
            sample: wish.sample,
            counts: Arc::new(Counts::new(cores)),
            redactor: Redactor::new(&wish.redact, wish.key).keeping_all(),
            begun: wish.begun,
            most: wish.most,
            written: AtomicU64::new(0),
            slow: Count::default(),
            unanswered: Count::default(),
            queued: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            sink,
        }
    }

    /// Whether it takes copies.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.closed.load(Relaxed)
    }

    /// Takes no more copies; those under way are still written.
    pub fn close(&self) {
        self.closed.store(true, Relaxed);
    }

    /// A line of so many bytes has left the queue.
    pub fn handed_on(&self, bytes: usize) {
        self.queued.fetch_sub(bytes as u64, AcqRel);
    }

    /// Copies that are not yet written.
    #[must_use]
    pub fn under_way(&self) -> u64 {
        self.counts.accounting().in_flight
    }

    /// The balance: what came of the exchanges, and why it ends.
    #[must_use]
    pub fn end(&self, why: &str) -> End {
        let written = self.written.load(Acquire);
        let accounting = self.counts.accounting();
        let mut dropped = accounting.dropped;
        let slow = [("slow_reader", self.slow.read())];
        let failed = accounting.failed.iter().map(|(why, count)| (&**why, *count));
        for (why, count) in slow.into_iter().chain(failed).filter(|(_, count)| *count > 0) {
            dropped.insert(why.to_owned(), count);
        }
        // By subtraction: what is written while this is added up must not be in the books twice.
        let known = written + dropped.values().sum::<u64>();
        let unfinished = accounting.sampled.saturating_sub(known);
        if unfinished > 0 {
            dropped.insert("unfinished".to_owned(), unfinished);
        }
        End {
            why: why.to_owned(),
            eligible: accounting.eligible,
            sampled: accounting.sampled,
            written,
            unanswered: self.unanswered.read(),
            dropped,
        }
    }

    /// What a tap has to know.
    #[must_use]
    pub fn taker(&self) -> Taker<'_> {
        Taker {
            counts: &self.counts,
            body_max: REQUEST_MAX,
            reply_max: REPLY_MAX,
            in_flight: IN_FLIGHT,
            shed_at: SHED_AT,
        }
    }

    /// Writes an exchange down.
    pub(crate) fn write(&self, pair: &Pair, answer: Option<&Answer>) {
        let written = self.written.load(Relaxed);
        if written >= self.most {
            return;
        }
        let reply =
            answer.map_or(Err(LATE), |answer| answer.reply.as_ref().map_err(|lost| name(*lost)));
        let is_answered = reply.is_ok();
        let line = self.line(pair, reply, answer.map(|answer| answer.first_byte));
        let bytes = line.len() as u64;
        if self.queued.fetch_add(bytes, AcqRel) + bytes > QUEUE_MAX || !self.sink.offer(line) {
            self.queued.fetch_sub(bytes, AcqRel);
            self.slow.add(1);
            return;
        }
        self.unanswered.add(u64::from(!is_answered));
        self.written.store(written + 1, Release);
        if written + 1 == self.most {
            self.close();
            self.sink.full();
        }
    }

    fn line(
        &self,
        pair: &Pair,
        reply: Result<&Reply, &str>,
        first_byte: Option<Duration>,
    ) -> Bytes {
        let none = Reply::default();
        let primary = reply.map_or_else(|_| none.clone(), |reply| plain::plain(reply, DECODED_MAX));
        let raw = Raw { request: &pair.copy.asked, primary: &primary, shadow: &none, found: &[] };
        let clean = self.redactor.clean(&raw);
        let at = pair.copy.begun.saturating_duration_since(self.begun);
        let recorded = Recorded {
            at_us: micros(at),
            route: pair.terms().route_name(&pair.copy.plan).to_owned(),
            request: clean.request,
            lost: reply.err().map(str::to_owned),
            reply: reply.is_ok().then_some(clean.primary),
            first_byte_us: micros(first_byte.unwrap_or_default()),
        };
        recorded.to_line()
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("written", &self.written).finish_non_exhaustive()
    }
}

const LATE: &str = Unpaired::Late.name();

const fn name(lost: Lost) -> &'static str {
    match lost {
        Lost::Failed => Unpaired::Primary.name(),
        Lost::Moved => Unpaired::Moved.name(),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// How long an exchange may take to be written with its reply. Lines come in the order in which
/// exchanges end; none is later than this.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Longest request body that is written; of a longer one nothing could be sent again.
pub const REQUEST_MAX: u64 = 1 << 20;
/// Longest reply body that is written, as it came; of a longer one length and hash are.
pub const REPLY_MAX: u64 = 256 << 10;
/// What a reply body may become without its coding.
const DECODED_MAX: u64 = 1 << 20;
/// Exchanges that wait for their end, per core: they cost no connection, and their memory is
/// rationed.
const IN_FLIGHT: u32 = 4096;
/// As for a shadow that says nothing of it.
const SHED_AT: Share = Share(80_000);
/// Bytes of lines that wait for whoever reads them.
const QUEUE_MAX: u64 = 16 << 20;
