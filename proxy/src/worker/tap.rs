//! Where an exchange is copied, for shadows and for the recorder.
//!
//! There is room for a copy or there is none, and that is asked before a byte is copied. The copy
//! leaves as soon as the request is complete, so that both versions are asked at the same moment;
//! the primary's reply follows when it has ended, since a stream may take hours. The client is
//! always served first: what is copied has been sent.

use std::{cell::RefCell, net::IpAddr, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use gnomon_policy::{Plan, Subject, Targets, shadow, strain::Level};
use gnomon_shadow::{
    capture::Capture,
    counts::Dropped,
    exchange::{Answer, Asked, Copy, Lost, Message, Reply},
    lanes::Slot,
    terms::CoreTerms,
};
use gnomon_wire::{Framing, Request, Traceparent, Upgrade};

use super::{Worker, client::Client, record::Entry, trace::Traced, view::View};
use crate::clock::Moment;

/// An exchange's tap: closed for nearly all.
pub(super) struct Tap(RefCell<Option<Box<Open>>>);

struct Open {
    worker: Rc<Worker>,
    terms: Arc<CoreTerms>,
    targets: Targets,
    plan: Plan,
    ticket: u64,
    client: IpAddr,
    is_trusted: bool,
    is_secure: bool,
    request_id: Bytes,
    flags: Bytes,
    trace: Option<Traceparent>,
    keeps_state: bool,
    is_told: bool,
    begun: Moment,
    /// Head and content of the request.
    request: Vec<u8>,
    head: usize,
    /// Largest content that any of those who get it takes.
    content_max: u64,
    /// The place for the copy, until that has left.
    place: Option<Slot<Message>>,
    /// Bytes of the worker's ration that this holds.
    held: u64,
    reply_head: Bytes,
    reply: Capture,
    is_whole: bool,
}

impl Tap {
    pub(super) const fn closed() -> Self {
        Self(RefCell::new(None))
    }

    /// Opens it if somebody gets a copy of this request, and there is room for one.
    pub(super) fn open(
        worker: &Rc<Worker>,
        view: &View,
        plan: &Plan,
        subject: &Subject<'_>,
        client: &Client,
        entry: &Entry,
    ) -> Self {
        let request = subject.request;
        let Some(terms) = &view.shadows else { return Self::closed() };
        let mut sampled = record(worker, terms, plan, request);
        if !view.snapshot.table.shadows_of(plan).is_empty() {
            sampled = sampled | sample(worker, terms, plan, subject);
        }
        if sampled.is_empty() {
            return Self::closed();
        }
        let targets = admit(worker, terms, sampled, request);
        if targets.is_empty() {
            return Self::closed();
        }
        let Some(place) = worker.lane.reserve() else {
            drop_all(terms, targets, Dropped::Lane);
            return Self::closed();
        };
        let takers = || targets.indices().filter_map(|index| terms.terms.taker(index));
        let reply_max = takers().map(|taker| taker.reply_max).max().unwrap_or(0);
        let open = Open {
            worker: Rc::clone(worker),
            terms: Arc::clone(terms),
            targets,
            plan: *plan,
            ticket: worker.next_ticket(),
            client: client.peer.ip,
            is_trusted: client.peer.is_trusted,
            is_secure: client.stream.is_tls(),
            request_id: Bytes::copy_from_slice(entry.own_id().unwrap_or_default()),
            flags: Bytes::new(),
            trace: entry.trace.as_ref().map(Traced::own),
            keeps_state: entry.trace.as_ref().is_some_and(Traced::keeps_state),
            is_told: entry.trace.as_ref().is_some_and(Traced::is_told),
            begun: entry.begun(),
            request: Vec::new(),
            head: 0,
            content_max: takers().map(|taker| taker.body_max).max().unwrap_or(0),
            place: Some(place),
            held: 0,
            reply_head: Bytes::new(),
            reply: Capture::new(usize::try_from(reply_max).unwrap_or(usize::MAX)),
            is_whole: false,
        };
        Self(RefCell::new(Some(Box::new(open))))
    }

    /// This is what the origin is told of the user's flags: the copy says the same.
    pub(super) fn told(&self, flags: &[u8]) {
        if !flags.is_empty() {
            self.with(|open| {
                open.flags = Bytes::copy_from_slice(flags);
                true
            });
        }
    }

    /// The request's head and the beginning of its content have been sent.
    pub(super) fn request(&self, request: Request<'_>, content: &[u8]) {
        self.with(|open| {
            let head = request.bytes;
            // It may have been sent to another endpoint before.
            open.give_back();
            open.head = head.len();
            open.take(head.len()) && {
                open.request = Vec::with_capacity(head.len() + content.len());
                open.request.extend_from_slice(head);
                open.content(content)
            }
        });
    }

    /// More of its content has been sent.
    pub(super) fn content(&self, content: &[u8]) {
        self.with(|open| open.content(content));
    }

    /// All of the request has been sent, to this endpoint: the copy leaves.
    pub(super) fn leave(&self, endpoint: u64) {
        self.with(|open| open.leave(endpoint));
    }

    /// The final reply's head has come.
    pub(super) fn replied(&self, head: &[u8]) {
        self.answering(|open| {
            if open.take(head.len()) {
                open.reply_head = Bytes::copy_from_slice(head);
            }
        });
    }

    /// A piece of its content has been sent to the client.
    pub(super) fn reply(&self, content: &[u8]) {
        self.answering(|open| {
            if !open.take(open.reply.wants(content.len())) {
                open.reply.close();
            }
            open.reply.push(content);
        });
    }

    /// All of the reply has been sent.
    pub(super) fn whole(&self) {
        self.answering(|open| open.is_whole = true);
    }

    /// The exchange is over: the answer leaves.
    pub(super) fn close(&self, plan: Option<&Plan>, first_byte: Duration) {
        let Some(open) = self.0.take() else { return };
        if open.place.is_some() {
            return drop_all(&open.terms, open.targets, Dropped::Incomplete);
        }
        let is_same = plan.is_some_and(|plan| plan.version == open.plan.version);
        open.answer(is_same, first_byte);
    }

    /// Works on an open tap whose copy has not left yet; closes it if that fails.
    fn with(&self, work: impl FnOnce(&mut Open) -> bool) {
        let mut place = self.0.borrow_mut();
        let Some(open) = place.as_mut().filter(|open| open.place.is_some()) else { return };
        if !work(open) {
            *place = None;
        }
    }

    /// Works on an open tap whose copy has left.
    fn answering(&self, work: impl FnOnce(&mut Open)) {
        let mut place = self.0.borrow_mut();
        if let Some(open) = place.as_mut().filter(|open| open.place.is_none()) {
            work(open);
        }
    }
}

impl Open {
    /// Takes bytes out of the core's ration, if there are any left.
    fn take(&mut self, bytes: usize) -> bool {
        let held = self.terms.account.held() + self.worker.tapped.get() + bytes as u64;
        let fits = held <= self.terms.ration;
        if fits {
            self.worker.tapped.set(self.worker.tapped.get() + bytes as u64);
            self.held += bytes as u64;
        } else if self.place.is_some() {
            drop_all(&self.terms, self.targets, Dropped::Memory);
        }
        fits
    }

    fn content(&mut self, content: &[u8]) -> bool {
        let length = self.request.len() - self.head + content.len();
        if length as u64 > self.content_max {
            drop_all(&self.terms, self.targets, Dropped::TooLong);
            return false;
        }
        let fits = self.take(content.len());
        if fits {
            self.request.extend_from_slice(content);
        }
        fits
    }

    /// Whether anybody gets it.
    fn leave(&mut self, endpoint: u64) -> bool {
        let Some(place) = self.place.take() else { return false };
        self.targets = self.takers();
        if self.targets.is_empty() {
            return false;
        }
        let mut body = Bytes::from(std::mem::take(&mut self.request));
        let head = body.split_to(self.head);
        let copy = Copy {
            ticket: self.ticket,
            terms: Arc::clone(&self.terms),
            targets: self.targets,
            plan: self.plan,
            endpoint,
            begun: self.begun,
            asked: Asked { head, body },
            client: self.client,
            is_trusted: self.is_trusted,
            is_secure: self.is_secure,
            request_id: std::mem::take(&mut self.request_id),
            flags: std::mem::take(&mut self.flags),
            trace: self.trace,
            keeps_state: self.keeps_state,
            is_told: self.is_told,
        };
        for taker in self.targets.indices().filter_map(|index| self.terms.terms.taker(index)) {
            taker.counts.taps[self.terms.account.core].copied.add(1);
        }
        self.hand_over(place, copy.weight(), Message::Copy(Box::new(copy)));
        true
    }

    /// The shadows whose cap the content is within, and that may have one more copy under way:
    /// others may have left while this one was on its way up.
    fn takers(&self) -> Targets {
        let content = (self.request.len() - self.head) as u64;
        let core = self.terms.account.core;
        let mut takers = Targets::NONE;
        for index in self.targets.indices() {
            let Some(taker) = self.terms.terms.taker(index) else { continue };
            let why = if content > taker.body_max {
                Dropped::TooLong
            } else if taker.is_full(core) {
                Dropped::InFlight
            } else {
                takers = takers | Targets::only(index);
                continue;
            };
            taker.counts.taps[core].drop(why);
        }
        takers
    }

    fn answer(mut self: Box<Self>, is_same: bool, first_byte: Duration) {
        // Without a place the shadow thread does without the answer, in time.
        let Some(place) = self.worker.lane.reserve() else { return };
        let capture = std::mem::replace(&mut self.reply, Capture::new(0));
        let reply = match (is_same, self.is_whole && !self.reply_head.is_empty()) {
            (true, true) => {
                Ok(Reply { head: std::mem::take(&mut self.reply_head), body: capture.finish() })
            }
            (false, _) => Err(Lost::Moved),
            (true, false) => Err(Lost::Failed),
        };
        let answer = Answer { ticket: self.ticket, reply, first_byte };
        self.hand_over(place, answer.weight(), Message::Answer(Box::new(answer)));
    }

    /// What the message holds is the shadow thread's from now on.
    fn hand_over(&mut self, place: Slot<Message>, weight: u64, message: Message) {
        self.terms.account.lent.add(weight);
        self.give_back();
        place.commit(message);
        self.worker.shadow.ring();
    }

    fn give_back(&mut self) {
        let held = std::mem::take(&mut self.held);
        self.worker.tapped.set(self.worker.tapped.get().saturating_sub(held));
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.close(None, Duration::ZERO);
    }
}

/// Whether the recorder would like a copy, if there is one; counts what it does not get by sample.
fn record(worker: &Worker, terms: &CoreTerms, plan: &Plan, request: Request<'_>) -> Targets {
    let Some(scope) = terms.terms.scope.as_ref().filter(|scope| scope.fits(plan)) else {
        return Targets::NONE;
    };
    // A connection that becomes something else is no exchange that could be repeated.
    if matches!(request.upgrade(), Upgrade::WebSocket | Upgrade::Tunnel) {
        return Targets::NONE;
    }
    let counts = &scope.recorder.counts.taps[worker.index];
    counts.eligible.add(1);
    if !shadow::falls(scope.recorder.sample, &mut worker.luck.borrow_mut()) {
        return Targets::NONE;
    }
    counts.sampled.add(1);
    Targets::only(Targets::RECORDER)
}

/// Which shadows would like a copy; counts what they do not get by sample.
fn sample(worker: &Worker, terms: &CoreTerms, plan: &Plan, subject: &Subject<'_>) -> Targets {
    let table = &terms.terms.table;
    // A step of a rollout may have it copy more than the file says.
    let sample = |index: usize| terms.terms.shadows[index].shadow.sample;
    let considered = table.consider(plan, subject, &mut worker.luck.borrow_mut(), sample);
    let taps = |index: usize| &terms.terms.shadows[index].counts.taps[worker.index];
    considered.eligible.indices().for_each(|index| taps(index).eligible.add(1));
    considered.sampled.indices().for_each(|index| taps(index).sampled.add(1));
    considered.unkeyed.indices().for_each(|index| taps(index).drop(Dropped::Unkeyed));
    considered.sampled
}

/// Which of them may have one now.
fn admit(worker: &Worker, terms: &CoreTerms, sampled: Targets, request: Request<'_>) -> Targets {
    let declared = if let Framing::Length(length) = request.framing() { length } else { 0 };
    let mut admitted = Targets::NONE;
    for index in sampled.indices() {
        let Some(taker) = terms.terms.taker(index) else { continue };
        let why = if taker.is_shut() {
            Dropped::Unreachable
        } else if worker.strained.get() > Level::Calm || worker.busy.get() > taker.shed_at {
            Dropped::Busy
        } else if taker.is_full(worker.index) {
            Dropped::InFlight
        } else if declared > taker.body_max {
            Dropped::TooLong
        } else {
            admitted = admitted | Targets::only(index);
            continue;
        };
        taker.counts.taps[worker.index].drop(why);
    }
    admitted
}

fn drop_all(terms: &CoreTerms, targets: Targets, why: Dropped) {
    for taker in targets.indices().filter_map(|index| terms.terms.taker(index)) {
        taker.counts.taps[terms.account.core].drop(why);
    }
}
