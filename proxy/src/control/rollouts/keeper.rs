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
    time::Duration,
};

use tokio::sync::Notify;

use super::store::{Batch, Store};
use crate::clock;

/// The way to the disk.
#[derive(Default)]
pub(crate) struct Keeper {
    path: PathBuf,
    waiting: Mutex<Waiting>,
    /// All up to this is on the disk.
    written: AtomicU64,
    wake: Notify,
    /// Open while things go well. Taken out for as long as it is used.
    store: Mutex<Option<Store>>,
}

#[derive(Default)]
struct Waiting {
    last: u64,
    batch: Batch,
    trouble: Option<String>,
}

impl Keeper {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, ..Self::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Hands something over; gives back its number.
    pub(crate) fn keep(&self, add: impl FnOnce(&mut Batch)) -> u64 {
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
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, batch) = {
            let mut waiting = self.waiting();
            (waiting.last, std::mem::take(&mut waiting.batch))
        };
        if batch.is_empty() {
            self.written.store(number, Release);
            return true;
        }
        if store.is_some() && !self.path.exists() {
            // Somebody took the file away; what is written into it would go nowhere.
            *store = None;
        }
        let now = clock::steady().as_secs();
        let written = match &mut *store {
            Some(store) => store.write(&batch, now),
            None => self.open().and_then(|new| store.insert(new).write(&batch, now)),
        };
        let mut waiting = self.waiting();
        match written {
            Ok(()) => {
                if waiting.trouble.take().is_some() {
                    tracing::info!("what rollouts do is written again");
                }
                self.written.store(number, Release);
                true
            }
            Err(fault) => {
                waiting.batch.precede(batch);
                let file = self.path.display();
                if waiting.trouble.replace(fault.to_string()).is_none() {
                    tracing::error!(%file, %fault, "what rollouts do cannot be written: no weight is raised");
                }
                if fault.is_corrupt() {
                    *store = None;
                    let aside = gnomon_shadow::store::move_aside(&self.path, now, &fault);
                    tracing::error!(aside, "the file of rollouts is begun anew");
                }
                false
            }
        }
    }

    fn open(&self) -> Result<Store, gnomon_shadow::store::Fault> {
        use std::os::unix::fs::DirBuilderExt;
        if let Some(folder) = self.path.parent() {
            let mut builder = std::fs::DirBuilder::new();
            let made = builder.recursive(true).mode(0o700).create(folder);
            made.map_err(gnomon_shadow::store::Fault::Io)?;
        }
        Store::open(&self.path)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);
