//! Two replies held against each other: what of them is unequal, by place and kind.
//!
//! Pure: no IO, no clock, and the same replies always give the same answer. With the sides turned
//! round the answer is the same, each kind as the other side calls it.
//!
//! Everything is bounded, since bodies are written by others: what a coded body may become
//! (`decode`), how deep and large a document may be (`json::read`), how long fits are looked for
//! (`json::differ`, `align`), and what is told ([`DIFFERENCES_MAX`], [`PATHS_MAX`],
//! [`PATH_BYTES_MAX`]). Whatever goes beyond is [`Uncomparable`], never taken for equal.

mod align;
mod bytes;
mod content;
pub(crate) mod decode;
mod differences;
mod headers;
mod json;
mod status;
mod text;

use std::sync::Arc;

use gnomon_config::{
    json_path::{JsonPath, Matcher},
    model::{BodyMode, Compare},
};
use gnomon_wire::Response;

use self::{
    content::Form,
    differences::{Differences, Paths, excerpt_of_bytes},
    json::Reading,
};
use crate::difference::{Body, Difference, Kind, Uncomparable};

pub(crate) use decode::decode_as;
pub use differences::{DIFFERENCES_MAX, PATH_BYTES_MAX, PATHS_MAX};

/// One of two replies.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// Its head.
    pub response: Response<'a>,
    /// Its body.
    pub body: &'a Body,
}

/// What came of comparing two replies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// What is unequal: each finding once, at most [`DIFFERENCES_MAX`].
    pub differences: Vec<Difference>,
    /// Why the bodies could not be compared, if so; the rest was.
    pub uncomparable: Option<Uncomparable>,
    /// The places that either reply has and that were compared, as in [`Difference::path`], if asked
    /// for: in order, at most [`PATHS_MAX`].
    pub paths: Vec<Box<str>>,
}

/// Rules of comparing, made ready.
#[derive(Debug)]
pub struct Comparer {
    status: bool,
    headers: Vec<Arc<str>>,
    body: BodyMode,
    max: u64,
    json: json::Rules,
}

impl Comparer {
    /// By these rules. Latency is for others to compare: here is no clock.
    #[must_use]
    pub fn new(rules: &Compare) -> Self {
        let json = json::Rules {
            ignore: Matcher::new(&rules.ignore),
            arrays: Matcher::new(rules.arrays.iter().map(|(path, _)| path)),
            array_rules: rules.arrays.iter().map(|(_, rule)| rule.clone()).collect(),
            tolerance: rules.tolerance,
            secrets: Matcher::default(),
        };
        Self {
            status: rules.status,
            headers: rules.headers.clone(),
            body: rules.body,
            max: rules.max,
            json,
        }
    }

    /// Shows no value that lies at or below one of these places in a JSON body: a mask stands for
    /// it, wherever in a value it would appear. Other bodies and fields are shown as they are.
    #[must_use]
    pub fn hiding(mut self, secrets: &[JsonPath]) -> Self {
        self.json.secrets = Matcher::new(secrets);
        self
    }

    /// Compares two replies; `want_paths` says whether the places that they have are told as well,
    /// which costs a look into equal bodies too.
    #[must_use]
    pub fn compare(&self, primary: &Side<'_>, other: &Side<'_>, want_paths: bool) -> Comparison {
        let (mut found, mut paths) = (Differences::default(), Paths::new(want_paths));
        let (was, is) = (&primary.response, &other.response);
        if self.status {
            status::compare(was, is, &mut found, &mut paths);
        }
        headers::compare(&self.headers, was, is, &mut found, &mut paths);
        let uncomparable = self.bodies(primary, other, &mut found, &mut paths).err();
        Comparison { differences: found.into_vec(), uncomparable, paths: paths.into_vec() }
    }

    fn bodies(
        &self,
        primary: &Side<'_>,
        other: &Side<'_>,
        found: &mut Differences,
        paths: &mut Paths,
    ) -> Result<(), Uncomparable> {
        let (was, is) = (primary.body, other.body);
        if self.body == BodyMode::None || was.length == 0 && is.length == 0 {
            return Ok(());
        }
        let are_alike = decode::are_alike(&primary.response, &other.response);
        // Most pairs are equal, and end here.
        if are_alike && was == is && !paths.are_wanted() {
            return Ok(());
        }
        if self.is_long(was) || self.is_long(is) {
            paths.add(bytes::PATH);
            return if are_alike {
                bytes::compare_long(primary, other, found)
            } else {
                Err(Uncomparable::TooLong)
            };
        }
        let max = decode::decoded_max(self.max);
        let was = decode::decode(&primary.response, &was.bytes, max)?;
        let is = decode::decode(&other.response, &is.bytes, max)?;
        if was == is && !paths.are_wanted() {
            return Ok(());
        }
        Contents { rules: self, primary, other, was: &was, is: &is }.compare(found, paths)
    }

