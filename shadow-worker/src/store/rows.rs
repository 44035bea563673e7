//! Reports to rows, and rows to what was saved.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use rusqlite::{Connection, Params, Row, Transaction, params, types::Type};
use serde::{Serialize, de::DeserializeOwned};

use super::Fault;
use crate::{
    finding::{Example, Finding, Mark, MarkKind},
    ledger::Saved,
    report::{EndpointReport, PathReport, Report, ShadowReport},
};

/// Which rows there are, and as of which revision.
#[derive(Debug, Default)]
pub(super) struct Known {
    rows: HashMap<Key, u64>,
    /// The reports behind them.
    shadows: Vec<Arc<ShadowReport>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    table: Table,
    shadow: Arc<str>,
    parts: [Arc<str>; 3],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Table {
    Endpoint,
    Path,
    Finding,
    Example,
    Mark,
}

/// What is known once the transaction is committed.
#[derive(Debug)]
pub(super) struct Staged {
    put: Vec<(Key, u64)>,
    gone: Vec<Key>,
    shadows: Vec<Arc<ShadowReport>>,
}

impl Known {
    /// Takes over what was committed.
    pub(super) fn apply(&mut self, staged: Staged) {
        for key in staged.gone {
            self.rows.remove(&key);
        }
        self.rows.extend(staged.put);
        self.shadows = staged.shadows;
    }
}

impl Table {
    const ALL: [Self; 5] = [Self::Endpoint, Self::Path, Self::Finding, Self::Example, Self::Mark];

    /// Its name, and the columns that tell its rows of one shadow apart.
    const fn columns(self) -> (&'static str, [&'static str; 3]) {
        match self {
            Self::Endpoint => ("endpoint", ["endpoint", "''", "''"]),
            Self::Path => ("path", ["endpoint", "path", "aspect"]),
            Self::Finding => ("finding", ["id", "''", "''"]),
            Self::Example => ("example", ["id", "''", "''"]),
            Self::Mark => ("mark", ["pattern", "''", "''"]),
        }
    }
}

/// Reads which rows there are. Of none is known as of when.
pub(super) fn known(connection: &Connection) -> Result<Known, Fault> {
    let mut known = Known::default();
    for table in Table::ALL {
        let (name, [first, second, third]) = table.columns();
        let sql = format!("SELECT shadow, {first}, {second}, {third} FROM {name}");
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let parts = [row.get(1)?, row.get(2)?, row.get(3)?];
            let key = Key { table, shadow: row.get(0)?, parts };
            known.rows.insert(key, u64::MAX);
        }
    }
    Ok(known)
}

/// Deletes what belongs to shadows of which nothing was written for very long.
pub(super) fn prune(connection: &Connection, now: u64) -> Result<(), Fault> {
    let before = now.saturating_sub(ORPHAN_AGE);
    for table in Table::ALL {
        let (name, _) = table.columns();
        let sql = format!(
            "DELETE FROM {name} WHERE shadow IN (SELECT name FROM shadow WHERE written < ?1)"
        );
        connection.execute(&sql, [before])?;
    }
    connection.execute("DELETE FROM shadow WHERE written < ?1", [before])?;
    Ok(())
}

/// Writes what differs from what is `known`.
pub(super) fn stage(
    transaction: &Transaction<'_>,
    report: &Report,
    known: &Known,
    now: u64,
) -> Result<Staged, Fault> {
    let mut staged = Staged { put: Vec::new(), gone: Vec::new(), shadows: report.shadows.clone() };
    for shadow in &report.shadows {
        if known.shadows.iter().any(|old| Arc::ptr_eq(old, shadow)) {
            continue;
        }
        let mut writer = Writer { transaction, shadow, known, seen: HashSet::new(), staged };
        writer.all(now)?;
        staged = writer.staged;
    }
    Ok(staged)
}

