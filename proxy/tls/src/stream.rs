//! Sockets, plain or TLS: everything that waits.

use std::{
    io,
    ops::Range,
    os::fd::{AsRawFd, RawFd},
    sync::Arc,
};

use gnomon_sys::{duplex::Duplex, socket};
use monoio::{
    BufResult,
    buf::{IoBuf, IoBufMut, SliceMut},
    io::CancelHandle,
};
use rustls::{
    ClientConfig, ServerConfig,
    client::UnbufferedClientConnection,
    pki_types::{CertificateDer, ServerName},
};

use crate::{
    handshake::{Handshake, Refusal, Server, Side, Step},
    outbox::Outbox,
    record::RECORD,
    session::{Details, Session},
};

/// Room for what one read of a handshake brings.
const FLIGHT: usize = 4 * 1024;

/// A connected socket, and the session on it if there is one.
pub struct Stream {
    duplex: Duplex,
    session: Option<Box<Session>>,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let details = self.details();
        f.debug_struct("Stream").field("duplex", &self.duplex).field("tls", &details).finish()
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.duplex.as_raw_fd()
    }
}

impl Stream {
    /// A stream without TLS: what is read and written is what goes over the wire.
    #[must_use]
    pub const fn plain(duplex: Duplex) -> Self {
        Self { duplex, session: None }
    }

