//! The trace that an exchange belongs to: continued from a peer that we believe, begun where the
//! configuration says so, and begun anew where somebody else spoke of one.

use std::rc::Rc;

use gnomon_config::model::{Arm, Share, Tracing};
use gnomon_policy::{Assignment, Plan, split};
use gnomon_wire::{Known, Request, Trace, Traceparent};

use super::{Worker, origin::Origin, view::View};
use crate::{
    access::spans::{self, ATTEMPTS_MAX},
    clock::{self, Moment},
    failure::Failure,
};

/// The trace that an exchange belongs to.
pub(super) struct Traced {
    /// The trace, and our own span in it: the parent of whatever we ask.
    own: Traceparent,
    /// The caller's span; 0 if the trace begins here.
    caller: u64,
    /// The span of the attempt under way.
    attempt: u64,
    /// What a collector is told, if it is.
    told: Option<Box<Told>>,
}

/// The attempts of an exchange that a collector is told of.
#[derive(Default)]
struct Told {
    /// What somebody spoke of who is not believed.
    link: Option<Traceparent>,
    attempts: [Option<Attempt>; ATTEMPTS_MAX],
    count: usize,
}

struct Attempt {
    span: u64,
    begun_us: u32,
    took_us: u32,
    status: u16,
    failure: Option<Failure>,
    origin: Rc<Origin>,
    plan: Plan,
}

impl Traced {
    /// The trace of a request: none if it speaks of none and none is to be begun.
    pub(super) fn begin(
        worker: &Worker,
        view: &View,
        request: Request<'_>,
        is_trusted: bool,
    ) -> Option<Self> {
        let tracing = &view.snapshot.config.trace;
        if !request.speaks_of_trace() && !tracing.start {
            return None;
        }
        Some(Self::of(worker, tracing, request.traceparent(), is_trusted))
    }

    /// Of a request that speaks of `said`, if of anything that can be understood.
    fn of(worker: &Worker, tracing: &Tracing, said: Option<Traceparent>, is_trusted: bool) -> Self {
        let mut luck = worker.luck.borrow_mut();
        let (own, caller, link) = match said {
            Some(parent) if is_trusted => (parent.child(luck.draw()), parent.parent, None),
            // From the edge, from somebody whom we do not believe, or in words that nobody
            // understands: a trace of its own. Whoever may write them must not fill our collector.
            said => {
                let trace = u128::from(luck.draw()) << 64 | u128::from(luck.draw());
                let is_sampled = tracing.start && split::position(luck.draw()) < tracing.sample.0;
                (Traceparent::start(trace, luck.draw(), is_sampled), 0, said)
            }
        };
        let is_told = own.flags & 1 == 1 && is_told(tracing, own.trace);
        let told = is_told.then(|| Box::new(Told { link, ..Told::default() }));
        Self { own, caller, attempt: own.parent, told }
    }

    /// What the origin is told, by the attempt under way.
    pub(super) fn text(&self) -> [u8; Traceparent::BYTES] {
        self.own.child(self.attempt).text()
    }

    /// What becomes of the request's own words, if this is the text of [`Self::text`].
    pub(super) const fn toward<'t>(&self, text: &'t [u8; Traceparent::BYTES]) -> Trace<'t> {
        if self.keeps_state() { Trace::Continue(text) } else { Trace::Start(text) }
    }

    /// Whether `tracestate` belongs to it.
    pub(super) const fn keeps_state(&self) -> bool {
        self.caller != 0
    }

    /// The trace, and our own span in it.
    pub(super) const fn own(&self) -> Traceparent {
        self.own
    }

    /// Whether a collector is told of it.
    pub(super) const fn is_told(&self) -> bool {
        self.told.is_some()
    }

    /// Another attempt begins, as a span of its own.
    pub(super) fn attempt(
        &mut self,
        worker: &Worker,
        begun: Moment,
        origin: &Rc<Origin>,
        plan: &Plan,
    ) {
        self.attempt = worker.luck.borrow_mut().draw().max(1);
        let Some(told) = &mut self.told else { return };
        if let Some(place) = told.attempts.get_mut(told.count) {
            *place = Some(Attempt {
                span: self.attempt,
                begun_us: micros_since(begun),
                took_us: 0,
                status: 0,
                failure: None,
                origin: Rc::clone(origin),
                plan: *plan,
            });
            told.count += 1;
        }
    }

    /// The attempt under way has come to its end.
    pub(super) fn attempted(&mut self, begun: Moment, outcome: Result<u16, Failure>) {
        let Some(told) = &mut self.told else { return };
        let last = told.count.checked_sub(1).and_then(|last| told.attempts.get_mut(last));
        if let Some(Some(attempt)) = last {
            attempt.took_us = micros_since(begun).saturating_sub(attempt.begun_us);
            match outcome {
                Ok(status) => attempt.status = status,
                Err(failure) => attempt.failure = Some(failure),
            }
        }
    }

    /// Spans that a collector is told of.
    pub(super) fn count(&self) -> u64 {
        self.told.as_ref().map_or(0, |told| told.count as u64 + 1)
    }

    /// Appends what a collector is told.
    pub(super) fn write(&self, view: &View, request: Request<'_>, out: &mut Vec<u8>) {
        let Some(told) = &self.told else { return };
        let state = self.keeps_state().then(|| request.first(Known::Tracestate)).flatten();
        let trace = spans::Trace {
            trace: self.own.trace,
            span: self.own.parent,
            parent: self.caller,
            link: told.link.map_or((0, 0), |link| (link.trace, link.parent)),
            state: state.unwrap_or_default(),
        };
        trace.write(out);
        for attempt in told.attempts.iter().flatten() {
            let version = usize::from(attempt.plan.version.0);
            let version = view.upstream(&attempt.plan).versions.get(version);
            let attempt = spans::Attempt {
                span: attempt.span,
                begun_us: attempt.begun_us,
                took_us: attempt.took_us,
                status: attempt.status,
                end: attempt.failure.map_or(*b"--", |failure| failure.code()),
                arm: Some(arm(view, &attempt.plan)),
                endpoint: attempt.origin.name().as_bytes(),
                version: version.map_or(b"", |version| version.name.as_bytes()),
            };
            attempt.write(out);
        }
    }
}

/// Whether the collector gets this one of the sampled traces: the same on every host, by those
/// bytes of the id that everybody draws at random.
fn is_told(tracing: &Tracing, trace: u128) -> bool {
    let Some(otlp) = &tracing.otlp else { return false };
    let bytes = trace.to_le_bytes();
    let [a, b, c, d, e, f, g, ..] = bytes;
    let random = u64::from_be_bytes([a, b, c, d, e, f, g, 0]);
    otlp.sample == Share::WHOLE || split::position(random) < otlp.sample.0
}

/// The part that a plan's version plays.
pub(super) fn arm(view: &View, plan: &Plan) -> Arm {
    if plan.assignment == Assignment::Pinned {
        Arm::Pinned
    } else if view.upstream(plan).stable == plan.version {
        Arm::Stable
    } else {
        Arm::Canary
    }
}

fn micros_since(begun: Moment) -> u32 {
    u32::try_from((clock::now() - begun).as_micros()).unwrap_or(u32::MAX)
}
