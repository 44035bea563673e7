//! Buffers of one core: rented for as long as bytes are under way, kept by few of the idle.

use std::{
    cell::{Cell, RefCell},
    io,
    ops::Range,
    rc::Rc,
};

use gnomon_tls::Stream;
use gnomon_wire::{BodyWriter, Piece};
use monoio::io::CancelHandle;

use super::deadline::Deadline;
use crate::{cells::CoreCells, patience::Ticks};
use std::sync::Arc;

/// Room before the data, so that a rewritten head that has grown, or a chunk's size line, still
/// goes out in one send with the bytes behind it. Fits what we add: Via, request id, a sticky
/// cookie and a handful of edits.
pub(super) const HEADROOM: usize = 1024;

/// A head buffer's room for data: above 16 KiB and a head, so that the commonest full-size upload
/// block and its head come in one read (measured: a third less CPU than with 16 KiB).
const SMALL: usize = 32 * 1024;

/// A body buffer's room for data: what large bodies gain from levels off here.
const WIDE: usize = 128 * 1024;

/// Data begins at another place in each of so many buffers, so many bytes apart. Large blocks lie
/// at the same offset of their pages, and the heads of some hundred connections would otherwise
/// fight for the same few sets of the cache.
const COLOURS: usize = 32;
const COLOUR: usize = 128;

/// Bytes of a buffer's vector.
const fn capacity(size: Size) -> usize {
    HEADROOM + COLOURS * COLOUR + size.room()
}

/// Idle buffers kept of each size; more are freed. Either are some 16 MiB a core at most.
const SPARE_SMALL: usize = 512;
const SPARE_WIDE: usize = 128;

/// So many buffers freed are a burst: 9 MiB of small ones.
const BURST: usize = 256;

/// Idle ones of each kind kept after a burst.
pub(super) const SPARE_AFTER_BURST: usize = 32;

/// Buffers that silent connections may keep, clients' and origins': 18 MiB a core at most, and
/// enough for those that never pause.
const KEPT_MAX: usize = 512;

/// The two sizes of buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// For heads and small bodies.
    Small,
    /// For long bodies.
    Wide,
}

impl Size {
    pub(super) const fn room(self) -> usize {
        match self {
            Self::Small => SMALL,
            Self::Wide => WIDE,
        }
    }
}

/// The free lists. Last in, first out: the buffer rented next is the one still in the cache.
pub(super) struct Buffers {
    small: RefCell<Vec<Vec<u8>>>,
    wide: RefCell<Vec<Vec<u8>>>,
    /// Buffers made so far.
    made: Cell<usize>,
    /// Buffers that silent connections keep.
    kept: Cell<usize>,
    /// Buffers freed so far, and when it was last looked at.
    freed: Cell<usize>,
    freed_before: Cell<usize>,
    cells: Arc<CoreCells>,
}

impl Buffers {
    pub(super) fn new(cells: Arc<CoreCells>) -> Rc<Self> {
        Rc::new(Self {
            small: RefCell::default(),
            wide: RefCell::default(),
            made: Cell::new(0),
            kept: Cell::new(0),
            freed: Cell::new(0),
            freed_before: Cell::new(0),
            cells,
        })
    }

    /// Lets a silent connection keep a buffer for as long as what comes back lives, unless enough
    /// do.
    pub(super) fn keep_one(self: &Rc<Self>) -> Option<Kept> {
        let kept = self.kept.get();
        if kept >= KEPT_MAX {
            return None;
        }
        self.kept.set(kept + 1);
        Some(Kept(Rc::clone(self)))
    }

