//! One core's world: what it owns, how it starts, how it takes over a snapshot.
//!
//! A worker shares nothing but what it was given in its [`Setup`]: it reads snapshots, and writes
//! its own cells and its own end of the log's ring. No core waits for another.

mod accept;
mod alarms;
mod answer;
mod buffers;
mod claims;
mod client;
mod date;
mod deadline;
mod evidence;
mod exchange;
mod exposure;
mod flags;
mod flow;
mod handshake;
mod identity;
mod origin;
mod outgoing;
mod preface;
mod readahead;
mod record;
mod relay;
mod restraint;
mod tap;
mod tick;
mod trace;
mod tunnel;
mod upload;
mod view;

/// The simulation of all this, in virtual time.
#[cfg(test)]
#[path = "../../tests/sim/sim.rs"]
#[expect(
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "its numbers are small, and most of what may happen concerns few"
)]
mod sim;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};

use gnomon_config::model::{self, Share};
use gnomon_policy::{Luck, strain::Level};
use gnomon_shadow::{counts::Account, exchange::Message, lanes::Lane};
use gnomon_sys::{affinity, memory};
use gnomon_wire::{RequestHead, ResponseHead};

use self::{
    accept::Door, buffers::Buffers, date::Date, deadline::Deadlines, identity::Identities,
    view::View,
};
use crate::{
    access::Recorder, boot::Shared, cells::CoreCells, jwt::Claims, patience::Ticks, runtime,
    trial::Sighting,
};

/// What a worker is given at its start.
pub(crate) struct Setup {
    /// Its index, from 0; its place in every list that is per core.
    pub(crate) index: usize,
    /// The core to be pinned to, if any.
    pub(crate) cpu: Option<usize>,
    /// What it shares with control.
    pub(crate) shared: Arc<Shared>,
    /// Its end of the access log's ring.
    pub(crate) log: rtrb::Producer<u8>,
    /// Its end of the ring of sightings.
    pub(crate) sightings: rtrb::Producer<Sighting>,
    /// Its end of the lane to the shadow thread.
    pub(crate) lane: Lane<Message>,
    /// What it and the shadow thread hold for each other.
    pub(crate) account: Arc<Account>,
    /// The shadow thread's desk.
    pub(crate) shadow: Arc<gnomon_shadow::run::Desk>,
    /// Threads and rings.
    pub(crate) runtime: model::Runtime,
    /// Seed of its luck; logged by whoever chose it.
    pub(crate) seed: [u8; 32],
    /// Called once with the driver's description, or with why there is none.
    pub(crate) report: crossbeam_channel::Sender<Result<String, String>>,
}

/// Runs a worker on the calling thread until it has drained after [`Phase::Draining`] or
/// [`Phase::Closing`]; then says so in its cells and parks for good.
///
/// The runtime is never dropped: tasks that are still suspended hold operations the kernel may
/// still complete. The process ends instead.
///
/// [`Phase::Draining`]: crate::snapshot::Phase::Draining
/// [`Phase::Closing`]: crate::snapshot::Phase::Closing
pub(crate) fn run(setup: Setup) {
    let pinned = setup.cpu.map(|cpu| (cpu, affinity::pin_to(cpu)));
    let engine = match runtime::build(&setup.runtime) {
        Ok(engine) => engine,
        Err(why) => {
            let _ = setup.report.send(Err(why));
            return;
        }
    };
    let place = match pinned {
        Some((cpu, true)) => format!(", pinned to core {cpu}"),
        Some((cpu, false)) => format!(", could not be pinned to core {cpu}"),
        None => String::new(),
    };
    let _ = setup.report.send(Ok(format!("{}{place}", engine.description)));
    let mut runtime = std::mem::ManuallyDrop::new(engine.runtime);
    runtime.block_on(async move {
        let worker = Worker::new(setup);
        tick::follow_listeners(&worker);
        worker.cells.ready.set(1);
        tick::run(worker).await;
    });
}

/// Has a task run on this core beside the others.
fn spawn(task: impl Future<Output = ()> + 'static) {
    #[cfg(test)]
    let task = sim::hooks::watched(task);
    monoio::spawn(task);
}

/// One core's world.
pub(crate) struct Worker {
    index: usize,
    shared: Arc<Shared>,
    cells: Arc<CoreCells>,
    view: RefCell<Rc<View>>,
    generation: Cell<u64>,
    deadlines: Rc<Deadlines>,
    buffers: Rc<Buffers>,
    claims: Claims,
    doors: RefCell<Vec<Rc<Door>>>,
    /// Whether a door waits for a connection to end.
    paused: Cell<bool>,
    /// Tasks that serve a door, closed ones included until they have let go of its socket.
    acceptors: Cell<usize>,
    #[expect(clippy::vec_box, reason = "rented one by one, and moving a head is not free")]
    heads: RefCell<Vec<Box<Heads>>>,
    /// Heads are written here first, then copied to where they go; never held over an await.
    scratch: RefCell<Vec<u8>>,
    luck: RefCell<Luck>,
    /// Cursor of round-robin balancing.
    turn: Cell<usize>,
    identities: Identities,
    date: Date,
    log: RefCell<Recorder>,
    sightings: RefCell<rtrb::Producer<Sighting>>,
    lane: Rc<Lane<Message>>,
    account: Arc<Account>,
    shadow: Arc<gnomon_shadow::run::Desk>,
    /// Number of the next exchange that is copied.
    ticket: Cell<u64>,
    /// Bytes that open taps hold.
    tapped: Cell<u64>,
    /// How much of the latest while this core has worked.
    busy: Cell<Share>,
    /// The level of strain that it goes by.
    strained: Cell<Level>,
    /// Whether somebody looks at exchanges as they end.
    viewed: Cell<bool>,
}

