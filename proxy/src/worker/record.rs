//! One exchange's line in the counters and in the access log.

use std::time::Duration;

use std::rc::Rc;

use gnomon_config::model::{AccessFormat, AccessLog, FailureKind, Share};
use gnomon_policy::{Assignment, Plan, RouteIx};
use gnomon_wire::{Known, Request};

use super::{
    Worker,
    client::Peer,
    evidence::Evidence,
    flags::Flagged,
    identity::ID_BYTES,
    origin::{Origin, Waited},
    trace::{self, Traced},
    view::View,
};
use crate::{
    access::{Record, Texts, Wants},
    cells::{
        VersionCells,
        routes::{RouteCells, Time},
    },
    clock::{self, Moment, nanos},
    failure::{Failure, Kind, Side, Stage},
    patience::TICK_MILLIS,
    trial,
};

/// What is known so far about one exchange.
pub(super) struct Entry {
    begun: Moment,
    waited: Waited,
    sent_at: Option<Moment>,
    first_byte: Duration,
    status: u16,
    pub(super) attempts: u8,
    failure: Option<Failure>,
    pub(super) plan: Option<Plan>,
    /// The route of a request that was turned away.
    refused_route: Option<RouteIx>,
    /// Bytes of the request's body received from the client.
    pub(super) received: u64,
    /// Bytes of the reply's body sent to the client.
    pub(super) sent: u64,
    id: Id,
    endpoint: Option<Rc<Origin>>,
    headed: Duration,
    pub(super) evidence: Evidence,
    pub(super) flags: Option<Box<Flagged>>,
    /// The trace that it belongs to, if it does.
    pub(super) trace: Option<Traced>,
}

/// What an exchange is called.
enum Id {
    /// By us.
    Own([u8; ID_BYTES]),
    /// By a proxy before us that we trust.
    Given,
}

impl Entry {
    pub(super) fn open(worker: &Worker) -> Self {
        worker.cells.requests.add(1);
        Self {
            begun: clock::now(),
            waited: Waited::default(),
            sent_at: None,
            first_byte: Duration::ZERO,
            status: 0,
            attempts: 0,
            failure: None,
            plan: None,
            refused_route: None,
            received: 0,
            sent: 0,
            id: Id::Own(worker.identities.next()),
            endpoint: None,
            headed: Duration::ZERO,
            evidence: Evidence::default(),
            flags: None,
            trace: None,
        }
    }

    /// The request came with an id that we believe.
    pub(super) const fn keep_given_id(&mut self) {
        self.id = Id::Given;
    }

    /// The id we gave it, if we did.
    pub(super) const fn own_id(&self) -> Option<&[u8]> {
        match &self.id {
            Id::Own(text) => Some(text),
            Id::Given => None,
        }
    }

    /// Whether a flag is judged by what becomes of it.
    pub(super) fn is_judged(&self) -> bool {
        self.flags.as_ref().is_some_and(|flags| !flags.drawn.is_empty())
    }

    /// What the origin is told of the user's flags; empty if nothing.
    pub(super) fn told(&self) -> &[u8] {
        self.flags.as_ref().map_or(&[], |flags| &flags.told)
    }

    /// This is the endpoint that is being asked.
    pub(super) fn endpoint(&mut self, worker: &Worker, origin: &Rc<Origin>, plan: &Plan) {
        if let Some(trace) = &mut self.trace {
            trace.attempt(worker, self.begun, origin, plan);
        }
        self.endpoint = Some(Rc::clone(origin));
    }

    /// It has replied, or it has not.
    pub(super) fn attempted(&mut self, outcome: Result<u16, Failure>) {
        if let Some(trace) = &mut self.trace {
            trace.attempted(self.begun, outcome);
        }
    }

    /// A request is about to be sent over a connection that took so long to get.
    pub(super) fn sending(&mut self, waited: Waited) {
        self.attempts = self.attempts.saturating_add(1);
        self.waited.queue += waited.queue;
        self.waited.connect += waited.connect;
        // To look at the clock costs more than deciding took, so the first attempt's time counts
        // from the request's.
        let is_first = self.attempts == 1 && waited == Waited::default();
        self.sent_at = Some(if is_first { self.begun } else { clock::now() });
    }

