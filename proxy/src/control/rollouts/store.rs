//! What rollouts have decided and seen, in a file.
//!
//! A commit is on the disk when it returns: a weight is raised only after that. The decision record
//! is only ever appended to; evidence is bounded by age and size, oldest first.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    path::Path,
};

use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use gnomon_policy::{
    judge::Cohort,
    rollout::{Event, State},
};
use gnomon_shadow::store::{Fault, open_as};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use serde::{Deserialize, Serialize};

use crate::control::{
    api::rollout::{Line, Record},
    keeper::{self, Book, i64_of, open_durable, open_sound, parse, text},
};

/// A rollout's position, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Kept {
    /// Where it is.
    pub(crate) state: State,
    /// What it moves: `shop@v1`, `shop@v2`.
    pub(crate) ends: (String, String),
    /// The canary's endpoints, as the file writes them.
    pub(crate) endpoints: Vec<String>,
    /// What the step has seen.
    pub(crate) requests: gnomon_policy::rollout::Arms<u64>,
    /// Copies compared when the step began.
    pub(crate) copies: u64,
}

/// The judge's state and the evidence it has taken since it was last written.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Evidence {
    pub(crate) generation: u32,
    /// As JSON.
    pub(crate) judge: String,
    pub(crate) cohorts: Vec<Cohort>,
}

/// What is to be written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    /// The newest of each rollout.
    pub(crate) kept: BTreeMap<String, Kept>,
    /// In order.
    pub(crate) records: Vec<Record>,
    pub(crate) evidence: Vec<(String, Evidence)>,
    /// Who stops the line, if that has changed.
    pub(crate) line: Option<Option<Line>>,
}

/// What was kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Saved {
    pub(crate) rollouts: BTreeMap<String, (Kept, Option<Evidence>)>,
    pub(crate) line: Option<Line>,
    /// Why nothing is known, if something should be.
    pub(crate) lost: Option<String>,
}

/// Reads what is kept at `path`. Blocks. A file that is damaged is moved aside; whatever is wrong
/// with it is in the answer.
pub(crate) fn load(path: &Path, now: u64) -> Saved {
    let (saved, lost) = keeper::load(path, now, read);
    Saved { lost, ..saved }
}

fn read(path: &Path) -> Result<Saved, Fault> {
    let connection = open_sound(path, prepare)?;
    let mut saved = Saved::default();
    let mut statement = connection.prepare("SELECT name, doc FROM rollout")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for row in rows {
        let (name, doc): (String, String) = row?;
        let kept: Kept = parse(&doc)?;
        let judge = judge(&connection, &name)?;
        saved.rollouts.insert(name, (kept, judge));
    }
    let line = connection.query_row("SELECT doc FROM line", [], |row| row.get::<_, String>(0));
    saved.line = line.optional()?.map(|doc| parse(&doc)).transpose()?;
    Ok(saved)
}

fn judge(connection: &Connection, name: &str) -> Result<Option<Evidence>, Fault> {
    let found = connection.query_row(
        "SELECT generation, doc FROM judge WHERE rollout = ?1",
        [name],
        |row| Ok((row.get(0)?, row.get(1)?)),
    );
    let found: Option<(u32, String)> = found.optional()?;
    Ok(found.map(|(generation, judge)| Evidence { generation, judge, ..Evidence::default() }))
}

/// An open file.
pub(crate) struct Store(Connection);

impl Book for Store {
    type Batch = Batch;
    const WHAT: &'static str = "what rollouts do";
    const ELSE: &'static str = "no weight is raised";

    fn open(path: &Path) -> Result<Self, Fault> {
        Ok(Self(open_durable(path, prepare)?))
    }

