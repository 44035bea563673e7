//! An exchange as the shadow thread holds it: the copy, and the primary's answer once it is there.

use std::{
    cell::{OnceCell, RefCell},
    future::poll_fn,
    task::{Poll, Waker},
    time::Duration,
};

use gnomon_wire::{FIELDS_MAX, HeadLimits, Progress, Request, RequestHead};

use crate::{
    exchange::{Answer, Copy},
    terms::Terms,
};

/// The core that took the head had limits of its own; these are the most it can be told.
pub(crate) const LIMITS: HeadLimits = HeadLimits {
    bytes: 128 << 10,
    line_bytes: 128 << 10,
    field_bytes: 128 << 10,
    fields: FIELDS_MAX,
    connect: false,
};

/// A copy, what its head says, and the answer.
pub(crate) struct Pair {
    pub(crate) copy: Copy,
    head: RequestHead,
    answer: OnceCell<Answer>,
    waiting: RefCell<Vec<Waker>>,
}

impl Pair {
    /// Reads the copy's head. `None` if it is no request, which no core would hand over.
    pub(crate) fn of(copy: Copy) -> Option<Self> {
        let (answer, waiting) = (OnceCell::new(), RefCell::default());
        // A pair from here on: what it holds is given back, whatever it turns out to be.
        let mut pair = Self { copy, head: RequestHead::default(), answer, waiting };
        let whole = pair.copy.asked.head.len();
        let read = pair.head.read(&pair.copy.asked.head, &LIMITS);
        let is_whole = matches!(read, Ok(Progress::Done(length)) if length == whole);
        is_whole.then_some(pair)
    }

    pub(crate) fn terms(&self) -> &Terms {
        &self.copy.terms.terms
    }

    pub(crate) fn request(&self) -> Request<'_> {
        Request { head: &self.head, bytes: &self.copy.asked.head }
    }

    /// The answer has come.
    pub(crate) fn answered(&self, answer: Answer) {
        // One answer to a ticket.
        let _ = self.answer.set(answer);
        self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }

    /// The answer, if it comes in time.
    pub(crate) async fn answer(&self, patience: Duration) -> Option<&Answer> {
        if let Some(answer) = self.answer.get() {
            return Some(answer);
        }
        let coming = poll_fn(|cx| {
            if self.answer.get().is_some() {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        });
        // Mostly it is there by now; what waits is large, and boxed so that only who waits has it.
        let _ = Box::pin(monoio::time::timeout(patience, coming)).await;
        self.answer.get()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let account = &self.copy.terms.account;
        let answer = self.answer.get().map_or(0, Answer::weight);
        account.returned.add(self.copy.weight() + answer);
    }
}
