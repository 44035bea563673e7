//! An origin as one core sees it: its idle connections, who waits for one, and dialling it.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    rc::Rc,
    sync::Arc,
    task::{Poll, Waker},
    time::Duration,
};

use std::os::fd::AsRawFd;

use gnomon_config::model::Pool;
use gnomon_policy::balance;
use gnomon_tls::Stream;
use gnomon_wire::proxy_protocol::Who;

use super::{
    buffers::{Buffers, Kept, Size},
    client::Client,
    deadline::{Deadline, Deadlines},
    preface,
    readahead::ReadAhead,
};
use crate::{
    cells::{CoreCells, EndpointCells, WAITING_MAX},
    failure::{Failure, Kind, Stage},
    patience::{TICK_MILLIS, Ticks},
    snapshot::{Address, EndpointView, pool_per_core},
    tls::OriginTls,
};

/// One endpoint of an origin, on one core.
pub(super) struct Origin {
    pub(super) id: u64,
    pub(super) authority: Arc<str>,
    pub(super) cells: Arc<EndpointCells>,
    core: Arc<CoreCells>,
    address: Address,
    tls: Option<Arc<OriginTls>>,
    seed: u64,
    available: Cell<bool>,
    /// Connections open, idle ones included.
    open: Cell<u32>,
    /// The most that may be open.
    open_max: Cell<u32>,
    idle: RefCell<Vec<Idle>>,
    idle_max: Cell<usize>,
    /// Whether it is told who each connection is for; none is then kept for another.
    announced: Cell<bool>,
    idle_ticks: Cell<u32>,
    queue_patience: Cell<Duration>,
    waiting: RefCell<VecDeque<Rc<Ticket>>>,
    /// What buffer its last reply would have wanted.
    pub(super) reply_size: Cell<Size>,
}

struct Idle {
    line: Line,
    since: u32,
    /// Held while the connection is read ahead.
    #[expect(dead_code, reason = "a guard")]
    kept: Option<Kept>,
}

/// A connection to an origin. The deadline comes first: it lets go of the descriptor before the
/// socket is dropped.
pub(super) struct Line {
    pub(super) deadline: Deadline,
    pub(super) stream: Rc<Stream>,
    pub(super) ahead: ReadAhead,
    /// Whether the origin was told which client it is for.
    is_private: bool,
}

struct Ticket {
    called: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// A connection checked out of a pool, or just made. Dropped, it is closed; see
/// [`release`](Self::release).
pub(super) struct Lease {
    line: Option<Line>,
    pub(super) origin: Rc<Origin>,
    /// Whether it had carried a request before.
    pub(super) reused: bool,
    /// What the connection cost to get.
    pub(super) waited: Waited,
}

/// Time spent before a request could be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Waited {
    pub(super) queue: Duration,
    pub(super) connect: Duration,
}

impl Origin {
    pub(super) fn new(endpoint: &EndpointView, index: usize, core: Arc<CoreCells>) -> Self {
        Self {
            core,
            id: endpoint.id,
            authority: Arc::clone(&endpoint.authority),
            cells: Arc::clone(&endpoint.cells[index]),
            address: endpoint.address.clone(),
            tls: endpoint.tls.clone(),
            seed: endpoint.seed,
            available: Cell::new(endpoint.available),
            open: Cell::new(0),
            open_max: Cell::new(u32::MAX),
            idle: RefCell::default(),
            idle_max: Cell::new(0),
            announced: Cell::new(false),
            idle_ticks: Cell::new(0),
            queue_patience: Cell::new(Duration::ZERO),
            waiting: RefCell::default(),
            reply_size: Cell::new(Size::Small),
        }
    }

    /// Takes over what a new snapshot says about this endpoint.
    pub(super) fn adopt(&self, endpoint: &EndpointView, pool: &Pool, cores: usize) {
        self.available.set(endpoint.available);
        if !self.announced.replace(endpoint.announced) && endpoint.announced {
            self.reap(0, true);
        }
        self.open_max.set(pool_per_core(pool, cores));
        self.idle_max.set(pool.idle_per_core as usize);
        self.idle_ticks.set(Ticks::of(pool.idle).count());
        self.queue_patience.set(pool.queue);
    }

    /// Its endpoint is gone from the snapshot: idle connections close, those in use are not kept.
    pub(super) fn retire(&self) {
        self.idle_max.set(0);
        self.reap(0, true);
    }

    /// What the access log calls it.
    pub(super) fn name(&self) -> &str {
        &self.authority
    }

