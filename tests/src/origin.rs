//! An origin that follows a script: one thread per connection, everything received is kept.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixListener,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use rustls::ServerConfig;

use crate::{PATIENCE, eventually::eventually, reading::Inbox, secure::Secure, spawn};

/// What an origin does with a connection; the number counts connections from 0.
pub type Script = dyn Fn(&mut Call, usize) -> io::Result<()> + Send + Sync;

/// An origin that listens until it is dropped.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    connections: AtomicUsize,
    open: AtomicUsize,
    ending: AtomicBool,
    requests: Mutex<Vec<Request>>,
}

/// A request as an origin received it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Start line and fields, with the empty line.
    pub head: String,
    /// The content, without chunk framing.
    pub body: Vec<u8>,
    /// The lines behind the last chunk.
    pub trailers: String,
    /// Whether the body came to its end.
    pub whole: bool,
}

impl Request {
    /// The first value of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        crate::reading::field(&self.head, name)
    }

    /// All values of a field.
    pub fn fields(&self, name: &str) -> impl Iterator<Item = &str> {
        crate::reading::fields(&self.head, name)
    }

    /// Method, target and version.
    #[must_use]
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }
}

/// A connection that an origin serves.
#[derive(Debug)]
pub struct Call {
    stream: Stream,
    inbox: Inbox,
    shared: Arc<Shared>,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(std::os::unix::net::UnixStream),
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

#[expect(clippy::missing_panics_doc, reason = "an origin that cannot start is a failed test")]
impl Origin {
    /// Serves every connection by a script.
    pub fn start(
        script: impl Fn(&mut Call, usize) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        // Listening again only sets the length of the queue, which is 128 at first.
        socket2::SockRef::from(&listener).listen(4096).expect("it listens already");
        Self::on(listener, script)
    }

    /// The same over TLS. A connection whose script ends without [`Call::half_close`] ends without a
    /// word.
    pub fn start_tls(
        config: Arc<ServerConfig>,
        script: impl Fn(&mut Call, usize) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::start(move |call, number| {
            call.secure(&config)?;
            script(call, number)
        })
    }

    /// The same on a listener that is there already.
    pub fn on(
        listener: TcpListener,
        script: impl Fn(&mut Call, usize) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::<Shared>::default();
        let theirs = shared.clone();
        let script: Arc<Script> = Arc::new(script);
        spawn("origin", move || {
            for stream in listener.incoming() {
                if theirs.ending.load(SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { return };
                serve(Stream::Tcp(stream), &theirs, &script);
            }
        });
        Self { address, shared }
    }

    /// The same on a unix socket; its address means nothing.
    pub fn on_unix(
        path: &Path,
        script: impl Fn(&mut Call, usize) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = UnixListener::bind(path).expect("the path is free");
        let shared = Arc::<Shared>::default();
        let theirs = shared.clone();
        let script: Arc<Script> = Arc::new(script);
        spawn("origin", move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                serve(Stream::Unix(stream), &theirs, &script);
            }
        });
        Self { address: SocketAddr::from(([127, 0, 0, 1], 0)), shared }
    }

    /// Reads whole requests and answers each with the same bytes.
    pub fn replying(reply: impl Into<Vec<u8>>) -> Self {
        let reply = reply.into();
        Self::start(move |call, _| {
            while call.read_request()?.is_some() {
                call.reply(&reply)?;
            }
            Ok(())
        })
    }

    /// Answers every request with `name`, however many.
    pub fn named(name: &str) -> Self {
        Self::replying(ok(name))
    }

    /// Answers every request with its head, as received.
    pub fn mirror() -> Self {
        Self::start(|call, _| {
            while let Some(request) = call.read_request()? {
                call.reply(ok(&request.head))?;
            }
            Ok(())
        })
    }

    /// Sends the same bytes on every connection once a head has come, and closes.
    pub fn once(reply: impl Into<Vec<u8>>) -> Self {
        let reply = reply.into();
        Self::start(move |call, _| {
            call.read_head()?;
            call.reply(&reply)
        })
    }

