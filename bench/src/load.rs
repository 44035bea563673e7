//! The load: connections that ask, wait and ask again, and what they saw.
//!
//! A *closed* load asks as soon as it is answered, so it finds the most a proxy can do. An *open*
//! load asks at times fixed beforehand; its latencies count from the time a request was meant to
//! go out, not from when a connection came free to carry it. A proxy that stalls is thus charged
//! for every request that had to wait, and coordinated omission cannot happen.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use rustls::ClientConfig;

use crate::{
    message::{self, Body, Kind},
    poll::{Interest, Poller, Token},
    secure::Wire,
};

mod seen;

pub use seen::{Seen, Summary};

/// What to ask, of whom, and how fast.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where the proxy listens.
    pub address: SocketAddr,
    /// Connections held open.
    pub connections: u32,
    /// Requests under way on one connection at a time.
    pub depth: u32,
    /// Requests a second; `None` for a closed load.
    pub rate: Option<f64>,
    /// Whether each request has a connection of its own.
    pub churn: bool,
    /// How TLS is spoken, if it is.
    pub tls: Option<Arc<ClientConfig>>,
    /// Whole requests, taken in turn.
    pub requests: Vec<Rc<[u8]>>,
}

/// Connections at work.
#[derive(Debug)]
pub struct Load {
    plan: Plan,
    connections: Vec<Connection>,
    /// The next of the plan's requests.
    next: usize,
    seen: Seen,
    /// An open load's timetable.
    due: Due,
    stopping: bool,
}

/// When an open load's requests are meant to go out.
#[derive(Debug)]
struct Due {
    gap: Option<Duration>,
    next: Instant,
    /// Meant to be out, and without a connection yet.
    late: VecDeque<Instant>,
    /// Connections that could take one.
    idle: Vec<u32>,
}

impl Load {
    /// Connects all connections; nothing is asked before `start`.
    ///
    /// # Errors
    /// When the proxy refuses a connection, or the plan has no request.
    pub fn connect(plan: Plan, poller: &Poller) -> io::Result<Self> {
        if plan.requests.is_empty() || plan.connections == 0 || plan.depth == 0 {
            return Err(io::Error::new(ErrorKind::InvalidInput, "a plan that asks for nothing"));
        }
        let mut connections = Vec::new();
        for slot in 0..plan.connections.min(CONNECTIONS_MAX) {
            connections.push(Connection::new(dial(&plan, slot, poller)?));
        }
        let gap = plan.rate.map(|rate| Duration::from_secs_f64(1.0 / rate.clamp(0.01, 1e7)));
        let due = Due { gap, next: Instant::now(), late: VecDeque::new(), idle: Vec::new() };
        let seen = Seen::default();
        Ok(Self { plan, connections, next: 0, seen, due, stopping: false })
    }

    /// Begins to ask.
    pub fn start(&mut self, poller: &Poller) {
        let now = Instant::now();
        self.due.next = now;
        for slot in 0..self.connections.len() {
            let slot = u32::try_from(slot).expect("bounded by CONNECTIONS_MAX");
            if self.due.gap.is_some() {
                self.due.idle.push(slot);
            } else {
                self.ask(slot, poller, now);
            }
        }
    }

    /// Forgets what was seen so far: the warm-up is over.
    pub fn forget(&mut self) {
        self.seen = Seen::default();
    }

