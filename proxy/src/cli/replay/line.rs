//! Requests sent as they are, and their replies as they come.

use std::{
    io,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use gnomon_policy::retry;
use gnomon_shadow::{capture::Capture, counts::Failed, exchange::Reply, recheck::Recheck};
use gnomon_wire::{
    BodyLimits, BodyReader, Framing, HeadLimits, Progress, Response, ResponseHead, Side,
};
use tokio::net::TcpStream;

use crate::clock::{self, Moment};

/// Connections to the target.
pub(super) struct Lines {
    address: SocketAddr,
    timeout: Duration,
    /// Bytes of a reply's body that are kept.
    most: usize,
    idle: Mutex<Vec<TcpStream>>,
}

/// What is sent.
pub(super) struct Question {
    pub(super) bytes: Vec<u8>,
    is_head: bool,
    /// Whether it may be sent again where the connection had died.
    is_safe: bool,
}

impl Question {
    pub(super) fn of(method: &str, bytes: Vec<u8>) -> Self {
        let is_safe = retry::is_safe(method.as_bytes());
        Self { bytes, is_head: method == "HEAD", is_safe }
    }
}

/// What comes back.
pub(super) struct Answer {
    pub(super) reply: Reply,
    /// When its first byte came.
    pub(super) first_byte: Moment,
}

/// What went wrong, and whether nothing at all had come back.
struct Broken {
    why: Failed,
    is_silent: bool,
}

impl Broken {
    const fn loud(why: Failed) -> Self {
        Self { why, is_silent: false }
    }
}

impl Lines {
    pub(super) fn new(address: SocketAddr, timeout: Duration, recheck: &Recheck) -> Self {
        let most = usize::try_from(recheck.max()).unwrap_or(usize::MAX);
        Self { address, timeout, most, idle: Mutex::default() }
    }

    /// Sends a request and reads its reply.
    pub(super) async fn ask(&self, question: Question) -> Result<Answer, Failed> {
        let asking = tokio::time::timeout(self.timeout, self.converse(&question));
        asking.await.unwrap_or(Err(Failed::Timeout))
    }

    async fn converse(&self, question: &Question) -> Result<Answer, Failed> {
        let idle = self.idle().pop();
        if let Some(stream) = idle {
            match self.exchange(stream, question).await {
                Ok(answer) => return Ok(answer),
                // It had been closed at the other end, and we could not know.
                Err(broken) if broken.is_silent && question.is_safe => {}
                Err(broken) => return Err(broken.why),
            }
        }
        let stream = TcpStream::connect(self.address).await.map_err(|_| Failed::Connect)?;
        // Only slower without it.
        let _ = stream.set_nodelay(true);
        self.exchange(stream, question).await.map_err(|broken| broken.why)
    }

    async fn exchange(&self, stream: TcpStream, question: &Question) -> Result<Answer, Broken> {
        // It may have replied all the same, before it had read everything.
        let _ = send(&stream, &question.bytes).await;
        let mut inbox = Inbox { stream, bytes: Vec::new(), first_byte: None };
        let mut head = ResponseHead::default();
        let length = inbox.head(&mut head).await?;
        let first_byte = inbox.first_byte.unwrap_or_else(clock::now);
        let (framing, persists) = {
            let response = Response { head: &head, bytes: &inbox.bytes };
            (response.framing(question.is_head), response.persistent())
        };
        let head = Bytes::copy_from_slice(&inbox.bytes[..length]);
        inbox.bytes.drain(..length);
        let body = inbox.body(framing, self.most).await?.finish();
        if persists && framing != Framing::UntilClose && inbox.bytes.is_empty() {
            self.idle().push(inbox.stream);
        }
        Ok(Answer { reply: Reply { head, body }, first_byte })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection, and what has come that is not looked at yet.
struct Inbox {
    stream: TcpStream,
    bytes: Vec<u8>,
    first_byte: Option<Moment>,
}

impl Inbox {
    /// Reads the head of the final reply, and says how long it is.
    async fn head(&mut self, head: &mut ResponseHead) -> Result<usize, Broken> {
        let mut interims = 0;
        loop {
            match head.read(&self.bytes, &HeadLimits::REPLY) {
                Ok(Progress::Done(length)) => {
                    if !(Response { head, bytes: &self.bytes }).is_interim() {
                        return Ok(length);
                    }
                    interims += 1;
                    if interims > INTERIM_MAX {
                        return Err(Broken::loud(Failed::Malformed));
                    }
                    self.bytes.drain(..length);
                    head.clear();
                    continue;
                }
                Ok(Progress::More) => {}
                Err(_) if self.bytes.is_empty() => {}
                Err(_) => return Err(Broken::loud(Failed::Malformed)),
            }
            let is_silent = self.first_byte.is_none();
            if self.fill().await.unwrap_or(0) == 0 {
                return Err(Broken { why: Failed::Reset, is_silent });
            }
        }
    }

    async fn body(&mut self, framing: Framing, most: usize) -> Result<Capture, Broken> {
        let malformed = |_| Broken::loud(Failed::Malformed);
        let mut reader =
            BodyReader::new(Side::Reply, framing, &BodyLimits::DEFAULT).map_err(malformed)?;
        let mut capture = Capture::new(most);
        loop {
            while !self.bytes.is_empty() && !reader.is_done() {
                let piece = reader.read(&mut self.bytes).map_err(malformed)?;
                let is_stuck = piece.consumed == 0;
                capture.push(&self.bytes[piece.data.clone()]);
                self.bytes.drain(..piece.consumed);
                if is_stuck {
                    break;
                }
            }
            if reader.is_done() {
                return Ok(capture);
            }
            if capture.length() > REPLY_MAX {
                return Err(Broken::loud(Failed::TooLong));
            }
            match self.fill().await {
                Ok(0) => {
                    reader.finish_input().map_err(|_| Broken::loud(Failed::Reset))?;
                    return Ok(capture);
                }
                Ok(_) => {}
                Err(_) => return Err(Broken::loud(Failed::Reset)),
            }
        }
    }

    /// Reads once behind what is there; how many bytes came, 0 at the end of input.
    async fn fill(&mut self) -> io::Result<usize> {
        let from = self.bytes.len();
        self.bytes.resize(from + ROOM, 0);
        let read = loop {
            self.stream.readable().await?;
            match self.stream.try_read(&mut self.bytes[from..]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => break read,
            }
        };
        self.bytes.truncate(from + read.as_ref().copied().unwrap_or(0));
        if matches!(read, Ok(1..)) {
            self.first_byte.get_or_insert_with(clock::now);
        }
        read
    }
}

async fn send(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Room to read into.
const ROOM: usize = 16 << 10;
/// Interim replies that are passed over.
const INTERIM_MAX: u32 = 10;
/// A reply is read no further than this.
const REPLY_MAX: u64 = 64 << 20;
