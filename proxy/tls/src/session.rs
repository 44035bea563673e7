//! A session after its handshake: what may come when, and what is to be sent.

use std::{
    cell::{Cell, RefCell},
    io,
    ops::Range,
};

use rustls::{
    ConnectionTrafficSecrets, Error, ExtractedSecrets, ProtocolVersion,
    client::ClientConnectionData, kernel::KernelConnection, server::ServerConnectionData,
};

use crate::{
    outbox::Outbox,
    record::{self, ALERT, DATA, FRAGMENT, Fault, HANDSHAKE, Key, OVERHEAD},
};

/// Records in a row that carry no data: more are an attempt to keep us busy.
const EMPTY_MAX: u8 = 32;

/// The longest message of a kind, for which room is made before it is known to be one. Only a
/// server, which we have chosen, may say something long: a ticket with the longest extensions fits.
const fn longest(message: u8) -> usize {
    match message {
        NEW_SESSION_TICKET => 1 << 17,
        KEY_UPDATE => 1,
        _ => 0,
    }
}

const HELLO_REQUEST: u8 = 0;
const CLIENT_HELLO: u8 = 1;
const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;

const CLOSE_NOTIFY: u8 = 0;
const USER_CANCELED: u8 = 90;

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// What a handshake came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// The version spoken.
    pub version: Version,
    /// The cipher suite, by its registered name.
    pub suite: &'static str,
    /// Whether an earlier session was resumed.
    pub is_resumed: bool,
    /// The protocol agreed on, such as `http/1.1`; none without ALPN.
    pub protocol: Option<Box<[u8]>>,
    /// The name that the client asked for.
    pub name: Option<Box<str>>,
}

/// A session: its two directions, and what rustls keeps of it.
pub(crate) struct Session {
    reading: RefCell<Reading>,
    writing: RefCell<Writing>,
    kept: RefCell<Kept>,
    /// Whether a send is under way.
    pub(crate) is_sending: Cell<bool>,
    pub(crate) details: Details,
}

/// What rustls keeps: the secrets that keys are renewed from, and what can be resumed.
pub(crate) enum Kept {
    Server(KernelConnection<ServerConnectionData>),
    Client(KernelConnection<ClientConnectionData>),
}

struct Reading {
    key: Key,
    /// Sealed, and not yet a whole record.
    sealed: Vec<u8>,
    /// Opened, but more than was asked for, from an index on.
    plain: Vec<u8>,
    taken: usize,
    /// The beginning of a message of the handshake protocol.
    message: Vec<u8>,
    /// Records in a row without data.
    empty: u8,
    end: Option<End>,
}

/// Why nothing more can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The other side said so.
    Closed,
    /// The connection ended, but not the session: what came may be only a part.
    Cut,
    /// The other side found something wrong.
    Refused,
    /// We did.
    Broken,
}

struct Writing {
    key: Key,
    /// Sealed, and to be sent before anything else.
    pending: Vec<u8>,
    /// Whether a key update is among that.
    has_update: bool,
    /// Whether our last record has been sealed.
    is_closed: bool,
}

/// What became of bytes that were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digest {
    /// So many bytes of plaintext lie at their beginning now.
    pub(crate) plain: usize,
    /// So many have been used; those behind are the beginning of a record.
    pub(crate) used: usize,
}

impl Session {
    /// A session whose handshake has ended; `flight` is what of it has yet to be sent, `sealed` what
    /// came behind it.
    pub(crate) fn new(
        (secrets, kept): (ExtractedSecrets, Kept),
        details: Details,
        flight: Vec<u8>,
        sealed: Vec<u8>,
    ) -> Option<Self> {
        let key = |(sequence, secrets): &(u64, ConnectionTrafficSecrets)| {
            Key::new(kept.version(), *sequence, secrets)
        };
        let (reading, writing) = (key(&secrets.rx)?, key(&secrets.tx)?);
        let session = Self {
            reading: RefCell::new(Reading {
                key: reading,
                sealed: Vec::new(),
                plain: Vec::new(),
                taken: 0,
                message: Vec::new(),
                empty: 0,
                end: None,
            }),
            writing: RefCell::new(Writing {
                key: writing,
                pending: flight,
                has_update: false,
                is_closed: false,
            }),
            kept: RefCell::new(kept),
            is_sending: Cell::new(false),
            details,
        };
        session.settle(sealed);
        Some(session)
    }

