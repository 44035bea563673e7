//! Bodies by lines.

use std::{collections::HashMap, ops::Range};

use super::{
    align::align,
    bytes::PATH,
    differences::{Differences, excerpt_of_bytes},
};
use crate::difference::{Kind, VALUE_MAX};

/// Lines between the first and the last that differ, of both sides; with more they are not matched.
const LINES_MAX: usize = 50_000;

/// Tells at most one difference of each kind: lines that were changed, taken out, put in.
pub(super) fn compare(primary: &[u8], other: &[u8], found: &mut Differences) {
    let (was, is) = middles(primary, other);
    let (was, is) = (lines(was), lines(is));
    if was.is_empty() && is.is_empty() {
        return;
    }
    let mut changes = Changes::default();
    let mut done = (0, 0);
    for (one, other) in pairs(&was, &is).into_iter().chain([(was.len(), is.len())]) {
        changes.gap(&was, &is, done.0..one, done.1..other);
        done = (one + 1, other + 1);
    }
    changes.tell(found);
}

/// What is left when the lines are cut off that both begin or end with.
fn middles<'a>(was: &'a [u8], is: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    let same = was.iter().zip(is).take_while(|(one, other)| one == other).count();
    let is_whole = same == was.len() && same == is.len();
    let newline = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte == b'\n');
    let start = was.get(..same).and_then(newline).map_or(0, |last| last + 1);
    if is_whole {
        return (&[], &[]);
    }
    let (was, is) = (was.get(start..).unwrap_or_default(), is.get(start..).unwrap_or_default());
    let ends = was.iter().rev().zip(is.iter().rev());
    let same = ends.take_while(|(one, other)| one == other).count();
    // Of the same end, only what follows a line's end on both sides consists of whole lines.
    let tail = was.get(was.len() - same..).unwrap_or_default();
    let first = tail.iter().position(|byte| *byte == b'\n');
    let end = first.map_or(0, |first| same - first - 1);
    let cut = |bytes: &'a [u8]| bytes.get(..bytes.len() - end).unwrap_or_default();
    (cut(was), cut(is))
}

/// Lines with what ends them.
fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').take(LINES_MAX + 1).collect()
}

fn pairs<'a>(was: &[&'a [u8]], is: &[&'a [u8]]) -> Vec<(usize, usize)> {
    if was.len() > LINES_MAX || is.len() > LINES_MAX {
        return Vec::new();
    }
    // The search prefers one list over the other: the same one, whichever side it is on.
    let is_turned = (was.len(), was) > (is.len(), is);
    let (left, right) = if is_turned { (is, was) } else { (was, is) };
    // Lines may be long, and are looked at many times.
    let mut known = HashMap::new();
    let mut numbered = |lines: &[&'a [u8]]| {
        let mut number = |line| {
            let next = known.len();
            *known.entry(line).or_insert(next)
        };
        lines.iter().map(|line| number(*line)).collect::<Vec<_>>()
    };
    let (left, right) = (numbered(left), numbered(right));
    let pairs = align(left.len(), right.len(), |x, y| left.get(x) == right.get(y));
    let turn = |(x, y)| if is_turned { (y, x) } else { (x, y) };
    pairs.unwrap_or_default().into_iter().map(turn).collect()
}

#[derive(Default)]
struct Changes {
    changed: (Vec<u8>, Vec<u8>),
    missing: Vec<u8>,
    extra: Vec<u8>,
    has: (bool, bool, bool),
}

impl Changes {
    fn gap(&mut self, was: &[&[u8]], is: &[&[u8]], was_at: Range<usize>, is_at: Range<usize>) {
        let (was, is) = (was.get(was_at).unwrap_or_default(), is.get(is_at).unwrap_or_default());
        match (was.is_empty(), is.is_empty()) {
            (true, true) => {}
            (false, true) => {
                self.has.1 = true;
                push(&mut self.missing, was);
            }
            (true, false) => {
                self.has.2 = true;
                push(&mut self.extra, is);
            }
            (false, false) => {
                self.has.0 = true;
                push(&mut self.changed.0, was);
                push(&mut self.changed.1, is);
            }
        }
    }

    fn tell(self, found: &mut Differences) {
        let shown = |bytes: &[u8]| Some(excerpt_of_bytes(bytes));
        let (was, is) = &self.changed;
        if self.has.0 {
            found.add(PATH, Kind::Value, "lines", || (shown(was), shown(is)));
        }
        if self.has.1 {
            found.add(PATH, Kind::Missing, "lines -", || (shown(&self.missing), None));
        }
        if self.has.2 {
            found.add(PATH, Kind::Extra, "lines +", || (None, shown(&self.extra)));
        }
    }
}

/// Adds lines, no more of them than can be shown.
fn push(text: &mut Vec<u8>, lines: &[&[u8]]) {
    for line in lines {
        let room = (2 * VALUE_MAX).saturating_sub(text.len());
        if room == 0 {
            return;
        }
        text.extend_from_slice(line.get(..room).unwrap_or(line));
    }
}
