//! What a process leaves to the one that takes its place, and the line over which it gets there.
//!
//! The line is one end of a socket pair that the new process is started with. Every frame has its
//! length before it and is JSON; sockets travel beside frames that name them. Both sides know what
//! they may hear next, and anything else ends the matter. Whatever is missing in what a process of
//! another version leaves has its default; what it has that we do not know is passed over.

pub(crate) mod left;

use std::{
    collections::VecDeque,
    io::{self, Write},
    net::SocketAddr,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use gnomon_sys::passing::{self, FDS_MAX};
use serde::{Deserialize, Serialize};

use self::left::{Left, News};
use crate::{clock, control::api::Refused};

/// The version of all this. Other versions are refused by whoever is asked.
pub(crate) const PROTOCOL: u32 = 1;

/// The variable that tells a process whose heir it is: its parent's number.
pub(crate) const VARIABLE: &str = "GNOMON_UPGRADE";

/// What is said over the line, in this order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Frame {
    /// The new process has read its configuration and asks.
    Hello {
        /// What it speaks.
        protocol: u32,
        /// Its own version.
        version: String,
        /// Its number.
        pid: u32,
    },
    /// As many sockets as there are tags come with this.
    Sockets(Vec<Tag>),
    /// That was all, and this is what is known.
    Left(Box<Left>),
    /// Every core of the new process accepts.
    Serving,
    /// The new process cannot.
    Refused(Refused),
    /// From now on only the new process writes, judges and decides.
    Pen,
    /// What the old process has still done.
    News(Box<News>),
    /// It has done everything, and ends.
    Farewell {
        /// Connections that had to be cut.
        cut: u64,
    },
}

impl Frame {
    const fn name(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Sockets(_) => "sockets",
            Self::Left(_) => "left",
            Self::Serving => "serving",
            Self::Refused(_) => "refused",
            Self::Pen => "pen",
            Self::News(_) => "news",
            Self::Farewell { .. } => "farewell",
        }
    }

    /// What is said of a frame that nobody waits for.
    pub(crate) fn unexpected(&self) -> io::Error {
        let what = format!("`{}` is not what was to come", self.name());
        io::Error::new(io::ErrorKind::InvalidData, what)
    }
}

/// What a socket is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Tag {
    /// Clients connect.
    Listener {
        /// The listener's name.
        name: String,
        /// Its place among the sockets of its address; a core's, unless there are more than cores.
        place: usize,
    },
    /// The admin socket.
    Admin,
    /// `admin.listen`.
    AdminTcp,
    /// `metrics.listen`.
    Metrics,
    /// One of `flags.ofrep.listen`, as bound.
    Ofrep(SocketAddr),
}

/// One end of the line.
#[derive(Debug)]
pub(crate) struct Line {
    socket: UnixStream,
    fds: VecDeque<OwnedFd>,
}

impl Line {
    pub(crate) fn new(socket: UnixStream) -> Self {
        Self { socket, fds: VecDeque::new() }
    }

    /// Says something. Blocks, as long as `most` at a time.
    pub(crate) fn send(&mut self, frame: &Frame, most: Duration) -> io::Result<()> {
        let bytes = encode(frame)?;
        self.socket.set_write_timeout(Some(most.max(LEAST)))?;
        self.socket.write_all(&bytes)
    }

    /// Sends sockets and what each is for. Blocks, as long as `most` at a time.
    pub(crate) fn send_sockets(
        &mut self,
        sockets: &[(Tag, OwnedFd)],
        most: Duration,
    ) -> io::Result<()> {
        self.socket.set_write_timeout(Some(most.max(LEAST)))?;
        for piece in sockets.chunks(FDS_MAX) {
            let tags = piece.iter().map(|(tag, _)| tag.clone()).collect();
            let fds: Vec<BorrowedFd<'_>> = piece.iter().map(|(_, fd)| fd.as_fd()).collect();
            let bytes = encode(&Frame::Sockets(tags))?;
            let sent = passing::send(&self.socket, &bytes, &fds)?;
            self.socket.write_all(bytes.get(sent..).unwrap_or_default())?;
        }
        Ok(())
    }

    /// What the other side says next, within `most`; nothing if it has gone.
    pub(crate) fn receive(&mut self, most: Duration) -> io::Result<Option<Frame>> {
        let end = clock::now() + most;
        let mut length = [0; 4];
        if !self.fill(&mut length, end)? {
            return Ok(None);
        }
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if length > FRAME_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is too long"));
        }
        // Room is made as bytes come, whatever the length says.
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let begun = bytes.len();
            bytes.resize(length.min(begun + PIECE), 0);
            if !self.fill(&mut bytes[begun..], end)? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// The sockets that came with a frame which had these tags.
    pub(crate) fn sockets(&mut self, tags: Vec<Tag>) -> io::Result<Vec<(Tag, OwnedFd)>> {
        if self.fds.len() < tags.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a socket is missing"));
        }
        let fds: Vec<OwnedFd> = self.fds.drain(..tags.len()).collect();
        Ok(tags.into_iter().zip(fds).collect())
    }

    /// Fills `room`; `false` if the other side ended before its first byte.
    fn fill(&mut self, room: &mut [u8], end: clock::Moment) -> io::Result<bool> {
        let mut filled = 0;
        while filled < room.len() {
            let left = end.saturating_duration_since(clock::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.socket.set_read_timeout(Some(left.max(LEAST)))?;
            let mut fds = Vec::new();
            match passing::receive(&self.socket, &mut room[filled..], &mut fds) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => filled += count,
                Err(error) if is_later(&error) => {}
                Err(error) => return Err(error),
            }
            self.fds.extend(fds);
            if self.fds.len() > SOCKETS_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "too many sockets"));
            }
        }
        Ok(true)
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

fn encode(frame: &Frame) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, frame)?;
    let length = bytes.len() - 4;
    if length > FRAME_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is too long"));
    }
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    bytes[..4].copy_from_slice(&length);
    Ok(bytes)
}

/// Bytes of a frame: ten thousand routes with all their histograms, and a million requests that may
/// be told of late.
const FRAME_MAX: usize = 512 << 20;
/// Bytes for which room is made at once.
const PIECE: usize = 1 << 20;
/// Sockets that may have come and not been asked for: those of a frame, and of the next.
const SOCKETS_MAX: usize = 4 * FDS_MAX;
/// The kernel takes no timeout of 0 for one.
const LEAST: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests;
