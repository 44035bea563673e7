//! One request: decide, acquire, send, relay, record.
//!
//! Read this file first. Everything it calls either decides (`policy`, pure), frames (`wire`,
//! pure) or moves bytes (async, beside it). All branching is here; the helpers do not know what
//! comes next.

use std::{os::fd::AsRawFd, rc::Rc};

use gnomon_config::model::{FailureKind, Upstream};
use gnomon_policy::{
    Decision, Plan, RouteIx, Subject,
    balance::{self, Pick},
    retry::{self, FailureStage, Idempotence, Sent},
};
use gnomon_sys::socket;
use gnomon_wire::{
    BodyLimits, BodyReader, BodyWriter, Framing, Known, Piece, Request, ResponseHead, Side,
    Upgrade, Version,
};

use super::{
    Heads, Worker,
    answer::{self, Manner},
    buffers::Buffer,
    claims,
    client::{Client, Next},
    flags,
    flow::Flow,
    origin::{Lease, Origin},
    outgoing,
    record::{Entry, UnderWay},
    relay::{self, Broken, Whole},
    restraint::{self, Refusal},
    tap::Tap,
    trace::Traced,
    upload,
    view::View,
};
use crate::failure::{Failure, Kind, Stage};

/// Serves the request whose head fills the first `length` bytes of the client's inbox.
pub(super) async fn serve(
    worker: &Rc<Worker>,
    client: &mut Client,
    heads: &mut Heads,
    length: usize,
) -> Next {
    worker.refresh();
    // One look: this exchange keeps the snapshot it began with, however long it lasts.
    let view = worker.view();
    let mut entry = Entry::open(worker);
    let Some(mut inbox) = client.inbox.take() else { return Next::Drop };
    let (head, window) = inbox.data_mut().split_at_mut(length);
    let request = Request { head: &heads.request, bytes: head };

    let Opened { decision, mut body, refusal, tap } =
        open(worker, &view, (client, request), window, &mut entry);
    let exchange = Exchange { worker, view: &view, client, request, tap: &tap };
    #[cfg(test)]
    super::sim::hooks::strike();
    let (next, surplus) = match &refusal {
        Some(refusal) => {
            entry.turned_away(decision.route());
            (exchange.turn_away(refusal, &body, &mut entry).await, None)
        }
        None => exchange.run(decision, &mut body, &mut heads.reply, &mut entry).await,
    };

    tap.close(entry.plan.as_ref(), entry.first_byte());
    let used = body.came_whole.then_some(length + body.first.consumed);
    drop(body);
    entry.close(worker, &view, Request { head: &heads.request, bytes: inbox.data() }, &client.peer);
    match used {
        Some(used) => inbox.consume(used),
        // All of it went to the upload, what it could not yet read included.
        None => inbox.clear(),
    }
    client.inbox = Some(surplus.unwrap_or(inbox));
    next
}

/// What is known of an exchange once all has been decided.
struct Opened<'a> {
    decision: Decision,
    body: Body<'a>,
    refusal: Option<Refusal>,
    tap: Tap,
}

/// Decides all that can be decided from the head. Not a part of [`serve`], so that none of it lives
/// for as long as the exchange does.
fn open<'a>(
    worker: &Rc<Worker>,
    view: &View,
    (client, request): (&Client, Request<'_>),
    window: &'a mut [u8],
    entry: &mut Entry,
) -> Opened<'a> {
    if client.peer.is_trusted && request.first(Known::XRequestId).is_some() {
        entry.keep_given_id();
    }
    entry.trace = Traced::begin(worker, view, request, client.peer.is_trusted);
    let now = flags::moment(view);
    let claims = now.and_then(|now| claims::claims(worker, view, request, now));
    let flags = now.map(|now| flags::begin(view, request, &client.peer, claims.as_deref(), now));
    let subject = Subject { request, client: client.peer.ip, flags: flags.as_ref() };
    let available = &view.snapshot.availability;
    let decision = view.snapshot.table.decide(&subject, available, &mut worker.luck.borrow_mut());
    let route = decision.route();
    let body = match Body::begin(request, window, route, view) {
        Ok(body) => body,
        Err(failure) => Body::refused(failure),
    };
    let who = (request, client.peer.ip);
    let refusal = restraint::request(worker, view, who, route, entry.begun());
    let tap = match decision.plan().filter(|_| body.refused.is_none() && refusal.is_none()) {
        Some(plan) => Tap::open(worker, view, &plan, &subject, client, entry),
        None => Tap::closed(),
    };
    let upstream = decision.plan().filter(|_| refusal.is_none()).map(|plan| plan.upstream);
    entry.flags = flags::end(view, flags.as_ref(), upstream);
    tap.told(entry.told());
    Opened { decision, body, refusal, tap }
}

