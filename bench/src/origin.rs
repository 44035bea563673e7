//! The origin: it answers whatever is asked as cheaply as it can.
//!
//! `/b/N`, below whatever route, gets a body of N bytes, any other path a small one. Responses are built once and then
//! only written. A request body is read and forgotten. A shadow's origin is one as well, unless it is to hang: then it
//! reads whatever comes and never says a word.

use std::{
    collections::{HashMap, VecDeque},
    io::{self, ErrorKind, IoSlice, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    rc::Rc,
};

use memchr::memmem;

use crate::{
    message::{self, Body, Kind},
    poll::{Interest, Poller, Token},
};

/// Who asks an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The proxy, for its clients.
    Primary,
    /// The proxy, for nobody: these are copies.
    Shadow,
    /// The same, and nobody is answered.
    Hung,
}

impl Role {
    fn listener(self) -> Token {
        match self {
            Self::Primary => Token::OriginAccept,
            Self::Shadow | Self::Hung => Token::ShadowAccept,
        }
    }

    fn connection(self, slot: u32) -> Token {
        match self {
            Self::Primary => Token::Origin(slot),
            Self::Shadow | Self::Hung => Token::Shadow(slot),
        }
    }
}

/// A listening origin and its connections.
#[derive(Debug)]
pub struct Origin {
    role: Role,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    free: Vec<u32>,
    replies: HashMap<u64, Rc<[u8]>>,
    served: u64,
}

