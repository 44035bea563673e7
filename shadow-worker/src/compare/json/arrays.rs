//! Arrays: which item belongs to which, by each of the rules.

use std::{borrow::Cow, ops::Range};

use gnomon_config::model::ArrayRule;

use super::{
    super::align::align,
    differ::{Differ, Which},
    number,
    read::Value,
};
use crate::difference::{Kind, VALUE_MAX};

/// Pairs of items that are held against each other one by one, where no hash says which fit: those
/// that are nearly equal, by tolerance.
const TRIALS_MAX: usize = 64 * 64;

/// Shapes of an item that one side lacks, and of items in another order.
const FEWER: &str = "items -";
const MORE: &str = "items +";
const MOVED: &str = "items";

/// Items of one side.
type Items<'v, 'a> = [&'v Value<'a>];

/// An item and its index.
fn item<'v, 'a>(items: &Items<'v, 'a>, at: usize) -> Option<(usize, &'v Value<'a>)> {
    items.get(at).map(|item| (at, *item))
}

impl Differ<'_, '_> {
    /// Two arrays at the current place.
    pub(super) fn arrays(&mut self, was: &[Value<'_>], is: &[Value<'_>]) {
        let (was, is): (Vec<_>, Vec<_>) = (was.iter().collect(), is.iter().collect());
        match self.array_rule() {
            ArrayRule::Ordered if self.is_probing => self.by_index(&was, &is, true),
            ArrayRule::Ordered => self.in_order(&was, &is, true),
            ArrayRule::Set => self.as_sets(&was, &is),
            ArrayRule::By(field) => self.by_field(&was, &is, field),
        }
    }

    /// Whether arrays are the same takes no search for what was put in between.
    fn by_index(&mut self, was: &Items<'_, '_>, is: &Items<'_, '_>, is_indexed: bool) {
        for at in 0..was.len().max(is.len()) {
            if self.is_over() {
                return;
            }
            self.item_pair(item(was, at), item(is, at), is_indexed);
        }
    }