    /// Buffers that silent connections keep.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.kept.get()
    }

    /// Whether many buffers were freed and none has been since this was last asked: a burst is over.
    pub(super) fn burst_is_over(&self) -> bool {
        let (freed, before) = (self.freed.get(), self.freed_before.get());
        self.freed_before.set(freed);
        let was_quiet = freed == before;
        if was_quiet {
            self.freed.set(0);
            self.freed_before.set(0);
        }
        was_quiet && freed >= BURST
    }

    /// Frees spare buffers but for a few.
    pub(super) fn trim(&self) {
        for size in [Size::Small, Size::Wide] {
            self.spare(size).borrow_mut().truncate(SPARE_AFTER_BURST);
        }
    }

    /// Rents an empty buffer.
    pub(super) fn rent(self: &Rc<Self>, size: Size) -> Buffer {
        self.cells.buffers.add(1);
        let spare = self.spare(size).borrow_mut().pop();
        let bytes = spare.unwrap_or_else(|| self.make(size));
        // A spare one is as long as its head-room.
        let front = bytes.len();
        Buffer { bytes, start: front, front, size, home: Rc::clone(self) }
    }

    fn make(&self, size: Size) -> Vec<u8> {
        let made = self.made.get();
        self.made.set(made.wrapping_add(1));
        let mut bytes = Vec::with_capacity(capacity(size));
        bytes.resize(HEADROOM + (made % COLOURS) * COLOUR, 0);
        bytes
    }

    const fn spare(&self, size: Size) -> &RefCell<Vec<Vec<u8>>> {
        match size {
            Size::Small => &self.small,
            Size::Wide => &self.wide,
        }
    }

    fn take_back(&self, mut bytes: Vec<u8>, size: Size, front: usize) {
        self.cells.buffers.sub(1);
        let most = match size {
            Size::Small => SPARE_SMALL,
            Size::Wide => SPARE_WIDE,
        };
        let mut spare = self.spare(size).borrow_mut();
        // A buffer lost to an operation comes back without capacity, one that had to grow for an
        // outsized head with more: neither is worth keeping.
        if bytes.capacity() == capacity(size) && bytes.len() >= front && spare.len() < most {
            bytes.truncate(front);
            spare.push(bytes);
        } else {
            self.freed.set(self.freed.get().wrapping_add(1));
        }
    }
}

/// A place among the silent connections that keep a buffer.
pub(super) struct Kept(Rc<Buffers>);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.kept.set(self.0.kept.get() - 1);
    }
}

/// Bytes ready to be sent.
pub(super) enum Framed {
    /// In the buffer they were read into, which held so many bytes before.
    Here { range: Range<usize>, length: usize },
    /// In another, for want of room.
    Elsewhere(Buffer),
}

/// A rented buffer: `HEADROOM` bytes at least, then data, then room. Returns itself when dropped.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    /// Where data begins in an empty one.
    front: usize,
    size: Size,
    home: Rc<Buffers>,
}

impl Buffer {
    /// The data.
    pub(super) fn data(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// The data.
    pub(super) fn data_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.len() <= self.start
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() == self.bytes.capacity()
    }

