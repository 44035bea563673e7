//! A stream read and written at the same time by one thread.

use std::{
    cell::UnsafeCell,
    io,
    os::fd::{AsRawFd, RawFd},
};

use monoio::{
    BufResult,
    buf::{IoBuf, IoBufMut},
    io::{AsyncReadRent, AsyncWriteRent, CancelHandle, CancelableAsyncReadRent},
    net::{TcpStream, UnixStream},
};

/// A connected socket whose two directions are used independently.
///
/// monoio offers `into_split` for this, which allocates, forgets `readable` and sends a FIN when a
/// half is dropped. Here both directions take `&self`. `!Sync`, as its stream is: one thread only.
#[derive(Debug)]
pub enum Duplex {
    /// A TCP connection.
    Tcp(Cell<TcpStream>),
    /// A unix stream connection.
    Unix(Cell<UnixStream>),
}

/// The one place that hands out `&mut` to a shared stream.
#[derive(Debug)]
pub struct Cell<T>(UnsafeCell<T>);

impl<T> Cell<T> {
    const fn new(stream: T) -> Self {
        Self(UnsafeCell::new(stream))
    }

    const fn get(&self) -> &T {
        // WHY: the stream lives in an UnsafeCell.
        // SAFETY: shared access to fields that no `&mut` of ours ever changes (see `stream`).
        unsafe { &*self.0.get() }
    }

    #[expect(clippy::mut_from_ref, reason = "the point of this type; see SAFETY")]
    const fn stream(&self) -> &mut T {
        // WHY: monoio's read and write take `&mut self`, which would rule out a reader and a writer.
        // SAFETY: one thread (`Cell` is not Sync). monoio's methods only clone the shared
        // descriptor into an operation that owns it and the buffer; they change no field of the
        // stream, so two of these references, alive in two pending operations, never conflict.
        // monoio's own split halves rest on the same ground.
        unsafe { &mut *self.0.get() }
    }
}

impl Duplex {
    /// Takes over a connected, non-blocking TCP socket.
    ///
    /// # Errors
    /// What registering with the runtime's driver may fail with.
    pub fn tcp(socket: std::net::TcpStream) -> io::Result<Self> {
        Ok(Self::Tcp(Cell::new(TcpStream::from_std(socket)?)))
    }

    /// Takes over a connected, non-blocking unix socket.
    ///
    /// # Errors
    /// What registering with the runtime's driver may fail with.
    pub fn unix(socket: std::os::unix::net::UnixStream) -> io::Result<Self> {
        Ok(Self::Unix(Cell::new(UnixStream::from_std(socket)?)))
    }

    /// Reads once into `buffer`, from its beginning to its capacity.
    pub async fn read<B: IoBufMut>(&self, buffer: B) -> BufResult<usize, B> {
        match self {
            Self::Tcp(cell) => cell.stream().read(buffer).await,
            Self::Unix(cell) => cell.stream().read(buffer).await,
        }
    }

    /// As [`read`](Self::read), but ends early once `handle` is cancelled. Must be awaited all the
    /// same: it may have read.
    pub async fn read_until<B: IoBufMut>(
        &self,
        buffer: B,
        handle: CancelHandle,
    ) -> BufResult<usize, B> {
        match self {
            Self::Tcp(cell) => cell.stream().cancelable_read(buffer, handle).await,
            Self::Unix(cell) => cell.stream().cancelable_read(buffer, handle).await,
        }
    }

    /// Writes once; may write less than all.
    pub async fn write<B: IoBuf>(&self, buffer: B) -> BufResult<usize, B> {
        match self {
            Self::Tcp(cell) => cell.stream().write(buffer).await,
            Self::Unix(cell) => cell.stream().write(buffer).await,
        }
    }

    /// Waits until a read would not block. May be dropped at will.
    ///
    /// # Errors
    /// What polling the descriptor may fail with.
    pub async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(cell) => cell.get().readable(false).await,
            Self::Unix(cell) => cell.get().readable(false).await,
        }
    }

    /// Waits until a write would not block, or until a connect has come to its end. May be dropped
    /// at will.
    ///
    /// # Errors
    /// What polling the descriptor may fail with.
    pub async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(cell) => cell.get().writable(false).await,
            Self::Unix(cell) => cell.get().writable(false).await,
        }
    }
}

impl AsRawFd for Duplex {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Tcp(cell) => cell.get().as_raw_fd(),
            Self::Unix(cell) => cell.get().as_raw_fd(),
        }
    }
}
