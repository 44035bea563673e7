//! A client that sends bytes as told and reads what comes back.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::ClientConfig;

use crate::{
    PATIENCE,
    eventually::eventually,
    reading::{Inbox, Reply},
    secure::Secure,
};

/// Where a proxy listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Door {
    /// Over TCP.
    Tcp(SocketAddr),
    /// At a path.
    Unix(PathBuf),
}

/// A connection to the proxy.
#[derive(Debug)]
pub struct Client {
    stream: Stream,
    inbox: Inbox,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Secure),
}

impl Read for Stream {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(room),
            Self::Unix(stream) => stream.read(room),
            Self::Tls(stream) => stream.read(room),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Self::Tls(stream) = self {
            return stream.flush();
        }
        Ok(())
    }
}

#[expect(clippy::missing_panics_doc, reason = "a client that gets no answer is a failed test")]
impl Client {
    /// Connects over TCP.
    #[track_caller]
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect_timeout(&address, PATIENCE).expect("somebody listens"))
    }

    /// A connection that was made elsewhere.
    #[must_use]
    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("it is not zero");
        stream.set_write_timeout(Some(PATIENCE)).expect("it is not zero");
        stream.set_nodelay(true).expect("it is TCP");
        Self { stream: Stream::Tcp(stream), inbox: Inbox::default() }
    }

    /// Connects over TCP and shakes hands with whoever must be `name`.
    ///
    /// # Errors
    /// Why there is no session.
    pub fn connect_tls(
        address: SocketAddr,
        config: &Arc<ClientConfig>,
        name: &str,
    ) -> io::Result<Self> {
        let Self { stream, inbox } = Self::connect(address);
        let Stream::Tcp(stream) = stream else { return Err(ErrorKind::Unsupported.into()) };
        Ok(Self { stream: Stream::Tls(Secure::connect(stream, config, name)?), inbox })
    }

    /// The session, if it speaks TLS.
    pub const fn session(&mut self) -> Option<&mut Secure> {
        match &mut self.stream {
            Stream::Tls(session) => Some(session),
            Stream::Tcp(_) | Stream::Unix(_) => None,
        }
    }

    /// Connects to a unix socket.
    #[track_caller]
    #[must_use]
    pub fn connect_unix(path: &Path) -> Self {
        let stream = UnixStream::connect(path).expect("somebody listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("it is not zero");
        stream.set_write_timeout(Some(PATIENCE)).expect("it is not zero");
        Self { stream: Stream::Unix(stream), inbox: Inbox::default() }
    }

    /// Connects as a client that gives up if nobody listens.
    ///
    /// # Errors
    /// What the socket says.
    pub fn try_connect(door: &Door) -> io::Result<Self> {
        let stream = match door {
            Door::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, PATIENCE)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_nodelay(true)?;
                Stream::Tcp(stream)
            }
            Door::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Stream::Unix(stream)
            }
        };
        Ok(Self { stream, inbox: Inbox::default() })
    }

    /// Our own address.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.stream {
            Stream::Tcp(stream) => stream.local_addr().ok(),
            Stream::Tls(stream) => stream.socket().local_addr().ok(),
            Stream::Unix(_) => None,
        }
    }

    /// Sends bytes.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).expect("the proxy takes what is sent");
        self
    }

    /// Sends bytes if anybody takes them; whether all went out.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Sends up to `count` bytes, as long as somebody takes them and there is no answer to read
    /// yet; how many went out.
    pub fn keep_sending(&mut self, count: usize) -> usize {
        let piece = vec![b'x'; 16 * 1024];
        let mut sent = 0;
        while sent < count && !self.has_bytes() {
            let end = piece.len().min(count - sent);
            match self.stream.write(&piece[..end]) {
                Ok(more) => sent += more,
                Err(_) => break,
            }
        }
        sent
    }

    fn has_bytes(&self) -> bool {
        let stream = match &self.stream {
            Stream::Tcp(stream) => stream,
            Stream::Tls(stream) => stream.socket(),
            Stream::Unix(_) => return false,
        };
        stream.set_nonblocking(true).expect("it is a socket");
        let peeked = stream.peek(&mut [0]);
        stream.set_nonblocking(false).expect("it is a socket");
        !matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Whether bytes, or the end, have come.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        !self.inbox.bytes.is_empty() || self.has_bytes()
    }

    /// Waits for bytes, or the end.
    #[track_caller]
    pub fn await_answer(&self) {
        eventually("something comes back", || self.is_answered());
    }

    /// The next head, which must begin with `start`.
    #[track_caller]
    pub fn expect_head(&mut self, start: &str) -> String {
        let head = self.inbox.head(&mut self.stream).expect("a head comes in time");
        let head = head.unwrap_or_default();
        assert!(head.starts_with(start), "expected {start:?}, got {head:?}");
        head
    }

    /// The next reply to a request other than HEAD.
    #[track_caller]
    pub fn read_reply(&mut self) -> Reply {
        self.read_reply_to("GET")
    }

    /// The next reply to a request with this method; an empty one if the connection has ended.
    #[track_caller]
    pub fn read_reply_to(&mut self, method: &str) -> Reply {
        self.try_read_reply_to(method).expect("a reply comes in time")
    }

    /// The same, with the reason if there is none.
    ///
    /// # Errors
    /// What the socket says.
    pub fn try_read_reply_to(&mut self, method: &str) -> io::Result<Reply> {
        match self.inbox.head(&mut self.stream)? {
            Some(head) => self.inbox.reply(&mut self.stream, head, method),
            None => Ok(Reply::default()),
        }
    }

    /// Sends a request and reads its reply.
    #[track_caller]
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Reply {
        let method = request.as_ref().starts_with(b"HEAD");
        self.send(request).read_reply_to(if method { "HEAD" } else { "GET" })
    }

    /// Waits for some bytes and keeps them; how many came, 0 at the end.
    ///
    /// # Errors
    /// What the socket says.
    pub fn read_some(&mut self) -> io::Result<usize> {
        self.inbox.fill(&mut self.stream)
    }

    /// Exactly so many bytes, whatever they are.
    #[track_caller]
    pub fn read_bytes(&mut self, count: usize) -> Vec<u8> {
        while self.inbox.bytes.len() < count {
            let came = self.inbox.fill(&mut self.stream).expect("bytes come in time");
            assert!(came > 0, "the end came first");
        }
        self.inbox.bytes.drain(..count).collect()
    }

    /// Everything to the end of the connection, however it ends.
    pub fn read_rest(&mut self) -> Vec<u8> {
        while matches!(self.inbox.fill(&mut self.stream), Ok(count) if count > 0) {}
        std::mem::take(&mut self.inbox.bytes)
    }

    /// Whether the proxy closes without sending anything more.
    #[track_caller]
    pub fn is_closed(&mut self) -> bool {
        if !self.inbox.bytes.is_empty() {
            return false;
        }
        match self.inbox.fill(&mut self.stream) {
            Ok(count) => count == 0,
            Err(error) => {
                assert!(
                    !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
                    "the connection stays open"
                );
                true
            }
        }
    }

    /// Says that nothing more will be sent.
    pub fn half_close(&mut self) -> &mut Self {
        let shut = match &mut self.stream {
            Stream::Tls(stream) => stream.half_close(),
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
        shut.expect("it is connected");
        self
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        if let Stream::Tcp(stream) = self.stream {
            crate::origin::reset(stream);
        }
    }
}
