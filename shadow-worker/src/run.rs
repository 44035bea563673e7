//! The shadow thread: takes messages from the lanes, replays copies, pairs the replies.
//!
//! Nobody waits for it. It looks into the lanes every `LINGER` for as long as it finds something
//! there, so that a copy costs its core no system call; after `LINGERS` vain looks it goes to sleep,
//! and the next copy rings a bell.

use std::{
    cell::{Cell, RefCell},
    io::{self, Write as _},
    os::unix::net::UnixStream,
    panic::AssertUnwindSafe,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release, SeqCst},
        },
    },
    task::Poll,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender};
use gnomon_policy::{Luck, Targets};
use gnomon_sys::duplex::Duplex;

use crate::{
    Clock,
    counts::{Account, Counts, Failed},
    exchange::{Answer, Copy, Message},
    lanes::Outlet,
    ledger::{Command, Ledger, Refusal, Saved},
    numbers::ByNumber,
    pair::Pair,
    recorder::{self, Recorder},
    replay::Lines,
    report::Report,
    span::Spans,
    terms::{Definition, Terms},
};

/// What the shadow thread and the rest of the process know of each other.
#[derive(Debug)]
pub struct Desk {
    ending: AtomicBool,
    /// Times that the thread's body had to be begun anew after a panic.
    pub restarts: AtomicU64,
    /// Messages taken from the lanes.
    pub taken: AtomicU64,
    /// What is known; the lock is held for as long as it takes to copy a pointer.
    report: Mutex<Arc<Report>>,
    /// What is to be known, and what was known before; changed by control alone.
    rules: Mutex<Arc<Rules>>,
    rules_revision: AtomicU64,
    orders: (Sender<Order>, Receiver<Order>),
    /// Whether the thread sleeps until somebody rings.
    asleep: AtomicBool,
    bell: UnixStream,
    /// Copies whose traces are told of.
    pub spans: Arc<Spans>,
}

impl Desk {
    /// A desk, and the end of its bell that the thread listens to.
    ///
    /// # Errors
    /// Why there is no bell.
    pub fn new() -> io::Result<(Self, UnixStream)> {
        let (bell, ear) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        ear.set_nonblocking(true)?;
        let desk = Self {
            ending: AtomicBool::new(false),
            restarts: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            report: Mutex::default(),
            rules: Mutex::default(),
            rules_revision: AtomicU64::new(0),
            orders: crossbeam_channel::bounded(ORDERS_MAX),
            asleep: AtomicBool::new(false),
            bell,
            spans: Arc::default(),
        };
        Ok((desk, ear))
    }

    /// What is known of all shadows.
    #[must_use]
    pub fn report(&self) -> Arc<Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Which shadows there are from now on.
    pub fn rule(&self, rules: Rules) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
        self.rules_revision.fetch_add(1, Release);
        self.ring();
    }

    /// Has the thread do what a person says. Gives the order back if too many are waiting.
    ///
    /// # Errors
    /// The order, if there is no room for it.
    pub fn order(&self, order: Order) -> Result<(), Order> {
        self.orders.0.try_send(order).map_err(crossbeam_channel::TrySendError::into_inner)?;
        self.ring();
        Ok(())
    }

    /// Tells the thread to end.
    pub fn end(&self) {
        self.ending.store(true, Relaxed);
        self.ring();
    }

    /// Whether the thread is to end.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.ending.load(Relaxed)
    }

    /// Wakes the thread if it sleeps: one load if it does not. Called behind a message that was
    /// handed over; should that be seen too late, the thread looks by itself after `IDLE`.
    pub fn ring(&self) {
        if self.asleep.load(Relaxed) && self.asleep.swap(false, SeqCst) {
            // A bell that is full has been rung.
            let _ = (&self.bell).write(&[1]);
        }
    }
}

/// What the ledger goes by.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The shadows.
    pub shadows: Vec<gnomon_config::model::Shadow>,
    /// Under which secrets are hashed.
    pub key: [u8; 32],
    /// What was kept from an earlier run.
    pub saved: Saved,
    /// Whether key and what was kept are known; not before there is a shadow.
    pub is_open: bool,
}

/// What a person says to a shadow, and who is told what came of it.
pub struct Order {
    /// The shadow's name.
    pub shadow: String,
    /// What is to be done.
    pub command: Command,
    /// Told whether it was.
    pub answer: Box<dyn FnOnce(Result<(), Refusal>) + Send>,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { shadow, command, .. } = self;
        f.debug_struct("Order").field("shadow", shadow).field("command", command).finish()
    }
}

