//! Bodies: decoded in place, framed anew in place.

use std::ops::Range;

use crate::{
    chunked::Chunks,
    framing::Framing,
    limits::BodyLimits,
    reject::{Fault, Reject, Side},
    trailers::Trailers,
};

/// What was read of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Where in the window the content lies now. May be empty.
    pub data: Range<usize>,
    /// Bytes of the window that are done with; at least up to `data.end`. The rest, if any, is an
    /// unfinished trailer section to offer again with more behind it, or behind `end` not the
    /// body's at all.
    pub consumed: usize,
    /// Whether the body ends here.
    pub end: bool,
}

/// Reads a body.
#[derive(Clone, Debug)]
pub struct BodyReader {
    side: Side,
    limits: BodyLimits,
    state: State,
    trailers: Trailers,
}

#[derive(Clone, Debug)]
enum State {
    /// So many bytes are missing.
    Length(u64),
    Chunked(Chunks),
    /// So many bytes have come.
    UntilClose(u64),
    Done,
}

impl BodyReader {
    /// Begins a body framed so.
    ///
    /// # Errors
    /// The declared length is more than the limit.
    pub fn new(side: Side, framing: Framing, limits: &BodyLimits) -> Result<Self, Reject> {
        let state = match framing {
            Framing::Length(bytes) if limits.bytes > 0 && bytes > limits.bytes => {
                return Err(Fault::BodyTooLarge.of(side));
            }
            Framing::Empty | Framing::Length(0) => State::Done,
            Framing::Length(bytes) => State::Length(bytes),
            Framing::Chunked => State::Chunked(Chunks::default()),
            Framing::UntilClose => State::UntilClose(0),
        };
        Ok(Self { side, limits: *limits, state, trailers: Trailers::default() })
    }

    /// Reads from the window what belongs to the body, in place: the content of several chunks is
    /// moved together, and bytes of `window` before `consumed` are no longer what they were.
    ///
    /// # Errors
    /// A [`Reject`] where the bytes can never become this body.
    pub fn read(&mut self, window: &mut [u8]) -> Result<Piece, Reject> {
        self.advance(window).map_err(|fault| fault.of(self.side))
    }

    fn advance(&mut self, window: &mut [u8]) -> Result<Piece, Fault> {
        match &mut self.state {
            State::Done => Ok(Piece { end: true, ..Piece::default() }),
            State::Length(left) => {
                let take = usize::try_from(*left).map_or(window.len(), |n| n.min(window.len()));
                *left = left.saturating_sub(take as u64);
                let end = *left == 0;
                if end {
                    self.state = State::Done;
                }
                Ok(Piece { data: 0..take, consumed: take, end })
            }
            State::UntilClose(come) => {
                *come = come.saturating_add(window.len() as u64);
                if self.limits.bytes > 0 && *come > self.limits.bytes {
                    return Err(Fault::BodyTooLarge);
                }
                Ok(Piece { data: 0..window.len(), consumed: window.len(), end: false })
            }
            State::Chunked(chunks) => {
                let (data, consumed) = chunks.decode(window, &self.limits)?;
                let rest = window.get(consumed..).unwrap_or_default();
                if !chunks.is_at_trailers() || rest.is_empty() {
                    return Ok(Piece { data, consumed, end: false });
                }
                let section = self.trailers.read(rest, &self.limits.trailers)?;
                if section.is_some() {
                    self.state = State::Done;
                }
                let consumed = consumed.saturating_add(section.unwrap_or_default());
                Ok(Piece { data, consumed, end: section.is_some() })
            }
        }
    }

    /// Bytes still missing of a body whose length is known: no need to read further.
    #[must_use]
    pub fn wanted(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            State::Chunked(_) | State::UntilClose(_) => None,
        }
    }

    /// Whether the body has been read to its end.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// The input has ended, and ended well: not with a reset.
    ///
    /// # Errors
    /// [`Fault::Truncated`] if the body has not.
    pub fn finish_input(&mut self) -> Result<(), Reject> {
        match self.state {
            State::UntilClose(_) | State::Done => {
                self.state = State::Done;
                Ok(())
            }
            //= rfc9112#section-8
            //# A message body that uses the chunked transfer coding is incomplete if the zero-sized
            //# chunk that terminates the encoding has not been received. A message that uses a valid
            //# Content-Length is incomplete if the size of the message body received (in octets) is
            //# less than the value given by Content-Length.
            State::Length(_) | State::Chunked(_) => Err(Fault::Truncated.of(self.side)),
        }
    }

    /// At the end: the trailer fields that may be sent on, as whole lines; none, usually.
    #[must_use]
    pub fn trailers(&self) -> &[u8] {
        self.trailers.text()
    }
}