/// Room for one exchange's parsed heads, used again and again.
#[derive(Default)]
pub(crate) struct Heads {
    pub(crate) request: RequestHead,
    pub(crate) reply: ResponseHead,
}

/// Parsed-head rooms kept for later; 512 of them are some 2 MiB.
const HEADS_SPARE: usize = 512;

impl Worker {
    fn new(setup: Setup) -> Rc<Self> {
        let cells = Arc::clone(&setup.shared.cores[setup.index]);
        let snapshot = setup.shared.publisher.current();
        let (generation, viewed) = (snapshot.generation, snapshot.viewed);
        let view = View::of(snapshot, (setup.index, &setup.account), &cells, None);
        cells.generation.set(generation);
        let mut luck = Luck::from_seed(setup.seed);
        Rc::new(Self {
            index: setup.index,
            view: RefCell::new(Rc::new(view)),
            generation: Cell::new(generation),
            deadlines: Deadlines::new(),
            buffers: Buffers::new(Arc::clone(&cells)),
            claims: Claims::new(Arc::clone(&cells)),
            doors: RefCell::default(),
            paused: Cell::new(false),
            acceptors: Cell::new(0),
            heads: RefCell::default(),
            scratch: RefCell::default(),
            identities: Identities::new(luck.draw()),
            luck: RefCell::new(luck),
            turn: Cell::new(setup.index),
            date: Date::new(),
            log: RefCell::new(Recorder::new(setup.log)),
            sightings: RefCell::new(setup.sightings),
            lane: Rc::new(setup.lane),
            account: setup.account,
            shadow: setup.shadow,
            ticket: Cell::new(0),
            tapped: Cell::new(0),
            busy: Cell::new(Share::NONE),
            strained: Cell::default(),
            viewed: Cell::new(viewed),
            shared: setup.shared,
            cells,
        })
    }

    /// The current view. An exchange takes it once and keeps it to its end.
    fn view(&self) -> Rc<View> {
        Rc::clone(&self.view.borrow())
    }

    /// Takes over a newer snapshot, if there is one: one load if not.
    fn refresh(self: &Rc<Self>) {
        if self.shared.publisher.generation() != self.generation.get() {
            self.take_over();
        }
    }

    #[cold]
    fn take_over(self: &Rc<Self>) {
        let snapshot = self.shared.publisher.current();
        let generation = snapshot.generation;
        self.viewed.set(snapshot.viewed);
        let before = self.view();
        let view =
            Rc::new(View::of(snapshot, (self.index, &self.account), &self.cells, Some(&before)));
        for origin in &before.origins {
            if !view.origins.iter().any(|kept| Rc::ptr_eq(kept, origin)) {
                origin.retire();
            }
        }
        *self.view.borrow_mut() = view;
        self.generation.set(generation);
        tick::follow_listeners(self);
        self.resume_accepting();
        self.cells.generation.set(generation);
    }

    /// Whether this core has as many client connections as it may.
    fn is_full(&self) -> bool {
        let most = u64::from(self.view.borrow().connections_max);
        self.cells.connections.read() >= most
    }

    /// Whether a door may go on; if not, it is told when that may have changed.
    fn has_room(&self) -> bool {
        let is_full = self.is_full();
        if is_full {
            self.paused.set(true);
        }
        !is_full
    }

    fn strain(&self) -> Level {
        self.shared.guard.strain()
    }

    /// How long a client may be silent between two requests.
    fn idle(&self) -> Ticks {
        let idle = self.view.borrow().default_patience.idle;
        if self.strain() == Level::Calm { idle } else { idle.min(restraint::STRAINED_IDLE) }
    }

    /// Gives back what is only held because it may be needed again.
    fn relieve(&self) {
        self.buffers.trim();
        self.heads.borrow_mut().truncate(buffers::SPARE_AFTER_BURST);
        memory::give_back();
    }

    /// There may be room again for doors that had to pause.
    fn resume_accepting(&self) {
        if !self.paused.replace(false) {
            return;
        }
        for door in self.doors.borrow().iter() {
            door.knock();
        }
    }

    fn reap_origins(&self, all: bool) {
        let now = self.deadlines.now();
        for origin in &self.view().origins {
            origin.reap(now, all);
        }
    }

    fn next_ticket(&self) -> u64 {
        let ticket = self.ticket.get();
        self.ticket.set(ticket + 1);
        ticket
    }

    fn rent_heads(&self) -> Box<Heads> {
        self.heads.borrow_mut().pop().unwrap_or_default()
    }

    fn return_heads(&self, heads: Box<Heads>) {
        let mut spare = self.heads.borrow_mut();
        if spare.len() < HEADS_SPARE {
            spare.push(heads);
        }
    }
}
