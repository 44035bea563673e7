//! Keeps what the ledger knows in a file, so that it survives a restart.
//!
//! A thread of its own looks once a second for a newer report and writes what changed in one
//! transaction. The shadow thread never waits for it, and nothing queues up: a report holds all
//! that there is to write, so a second in which the file is locked or the disk full loses nothing
//! but that second.

mod rows;
mod schema;

use std::{
    fmt, fs, io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use crate::{ledger::Saved, report::Report};
use rows::Known;

/// Writes the newest report into the file at `path` until told to end, and once more then.
///
/// `newest` gives the report, `now` the time in milliseconds since 1970. Unpark the thread to have
/// it end at once.
pub fn run(
    path: &Path,
    newest: &dyn Fn() -> Arc<Report>,
    now: &dyn Fn() -> u64,
    is_over: &dyn Fn() -> bool,
    status: &Status,
) {
    let mut store = None;
    loop {
        let is_last = is_over();
        turn(path, &mut store, &newest(), now(), status);
        if is_last {
            return;
        }
        thread::park_timeout(PERIOD);
    }
}

/// Reads what was kept in the file at `path`. A file that is corrupt is moved aside; one that is
/// not there is empty.
///
/// # Errors
/// If the file cannot be read now, or was written by a newer version of this program.
pub fn load(path: &Path, now: u64, status: &Status) -> Result<Saved, Fault> {
    if !path.try_exists().map_err(Fault::Io)? {
        return Ok(Saved::default());
    }
    let read = || {
        let connection = open(path)?;
        let sound: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if sound == "ok" { rows::read(&connection) } else { Err(Fault::Corrupt(sound)) }
    };
    match read() {
        Err(fault) if fault.is_corrupt() => {
            status.fail(now, &move_aside(path, now, &fault));
            Ok(Saved::default())
        }
        other => other,
    }
}

/// How the store fares, for whoever asks.
#[derive(Debug, Default)]
pub struct Status {
    /// When something was last written, in milliseconds since 1970; 0 if never.
    pub last_write: AtomicU64,
    /// Transactions.
    pub writes: AtomicU64,
    /// Seconds in which nothing could be written.
    pub failures: AtomicU64,
    /// Changes of the ledger that are not written yet.
    pub pending: AtomicU64,
    last_error: Mutex<Option<(u64, Box<str>)>>,
}

impl Status {
    /// What went wrong last and when, in milliseconds since 1970. Stays after things are well
    /// again: compare it with `last_write`.
    #[must_use]
    pub fn last_error(&self) -> Option<(u64, Box<str>)> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Something went wrong now.
    pub fn fail(&self, now: u64, what: &str) {
        self.failures.fetch_add(1, Relaxed);
        let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some((now, what.into()));
    }
}

/// Why the file cannot be used.
#[derive(Debug)]
pub enum Fault {
    /// The file system says no.
    Io(io::Error),
    /// The database says no: it is locked, full, or worse.
    Sqlite(rusqlite::Error),
    /// Its content is damaged.
    Corrupt(String),
    /// Its schema is of this later version.
    Newer(i64),
}

impl Fault {
    /// Whether the file is of no use any more.
    #[must_use]
    pub fn is_corrupt(&self) -> bool {
        match self {
            Self::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            ),
            Self::Corrupt(_) => true,
            Self::Io(_) | Self::Newer(_) => false,
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the file cannot be used: {error}"),
            Self::Sqlite(error) => write!(f, "the database cannot be used: {error}"),
            Self::Corrupt(why) => write!(f, "the database is damaged: {why}"),
            Self::Newer(version) => {
                write!(f, "the database is of version {version}, written by a newer program")
            }
        }
    }
}

impl std::error::Error for Fault {}

/// An open file and what is in it.
struct Store {
    connection: Connection,
    known: Known,
    /// Revision of the report that was last written.
    written: Option<u64>,
}

impl Store {
    fn open(path: &Path, now: u64) -> Result<Self, Fault> {
        let connection = open(path)?;
        rows::prune(&connection, now)?;
        let known = rows::known(&connection)?;
        Ok(Self { connection, known, written: None })
    }

    /// Writes what is new in `report`, all of it or nothing.
    fn write(&mut self, report: &Report, now: u64) -> Result<(), Fault> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let staged = rows::stage(&transaction, report, &self.known, now)?;
        transaction.commit()?;
        self.known.apply(staged);
        self.written = Some(report.revision);
        // A few pages at a time: a large file shrinks over some seconds.
        self.connection.execute_batch("PRAGMA incremental_vacuum(64)")?;
        Ok(())
    }
}

fn turn(path: &Path, store: &mut Option<Store>, report: &Report, now: u64, status: &Status) {
    let written = store.as_ref().and_then(|store| store.written);
    if written == Some(report.revision) {
        return;
    }
    status
        .pending
        .store(report.revision - written.unwrap_or_default().min(report.revision), Relaxed);
    if store.is_some() && !path.exists() {
        // Somebody took the file away; what is written into it would go nowhere.
        *store = None;
    }
    let outcome = match store {
        Some(store) => store.write(report, now),
        None => Store::open(path, now).and_then(|new| store.insert(new).write(report, now)),
    };
    match outcome {
        Ok(()) => {
            status.pending.store(0, Relaxed);
            status.writes.fetch_add(1, Relaxed);
            status.last_write.store(now, Relaxed);
        }
        Err(fault) => {
            let is_corrupt = fault.is_corrupt();
            if is_corrupt {
                *store = None;
                status.fail(now, &move_aside(path, now, &fault));
            } else {
                status.fail(now, &fault.to_string());
            }
        }
    }
}

fn open(path: &Path) -> Result<Connection, Fault> {
    open_as(path, schema::prepare)
}

/// Opens the file at `path`, for its user alone, and has `prepare` make the tables.
///
/// # Errors
/// If it cannot be opened or prepared now.
pub fn open_as(
    path: &Path,
    prepare: fn(&mut Connection) -> Result<(), Fault>,
) -> Result<Connection, Fault> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(Fault::Io)?;
    }
    // The database's own files take their mode from this one.
    let mut options = fs::OpenOptions::new();
    let file = options.create(true).append(true).mode(MODE).open(path).map_err(Fault::Io)?;
    file.set_permissions(fs::Permissions::from_mode(MODE)).map_err(Fault::Io)?;
    drop(file);
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    prepare(&mut connection)?;
    Ok(connection)
}

/// Moves the file and what belongs to it out of the way, and says so.
#[must_use]
pub fn move_aside(path: &Path, now: u64, fault: &Fault) -> String {
    let with = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let aside = with(&format!(".corrupt-{now}"));
    for end in ["-wal", "-shm"] {
        let mut to = aside.clone().into_os_string();
        to.push(end);
        // They need not be there.
        let _ = fs::rename(with(end), to);
    }
    match fs::rename(path, &aside) {
        Ok(()) => format!("{fault}; it was moved to {}", aside.display()),
        Err(error) => format!("{fault}; and it cannot be moved aside: {error}"),
    }
}

/// Nobody else's: even redacted, examples are of real users, and who decided what is theirs.
const MODE: u32 = 0o600;
/// Between two looks for a newer report.
const PERIOD: Duration = Duration::from_secs(1);
/// How long to wait for a lock. The next try is a second later anyway.
const PATIENCE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests;