    /// Gives a connection: an idle one, a new one, or one that somebody gives back in time.
    ///
    /// First come, first served: nobody passes those who wait. `connect` bounds dialling, `left`
    /// all of it. It is for `client`.
    pub(super) async fn acquire(
        self: &Rc<Self>,
        wheel: &Rc<Deadlines>,
        connect: Duration,
        left: Duration,
        client: &Client,
    ) -> Result<Lease, Failure> {
        let mut waited = Waited::default();
        let mut is_turn = self.waiting.borrow().is_empty();
        loop {
            if is_turn {
                if let Some(line) = self.pop_idle() {
                    return Ok(self.lease(line, true, waited));
                }
                if self.open.get() < self.open_max.get() {
                    break;
                }
            }
            let begun = crate::clock::now();
            self.core.queued.add(1);
            let patience = self.queue_patience.get().min(left).saturating_sub(waited.queue);
            self.wait(wheel, patience, waited.queue).await?;
            waited.queue += crate::clock::now() - begun;
            #[cfg(test)]
            super::sim::hooks::strike();
            is_turn = true;
        }
        let begun = crate::clock::now();
        // Counted before the connect, so that a burst of requests can't all find room at once.
        let place = Place::taken(self);
        self.core.dials.add(1);
        let patience = connect.min(left.saturating_sub(waited.queue));
        let who = self.announced.get().then(|| preface::about(client));
        let line = self.dial(wheel, patience, who).await?;
        place.keep();
        waited.connect = crate::clock::now() - begun;
        Ok(self.lease(line, false, waited))
    }

    fn lease(self: &Rc<Self>, line: Line, reused: bool, waited: Waited) -> Lease {
        Lease { line: Some(line), origin: Rc::clone(self), reused, waited }
    }

    /// The most recently used idle connection that is still quiet.
    fn pop_idle(&self) -> Option<Line> {
        loop {
            let idle = self.idle.borrow_mut().pop()?;
            self.cells.idle.sub(1);
            if idle.line.is_quiet() {
                return Some(idle.line);
            }
            self.closed();
        }
    }

    fn closed(&self) {
        self.core.origin_connections.sub(1);
        self.cells.open.sub(1);
        self.open.set(self.open.get().saturating_sub(1));
        self.call_next();
    }