    /// Takes `count` bytes off the front of the data.
    pub(super) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.bytes.len());
    }

    /// Moves the data to the front, so that all the room is behind it.
    pub(super) fn compact(&mut self) {
        if self.start > self.front {
            self.bytes.drain(self.front..self.start);
            self.start = self.front;
        }
    }

    /// Keeps what data is left, at the front, and makes all other room free for the next read.
    pub(super) fn restart(&mut self) {
        if self.is_empty() { self.clear() } else { self.compact() }
    }

    /// Forgets the data.
    pub(super) fn clear(&mut self) {
        self.bytes.truncate(self.front);
        self.start = self.front;
    }

    /// The vector itself and where its data starts, for writing in place. What is before the
    /// start may be overwritten.
    pub(super) const fn parts(&mut self) -> (&mut Vec<u8>, usize) {
        (&mut self.bytes, self.start)
    }

    /// Appends.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Reads once behind the data; at most `most` bytes. `Ok(0)` is the end of input.
    pub(super) async fn fill(&mut self, stream: &Stream, most: usize) -> io::Result<usize> {
        let bytes = std::mem::take(&mut self.bytes);
        let range = read_range(&bytes, most);
        let (result, bytes) = stream.read(bytes, range).await;
        self.bytes = bytes;
        result
    }

    /// As [`fill`](Self::fill), ended early by cancelling `handle`.
    pub(super) async fn fill_until(
        &mut self,
        stream: &Stream,
        most: usize,
        handle: CancelHandle,
    ) -> io::Result<usize> {
        let bytes = std::mem::take(&mut self.bytes);
        let range = read_range(&bytes, most);
        let (result, bytes) = stream.read_until(bytes, range, handle).await;
        self.bytes = bytes;
        result
    }

    /// Writes `range` of the vector, all of it, with at most `patience` between two writes.
    pub(super) async fn send(
        &mut self,
        stream: &Stream,
        range: Range<usize>,
        deadline: &Deadline,
        patience: Ticks,
    ) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.bytes);
        let (sent, bytes) = stream.write(bytes, range, || deadline.arm_writing(patience)).await;
        self.bytes = bytes;
        deadline.disarm_writing();
        sent
    }

    /// Puts `head` before a piece of the data and frames that as `writer` says: where it lies if
    /// there is room, so that one send suffices. `end` gives the trailers of a body that ends
    /// with the piece.
    pub(super) fn frame(
        &mut self,
        head: &[u8],
        writer: BodyWriter,
        piece: &Piece,
        end: Option<&[u8]>,
    ) -> Framed {
        let (data, free) = self.place(piece);
        let length = self.bytes.len();
        let framed = writer.frame(&mut self.bytes, data.clone(), free, end);
        if let Some(range) = &framed
            && let Some(start) = range.start.checked_sub(head.len())
        {
            self.bytes[start..range.start].copy_from_slice(head);
            return Framed::Here { range: start..range.end, length };
        }
        let mut other = self.home.rent(self.size);
        other.extend(head);
        match framed {
            Some(range) => other.extend(&self.bytes[range]),
            None => writer.frame_into(&mut other.bytes, &self.bytes[data], end),
        }
        self.bytes.truncate(length);
        Framed::Elsewhere(other)
    }

    /// Sends what [`frame`](Self::frame) made ready, and takes off again what framing put behind
    /// the data.
    pub(super) async fn send_framed(
        &mut self,
        framed: Framed,
        stream: &Stream,
        deadline: &Deadline,
        patience: Ticks,
    ) -> io::Result<()> {
        match framed {
            Framed::Here { range, length } => {
                let sent = self.send(stream, range, deadline, patience).await;
                self.bytes.truncate(length);
                sent
            }
            Framed::Elsewhere(mut other) => other.send_data(stream, deadline, patience).await,
        }
    }

    /// Makes room to read into: a buffer that is full gives way to a wide one.
    pub(super) fn make_room(&mut self) {
        self.compact();
        if self.is_full() && self.size == Size::Small {
            let mut wide = self.home.rent(Size::Wide);
            wide.extend(self.data());
            *self = wide;
        }
    }

    pub(super) const fn size(&self) -> Size {
        self.size
    }

    /// Where a piece of the data lies in the vector, and where what is not yet used begins.
    pub(super) fn place(&self, piece: &Piece) -> (Range<usize>, usize) {
        let data = self.start + piece.data.start..self.start + piece.data.end;
        (data, self.start + piece.consumed)
    }

    /// Writes all of the data.
    pub(super) async fn send_data(
        &mut self,
        stream: &Stream,
        deadline: &Deadline,
        patience: Ticks,
    ) -> io::Result<()> {
        let range = self.start..self.bytes.len();
        self.send(stream, range, deadline, patience).await
    }
}

/// Where the next read goes. Never an empty range: a read of nothing looks like the end of input.
fn read_range(bytes: &Vec<u8>, most: usize) -> Range<usize> {
    let from = bytes.len();
    let to = bytes.capacity().min(from.saturating_add(most));
    debug_assert!(from < to, "no room to read into");
    from..to
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.take_back(std::mem::take(&mut self.bytes), self.size, self.front);
    }
}