    /// Moves plaintext that was opened before to the end of `bytes`, at most `most` bytes, or says
    /// how the session ended; `None` if something must be read first.
    pub(crate) fn take(&self, bytes: &mut Vec<u8>, most: usize) -> Option<io::Result<usize>> {
        let reading = &mut *self.reading.borrow_mut();
        let held = reading.plain.get(reading.taken..).unwrap_or_default();
        if !held.is_empty() {
            let count = held.len().min(most);
            bytes.extend_from_slice(held.get(..count).unwrap_or_default());
            reading.taken += count;
            if reading.taken == reading.plain.len() {
                (reading.plain, reading.taken) = (Vec::new(), 0);
            }
            return Some(Ok(count));
        }
        Some(match reading.end? {
            End::Closed => Ok(0),
            End::Cut => Err(io::ErrorKind::UnexpectedEof.into()),
            End::Refused => Err(io::ErrorKind::ConnectionAborted.into()),
            End::Broken => Err(io::ErrorKind::InvalidData.into()),
        })
    }

    /// Whether there is something to take.
    pub(crate) fn has_plain(&self) -> bool {
        let reading = self.reading.borrow();
        reading.taken < reading.plain.len() || reading.end.is_some()
    }

    /// Whether a record has begun to come.
    pub(crate) fn is_midway(&self) -> bool {
        !self.reading.borrow().sealed.is_empty()
    }

    /// The beginning of a record that came before; to be given back with what follows it.
    pub(crate) fn take_sealed(&self) -> Vec<u8> {
        std::mem::take(&mut self.reading.borrow_mut().sealed)
    }

    /// Appends the beginning of a record that came before.
    pub(crate) fn copy_sealed(&self, bytes: &mut Vec<u8>) -> usize {
        let sealed = &self.reading.borrow().sealed;
        bytes.extend_from_slice(sealed);
        sealed.len()
    }

    /// Opens what was read into `bytes` behind `from`, the beginning given by
    /// [`copy_sealed`](Self::copy_sealed) included: the plaintext stays there; how much that is.
    pub(crate) fn digest_at(&self, bytes: &mut Vec<u8>, from: usize) -> usize {
        let done = self.digest(bytes.get_mut(from..).unwrap_or_default());
        let rest = bytes.get(from + done.used..).unwrap_or_default();
        let sealed = &mut self.reading.borrow_mut().sealed;
        if rest.is_empty() {
            *sealed = Vec::new();
        } else {
            sealed.clear();
            sealed.extend_from_slice(rest);
        }
        bytes.truncate(from + done.plain);
        done.plain
    }

    /// Opens `sealed`, and keeps all that comes of it.
    pub(crate) fn settle(&self, mut sealed: Vec<u8>) {
        let done = self.digest(&mut sealed);
        let reading = &mut *self.reading.borrow_mut();
        reading.plain.extend_from_slice(sealed.get(..done.plain).unwrap_or_default());
        sealed.drain(..done.used);
        reading.sealed = if sealed.is_empty() { Vec::new() } else { sealed };
    }

    /// The connection has ended.
    pub(crate) fn cut(&self) {
        self.reading.borrow_mut().end.get_or_insert(End::Cut);
    }

    /// Opens all whole records, where they lie.
    fn digest(&self, raw: &mut [u8]) -> Digest {
        let reading = &mut *self.reading.borrow_mut();
        let mut done = Digest::default();
        while reading.end.is_none() {
            let rest = raw.get_mut(done.used..).unwrap_or_default();
            let step = match record::length(rest) {
                Ok(Some(length)) => match rest.get_mut(..length) {
                    Some(record) => self.open(reading, record).map(|data| (data, length)),
                    None => break,
                },
                Ok(None) => break,
                Err(fault) => Err(fault),
            };
            match step {
                Ok((data, length)) => {
                    let (from, to) = (done.used + data.start, done.used + data.end);
                    raw.copy_within(from..to, done.plain);
                    done.plain += to - from;
                    done.used += length;
                }
                Err(fault) => self.fail(reading, fault),
            }
        }
        if reading.end.is_some() {
            done.used = raw.len();
        }
        done
    }