    fn write(&mut self, batch: &Batch, now: u64) -> Result<(), Fault> {
        let transaction = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for record in &batch.records {
            append(&transaction, record)?;
        }
        for (name, kept) in &batch.kept {
            transaction.execute(
                "INSERT OR REPLACE INTO rollout VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    name,
                    kept.state.phase.name(),
                    i64::try_from(kept.state.step).unwrap_or(i64::MAX),
                    kept.state.weight().percent(),
                    i64_of(now),
                    text(kept)?,
                ],
            )?;
        }
        for (name, evidence) in &batch.evidence {
            add_evidence(&transaction, name, evidence)?;
        }
        if let Some(line) = &batch.line {
            transaction.execute("DELETE FROM line", [])?;
            if let Some(line) = line {
                transaction.execute("INSERT INTO line VALUES (?1)", [text(line)?])?;
            }
        }
        prune(&transaction, &batch.evidence, now)?;
        transaction.commit()?;
        self.0.execute_batch("PRAGMA incremental_vacuum(64)")?;
        Ok(())
    }

    fn is_empty(batch: &Batch) -> bool {
        batch.kept.is_empty()
            && batch.records.is_empty()
            && batch.evidence.is_empty()
            && batch.line.is_none()
    }

    fn precede(batch: &mut Batch, earlier: Batch) {
        for (name, kept) in earlier.kept {
            batch.kept.entry(name).or_insert(kept);
        }
        batch.records.splice(0..0, earlier.records);
        batch.evidence.splice(0..0, earlier.evidence);
        let over = batch.evidence.len().saturating_sub(EVIDENCE_WAITING);
        batch.evidence.drain(..over);
        batch.line = batch.line.take().or(earlier.line);
    }
}

fn append(transaction: &Transaction<'_>, record: &Record) -> Result<(), Fault> {
    let Event { at, generation, from, to, .. } = &record.event;
    transaction.execute(
        "INSERT INTO record (rollout, at, generation, phase_from, phase_to, reason, why, by, doc)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            record.rollout,
            i64_of(*at),
            generation,
            from.name(),
            to.name(),
            to.reason(),
            record.event.why,
            record.event.by,
            text(record)?,
        ],
    )?;
    Ok(())
}

fn add_evidence(
    transaction: &Transaction<'_>,
    name: &str,
    evidence: &Evidence,
) -> Result<(), Fault> {
    let Evidence { generation, judge, cohorts } = evidence;
    transaction.execute(
        "INSERT OR REPLACE INTO judge VALUES (?1, ?2, ?3)",
        params![name, generation, judge],
    )?;
    let (Some(first), Some(last)) = (cohorts.first(), cohorts.last()) else { return Ok(()) };
    transaction.execute(
        "INSERT INTO evidence (rollout, generation, first, last, cohorts, doc)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            name,
            generation,
            i64_of(first.second),
            i64_of(last.second),
            i64::try_from(cohorts.len()).unwrap_or(i64::MAX),
            pack(cohorts)?,
        ],
    )?;
    Ok(())
}

/// Keeps evidence within its bounds.
fn prune(
    transaction: &Transaction<'_>,
    evidence: &[(String, Evidence)],
    now: u64,
) -> Result<(), Fault> {
    for (name, _) in evidence {
        transaction.execute(
            "DELETE FROM evidence WHERE rollout = ?1 AND (last < ?2 OR id <= (
                 SELECT id FROM (
                     SELECT id, SUM(LENGTH(doc)) OVER (ORDER BY id DESC) AS sum
                     FROM evidence WHERE rollout = ?1
                 ) WHERE sum > ?3 ORDER BY id DESC LIMIT 1))",
            params![name, i64_of(now.saturating_sub(EVIDENCE_AGE)), EVIDENCE_BYTES],
        )?;
    }
    Ok(())
}

/// A page of a rollout's decision record, newest first, and how many there are. Blocks.
pub(crate) fn history(
    path: &Path,
    name: &str,
    offset: usize,
    limit: usize,
) -> Result<(usize, Vec<Record>), Fault> {
    if !path.exists() {
        return Ok((0, Vec::new()));
    }
    let connection = open_as(path, prepare)?;
    let total: i64 =
        connection.query_row("SELECT COUNT(*) FROM record WHERE rollout = ?1", [name], |row| {
            row.get(0)
        })?;
    let mut statement = connection.prepare(
        "SELECT id, doc FROM record WHERE rollout = ?1 ORDER BY id DESC LIMIT ?2 OFFSET ?3",
    )?;
    let bound = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![name, bound(limit), bound(offset)], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    let mut records = Vec::new();
    for row in rows {
        let (id, doc): (u64, String) = row?;
        records.push(Record { id, ..parse(&doc)? });
    }
    Ok((usize::try_from(total).unwrap_or_default(), records))
}

