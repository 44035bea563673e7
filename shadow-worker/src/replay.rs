//! One copy sent, and its reply read: within limits, and never twice unless the connection had died
//! while it was idle.

use std::{
    cell::{Cell, RefCell},
    io::ErrorKind,
    os::fd::AsRawFd,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use gnomon_sys::socket;
use gnomon_wire::{
    BodyLimits, BodyReader, Framing, HeadLimits, Progress, Response, ResponseHead, Side,
};

use crate::{
    Clock,
    capture::Capture,
    counts::Failed,
    exchange::Reply,
    pool::{self, Deadlines, Line, Pool},
    terms::Endpoint,
};

/// A reply is read no further than this: what follows could only be hashed, for as long as the
/// origin pleases.
const REPLY_MAX: u64 = 64 << 20;

/// Room to read into; what a reply of this size and its head take in one read.
const ROOM: usize = 32 << 10;

/// Buffers kept for later: 8 MiB.
const SPARE_MAX: usize = 256;

/// Interim replies that are passed over.
const INTERIM_MAX: u32 = 10;

/// The shadow thread's means of sending.
pub(crate) struct Lines {
    pub(crate) clock: Clock,
    pub(crate) pool: Pool,
    pub(crate) deadlines: Rc<Deadlines>,
    spare: RefCell<Vec<Vec<u8>>>,
    /// Bytes of replies held now, and the most that may be.
    pub(crate) ration: Rc<Ration>,
}

/// Memory for what is read here.
#[derive(Default)]
pub(crate) struct Ration {
    held: Cell<u64>,
    most: Cell<u64>,
}

impl Ration {
    pub(crate) fn allow(&self, most: u64) {
        self.most.set(most);
    }

    fn take(&self, bytes: u64) -> bool {
        let held = self.held.get() + bytes;
        let fits = held <= self.most.get();
        if fits {
            self.held.set(held);
        }
        fits
    }

    fn give(&self, bytes: u64) {
        self.held.set(self.held.get().saturating_sub(bytes));
    }
}

/// What to send.
pub(crate) struct Errand<'a> {
    pub(crate) endpoint: &'a Endpoint,
    /// The head, and the body if that is short.
    pub(crate) head: Bytes,
    /// A long body.
    pub(crate) body: Bytes,
    /// Whether the request was HEAD, whose reply has no body.
    pub(crate) is_head: bool,
    /// Whether it may be sent again on another connection.
    pub(crate) is_safe: bool,
    /// Bytes of the reply's body that are kept.
    pub(crate) most: usize,
    pub(crate) timeout: Duration,
}

/// What came of it.
pub(crate) struct Replied {
    pub(crate) reply: Reply,
    /// From sending to the reply's first byte.
    pub(crate) first_byte: Duration,
    _held: Held,
}

/// A part of the ration, given back when dropped.
struct Held(Rc<Ration>, u64);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.give(self.1);
    }
}

/// What went wrong, and whether nothing at all had come back.
struct Broken {
    why: Failed,
    is_silent: bool,
}

