//! From a listening socket to connection tasks.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    net::{IpAddr, Ipv4Addr},
    os::fd::{AsFd, AsRawFd},
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Poll, Waker},
};

use gnomon_config::model::Listener;
use gnomon_sys::{
    duplex::Duplex,
    socket::{self, Accepted},
};

use super::{
    Worker,
    client::{self, Client, Peer},
    restraint,
};
use crate::{patience::Ticks, snapshot::ListenerView, tls::ServerTls};

/// Connections taken per wake-up, so that one burst does not keep the others waiting.
const BATCH: usize = 32;

/// Pause after EMFILE and its kind: long enough not to spin, short enough not to be noticed.
const PAUSE: Ticks = Ticks::exactly(2);

/// A listener as one core serves it.
pub(super) struct Door {
    pub(super) id: u64,
    /// Replaced when a reload changes it.
    pub(super) config: RefCell<Rc<Listener>>,
    /// How TLS is spoken here, if it is; replaced likewise.
    pub(super) tls: RefCell<Option<ServerTls>>,
    socket: Arc<std::os::fd::OwnedFd>,
    closed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Door {
    /// A core's doors to a listener, one of so many cores: nearly always one.
    pub(super) fn all_of(
        view: &ListenerView,
        core: usize,
        cores: usize,
    ) -> impl Iterator<Item = Rc<Self>> {
        let own = view.sockets.iter().skip(core).step_by(cores.max(1));
        own.filter_map(std::sync::Weak::upgrade).map(|socket| {
            Rc::new(Self {
                id: view.id,
                config: RefCell::new(Rc::new(view.config.clone())),
                tls: RefCell::new(view.tls.clone()),
                socket,
                closed: Cell::new(false),
                waker: RefCell::default(),
            })
        })
    }

    /// Takes no more connections; the task that serves this door ends.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.knock();
    }

    /// Wakes the task that serves this door, to look again whether it may accept.
    pub(super) fn knock(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// Serves one door until it is closed.
pub(super) async fn serve(worker: Rc<Worker>, door: Rc<Door>) {
    worker.acceptors.set(worker.acceptors.get() + 1);
    // A panic here would leave the door standing open with nobody behind it.
    while caught(pin!(accept(&worker, &door))).await.is_err() {
        worker.cells.panics.add(1);
    }
    worker.acceptors.set(worker.acceptors.get() - 1);
}

async fn accept(worker: &Rc<Worker>, door: &Rc<Door>) {
    let Ok(listener) = adopt(door) else {
        worker.cells.accept_failures.add(1);
        return;
    };
    while !door.closed.get() {
        if worker.is_full() {
            worker.cells.accept_pauses.add(1);
            until(door, || worker.has_room()).await;
            continue;
        }
        wait(&listener, door).await;
        if let Err(error) = take_batch(worker, door)
            && !matches!(error.kind(), io::ErrorKind::WouldBlock)
        {
            worker.cells.accept_failures.add(1);
            worker.deadlines.pause(PAUSE).await;
        }
    }
    // Whoever came before the door closed is still served; what follows is refused by the kernel.
    let _ = take_batch(worker, door);
}

/// monoio polls a stream only, so the listening socket is polled under that name; it is never
/// read from.
fn adopt(door: &Door) -> io::Result<Duplex> {
    let socket = door.socket.as_fd().try_clone_to_owned()?;
    Duplex::tcp(socket.into())
}

/// Until a connection waits, or the door is knocked at.
async fn wait(listener: &Duplex, door: &Door) {
    // A readiness poll moves no data: it may be dropped.
    let mut readable = pin!(listener.readable());
    poll_fn(|cx| {
        if door.closed.get() {
            return Poll::Ready(());
        }
        *door.waker.borrow_mut() = Some(cx.waker().clone());
        readable.as_mut().poll(cx).map(|_| ())
    })
    .await;
}

/// Until `open`, or the door is closed.
async fn until(door: &Door, open: impl Fn() -> bool) {
    poll_fn(|cx| {
        if door.closed.get() || open() {
            return Poll::Ready(());
        }
        *door.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    })
    .await;
}

fn take_batch(worker: &Rc<Worker>, door: &Rc<Door>) -> io::Result<()> {
    for _ in 0..BATCH {
        if worker.is_full() {
            return Ok(());
        }
        match socket::accept(door.socket.as_fd()) {
            Ok(accepted) => admit(worker, door, accepted),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn admit(worker: &Rc<Worker>, door: &Rc<Door>, accepted: Accepted) {
    let client = match &accepted {
        // Whose connection it is, its header will say.
        Accepted::Tcp(..) if door.config.borrow().proxy_protocol.is_some() => None,
        Accepted::Tcp(_, peer) => Some(peer.ip()),
        Accepted::Unix(_) => None,
    };
    let Some(admitted) = restraint::connection(worker, client) else { return };
    let (stream, ip, port) = match accepted {
        Accepted::Tcp(socket, peer) => (Duplex::tcp(socket), peer.ip(), peer.port()),
        Accepted::Unix(socket) => (Duplex::unix(socket), IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
    };
    let Ok(stream) = stream else {
        worker.cells.accept_failures.add(1);
        return;
    };
    worker.cells.accepted.add(1);
    let deadline = worker.deadlines.open(stream.as_raw_fd());
    let mut peer = Peer::new(ip, &door.config.borrow());
    peer.port = port;
    // In a box it is moved as a pointer; a task's state holds what it is given more than once.
    let client = Box::new(Client::new(deadline, stream, peer, Rc::clone(&*door.config.borrow())));
    let tls = door.tls.borrow().clone();
    let place = Place::taken(worker);
    let worker = Rc::clone(worker);
    super::spawn(async move {
        let _place = (place, admitted);
        guarded(&worker, pin!(client::serve(Rc::clone(&worker), client, tls))).await;
    });
}

/// Runs a task in place; a panic ends it alone and is counted.
async fn guarded(worker: &Worker, task: Pin<&mut impl Future<Output = ()>>) {
    if caught(task).await.is_err() {
        worker.cells.panics.add(1);
    }
}

/// The output of `task`, or what it panicked with. monoio does not catch: a panic would unwind
/// through the core's whole loop.
async fn caught<T>(mut task: Pin<&mut impl Future<Output = T>>) -> std::thread::Result<T> {
    poll_fn(|cx| match std::panic::catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

/// A place among this core's client connections.
struct Place(Rc<Worker>);

impl Place {
    fn taken(worker: &Rc<Worker>) -> Self {
        worker.cells.connections.add(1);
        Self(Rc::clone(worker))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.cells.connections.sub(1);
        self.0.resume_accepting();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Context;

    use super::*;

    /// Polls a future that never really waits.
    fn run<T>(task: impl Future<Output = T>) -> T {
        let mut task = pin!(task);
        loop {
            if let Poll::Ready(output) = task.as_mut().poll(&mut Context::from_waker(Waker::noop()))
            {
                return output;
            }
        }
    }

    #[test]
    fn a_panic_after_an_await_is_caught_and_guards_are_dropped() {
        struct Guard<'a>(&'a Cell<bool>);
        impl Drop for Guard<'_> {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let dropped = Cell::new(false);
        let mut turns = 0;
        let task = async {
            let _guard = Guard(&dropped);
            poll_fn(|_| {
                turns += 1;
                if turns < 3 { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
            panic!("as a bug would");
        };
        assert!(run(caught(pin!(task))).is_err());
        assert!(dropped.get());
    }

    #[test]
    fn a_task_that_ends_well_gives_its_output() {
        assert_eq!(run(caught(pin!(async { 7 }))).expect("no panic"), 7);
    }
}