/// Hands all that is kept of a start's evidence to `each`, in order. Blocks.
pub(crate) fn evidence(
    path: &Path,
    name: &str,
    generation: u32,
    each: &mut dyn FnMut(&Cohort),
) -> Result<(), Fault> {
    if !path.exists() {
        return Ok(());
    }
    let connection = open_as(path, prepare)?;
    let mut statement = connection
        .prepare("SELECT doc FROM evidence WHERE rollout = ?1 AND generation = ?2 ORDER BY id")?;
    let mut rows = statement.query(params![name, generation])?;
    while let Some(row) = rows.next()? {
        let packed: Vec<u8> = row.get(0)?;
        unpack(&packed)?.iter().for_each(&mut *each);
    }
    Ok(())
}

fn pack(cohorts: &[Cohort]) -> Result<Vec<u8>, Fault> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text(&cohorts)?.as_bytes()).map_err(Fault::Io)?;
    encoder.finish().map_err(Fault::Io)
}

fn unpack(packed: &[u8]) -> Result<Vec<Cohort>, Fault> {
    let mut doc = String::new();
    let decoder = DeflateDecoder::new(packed).take(UNPACKED_MAX);
    { decoder }.read_to_string(&mut doc).map_err(|error| Fault::Corrupt(error.to_string()))?;
    parse(&doc)
}

/// Makes the database one of this version.
fn prepare(connection: &mut Connection) -> Result<(), Fault> {
    // Takes hold only in a file without tables.
    connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version > VERSION {
        return Err(Fault::Newer(version));
    }
    if version < VERSION {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Version of the tables, kept in `user_version`.
const VERSION: i64 = 1;

/// The tables. Times are seconds since 1970. The columns are for reading, by `sqlite3 FILE`; `doc`
/// is the whole row as JSON and what is read after a restart.
const TABLES: &str = "
-- Where each rollout is. weight: percent.
CREATE TABLE IF NOT EXISTS rollout (
    name TEXT NOT NULL PRIMARY KEY, phase TEXT NOT NULL, step INTEGER NOT NULL,
    weight REAL NOT NULL, written INTEGER NOT NULL, doc TEXT NOT NULL
) WITHOUT ROWID;

-- Every transition, for good. generation: of which start. doc holds the judge's report.
CREATE TABLE IF NOT EXISTS record (
    id INTEGER PRIMARY KEY AUTOINCREMENT, rollout TEXT NOT NULL, at INTEGER NOT NULL,
    generation INTEGER NOT NULL, phase_from TEXT NOT NULL, phase_to TEXT NOT NULL,
    reason TEXT NOT NULL, why TEXT NOT NULL, by TEXT NOT NULL, doc TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS record_of ON record (rollout, id);

-- What the judge knew when evidence was last written.
CREATE TABLE IF NOT EXISTS judge (
    rollout TEXT NOT NULL PRIMARY KEY, generation INTEGER NOT NULL, doc TEXT NOT NULL
) WITHOUT ROWID;

-- What the judge was given: some seconds in a row. doc: JSON, deflated.
CREATE TABLE IF NOT EXISTS evidence (
    id INTEGER PRIMARY KEY AUTOINCREMENT, rollout TEXT NOT NULL, generation INTEGER NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL, cohorts INTEGER NOT NULL, doc BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS evidence_of ON evidence (rollout, generation, id);

-- One row while somebody stops the line.
CREATE TABLE IF NOT EXISTS line (doc TEXT NOT NULL);
";

/// Seconds for which evidence is kept: two weeks.
const EVIDENCE_AGE: u64 = 14 * 86_400;
/// Bytes of packed evidence that are kept of a rollout.
const EVIDENCE_BYTES: i64 = 64 << 20;
/// Pieces of evidence that may wait while nothing can be written; beyond, the oldest go.
const EVIDENCE_WAITING: usize = 256;
/// Bytes of one piece, unpacked.
const UNPACKED_MAX: u64 = 64 << 20;

#[cfg(test)]
mod tests;
