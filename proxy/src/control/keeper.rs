//! Has everything written that is to outlive the process, in order, off the control thread.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Release},
        },
    },
    thread,
    time::Duration,
};

use gnomon_shadow::store::{Fault, move_aside, open_as};
use rusqlite::Connection;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::Notify;

use crate::clock;

/// An open file.
pub(crate) trait Book: Sized + Send + 'static {
    /// What is to be written.
    type Batch: Default + Send;
    /// What is written, in a sentence that goes on with "cannot be written" or "is written again".
    const WHAT: &'static str;
    /// What follows from it if it cannot be written.
    const ELSE: &'static str;

    /// Opens or makes it. Blocks.
    fn open(path: &Path) -> Result<Self, Fault>;
    /// Writes all of it or nothing; on the disk when this returns. `now` is in seconds since 1970.
    fn write(&mut self, batch: &Self::Batch, now: u64) -> Result<(), Fault>;
    /// Whether there is nothing to write.
    fn is_empty(batch: &Self::Batch) -> bool;
    /// Puts what could not be written before what has come since.
    fn precede(batch: &mut Self::Batch, earlier: Self::Batch);
}

/// The way to the disk.
pub(crate) struct Keeper<B: Book> {
    path: PathBuf,
    waiting: Mutex<Waiting<B::Batch>>,
    /// All up to this is on the disk.
    written: AtomicU64,
    wake: Notify,
    /// Open while things go well. Taken out for as long as it is used.
    book: Mutex<Option<B>>,
}

#[derive(Default)]
struct Waiting<T> {
    last: u64,
    batch: T,
    trouble: Option<String>,
}

impl<B: Book> Keeper<B> {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            waiting: Mutex::default(),
            written: AtomicU64::default(),
            wake: Notify::default(),
            book: Mutex::default(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Hands something over; gives back its number.
    pub(crate) fn keep(&self, add: impl FnOnce(&mut B::Batch)) -> u64 {
        let mut waiting = self.waiting();
        add(&mut waiting.batch);
        waiting.last += 1;
        self.wake.notify_one();
        waiting.last
    }

    /// Whether what has this number, and all before it, is on the disk.
    pub(crate) fn has(&self, number: u64) -> bool {
        self.written.load(Acquire) >= number
    }

    /// Why nothing can be written now, if so.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.waiting().trouble.clone()
    }

    /// Waits until there is something, and writes it; whether it is written now.
    pub(crate) async fn turn(self: &Arc<Self>) -> bool {
        self.wake.notified().await;
        let written = self.flush().await;
        if !written {
            tokio::time::sleep(PAUSE).await;
            self.wake.notify_one();
        }
        written
    }

    /// Writes what there is; whether it is written.
    pub(crate) async fn flush(self: &Arc<Self>) -> bool {
        let keeper = self.clone();
        let writing = tokio::task::spawn_blocking(move || keeper.write());
        writing.await.unwrap_or(false)
    }

    /// Blocks.
    fn write(&self) -> bool {
        // Held throughout: who flushes waits for who writes.
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, batch) = {
            let mut waiting = self.waiting();
            (waiting.last, std::mem::take(&mut waiting.batch))
        };
        if B::is_empty(&batch) {
            self.written.store(number, Release);
            return true;
        }
        if book.is_some() && !self.path.exists() {
            // Somebody took the file away; what is written into it would go nowhere.
            *book = None;
        }
        let now = clock::steady().as_secs();
        let written = match &mut *book {
            Some(book) => book.write(&batch, now),
            None => self.open().and_then(|new| book.insert(new).write(&batch, now)),
        };
        let mut waiting = self.waiting();
        match written {
            Ok(()) => {
                if waiting.trouble.take().is_some() {
                    tracing::info!("{} is written again", B::WHAT);
                }
                self.written.store(number, Release);
                true
            }
            Err(fault) => {
                B::precede(&mut waiting.batch, batch);
                let file = self.path.display();
                if waiting.trouble.replace(fault.to_string()).is_none() {
                    tracing::error!(%file, %fault, "{} cannot be written: {}", B::WHAT, B::ELSE);
                }
                if fault.is_corrupt() {
                    *book = None;
                    let aside = move_aside(&self.path, now, &fault);
                    tracing::error!(aside, "the file is begun anew");
                }
                false
            }
        }
    }

    fn open(&self) -> Result<B, Fault> {
        use std::os::unix::fs::DirBuilderExt;
        if let Some(folder) = self.path.parent() {
            let mut builder = std::fs::DirBuilder::new();
            let made = builder.recursive(true).mode(0o700).create(folder);
            made.map_err(Fault::Io)?;
        }
        B::open(&self.path)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<B::Batch>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Book> std::fmt::Debug for Keeper<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Makes a database one of the present version.
type Prepare = fn(&mut Connection) -> Result<(), Fault>;

/// What `read` finds at `path`, and why nothing is known, if something should be. Blocks. A file that is
/// damaged is moved aside.
pub(crate) fn load<S: Default>(
    path: &Path,
    now: u64,
    read: fn(&Path) -> Result<S, Fault>,
) -> (S, Option<String>) {
    if !path.exists() {
        return (S::default(), None);
    }
    let mut tries = 0;
    let fault = loop {
        match read(path) {
            Ok(saved) => return (saved, None),
            Err(fault) if fault.is_corrupt() => {
                return (S::default(), Some(move_aside(path, now, &fault)));
            }
            Err(fault) if tries == LOAD_TRIES => break fault,
            // Somebody may be reading it.
            Err(_) => thread::park_timeout(LOAD_PAUSE),
        }
        tries += 1;
    };
    (S::default(), Some(fault.to_string()))
}

/// Opens a file that is to be read whole, if it is sound.
pub(crate) fn open_sound(path: &Path, prepare: Prepare) -> Result<Connection, Fault> {
    let connection = open_as(path, prepare)?;
    let sound: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if sound == "ok" { Ok(connection) } else { Err(Fault::Corrupt(sound)) }
}

/// Opens a file whose commits survive a power cut.
pub(crate) fn open_durable(path: &Path, prepare: Prepare) -> Result<Connection, Fault> {
    let connection = open_as(path, prepare)?;
    connection.execute_batch("PRAGMA synchronous = FULL")?;
    Ok(connection)
}

/// How a row is kept.
pub(crate) fn text(value: &impl Serialize) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|error| Fault::Corrupt(error.to_string()))
}

/// What a row says.
pub(crate) fn parse<T: DeserializeOwned>(doc: &str) -> Result<T, Fault> {
    serde_json::from_str(doc).map_err(|error| Fault::Corrupt(error.to_string()))
}

/// As a column holds it.
pub(crate) fn i64_of(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Tries to read a file that is locked: two seconds.
const LOAD_TRIES: u32 = 10;
const LOAD_PAUSE: Duration = Duration::from_millis(200);
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);