/// One core's end with the shadow thread.
#[derive(Debug)]
pub struct Core {
    /// Its messages.
    pub outlet: Outlet<Message>,
    /// What it holds.
    pub account: Arc<Account>,
}

/// Serves the lanes until told to end.
///
/// # Errors
/// Why the bell cannot be heard.
pub async fn run(
    cores: &[Core],
    ear: &UnixStream,
    desk: &Arc<Desk>,
    clock: Clock,
    seed: [u8; 32],
) -> io::Result<()> {
    let ear = Duplex::unix(ear.try_clone()?)?;
    let shadow = Rc::new(Shadow {
        lines: Lines::new(clock),
        luck: RefCell::new(Luck::from_seed(seed)),
        pairs: RefCell::default(),
        ledger: RefCell::new(desk.remembered()),
        open: RefCell::new(Open::new(cores)),
        shut: RefCell::default(),
        is_open: Cell::new(false),
        spans: desk.spans.clone(),
    });
    let _closing = Closing { shadow: shadow.clone(), cores };
    let mut obeyed = 0;
    let mut published = (clock.now)();
    let bell = Rc::new(Bell::default());
    monoio::spawn(listen(ear, bell.clone()));
    let mut vain = 0;
    let mut swept = (clock.now)();
    while !desk.ending.load(Relaxed) {
        shadow.obey(desk, &mut obeyed);
        let found = if obeyed == 0 {
            // What was kept of an earlier run is still being read: a pair would be counted in vain.
            0
        } else {
            (0..).zip(cores).map(|(place, core)| shadow.take_from(place, core)).sum()
        };
        desk.taken.fetch_add(found as u64, Relaxed);
        vain = if found == 0 { LINGERS.min(vain + 1) } else { 0 };
        let now = (clock.now)();
        if now.saturating_duration_since(published) >= PUBLISH {
            published = now;
            desk.publish(shadow.ledger.borrow_mut().report(shadow.at()));
        }
        if now.saturating_duration_since(swept) >= SWEEP {
            swept = now;
            shadow.lines.deadlines.sweep(now);
            shadow.lines.pool.reap(now);
            shadow.reopen(now);
        }
        if vain < LINGERS {
            monoio::time::sleep(LINGER).await;
        } else {
            desk.asleep.store(true, SeqCst);
            bell.heard(IDLE).await;
            desk.asleep.store(false, SeqCst);
        }
    }
    desk.publish(shadow.ledger.borrow_mut().report(shadow.at()));
    Ok(())
}

/// Hears the bell, for as long as the process lives.
async fn listen(ear: Duplex, bell: Rc<Bell>) {
    let mut buffer = vec![0; 64];
    loop {
        let (read, back) = ear.read(buffer).await;
        buffer = back;
        if !matches!(read, Ok(1..)) {
            return;
        }
        bell.ring();
    }
}

/// Whether the bell has been rung, and who waits for it.
#[derive(Default)]
struct Bell {
    rung: Cell<bool>,
    waiting: RefCell<Option<std::task::Waker>>,
}

impl Bell {
    fn ring(&self) {
        self.rung.set(true);
        if let Some(waker) = self.waiting.borrow_mut().take() {
            waker.wake();
        }
    }

    async fn heard(&self, patience: Duration) {
        let hearing = std::future::poll_fn(|cx| {
            if self.rung.replace(false) {
                return Poll::Ready(());
            }
            *self.waiting.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        });
        // Not heard: then it is time to look all the same.
        let _ = monoio::time::timeout(patience, hearing).await;
    }
}

/// The thread's world.
pub(crate) struct Shadow {
    pub(crate) lines: Lines,
    pub(crate) luck: RefCell<Luck>,
    pub(crate) ledger: RefCell<Ledger>,
    /// Exchanges whose answer is to come, by core and ticket.
    pairs: RefCell<ByNumber<(usize, u64), Rc<Pair>>>,
    /// What has been taken from the lanes since this body was begun.
    open: RefCell<Open>,
    /// Whose copies are not worth their making, and until when.
    pub(crate) shut: RefCell<Vec<(Instant, Arc<Counts>)>>,
    /// Whether the ledger knows what was kept of an earlier run.
    is_open: Cell<bool>,
    pub(crate) spans: Arc<Spans>,
}