impl Lines {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            pool: Pool::default(),
            deadlines: Rc::default(),
            spare: RefCell::default(),
            ration: Rc::default(),
        }
    }

    /// Sends a request and reads its reply.
    pub(crate) async fn run(&self, errand: Errand<'_>) -> Result<Replied, Failed> {
        let now = (self.clock.now)();
        let due = now + errand.timeout;
        if let Some(line) = self.pool.take(errand.endpoint.id, now) {
            match self.converse(line, &errand, now, due).await {
                Ok(replied) => return Ok(replied),
                // It had been closed at the other end, and we could not know.
                Err(broken) if broken.is_silent && errand.is_safe => {}
                Err(broken) => return Err(broken.why),
            }
        }
        let left = due.saturating_duration_since((self.clock.now)());
        let line = pool::dial(errand.endpoint, &self.deadlines, left, due).await;
        let line = line.map_err(|error| unconnected(error.kind()))?;
        let now = (self.clock.now)();
        self.converse(line, &errand, now, due).await.map_err(|broken| broken.why)
    }

    async fn converse(
        &self,
        line: Line,
        errand: &Errand<'_>,
        sent_at: Instant,
        due: Instant,
    ) -> Result<Replied, Broken> {
        line.deadline.arm(due);
        let mut buffer = self.rent();
        let result = if errand.body.is_empty() {
            // Should this fail, it may have replied all the same; if it has not, reading says so.
            let _ = send(&line, errand).await;
            self.receive(&line, errand, sent_at, &mut buffer).await
        } else {
            Box::pin(self.both(&line, errand, sent_at, &mut buffer)).await
        };
        self.give_back(buffer);
        line.deadline.disarm();
        match result {
            Ok((replied, is_reusable)) => {
                // Its time may have run out in the moment in which the last bytes came.
                if is_reusable && !line.deadline.fired() {
                    self.pool.give(errand.endpoint.id, line, (self.clock.now)());
                }
                Ok(replied)
            }
            Err(_) if line.deadline.fired() => Err(Broken::loud(Failed::Timeout)),
            Err(broken) => Err(broken),
        }
    }

    /// Sends and reads at once: it may reply to a long upload before it has read all of it, and
    /// never read the rest.
    async fn both(
        &self,
        line: &Line,
        errand: &Errand<'_>,
        sent_at: Instant,
        buffer: &mut Vec<u8>,
    ) -> Result<(Replied, bool), Broken> {
        let is_sent = Cell::new(false);
        let up = async { is_sent.set(send(line, errand).await.is_ok()) };
        let down = async {
            let result = self.receive(line, errand, sent_at, buffer).await;
            if !is_sent.get() {
                // Nobody wants the rest; what is being sent ends by this.
                socket::shut_down(line.stream.as_raw_fd());
            }
            result.map(|(replied, is_reusable)| (replied, is_reusable && is_sent.get()))
        };
        monoio::join!(up, down).1
    }

    async fn receive(
        &self,
        line: &Line,
        errand: &Errand<'_>,
        sent_at: Instant,
        buffer: &mut Vec<u8>,
    ) -> Result<(Replied, bool), Broken> {
        let mut head = ResponseHead::default();
        let mut first_byte = None;
        let mut interims = 0;
        let length = loop {
            if !buffer.is_empty() {
                first_byte.get_or_insert_with(|| (self.clock.now)() - sent_at);
                match head.read(buffer, &HeadLimits::REPLY) {
                    // Copies never ask for another protocol.
                    Ok(Progress::Done(_)) if status(&head, buffer) == 101 => {
                        return Err(Broken::loud(Failed::Malformed));
                    }
                    Ok(Progress::Done(length)) if is_interim(&head, buffer) => {
                        interims += 1;
                        if interims > INTERIM_MAX {
                            return Err(Broken::loud(Failed::Malformed));
                        }
                        buffer.drain(..length);
                        head.clear();
                        continue;
                    }
                    Ok(Progress::Done(length)) => break length,
                    Ok(Progress::More) => {}
                    Err(_) => return Err(Broken::loud(Failed::Malformed)),
                }
            }
            let is_silent = first_byte.is_none();
            if fill(line, buffer).await.unwrap_or(0) == 0 {
                return Err(Broken { why: Failed::Reset, is_silent });
            }
        };
        let (framing, is_persistent) = {
            let response = Response { head: &head, bytes: buffer };
            (response.framing(errand.is_head), response.persistent())
        };
        let head = Bytes::copy_from_slice(&buffer[..length]);
        buffer.drain(..length);
        let (capture, held) = self.body(line, framing, errand.most, buffer).await?;
        let reply = Reply { head, body: capture.finish() };
        let first_byte = first_byte.unwrap_or_default();
        let is_reusable = is_persistent && framing != Framing::UntilClose && buffer.is_empty();
        Ok((Replied { reply, first_byte, _held: held }, is_reusable))
    }

    async fn body(
        &self,
        line: &Line,
        framing: Framing,
        most: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<(Capture, Held), Broken> {
        let reader = BodyReader::new(Side::Reply, framing, &BodyLimits::DEFAULT);
        let mut reader = reader.map_err(|_| Broken::loud(Failed::Malformed))?;
        if reader.wanted().is_some_and(|wanted| wanted > REPLY_MAX) {
            return Err(Broken::loud(Failed::TooLong));
        }
        let mut capture = Capture::new(most);
        let mut held = Held(Rc::clone(&self.ration), 0);
        loop {
            if !buffer.is_empty() && !reader.is_done() {
                let piece = reader.read(buffer).map_err(|_| Broken::loud(Failed::Malformed))?;
                let wanted = capture.wants(piece.data.len()) as u64;
                if self.ration.take(wanted) {
                    held.1 += wanted;
                } else {
                    capture.close();
                }
                capture.push(&buffer[piece.data.clone()]);
                buffer.drain(..piece.consumed);
            }
            if reader.is_done() {
                return Ok((capture, held));
            }
            if capture.length() > REPLY_MAX {
                return Err(Broken::loud(Failed::TooLong));
            }
            match fill(line, buffer).await {
                // A connection that we shut down ourselves ends as well.
                Ok(0) if !line.deadline.fired() => {
                    reader.finish_input().map_err(|_| Broken::loud(Failed::Reset))?;
                    return Ok((capture, held));
                }
                Ok(0) | Err(_) => return Err(Broken::loud(Failed::Reset)),
                Ok(_) => {}
            }
        }
    }

    fn rent(&self) -> Vec<u8> {
        self.spare.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(ROOM))
    }

    fn give_back(&self, mut buffer: Vec<u8>) {
        let mut spare = self.spare.borrow_mut();
        if buffer.capacity() >= ROOM && buffer.capacity() <= 4 * ROOM && spare.len() < SPARE_MAX {
            buffer.clear();
            spare.push(buffer);
        }
    }
}

impl Broken {
    const fn loud(why: Failed) -> Self {
        Self { why, is_silent: false }
    }
}

fn status(head: &ResponseHead, bytes: &[u8]) -> u16 {
    Response { head, bytes }.status()
}

fn is_interim(head: &ResponseHead, bytes: &[u8]) -> bool {
    Response { head, bytes }.is_interim()
}

/// Why there is no connection.
fn unconnected(kind: ErrorKind) -> Failed {
    let is = |those: &[ErrorKind]| those.contains(&kind);
    if is(&[ErrorKind::TimedOut]) {
        Failed::Timeout
    } else if is(&[ErrorKind::ConnectionRefused, ErrorKind::NotFound]) {
        // Not found is the unix socket's way to say that nobody listens.
        Failed::Refused
    } else {
        Failed::Connect
    }
}

/// Writes all of it.
async fn send(line: &Line, errand: &Errand<'_>) -> std::io::Result<()> {
    for part in [&errand.head, &errand.body] {
        let (sent, _) = line.stream.write(part.clone(), 0..part.len(), || {}).await;
        sent?;
    }
    Ok(())
}

/// Reads once behind what is there; how many bytes came, 0 at the end of input.
async fn fill(line: &Line, buffer: &mut Vec<u8>) -> std::io::Result<usize> {
    let from = buffer.len();
    if buffer.capacity() - from < ROOM / 4 {
        buffer.reserve(ROOM);
    }
    let to = buffer.capacity();
    let (result, bytes) = line.stream.read(std::mem::take(buffer), from..to).await;
    *buffer = bytes;
    result
}