/// What of a request's body has come with its head, and what reads the rest.
struct Body<'a> {
    reader: BodyReader,
    window: &'a [u8],
    first: Piece,
    /// Whether all of it came with the head, so that it can be sent again.
    came_whole: bool,
    refused: Option<Failure>,
}

impl<'a> Body<'a> {
    fn begin(
        request: Request<'_>,
        window: &'a mut [u8],
        route: Option<RouteIx>,
        view: &View,
    ) -> Result<Self, Failure> {
        let malformed = |reject| Failure::client(Stage::Body, Kind::Malformed(reject));
        let bytes = route.map_or(0, |route| view.route(route).body_max);
        let limits = BodyLimits { bytes, ..BodyLimits::DEFAULT };
        let mut reader =
            BodyReader::new(Side::Request, request.framing(), &limits).map_err(malformed)?;
        let first = reader.read(window).map_err(malformed)?;
        let came_whole = reader.is_done();
        Ok(Self { reader, window, first, came_whole, refused: None })
    }

    fn refused(failure: Failure) -> Self {
        let nothing = BodyReader::new(Side::Request, Framing::Empty, &BodyLimits::DEFAULT);
        Self {
            reader: nothing.expect("an empty body is within every limit"),
            window: &[],
            first: Piece::default(),
            came_whole: false,
            refused: Some(failure),
        }
    }

    /// The content that has come.
    fn data(&self) -> &'a [u8] {
        self.window.get(self.first.data.clone()).unwrap_or_default()
    }

    /// What has come but cannot be read yet: the beginning of a trailer section.
    fn leftover(&self) -> &'a [u8] {
        if self.came_whole {
            return &[];
        }
        self.window.get(self.first.consumed..).unwrap_or_default()
    }
}

/// How an attempt at an origin ended.
enum Attempt {
    /// The client has the whole reply.
    Whole(Whole, Option<Buffer>),
    /// No reply, or a part of one.
    Broken(Broken),
}

/// The request and everything around it that stays as it is.
struct Exchange<'a> {
    worker: &'a Rc<Worker>,
    view: &'a View,
    client: &'a Client,
    request: Request<'a>,
    tap: &'a Tap,
}