    /// Opens one record; where its data lie, if it has any.
    fn open(&self, reading: &mut Reading, record: &mut [u8]) -> Result<Range<usize>, Fault> {
        let opened = reading.key.open(record)?;
        let content = record.get(opened.from..opened.to).unwrap_or_default();
        if opened.kind == DATA && !content.is_empty() && reading.message.is_empty() {
            reading.empty = 0;
            return Ok(opened.from..opened.to);
        }
        reading.empty += 1;
        if reading.empty > EMPTY_MAX {
            return Err(Fault::UnexpectedMessage);
        }
        match opened.kind {
            HANDSHAKE => self.hear(reading, content)?,
            _ if !reading.message.is_empty() => return Err(Fault::UnexpectedMessage),
            DATA => {}
            ALERT => reading.end = self.alerted(content)?,
            _ => return Err(Fault::UnexpectedMessage),
        }
        Ok(0..0)
    }

    fn alerted(&self, content: &[u8]) -> Result<Option<End>, Fault> {
        let &[level, what] = content else { return Err(Fault::Decode) };
        let is_harmless =
            what == USER_CANCELED || (level == 1 && self.details.version == Version::Tls12);
        Ok(match what {
            CLOSE_NOTIFY => Some(End::Closed),
            _ if is_harmless => None,
            _ => {
                self.writing.borrow_mut().is_closed = true;
                Some(End::Refused)
            }
        })
    }

    /// Messages of the handshake protocol, which may be cut anywhere.
    fn hear(&self, reading: &mut Reading, content: &[u8]) -> Result<(), Fault> {
        if content.is_empty() {
            return Err(Fault::UnexpectedMessage);
        }
        reading.message.extend_from_slice(content);
        while let &[kind, ref rest @ ..] = reading.message.as_slice() {
            self.may_say(kind)?;
            let &[high, middle, low, ref rest @ ..] = rest else { break };
            let length = u32::from_be_bytes([0, high, middle, low]) as usize;
            if length > longest(kind) {
                return Err(Fault::Decode);
            }
            let Some((body, behind)) = rest.split_at_checked(length) else { break };
            match kind {
                NEW_SESSION_TICKET => self.kept.borrow_mut().remember(body)?,
                KEY_UPDATE => {
                    // What follows would have been sealed with the new key.
                    let (&[wanted @ (0 | 1)], true) = (body, behind.is_empty()) else {
                        return Err(Fault::Decode);
                    };
                    reading.key = self.kept.borrow_mut().next_key(Direction::In)?;
                    if wanted == 1 {
                        self.writing.borrow_mut().answer_update(&mut self.kept.borrow_mut())?;
                    }
                }
                // A request to shake hands again may be ignored.
                _ => {}
            }
            reading.message.drain(..4 + length);
        }
        if reading.message.is_empty() {
            reading.message = Vec::new();
        }
        Ok(())
    }

    fn may_say(&self, message: u8) -> Result<(), Fault> {
        let is_client = matches!(*self.kept.borrow(), Kept::Client(_));
        match (message, self.details.version, is_client) {
            (NEW_SESSION_TICKET, Version::Tls13, true)
            | (KEY_UPDATE, Version::Tls13, _)
            | (HELLO_REQUEST, Version::Tls12, true) => Ok(()),
            (CLIENT_HELLO, Version::Tls12, false) => Err(Fault::NoRenegotiation),
            _ => Err(Fault::UnexpectedMessage),
        }
    }

    /// Something was wrong: the session is over, and the other side is to be told why.
    fn fail(&self, reading: &mut Reading, fault: Fault) {
        reading.end = Some(End::Broken);
        let mut writing = self.writing.borrow_mut();
        if !writing.is_closed {
            writing.push(ALERT, &[2, fault as u8]);
            writing.is_closed = true;
        }
    }

    /// Whether something of ours waits that nobody will write anything behind.
    pub(crate) fn has_last_words(&self) -> bool {
        let writing = self.writing.borrow();
        writing.is_closed && !writing.pending.is_empty()
    }

    /// What is to be sent before anything else.
    pub(crate) fn take_pending(&self) -> Vec<u8> {
        let mut writing = self.writing.borrow_mut();
        writing.has_update = false;
        std::mem::take(&mut writing.pending)
    }

    /// Room that sealing `content` bytes takes, with what waits to be sent before.
    pub(crate) fn wanted(&self, content: usize) -> usize {
        let records = content.div_ceil(FRAGMENT).max(1);
        self.writing.borrow().pending.len() + content + records * OVERHEAD
    }