    /// The final reply's head has arrived.
    pub(super) fn replied(&mut self, status: u16) {
        self.status = status;
        let now = clock::now();
        self.headed = now - self.begun;
        self.first_byte = self.sent_at.map(|sent| now - sent).unwrap_or_default();
    }

    /// From the request's head to the reply's; zero without a reply.
    pub(super) const fn headed(&self) -> Duration {
        self.headed
    }

    /// Where the time went so far, as `Server-Timing` says it: ours, and the origin's to its first
    /// byte.
    pub(super) fn timing(&self) -> Vec<u8> {
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        let ours = self.age().saturating_sub(self.first_byte);
        let (ours, origin) = (millis(ours), millis(self.first_byte));
        format!("gnomon;dur={ours:.3}, upstream;dur={origin:.3}").into_bytes()
    }

    /// The final status, 0 if none was sent.
    pub(super) const fn status(&self) -> u16 {
        self.status
    }

    pub(super) const fn failure(&self) -> Option<Failure> {
        self.failure
    }

    /// Time since its head had been read.
    pub(super) fn age(&self) -> Duration {
        clock::now() - self.begun
    }

    /// A hash of the id that it goes by; 0 without one.
    pub(super) fn id_hash(&self, request: Request<'_>) -> u64 {
        let id = self.own_id().or_else(|| request.first(Known::XRequestId));
        id.map_or(0, trial::id_hash)
    }

    /// When its head had been read.
    pub(super) const fn begun(&self) -> Moment {
        self.begun
    }

    /// From sending the request to the reply's first byte; zero without a reply.
    pub(super) const fn first_byte(&self) -> Duration {
        self.first_byte
    }

    /// Nothing is done for the request, which was meant for this route.
    pub(super) const fn turned_away(&mut self, route: Option<RouteIx>) {
        self.refused_route = route;
    }

    /// We answer ourselves.
    pub(super) const fn answered(&mut self, status: u16) {
        self.status = status;
    }

    pub(super) const fn failed(&mut self, failure: Failure) {
        if self.failure.is_none() {
            self.failure = Some(failure);
        }
    }

    /// Counts the exchange and writes its line.
    pub(super) fn close(mut self, worker: &Worker, view: &View, request: Request<'_>, peer: &Peer) {
        let total = clock::now() - self.begun;
        if let Some(flagged) = &self.flags {
            worker.count_flags(view, flagged, &self);
        }
        if let Some(plan) = self.plan {
            self.evidence.scanned(view, plan.upstream);
            worker.testify_for_flags(view, request, &mut self);
            worker.testify(view, &plan, request, &mut self);
            self.count(worker, view, &plan, total);
        }
        let log = &view.snapshot.config.access_log;
        let wants = Wants {
            line: log.format != AccessFormat::Off && self.is_wanted(log, view, total, worker),
            viewers: worker.viewed.get(),
            spans: self.trace.as_ref().is_some_and(Traced::is_told),
        };
        if wants.any() {
            self.write(worker, view, (request, peer), total, wants);
        }
    }

