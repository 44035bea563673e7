//! Bodies: JSON by its places, forms by their keys, text as it is, and nothing else.

use std::borrow::Cow;

use serde_json::Value;

use super::{Redactor, secrets::Secrets};
use crate::{
    bundle::{Content, Encoding},
    compare::decode_as,
    place::{At, Relation},
    text,
};

/// What the head says of a body.
#[derive(Clone, Debug, Default)]
pub(super) struct Kind {
    /// The content type, in lower case.
    pub(super) media: String,
    /// How it is compressed or otherwise coded, in the order of coding, between commas.
    pub(super) codings: String,
}

/// A body under way from raw to clean.
#[derive(Debug, Default)]
pub(super) struct Draft {
    form: Form,
    length: u64,
    is_cut: bool,
    redacted: bool,
    hash: String,
}

#[derive(Debug, Default)]
enum Form {
    Json(Value),
    Text(String),
    #[default]
    Out,
}

impl Redactor {
    /// The body in `bytes`, of which this may be the beginning only.
    pub(super) fn body(
        &self,
        kind: &Kind,
        bytes: &[u8],
        length: u64,
        secrets: &mut Secrets,
    ) -> Draft {
        let is_cut = (bytes.len() as u64) < length;
        let mut draft = Draft { length, is_cut, ..Draft::default() };
        draft.form = self.form(kind, bytes, &mut draft, secrets);
        if matches!(draft.form, Form::Out) {
            draft.hash = self.stand_in.hash(bytes);
        }
        draft
    }

    fn form(&self, kind: &Kind, bytes: &[u8], draft: &mut Draft, secrets: &mut Secrets) -> Form {
        if bytes.len() > READ_MAX || kind.media.starts_with("multipart/") {
            // What is secret in it may be repeated elsewhere, and we would not know.
            secrets.overflow();
            return Form::Out;
        }
        match decode_as(kind.codings.as_bytes(), bytes, READ_MAX as u64) {
            Ok(Cow::Borrowed(_)) => {}
            Ok(Cow::Owned(content)) => {
                // What is kept is as it was sent, or not at all.
                let plain = Kind { media: kind.media.clone(), codings: String::new() };
                self.form(&plain, &content, &mut Draft::default(), secrets);
                return Form::Out;
            }
            Err(_) => {
                secrets.overflow();
                return Form::Out;
            }
        }
        let Some(text) = readable(bytes, draft.is_cut) else { return Form::Out };
        let is_json = ["json", "event-stream"].iter().any(|name| kind.media.contains(name))
            || text.trim_start_matches('\u{feff}').trim_start().starts_with(['{', '[']);
        if is_json {
            match serde_json::from_str::<Value>(text.trim_start_matches('\u{feff}')) {
                Ok(mut value) => {
                    draft.redacted = self.walk(&mut value, &[], secrets);
                    return Form::Json(value);
                }
                // What is secret in it cannot be told.
                Err(_) if !self.places.is_empty() && !text.trim().is_empty() => {
                    secrets.overflow();
                    return Form::Out;
                }
                Err(_) => {}
            }
        }
        let clean = if kind.media.starts_with("application/x-www-form-urlencoded") {
            self.pairs(text, secrets)
        } else {
            self.queries(text, secrets).into_owned()
        };
        draft.redacted = clean != text;
        Form::Text(clean)
    }

    /// Takes the secrets out of `value`, which lies at `at`, and says whether there were any.
    pub(super) fn walk(&self, value: &mut Value, at: &[At<'_>], secrets: &mut Secrets) -> bool {
        let relation = self.relation(at);
        if relation == Relation::Inside {
            remember(value, &mut |leaf| secrets.add(leaf, &self.stand_in));
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            *value =
                if self.stand_in.drops() { Value::Null } else { self.stand_in.of(&shown).into() };
            return true;
        }
        let mut found = false;
        match value {
            Value::String(text) => {
                let clean = self.queries(text, secrets);
                if clean != *text {
                    *text = clean.into_owned();
                    found = true;
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    found |= self.step(item, At::Item(Some(index)), at, secrets);
                }
            }
            Value::Object(fields) => {
                for (name, item) in fields.iter_mut() {
                    found |= self.step(item, At::Field(name), at, secrets);
                }
                if self.stand_in.drops() {
                    fields.retain(|name, _| self.step_relation(name, at) != Relation::Inside);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        found
    }

    fn step(&self, item: &mut Value, down: At<'_>, at: &[At<'_>], secrets: &mut Secrets) -> bool {
        let mut below = at.to_vec();
        below.push(down);
        self.walk(item, &below, secrets)
    }

    fn step_relation(&self, name: &str, at: &[At<'_>]) -> Relation {
        let mut below = at.to_vec();
        below.push(At::Field(name));
        self.relation(&below)
    }
}

impl Draft {
    /// The body to keep, without the secrets; as an error if nothing of it may be.
    pub(super) fn finish(self, secrets: &Secrets, kept: usize) -> Result<Content, Content> {
        let mut redacted = self.redacted;
        let mut data = match self.form {
            Form::Json(mut value) => {
                redacted |= scrub(&mut value, secrets);
                value.to_string()
            }
            Form::Text(mut text) => {
                redacted |= secrets.scrub(&mut text, self.is_cut);
                text
            }
            Form::Out => {
                let (length, hash) = (self.length, self.hash);
                return Err(Content { length, hash, ..Content::default() });
            }
        };
        let is_long = data.len() > kept;
        if is_long {
            data.truncate(text::cut(&data, kept).len());
        }
        Ok(Content {
            encoding: Encoding::Text,
            data,
            length: self.length,
            cut: self.is_cut || is_long,
            redacted,
            ..Content::default()
        })
    }
}

/// Takes the secrets out of all texts, names and numbers in `value`.
fn scrub(value: &mut Value, secrets: &Secrets) -> bool {
    match value {
        Value::String(text) => secrets.scrub(text, false),
        Value::Array(items) => items.iter_mut().fold(false, |any, one| scrub(one, secrets) | any),
        Value::Object(fields) => {
            let mut found = false;
            *fields = std::mem::take(fields)
                .into_iter()
                .map(|(mut name, mut item)| {
                    found |= secrets.scrub(&mut name, false) | scrub(&mut item, secrets);
                    (name, item)
                })
                .collect();
            found
        }
        Value::Number(number) => {
            let mut text = number.to_string();
            let found = secrets.scrub(&mut text, false);
            if found {
                *value = text.into();
            }
            found
        }
        Value::Null | Value::Bool(_) => false,
    }
}

/// Shows every text and number in `value` to `see`.
fn remember(value: &Value, see: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => see(text),
        Value::Number(number) => see(&number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| remember(item, see)),
        Value::Object(fields) => fields.values().for_each(|item| remember(item, see)),
        Value::Null | Value::Bool(_) => {}
    }
}

/// `bytes` as text; none if they seem to be something else.
fn readable(bytes: &[u8], is_cut: bool) -> Option<&str> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        // Cut within the last character.
        Err(error) if is_cut && error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let is_control = |byte: u8| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x1b);
    (!text.bytes().any(is_control)).then_some(text)
}

/// Bytes of a body that are looked into: the thread has more to do.
pub(super) const READ_MAX: usize = 2 << 20;

/// Bytes of a body that are kept: enough for most documents, and forty examples in 8 MB.
pub(super) const KEPT_MAX: usize = 64 << 10;
