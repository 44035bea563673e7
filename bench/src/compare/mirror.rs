//! Copies of requests: who is measured with them, and what gnomon's own books say of them.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Entrant, Stage, Started, local};
use crate::{
    figure::{Figure, Row},
    peer::Peer,
};

/// A proxy that copies nothing, the same with copies, and gnomon once more with a core for what it
/// does with copies: it is the only one that can put that elsewhere.
pub(super) fn entrants(peer: &Peer) -> Vec<Entrant<'_>> {
    let entrant = |suffix: &str, size, apart| {
        let name = format!("{}{suffix}", peer.name);
        Entrant { peer, name, size, apart, listen: local(0) }
    };
    let mut all = vec![entrant("", 0, false), entrant(" mirrored", 1, false)];
    if peer.is_ours() {
        all.push(entrant(" apart", 1, true));
    }
    all
}

/// What gnomon has counted of its copies by now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Books {
    eligible: u64,
    sampled: u64,
    copied: u64,
    dropped: u64,
    in_flight: u64,
    failed: u64,
    unpaired: u64,
    compared: u64,
}

impl Books {
    /// Those of `started`, if it keeps any.
    pub(super) fn of(started: &Started<'_>) -> Result<Option<Self>, String> {
        if !started.entrant.peer.is_ours() || started.entrant.size == 0 {
            return Ok(None);
        }
        let text = ask(&started.dir.join("admin.sock"))?;
        Ok(Some(Self::parse(&text).ok_or("GET /v1/shadows: no shadow is told of")?))
    }

    fn parse(text: &str) -> Option<Self> {
        let list: Value = serde_json::from_str(text).ok()?;
        let accounting = list.as_array()?.first()?.get("accounting")?;
        let number = |name: &str| accounting.get(name).and_then(Value::as_u64);
        let sum = |name: &str| {
            let reasons = accounting.get(name)?.as_object()?;
            Some(reasons.values().filter_map(Value::as_u64).sum())
        };
        Some(Self {
            eligible: number("eligible")?,
            sampled: number("sampled")?,
            copied: number("copied")?,
            dropped: sum("dropped")?,
            in_flight: number("in_flight")?,
            failed: sum("failed")?,
            unpaired: sum("unpaired")?,
            compared: number("compared")?,
        })
    }

    /// Whether every request is in exactly one place.
    fn balance(&self) -> bool {
        self.sampled == self.dropped + self.copied
            && self.copied == self.in_flight + self.failed + self.unpaired + self.compared
    }
}

/// Puts down what became of the copies since `before`, once none is under way.
pub(super) fn settle(
    stage: &mut Stage<'_>,
    started: &Started<'_>,
    before: Books,
    row: &mut Row,
) -> Result<(), String> {
    let end = Instant::now() + SETTLE_TIMEOUT;
    let after = loop {
        stage.rig.serve(SETTLE_PAUSE).map_err(|error| error.to_string())?;
        let books = Books::of(started)?.unwrap_or_default();
        if books.in_flight == 0 || Instant::now() >= end {
            break books;
        }
    };
    if after.in_flight > 0 || !after.balance() {
        stage.note(&format!("{}: its books do not balance: {after:?}", row.peer));
    }
    let eligible = after.eligible.saturating_sub(before.eligible).max(1) as f64;
    let share = |now: u64, then: u64| now.saturating_sub(then) as f64 / eligible;
    row.set(Figure::Compared, share(after.compared, before.compared));
    row.set(Figure::Dropped, share(after.dropped, before.dropped));
    Ok(())
}

fn ask(socket: &Path) -> Result<String, String> {
    let asked = UnixStream::connect(socket).and_then(|mut stream| {
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.write_all(
            b"GET /v1/shadows HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        )?;
        let mut answer = String::new();
        stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
        Ok(answer)
    });
    let answer = asked.map_err(|error| format!("{}: {error}", socket.display()))?;
    let body = answer.strip_prefix("HTTP/1.1 200 ").and_then(|rest| rest.split_once("\r\n\r\n"));
    body.map(|(_, body)| body.to_owned()).ok_or_else(|| format!("GET /v1/shadows: {answer}"))
}

/// Longer than the configurations let a copy be under way, so that every one has ended.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(3);
const SETTLE_PAUSE: Duration = Duration::from_millis(20);
/// The control thread stands behind a busy worker.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: &str = r#"[{"name":"twin","accounting":{"eligible":10,"sampled":9,"copied":6,
        "dropped":{"busy":2,"in_flight":1},"in_flight":0,"sent":6,"failed":{"timeout":1},
        "unpaired":{},"compared":5}}]"#;

    #[test]
    fn books_are_read_and_balance() {
        let books = Books::parse(TOLD).unwrap();
        assert_eq!((books.eligible, books.dropped, books.failed, books.compared), (10, 3, 1, 5));
        assert!(books.balance());
        assert!(!Books { copied: 7, ..books }.balance());
        assert!(!Books { compared: 4, ..books }.balance());
        assert_eq!(Books::parse("[]"), None);
    }
}
