//! Webhooks: who is told of transitions, and who is asked before a weight is raised.
//!
//! Transitions go out one after the other. One that cannot be delivered is tried again, then given
//! up; while the queue is full, the newest are dropped. Both are counted, and the record has all.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use gnomon_config::model::{Name, On};
use serde_json::json;
use tokio::sync::Notify;

use super::Entry;
use crate::control::{
    Control,
    api::rollout::{Hooks, Record},
    client,
};

/// What waits to be told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Desk(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    queue: Mutex<VecDeque<Letter>>,
    wake: Notify,
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Letter {
    url: Arc<str>,
    timeout: Duration,
    retries: u32,
    body: Bytes,
}

impl Desk {
    /// Puts a transition into the queue.
    pub(crate) fn tell(
        &self,
        url: &Arc<str>,
        on: &On,
        record: &Record,
        ends: &(String, String),
        text: &str,
    ) {
        let body = json!({
            "rollout": record.rollout, "from": ends.0, "to": ends.1, "text": text,
            "event": record.event, "report": record.report, "config": record.config,
        });
        let letter = Letter {
            url: url.clone(),
            timeout: on.timeout,
            retries: on.retries,
            body: body.to_string().into(),
        };
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() >= QUEUE_MAX {
            self.0.dropped.fetch_add(1, Relaxed);
            return;
        }
        queue.push_back(letter);
        self.0.wake.notify_one();
    }

    /// Delivers, for ever.
    pub(crate) async fn deliver_for_ever(self) {
        loop {
            let next = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            match next {
                Some(letter) => self.deliver(letter).await,
                None => self.0.wake.notified().await,
            }
        }
    }

    async fn deliver(&self, letter: Letter) {
        let Letter { url, timeout, retries, body } = letter;
        match call(&url, &body, timeout, retries, |status| (200..300).contains(&status)).await {
            Ok(_) => drop(self.0.sent.fetch_add(1, Relaxed)),
            Err(why) => {
                self.0.failed.fetch_add(1, Relaxed);
                tracing::warn!(%url, why, "a webhook is given up");
            }
        }
    }

    pub(crate) fn counts(&self) -> Hooks {
        let waiting = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner).len();
        Hooks {
            sent: self.0.sent.load(Relaxed),
            failed: self.0.failed.load(Relaxed),
            dropped: self.0.dropped.load(Relaxed),
            waiting: u64::try_from(waiting).unwrap_or(u64::MAX),
        }
    }
}

/// Posts until an answer is one, at most `retries` times more, each time after a longer pause.
async fn call(
    url: &str,
    body: &Bytes,
    timeout: Duration,
    retries: u32,
    is_answer: impl Fn(u16) -> bool,
) -> Result<u16, String> {
    let mut pause = PAUSE;
    let mut tries = 0;
    loop {
        let why = match client::post(url, body.clone(), timeout).await {
            Ok((status, _)) if is_answer(status) => return Ok(status),
            Ok((status, _)) => format!("status {status}"),
            Err(why) => why,
        };
        if tries >= retries {
            return Err(why);
        }
        tries += 1;
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

impl Control {
    /// Asks whether the next step may come. A status below 500 is an answer, 2xx is yes.
    pub(super) fn ask_confirm(self: &Arc<Self>, entry: &Entry) {
        let Some(url) = entry.plan.on.confirm.clone() else { return };
        let (timeout, retries) = (entry.plan.on.timeout, entry.plan.on.retries);
        let (name, state): (Name, _) = (entry.plan.name.clone(), entry.controller.state());
        let epoch = state.epoch;
        let body = json!({
            "rollout": &*name, "from": entry.ends.0, "to": entry.ends.1, "state": state,
            "report": entry.evidence.report(),
        });
        let body = Bytes::from(body.to_string());
        let control = self.clone();
        tokio::spawn(async move {
            let answer = call(&url, &body, timeout, retries, |status| status < 500).await;
            let result = match answer {
                Ok(status) if (200..300).contains(&status) => Ok(()),
                Ok(status) => Err(format!("on.confirm says no: status {status}")),
                Err(why) => Err(format!("on.confirm does not answer: {why}")),
            };
            let now = crate::clock::steady().as_secs();
            if let Some(entry) = control.rollouts().entries.get_mut(&name) {
                entry.controller.confirmed(epoch, now, result);
            }
        });
    }
}

/// Transitions that may wait.
const QUEUE_MAX: usize = 256;
/// Before the second try; doubled with each.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);
