//! A read that is under way while nobody waits for it.
//!
//! An idle connection to an origin is read all the same. Should it end, or say what nobody asked
//! for, that is known without a system call before the connection is used again; and if it is
//! quiet, the read goes on to be that of the next reply, which needs none of its own.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use gnomon_tls::Stream;

use super::buffers::Buffer;

/// What was read, and into what.
pub(super) type Outcome = (io::Result<usize>, Buffer);

/// A connection's read ahead. Its state is allocated once for all its reads.
pub(super) struct ReadAhead(RefCell<State>);

struct State {
    reads: Box<dyn Reads>,
    under_way: bool,
}

impl ReadAhead {
    pub(super) fn of(stream: &Rc<Stream>) -> Self {
        let stream = Rc::clone(stream);
        let read = move |mut buffer: Buffer| {
            let stream = Rc::clone(&stream);
            async move {
                let read = buffer.fill(&stream, usize::MAX).await;
                (read, buffer)
            }
        };
        let reads = Box::new(Slot { read, under_way: None });
        Self(RefCell::new(State { reads, under_way: false }))
    }

    /// Begins to read.
    pub(super) fn begin(&self, buffer: Buffer) {
        let state = &mut *self.0.borrow_mut();
        state.reads.begin(buffer);
        state.under_way = true;
        // Polling is what hands the read to the kernel.
        let _ = state.poll(&mut Context::from_waker(Waker::noop()));
    }

    /// Whether the connection has been quiet: still being read, without a byte. `None` if it is not
    /// being read. One that has not been quiet must not be used any more.
    pub(super) fn is_quiet(&self) -> Option<bool> {
        let state = &mut *self.0.borrow_mut();
        let noop = &mut Context::from_waker(Waker::noop());
        state.under_way.then(|| state.poll(noop).is_pending())
    }

    /// What is read in the end, if a read is under way.
    pub(super) async fn outcome(&self) -> Option<Outcome> {
        if !self.0.borrow().under_way {
            return None;
        }
        Some(poll_fn(|cx| self.0.borrow_mut().poll(cx)).await)
    }
}

impl State {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let poll = self.reads.poll(cx);
        self.under_way = poll.is_pending();
        poll
    }
}

/// Reads one after the other, whose future has no name.
trait Reads {
    fn begin(&mut self, buffer: Buffer);
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome>;
}

struct Slot<M, F> {
    read: M,
    /// The latest; once it has ended it stays until the next takes its place.
    under_way: Option<Pin<Box<F>>>,
}

impl<M: Fn(Buffer) -> F, F: Future<Output = Outcome>> Reads for Slot<M, F> {
    fn begin(&mut self, buffer: Buffer) {
        let read = (self.read)(buffer);
        match &mut self.under_way {
            Some(place) => place.as_mut().set(read),
            None => self.under_way = Some(Box::pin(read)),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        match &mut self.under_way {
            Some(read) => read.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}