impl Exchange<'_> {
    async fn run(
        &self,
        decision: Decision,
        body: &mut Body<'_>,
        reply: &mut ResponseHead,
        entry: &mut Entry,
    ) -> (Next, Option<Buffer>) {
        if let Some(failure) = body.refused {
            self.worker.cells.rejects.add(1);
            return (self.fail(failure, body, entry).await, None);
        }
        if self.is_misdirected() {
            self.worker.cells.rejects.add(1);
            let manner = self.manner(body);
            let answer = answer::of_status(self.worker, 421, manner);
            return (self.answer(Some(answer), manner, entry).await, None);
        }
        match decision {
            // With every version out, the health checks may be what is wrong: asking tells.
            Decision::Forward(plan) | Decision::Unavailable(plan) => {
                match self.forward(plan, body, reply, entry).await {
                    Ok((whole, surplus)) => (whole.next, surplus),
                    Err(broken) if broken.begun => {
                        self.cut();
                        entry.failed(broken.failure);
                        (Next::Drop, None)
                    }
                    Err(broken) => (self.fail(broken.failure, body, entry).await, None),
                }
            }
            Decision::Redirect(route) | Decision::Respond(route) => {
                let manner = self.manner(body);
                let route = self.view.route(route);
                let answer = answer::of_route(self.worker, route, self.request, manner);
                (self.answer(answer, manner, entry).await, None)
            }
            Decision::NoRoute => {
                self.worker.cells.unrouted.add(1);
                let manner = self.manner(body);
                let answer = answer::of_status(self.worker, 404, manner);
                (self.answer(Some(answer), manner, entry).await, None)
            }
        }
    }

    /// Whether a client that was let in by its certificate asks for another host than it was let in
    /// to.
    fn is_misdirected(&self) -> bool {
        let asked = || self.client.stream.details()?.name.as_deref();
        self.client.identity.is_some()
            && asked()
                .is_some_and(|name| !name.as_bytes().eq_ignore_ascii_case(self.request.host()))
    }

    /// Tries origins until one replies or none may be tried any more.
    async fn forward(
        &self,
        mut plan: Plan,
        body: &mut Body<'_>,
        reply: &mut ResponseHead,
        entry: &mut Entry,
    ) -> Result<(Whole, Option<Buffer>), Broken> {
        let end = self.worker.deadlines.end_of(self.view.patience(plan.route).request);
        let mut tried = Tried::default();
        let mut failure = Failure::origin(Stage::Connect, Kind::Unavailable);
        self.view.budget(plan.upstream).borrow_mut().deposit();
        plan = self.worker.admit(self.view, plan, entry);
        loop {
            entry.plan = Some(plan);
            failure = match self.choose(&plan, &tried) {
                None => failure,
                Some((index, origin)) => {
                    match self.attempt(&plan, &origin, end, body, reply, entry).await {
                        Attempt::Whole(whole, surplus) => return Ok((whole, surplus)),
                        Attempt::Broken(broken) if broken.begun => return Err(broken),
                        Attempt::Broken(broken) => {
                            entry.evidence.note(&broken);
                            // A stale pooled connection says nothing of the endpoint.
                            if broken.stage != FailureStage::Reused {
                                tried.add(index);
                            }
                            if self.may_retry(&plan, &broken, body, entry.attempts) {
                                self.worker.cells.retries.add(1);
                                let cells = self.view.cells(plan.upstream, plan.version);
                                let connected = broken.stage != FailureStage::Connect;
                                cells.retries[usize::from(connected)].add(1);
                                continue;
                            }
                            if broken.stage != FailureStage::Connect {
                                return Err(broken);
                            }
                            broken.failure
                        }
                    }
                }
            };
            // Nothing was sent, so the other version can still answer: better than a 503.
            let table = &self.view.snapshot.table;
            match table.fallback(&plan, &self.view.snapshot.availability) {
                Some(next) => (plan, tried) = (next, Tried::default()),
                None => return Err(Broken::unsent(failure)),
            }
        }
    }

    /// An endpoint not yet tried, or one that was if there is no other.
    fn choose(&self, plan: &Plan, tried: &Tried) -> Option<(usize, Rc<Origin>)> {
        let origins = self.view.origins_of(plan);
        let balance = &self.view.upstream(plan).balance;
        let mut turn = self.worker.turn.get();
        let mut luck = self.worker.luck.borrow_mut();
        let mut choose = |tried| {
            let pick = Pick { balance, key: plan.balance_key, tried };
            balance::choose(origins, &pick, &mut turn, &mut luck)
        };
        let index = choose(tried.indices()).or_else(|| choose(&[]))?;
        self.worker.turn.set(turn);
        Some((index, Rc::clone(origins.get(index)?)))
    }

    fn may_retry(&self, plan: &Plan, broken: &Broken, body: &Body<'_>, attempts: u8) -> bool {
        let upstream = self.view.upstream(plan);
        let sent = match broken.stage {
            FailureStage::Connect => Sent::Nothing,
            FailureStage::Reused
            | FailureStage::Fresh
            | FailureStage::Timeout
            | FailureStage::Reply => {
                if body.first.data.is_empty() && body.came_whole {
                    Sent::Head
                } else {
                    Sent::Body
                }
            }
        };
        let idempotence = Idempotence::of(self.request.method());
        let may =
            retry::may_retry(broken.stage, sent, idempotence, attempts.into(), &upstream.retry);
        // A connection that was refused has cost the origins nothing, so it takes nothing out of
        // the budget: a dead endpoint must not use it up in the moment before it is ejected.
        let is_free = broken.stage == FailureStage::Connect;
        may && (is_free || self.view.budget(plan.upstream).borrow_mut().try_withdraw())
    }

    /// Sends the request to one origin and relays what it replies.
    async fn attempt(
        &self,
        plan: &Plan,
        origin: &Rc<Origin>,
        end: u32,
        body: &mut Body<'_>,
        reply: &mut ResponseHead,
        entry: &mut Entry,
    ) -> Attempt {
        let patience = self.view.patience(plan.route);
        let _under_way = UnderWay::begin(self.view, plan, origin);
        entry.endpoint(self.worker, origin, plan);
        let left = self.worker.deadlines.left_until(end).duration();
        let wheel = &self.worker.deadlines;
        let lease = match origin.acquire(wheel, patience.connect, left, self.client).await {
            Ok(lease) => lease,
            Err(failure) => {
                self.judge(plan, origin, Err(failure));
                entry.attempted(Err(failure));
                entry.attempts = entry.attempts.saturating_add(1);
                return Attempt::Broken(Broken::unsent(failure));
            }
        };
        entry.sending(lease.waited);
        #[cfg(test)]
        super::sim::hooks::strike();
        let (result, surplus) = self.converse(plan, &lease, end, body, reply, entry).await;
        match result {
            Ok(whole) => {
                self.judge(plan, origin, Ok(whole.status));
                entry.attempted(Ok(whole.status));
                if whole.origin_reusable {
                    lease.release(self.worker.deadlines.now(), &self.worker.buffers);
                }
                Attempt::Whole(whole, surplus)
            }
            Err(broken) => {
                entry.attempted(Err(broken.failure));
                // A pooled connection that had died says nothing about the origin's health.
                if !(lease.reused && broken.stage == FailureStage::Fresh) {
                    self.judge(plan, origin, Err(broken.failure));
                }
                Attempt::Broken(broken.on(lease.reused))
            }
        }
    }

    /// The request up and the reply down, both at once if there is more of the request to come.
    async fn converse(
        &self,
        plan: &Plan,
        lease: &Lease,
        end: u32,
        body: &mut Body<'_>,
        reply: &mut ResponseHead,
        entry: &mut Entry,
    ) -> (Result<Whole, Broken>, Option<Buffer>) {
        let patience = self.view.patience(plan.route);
        let flow = Flow::new(self.worker, self.client, lease, patience, end, self.tap);
        let writer = BodyWriter::new(self.request.framing());
        let upgrade = self.upgrade();
        let terms = relay::Terms {
            view: self.view,
            plan,
            request: self.request,
            origin: &lease.origin,
            upgrade,
            early: if upgrade { self.early(body) } else { &[] },
        };
        flow.received.set(body.first.data.len() as u64);

        let mut head = outgoing::write(self.worker, &terms, self.client, entry);
        let trailers = body.first.end.then(|| body.reader.trailers());
        if self.request.framing() != Framing::Empty
            && (!body.data().is_empty() || trailers.is_some())
        {
            writer.frame_into(head.parts().0, body.data(), trailers);
        }
        let line = lease.line();
        // Should this fail, the origin may still have replied; if it has not, reading says so.
        let _ = head.send_data(&line.stream, &line.deadline, flow.within(flow.patience.body)).await;
        drop(head);
        self.tap.request(self.request, body.data());

        let (result, surplus) = if body.came_whole {
            flow.upload_done.set(true);
            self.tap.leave(lease.origin.id);
            line.deadline.arm(flow.within(flow.patience.response));
            (relay::reply(&flow, &terms, reply, entry).await, None)
        } else {
            let leftover = body.leftover();
            Box::pin(both(&flow, &terms, writer, &mut body.reader, leftover, reply, entry)).await
        };
        entry.received = flow.received.get();
        entry.sent = flow.sent.get();
        (result, surplus)
    }

    /// Whether the client may become something else than HTTP, and wants to.
    fn upgrade(&self) -> bool {
        match self.request.upgrade() {
            Upgrade::WebSocket => self
                .client
                .listener
                .upgrade
                .iter()
                .any(|token| token.eq_ignore_ascii_case("websocket")),
            // Not even read as a request unless the listener allows it.
            Upgrade::Tunnel => true,
            Upgrade::None | Upgrade::Other => false,
        }
    }

    /// What the client sent behind the head of a request to upgrade.
    fn early<'b>(&self, body: &Body<'b>) -> &'b [u8] {
        body.window.get(body.first.consumed..).unwrap_or_default()
    }

    /// Tells the endpoint's counters how an attempt ended.
    fn judge(&self, plan: &Plan, origin: &Origin, outcome: Result<u16, Failure>) {
        let upstream: &Upstream = self.view.upstream(plan);
        let kind = match outcome {
            Ok(status) if status >= 500 => Some(FailureKind::Status5xx),
            Ok(_) => None,
            Err(failure) => match failure.counts_as() {
                Some(kind) => Some(kind),
                None => return,
            },
        };
        match kind {
            Some(kind) if upstream.eject.on.contains(&kind) => {
                origin.cells.failures_in_a_row.add(1);
            }
            _ if outcome.is_ok() => origin.cells.failures_in_a_row.set(0),
            _ => {}
        }
    }

    /// Answers a failure: nothing of a reply has gone out yet.
    async fn fail(&self, failure: Failure, body: &Body<'_>, entry: &mut Entry) -> Next {
        entry.failed(failure);
        let gone =
            matches!((failure.side, failure.kind), (crate::failure::Side::Client, Kind::Gone));
        if gone && failure.stage != Stage::Body {
            return Next::Drop;
        }
        let manner = self.manner(body);
        let answer = answer::of_status(self.worker, failure.status(), manner);
        self.answer(Some(answer), manner, entry).await
    }

    /// Answers a request for which nothing is done: it is nobody's evidence.
    async fn turn_away(&self, refusal: &Refusal, body: &Body<'_>, entry: &mut Entry) -> Next {
        entry.failed(refusal.failure);
        let manner = self.manner(body);
        let manner = Manner { keep_alive: manner.keep_alive && refusal.may_stay, ..manner };
        let status = refusal.failure.status();
        let answer = answer::of_refusal(self.worker, status, refusal.wait, manner);
        self.answer(Some(answer), manner, entry).await
    }

    async fn answer(
        &self,
        answer: Option<answer::Reply>,
        manner: Manner,
        entry: &mut Entry,
    ) -> Next {
        let answer = answer.unwrap_or_else(|| answer::of_status(self.worker, 400, manner));
        entry.answered(answer.status);
        let patience = self.view.default_patience.body;
        match answer::send(self.client, answer, patience).await {
            false => Next::Drop,
            true if manner.keep_alive => Next::Again,
            true => Next::Linger,
        }
    }

    /// Makes sure that a reply cut short can't pass for a whole one: to HTTP/1.0 the connection's
    /// end may be the reply's.
    fn cut(&self) {
        if self.request.version() == Version::Http10 {
            socket::reset_on_close(self.client.stream.as_raw_fd());
        }
    }

    /// How an answer of our own is framed: the connection stays only if the request is over.
    fn manner(&self, body: &Body<'_>) -> Manner {
        // Bytes behind a request to switch protocols were never meant for HTTP.
        let is_clear = !self.upgrade() || self.early(body).is_empty();
        Manner {
            version: self.request.version(),
            keep_alive: body.came_whole && is_clear && self.may_keep_client(),
            head_only: self.request.is_head(),
        }
    }

    fn may_keep_client(&self) -> bool {
        relay::may_keep_client(self.worker, self.client, self.request)
    }
}