/// Books with copies under way in them.
struct Open {
    /// Of the shadows that had any; few.
    counts: Vec<Arc<Counts>>,
    /// Bytes that the messages taken from each core held, ever.
    taken: Vec<u64>,
}

impl Open {
    fn new(cores: &[Core]) -> Self {
        // Nothing is under way yet: all that was ever taken has been returned.
        let taken = cores.iter().map(|core| core.account.returned.read()).collect();
        Self { counts: Vec::new(), taken }
    }

    fn note(&mut self, counts: &Arc<Counts>) {
        if !self.counts.iter().any(|known| Arc::ptr_eq(known, counts)) {
            // Those of recordings that are over are nobody's any more.
            self.counts.retain(|known| Arc::strong_count(known) > 1);
            self.counts.push(counts.clone());
        }
    }

    /// What is under way has come to nothing: the runtime that it is suspended in never goes on.
    fn close(&self, cores: &[Core]) {
        for (Core { account, .. }, taken) in cores.iter().zip(&self.taken) {
            for counts in &self.counts {
                counts.shut.set(0);
                let (begun, finished) =
                    (&counts.begun[account.core], &counts.finished[account.core]);
                let lost = begun.read().saturating_sub(finished.read());
                counts.replay.failed[Failed::Panic as usize].add(lost);
                finished.set(begun.read());
            }
            account.returned.set(*taken);
        }
    }
}

/// Closes the books when the thread's body panics.
struct Closing<'a> {
    shadow: Rc<Shadow>,
    cores: &'a [Core],
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        // If the panic came while they were written to, they stay as they are.
        if let (true, Ok(open)) = (std::thread::panicking(), self.shadow.open.try_borrow()) {
            open.close(self.cores);
        }
    }
}

impl Desk {
    /// The ledger as it was when the thread last published it, or when it was last saved.
    fn remembered(&self) -> Ledger {
        let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let report = self.report();
        let saved = if report.revision == 0 {
            rules.saved.clone()
        } else {
            Saved { shadows: report.shadows.iter().map(|shadow| (**shadow).clone()).collect() }
        };
        Ledger::new(rules.key, saved)
    }

    fn publish(&self, report: Arc<Report>) {
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = report;
    }
}

impl Shadow {
    /// Milliseconds since 1970.
    pub(crate) fn at(&self) -> u64 {
        u64::try_from((self.lines.clock.wall)().as_millis()).unwrap_or(u64::MAX)
    }

    /// Follows new rules, and does what people say.
    fn obey(&self, desk: &Desk, obeyed: &mut u64) {
        let revision = desk.rules_revision.load(Acquire);
        if revision != *obeyed {
            let rules = desk.rules.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let mut ledger = self.ledger.borrow_mut();
            let opens = rules.is_open && !self.is_open.replace(true);
            if opens && desk.report().revision == 0 {
                *ledger = Ledger::new(rules.key, rules.saved.clone());
            }
            ledger.configure(&rules.shadows);
            *obeyed = revision;
        }
        for order in desk.orders.1.try_iter().take(ORDERS_MAX) {
            let Order { shadow, command, answer } = order;
            let done = self.ledger.borrow_mut().command(&shadow, command, self.at());
            desk.publish(self.ledger.borrow_mut().report(self.at()));
            answer(done);
        }
    }

    /// Takes what a core has sent; how many messages there were.
    fn take_from(self: &Rc<Self>, place: usize, core: &Core) -> usize {
        core.outlet.drain(BATCH, |message| {
            self.open.borrow_mut().taken[place] += message.weight();
            match message {
                Message::Copy(copy) => self.begin(*copy),
                Message::Answer(answer) => self.answered(*answer, &core.account),
            }
        })
    }

    fn begin(self: &Rc<Self>, copy: Copy) {
        let (core, ticket) = (copy.terms.account.core, copy.ticket);
        let terms = &copy.terms.terms;
        let begun = copy.targets.indices().filter_map(|index| {
            let whom = Whom::of(terms, index)?;
            Some((index, UnderWay::begin(whom, core)))
        });
        let begun: Vec<_> = begun.collect();
        for (_, under_way) in &begun {
            self.open.borrow_mut().note(under_way.whom.counts());
        }
        let Some(pair) = Pair::of(copy) else {
            for (_, under_way) in &begun {
                under_way.whom.counts().replay.failed[Failed::Panic as usize].add(1);
            }
            return;
        };
        self.lines.ration.allow(pair.terms().memory);
        let pair = Rc::new(pair);
        self.pairs.borrow_mut().insert((core, ticket), pair.clone());
        for (index, under_way) in begun {
            let (shadow, pair) = (self.clone(), pair.clone());
            monoio::spawn(async move {
                // A task is moved about before it first runs, and this is most of it.
                let serving = Box::pin(async {
                    match &under_way.whom {
                        Whom::Shadow(definition) => shadow.serve(&pair, index, definition).await,
                        Whom::Recorder(recorder) => record(&pair, recorder).await,
                    }
                });
                if caught(serving).await.is_err() {
                    let failed = &under_way.whom.counts().replay.failed;
                    failed[Failed::Panic as usize].add(1);
                }
                shadow.end(&pair);
            });
        }
    }

