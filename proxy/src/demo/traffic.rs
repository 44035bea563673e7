//! The demo's other end: origins and users, on a thread and a runtime of their own.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use gnomon_policy::Luck;
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request,
    client::conn::http1::{SendRequest, handshake},
    header::{COOKIE, HOST, SET_COOKIE},
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use super::{
    HOST_NAME, ORDER_FIELD, STAFF_FIELD, VERSION_FIELD, chance,
    ledger::{Ask, Ledger, Outcome},
    origins::{self, ALIKE, Manner, VERSIONS},
};
use crate::{cli::DemoArguments, clock};

/// How much there is to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amount {
    pub(super) users: usize,
    /// Requests a second, of all users together.
    pub(super) rate: u32,
    pub(super) seed: u64,
    /// How the two versions behave.
    pub(super) manners: [Manner; 2],
    /// Share of the requests that are a checkout, which is a POST; the others are GETs.
    pub(super) checkouts: f64,
    /// One user in so many is staff; none if 0.
    pub(super) staff_every: usize,
}

impl Amount {
    /// As the arguments say.
    pub(super) fn of(arguments: &DemoArguments, rate: u32) -> Self {
        let users = usize::try_from(arguments.users).unwrap_or(usize::MAX);
        Self {
            users,
            rate,
            seed: arguments.seed,
            manners: ALIKE,
            checkouts: CHECKOUTS,
            staff_every: 0,
        }
    }
}

/// What the users are doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing: there is no proxy yet.
    Waiting,
    /// Asking this proxy.
    Asking(SocketAddr),
    /// Finishing what is under way.
    Ending,
    /// Gone, and the origins as well.
    Over,
}

