//! Waits for something else than a socket, bounded without a timer each.
//!
//! The wheel's sweep rings what has passed, so that all of a core's time comes from one place. Few
//! wait: who dials, who stands in line for a connection, who pauses.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::{pending, poll_fn},
    pin::pin,
    task::{Context, Poll, Waker},
};

/// Whom to wake, by the tick in which that is due.
#[derive(Default)]
pub(super) struct Alarms {
    set: RefCell<BTreeMap<(u32, u64), Waker>>,
    last: Cell<u64>,
}

impl Alarms {
    /// Wakes all whose time has come.
    pub(super) fn ring(&self, now: u32) {
        loop {
            let mut set = self.set.borrow_mut();
            let Some(first) = set.first_entry().filter(|first| first.key().0 <= now) else {
                return;
            };
            let waker = first.remove();
            drop(set);
            waker.wake();
        }
    }

    /// What `future` gives; nothing if it has not by the tick `due`. `now` tells the tick.
    ///
    /// Who was in time is never told otherwise, however late it is looked at.
    pub(super) async fn until<F: Future>(
        &self,
        due: u32,
        now: impl Fn() -> u32,
        future: F,
    ) -> Option<F::Output> {
        let mut alarm = Alarm { alarms: self, key: None };
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if now() >= due => Poll::Ready(None),
            Poll::Pending => {
                alarm.set(due, cx);
                Poll::Pending
            }
        })
        .await
    }

    /// Waits for the tick `due`.
    pub(super) async fn pause(&self, due: u32, now: impl Fn() -> u32) {
        let _: Option<()> = self.until(due, now, pending()).await;
    }

    /// Alarms that are set.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.set.borrow().len()
    }
}

/// One alarm; taken off when dropped.
struct Alarm<'a> {
    alarms: &'a Alarms,
    key: Option<(u32, u64)>,
}

impl Alarm<'_> {
    fn set(&mut self, due: u32, cx: &Context<'_>) {
        let key = *self.key.get_or_insert_with(|| {
            let last = self.alarms.last.get() + 1;
            self.alarms.last.set(last);
            (due, last)
        });
        let mut set = self.alarms.set.borrow_mut();
        match set.get_mut(&key) {
            Some(waker) => waker.clone_from(cx.waker()),
            None => drop(set.insert(key, cx.waker().clone())),
        }
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.alarms.set.borrow_mut().remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll<F: Future>(future: &mut std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn what_takes_too_long_is_given_up_when_its_alarm_rings() {
        let (alarms, now) = (Alarms::default(), Cell::new(0));
        let mut wait = pin!(alarms.until(3, || now.get(), pending::<()>()));
        assert!(poll(&mut wait).is_pending());
        now.set(2);
        alarms.ring(2);
        assert!(poll(&mut wait).is_pending());
        assert_eq!(alarms.count(), 1);
        now.set(3);
        alarms.ring(3);
        assert_eq!(alarms.count(), 0);
        assert_eq!(poll(&mut wait), Poll::Ready(None));
    }

    #[test]
    fn what_is_there_in_time_counts_though_it_is_looked_at_late() {
        let (alarms, now, done) = (Alarms::default(), Cell::new(0), Cell::new(false));
        let answer = poll_fn(|_| if done.get() { Poll::Ready(7) } else { Poll::Pending });
        let mut wait = pin!(alarms.until(3, || now.get(), answer));
        assert!(poll(&mut wait).is_pending());
        done.set(true);
        now.set(5);
        alarms.ring(5);
        assert_eq!(poll(&mut wait), Poll::Ready(Some(7)));
    }

    #[test]
    fn an_alarm_goes_with_who_set_it() {
        let (alarms, now) = (Alarms::default(), Cell::new(0));
        {
            let mut wait = pin!(alarms.pause(9, || now.get()));
            assert!(poll(&mut wait).is_pending());
            assert_eq!(alarms.count(), 1);
        }
        assert_eq!(alarms.count(), 0);
    }
}
