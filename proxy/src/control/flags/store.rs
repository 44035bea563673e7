//! What people have changed of flags, who did it and why, in a file.
//!
//! A commit is on the disk when it returns. The record is only ever appended to.

use std::{collections::BTreeMap, path::Path};

use gnomon_flags::{Override, Overrides};
use gnomon_shadow::store::{Fault, open_as};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use serde::de::DeserializeOwned;

use super::hygiene::Seen;
use crate::control::{
    api::flag::Record,
    keeper::{self, Book, i64_of, open_durable, open_sound, parse, text},
};

/// What a source said last that was right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Good {
    /// Which source.
    pub(crate) what: String,
    /// In flagd's format.
    pub(crate) text: String,
    /// When it was read, in seconds since 1970.
    pub(crate) at: u64,
}

/// What is to be written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    /// The newest of each flag; none if nothing is changed any more.
    pub(crate) overrides: BTreeMap<String, Option<Override>>,
    /// In order.
    pub(crate) records: Vec<Record>,
    /// What the source says now, if that has changed.
    pub(crate) good: Option<Good>,
    /// When flags were last of use.
    pub(crate) seen: BTreeMap<String, Seen>,
}

/// What was kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Saved {
    pub(crate) overrides: Overrides,
    pub(crate) good: Option<Good>,
    pub(crate) seen: BTreeMap<String, Seen>,
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
    let good = connection.query_row("SELECT what, at, text FROM source", [], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    });
    let good: Option<(String, u64, String)> = good.optional()?;
    Ok(Saved {
        overrides: Overrides(documents(&connection, "SELECT flag, doc FROM override")?),
        good: good.map(|(what, at, text)| Good { what, text, at }),
        seen: documents(&connection, "SELECT flag, doc FROM seen")?,
        lost: None,
    })
}

fn documents<T: DeserializeOwned>(
    connection: &Connection,
    query: &str,
) -> Result<BTreeMap<String, T>, Fault> {
    let mut statement = connection.prepare(query)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut all = BTreeMap::new();
    for row in rows {
        let (name, doc): (String, String) = row?;
        all.insert(name, parse(&doc)?);
    }
    Ok(all)
}

/// An open file.
pub(crate) struct Store(Connection);

impl Book for Store {
    type Batch = Batch;
    const WHAT: &'static str = "what is changed of flags";
    const ELSE: &'static str = "a restart would forget it";

    fn open(path: &Path) -> Result<Self, Fault> {
        Ok(Self(open_durable(path, prepare)?))
    }

    fn write(&mut self, batch: &Batch, _: u64) -> Result<(), Fault> {
        let transaction = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for record in &batch.records {
            append(&transaction, record)?;
        }
        for (flag, change) in &batch.overrides {
            match change {
                Some(change) => transaction.execute(
                    "INSERT OR REPLACE INTO override VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![flag, i64_of(change.at), change.by, change.reason, text(change)?],
                )?,
                None => transaction.execute("DELETE FROM override WHERE flag = ?1", [flag])?,
            };
        }
        if let Some(Good { what, text, at }) = &batch.good {
            transaction.execute("DELETE FROM source", [])?;
            transaction.execute(
                "INSERT INTO source VALUES (?1, ?2, ?3)",
                params![what, i64_of(*at), text],
            )?;
        }
        for (flag, seen) in &batch.seen {
            transaction.execute(
                "INSERT OR REPLACE INTO seen VALUES (?1, ?2)",
                params![flag, text(seen)?],
            )?;
        }
        transaction.commit()?;
        Ok(())
    }

    fn is_empty(batch: &Batch) -> bool {
        batch.overrides.is_empty()
            && batch.records.is_empty()
            && batch.good.is_none()
            && batch.seen.is_empty()
    }

    fn precede(batch: &mut Batch, earlier: Batch) {
        for (flag, change) in earlier.overrides {
            batch.overrides.entry(flag).or_insert(change);
        }
        batch.records.splice(0..0, earlier.records);
        let over = batch.records.len().saturating_sub(RECORDS_WAITING);
        batch.records.drain(..over);
        batch.good = batch.good.take().or(earlier.good);
        for (flag, seen) in earlier.seen {
            batch.seen.entry(flag).or_insert(seen);
        }
    }
}

fn append(transaction: &Transaction<'_>, record: &Record) -> Result<(), Fault> {
    transaction.execute(
        "INSERT INTO record (flag, at, what, changes, why, by, doc)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            record.flag,
            i64_of(record.at),
            record.what,
            record.changes.join("; "),
            record.reason,
            record.by,
            text(record)?,
        ],
    )?;
    Ok(())
}

