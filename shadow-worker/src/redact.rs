//! Takes secrets out of an example before anything of it is stored or shown.
//!
//! In two passes: the first takes out what the configuration names, where it is named, and
//! remembers it; the second looks for what was remembered in everything that is left, because
//! servers repeat what they are told. When in doubt a text is left out altogether.

mod body;
mod head;
mod queries;
mod secrets;

use std::borrow::Cow;

#[cfg(test)]
use gnomon_config::model::RedactStyle;
use gnomon_config::{json_path::Step, model::Redact};
use serde_json::Value;

use crate::{
    bundle::{Answer, Content, Encoding, Field, Request, Unequal},
    difference::{Difference, VALUE_MAX},
    exchange::{Asked, Reply},
    place::{self, At, Relation},
    text,
};
use body::Draft;
pub(crate) use secrets::Secrets;
use secrets::StandIn;

/// Knows what is secret and what takes its place.
#[derive(Clone, Debug)]
pub struct Redactor {
    fields: Vec<Box<str>>,
    query: Vec<Box<str>>,
    places: Vec<Box<[Step]>>,
    stand_in: StandIn,
    /// Bytes of a body that are kept.
    kept: usize,
}

/// An exchange and its replies, as they came.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a> {
    /// What was asked.
    pub request: &'a Asked,
    /// What the primary answered.
    pub primary: &'a Reply,
    /// What the shadow answered.
    pub shadow: &'a Reply,
    /// What differs between the two.
    pub found: &'a [Difference],
}

/// The same, without secrets.
#[derive(Clone, Debug, Default)]
pub struct Clean {
    /// What was asked.
    pub request: Request,
    /// What the primary answered.
    pub primary: Answer,
    /// What the shadow answered.
    pub shadow: Answer,
    /// What differs between the two.
    pub differences: Vec<Unequal>,
}

impl Redactor {
    /// A redactor for these rules. Hashes under the same `key` can be compared.
    #[must_use]
    pub fn new(rules: &Redact, key: [u8; 32]) -> Self {
        Self {
            fields: rules.headers.iter().map(|name| (**name).into()).collect(),
            query: rules.query.iter().map(|name| (**name).into()).collect(),
            places: rules.json.iter().map(|path| path.steps().into()).collect(),
            stand_in: StandIn::new(rules.style, &key),
            kept: body::KEPT_MAX,
        }
    }

    /// Keeps all of a body that it looks into.
    #[must_use]
    pub const fn keeping_all(mut self) -> Self {
        // What takes the place of a secret may be longer than it.
        self.kept = 2 * body::READ_MAX;
        self
    }