/// Origins and users.
pub(super) struct Traffic {
    /// Where the origins are, stable first.
    pub(super) origins: [SocketAddr; 2],
    /// One for each Ctrl-C or SIGTERM.
    pub(super) interrupts: Receiver<()>,
    ledger: Arc<Mutex<Ledger>>,
    /// Whether the canary has nothing but errors.
    broken: Arc<AtomicBool>,
    stage: watch::Sender<Stage>,
    /// Closed once no user asks any more.
    ended: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Traffic {
    /// Starts the origins; the users wait for [`ask`](Self::ask).
    pub(super) fn start(amount: Amount) -> io::Result<Self> {
        let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listeners = [bind()?, bind()?];
        let origins = [listeners[0].local_addr()?, listeners[1].local_addr()?];
        let ledger = Arc::new(Mutex::new(Ledger::new(amount.users)));
        let (stage, stages) = watch::channel(Stage::Waiting);
        let (interrupt, interrupts) = unbounded();
        let (end, ended) = bounded(0);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let broken = Arc::<AtomicBool>::default();
        let crowd = Crowd { amount, ledger: ledger.clone(), broken: broken.clone(), stages };
        let thread = thread::Builder::new().name("gnomon-demo".to_owned()).spawn(move || {
            let body = crowd.run(listeners, interrupt, end);
            if let Err(error) = runtime.block_on(body) {
                tracing::error!(%error, "the demo's origins and users cannot be started");
            }
        })?;
        let thread = Some(thread);
        Ok(Self { origins, interrupts, ledger, broken, stage, ended, thread })
    }

    /// Has the users ask the proxy at `address`.
    pub(super) fn ask(&self, address: SocketAddr) {
        self.stage.send_replace(Stage::Asking(address));
    }

    /// Has the users finish. Tells whether they have, and nobody pressed Ctrl-C meanwhile.
    pub(super) fn end(&self) -> bool {
        self.stage.send_replace(Stage::Ending);
        crossbeam_channel::select! {
            recv(self.ended) -> _ => true,
            recv(self.interrupts) -> _ => false,
        }
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the canary fail all that it is asked from now on.
    pub(super) fn break_canary(&self) {
        self.ledger().break_canary(clock::now());
        self.broken.store(true, Relaxed);
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stage.send_replace(Stage::Over);
        if let Some(thread) = self.thread.take() {
            // Its panic has been told already.
            let _ = thread.join();
        }
    }
}

/// The runtime's half.
struct Crowd {
    amount: Amount,
    ledger: Arc<Mutex<Ledger>>,
    broken: Arc<AtomicBool>,
    stages: watch::Receiver<Stage>,
}

impl Crowd {
    async fn run(
        mut self,
        listeners: [TcpListener; 2],
        interrupt: Sender<()>,
        end: Sender<()>,
    ) -> io::Result<()> {
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            let (mut signals, interrupt) = (signal(kind)?, interrupt.clone());
            tokio::spawn(async move {
                while signals.recv().await.is_some() && interrupt.send(()).is_ok() {}
            });
        }
        let mut listening = Vec::new();
        for listener in listeners {
            listener.set_nonblocking(true)?;
            listening.push(tokio::net::TcpListener::from_std(listener)?);
        }
        let Ok(listening) = <[_; 2]>::try_from(listening) else { return Ok(()) };
        origins::serve(listening, self.amount.manners, &self.broken, self.amount.seed);

        // The other end lives as long as there is anything to wait for.
        let _ = self.stages.wait_for(|stage| *stage != Stage::Waiting).await;
        let stage = *self.stages.borrow();
        if let Stage::Asking(address) = stage {
            let mut users = JoinSet::new();
            for number in 0..self.amount.users {
                users.spawn(self.user(number, address).live());
            }
            let _ = self.stages.wait_for(|stage| !matches!(stage, Stage::Asking(_))).await;
            tokio::select! {
                () = async { while users.join_next().await.is_some() {} } => {}
                _ = self.stages.wait_for(|stage| *stage == Stage::Over) => {}
            }
        }
        drop(end);
        let _ = self.stages.wait_for(|stage| *stage == Stage::Over).await;
        Ok(())
    }

    fn user(&self, number: usize, proxy: SocketAddr) -> User {
        let Amount { users, rate, seed, checkouts, staff_every, .. } = self.amount;
        let share = u32::try_from(users).unwrap_or(u32::MAX);
        User {
            number,
            proxy,
            checkouts,
            is_staff: staff_every > 0 && number.is_multiple_of(staff_every),
            cookie: None,
            connection: None,
            luck: Luck::seeded(seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            pause: Duration::from_secs(1) * share / rate.max(1),
            ledger: self.ledger.clone(),
            stages: self.stages.clone(),
        }
    }
}

/// Somebody with a browser: a cookie, a connection that is kept, and thoughts between requests.
struct User {
    number: usize,
    proxy: SocketAddr,
    checkouts: f64,
    is_staff: bool,
    cookie: Option<String>,
    connection: Option<SendRequest<Empty<Bytes>>>,
    luck: Luck,
    /// How long thoughts last on average.
    pause: Duration,
    ledger: Arc<Mutex<Ledger>>,
    stages: watch::Receiver<Stage>,
}

impl User {
    async fn live(mut self) {
        loop {
            // Exponential: requests of many users then come as they do in life, from the first on.
            let pause = self.pause.mul_f64(-(1.0 - chance(&mut self.luck)).ln());
            let is_over = |stage: &Stage| !matches!(stage, Stage::Asking(_));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = self.stages.wait_for(is_over) => return,
            }
            let epoch = self.ledger().epoch;
            let begun = clock::now();
            let outcome = match timeout(PATIENCE, self.ask()).await {
                Ok(outcome) => outcome,
                Err(_) => Outcome::Failed(format!("no reply within {PATIENCE:?}")),
            };
            if matches!(outcome, Outcome::Failed(_)) {
                self.connection = None;
            }
            let ask = Ask { epoch, begun, took: begun.elapsed() };
            self.ledger().note(self.number, ask, outcome);
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&mut self) -> Outcome {
        match self.try_ask().await {
            Ok(outcome) => outcome,
            Err(why) => Outcome::Failed(why),
        }
    }

    async fn try_ask(&mut self) -> Result<Outcome, String> {
        let is_checkout = chance(&mut self.luck) < self.checkouts;
        let request = if is_checkout { Request::post("/checkout") } else { Request::get("/") };
        let mut request = request.header(HOST, HOST_NAME);
        if self.is_staff {
            request = request.header(STAFF_FIELD, "1");
        }
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, cookie);
        }
        let request = request.body(Empty::new()).map_err(|error| error.to_string())?;
        let mut connection = self.connected().await?;
        let reply = connection.send_request(request).await.map_err(|error| error.to_string())?;
        let (head, body) = reply.into_parts();
        body.collect().await.map_err(|error| error.to_string())?;
        self.connection = Some(connection);
        for set in head.headers.get_all(SET_COOKIE) {
            let pair = set.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
            self.cookie = Some(pair.to_owned());
        }
        let version = head.headers.get(VERSION_FIELD).and_then(|name| name.to_str().ok());
        let version = VERSIONS.iter().position(|name| Some(*name) == version);
        if head.headers.contains_key(ORDER_FIELD) {
            self.ledger().leaks += 1;
        }
        if let Some(version) = version.filter(|_| self.is_staff) {
            self.ledger().staff[version] += 1;
        }
        Ok(match version {
            Some(version) => Outcome::Replied { version, is_error: head.status.as_u16() >= 500 },
            None => Outcome::Failed(format!("the proxy answered by itself: {}", head.status)),
        })
    }

    /// The connection that is kept, or another if the proxy has closed it between two requests,
    /// which is its right.
    async fn connected(&mut self) -> Result<SendRequest<Empty<Bytes>>, String> {
        if let Some(mut kept) = self.connection.take()
            && kept.ready().await.is_ok()
        {
            return Ok(kept);
        }
        let stream = TcpStream::connect(self.proxy).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        // Its errors come up at the request.
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// How long a user waits: so long that a machine that is full is not taken for a proxy that fails.
const PATIENCE: Duration = Duration::from_secs(20);
/// One request in five.
pub(super) const CHECKOUTS: f64 = 0.2;