    /// Answers pipelined requests without bodies as fast as it can, and keeps none of them.
    pub fn fast(name: &str) -> Self {
        let reply = ok(name);
        Self::start(move |call, _| {
            loop {
                let mut heads = 0;
                while let Some(end) = position(&call.inbox.bytes, b"\r\n\r\n") {
                    call.inbox.bytes.drain(..end + 4);
                    heads += 1;
                }
                if heads > 0 {
                    call.reply(reply.repeat(heads))?;
                } else if call.inbox.fill(&mut call.stream)? == 0 {
                    return Ok(());
                }
            }
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }

    /// Connections open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.shared.open.load(SeqCst)
    }

    /// Requests received so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).clone()
    }

    /// The only request received, once it is there.
    #[track_caller]
    #[must_use]
    pub fn request(&self) -> Request {
        eventually("a request reaches the origin", || !lock(&self.shared.requests).is_empty());
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:#?}");
        requests.into_iter().next().unwrap_or_default()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.ending.store(true, SeqCst);
        // Wakes the thread that accepts; it may be gone already.
        if self.address.port() != 0 {
            let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        }
    }
}

fn serve(stream: Stream, shared: &Arc<Shared>, script: &Arc<Script>) {
    let number = shared.connections.fetch_add(1, SeqCst);
    shared.open.fetch_add(1, SeqCst);
    let patience = Some(PATIENCE * 2);
    let set = match &stream {
        Stream::Tcp(stream) => stream
            .set_nodelay(true)
            .and_then(|()| stream.set_read_timeout(patience))
            .and_then(|()| stream.set_write_timeout(patience)),
        Stream::Unix(stream) => stream.set_read_timeout(patience),
        Stream::Tls(_) => Ok(()),
    };
    let (shared, script) = (shared.clone(), script.clone());
    spawn("origin-call", move || {
        let mut call = Call { stream, inbox: Inbox::default(), shared: shared.clone() };
        // A peer that goes away is an end like any other; what it means, the test knows.
        let _ = set.and_then(|()| script(&mut call, number));
        shared.open.fetch_sub(1, SeqCst);
    });
}

impl Call {
    /// Shakes hands as a server, before anything is read.
    fn secure(&mut self, config: &Arc<ServerConfig>) -> io::Result<()> {
        let Stream::Tcp(stream) = &self.stream else { return Ok(()) };
        self.stream = Stream::Tls(Secure::accept(stream.try_clone()?, config)?);
        Ok(())
    }

