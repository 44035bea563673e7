//! Sends each request at its time, whatever became of those before.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use gnomon_shadow::{counts::Failed, recording::Flaw};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{
    feed::{Feed, Turn},
    line::{Answer, Lines, Question},
    pace::Pace,
    summary::{Judge, Summary},
};
use crate::{
    cli::{FAILED, Failure},
    clock::{self, Moment},
};

/// What is sent, where and when.
pub(super) struct Sender {
    pub(super) to: String,
    pub(super) host: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) methods: Vec<String>,
    pub(super) pace: Pace,
    pub(super) time: Option<Duration>,
    pub(super) connections: u32,
    pub(super) lines: Arc<Lines>,
}

/// One exchange that is over.
pub(super) struct Done {
    pub(super) turn: Turn,
    pub(super) answer: Result<Answer, Failed>,
    /// When it was to be sent.
    pub(super) due: Moment,
    /// Its place, until it has been judged: what cannot be judged in time slows the sender, and
    /// shows as late.
    _place: OwnedSemaphorePermit,
}

/// What was counted while sending.
#[derive(Default)]
pub(super) struct Sent {
    pub(super) exchanges: u64,
    pub(super) sent: u64,
    /// Not sent, by reason.
    pub(super) skipped: BTreeMap<String, u64>,
    pub(super) late: u64,
    pub(super) took: Duration,
}

impl Sender {
    /// Sends the capture, and says what came of it.
    pub(super) async fn run(&self, feed: Feed, judge: Judge) -> Result<Summary, Failure> {
        let (turns, fed) = mpsc::channel(AHEAD);
        let (done, judged) = mpsc::channel(AHEAD);
        let feeding = tokio::task::spawn_blocking(move || read(feed, &turns));
        let judging = tokio::task::spawn_blocking(move || judge.judge(judged));
        let sent = self.send_all(fed, done).await;
        let broken = |_| Failure::new(FAILED, "a thread has panicked; please report this as a bug");
        let is_whole = feeding.await.map_err(broken)?;
        let is_whole = is_whole
            .map_err(|flaw| Failure::new(FAILED, format!("the capture is damaged: {flaw}")))?;
        let judge = judging.await.map_err(broken)?;
        Ok(judge.sum_up(&self.to, sent, is_whole))
    }

    async fn send_all(&self, mut fed: mpsc::Receiver<Turn>, done: mpsc::Sender<Done>) -> Sent {
        let places = Arc::new(Semaphore::new(self.connections as usize));
        let mut sent = Sent::default();
        let begun = clock::now();
        let until = self.time.map(|time| begun + time);
        let sending = self.send_each(&mut fed, &done, &places, &mut sent, begun);
        tokio::select! {
            () = sending => {}
            () = sleep_until(until) => {}
            // Whoever interrupts wants to know how it went so far.
            _ = tokio::signal::ctrl_c() => {}
        }
        // Nobody reads on.
        drop(fed);
        sent.took = begun.elapsed();
        // All that are under way have their time.
        let _ = places.acquire_many(self.connections).await;
        sent
    }

    async fn send_each(
        &self,
        fed: &mut mpsc::Receiver<Turn>,
        done: &mpsc::Sender<Done>,
        places: &Arc<Semaphore>,
        sent: &mut Sent,
        begun: Moment,
    ) {
        while let Some(turn) = fed.recv().await {
            sent.exchanges += 1;
            let question = match self.question(&turn) {
                Ok(question) => question,
                Err(why) => {
                    *sent.skipped.entry(why).or_default() += 1;
                    continue;
                }
            };
            let due = self.pace.due(sent.sent, turn.at).map(|at| begun + at);
            if let Some(due) = due {
                tokio::time::sleep_until(due.into()).await;
            }
            // Never closed.
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let now = clock::now();
            let due = due.unwrap_or(now);
            sent.late += u64::from(now.saturating_duration_since(due) > LATE);
            sent.sent += 1;
            let (lines, done) = (self.lines.clone(), done.clone());
            tokio::spawn(async move {
                let answer = lines.ask(question).await;
                // Nobody judges any more only after a panic.
                let _ = done.send(Done { turn, answer, due, _place: place }).await;
            });
        }
    }

    /// The bytes to send, or why not.
    fn question(&self, turn: &Turn) -> Result<Question, String> {
        let request = &turn.recorded.request;
        if !self.methods.contains(&request.method) {
            return Err(format!("method {}", request.method));
        }
        let host = self.host.as_deref().or_else(|| request.field("host")).unwrap_or(&self.to);
        let bytes = request.to_bytes(host, &self.headers).map_err(|flaw| flaw.to_string())?;
        Ok(Question::of(&request.method, bytes))
    }
}

/// Reads ahead of the sender; whether the capture has its last line.
fn read(mut feed: Feed, turns: &mpsc::Sender<Turn>) -> Result<bool, Flaw> {
    while let Some(turn) = feed.next()? {
        // The sender has had enough.
        if turns.blocking_send(turn).is_err() {
            return Ok(true);
        }
    }
    Ok(feed.is_whole())
}

async fn sleep_until(until: Option<Moment>) {
    match until {
        Some(until) => tokio::time::sleep_until(until.into()).await,
        None => std::future::pending().await,
    }
}

/// Exchanges that are read ahead, and that wait to be judged.
const AHEAD: usize = 256;
/// Sent so much after its time, a request is late: timers alone are not that bad.
const LATE: Duration = Duration::from_millis(10);