    fn answered(&self, answer: Answer, account: &Account) {
        let pair = self.pairs.borrow_mut().remove(&(account.core, answer.ticket));
        match pair {
            Some(pair) => pair.answered(answer),
            // Nobody waited so long.
            None => account.returned.add(answer.weight()),
        }
    }

    /// One of the pair's replays is over; the last one forgets it.
    fn end(&self, pair: &Rc<Pair>) {
        // Its own, and that in the map.
        if Rc::strong_count(pair) == 2 {
            let core = pair.copy.terms.account.core;
            self.pairs.borrow_mut().remove(&(core, pair.copy.ticket));
        }
    }
}

/// Who takes a copy.
enum Whom {
    Shadow(Arc<Definition>),
    Recorder(Arc<Recorder>),
}

impl Whom {
    fn of(terms: &Terms, index: usize) -> Option<Self> {
        if index == Targets::RECORDER {
            return terms.scope.as_ref().map(|scope| Self::Recorder(scope.recorder.clone()));
        }
        terms.shadows.get(index).cloned().map(Self::Shadow)
    }

    fn counts(&self) -> &Arc<Counts> {
        match self {
            Self::Shadow(definition) => &definition.counts,
            Self::Recorder(recorder) => &recorder.counts,
        }
    }
}

/// Writes an exchange down once its answer is there, or will not come.
async fn record(pair: &Pair, recorder: &Recorder) {
    let answer = pair.answer(recorder::PATIENCE).await;
    recorder.write(pair, answer);
}

/// A copy that is under way for one of those who take it.
struct UnderWay {
    whom: Whom,
    core: usize,
}

impl UnderWay {
    fn begin(whom: Whom, core: usize) -> Self {
        let counts = whom.counts();
        counts.begun[core].add(1);
        counts.replay.taken.add(1);
        Self { whom, core }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.whom.counts().finished[self.core].add(1);
    }
}

/// The output of `task`, or what it panicked with: one pair must not take the others with it.
async fn caught<T>(mut task: Pin<Box<impl Future<Output = T>>>) -> std::thread::Result<T> {
    std::future::poll_fn(|cx| {
        match std::panic::catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
}

/// Messages taken from one lane before the next has its turn, so that a busy core starves no other.
const BATCH: usize = 256;
/// Between two looks while there is work: a wake-up by a core would cost it 11 µs a copy.
const LINGER: Duration = Duration::from_millis(1);
/// Vain looks before the thread goes to sleep.
const LINGERS: u32 = 20;
/// Between two looks while it sleeps, should a bell be missed.
const IDLE: Duration = Duration::from_millis(50);
/// Orders that may wait: people are slow.
const ORDERS_MAX: usize = 16;
/// Between two reports.
const PUBLISH: Duration = Duration::from_millis(500);
/// Between two looks at deadlines.
const SWEEP: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes;

    #[test]
    fn after_a_panic_nothing_is_under_way_and_all_memory_is_free() {
        let account = Arc::new(Account::default());
        let (_, outlet) = lanes::lane(1);
        let cores = [Core { outlet, account: account.clone() }];
        let counts = Arc::new(Counts::new(1));
        counts.taps[0].copied.add(5);
        account.lent.add(170);
        account.returned.add(50);
        let mut open = Open::new(&cores);
        // Five were made; one is in the lane, four have been taken, two are done with.
        counts.begun[0].add(4);
        counts.finished[0].add(2);
        open.note(&counts);
        open.note(&counts);
        open.taken[0] += 100;
        account.returned.add(30);
        open.close(&cores);
        assert_eq!((counts.in_flight(0), account.held()), (1, 20));
        assert_eq!(counts.replay.failed[Failed::Panic as usize].read(), 2);
        assert_eq!(Open::new(&cores).taken, [150]);
    }
}
