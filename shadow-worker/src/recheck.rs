//! A recorded reply held against a new one, as far as it was kept.
//!
//! What was taken out of the recorded reply says nothing: where a stand-in stands, the new reply
//! may have anything. Of a body that was not kept only the length is compared.

use std::borrow::Cow;

use bytes::Bytes;
use gnomon_config::model::Compare;
use gnomon_wire::ResponseHead;
use serde_json::Value;

use crate::{
    bundle::{Answer, Content, Encoding},
    compare::{Comparer, Side},
    difference::{Body, Difference},
    exchange::Reply,
    plain,
    recording::Rules,
    text::MASK,
};

/// Knows how replies are compared with recorded ones.
#[derive(Debug)]
pub struct Recheck {
    comparer: Comparer,
    /// Fields that were redacted.
    secret: Vec<String>,
    /// Whether secrets left no trace.
    drops: bool,
    max: u64,
}

/// What came of comparing a reply with a recorded one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rechecked {
    /// What is unequal.
    pub differences: Vec<Difference>,
    /// Whether the body was not compared by its content, or not in all its parts.
    pub is_partial: bool,
}

impl Recheck {
    /// Compares by `compare`, of what was redacted by `rules`.
    #[must_use]
    pub fn new(compare: &Compare, rules: &Rules) -> Self {
        let mut compare = compare.clone();
        compare.ignore.extend(rules.places());
        Self {
            comparer: Comparer::new(&compare).hiding(&rules.places()),
            secret: rules.headers.clone(),
            drops: rules.style == "drop",
            max: compare.max,
        }
    }

    /// Bytes of a reply that are compared by content; of a longer body length and hash will do.
    #[must_use]
    pub const fn max(&self) -> u64 {
        self.max
    }

    /// Compares `reply` with what was recorded.
    #[must_use]
    pub fn compare(&self, recorded: &Answer, reply: &Reply) -> Rechecked {
        let new = plain::plain(reply, DECODED_MAX);
        let was_head = self.head_of(recorded);
        let mut head = ResponseHead::default();
        let Some(response) = plain::read(&mut head, &new.head) else {
            return Rechecked { is_partial: true, ..Rechecked::default() };
        };
        let is_kept = |name: &[u8]| !self.is_left_out(recorded, name);
        let fields = response.fields().filter(|(name, _)| is_kept(name));
        let is_head = plain::write(response.status(), fields);
        let bodies = self.bodies(recorded, &new.body);
        let (mut was, mut is) = (ResponseHead::default(), ResponseHead::default());
        let pair = plain::read(&mut was, &was_head).zip(plain::read(&mut is, &is_head));
        let Some((was, is)) = pair else {
            return Rechecked { is_partial: true, ..Rechecked::default() };
        };
        let was = Side { response: was, body: &bodies.was };
        let found = self.comparer.compare(&was, &Side { response: is, body: &bodies.is }, false);
        let is_partial = bodies.is_partial || found.uncomparable.is_some();
        Rechecked { differences: found.differences, is_partial }
    }

    fn head_of(&self, recorded: &Answer) -> Bytes {
        let fields = recorded.fields.iter().map(|it| (it.name.as_bytes(), it.value.as_bytes()));
        plain::write(recorded.status, fields.filter(|(name, _)| !self.is_left_out(recorded, name)))
    }

    /// Whether a field says nothing, on either side.
    fn is_left_out(&self, recorded: &Answer, name: &[u8]) -> bool {
        let is = |other: &str| other.as_bytes().eq_ignore_ascii_case(name);
        FRAMING.iter().any(|own| is(own))
            || self.secret.iter().any(|secret| is(secret))
            || recorded.fields.iter().any(|field| field.redacted && is(&field.name))
    }

    fn bodies(&self, recorded: &Answer, new: &Body) -> Bodies {
        let content = &recorded.body;
        let is_gone = content.cut || content.encoding == Encoding::LeftOut && content.length > 0;
        if is_gone || content.redacted && self.drops {
            return Bodies::by_length(recorded, new, !content.redacted);
        }
        let Ok(bytes) = content.bytes() else { return Bodies::by_length(recorded, new, false) };
        let is = if new.hash.is_none() && content.encoding == Encoding::Text {
            let media =
                recorded.fields.iter().find(|it| it.name.eq_ignore_ascii_case("content-type"));
            settled(content, media.map_or("", |it| &it.value), new)
        } else {
            Cow::Borrowed(new)
        };
        let was = Body { length: bytes.len() as u64, bytes: bytes.into(), hash: None };
        Bodies { was, is: is.into_owned(), is_partial: content.redacted }
    }
}

