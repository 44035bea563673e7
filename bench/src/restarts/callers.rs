//! Clients that ask all the time, half of them on connections they keep, and count what fails.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use crate::message::{self, Body, Kind};

/// What all clients have seen so far.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) asked: AtomicU64,
    /// Connections that nobody took.
    pub(super) refused: AtomicU64,
    /// Requests on a kept connection that was closed without a byte of a reply: it may have been
    /// closed before they were sent, and most clients would send them again.
    pub(super) crossed: AtomicU64,
    /// Requests without a reply on a connection of their own, and replies cut short.
    pub(super) broken: AtomicU64,
    /// Replies other than 200.
    pub(super) other: AtomicU64,
    worst_us: AtomicU64,
}

/// A book at one moment, or what was added between two.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// Requests.
    pub asked: u64,
    /// Of these, refused, crossed, broken, and answered with another status.
    pub failed: [u64; 4],
}

impl Book {
    pub(super) fn counts(&self) -> Counts {
        let failed = [&self.refused, &self.crossed, &self.broken, &self.other];
        Counts { asked: self.asked.load(Relaxed), failed: failed.map(|count| count.load(Relaxed)) }
    }

    /// The longest that a request took since this was last asked.
    pub(super) fn take_worst(&self) -> Duration {
        Duration::from_micros(self.worst_us.swap(0, Relaxed))
    }
}

impl Counts {
    pub(super) fn since(&self, before: &Self) -> Self {
        let mut failed = self.failed;
        for (now, before) in failed.iter_mut().zip(before.failed) {
            *now -= before;
        }
        Self { asked: self.asked - before.asked, failed }
    }
}

/// Asks until `ending`.
pub(super) fn run(
    address: SocketAddr,
    keeps: bool,
    gap: Duration,
    book: &Book,
    ending: &AtomicBool,
) {
    let mut kept = None;
    while !ending.load(Relaxed) {
        let begun = Instant::now();
        book.asked.fetch_add(1, Relaxed);
        kept = ask(kept.filter(is_open), address, book).filter(|_| keeps);
        let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        book.worst_us.fetch_max(took, Relaxed);
        thread::sleep(gap);
    }
}

/// One request; the connection, if it may be used again.
fn ask(kept: Option<TcpStream>, address: SocketAddr, book: &Book) -> Option<TcpStream> {
    let is_used = kept.is_some();
    let connected = kept.map_or_else(|| connect(address), Ok);
    let Ok(mut stream) = connected else {
        book.refused.fetch_add(1, Relaxed);
        return None;
    };
    match exchange(&mut stream) {
        Ok((200, stays)) => return stays.then_some(stream),
        Ok((_, stays)) => {
            book.other.fetch_add(1, Relaxed);
            return stays.then_some(stream);
        }
        Err(Silent) if is_used => &book.crossed,
        Err(_) => &book.broken,
    }
    .fetch_add(1, Relaxed);
    None
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Whether the other side has not closed, as far as is known here.
fn is_open(stream: &TcpStream) -> bool {
    let looked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    let back = stream.set_nonblocking(false);
    back.is_ok() && matches!(looked, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// Why there is no whole reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    /// Not a byte came.
    Silent,
    Cut,
}

use Lost::{Cut, Silent};

/// Status, and whether the connection stays.
fn exchange(stream: &mut TcpStream) -> Result<(u16, bool), Lost> {
    stream.write_all(REQUEST).map_err(|_| Silent)?;
    let (mut bytes, mut room) = (Vec::new(), [0; 4096]);
    let (status, mut body, close) = loop {
        let lost = if bytes.is_empty() { Silent } else { Cut };
        match stream.read(&mut room) {
            Ok(0) | Err(_) => return Err(lost),
            Ok(count) => bytes.extend_from_slice(&room[..count]),
        }
        if let Some(head) = message::scan(&bytes, Kind::Response) {
            let status = message::status(&bytes);
            bytes.drain(..head.len);
            break (status, head.body, head.close);
        }
    };
    loop {
        let over = match &mut body {
            Body::Length(0) => true,
            Body::Length(_) | Body::Chunked(_) | Body::UntilClose => body.feed(&bytes).1,
        };
        if over {
            return Ok((status, !close));
        }
        match stream.read(&mut room) {
            Ok(0) if body == Body::UntilClose => return Ok((status, false)),
            Ok(0) | Err(_) => return Err(Cut),
            Ok(count) => bytes = room[..count].to_vec(),
        }
    }
}

const REQUEST: &[u8] = b"GET /b/1024 HTTP/1.1\r\nhost: bench\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(5);