    /// Writes it down for those who want it.
    fn write(
        &self,
        worker: &Worker,
        view: &View,
        (request, peer): (Request<'_>, &Peer),
        total: Duration,
        wants: Wants,
    ) {
        let named = self.trace.as_ref().map(|trace| trace.own().text());
        let mut texts = self.texts(view, request, peer);
        if let Some(named) = &named {
            (texts.trace_id, texts.span_id) = (&named[3..35], &named[36..52]);
        }
        let mut record = Record {
            tls: peer.tls,
            arm: self.arm(view),
            wants,
            ..self.record(request, total, texts)
        };
        record.wants.line &= view.snapshot.config.access_log.has(&record.seen());
        if !record.wants.any() {
            return;
        }
        let mut spans = Vec::new();
        if let Some(trace) = self.trace.as_ref().filter(|_| wants.spans) {
            spans = worker.scratch.take();
            spans.clear();
            trace.write(view, request, &mut spans);
            record.spans = &spans;
        }
        if !worker.log.borrow_mut().write(&record) {
            worker.cells.log_drops.add(record.wants.line.into());
            worker.cells.view_drops.add(wants.viewers.into());
            worker.cells.span_drops.add(self.trace.as_ref().map_or(0, Traced::count));
        }
        if wants.spans {
            worker.scratch.replace(spans);
        }
    }

    fn arm(&self, view: &View) -> Option<gnomon_config::model::Arm> {
        self.plan.as_ref().map(|plan| trace::arm(view, plan))
    }

    /// The route that it was meant for.
    fn route(&self) -> Option<RouteIx> {
        self.plan.map(|plan| plan.route).or(self.refused_route)
    }

    /// Counts and logs what never became a request.
    pub(super) fn close_refused(self, worker: &Worker, view: &View, peer: &Peer) {
        let head = gnomon_wire::RequestHead::default();
        self.close(worker, view, Request { head: &head, bytes: &[] }, peer);
    }

    fn count(&self, worker: &Worker, view: &View, plan: &Plan, total: Duration) {
        let cells = view.cells(plan.upstream, plan.version);
        match plan.assignment {
            Assignment::Coin | Assignment::Sticky => cells.assigned.add(1),
            Assignment::Pinned => cells.pinned.add(1),
            Assignment::Fallback => {
                cells.fallback.add(1);
                view.cells(plan.upstream, plan.meant).displaced.add(1);
            }
        }
        class_of(self.status).map_or(&cells.unanswered, |class| &cells.classes[class]).add(1);
        if let Some(failure) = &self.failure {
            count_failure(cells, failure);
        }
        let failed = self.status >= 500 || self.status == 0;
        let latency = if failed { &cells.failure_latency } else { &cells.latency };
        if self.status != 0 {
            let (total, tick) = (nanos(total), worker.deadlines.now().into());
            latency.record(total);
            if let Id::Own(id) = &self.id {
                latency.exemplars.offer(id, total, tick, EXEMPLAR_EVERY);
            }
        }
        if let Some(cells) = view.route_cells(plan) {
            self.count_route(cells, plan, total);
        }
        cells.request_bytes.add(self.received);
        cells.response_bytes.add(self.sent);
    }

    fn count_route(&self, cells: &RouteCells, plan: &Plan, total: Duration) {
        let arm = match plan.assignment {
            Assignment::Coin | Assignment::Sticky => 0,
            Assignment::Pinned => 1,
            Assignment::Fallback => 2,
        };
        cells.arms[arm].add(1);
        if self.attempts > 1 {
            cells.retried.add(1);
        }
        if let Some(class) = class_of(self.status) {
            cells.classes[class].add(1);
        }
        if let Some(place) = self.failure.as_ref().and_then(failure_place) {
            cells.failures[place].add(1);
        }
        if self.headed > Duration::ZERO {
            cells.times.record(Time::FirstByte, nanos(self.headed));
        }
        if self.status != 0 {
            let time = if self.status >= 500 { Time::Failed } else { Time::Whole };
            cells.times.record(time, nanos(total));
        }
    }

    fn is_wanted(&self, log: &AccessLog, view: &View, total: Duration, worker: &Worker) -> bool {
        let own = self.route().and_then(|route| view.route(route).log_sample);
        let sample = own.unwrap_or(log.sample);
        sample == Share::WHOLE
            || (log.always_5xx && self.status >= 500)
            || (log.always_slow && total >= log.slow)
            || gnomon_policy::split::position(worker.luck.borrow_mut().draw()) < sample.0
    }

    fn texts<'a>(&'a self, view: &'a View, request: Request<'a>, peer: &'a Peer) -> Texts<'a> {
        let config = &view.snapshot.config;
        let upstream = self.plan.as_ref().map(|plan| view.upstream(plan));
        let version = |plan: &Plan| upstream?.versions.get(usize::from(plan.version.0));
        let (referer, user_agent) = told(request);
        Texts {
            route: self
                .route()
                .and_then(|route| config.routes.get(route.0 as usize))
                .map_or(b"", |route| route.name.as_bytes()),
            upstream: upstream.map_or(b"", |upstream| upstream.name.as_bytes()),
            version: self.plan.as_ref().and_then(version).map_or(b"", |v| v.name.as_bytes()),
            client: peer.text(),
            method: request.method(),
            host: request.host(),
            path: request.path(),
            query: request.query(),
            referer,
            user_agent,
            request_id: self
                .own_id()
                .unwrap_or_else(|| request.first(Known::XRequestId).unwrap_or_default()),
            trace_id: b"",
            span_id: b"",
            endpoint: self.endpoint.as_ref().map_or(b"", |origin| origin.name().as_bytes()),
        }
    }

    fn record<'a>(&self, request: Request<'_>, total: Duration, texts: Texts<'a>) -> Record<'a> {
        Record {
            time: clock::wall().saturating_sub(total),
            total_us: micros(total),
            queue_us: micros(self.waited.queue),
            connect_us: micros(self.waited.connect),
            first_byte_us: micros(self.first_byte),
            status: self.status,
            minor: u8::from(request.version() == gnomon_wire::Version::Http11),
            attempts: self.attempts,
            end: self.failure.map_or(*b"--", |failure| failure.code()),
            assignment: self.plan.map(|plan| plan.assignment),
            probability: self.plan.map_or(0, |plan| plan.probability.0),
            sent: self.sent,
            received: self.received,
            texts,
            tls: None,
            is_plain: false,
            arm: None,
            wants: Wants::default(),
            spans: &[],
        }
    }
}

/// The values of the first Referer and User-Agent, in one walk over the fields.
fn told(request: Request<'_>) -> (&[u8], &[u8]) {
    let (mut referer, mut user_agent) = (None, None);
    for (name, value) in request.fields() {
        let wanted = match name.len() {
            7 if name.eq_ignore_ascii_case(b"referer") => &mut referer,
            10 if name.eq_ignore_ascii_case(b"user-agent") => &mut user_agent,
            _ => continue,
        };
        wanted.get_or_insert(value);
    }
    (referer.unwrap_or_default(), user_agent.unwrap_or_default())
}

fn count_failure(cells: &VersionCells, failure: &Failure) {
    if failure.side == Side::Client {
        return cells.client_gone.add(1);
    }
    let all = [
        &cells.connect_failures,
        &cells.resets,
        &cells.timeouts,
        &cells.truncated,
        &cells.protocol_failures,
    ];
    if let Some(place) = failure_place(failure) {
        all[place].add(1);
    }
}

/// What an exchange without a whole reply counts as: its place in [`FAILURES`](crate::cells::routes::FAILURES).
fn failure_place(failure: &Failure) -> Option<usize> {
    match (failure.kind, failure.counts_as()?) {
        (Kind::Malformed(_), _) => Some(4),
        (_, FailureKind::Connect) => Some(0),
        (_, FailureKind::Timeout) => Some(2),
        (_, FailureKind::Reset | FailureKind::Status5xx) if failure.stage == Stage::Data => Some(3),
        (_, FailureKind::Reset | FailureKind::Status5xx) => Some(1),
    }
}

/// Ticks between two exemplars of like durations: a second.
const EXEMPLAR_EVERY: u64 = 1000 / TICK_MILLIS as u64;

/// Index in [`VersionCells::classes`].
fn class_of(status: u16) -> Option<usize> {
    (100..600).contains(&status).then(|| usize::from(status / 100 - 1))
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

/// Counts one exchange as under way, with a version and an endpoint, for as long as it lives.
pub(super) struct UnderWay<'a> {
    version: &'a VersionCells,
    origin: &'a Origin,
}

impl<'a> UnderWay<'a> {
    pub(super) fn begin(view: &'a View, plan: &Plan, origin: &'a Origin) -> Self {
        let version = view.cells(plan.upstream, plan.version);
        version.in_flight.add(1);
        origin.cells.requests.add(1);
        origin.cells.in_flight.add(1);
        Self { version, origin }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.version.in_flight.sub(1);
        self.origin.cells.in_flight.sub(1);
    }
}