    /// Asks nothing more but what is late already; what was asked may still be answered.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Requests on their way, and those that should be.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        let asked = self.connections.iter().map(|connection| connection.asked.len());
        asked.sum::<usize>() + self.due.late.len()
    }

    /// What was seen since the warm-up.
    #[must_use]
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Whether so much failed that going on would tell nothing.
    #[must_use]
    pub fn is_hopeless(&self) -> bool {
        self.seen.errors >= ERRORS_MAX
    }

    /// Charges what is still unanswered with the time it has waited by now.
    pub fn give_up(&mut self) {
        let now = Instant::now();
        let waiting = self.connections.iter().flat_map(|connection| &connection.asked);
        let mut unanswered = 0;
        for asked in waiting.chain(&self.due.late) {
            self.seen.record(now.duration_since(*asked));
            unanswered += 1;
        }
        self.seen.unanswered += unanswered;
    }

    /// When an open load wants its next turn.
    #[must_use]
    pub fn wake_in(&self, now: Instant) -> Option<Duration> {
        if self.stopping {
            return None;
        }
        self.due.gap.map(|_| self.due.next.saturating_duration_since(now))
    }

    /// Sends what an open load owes.
    pub fn catch_up(&mut self, poller: &Poller) {
        let Some(gap) = self.due.gap else { return };
        let now = Instant::now();
        for _ in 0..DUE_PER_TURN {
            if self.stopping || self.due.next > now {
                break;
            }
            if self.due.late.len() < LATE_MAX {
                self.due.late.push_back(self.due.next);
            } else {
                self.seen.errors += 1;
            }
            self.due.next += gap;
        }
        while !self.due.late.is_empty() {
            let Some(slot) = self.due.idle.pop() else { return };
            let Some(meant) = self.due.late.pop_front() else { return };
            self.ask(slot, poller, meant);
        }
    }

    /// Lets the connection in `slot` get on, reading through `buffer`.
    pub fn turn(&mut self, slot: u32, poller: &Poller, buffer: &mut [u8]) {
        let connection = &mut self.connections[slot as usize];
        if !connection.unsent.is_empty() && !connection.stream.is_shaking() {
            let flushed = connection.flush();
            self.settle(slot, flushed, poller);
            return;
        }
        let read = connection.read(buffer, &mut self.seen);
        match read {
            // Hands are shaken: what was to be said can be said.
            Ok(false) if !connection.unsent.is_empty() => {
                let flushed = connection.flush();
                self.settle(slot, flushed, poller);
            }
            Ok(false) => {}
            Ok(true) if self.plan.churn || connection.last => self.redial(slot, poller, false),
            Ok(true) => self.answered(slot, poller),
            Err(error) => self.settle(slot, Err(error), poller),
        }
    }

    fn answered(&mut self, slot: u32, poller: &Poller) {
        if self.due.gap.is_none() {
            self.ask(slot, poller, Instant::now());
        } else if let Some(meant) = self.due.late.pop_front() {
            self.ask(slot, poller, meant);
        } else {
            self.due.idle.push(slot);
        }
    }

    /// Sends as much as the depth allows, each request meant for `meant`.
    fn ask(&mut self, slot: u32, poller: &Poller, meant: Instant) {
        if self.stopping && self.due.gap.is_none() {
            return;
        }
        let connection = &mut self.connections[slot as usize];
        let depth = if self.due.gap.is_some() { 1 } else { self.plan.depth as usize };
        while connection.asked.len() < depth {
            let request = &self.plan.requests[self.next];
            self.next = (self.next + 1) % self.plan.requests.len();
            connection.asked.push_back(meant);
            connection.queue(request);
        }
        let flushed = connection.flush();
        self.settle(slot, flushed, poller);
    }

    /// Watches for what the connection needs next, or opens another in its place.
    fn settle(&mut self, slot: u32, outcome: io::Result<()>, poller: &Poller) {
        let connection = &mut self.connections[slot as usize];
        if outcome.is_err() {
            // A connection that nobody was using may be closed.
            let idle = connection.asked.is_empty();
            self.seen.errors += connection.asked.len() as u64;
            self.redial(slot, poller, idle);
            return;
        }
        let writing = !connection.unsent.is_empty() && !connection.stream.is_shaking();
        if writing != connection.watched_for_room {
            connection.watched_for_room = writing;
            let interest = if writing { Interest::Write } else { Interest::Read };
            if poller.modify(connection.stream.socket(), Token::Load(slot), interest).is_err() {
                self.seen.errors += 1;
            }
        }
    }

    /// Opens another connection in `slot`; one that was idle still is.
    fn redial(&mut self, slot: u32, poller: &Poller, idle: bool) {
        if self.stopping && self.due.late.is_empty() {
            self.connections[slot as usize].asked.clear();
            return;
        }
        if self.is_hopeless() {
            return;
        }
        match dial(&self.plan, slot, poller) {
            Ok(stream) => {
                self.seen.connects += 1;
                self.connections[slot as usize] = Connection::new(stream);
                if !idle {
                    self.answered(slot, poller);
                }
            }
            // A refused connection is not tried again: the load goes on with one fewer.
            Err(_) => self.seen.errors += 1,
        }
    }
}

