//! What the two directions of one exchange know of each other.

use std::{
    cell::{Cell, RefCell},
    os::fd::AsRawFd,
    rc::Rc,
};

use gnomon_policy::limit::Pace;
use gnomon_sys::socket;
use monoio::io::{CancelHandle, Canceller};

use super::{
    Worker,
    client::Client,
    origin::{Lease, Line},
    tap::Tap,
};
use crate::patience::{Patience, TICK, Ticks};

/// State shared by the request's way up and the reply's way down. Both run to their end: whoever
/// makes the other pointless shuts a socket or cancels a read, and the other one then ends by itself.
pub(super) struct Flow<'a> {
    pub(super) worker: &'a Rc<Worker>,
    pub(super) client: &'a Client,
    pub(super) line: &'a Line,
    /// The endpoint that the line leads to.
    pub(super) endpoint: u64,
    pub(super) patience: Patience,
    /// The tick by which the whole exchange must be over.
    pub(super) end: u32,
    /// Whether bytes of the final reply have gone to the client.
    pub(super) reply_begun: Cell<bool>,
    /// Whether the request has gone to the origin, whole.
    pub(super) upload_done: Cell<bool>,
    /// Whether the rest of the request is no longer wanted.
    pub(super) upload_stopped: Cell<bool>,
    pub(super) received: Cell<u64>,
    pub(super) sent: Cell<u64>,
    pub(super) tap: &'a Tap,
    /// How the request's body has moved, as far as it is up to the client.
    up: Cell<Pace>,
    /// How the reply's has.
    down: Cell<Pace>,
    canceller: RefCell<Option<Canceller>>,
}

impl<'a> Flow<'a> {
    pub(super) fn new(
        worker: &'a Rc<Worker>,
        client: &'a Client,
        lease: &'a Lease,
        patience: Patience,
        end: u32,
        tap: &'a Tap,
    ) -> Self {
        Self {
            worker,
            client,
            line: lease.line(),
            endpoint: lease.origin.id,
            patience,
            end,
            reply_begun: Cell::new(false),
            upload_done: Cell::new(false),
            upload_stopped: Cell::new(false),
            received: Cell::new(0),
            sent: Cell::new(0),
            tap,
            up: Cell::default(),
            down: Cell::default(),
            canceller: RefCell::default(),
        }
    }

    /// `ticks`, or what is left for the whole exchange.
    pub(super) fn within(&self, ticks: Ticks) -> Ticks {
        ticks.min(self.worker.deadlines.left_until(self.end))
    }

    /// So many bytes of the request have come, waited for since the tick `from`; whether its client
    /// is too slow for any more.
    pub(super) fn is_upload_slow(&self, from: u32, bytes: usize) -> bool {
        let pace = note(&self.up, self.worker.deadlines.now() - from, bytes);
        pace.is_late() && pace.is_below(self.rate_min(), 0)
    }

    /// So many bytes of the reply have been taken by the kernel, which was waited for since the tick
    /// `from`; whether its client is too slow for any more.
    pub(super) fn is_reader_slow(&self, from: u32, bytes: usize) -> bool {
        let pace = note(&self.down, self.worker.deadlines.now() - from, bytes);
        // What the client has not acknowledged is not with it yet, and may be megabytes.
        pace.is_late()
            && pace
                .is_below(self.rate_min(), socket::unacknowledged(self.client.stream.as_raw_fd()))
    }

    fn rate_min(&self) -> u64 {
        self.worker.view().snapshot.config.limits.body_rate
    }

    /// What cancels the upload's reads from the client.
    pub(super) fn cancel_handle(&self) -> CancelHandle {
        self.canceller.borrow_mut().get_or_insert_with(Canceller::new).handle()
    }

    /// The reply is complete before the request: nobody waits for the rest.
    pub(super) fn stop_upload(&self) {
        self.upload_stopped.set(true);
        if let Some(canceller) = self.canceller.borrow_mut().take() {
            // Dropping the fresh canceller that comes back cancels nothing.
            let _ = canceller.cancel();
        }
        self.abandon_origin();
    }

    /// Ends whatever waits on the origin.
    pub(super) fn abandon_origin(&self) {
        socket::shut_down(self.line.stream.as_raw_fd());
    }

    /// Ends whatever waits on the client.
    pub(super) fn abandon_client(&self) {
        socket::shut_down(self.client.stream.as_raw_fd());
    }
}

fn note(pace: &Cell<Pace>, ticks: u32, bytes: usize) -> Pace {
    let mut noted = pace.get();
    noted.note(TICK * ticks, bytes as u64);
    pace.set(noted);
    noted
}
