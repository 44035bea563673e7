//! Clients that ask on and on, and count what they get.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread::JoinHandle,
    time::Duration,
};

use crate::{
    Client, Door,
    eventually::{eventually, linger},
    spawn,
};

/// Some clients, each with a connection of its own, that ask until they are told to end. Bounded in
/// number ([`ASKED_MAX`]), and in time by whoever waits for something.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    lines: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    ending: AtomicBool,
    asked: AtomicU64,
    bad: AtomicU64,
    broken: AtomicU64,
    canary: AtomicU64,
}

/// Requests of one client at most.
pub const ASKED_MAX: u64 = 200_000;

impl Load {
    /// So many clients ask for `/`, with this pause after each reply. Replies whose body is `v2` are
    /// the canary's.
    #[must_use]
    pub fn start(door: &Door, clients: usize, pause: Duration) -> Self {
        let request = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        Self::asking(door, clients, pause, move |_| request.to_owned())
    }

    /// The same with requests of their own, by a number that rises with each.
    #[must_use]
    pub fn asking(
        door: &Door,
        clients: usize,
        pause: Duration,
        request: impl Fn(u64) -> String + Clone + Send + 'static,
    ) -> Self {
        let shared = Arc::<Shared>::default();
        let line = |_| {
            let (door, shared, request) = (door.clone(), shared.clone(), request.clone());
            spawn("load", move || shared.ask_on(&door, pause, &request))
        };
        Self { lines: (0..clients).map(line).collect(), shared }
    }

    /// Replies and failures so far.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.shared.asked.load(SeqCst)
    }

    /// Replies that were no whole 200.
    #[must_use]
    pub fn bad(&self) -> u64 {
        self.shared.bad.load(SeqCst)
    }

    /// Requests without any reply.
    #[must_use]
    pub fn broken(&self) -> u64 {
        self.shared.broken.load(SeqCst)
    }

    /// Good replies of the canary's.
    #[must_use]
    pub fn canary(&self) -> u64 {
        self.shared.canary.load(SeqCst)
    }

    /// Waits until so many more have been answered.
    #[track_caller]
    pub fn go_on(&self, count: u64) {
        let end = self.asked() + count;
        eventually("the load goes on", || self.asked() >= end);
    }

    /// Has all clients end, and waits for it.
    ///
    /// # Panics
    /// If a client did.
    pub fn stop(&mut self) {
        self.shared.ending.store(true, SeqCst);
        for line in self.lines.drain(..) {
            line.join().expect("no client panics");
        }
    }

    /// Has all clients end; how many replies were bad, and how many requests had none.
    ///
    /// # Panics
    /// If a client did.
    pub fn end(mut self) -> (u64, u64) {
        self.stop();
        (self.bad(), self.broken())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.ending.store(true, SeqCst);
    }
}

impl Shared {
    fn ask_on(&self, door: &Door, pause: Duration, request: &impl Fn(u64) -> String) {
        let mut client = None;
        for _ in 0..ASKED_MAX {
            if self.ending.load(SeqCst) {
                return;
            }
            let number = self.asked.fetch_add(1, SeqCst);
            client = self.ask(client, door, &request(number));
            linger(pause);
        }
    }

    /// One request; the connection, if it can be used again.
    fn ask(&self, client: Option<Client>, door: &Door, request: &str) -> Option<Client> {
        let mut client = match client {
            Some(client) => client,
            None => Client::try_connect(door).inspect_err(|_| self.has_broken()).ok()?,
        };
        let reply = client.try_send(request).then(|| client.try_read_reply_to("GET"));
        let Some(Ok(reply)) = reply.filter(|reply| !matches!(reply, Ok(it) if it.status() == 0))
        else {
            self.has_broken();
            return None;
        };
        let is_good = reply.status() == 200 && reply.whole;
        self.bad.fetch_add(u64::from(!is_good), SeqCst);
        self.canary.fetch_add(u64::from(is_good && reply.body == b"v2"), SeqCst);
        (reply.whole && !reply.is_last()).then_some(client)
    }

    fn has_broken(&self) {
        self.broken.fetch_add(1, SeqCst);
        linger(Duration::from_millis(10));
    }
}