fn dial(plan: &Plan, slot: u32, poller: &Poller) -> io::Result<Wire> {
    let stream = TcpStream::connect_timeout(&plan.address, CONNECT_TIMEOUT)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    poller.add(&stream, Token::Load(slot), Interest::Read)?;
    Wire::new(stream, plan.tls.as_ref())
}

#[derive(Debug)]
struct Connection {
    stream: Wire,
    /// When the requests under way were meant to go out, oldest first.
    asked: VecDeque<Instant>,
    unsent: Vec<u8>,
    watched_for_room: bool,
    /// The start of a head whose end has not come.
    head: Vec<u8>,
    body: Option<Body>,
    /// The response that is being read says that it is the last one.
    last: bool,
}

impl Connection {
    fn new(stream: Wire) -> Self {
        Self {
            stream,
            asked: VecDeque::new(),
            unsent: Vec::new(),
            watched_for_room: false,
            head: Vec::new(),
            body: None,
            last: false,
        }
    }

    fn queue(&mut self, request: &[u8]) {
        self.unsent.extend_from_slice(request);
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(count) if count == self.unsent.len() => self.unsent.clear(),
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads once. Whether at least one response ended.
    fn read(&mut self, buffer: &mut [u8], seen: &mut Seen) -> io::Result<bool> {
        let count = match self.stream.read(buffer) {
            Ok(0) => return self.closed(seen),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        seen.bytes += count as u64;
        if self.head.is_empty() {
            return self.take(&buffer[..count], seen);
        }
        let mut joined = std::mem::take(&mut self.head);
        joined.extend_from_slice(&buffer[..count]);
        self.take(&joined, seen)
    }

    /// The proxy has closed: the end of a body that lasts until then, or a fault.
    fn closed(&mut self, seen: &mut Seen) -> io::Result<bool> {
        if matches!(self.body, Some(Body::UntilClose)) {
            self.body = None;
            self.finish(seen)?;
        }
        Err(ErrorKind::UnexpectedEof.into())
    }

    fn take(&mut self, mut bytes: &[u8], seen: &mut Seen) -> io::Result<bool> {
        let mut ended = false;
        while !bytes.is_empty() || matches!(self.body, Some(Body::Length(0))) {
            let mut body = match self.body.take() {
                Some(body) => body,
                None => {
                    let Some(head) = message::scan(bytes, Kind::Response) else {
                        self.head.extend_from_slice(bytes);
                        return Ok(ended);
                    };
                    match message::status(bytes) {
                        200..=299 => {}
                        _ => seen.other_status += 1,
                    }
                    self.last = head.close;
                    bytes = &bytes[head.len..];
                    head.body
                }
            };
            let (used, over) = match body {
                Body::Length(0) => (0, true),
                Body::Length(_) | Body::Chunked(_) | Body::UntilClose => body.feed(bytes),
            };
            bytes = &bytes[used..];
            if over {
                self.finish(seen)?;
                ended = true;
            } else {
                self.body = Some(body);
            }
        }
        Ok(ended)
    }

    fn finish(&mut self, seen: &mut Seen) -> io::Result<()> {
        let Some(asked) = self.asked.pop_front() else {
            return Err(io::Error::new(ErrorKind::InvalidData, "an answer nobody asked for"));
        };
        seen.requests += 1;
        seen.record(asked.elapsed());
        // The next request would die with the connection: count that as the proxy's choice.
        if self.last && !self.asked.is_empty() {
            return Err(ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

/// A histogram of microseconds up to a minute, to three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are in order")
}

/// As many as the descriptors of a usual shell allow, with room for the origin.
const CONNECTIONS_MAX: u32 = 8192;
/// A proxy that does not accept for so long is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Beyond this many failures a run says nothing.
const ERRORS_MAX: u64 = 1000;
/// An open load gives its sockets a turn after so many sends.
const DUE_PER_TURN: usize = 1024;
/// Requests that wait for a connection; more than this and they count as errors at once.
const LATE_MAX: usize = 1 << 20;
