//! The shadow thread's connections, and the one clock hand that ends those that take too long.

use std::{
    cell::{Cell, RefCell},
    io,
    os::fd::{AsRawFd, RawFd},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use gnomon_sys::socket;
use gnomon_tls::Stream;
use gnomon_wire::proxy_protocol::{self, Who};

use crate::{numbers::ByNumber, terms::Endpoint};

/// Idle connections kept for one endpoint; as many as a lively shadow has copies under way.
const IDLE_MAX: usize = 1024;

/// An idle connection is closed after this long, which is less than any origin's own patience.
const IDLE_FOR: Duration = Duration::from_secs(10);

/// A connection that was idle for less is used without asking whether it still is.
const FRESH: Duration = Duration::from_millis(100);

/// Idle connections by endpoint.
#[derive(Default)]
pub(crate) struct Pool {
    idle: RefCell<ByNumber<u64, Vec<Idle>>>,
}

struct Idle {
    line: Line,
    since: Instant,
}

/// A connection. The deadline comes first: it lets go of the descriptor before it is closed.
pub(crate) struct Line {
    pub(crate) deadline: Deadline,
    pub(crate) stream: Stream,
}

impl Pool {
    /// The most recently used idle connection to an endpoint that is still quiet.
    pub(crate) fn take(&self, endpoint: u64, now: Instant) -> Option<Line> {
        let mut all = self.idle.borrow_mut();
        let idle = all.get_mut(&endpoint)?;
        while let Some(Idle { line, since }) = idle.pop() {
            let is_fresh = now.saturating_duration_since(since) < FRESH;
            if is_fresh || line.stream.is_quiet() {
                return Some(line);
            }
        }
        None
    }

    /// Keeps a connection whose exchange has ended cleanly.
    pub(crate) fn give(&self, endpoint: u64, line: Line, since: Instant) {
        let mut all = self.idle.borrow_mut();
        let idle = all.entry(endpoint).or_default();
        if idle.len() < IDLE_MAX {
            idle.push(Idle { line, since });
        }
    }

    /// Closes what was idle for too long.
    pub(crate) fn reap(&self, now: Instant) {
        self.idle.borrow_mut().retain(|_, idle| {
            idle.retain(|idle| now.saturating_duration_since(idle.since) < IDLE_FOR);
            !idle.is_empty()
        });
    }
}

/// Shuts down connections whose time is over. Whoever waits on one then gets an end of input.
#[derive(Default)]
pub(crate) struct Deadlines {
    slots: RefCell<Vec<Slot>>,
    free: RefCell<Vec<usize>>,
}

#[derive(Clone, Copy)]
struct Slot {
    fd: RawFd,
    due: Option<Instant>,
    fired: bool,
}

/// One connection's deadline.
pub(crate) struct Deadline {
    wheel: Rc<Deadlines>,
    slot: usize,
    open: Cell<bool>,
}

impl Deadlines {
    /// Watches over a connection.
    pub(crate) fn watch(self: &Rc<Self>, fd: RawFd) -> Deadline {
        let fresh = Slot { fd, due: None, fired: false };
        let mut slots = self.slots.borrow_mut();
        let slot = match self.free.borrow_mut().pop() {
            Some(slot) => {
                slots[slot] = fresh;
                slot
            }
            None => {
                slots.push(fresh);
                slots.len() - 1
            }
        };
        Deadline { wheel: Rc::clone(self), slot, open: Cell::new(true) }
    }

    /// Shuts down what is due.
    pub(crate) fn sweep(&self, now: Instant) {
        for slot in &mut *self.slots.borrow_mut() {
            if slot.due.is_some_and(|due| due <= now) {
                (slot.due, slot.fired) = (None, true);
                socket::shut_down(slot.fd);
            }
        }
    }
}

impl Deadline {
    /// The connection must be done by `due`.
    pub(crate) fn arm(&self, due: Instant) {
        let slot = &mut self.wheel.slots.borrow_mut()[self.slot];
        (slot.due, slot.fired) = (Some(due), false);
    }

    /// It is done.
    pub(crate) fn disarm(&self) {
        self.wheel.slots.borrow_mut()[self.slot].due = None;
    }

    /// Whether it was not, in time.
    pub(crate) fn fired(&self) -> bool {
        self.wheel.slots.borrow()[self.slot].fired
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        if self.open.replace(false) {
            self.wheel.slots.borrow_mut()[self.slot].due = None;
            self.wheel.free.borrow_mut().push(self.slot);
        }
    }
}

/// Connects to an endpoint.
pub(crate) async fn dial(
    endpoint: &Endpoint,
    deadlines: &Rc<Deadlines>,
    patience: Duration,
    due: Instant,
) -> io::Result<Line> {
    // Rare beside all that a connection serves, and large: boxed, so that it is no part of those.
    let dialled = Box::pin(monoio::time::timeout(patience, endpoint.address.dial())).await;
    let stream = dialled.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    if endpoint.announced {
        let mut header = Vec::new();
        proxy_protocol::write(&mut header, &Who::Sender);
        // So few bytes go out at once or not at all.
        let (sent, _) = Box::pin(stream.write(header)).await;
        sent?;
    }
    let deadline = deadlines.watch(stream.as_raw_fd());
    let mut line = Line { deadline, stream: Stream::plain(stream) };
    if let Some(tls) = &endpoint.tls {
        line.deadline.arm(due);
        let shaken = line.stream.connect(Arc::clone(&tls.config), tls.name.clone());
        let shaken = Box::pin(shaken).await;
        line.deadline.disarm();
        if line.deadline.fired() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        shaken.map_err(io::Error::other)?;
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        os::unix::net::UnixStream,
    };

    use gnomon_sys::duplex::Duplex;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn what_is_due_is_shut_down_and_nothing_else() {
        let (mut one, mut other) = UnixStream::pair().unwrap();
        let wheel = Rc::<Deadlines>::default();
        let (now, step) = (now(), Duration::from_secs(1));
        let deadline = wheel.watch(one.as_raw_fd());
        wheel.sweep(now);
        deadline.arm(now + step);
        wheel.sweep(now);
        deadline.arm(now + 2 * step);
        wheel.sweep(now + step);
        deadline.disarm();
        wheel.sweep(now + 3 * step);
        assert!(!deadline.fired());
        other.write_all(b"x").unwrap();
        one.read_exact(&mut [0]).unwrap();
        deadline.arm(now);
        wheel.sweep(now);
        assert!(deadline.fired());
        assert_eq!(one.read(&mut [0]).unwrap(), 0);
        deadline.arm(now + step);
        assert!(!deadline.fired());
    }

    #[test]
    fn a_place_is_used_again_and_knows_nothing_of_its_last_owner() {
        let (one, other) = UnixStream::pair().unwrap();
        let wheel = Rc::<Deadlines>::default();
        let now = now();
        let first = wheel.watch(one.as_raw_fd());
        first.arm(now);
        drop(first);
        wheel.sweep(now);
        let second = wheel.watch(other.as_raw_fd());
        wheel.sweep(now);
        assert!(!second.fired());
        assert_eq!(wheel.slots.borrow().len(), 1);
        (&one).write_all(b"x").unwrap();
        (&other).read_exact(&mut [0]).unwrap();
    }

    /// A connection that is idle, and its other end.
    fn line(wheel: &Rc<Deadlines>) -> (Line, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let stream = Stream::plain(Duplex::unix(ours).unwrap());
        (Line { deadline: wheel.watch(stream.as_raw_fd()), stream }, theirs)
    }

    #[monoio::test(driver = "legacy")]
    async fn the_idle_connection_used_last_is_taken_unless_it_has_ended() {
        let (pool, wheel, now) = (Pool::default(), Rc::default(), now());
        let (first, _kept) = line(&wheel);
        let (second, ended) = line(&wheel);
        let fd = first.stream.as_raw_fd();
        pool.give(7, first, now);
        pool.give(7, second, now);
        drop(ended);
        assert!(pool.take(8, now).is_none());
        assert_eq!(pool.take(7, now + FRESH).map(|line| line.stream.as_raw_fd()), Some(fd));
        assert!(pool.take(7, now).is_none());
    }

    #[monoio::test(driver = "legacy")]
    async fn what_is_idle_for_too_long_is_closed() {
        let (pool, wheel, now) = (Pool::default(), Rc::default(), now());
        let (first, mut theirs) = line(&wheel);
        pool.give(7, first, now);
        pool.reap(now + IDLE_FOR / 2);
        assert_eq!(pool.idle.borrow().len(), 1);
        pool.reap(now + IDLE_FOR);
        assert!(pool.idle.borrow().is_empty());
        assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
    }
}