    /// Shakes hands as a server. Gives the client's certificate, if it was asked for one. Bounded by
    /// nothing: whoever calls shuts the socket down when it has taken long enough.
    ///
    /// # Errors
    /// Why there is no session; the stream is good for nothing then.
    pub async fn accept(
        &mut self,
        config: Arc<ServerConfig>,
    ) -> Result<Option<CertificateDer<'static>>, Refusal> {
        let side = Server::new(config).map_err(|error| Refusal::of(&error))?;
        let shaken = self.shake(Handshake::new(side)).await?;
        let (session, certificate) = shaken.finish()?;
        self.session = Some(Box::new(session));
        Ok(certificate)
    }

    /// Shakes hands as a client, with a server whose certificate must be for `name`. Its last words
    /// go out with the first write. Bounded by nothing, as [`accept`](Self::accept).
    ///
    /// # Errors
    /// Why there is no session; the stream is good for nothing then.
    pub async fn connect(
        &mut self,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Option<CertificateDer<'static>>, Refusal> {
        let side =
            UnbufferedClientConnection::new(config, name).map_err(|error| Refusal::of(&error))?;
        let shaken = self.shake(Handshake::new(side)).await?;
        let (session, certificate) = shaken.finish()?;
        self.session = Some(Box::new(session));
        Ok(certificate)
    }

    async fn shake<S: Side>(&self, mut handshake: Handshake<S>) -> Result<Handshake<S>, Refusal> {
        let gone = |error: io::Error| Refusal::gone(&error);
        loop {
            let step = handshake.go_on();
            let is_last = matches!(step, Ok(Step::Done)) && S::FLUSHES_LAST;
            if !matches!(step, Ok(Step::Done)) || is_last {
                let flight = std::mem::take(&mut handshake.output);
                let (sent, mut flight) = self.send_raw(flight).await;
                flight.clear();
                handshake.output = flight;
                if step.is_ok() {
                    sent.map_err(gone)?;
                }
            }
            match step? {
                Step::Done => {
                    if is_last {
                        handshake.output = Vec::new();
                    }
                    return Ok(handshake);
                }
                Step::Read => {}
            }
            let mut input = std::mem::take(&mut handshake.input);
            input.reserve(FLIGHT);
            let from = input.len();
            let to = input.capacity();
            let (read, input) = self.duplex.read(input.slice_mut(from..to)).await;
            handshake.input = input.into_inner();
            if read.map_err(gone)? == 0 {
                return Err(gone(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    async fn send_raw(&self, bytes: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        let end = bytes.len();
        send(&self.duplex, bytes, 0..end, || {}).await
    }

    /// What was agreed on; `None` without TLS.
    #[must_use]
    pub fn details(&self) -> Option<&Details> {
        self.session.as_deref().map(|session| &session.details)
    }

    /// Whether there is a session.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.session.is_some()
    }

    /// Reads once into `bytes` at `range`, which begins where the vector ends; what comes is its new
    /// end. `Ok(0)` is the end of input, and a TLS session that ends without saying so an error.
    pub async fn read(&self, bytes: Vec<u8>, range: Range<usize>) -> (io::Result<usize>, Vec<u8>) {
        match &self.session {
            None => unsliced(self.duplex.read(bytes.slice_mut(range)).await),
            Some(session) => {
                self.open(session, bytes, range, async |slice| self.duplex.read(slice).await).await
            }
        }
    }

    /// As [`read`](Self::read), but ends early once `handle` is cancelled, having lost nothing. Must
    /// be awaited all the same: it may have read.
    pub async fn read_until(
        &self,
        bytes: Vec<u8>,
        range: Range<usize>,
        handle: CancelHandle,
    ) -> (io::Result<usize>, Vec<u8>) {
        match &self.session {
            None => unsliced(self.duplex.read_until(bytes.slice_mut(range), handle).await),
            Some(session) => {
                let read = async |slice| self.duplex.read_until(slice, handle.clone()).await;
                self.open(session, bytes, range, read).await
            }
        }
    }

    /// Reads and opens records until there is plaintext or an end.
    async fn open(
        &self,
        session: &Session,
        mut bytes: Vec<u8>,
        range: Range<usize>,
        read: impl AsyncFn(Raw) -> BufResult<usize, Raw>,
    ) -> (io::Result<usize>, Vec<u8>) {
        let most = range.end.saturating_sub(range.start);
        loop {
            if let Some(taken) = session.take(&mut bytes, most) {
                return (taken, bytes);
            }
            let result = if most >= RECORD {
                // Opened where it is read to; what is not yet a whole record is kept aside.
                let held = session.copy_sealed(&mut bytes);
                let from = range.start + held;
                let (result, raw) = read(bytes.slice_mut(from..range.end)).await;
                bytes = raw.into_inner();
                match result {
                    Ok(count) if count > 0 => {
                        let plain = session.digest_at(&mut bytes, range.start);
                        self.last_words(session);
                        if plain > 0 {
                            return (Ok(plain), bytes);
                        }
                        Ok(count)
                    }
                    other => {
                        bytes.truncate(range.start);
                        other
                    }
                }
            } else {
                let mut sealed = session.take_sealed();
                sealed.reserve(RECORD.saturating_sub(sealed.len()).max(1));
                let (from, to) = (sealed.len(), sealed.capacity());
                let (result, raw) = read(sealed.slice_mut(from..to)).await;
                session.settle(raw.into_inner());
                self.last_words(session);
                result
            };
            match result {
                Ok(0) => session.cut(),
                Ok(_) => {}
                Err(error) => return (Err(error), bytes),
            }
        }
    }

    /// Says what was wrong, unless somebody is writing, who then does.
    fn last_words(&self, session: &Session) {
        if session.has_last_words() && !session.is_sending.get() {
            let words = session.take_pending();
            // The connection is over: no more can be done.
            let _ = socket::send_now(self.as_raw_fd(), &words);
        }
    }

    /// Writes `range` of `bytes`, all of it. `before` is called before each send, of which there may
    /// be many if the other side is slow.
    pub async fn write<B: IoBuf + AsRef<[u8]>>(
        &self,
        bytes: B,
        range: Range<usize>,
        before: impl Fn(),
    ) -> (io::Result<()>, B) {
        match &self.session {
            None => send(&self.duplex, bytes, range, before).await,
            Some(session) => {
                let plain = bytes.as_ref().get(range).unwrap_or_default();
                let sent = self.seal(session, plain, before).await;
                (sent, bytes)
            }
        }
    }

    /// Writes all of `plain`, which is copied as it is sealed: it may be of any kind.
    async fn seal(&self, session: &Session, mut plain: &[u8], before: impl Fn()) -> io::Result<()> {
        while !plain.is_empty() {
            let mut out = Outbox::rent(session.wanted(plain.len()));
            let sealed = session.seal(plain, &mut out);
            let result = match sealed {
                Some(_) => self.send_out(session, &mut out, &before).await,
                None => Err(io::ErrorKind::BrokenPipe.into()),
            };
            out.give_back();
            result?;
            plain = plain.get(sealed.unwrap_or_default()..).unwrap_or_default();
        }
        if session.has_last_words() {
            return self.flush(session, &before).await;
        }
        Ok(())
    }

    async fn send_out(
        &self,
        session: &Session,
        out: &mut Outbox,
        before: impl Fn(),
    ) -> io::Result<()> {
        session.is_sending.set(true);
        let range = out.range();
        let (result, back) =
            send(&self.duplex, std::mem::take(&mut out.bytes), range, before).await;
        session.is_sending.set(false);
        out.bytes = back;
        result
    }

    /// Sends what waits to be sent.
    async fn flush(&self, session: &Session, before: impl Fn()) -> io::Result<()> {
        let words = session.take_pending();
        let end = words.len();
        session.is_sending.set(true);
        let (result, _) = send(&self.duplex, words, 0..end, before).await;
        session.is_sending.set(false);
        result
    }

    /// Says that nothing more will be written. The other side may go on.
    pub async fn close(&self) {
        if let Some(session) = &self.session {
            session.close();
            // Whoever is gone need not be told.
            let _ = self.flush(session, || {}).await;
        }
        socket::shut_write(self.as_raw_fd());
    }

    /// Waits until a read would not block, or a part of a record has come. May be dropped at will.
    ///
    /// # Errors
    /// What polling the descriptor may fail with.
    pub async fn readable(&self) -> io::Result<()> {
        match &self.session {
            Some(session) if session.has_plain() => Ok(()),
            _ => self.duplex.readable().await,
        }
    }

    #[cfg(test)]
    pub(crate) fn session_for_tests(&self) -> &Session {
        self.session.as_deref().unwrap()
    }

    #[cfg(test)]
    pub(crate) const fn duplex_for_tests(&self) -> &Duplex {
        &self.duplex
    }

    /// Whether a record has begun to come and not yet ended.
    #[must_use]
    pub fn is_midway(&self) -> bool {
        self.session.as_deref().is_some_and(Session::is_midway)
    }

    /// Whether nothing has come that somebody should read, and no end: looks without waiting, while
    /// nobody reads.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let Some(session) = &self.session else {
            return socket::peek(self.as_raw_fd()) == socket::Waiting::Nothing;
        };
        // What a server says by itself, a ticket above all, is no answer.
        loop {
            if session.has_plain() {
                return false;
            }
            let mut sealed = session.take_sealed();
            let from = sealed.len();
            sealed.resize(from + RECORD, 0);
            let read = socket::take(self.as_raw_fd(), sealed.get_mut(from..).unwrap_or_default());
            sealed.truncate(from + read.as_ref().copied().unwrap_or_default());
            session.settle(sealed);
            self.last_words(session);
            match read {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }
}

type Raw = SliceMut<Vec<u8>>;

fn unsliced((result, slice): BufResult<usize, Raw>) -> (io::Result<usize>, Vec<u8>) {
    (result, slice.into_inner())
}

/// Writes `range` of `bytes` to the socket, all of it.
async fn send<B: IoBuf>(
    duplex: &Duplex,
    mut bytes: B,
    range: Range<usize>,
    before: impl Fn(),
) -> (io::Result<()>, B) {
    let mut from = range.start;
    while from < range.end {
        before();
        let (result, slice) = duplex.write(bytes.slice(from..range.end)).await;
        bytes = slice.into_inner();
        match result {
            Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), bytes),
            Ok(count) => from += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (Err(error), bytes),
        }
    }
    (Ok(()), bytes)
}