    fn call_next(&self) {
        if let Some(ticket) = self.waiting.borrow_mut().pop_front() {
            ticket.called.set(true);
            if let Some(waker) = ticket.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }

    /// Waits to be called; whoever has waited `before` stands in front.
    async fn wait(
        &self,
        wheel: &Deadlines,
        patience: Duration,
        before: Duration,
    ) -> Result<(), Failure> {
        let full = Failure::proxy(Stage::Queue, Kind::Full);
        if patience.is_zero() || self.waiting.borrow().len() >= WAITING_MAX {
            return Err(full);
        }
        let ticket = Rc::new(Ticket { called: Cell::new(false), waker: RefCell::default() });
        {
            let mut waiting = self.waiting.borrow_mut();
            if before.is_zero() {
                waiting.push_back(Rc::clone(&ticket));
            } else {
                waiting.push_front(Rc::clone(&ticket));
            }
        }
        let called = poll_fn(|cx| {
            if ticket.called.get() {
                return Poll::Ready(());
            }
            *ticket.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        });
        let _in_line = InLine::begin(&self.cells);
        if wheel.within(Ticks::of(patience), called).await.is_none() {
            self.waiting.borrow_mut().retain(|other| !Rc::ptr_eq(other, &ticket));
            return Err(Failure::proxy(Stage::Queue, Kind::Timeout));
        }
        Ok(())
    }

    /// A new connection, for `who` alone if somebody is to be announced.
    async fn dial(
        &self,
        wheel: &Rc<Deadlines>,
        patience: Duration,
        who: Option<Who>,
    ) -> Result<Line, Failure> {
        let begun = crate::clock::now();
        let dialling = async {
            #[cfg(test)]
            super::sim::hooks::dialling(&self.address).await;
            self.address.dial().await
        };
        // None at all is too little: zero would be no deadline.
        let ticks = Ticks::of(patience.max(Duration::from_millis(1)));
        // Waiting for a connect moves no data, so this one future may be dropped.
        match wheel.within(ticks, dialling).await {
            Some(Ok(stream)) => {
                let deadline = wheel.open(stream.as_raw_fd());
                let mut stream = Stream::plain(stream);
                if let Some(who) = &who {
                    let told = preface::announce(&stream, &deadline, who, ticks).await;
                    told.map_err(|_| Failure::origin(Stage::Connect, Kind::Gone))?;
                }
                if let Some(tls) = &self.tls {
                    let left = patience.saturating_sub(crate::clock::now() - begun);
                    // Rare beside all that a connection serves, and large.
                    Box::pin(self.shake(tls, &mut stream, &deadline, left)).await?;
                }
                let stream = Rc::new(stream);
                let ahead = ReadAhead::of(&stream);
                Ok(Line { deadline, ahead, stream, is_private: who.is_some() })
            }
            Some(Err(_)) => Err(Failure::origin(Stage::Connect, Kind::Gone)),
            None => Err(Failure::origin(Stage::Connect, Kind::Timeout)),
        }
    }

    async fn shake(
        &self,
        tls: &OriginTls,
        stream: &mut Stream,
        deadline: &Deadline,
        patience: Duration,
    ) -> Result<(), Failure> {
        deadline.arm(Ticks::of(patience.max(Duration::from_millis(1))));
        let shaken = stream.connect(Arc::clone(&tls.config), tls.name.clone()).await;
        deadline.disarm();
        let kind = if deadline.fired() { Kind::Timeout } else { Kind::Gone };
        shaken.map(|_| ()).map_err(|refusal| {
            self.core.origin_handshakes_failed.add(1);
            tracing::debug!(
                endpoint = self.name(),
                class = refusal.class.name(),
                %refusal,
                "an origin's handshake failed"
            );
            Failure::origin(Stage::Connect, kind)
        })
    }

    /// Closes the idle connections that have ended or been idle for too long; all of them if `all`.
    pub(super) fn reap(&self, now: u32, all: bool) {
        let mut idle = self.idle.borrow_mut();
        let before = idle.len();
        let patience = self.idle_ticks.get();
        idle.retain(|idle| {
            let is_fresh = !all && now.saturating_sub(idle.since) < patience;
            is_fresh && idle.line.is_quiet()
        });
        let gone = before - idle.len();
        drop(idle);
        for _ in 0..gone {
            self.cells.idle.sub(1);
            self.closed();
        }
    }
}

impl Line {
    /// Whether an idle connection has neither ended nor said anything: bytes that nobody asked for
    /// would be taken for a reply.
    fn is_quiet(&self) -> bool {
        self.ahead.is_quiet().unwrap_or_else(|| self.stream.is_quiet())
    }
}

impl balance::View for Origin {
    fn in_flight(&self) -> u32 {
        u32::try_from(self.cells.in_flight.read()).unwrap_or(u32::MAX)
    }

    fn available(&self) -> bool {
        self.available.get()
    }

    fn seed(&self) -> u64 {
        self.seed
    }
}

impl Lease {
    pub(super) const fn line(&self) -> &Line {
        self.line.as_ref().expect("a lease holds its line until it is given back")
    }

    /// Gives the connection back for others to use. Only for one whose exchange has ended cleanly
    /// on both sides.
    pub(super) fn release(mut self, now: u32, buffers: &Rc<Buffers>) {
        let Some(line) = self.line.take() else { return };
        line.deadline.disarm();
        let origin = &self.origin;
        let is_kept = !line.is_private && !origin.announced.get();
        if is_kept && origin.idle.borrow().len() < origin.idle_max.get() {
            // A long reply wants a wide buffer from its first byte on.
            let is_short = origin.reply_size.get() == Size::Small;
            let kept = if is_short { buffers.keep_one() } else { None };
            if kept.is_some() {
                line.ahead.begin(buffers.rent(Size::Small));
            }
            origin.idle.borrow_mut().push(Idle { line, since: now, kept });
            origin.cells.idle.add(1);
            origin.call_next();
        } else {
            origin.closed();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.line.take().is_some() {
            self.origin.closed();
        }
    }
}

/// Counts one request as waiting, for as long as it lives.
struct InLine<'a>(&'a EndpointCells);

impl<'a> InLine<'a> {
    fn begin(cells: &'a EndpointCells) -> Self {
        cells.waiting.add(1);
        Self(cells)
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.0.waiting.sub(1);
    }
}

/// A place among an endpoint's open connections, held while connecting.
struct Place<'a> {
    origin: &'a Origin,
    kept: bool,
}

impl<'a> Place<'a> {
    fn taken(origin: &'a Origin) -> Self {
        origin.open.set(origin.open.get() + 1);
        origin.core.origin_connections.add(1);
        origin.cells.open.add(1);
        Self { origin, kept: false }
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.origin.closed();
        }
    }
}

/// How often pools are reaped, in ticks: once a second.
pub(super) const REAP_EVERY: u32 = 1000 / TICK_MILLIS;
