//! One run: a worker, its world, and virtual time between them.

use std::{
    future::poll_fn,
    io::Write,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    pin::pin,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use gnomon_config::model::{Share, UpstreamIx, VersionIx};
use gnomon_shadow::{counts::Account, lanes, run::Desk};
use gnomon_sys::duplex::Duplex;

use super::{
    client::Client,
    draw::Draw,
    events::{Event, Schedule},
    hooks,
    knobs::Knobs,
    origin::Endpoint,
    world::World,
};
use crate::{
    access,
    boot::Shared,
    clock::{self, Moment},
    control::{
        listeners,
        registry::{EndpointKey, VersionKey},
        resolve::Answers,
        state::State,
    },
    runtime,
    snapshot::{Phase, Publisher},
    trial,
    worker::{Setup, Worker, tick, tick::Housekeeping},
};

/// What became of a run.
pub(super) struct Report {
    pub(super) trace: Vec<String>,
    /// What must not have happened.
    pub(super) wrong: Vec<String>,
    pub(super) exchanges: usize,
}

/// Runs `seed` to its end, on this thread.
pub(super) fn run(seed: u64, folder: &Path) -> Report {
    hooks::reset();
    let mut draw = Draw::new(seed);
    let knobs = Knobs::draw(&mut draw);
    let config = parse(&knobs, folder);
    let mut engine = runtime::build(&config.runtime).unwrap();
    let folder = folder.to_owned();
    let report = engine.runtime.block_on(async move {
        let sim = Sim::new(draw, knobs, folder);
        monoio::spawn(sim.run()).await
    });
    // On this driver, no operation is the kernel's to complete.
    drop(engine);
    clock::simulate(None);
    report
}

fn parse(knobs: &Knobs, folder: &Path) -> gnomon_config::Config {
    let options = gnomon_config::Options::default();
    let loaded = gnomon_config::parse("sim.toml", &knobs.text(folder), &options);
    loaded.unwrap_or_else(|problems| panic!("{}", problems.render(false))).config
}

pub(super) struct Sim {
    pub(super) world: World,
    pub(super) worker: Rc<Worker>,
    pub(super) shared: Arc<Shared>,
    pub(super) state: State,
    pub(super) endpoints: Vec<Endpoint>,
    clients: Vec<Client>,
    house: Housekeeping,
    schedule: Schedule,
    knobs: Knobs,
    folder: PathBuf,
    log: rtrb::Consumer<u8>,
    pub(super) logged: u64,
    frame: Vec<u8>,
    begun: Moment,
    wall: Duration,
    pub(super) panics: u64,
    bell: Bell,
    is_over: bool,
}

/// Milliseconds between two turns of the worker's housekeeping, and of control's.
const TICK: u64 = crate::patience::TICK_MILLIS as u64;
const CONTROL_TICK: u64 = 100;

/// Polls in one instant after which the worker is held to be spinning.
const POLLS_MAX: u64 = 200_000;

/// No run is that long.
const LENGTH_MAX: u64 = 120_000;

impl Sim {
    fn new(mut draw: Draw, knobs: Knobs, folder: PathBuf) -> Self {
        let begun = clock::now();
        let wall = Duration::from_secs(1_800_000_000);
        clock::simulate(Some((begun, wall)));
        let seed = std::array::from_fn(|_| draw.bits() as u8);
        let mut world = World::new(draw);
        world.is_tight = knobs.is_tight();
        world.is_crowded = knobs.connections < 10;
        world.say(format!("{knobs:?}"));
        let versions = ["v1", "v1", "v2", "v1"];
        let endpoints = versions.iter().enumerate();
        let endpoints: Vec<_> = endpoints
            .map(|(name, version)| Endpoint::new(name, version, folder.join(format!("o{name}"))))
            .collect();
        let config = parse(&knobs, &folder);
        // A run that failed may have left it.
        let _ = std::fs::remove_file(folder.join("front"));
        let mut last_id = 0;
        let bound = listeners::bind_all(&config.listeners, &[], 1, &mut last_id).unwrap();
        let mut state = State::new(config, 1, bound, last_id, Answers::new()).unwrap();
        let shared = Arc::new(Shared {
            publisher: Publisher::new(state.build()),
            cores: vec![Arc::default()],
            guard: crate::guard::Guard::new([1, 2]),
        });
        let (setup, log) = setup(&shared, &state, seed);
        let worker = Worker::new(setup);
        tick::follow_listeners(&worker);
        let bad = world.draw.pick(&[0, 0, 20, 60]);
        let count = world.draw.between(1, 8) as usize;
        let mut clients = Vec::new();
        for name in 0..count {
            let client = Client::draw(name, &mut world, folder.join("front"), bad);
            world.say(client.describe());
            clients.push(client);
        }
        let schedule = Schedule::draw(&mut world.draw, endpoints.len());
        world.say(format!("{schedule:?}"));
        Self {
            world,
            worker,
            shared,
            state,
            endpoints,
            clients,
            house: Housekeeping::begin(),
            schedule,
            knobs,
            folder,
            log,
            logged: 0,
            frame: Vec::new(),
            begun,
            wall,
            panics: 0,
            bell: Bell::new(),
            is_over: false,
        }
    }

    async fn run(mut self) -> Report {
        loop {
            let moved = self.act().await;
            self.settle().await;
            if moved {
                continue;
            }
            if self.is_over {
                break;
            }
            self.advance().await;
            if self.world.now > LENGTH_MAX {
                self.world.accuse("it never ends");
                break;
            }
        }
        super::verdict::close(&mut self);
        let World { trace, wrong, exchanges, .. } = self.world;
        Report { trace, wrong, exchanges: exchanges.len() }
    }

    /// Everybody does one thing, in any order, with the worker between them or not.
    async fn act(&mut self) -> bool {
        let mut any = false;
        for actor in self.world.draw.order(self.clients.len() + self.endpoints.len()) {
            // What a client sees may have its reason already.
            self.read_log();
            let moved = match self.clients.get_mut(actor) {
                Some(client) => client.step(&mut self.world),
                None => {
                    let place = actor - self.clients.len();
                    self.endpoints[place].step(&mut self.world)
                }
            };
            any |= moved;
            if std::mem::take(&mut self.world.is_hushed) {
                self.settle().await;
            } else if moved {
                match self.world.draw.below(4) {
                    0 => self.settle().await,
                    1 => self.bell.turn().await,
                    _ => {}
                }
            }
        }
        any
    }

    /// Gives the worker time until it has nothing more to do.
    async fn settle(&mut self) {
        let first = hooks::polls();
        loop {
            let before = hooks::polls();
            self.bell.turn().await;
            if hooks::polls() == before {
                break;
            }
            if before - first > POLLS_MAX {
                self.world.accuse("the worker spins");
                self.is_over = true;
                return;
            }
        }
        self.read_log();
    }

    fn read_log(&mut self) {
        let Self { log, frame, world, logged, .. } = self;
        while access::read(log, frame, |record| {
            *logged += 1;
            world.say(format!(
                "logged: {} {} {} ms, {} attempts, {} up {} down",
                record.status,
                String::from_utf8_lossy(&record.end),
                record.total_us / 1000,
                record.attempts,
                record.received,
                record.sent
            ));
        }) {}
        let panics = self.worker.cells.panics.read();
        if panics > self.panics {
            self.panics = panics;
            self.world.say("a task has panicked");
            self.world.excuse(self.world.now);
        }
    }

    /// Nothing can be done at this moment: on to the next at which something can.
    async fn advance(&mut self) {
        let now = self.world.now;
        let wakes = self.clients.iter().filter_map(|client| client.wake(now));
        let rests = self.endpoints.iter().filter_map(|endpoint| endpoint.wake(now));
        let next_tick = (now / TICK + 1) * TICK;
        let next = wakes.chain(rests).chain(self.schedule.next(now)).min().unwrap_or(u64::MAX);
        self.world.now = next.min(next_tick);
        self.set_clock();
        while let Some(event) = self.schedule.take(self.world.now) {
            self.world.say(format!("{event:?}"));
            self.happen(event);
            if self.world.draw.chance(50) {
                self.settle().await;
            }
        }
        if self.world.now.is_multiple_of(CONTROL_TICK) {
            self.control();
        }
        if self.world.now.is_multiple_of(TICK) && self.house.turn(&self.worker) {
            self.world.say("the worker has drained");
            self.is_over = true;
        }
    }

    fn set_clock(&self) {
        let since = Duration::from_millis(self.world.now);
        clock::simulate(Some((self.begun + since, self.wall + since)));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Down(place, until) => {
                self.world.excuse(until);
                self.endpoints[place].end(&mut self.world);
            }
            Event::Up(place) => self.endpoints[place].begin(&mut self.world),
            Event::Silent(place, until) => {
                self.world.excuse(until);
                self.endpoints[place].answer(&mut self.world, false);
            }
            Event::Answers(place) => self.endpoints[place].answer(&mut self.world, true),
            // Control takes no more orders once it stops.
            Event::Reload if self.world.draining.is_some() => {}
            Event::Reload => {
                self.knobs.turn(&mut self.world.draw);
                let config = parse(&self.knobs, &self.folder);
                self.state.take_config(config, Answers::new(), None).unwrap();
                self.publish();
            }
            Event::Weight => self.weigh(),
            Event::Check(place, passes) => self.check(place, passes),
            Event::Panic(after) => hooks::plant(after),
            Event::Jump(hours) => {
                let leap = Duration::from_secs(3600 * hours.unsigned_abs());
                let later = self.wall + leap;
                self.wall = if hours < 0 { self.wall.saturating_sub(leap) } else { later };
                self.set_clock();
            }
            Event::Stall(millis) => {
                self.world.now += millis;
                self.set_clock();
            }
        }
    }

    fn weigh(&mut self) {
        let share = self.world.draw.pick(&[0, 1_000, 30_000, 100_000]);
        if self.state.set_share(UpstreamIx(0), VersionIx(1), Share(share)).is_ok() {
            self.publish();
        }
    }

    /// Three checks of an endpoint, which is enough either way.
    fn check(&mut self, place: usize, passes: bool) {
        let config = self.state.config.clone();
        for upstream in &config.upstreams {
            let Some(health) = &upstream.health else { continue };
            for version in &upstream.versions {
                let key =
                    VersionKey { upstream: upstream.name.clone(), version: version.name.clone() };
                for (address, _) in self.state.endpoints(version) {
                    let key = EndpointKey { version: key.clone(), address };
                    if !key.to_string().ends_with(&format!("o{place}")) {
                        continue;
                    }
                    for _ in 0..3 {
                        let result = if passes { Ok(()) } else { Err("as planned".to_owned()) };
                        self.state.registry.note_check(&key, result, health);
                    }
                }
            }
        }
        self.publish();
    }

    fn control(&mut self) {
        let changed = self.state.tick(Duration::from_millis(self.world.now));
        if !changed.is_empty() {
            self.world.say(format!("{} endpoints are ejected or forgiven", changed.len()));
            self.publish();
        }
        self.state.free();
        let all_done = self.clients.iter().all(|client| client.is_done);
        let drains = self.schedule.drain <= self.world.now || all_done;
        match (self.world.draining, self.world.closing) {
            (None, _) if drains => {
                self.world.say("draining");
                self.world.draining = Some(self.world.now);
                self.enter(Phase::Draining);
            }
            (Some(since), None) if self.world.now >= since + super::DRAIN_MILLIS => {
                self.world.say("closing");
                self.world.closing = Some(self.world.now);
                self.enter(Phase::Closing);
            }
            _ => {}
        }
    }

    /// As control does it: without listeners.
    fn enter(&mut self, phase: Phase) {
        self.state.phase = phase;
        listeners::unlink(&std::mem::take(&mut self.state.listeners));
        self.publish();
    }

    fn publish(&mut self) {
        self.state.publish(&self.shared.publisher);
    }
}

