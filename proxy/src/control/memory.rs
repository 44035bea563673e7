//! What shadows have learnt, kept over restarts: the key that secrets are hashed under, the store,
//! and the thread that writes it.
//!
//! Nothing is opened before there is a shadow. Where the folder cannot be used, shadows work all the
//! same, and what they learn ends with the process.

use std::{
    cell::Cell,
    fs,
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    thread,
    time::Duration,
};

use gnomon_shadow::{ledger::Saved, run::Desk, store};
use gnomon_sys::entropy;

use super::api::{StoreError, StoreStatus};
use crate::clock;

/// The folder of the state, as far as shadows use it.
#[derive(Debug)]
pub(crate) struct Memory {
    folder: PathBuf,
    status: store::Status,
    opened: OnceLock<Opened>,
    ending: AtomicBool,
    /// Set to have the thread write once more, and then rest.
    resting: AtomicBool,
    /// Whether it rests.
    rests: AtomicBool,
}

#[derive(Debug)]
struct Opened {
    key: [u8; 32],
    /// Whether what is learnt is written down.
    keeps: bool,
}

impl Memory {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            status: store::Status::default(),
            opened: OnceLock::new(),
            ending: AtomicBool::new(false),
            resting: AtomicBool::new(false),
            rests: AtomicBool::new(false),
        }
    }

    /// Has the thread write once more, and then leave the file alone.
    pub(crate) fn rest(&self) {
        self.resting.store(true, Release);
    }

    /// Has the thread go on writing.
    pub(crate) fn wake(&self) {
        self.resting.store(false, Release);
    }

    /// Whether nobody here touches the file.
    pub(crate) fn is_resting(&self) -> bool {
        self.rests.load(Acquire) || self.keeps() != Some(true)
    }

    /// The key, and what an earlier process has learnt; that only the first time. Blocks.
    pub(crate) fn open(&self) -> ([u8; 32], Saved) {
        if let Some(opened) = self.opened.get() {
            return (opened.key, Saved::default());
        }
        let (key, saved, keeps) = match self.read() {
            Ok((key, saved)) => (key, saved, true),
            Err(why) => {
                let folder = self.folder.display();
                tracing::error!(%folder, %why, "what shadows learn is not kept over a restart");
                self.status.fail(now(), &format!("{folder}: {why}"));
                (entropy::draw().unwrap_or_default(), Saved::default(), false)
            }
        };
        let opened = self.opened.get_or_init(|| Opened { key, keeps });
        (opened.key, saved)
    }

    fn read(&self) -> Result<([u8; 32], Saved), String> {
        let io = |error: io::Error| error.to_string();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(io)?;
        let key = key(&self.folder.join(KEY)).map_err(io)?;
        let mut tries = 0;
        loop {
            match store::load(&self.folder.join(STORE), now(), &self.status) {
                Ok(saved) => return Ok((key, saved)),
                Err(fault) if tries == LOAD_TRIES => return Err(fault.to_string()),
                // Somebody may be reading it.
                Err(_) => thread::park_timeout(LOAD_PAUSE),
            }
            tries += 1;
        }
    }

    /// The body of the thread that writes: waits until there is something to keep.
    pub(crate) fn keep(&self, desk: &Desk) {
        loop {
            let is_ending = self.ending.load(Acquire);
            match self.opened.get() {
                Some(Opened { keeps: true, .. }) if !self.resting.load(Acquire) => {
                    self.write(desk);
                    if !self.resting.load(Acquire) {
                        return;
                    }
                    self.rests.store(true, Release);
                }
                Some(_) | None if is_ending => return,
                Some(_) | None => thread::park_timeout(LOOK),
            }
        }
    }

    fn write(&self, desk: &Desk) {
        let troubled = Cell::new(false);
        let newest = || {
            self.tell(&troubled);
            desk.report()
        };
        let is_over = || self.ending.load(Acquire) || self.resting.load(Acquire);
        self.rests.store(false, Release);
        store::run(&self.folder.join(STORE), &newest, &now, &is_over, &self.status);
        self.tell(&troubled);
    }

    /// Writes into our own log that the store has begun to fail, or is well again.
    fn tell(&self, troubled: &Cell<bool>) {
        let file = self.folder.join(STORE);
        let file = file.display();
        match self.trouble() {
            Some((_, why)) if !troubled.replace(true) => {
                tracing::warn!(%file, %why, "what shadows learn cannot be written; it is tried again");
            }
            None if troubled.replace(false) => {
                tracing::info!(%file, "what shadows learn is written again");
            }
            Some(_) | None => {}
        }
    }

    /// What went wrong last and when, in milliseconds since 1970, unless all is well again.
    fn trouble(&self) -> Option<(u64, Box<str>)> {
        let written = self.status.last_write.load(Relaxed);
        self.status.last_error().filter(|(at, _)| *at >= written)
    }

    /// How the store fares.
    pub(crate) fn report(&self) -> StoreStatus {
        let status = &self.status;
        let seconds = |millis: u64| Duration::from_millis(millis).as_secs_f64();
        let written = status.last_write.load(Relaxed);
        StoreStatus {
            keeps: self.keeps(),
            trouble: self.trouble().is_some(),
            writes: status.writes.load(Relaxed),
            failures: status.failures.load(Relaxed),
            pending: status.pending.load(Relaxed),
            last_write_seconds: (written > 0).then(|| seconds(written)),
            last_error: status
                .last_error()
                .map(|(at, what)| StoreError { time_seconds: seconds(at), what: what.into() }),
        }
    }

    /// Has the thread write what there is, and end.
    pub(crate) fn end(&self) {
        self.ending.store(true, Release);
    }

    /// Whether what is learnt is written down; none before there is a shadow.
    pub(crate) fn keeps(&self) -> Option<bool> {
        self.opened.get().map(|opened| opened.keeps)
    }
}

/// Milliseconds since 1970.
fn now() -> u64 {
    u64::try_from(clock::wall().as_millis()).unwrap_or(u64::MAX)
}

/// The key in the file; drawn and written if there is none yet.
fn key(path: &Path) -> io::Result<[u8; 32]> {
    let mut key = [0; 32];
    match fs::File::open(path) {
        Ok(mut file) => {
            file.read_exact(&mut key)?;
            return Ok(key);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    key = entropy::draw()?;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&key)?;
    file.sync_all()?;
    Ok(key)
}

/// Names in the folder.
const KEY: &str = "redact.key";
const STORE: &str = "shadow.db";
/// Tries to read a store that is locked: two seconds.
const LOAD_TRIES: u32 = 10;
const LOAD_PAUSE: Duration = Duration::from_millis(200);
/// Between two looks whether there is something to keep.
const LOOK: Duration = Duration::from_secs(1);