    /// Whether the session that carries it was resumed.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        matches!(&self.stream, Stream::Tls(session) if session.is_resumed())
    }

    /// The next head, without reading on; an error at the end.
    ///
    /// # Errors
    /// What the socket says.
    pub fn read_head(&mut self) -> io::Result<String> {
        let head = self.inbox.head(&mut self.stream)?;
        let head = head.ok_or_else(|| io::Error::from(ErrorKind::UnexpectedEof))?;
        lock(&self.shared.requests).push(Request { head: head.clone(), ..Request::default() });
        Ok(head)
    }

    /// The body behind a head that [`read_head`](Self::read_head) gave.
    ///
    /// # Errors
    /// What the socket says.
    pub fn read_body(&mut self, head: &str) -> io::Result<Request> {
        let (body, trailers, whole) = self.inbox.request_body(&mut self.stream, head)?;
        let request = Request { head: head.to_owned(), body, trailers, whole };
        let mut requests = lock(&self.shared.requests);
        if let Some(known) = requests.iter_mut().rev().find(|known| known.head == head) {
            known.clone_from(&request);
        }
        drop(requests);
        Ok(request)
    }

    /// The next whole request; `None` at the end.
    ///
    /// # Errors
    /// What the socket says.
    pub fn read_request(&mut self) -> io::Result<Option<Request>> {
        let Some(head) = self.inbox.head(&mut self.stream)? else { return Ok(None) };
        let (body, trailers, whole) = self.inbox.request_body(&mut self.stream, &head)?;
        let request = Request { head, body, trailers, whole };
        lock(&self.shared.requests).push(request.clone());
        Ok(Some(request))
    }

    /// The next whole request, which nobody will ask for: it is not kept. Whether there is one.
    ///
    /// # Errors
    /// What the socket says.
    pub fn skip_request(&mut self) -> io::Result<bool> {
        let Some(head) = self.inbox.head(&mut self.stream)? else { return Ok(false) };
        self.inbox.request_body(&mut self.stream, &head)?;
        Ok(true)
    }

    /// Exactly so many bytes, whatever they are; an error if the end comes first.
    ///
    /// # Errors
    /// What the socket says.
    pub fn read_bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.inbox.bytes.len() < count {
            if self.inbox.fill(&mut self.stream)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.inbox.bytes.drain(..count).collect())
    }

    /// The next head, which nobody will ask for; `None` at the end.
    ///
    /// # Errors
    /// What the socket says.
    pub fn next_head(&mut self) -> io::Result<Option<String>> {
        self.inbox.head(&mut self.stream)
    }

    /// The body behind a head that [`next_head`](Self::next_head) gave.
    ///
    /// # Errors
    /// What the socket says.
    pub fn body_behind(&mut self, head: &str) -> io::Result<Request> {
        let (body, trailers, whole) = self.inbox.request_body(&mut self.stream, head)?;
        Ok(Request { head: String::new(), body, trailers, whole })
    }

    /// Waits for more bytes; how many came, 0 at the end.
    ///
    /// # Errors
    /// What the socket says.
    pub fn read_more(&mut self) -> io::Result<usize> {
        self.inbox.fill(&mut self.stream)
    }

    /// Takes what has been read and not used.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.inbox.bytes)
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// What the socket says.
    pub fn reply(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends back whatever comes, until the peer has ended.
    ///
    /// # Errors
    /// What the socket says.
    pub fn echo(&mut self) -> io::Result<()> {
        loop {
            let bytes = self.take();
            self.reply(bytes)?;
            if self.read_more()? == 0 {
                return Ok(());
            }
        }
    }

    /// Reads nothing more and waits until the peer has gone away.
    pub fn never_read_again(&mut self) {
        let Stream::Tcp(stream) = &self.stream else { return };
        let gone = || {
            let error = stream.take_error().ok().flatten();
            error.is_some() || self.shared.ending.load(SeqCst) || is_reset(stream)
        };
        let end = gnomon::clock::now() + PATIENCE;
        while !gone() && gnomon::clock::now() < end {
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Waits for the peer to end, throwing away what it sends.
    pub fn drain(&mut self) {
        while matches!(self.read_more(), Ok(count) if count > 0) {
            self.inbox.bytes.clear();
        }
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    /// What the socket says.
    pub fn half_close(&mut self) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tls(stream) => stream.half_close(),
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    /// Makes the end of this connection a reset.
    pub fn reset(&mut self) {
        if let Stream::Tcp(stream) = &self.stream {
            let socket = socket2::SockRef::from(stream);
            // Fails only on a socket that is gone.
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }
}

/// Whether the peer has reset; a zero-byte write would not tell, a look at the error queue does.
fn is_reset(stream: &TcpStream) -> bool {
    let _ = stream.set_nonblocking(true);
    let mut waste = [0; 1];
    let peeked = stream.peek(&mut waste);
    let _ = stream.set_nonblocking(false);
    match peeked {
        Ok(count) => count == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// Ends a connection with a reset.
pub(crate) fn reset(stream: TcpStream) {
    let socket = socket2::SockRef::from(&stream);
    // Fails only on a socket that is gone.
    let _ = socket.set_linger(Some(Duration::ZERO));
    drop(stream);
}

/// A reply with this body.
#[must_use]
pub fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn position(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