/// A bell that the kernel carries from this task to itself. By the time it is heard, all that was
/// ready when it was rung has been polled.
struct Bell {
    rope: UnixStream,
    ear: Duplex,
}

impl Bell {
    fn new() -> Self {
        let (rope, ear) = UnixStream::pair().unwrap();
        ear.set_nonblocking(true).unwrap();
        Self { rope, ear: Duplex::unix(ear).unwrap() }
    }

    /// One turn of the loop: all tasks that are ready, and a look at the kernel.
    async fn turn(&mut self) {
        let Self { rope, ear } = self;
        let mut heard = pin!(ear.read(vec![0; 1]));
        let mut is_rung = false;
        poll_fn(|cx| {
            // It is listened for before it is rung, or it would be heard without asking the kernel.
            let heard = heard.as_mut().poll(cx);
            if heard.is_pending() && !std::mem::replace(&mut is_rung, true) {
                rope.write_all(&[0]).unwrap();
            }
            heard
        })
        .await
        .0
        .unwrap();
    }
}

fn setup(shared: &Arc<Shared>, state: &State, seed: [u8; 32]) -> (Setup, rtrb::Consumer<u8>) {
    let (log, ring) = rtrb::RingBuffer::new(access::RING_BYTES);
    let (sightings, _) = rtrb::RingBuffer::new(trial::SIGHTINGS);
    let (lane, _) = lanes::lane(64);
    let (report, _) = crossbeam_channel::bounded(1);
    let setup = Setup {
        index: 0,
        cpu: None,
        shared: shared.clone(),
        log,
        sightings,
        lane,
        account: Arc::new(Account::default()),
        shadow: Arc::new(Desk::new().unwrap().0),
        runtime: state.config.runtime.clone(),
        seed,
        report,
    };
    (setup, ring)
}