/// Both directions at once, until both have ended.
async fn both(
    flow: &Flow<'_>,
    terms: &relay::Terms<'_>,
    writer: BodyWriter,
    reader: &mut BodyReader,
    leftover: &[u8],
    reply: &mut ResponseHead,
    entry: &mut Entry,
) -> (Result<Whole, Broken>, Option<Buffer>) {
    let down = async {
        let result = relay::reply(flow, terms, reply, entry).await;
        if !flow.upload_done.get() {
            flow.stop_upload();
        }
        result
    };
    let (end, result) = monoio::join!(upload::run(flow, reader, writer, leftover), down);
    match (end, result) {
        (upload::End::Done(surplus), result) => (result, surplus),
        (upload::End::Client(failure), Err(broken)) => (Err(broken.blame(failure)), None),
        (upload::End::Client(_) | upload::End::Stopped | upload::End::Origin, Ok(whole)) => {
            (Ok(whole.with_request_unread()), None)
        }
        (upload::End::Stopped | upload::End::Origin, Err(broken)) => (Err(broken), None),
    }
}

/// Endpoints of a version that were tried for this request.
#[derive(Default)]
struct Tried {
    indices: [usize; Self::MAX],
    count: usize,
}

impl Tried {
    /// More attempts than this at one version help nobody; `retry.attempts` is far below.
    const MAX: usize = 8;

    fn add(&mut self, index: usize) {
        if let Some(place) = self.indices.get_mut(self.count) {
            *place = index;
            self.count += 1;
        }
    }

    fn indices(&self) -> &[usize] {
        self.indices.get(..self.count).unwrap_or_default()
    }
}