    /// Whether a body is not looked into.
    fn is_long(&self, body: &Body) -> bool {
        let captured = body.bytes.len() as u64;
        body.hash.is_some() || captured < body.length || captured > self.max
    }
}

/// Two bodies, whole and decoded.
struct Contents<'a> {
    rules: &'a Comparer,
    primary: &'a Side<'a>,
    other: &'a Side<'a>,
    was: &'a [u8],
    is: &'a [u8],
}

impl Contents<'_> {
    fn compare(&self, found: &mut Differences, paths: &mut Paths) -> Result<(), Uncomparable> {
        if self.was.is_empty() || self.is.is_empty() {
            self.compare_presence(found, paths);
            return Ok(());
        }
        let (was, is) = match self.rules.body {
            BodyMode::Auto => self.forms(),
            BodyMode::Json => return self.compare_json(true, found, paths),
            BodyMode::Text => (Form::Text, Form::Text),
            BodyMode::Bytes | BodyMode::None => (Form::Bytes, Form::Bytes),
        };
        match (was, is) {
            (Form::Json, Form::Json) => return self.compare_json(false, found, paths),
            (Form::Text, Form::Text) => self.compare_text(found, paths),
            (Form::Bytes, Form::Bytes) => {
                paths.add(bytes::PATH);
                bytes::compare(self.was, self.is, found);
            }
            _ => self.tell_forms(was, is, found, paths),
        }
        Ok(())
    }

    /// One of them is empty, or both.
    fn compare_presence(&self, found: &mut Differences, paths: &mut Paths) {
        let (kind, form) = match (self.was.is_empty(), self.is.is_empty()) {
            (false, true) => (Kind::Missing, self.forms().0),
            (true, false) => (Kind::Extra, self.forms().1),
            _ => return,
        };
        paths.add(bytes::PATH);
        found.add(bytes::PATH, kind, form.name(), || self.excerpts());
    }

    /// What they are. A side that does not say is taken for what the other says it is.
    fn forms(&self) -> (Form, Form) {
        match (Form::of(&self.primary.response), Form::of(&self.other.response)) {
            (Some(was), Some(is)) => (was, is),
            (Some(form), None) | (None, Some(form)) => (form, form),
            (None, None) => match (Form::guess(self.was), Form::guess(self.is)) {
                (Form::Json, Form::Json) => (Form::Json, Form::Json),
                _ => (Form::Bytes, Form::Bytes),
            },
        }
    }

    fn compare_json(
        &self,
        must_be: bool,
        found: &mut Differences,
        paths: &mut Paths,
    ) -> Result<(), Uncomparable> {
        match (json::read(self.was)?, json::read(self.is)?) {
            (Reading::Json(was), Reading::Json(is)) => {
                return json::compare(&self.rules.json, &was, &is, found, paths);
            }
            (Reading::Json(_), Reading::Other) => {
                self.tell_forms(Form::Json, Form::Text, found, paths);
            }
            (Reading::Other, Reading::Json(_)) => {
                self.tell_forms(Form::Text, Form::Json, found, paths);
            }
            (Reading::Other, Reading::Other) if must_be => return Err(Uncomparable::NotJson),
            (Reading::Other, Reading::Other) => self.compare_text(found, paths),
        }
        Ok(())
    }

    fn compare_text(&self, found: &mut Differences, paths: &mut Paths) {
        paths.add(bytes::PATH);
        text::compare(self.was, self.is, found);
    }

    fn tell_forms(&self, was: Form, is: Form, found: &mut Differences, paths: &mut Paths) {
        paths.add(bytes::PATH);
        let shape = format!("{} → {}", was.name(), is.name());
        found.add(bytes::PATH, Kind::Type, &shape, || self.excerpts());
    }

    /// How they begin, unless they are empty.
    fn excerpts(&self) -> (Option<Box<str>>, Option<Box<str>>) {
        let rules = &self.rules.json;
        let beginning = |body: &[u8]| {
            if body.is_empty() {
                return None;
            }
            // Whatever they were taken for, documents have secrets.
            if rules.has_secrets() {
                match json::read(body) {
                    Ok(Reading::Json(document)) => return Some(document.show(rules)),
                    Ok(Reading::Other) => {}
                    Err(_) => return None,
                }
            }
            Some(excerpt_of_bytes(body))
        };
        (beginning(self.was), beginning(self.is))
    }
}

#[cfg(test)]
mod tests;
