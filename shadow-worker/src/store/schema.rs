//! The tables, and how they came to be.

use rusqlite::{Connection, TransactionBehavior};

use super::Fault;

/// Makes the database one of this version.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), Fault> {
    // Takes hold only in a file without tables.
    connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.execute_batch("PRAGMA synchronous = NORMAL")?;
    let version = version(connection)?;
    if version > VERSION {
        return Err(Fault::Newer(version));
    }
    if version < VERSION {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if version == 1 {
            transaction.execute_batch("ALTER TABLE path RENAME TO path_1")?;
        }
        transaction.execute_batch(TABLES)?;
        if version == 1 {
            transaction.execute_batch(FROM_1)?;
        }
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()?;
    }
    Ok(())
}

fn version(connection: &Connection) -> Result<i64, Fault> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

/// Version of the tables, kept in `user_version`.
const VERSION: i64 = 2;

/// Paths had no aspects at first.
const FROM_1: &str = "
INSERT INTO path SELECT shadow, endpoint, path, '', compared, different, asked, noisy, log_e,
    verdict, doc FROM path_1;
DROP TABLE path_1;
";

/// The tables. Times are milliseconds since 1970, `log_e` natural logarithms: above 3 is hard to
/// believe in chance. The columns are for reading, by `sqlite3 FILE`; `doc` is the whole row as
/// JSON and what is read after a restart.
const TABLES: &str = "
-- One per shadow in the configuration, by name. share: chance of a second request to the primary
-- behind the counts of paths. totals: JSON.
CREATE TABLE IF NOT EXISTS shadow (
    name TEXT NOT NULL PRIMARY KEY, compared INTEGER NOT NULL, different INTEGER NOT NULL,
    share REAL NOT NULL, written INTEGER NOT NULL, totals TEXT NOT NULL
) WITHOUT ROWID;

-- Requests of one kind: method and path without identifiers.
CREATE TABLE IF NOT EXISTS endpoint (
    shadow TEXT NOT NULL, endpoint TEXT NOT NULL, compared INTEGER NOT NULL,
    different INTEGER NOT NULL, log_e REAL NOT NULL, doc TEXT NOT NULL,
    PRIMARY KEY (shadow, endpoint)
) WITHOUT ROWID;

-- Places in replies: how often shadow and primary differ (different of compared), and the primary
-- from itself (noisy of asked), when the path last differed. aspect: empty for what is there;
-- `structure` for whether it is there, and of which type, once that was seen to differ.
CREATE TABLE IF NOT EXISTS path (
    shadow TEXT NOT NULL, endpoint TEXT NOT NULL, path TEXT NOT NULL, aspect TEXT NOT NULL,
    compared INTEGER NOT NULL, different INTEGER NOT NULL, asked INTEGER NOT NULL,
    noisy INTEGER NOT NULL, log_e REAL NOT NULL, verdict TEXT NOT NULL, doc TEXT NOT NULL,
    PRIMARY KEY (shadow, endpoint, path, aspect)
) WITHOUT ROWID;

-- Differences of one path, kind and shape. verdict: real, undecided, noise or ignored.
CREATE TABLE IF NOT EXISTS finding (
    shadow TEXT NOT NULL, id TEXT NOT NULL, endpoint TEXT NOT NULL, path TEXT NOT NULL,
    kind TEXT NOT NULL, shape TEXT NOT NULL, count INTEGER NOT NULL, first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL, verdict TEXT NOT NULL, doc TEXT NOT NULL,
    PRIMARY KEY (shadow, id)
) WITHOUT ROWID;

-- Examples of findings. bundle: JSON, redacted, a document that can be handed on.
CREATE TABLE IF NOT EXISTS example (
    shadow TEXT NOT NULL, id TEXT NOT NULL, finding TEXT NOT NULL, nth INTEGER NOT NULL,
    at INTEGER NOT NULL, bundle TEXT NOT NULL, PRIMARY KEY (shadow, id)
);

-- Verdicts that somebody pinned. kind: noise or ignore. The order is that of at.
CREATE TABLE IF NOT EXISTS mark (
    shadow TEXT NOT NULL, pattern TEXT NOT NULL, kind TEXT NOT NULL, by TEXT NOT NULL,
    why TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (shadow, pattern)
) WITHOUT ROWID;
";