/// Writes one shadow.
struct Writer<'a> {
    transaction: &'a Transaction<'a>,
    shadow: &'a ShadowReport,
    known: &'a Known,
    seen: HashSet<Key>,
    staged: Staged,
}

impl Writer<'_> {
    fn all(&mut self, now: u64) -> Result<(), Fault> {
        let shadow = self.shadow;
        let totals = &shadow.totals;
        self.transaction.execute(
            "INSERT OR REPLACE INTO shadow VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                shadow.name,
                totals.compared,
                totals.different,
                shadow.share,
                now,
                json(totals)?
            ],
        )?;
        shadow.endpoints.iter().try_for_each(|one| self.endpoint(one))?;
        shadow.paths.iter().try_for_each(|one| self.path(one))?;
        shadow.findings.iter().try_for_each(|one| self.finding(one))?;
        shadow.examples.iter().try_for_each(|one| self.example(one))?;
        shadow.marks.iter().try_for_each(|one| self.mark(one))?;
        self.delete()
    }

    fn endpoint(&mut self, one: &EndpointReport) -> Result<(), Fault> {
        let parts = [one.endpoint.clone(), "".into(), "".into()];
        if !self.is_new(Table::Endpoint, parts, one.revision) {
            return Ok(());
        }
        self.put(
            "INSERT OR REPLACE INTO endpoint VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                self.shadow.name,
                one.endpoint,
                one.compared,
                one.different,
                one.log_e,
                json(one)?
            ],
        )
    }

    fn path(&mut self, one: &PathReport) -> Result<(), Fault> {
        let aspect = one.aspect.name();
        let parts = [one.endpoint.clone(), one.path.clone(), aspect.into()];
        if !self.is_new(Table::Path, parts, one.revision) {
            return Ok(());
        }
        let (rates, verdict) = (one.rates, one.verdict.name());
        self.put(
            "INSERT OR REPLACE INTO path VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                self.shadow.name,
                one.endpoint,
                one.path,
                aspect,
                rates.compared,
                rates.different,
                rates.asked,
                rates.noisy,
                one.log_e,
                verdict,
                json(one)?
            ],
        )
    }

    fn finding(&mut self, one: &Finding) -> Result<(), Fault> {
        if !self.is_new(Table::Finding, [one.id.clone(), "".into(), "".into()], one.revision) {
            return Ok(());
        }
        self.put(
            "INSERT OR REPLACE INTO finding VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                self.shadow.name,
                one.id,
                one.endpoint,
                one.path,
                one.kind,
                one.shape,
                one.count,
                one.first_seen,
                one.last_seen,
                one.verdict.name(),
                json(one)?
            ],
        )
    }

    fn example(&mut self, one: &Example) -> Result<(), Fault> {
        // An example never changes.
        if !self.is_new(Table::Example, [one.id.clone(), "".into(), "".into()], one.nth) {
            return Ok(());
        }
        self.put(
            "INSERT OR REPLACE INTO example VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![self.shadow.name, one.id, one.finding, one.nth, one.at, one.json],
        )
    }

    fn mark(&mut self, one: &Mark) -> Result<(), Fault> {
        let parts = [Arc::from(&*one.pattern), "".into(), "".into()];
        if !self.is_new(Table::Mark, parts, one.at) {
            return Ok(());
        }
        self.put(
            "INSERT OR REPLACE INTO mark VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![self.shadow.name, one.pattern, one.kind.name(), one.by, one.why, one.at],
        )
    }

    /// Whether the row is to be written; either way it is to stay.
    fn is_new(&mut self, table: Table, parts: [Arc<str>; 3], revision: u64) -> bool {
        let key = Key { table, shadow: self.shadow.name.clone(), parts };
        self.seen.insert(key.clone());
        if self.known.rows.get(&key) == Some(&revision) {
            return false;
        }
        self.staged.put.push((key, revision));
        true
    }

    fn put(&self, sql: &str, params: impl Params) -> Result<(), Fault> {
        self.transaction.prepare_cached(sql)?.execute(params)?;
        Ok(())
    }

    /// Deletes the rows that the ledger does not have any more.
    fn delete(&mut self) -> Result<(), Fault> {
        let is_gone = |key: &&Key| key.shadow == self.shadow.name && !self.seen.contains(*key);
        let gone: Vec<Key> = self.known.rows.keys().filter(is_gone).cloned().collect();
        for key in &gone {
            let (name, [first, second, third]) = key.table.columns();
            let sql = format!(
                "DELETE FROM {name} WHERE shadow = ?1 AND {first} = ?2 AND {second} = ?3 \
                 AND {third} = ?4"
            );
            let [first, second, third] = &key.parts;
            self.put(&sql, params![key.shadow, first, second, third])?;
        }
        self.staged.gone.extend(gone);
        Ok(())
    }
}