    /// What is secret in an exchange and the replies to it, to look for it elsewhere.
    pub(crate) fn secrets<'a>(
        &self,
        request: &Asked,
        replies: impl Iterator<Item = &'a Reply>,
    ) -> Secrets {
        let mut secrets = Secrets::default();
        self.asked(request, &mut secrets);
        for reply in replies {
            self.reply(reply, &mut secrets);
        }
        secrets.seal();
        secrets
    }

    fn asked(&self, request: &Asked, secrets: &mut Secrets) -> Message {
        let mut message = self.message(&request.head, secrets);
        let length = request.body.len() as u64;
        message.body = self.body(&message.kind, &request.body, length, secrets);
        message
    }

    fn reply(&self, reply: &Reply, secrets: &mut Secrets) -> Message {
        let mut message = self.message(&reply.head, secrets);
        let body = &reply.body;
        message.body = self.body(&message.kind, &body.bytes, body.length, secrets);
        message
    }

    /// `raw` without its secrets.
    #[must_use]
    pub fn clean(&self, raw: &Raw<'_>) -> Clean {
        let mut secrets = Secrets::default();
        let mut request = self.asked(raw.request, &mut secrets);
        let [mut primary, mut shadow] =
            [raw.primary, raw.shadow].map(|reply| self.reply(reply, &mut secrets));
        let mut differences: Vec<Unequal> =
            raw.found.iter().map(|one| self.difference(one, &mut secrets)).collect();
        secrets.seal();
        for message in [&mut request, &mut primary, &mut shadow] {
            scrub_message(message, &secrets);
        }
        for one in &mut differences {
            scrub_difference(one, &secrets);
        }
        Clean {
            request: Request {
                method: std::mem::take(&mut request.start[0]),
                target: std::mem::take(&mut request.start[1]),
                body: self.content(request.body, &secrets),
                fields: request.fields,
            },
            primary: self.answer(primary, &secrets),
            shadow: self.answer(shadow, &secrets),
            differences,
        }
    }

    fn answer(&self, message: Message, secrets: &Secrets) -> Answer {
        Answer {
            status: message.start[1].parse().unwrap_or_default(),
            fields: message.fields,
            body: self.content(message.body, secrets),
        }
    }

    fn content(&self, draft: Draft, secrets: &Secrets) -> Content {
        let mut content = match draft.finish(secrets, self.kept) {
            Ok(content) if !secrets.overflowed() => return content,
            Ok(content) => content,
            Err(content) => content,
        };
        if content.hash.is_empty() {
            content.hash = self.stand_in.hash(content.data.as_bytes());
        }
        Content { data: String::new(), encoding: Encoding::LeftOut, ..content }
    }

    /// A difference without what its path says is secret.
    fn difference(&self, one: &Difference, secrets: &mut Secrets) -> Unequal {
        let mut excerpt = |value: &Option<Box<str>>| {
            value.as_ref().map(|value| self.excerpt(&one.path, value, secrets).into_owned())
        };
        Unequal {
            path: one.path.to_string(),
            kind: one.kind.name().to_owned(),
            shape: one.shape.to_string(),
            primary: excerpt(&one.primary),
            shadow: excerpt(&one.other),
        }
    }

    fn excerpt<'a>(&self, path: &str, value: &'a str, secrets: &mut Secrets) -> Cow<'a, str> {
        if let Some(name) = path.strip_prefix("header.") {
            if self.is_secret_field(name) {
                secrets.add_field(name, value, &self.stand_in);
                return self.stand_in.of(value).into();
            }
            return self.queries(value, secrets);
        }
        if path == "status" || self.places.is_empty() {
            return self.queries(value, secrets);
        }
        let steps = if path.starts_with('$') { place::parse(path) } else { Some(Vec::new()) };
        let Some(at) = steps.as_deref().and_then(place::concrete) else {
            // A path that cannot be read may be any.
            return self.stand_in.of(value).into();
        };
        match self.relation(&at) {
            Relation::Inside => {
                secrets.add(value, &self.stand_in);
                secrets.add(value.trim_matches('"'), &self.stand_in);
                self.stand_in.of(value.trim_matches('"')).into()
            }
            Relation::Above if value.trim_start().starts_with(['{', '[']) => {
                match serde_json::from_str::<Value>(value) {
                    Ok(mut value) => {
                        self.walk(&mut value, &at, secrets);
                        value.to_string().into()
                    }
                    // The beginning of a fragment: what is secret in it cannot be told.
                    Err(_) => self.stand_in.of(value).into(),
                }
            }
            Relation::Above | Relation::Apart => self.queries(value, secrets),
        }
    }

    /// How `place` lies to all secret places together.
    fn relation(&self, at: &[At<'_>]) -> Relation {
        let mut nearest = Relation::Apart;
        for steps in &self.places {
            match place::relation(steps, at) {
                Relation::Inside => return Relation::Inside,
                Relation::Above => nearest = Relation::Above,
                Relation::Apart => {}
            }
        }
        nearest
    }

    fn is_secret_field(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let is = |name: &str| self.fields.iter().any(|field| **field == *name);
        is(&name) || name.split_once('.').is_some_and(|(name, _)| is(name))
    }

    #[cfg(test)]
    fn for_test(fields: &[&str], query: &[&str], places: &[&str], style: RedactStyle) -> Self {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).into()).collect();
        let places = places.iter().map(|path| place::parse(path).unwrap().into()).collect();
        let stand_in = StandIn::new(style, &[7; 32]);
        let (fields, query) = (texts(fields), texts(query));
        Self { fields, query, places, stand_in, kept: body::KEPT_MAX }
    }
}

/// A message under way from raw to clean.
#[derive(Debug, Default)]
struct Message {
    /// The words of the first line.
    start: [String; 3],
    fields: Vec<Field>,
    kind: body::Kind,
    body: Draft,
}

fn scrub_message(message: &mut Message, secrets: &Secrets) {
    for word in &mut message.start {
        secrets.scrub(word, false);
    }
    if secrets.overflowed() {
        message.start[1].truncate(message.start[1].find('?').unwrap_or(message.start[1].len()));
        for field in &mut message.fields {
            (field.value, field.redacted) = (text::MASK.to_owned(), true);
        }
    }
    for field in &mut message.fields {
        let found = secrets.scrub(&mut field.value, false) | secrets.scrub(&mut field.name, false);
        field.redacted |= found;
    }
}

fn scrub_difference(one: &mut Unequal, secrets: &Secrets) {
    secrets.scrub(&mut one.path, true);
    secrets.scrub(&mut one.shape, true);
    for value in [&mut one.primary, &mut one.shadow].into_iter().flatten() {
        // A few bytes less than the most, since characters are not cut in two.
        let is_cut = value.len() + 8 >= VALUE_MAX || value.ends_with('…');
        secrets.scrub(value, is_cut);
        if secrets.overflowed() {
            text::MASK.clone_into(value);
        }
    }
}

#[cfg(test)]
mod tests;