struct Bodies {
    was: Body,
    is: Body,
    is_partial: bool,
}

impl Bodies {
    /// Both as if nothing but their length were known.
    fn by_length(recorded: &Answer, new: &Body, is_sure: bool) -> Self {
        // How long a coded body becomes is chance.
        let is_coded = |name: &str| name.eq_ignore_ascii_case("content-encoding");
        let is_sure = is_sure && !recorded.fields.iter().any(|field| is_coded(&field.name));
        let length = recorded.body.length;
        let known = |length| Body { bytes: Bytes::new(), length, hash: (length > 0).then_some(0) };
        let is = known(if is_sure { new.length } else { length });
        Self { was: known(length), is, is_partial: true }
    }
}

/// The new body in the form in which the recorded one was written, with the recorded one's stand-ins
/// in their places.
fn settled<'b>(content: &Content, media: &str, new: &'b Body) -> Cow<'b, Body> {
    let kept = content.data.as_str();
    let Ok(text) = std::str::from_utf8(&new.bytes) else { return Cow::Borrowed(new) };
    let out = if is_json(media, kept) {
        let kept: Result<Value, _> = serde_json::from_str(kept);
        let new: Result<Value, _> = serde_json::from_str(text.trim_start_matches('\u{feff}'));
        kept.ok().zip(new.ok()).map(|(kept, mut new)| {
            if content.redacted {
                settle(&kept, &mut new);
            }
            new.to_string()
        })
    } else {
        (content.redacted && fits(kept, text)).then(|| kept.to_owned())
    };
    out.map_or(Cow::Borrowed(new), |text| {
        let length = text.len() as u64;
        Cow::Owned(Body { bytes: Bytes::from(text), length, hash: None })
    })
}

/// As the redactor sees it.
fn is_json(media: &str, text: &str) -> bool {
    let media = media.to_ascii_lowercase();
    ["json", "event-stream"].iter().any(|name| media.contains(name))
        || text.trim_start().starts_with(['{', '['])
}

/// Puts what stands in for secrets in `kept` into the same places of `new`.
fn settle(kept: &Value, new: &mut Value) {
    match (kept, new) {
        (Value::String(text), new) if stand_in(text).is_some() => *new = kept.clone(),
        (Value::Object(kept_fields), new)
            if kept_fields.keys().any(|it| stand_in(it).is_some()) =>
        {
            *new = kept.clone();
        }
        (Value::Object(kept), Value::Object(new)) => {
            for (name, kept) in kept {
                if let Some(new) = new.get_mut(name) {
                    settle(kept, new);
                }
            }
        }
        (Value::Array(kept), Value::Array(new)) => {
            kept.iter().zip(new).for_each(|(kept, new)| settle(kept, new));
        }
        _ => {}
    }
}

/// Whether `text` is `kept` with anything in the places of its stand-ins.
fn fits(kept: &str, text: &str) -> bool {
    let Some((at, length)) = stand_in(kept) else { return kept == text };
    let Some(mut text) = text.strip_prefix(&kept[..at]) else { return false };
    let mut kept = &kept[at + length..];
    while let Some((at, length)) = stand_in(kept) {
        let Some(found) = text.find(&kept[..at]) else { return false };
        text = &text[found + at..];
        kept = &kept[at + length..];
    }
    text.ends_with(kept)
}

/// Where the first stand-in of `text` is, and how long.
fn stand_in(text: &str) -> Option<(usize, usize)> {
    let is_hash = |at: usize| {
        let digits = text.as_bytes().get(at + 1..at + 1 + DIGITS);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let hash = text.match_indices('#').map(|(at, _)| at).find(|at| is_hash(*at));
    let mask = text.find(MASK).map(|at| (at, MASK.len()));
    let hash = hash.map(|at| (at, 1 + DIGITS));
    hash.into_iter().chain(mask).min()
}

/// Digits of a hash that stands in for a secret.
const DIGITS: usize = 12;

/// Fields that say how the body was sent, not what it is.
const FRAMING: [&str; 5] =
    ["content-length", "transfer-encoding", "content-encoding", "connection", "keep-alive"];

/// What a body may become without its coding.
const DECODED_MAX: u64 = 32 << 20;

#[cfg(test)]
mod tests;