/// Reads all shadows. A row that cannot be understood is left out: the rest is worth more.
pub(super) fn read(connection: &Connection) -> Result<Saved, Fault> {
    let mut statement = connection.prepare("SELECT name, share, totals FROM shadow")?;
    let shadows = statement.query_map([], |row| {
        Ok(ShadowReport {
            name: row.get(0)?,
            share: row.get(1)?,
            totals: document(row, 2).unwrap_or_default(),
            ..ShadowReport::default()
        })
    })?;
    let mut saved = Saved::default();
    for shadow in shadows {
        let mut shadow = shadow?;
        let name = shadow.name.clone();
        let each = |sql: &str| Ok::<_, Fault>((connection.prepare(sql)?, name.clone()));
        shadow.endpoints = all(each("SELECT doc FROM endpoint WHERE shadow = ?1")?, doc)?;
        shadow.paths = all(each("SELECT doc FROM path WHERE shadow = ?1")?, doc)?;
        shadow.findings = all::<Finding>(each("SELECT doc FROM finding WHERE shadow = ?1")?, doc)?
            .into_iter()
            .map(Arc::new)
            .collect();
        let examples = each(
            "SELECT id, finding, nth, at, bundle FROM example WHERE shadow = ?1 ORDER BY nth",
        )?;
        shadow.examples = all(examples, example)?;
        let marks =
            each("SELECT pattern, kind, by, why, at FROM mark WHERE shadow = ?1 ORDER BY at")?;
        shadow.marks = all(marks, mark)?;
        saved.shadows.push(shadow);
    }
    Ok(saved)
}

fn all<T>(
    (mut statement, shadow): (rusqlite::Statement<'_>, Arc<str>),
    one: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, Fault> {
    let mut rows = statement.query([shadow])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.extend(one(row).ok());
    }
    Ok(all)
}

fn doc<T: DeserializeOwned>(row: &Row<'_>) -> rusqlite::Result<T> {
    document(row, 0)
}

fn document<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
    })
}

fn example(row: &Row<'_>) -> rusqlite::Result<Arc<Example>> {
    Ok(Arc::new(Example {
        id: row.get(0)?,
        finding: row.get(1)?,
        nth: row.get(2)?,
        at: row.get(3)?,
        json: row.get(4)?,
    }))
}

fn mark(row: &Row<'_>) -> rusqlite::Result<Arc<Mark>> {
    let kind: String = row.get(1)?;
    Ok(Arc::new(Mark {
        pattern: row.get(0)?,
        kind: if kind == MarkKind::Noise.name() { MarkKind::Noise } else { MarkKind::Ignore },
        by: row.get(2)?,
        why: row.get(3)?,
        at: row.get(4)?,
    }))
}

fn json(value: &impl Serialize) -> Result<String, Fault> {
    serde_json::to_string(value)
        .map_err(|error| Fault::Sqlite(rusqlite::Error::ToSqlConversionFailure(Box::new(error))))
}

/// How long what belongs to a shadow that is no longer configured is kept, in milliseconds: it may
/// come back after a release.
const ORPHAN_AGE: u64 = 30 * 24 * 3600 * 1000;