/// Writes a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyWriter {
    /// The content as it is: its length was declared, or the connection's end will be its end.
    Plain,
    /// In chunks, one for each piece.
    Chunked,
}

impl BodyWriter {
    /// For a body framed so.
    #[must_use]
    pub const fn new(framing: Framing) -> Self {
        match framing {
            Framing::Chunked => Self::Chunked,
            Framing::Empty | Framing::Length(_) | Framing::UntilClose => Self::Plain,
        }
    }

    /// Frames a piece where it lies. `data` and `free` are a [`Piece`]'s `data` and `consumed`, as
    /// offsets of `buffer`: nothing at `free` or behind is touched, unless `free` is the buffer's
    /// end, where bytes may be appended. Before `data` there must be [`CHUNK_HEAD_MAX`] bytes that
    /// nobody needs. `end` gives the trailer lines (none: empty) of a body that ends with this piece.
    ///
    /// Returns where the bytes to send lie, or nothing if there is no room:
    /// [`frame_into`](Self::frame_into) another buffer then.
    ///
    /// There always is room for what was chunked when it came and has no trailers. If `data` is not
    /// empty, the CRLF of its last chunk and, at the end of a body, `0 CRLF CRLF` came behind its
    /// last byte, hence within this very piece: 7 bytes, and 7 we need. What has not come yet lies
    /// nowhere, so then `free` is the buffer's end. If `data` is empty, the last chunk's 5 bytes go
    /// right before `free`, over the head-room if need be.
    pub fn frame(
        self,
        buffer: &mut Vec<u8>,
        data: Range<usize>,
        free: usize,
        end: Option<&[u8]>,
    ) -> Option<Range<usize>> {
        if self == Self::Plain || (data.is_empty() && end.is_none()) {
            return Some(data);
        }
        let tail = Tail { closes_chunk: !data.is_empty(), end };
        let length = tail.len();
        if data.is_empty() && free != buffer.len() {
            let start = free.checked_sub(length)?;
            if start < data.start.saturating_sub(CHUNK_HEAD_MAX) {
                return None;
            }
            tail.write(buffer.get_mut(start..free)?);
            return Some(start..free);
        }
        let (head, head_length) = chunk_head(data.len());
        let head = head.get(head.len().checked_sub(head_length)?..)?;
        let start = data.start.checked_sub(head_length)?;
        let whole = start..data.end.checked_add(length)?;
        if free == buffer.len() {
            buffer.resize(free.max(whole.end), 0);
        } else if whole.end > free {
            return None;
        }
        buffer.get_mut(start..data.start)?.copy_from_slice(head);
        tail.write(buffer.get_mut(data.end..whole.end)?);
        Some(whole)
    }

    /// Frames a piece behind what is in `out`.
    pub fn frame_into(self, out: &mut Vec<u8>, data: &[u8], end: Option<&[u8]>) {
        if self == Self::Plain {
            out.extend_from_slice(data);
            return;
        }
        let tail = Tail { closes_chunk: !data.is_empty(), end };
        let (head, length) = chunk_head(data.len());
        out.extend_from_slice(head.get(head.len().saturating_sub(length)..).unwrap_or_default());
        out.extend_from_slice(data);
        for part in tail.parts() {
            out.extend_from_slice(part);
        }
    }
}

/// What stands behind the content of a piece.
#[derive(Clone, Copy)]
struct Tail<'a> {
    closes_chunk: bool,
    end: Option<&'a [u8]>,
}

impl<'a> Tail<'a> {
    fn parts(self) -> [&'a [u8]; 4] {
        let close: &[u8] = if self.closes_chunk { b"\r\n" } else { b"" };
        match self.end {
            Some(trailers) => [close, b"0\r\n", trailers, b"\r\n"],
            None => [close, b"", b"", b""],
        }
    }

    fn len(self) -> usize {
        self.parts().iter().map(|part| part.len()).sum()
    }

    fn write(self, room: &mut [u8]) {
        let bytes = self.parts().into_iter().flatten();
        room.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    }
}

/// Room to leave before content that is framed in place: 16 hexadecimal digits and CRLF.
pub const CHUNK_HEAD_MAX: usize = 18;

/// The size line of a chunk of so many bytes, at the end of the array, and its length: none for an
/// empty chunk, which would end the body.
fn chunk_head(size: usize) -> ([u8; CHUNK_HEAD_MAX], usize) {
    let mut head = *b"0000000000000000\r\n";
    if size == 0 {
        return (head, 0);
    }
    let (mut left, mut length) = (size, 2_usize);
    for digit in head.iter_mut().rev().skip(2) {
        let nibble = left & 15;
        *digit = *b"0123456789abcdef".get(nibble).unwrap_or(&b'0');
        left >>= 4;
        length = length.saturating_add(1);
        if left == 0 {
            break;
        }
    }
    (head, length)
}
