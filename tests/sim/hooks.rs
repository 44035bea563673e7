//! What the simulation does to the worker from within. Compiled for tests alone, and inert on a
//! thread that simulates nothing.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::poll_fn,
    path::PathBuf,
    pin::Pin,
    task::{Poll, Waker},
};

use gnomon_sys::address::Address;

#[derive(Default)]
struct Hooks {
    /// Times that a task of the worker was polled.
    polls: Cell<u64>,
    /// Places passed at which a task may panic.
    passed: Cell<u64>,
    /// The one at which it does.
    fatal: Cell<Option<u64>>,
    /// Who dials an address that does not answer.
    silent: RefCell<HashMap<PathBuf, Vec<Waker>>>,
}

thread_local! {
    static HOOKS: Hooks = Hooks::default();
}

/// The same task, with every poll counted: who has not been polled has not moved.
pub(in super::super) fn watched(
    task: impl Future<Output = ()> + 'static,
) -> Pin<Box<dyn Future<Output = ()>>> {
    let mut task = Box::pin(task);
    Box::pin(poll_fn(move |cx| {
        HOOKS.with(|hooks| hooks.polls.set(hooks.polls.get() + 1));
        task.as_mut().poll(cx)
    }))
}

/// Times that a task was polled so far.
pub(super) fn polls() -> u64 {
    HOOKS.with(|hooks| hooks.polls.get())
}

/// A place at which a bug may strike.
pub(in super::super) fn strike() {
    HOOKS.with(|hooks| {
        let passed = hooks.passed.get();
        hooks.passed.set(passed + 1);
        if hooks.fatal.get() == Some(passed) {
            hooks.fatal.set(None);
            // Unlike `panic!`, this prints nothing.
            std::panic::resume_unwind(Box::new("as a bug would"));
        }
    });
}

/// Has a task panic at the `after`-th place from now.
pub(super) fn plant(after: u64) {
    HOOKS.with(|hooks| hooks.fatal.set(Some(hooks.passed.get() + after)));
}

/// Waits for as long as `address` does not answer those who dial it.
pub(in super::super) async fn dialling(address: &Address) {
    let Address::Unix(path) = address else { return };
    poll_fn(|cx| {
        HOOKS.with(|hooks| match hooks.silent.borrow_mut().get_mut(path) {
            Some(waiting) => {
                waiting.push(cx.waker().clone());
                Poll::Pending
            }
            None => Poll::Ready(()),
        })
    })
    .await;
}

/// Has an address answer those who dial it, or not.
pub(super) fn answer(path: &std::path::Path, answers: bool) {
    let waiting = HOOKS.with(|hooks| {
        let mut silent = hooks.silent.borrow_mut();
        if answers {
            return silent.remove(path).unwrap_or_default();
        }
        silent.entry(path.to_owned()).or_default();
        Vec::new()
    });
    for waker in waiting {
        waker.wake();
    }
}

/// Forgets everything: the next run begins like the first.
pub(super) fn reset() {
    HOOKS.with(|hooks| {
        hooks.polls.set(0);
        hooks.passed.set(0);
        hooks.fatal.set(None);
        hooks.silent.borrow_mut().clear();
    });
}