    /// Seals as much of `content` as fits into `out`, behind what had to be sent before; how much
    /// that is. `None` if nothing may be sent any more.
    pub(crate) fn seal(&self, content: &[u8], out: &mut Outbox) -> Option<usize> {
        let writing = &mut *self.writing.borrow_mut();
        writing.flush_into(out);
        if writing.is_closed {
            return (!out.range().is_empty()).then_some(0);
        }
        let mut sealed = 0;
        while sealed < content.len() && writing.pending.is_empty() {
            if writing.key.is_worn() {
                let renewed = writing.renew(&mut self.kept.borrow_mut());
                if renewed.is_err() {
                    writing.is_closed = true;
                    return None;
                }
                writing.flush_into(out);
                continue;
            }
            let room = out.room();
            let fits = room.len().saturating_sub(OVERHEAD).min(FRAGMENT);
            let piece = content.get(sealed..).unwrap_or_default();
            let piece = piece.get(..fits).unwrap_or(piece);
            if piece.is_empty() {
                break;
            }
            let length = writing.key.seal(DATA, piece, room)?;
            out.filled(length);
            sealed += piece.len();
        }
        Some(sealed)
    }

    /// Our last record says that nothing follows.
    pub(crate) fn close(&self) {
        let mut writing = self.writing.borrow_mut();
        if !writing.is_closed {
            writing.push(ALERT, &[1, CLOSE_NOTIFY]);
            writing.is_closed = true;
        }
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn wear_out(&self) {
        self.writing.borrow_mut().key.wear();
    }

    #[cfg(test)]
    pub(crate) fn push(&self, kind: u8, content: &[u8]) {
        self.writing.borrow_mut().push(kind, content);
    }
}

impl Writing {
    /// Seals a short record for later.
    fn push(&mut self, kind: u8, content: &[u8]) {
        let from = self.pending.len();
        self.pending.resize(from + self.key.sealed_length(content.len()), 0);
        let room = self.pending.get_mut(from..).unwrap_or_default();
        if self.key.seal(kind, content, room).is_none() {
            self.pending.truncate(from);
            self.is_closed = true;
        }
    }

    /// As much as fits of what waits.
    fn flush_into(&mut self, out: &mut Outbox) {
        let room = out.room();
        let count = self.pending.len().min(room.len());
        for (to, from) in room.iter_mut().zip(self.pending.drain(..count)) {
            *to = from;
        }
        out.filled(count);
        if self.pending.is_empty() {
            (self.pending, self.has_update) = (Vec::new(), false);
        }
    }

    /// The other side wants a new key of us; one answer serves all who ask before it is sent.
    fn answer_update(&mut self, kept: &mut Kept) -> Result<(), Fault> {
        if self.has_update || self.is_closed {
            return Ok(());
        }
        self.renew(kept)
    }

    fn renew(&mut self, kept: &mut Kept) -> Result<(), Fault> {
        if matches!(kept.version(), ProtocolVersion::TLSv1_2) {
            return Err(Fault::Internal);
        }
        self.push(HANDSHAKE, &[KEY_UPDATE, 0, 0, 1, 0]);
        self.key = kept.next_key(Direction::Out)?;
        self.has_update = true;
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Direction {
    In,
    Out,
}

impl Kept {
    pub(crate) fn version(&self) -> ProtocolVersion {
        match self {
            Self::Server(kept) => kept.protocol_version(),
            Self::Client(kept) => kept.protocol_version(),
        }
    }

    fn next_key(&mut self, direction: Direction) -> Result<Key, Fault> {
        let updated: Result<_, Error> = match (self, direction) {
            (Self::Server(kept), Direction::In) => kept.update_rx_secret(),
            (Self::Server(kept), Direction::Out) => kept.update_tx_secret(),
            (Self::Client(kept), Direction::In) => kept.update_rx_secret(),
            (Self::Client(kept), Direction::Out) => kept.update_tx_secret(),
        };
        let (sequence, secrets) = updated.map_err(|_| Fault::Internal)?;
        Key::new(ProtocolVersion::TLSv1_3, sequence, &secrets).ok_or(Fault::Internal)
    }

    fn remember(&mut self, ticket: &[u8]) -> Result<(), Fault> {
        match self {
            Self::Client(kept) => kept.handle_new_session_ticket(ticket).map_err(|_| Fault::Decode),
            Self::Server(_) => Err(Fault::UnexpectedMessage),
        }
    }
}