    /// An item of each side, or of one.
    fn item_pair(
        &mut self,
        was: Option<(usize, &Value<'_>)>,
        is: Option<(usize, &Value<'_>)>,
        is_indexed: bool,
    ) {
        let indices = match (was, is) {
            (Some((was, _)), Some((is, _))) => (was, is),
            (Some((at, _)), None) | (None, Some((at, _))) => (at, at),
            (None, None) => return,
        };
        self.enter_item(is_indexed.then_some(indices));
        match (was, is) {
            (Some((_, was)), Some((_, is))) => self.values(was, is),
            (Some((_, item)), None) => self.lone(item, FEWER, MORE, Which::Primary),
            (None, Some((_, item))) => self.lone(item, FEWER, MORE, Which::Other),
            (None, None) => {}
        }
        self.leave();
    }

    /// What begins and ends the same is left out, so that little remains to be searched.
    fn in_order(&mut self, was: &Items<'_, '_>, is: &Items<'_, '_>, is_indexed: bool) {
        let shorter = was.len().min(is.len());
        let start = (0..shorter)
            .find(|&at| !self.is_same_item((at, was), (at, is), is_indexed))
            .unwrap_or(shorter);
        let end = (0..shorter - start)
            .find(|&back| {
                let (one, other) = (was.len() - 1 - back, is.len() - 1 - back);
                !self.is_same_item((one, was), (other, is), is_indexed)
            })
            .unwrap_or(shorter - start);
        let cut = |all: usize| start..all - end;
        let (was_range, is_range) = (cut(was.len()), cut(is.len()));
        let pairs = if was_range.len().min(is_range.len()) == 0
            || was_range.len().max(is_range.len()) == 1
        {
            Vec::new()
        } else {
            let was = was.get(was_range.clone()).unwrap_or_default();
            let is = is.get(is_range.clone()).unwrap_or_default();
            match self.pairs(was, is, start, is_indexed) {
                Some(pairs) => pairs,
                None => return self.tell_moved(was, is),
            }
        };
        let (mut one, mut other) = (was_range.start, is_range.start);
        for (was_at, is_at) in pairs.into_iter().chain([(was_range.end, is_range.end)]) {
            self.gap(was, is, one..was_at, other..is_at, is_indexed);
            // A pair is the same, or was taken for it: both are looked at once more.
            if was_at < was_range.end && is_at < is_range.end {
                self.item_pair(item(was, was_at), item(is, is_at), is_indexed);
            }
            (one, other) = (was_at + 1, is_at + 1);
        }
    }

    /// Items between two pairs: in turn, and what is left over on its own.
    fn gap(
        &mut self,
        was: &Items<'_, '_>,
        is: &Items<'_, '_>,
        was_range: Range<usize>,
        is_range: Range<usize>,
        is_indexed: bool,
    ) {
        for step in 0..was_range.len().max(is_range.len()) {
            let of = |range: &Range<usize>| Some(range.start + step).filter(|at| *at < range.end);
            let one = of(&was_range).and_then(|at| item(was, at));
            let other = of(&is_range).and_then(|at| item(is, at));
            self.item_pair(one, other, is_indexed);
        }
    }

    fn is_same_item(
        &mut self,
        (one, was): (usize, &Items<'_, '_>),
        (other, is): (usize, &Items<'_, '_>),
        is_indexed: bool,
    ) -> bool {
        let (Some(was), Some(is)) = (was.get(one), is.get(other)) else { return false };
        self.enter_item(is_indexed.then_some((one, other)));
        let is_same = self.is_same(was, is);
        self.leave();
        is_same
    }

    /// Which items belong together, as indices of the whole arrays, whose items from `start` on
    /// these are; nothing if both have the same items in another order.
    fn pairs(
        &mut self,
        was: &Items<'_, '_>,
        is: &Items<'_, '_>,
        start: usize,
        is_indexed: bool,
    ) -> Option<Vec<(usize, usize)>> {
        let first = is_indexed.then_some(start);
        let (one, other) = (self.hashes(was, first), self.hashes(is, first));
        if are_permuted(&one, &other) {
            return None;
        }
        // The search prefers one list over the other: the same one, whichever side it is on.
        let is_turned = (one.len(), &one) > (other.len(), &other);
        let (left, right) = if is_turned { (&other, &one) } else { (&one, &other) };
        let tries =
            self.rules.tolerance > 0.0 && left.len().saturating_mul(right.len()) <= TRIALS_MAX;
        let pairs = align(left.len(), right.len(), |x, y| {
            let (at, to) = if is_turned { (y, x) } else { (x, y) };
            left.get(x) == right.get(y) || tries && self.is_same_item((at, was), (to, is), false)
        });
        let turn = |(x, y)| if is_turned { (y + start, x + start) } else { (x + start, y + start) };
        Some(pairs.unwrap_or_default().into_iter().map(turn).collect())
    }

    fn tell_moved(&mut self, was: &Items<'_, '_>, is: &Items<'_, '_>) {
        self.tell(Kind::Order, MOVED, Some(&shown(was)), Some(&shown(is)));
    }

    /// Items that are the same cancel each other out, wherever they are.
    fn as_sets(&mut self, was: &Items<'_, '_>, is: &Items<'_, '_>) {
        let (one, other) = (self.hashes(was, None), self.hashes(is, None));
        let is_turned = (one.len(), sorted(&one)) > (other.len(), sorted(&other));
        let (mut left, mut right) = (in_order_of(&one), in_order_of(&other));
        self.cancel(&mut left, &mut right, was, is, |one, other| one == other);
        if left.len().saturating_mul(right.len()) <= TRIALS_MAX {
            // Greedy, hence from the same side whichever way round the two are.
            if is_turned {
                self.cancel(&mut right, &mut left, is, was, |_, _| true);
            } else {
                self.cancel(&mut left, &mut right, was, is, |_, _| true);
            }
        }
        for (_, at) in left {
            self.item_pair(item(was, at), None, false);
        }
        for (_, at) in right {
            self.item_pair(None, item(is, at), false);
        }
    }

    /// Takes out of both lists, each in order of its hashes, what is the same on both sides.
    fn cancel(
        &mut self,
        left: &mut Vec<(u64, usize)>,
        right: &mut Vec<(u64, usize)>,
        was: &Items<'_, '_>,
        is: &Items<'_, '_>,
        may_fit: impl Fn(u64, u64) -> bool,
    ) {
        // Where those begin that may fit the current item: both lists rise.
        let mut begin = 0;
        let mut taken = vec![false; right.len()];
        left.retain(|&(hash, at)| {
            while right.get(begin).is_some_and(|&(theirs, _)| {
                taken.get(begin) == Some(&true) || theirs < hash && !may_fit(hash, theirs)
            }) {
                begin += 1;
            }
            for (to, &(theirs, is_at)) in right.iter().enumerate().skip(begin) {
                if !may_fit(hash, theirs) || self.is_over() {
                    break;
                }
                let is_free = taken.get(to) == Some(&false);
                if is_free && self.is_same_item((at, was), (is_at, is), false) {
                    if let Some(flag) = taken.get_mut(to) {
                        *flag = true;
                    }
                    return false;
                }
            }
            true
        });
        let mut flags = taken.into_iter();
        right.retain(|_| flags.next() == Some(false));
    }

    /// Objects with the same value in a field belong together; items without one are in order.
    fn by_field(&mut self, was: &Items<'_, '_>, is: &Items<'_, '_>, field: &str) {
        let (one, was_rest) = keyed(was, field);
        let (other, is_rest) = keyed(is, field);
        let mut pairs = Vec::new();
        let (mut left, mut right) = (one.into_iter().peekable(), other.into_iter().peekable());
        while !self.is_over() {
            let (from_left, from_right) = match (left.peek(), right.peek()) {
                (None, None) => break,
                (Some(_), None) => (true, false),
                (None, Some(_)) => (false, true),
                (Some(one), Some(other)) => (one.0 <= other.0, one.0 >= other.0),
            };
            let one = from_left.then(|| left.next()).flatten().map(|(_, at)| at);
            let other = from_right.then(|| right.next()).flatten().map(|(_, at)| at);
            pairs.extend(one.zip(other));
            self.item_pair(
                one.and_then(|at| item(was, at)),
                other.and_then(|at| item(is, at)),
                false,
            );
        }
        pairs.sort_unstable();
        if !pairs.is_sorted_by_key(|&(_, is_at)| is_at) {
            self.tell_moved(was, is);
        }
        if self.is_probing {
            self.by_index(&was_rest, &is_rest, false);
        } else {
            self.in_order(&was_rest, &is_rest, false);
        }
    }

    /// Hashes of items, which begin at this index unless theirs mean nothing.
    fn hashes(&mut self, items: &Items<'_, '_>, first: Option<usize>) -> Vec<u64> {
        self.probe(|differ| {
            let each = items.iter().enumerate().map(|(ix, item)| {
                differ.enter_item(first.map(|first| (first + ix, first + ix)));
                let hash = differ.hash(item);
                differ.leave();
                hash
            });
            each.collect()
        })
    }
}

/// Items of an array that are shown when their order differs: no value has room for more.
const SHOWN_MAX: usize = VALUE_MAX / 2;

/// The beginning of an array.
fn shown<'a>(items: &Items<'_, 'a>) -> Value<'a> {
    Value::Array(items.iter().take(SHOWN_MAX).map(|item| (*item).clone()).collect())
}

fn sorted(hashes: &[u64]) -> Vec<u64> {
    let mut hashes = hashes.to_vec();
    hashes.sort_unstable();
    hashes
}

fn are_permuted(one: &[u64], other: &[u64]) -> bool {
    one.len() == other.len() && one != other && sorted(one) == sorted(other)
}

/// Hashes and where they are, those in order.
fn in_order_of(hashes: &[u64]) -> Vec<(u64, usize)> {
    let mut all: Vec<_> = hashes.iter().enumerate().map(|(at, hash)| (*hash, at)).collect();
    all.sort_unstable();
    all
}

/// Items by the value of a field, in its order and then in theirs; and those that have none.
fn keyed<'v, 'a>(
    items: &Items<'v, 'a>,
    field: &str,
) -> (Vec<(Cow<'v, str>, usize)>, Vec<&'v Value<'a>>) {
    let (mut keyed, mut rest) = (Vec::new(), Vec::new());
    for (at, item) in items.iter().enumerate() {
        match key(item, field) {
            Some(key) => keyed.push((key, at)),
            None => rest.push(*item),
        }
    }
    keyed.sort_unstable();
    (keyed, rest)
}

/// A text that items with an equal value in this field share. That of a string begins with a quote,
/// that of a number with none.
fn key<'v>(item: &'v Value<'_>, field: &str) -> Option<Cow<'v, str>> {
    let Value::Object(fields) = item else { return None };
    let at = fields.binary_search_by(|(name, _)| (**name).cmp(field)).ok()?;
    match &fields.get(at)?.1 {
        Value::Text(text) => Some(format!("\"{text}").into()),
        Value::Number(number) => Some(number::canonical(number).into()),
        Value::Bool(true) => Some("true".into()),
        Value::Bool(false) => Some("false".into()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