impl Origin {
    /// Listens on `address` and has itself watched by `poller`.
    ///
    /// # Errors
    /// When the address is taken.
    pub fn listen(address: SocketAddr, role: Role, poller: &Poller) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        rustix::net::listen(&listener, BACKLOG)?;
        listener.set_nonblocking(true)?;
        poller.add(&listener, role.listener(), Interest::Read)?;
        let (connections, free, replies) = (Vec::new(), Vec::new(), HashMap::new());
        Ok(Self { role, listener, connections, free, replies, served: 0 })
    }

    /// How many requests it has answered.
    #[must_use]
    pub fn served(&self) -> u64 {
        self.served
    }

    /// Takes the connections that wait; a refusal (out of descriptors) leaves them waiting.
    pub fn accept(&mut self, poller: &Poller) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Ok((stream, _)) = self.listener.accept() else { return };
            if self.connections.len() - self.free.len() >= CONNECTIONS_MAX {
                return;
            }
            if stream.set_nonblocking(true).is_err() || stream.set_nodelay(true).is_err() {
                continue;
            }
            let slot = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                u32::try_from(self.connections.len() - 1).expect("bounded by CONNECTIONS_MAX")
            });
            if poller.add(&stream, self.role.connection(slot), Interest::Read).is_ok() {
                self.connections[slot as usize] = Some(Connection::new(stream));
            } else {
                self.free.push(slot);
            }
        }
    }

    /// Lets the connection in `slot` get on, reading through `buffer`.
    pub fn turn(&mut self, slot: u32, poller: &Poller, buffer: &mut [u8]) {
        let Some(Some(connection)) = self.connections.get_mut(slot as usize) else { return };
        let was_writing = !connection.unsent.is_empty();
        let outcome = if self.role == Role::Hung {
            connection.ignore(buffer)
        } else if was_writing {
            connection.flush()
        } else {
            connection.read(buffer, &mut self.replies, &mut self.served)
        };
        let writing = !connection.unsent.is_empty();
        let token = self.role.connection(slot);
        let watched = match (was_writing, writing) {
            (false, true) => poller.modify(&connection.stream, token, Interest::Write),
            (true, false) => poller.modify(&connection.stream, token, Interest::Read),
            (true, true) | (false, false) => Ok(()),
        };
        if outcome.is_err() || watched.is_err() || (connection.closing && !writing) {
            self.connections[slot as usize] = None;
            self.free.push(slot);
        }
    }
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// The start of a head whose end has not come.
    head: Vec<u8>,
    /// The request body that is being read.
    body: Option<Body>,
    /// Replies not yet taken by the kernel, and how much of the first one was.
    unsent: VecDeque<Rc<[u8]>>,
    sent_of_first: usize,
    /// A reply to the request whose body is being read.
    answer: u64,
    closing: bool,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            head: Vec::new(),
            body: None,
            unsent: VecDeque::new(),
            sent_of_first: 0,
            answer: 0,
            closing: false,
        }
    }

    fn read(
        &mut self,
        buffer: &mut [u8],
        replies: &mut HashMap<u64, Rc<[u8]>>,
        served: &mut u64,
    ) -> io::Result<()> {
        let count = match self.stream.read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        if self.head.is_empty() {
            self.take(&buffer[..count], replies, served)?;
        } else {
            let mut joined = std::mem::take(&mut self.head);
            joined.extend_from_slice(&buffer[..count]);
            self.take(&joined, replies, served)?;
        }
        self.flush()
    }

    /// Reads once, to no end.
    fn ignore(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        match self.stream.read(buffer) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Goes through `bytes` request by request; what is left of a head waits in `self.head`.
    fn take(
        &mut self,
        mut bytes: &[u8],
        replies: &mut HashMap<u64, Rc<[u8]>>,
        served: &mut u64,
    ) -> io::Result<()> {
        while !bytes.is_empty() || self.body.is_some() {
            if let Some(body) = &mut self.body {
                let (used, over) = match body {
                    Body::Length(0) => (0, true),
                    Body::Length(_) | Body::Chunked(_) | Body::UntilClose => body.feed(bytes),
                };
                bytes = &bytes[used..];
                if !over {
                    return Ok(());
                }
                self.body = None;
                self.unsent.push_back(reply(replies, self.answer));
                *served += 1;
                continue;
            }
            let Some(head) = message::scan(bytes, Kind::Request) else {
                if bytes.len() > HEAD_BYTES_MAX {
                    return Err(ErrorKind::InvalidData.into());
                }
                self.head.extend_from_slice(bytes);
                return Ok(());
            };
            let target = message::target(bytes);
            let size = memmem::find(target, b"/b/").map(|at| &target[at + 3..]);
            self.answer = size.map_or(SMALL_BODY_BYTES, message::decimal);
            self.closing |= head.close;
            self.body = Some(head.body);
            bytes = &bytes[head.len..];
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        while let Some(first) = self.unsent.front() {
            let first = &first[self.sent_of_first..];
            let written = if self.unsent.len() == 1 {
                self.stream.write(first)
            } else {
                let rest = self.unsent.iter().skip(1).take(IO_SLICES - 1);
                let slices: Vec<_> = std::iter::once(IoSlice::new(first))
                    .chain(rest.map(|reply| IoSlice::new(reply)))
                    .collect();
                self.stream.write_vectored(&slices)
            };
            match written {
                Ok(count) => self.forget(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// `count` more bytes are the kernel's now.
    fn forget(&mut self, count: usize) {
        self.sent_of_first += count;
        while let Some(first) = self.unsent.front() {
            if self.sent_of_first < first.len() {
                return;
            }
            self.sent_of_first -= first.len();
            self.unsent.pop_front();
        }
    }
}

/// The reply with a body of `body_bytes`, built the first time it is asked for.
fn reply(replies: &mut HashMap<u64, Rc<[u8]>>, body_bytes: u64) -> Rc<[u8]> {
    let body_bytes = body_bytes.min(BODY_BYTES_MAX);
    if let Some(reply) = replies.get(&body_bytes) {
        return Rc::clone(reply);
    }
    if replies.len() >= REPLIES_MAX {
        replies.clear();
    }
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Sun, 22 Nov 2026 00:00:00 GMT\r\n\
         Content-Type: text/plain\r\nContent-Length: {body_bytes}\r\n\r\n"
    )
    .into_bytes();
    let body = usize::try_from(body_bytes).expect("bounded by BODY_BYTES_MAX");
    bytes.resize(bytes.len() + body, b'x');
    let reply: Rc<[u8]> = bytes.into();
    replies.insert(body_bytes, Rc::clone(&reply));
    reply
}

/// With its head the small reply is about 150 bytes.
const SMALL_BODY_BYTES: u64 = 29;
/// The largest body anybody may ask for, so that a typing error does not eat the machine.
const BODY_BYTES_MAX: u64 = 64 << 20;
/// Different sizes kept ready.
const REPLIES_MAX: usize = 16;
/// A head longer than this is a fault in the proxy.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// More than a proxy keeps in any scenario; a bound on memory.
const CONNECTIONS_MAX: usize = 16_384;
/// So that a flood of connections does not starve those that are open.
const ACCEPTS_PER_TURN: usize = 64;
/// The standard library's queue of 128 drops the first packet of a burst, and a client comes back
/// only after a second. Listening again is how a longer one is asked for.
pub(crate) const BACKLOG: i32 = 4096;
/// Replies handed to the kernel at once when requests were pipelined.
const IO_SLICES: usize = 16;