/// A page of the record, newest first, and how many lines there are. Blocks.
pub(crate) fn history(
    path: &Path,
    flag: Option<&str>,
    offset: usize,
    limit: usize,
) -> Result<(usize, Vec<Record>), Fault> {
    if !path.exists() {
        return Ok((0, Vec::new()));
    }
    let connection = open_as(path, prepare)?;
    let count = "SELECT COUNT(*) FROM record WHERE ?1 IS NULL OR flag = ?1";
    let total: i64 = connection.query_row(count, [flag], |row| row.get(0))?;
    let mut statement = connection.prepare(
        "SELECT id, doc FROM record WHERE ?1 IS NULL OR flag = ?1
         ORDER BY id DESC LIMIT ?2 OFFSET ?3",
    )?;
    let bound = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![flag, bound(limit), bound(offset)], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    let mut records = Vec::new();
    for row in rows {
        let (id, doc): (u64, String) = row?;
        records.push(Record { id, ..parse(&doc)? });
    }
    Ok((usize::try_from(total).unwrap_or_default(), records))
}

/// Makes the database one of this version.
fn prepare(connection: &mut Connection) -> Result<(), Fault> {
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
-- What is changed of flags now.
CREATE TABLE IF NOT EXISTS override (
    flag TEXT NOT NULL PRIMARY KEY, at INTEGER NOT NULL, by TEXT NOT NULL, why TEXT NOT NULL,
    doc TEXT NOT NULL
) WITHOUT ROWID;

-- Every change, for good. flag: empty where it concerns the source as a whole.
CREATE TABLE IF NOT EXISTS record (
    id INTEGER PRIMARY KEY AUTOINCREMENT, flag TEXT NOT NULL, at INTEGER NOT NULL,
    what TEXT NOT NULL, changes TEXT NOT NULL, why TEXT NOT NULL, by TEXT NOT NULL,
    doc TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS record_of ON record (flag, id);

-- What the source said last that was right: one row.
CREATE TABLE IF NOT EXISTS source (
    what TEXT NOT NULL, at INTEGER NOT NULL, text TEXT NOT NULL
);

-- When each flag was last of use.
CREATE TABLE IF NOT EXISTS seen (flag TEXT NOT NULL PRIMARY KEY, doc TEXT NOT NULL) WITHOUT ROWID;
";

/// Lines of the record that may wait while nothing can be written; beyond, the oldest go.
const RECORDS_WAITING: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let folder =
            std::env::temp_dir().join(format!("gnomon-flags-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn batch(number: u64) -> Batch {
        let record = Record {
            at: number,
            flag: "a".to_owned(),
            what: "kill".to_owned(),
            ..Record::default()
        };
        let change = Override { enabled: Some(false), at: number, ..Override::default() };
        Batch {
            overrides: BTreeMap::from([("a".to_owned(), Some(change))]),
            records: vec![record],
            good: Some(Good { what: "f".to_owned(), text: "{}".to_owned(), at: number }),
            seen: BTreeMap::from([("a".to_owned(), Seen { first: number, ..Seen::default() })]),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = folder("again");
        let path = folder.join("flags.db");
        assert_eq!(load(&path, 1), Saved::default());
        let mut store = Store::open(&path).unwrap();
        store.write(&batch(7), 7).unwrap();
        store.write(&batch(8), 8).unwrap();
        let saved = load(&path, 9);
        assert_eq!(saved.overrides.0["a"].at, 8);
        assert_eq!(saved.good.as_ref().map(|good| good.at), Some(8));
        assert_eq!(saved.seen["a"].first, 8);
        let gone =
            Batch { overrides: BTreeMap::from([("a".to_owned(), None)]), ..Batch::default() };
        store.write(&gone, 9).unwrap();
        assert!(load(&path, 9).overrides.0.is_empty());
        let (total, page) = history(&path, Some("a"), 0, 1).unwrap();
        assert_eq!((total, page.len(), page[0].at, page[0].id), (2, 1, 8, 2));
        assert_eq!(history(&path, None, 1, 9).unwrap().1[0].at, 7);
        assert_eq!(history(&path, Some("b"), 0, 9).unwrap().0, 0);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_damaged_file_is_moved_aside() {
        let folder = folder("damaged");
        let path = folder.join("flags.db");
        std::fs::write(&path, [7; 8192]).unwrap();
        let saved = load(&path, 42);
        assert!(saved.lost.as_ref().is_some_and(|lost| lost.contains("moved to")), "{saved:?}");
        assert!(!path.exists());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_could_not_be_written_comes_first() {
        let mut later = batch(2);
        later.good = None;
        Store::precede(&mut later, batch(1));
        assert_eq!(later.records.iter().map(|it| it.at).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(later.overrides["a"].as_ref().map(|it| it.at), Some(2));
        assert_eq!(later.good.map(|good| good.at), Some(1));
    }
}
