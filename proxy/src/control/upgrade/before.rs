//! The process before this one: what it still tells while it finishes what it began.

use std::{thread, time::Duration};

use crossbeam_channel::{Receiver, Sender, TryRecvError, unbounded};

use super::{Control, lock};
use crate::{
    cells::totals::Totals,
    control::{
        api::{Kind, Refused},
        series::SeriesLeft,
    },
    heritage::{
        Frame, Line,
        left::{Left, News},
    },
};

/// The process before this one.
#[derive(Debug)]
pub(crate) struct Predecessor {
    pub(super) pid: u32,
    pub(super) succession: u64,
    pub(super) cores: Vec<Totals>,
    pub(super) own: Totals,
    /// Taken once.
    pub(super) series: Option<SeriesLeft>,
    heard: Receiver<Heard>,
}

/// What is heard of it.
#[derive(Debug)]
enum Heard {
    News(Box<News>),
    Farewell(u64),
}

impl Predecessor {
    /// Listens to what it still has to say.
    pub(crate) fn listen(line: Line, left: &Left) -> Result<Self, Refused> {
        let (sender, heard) = unbounded();
        let thread = thread::Builder::new().name("gnomon-before".to_owned());
        // Never joined: it ends with the other process.
        drop(thread.spawn(move || follow(line, &sender)).map_err(|error| {
            Refused::new(Kind::Machine, format!("the thread gnomon-before: {error}"))
        })?);
        Ok(Self {
            pid: left.pid,
            succession: left.succession,
            cores: left.counts.cores.clone(),
            own: left.counts.own.clone(),
            series: Some(left.series.clone()),
            heard,
        })
    }
}

fn follow(mut line: Line, sender: &Sender<Heard>) {
    loop {
        let heard = match line.receive(SILENCE) {
            Ok(Some(Frame::News(news))) => Heard::News(news),
            Ok(Some(Frame::Farewell { cut })) => Heard::Farewell(cut),
            Ok(Some(other)) => {
                let error = other.unexpected();
                return tracing::error!(%error, "the process before is not understood");
            }
            Ok(None) => return,
            Err(error) => {
                return tracing::error!(%error, "the process before is not heard any more");
            }
        };
        let is_last = matches!(heard, Heard::Farewell(_));
        if sender.send(heard).is_err() || is_last {
            return;
        }
    }
}

impl Control {
    /// Takes over what the process before has still done, if there is one.
    pub(crate) fn hear_before(&self) {
        let mut before = lock(&self.succession.before);
        let Some(known) = &*before else { return };
        loop {
            match known.heard.try_recv() {
                Ok(Heard::News(news)) => {
                    if !news.counts.cores.is_empty() {
                        self.succession.count_cores(&news.counts.cores);
                    }
                    if news.counts.own != Totals::default() {
                        lock(&self.succession.own).clone_from(&news.counts.own);
                    }
                    self.state().hear(*news);
                }
                Ok(Heard::Farewell(cut)) => {
                    tracing::info!(pid = known.pid, cut, "the process before has finished");
                    self.farewell_happened(known.pid, Some(cut));
                    self.state().trials.bury(true);
                    break;
                }
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    tracing::warn!(pid = known.pid, "the process before has ended without a word");
                    self.farewell_happened(known.pid, None);
                    self.state().trials.bury(false);
                    break;
                }
            }
        }
        *before = None;
    }
}

/// It says something four times a second.
const SILENCE: Duration = Duration::from_secs(60);
