//! The secrets of one example, and taking out every other occurrence of them.

use std::{collections::BTreeMap, hash::Hasher};

use gnomon_config::model::RedactStyle;
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::text;

/// What takes the place of a secret: the same for equal secrets, under one key.
#[derive(Clone, Debug)]
pub(super) struct StandIn {
    style: RedactStyle,
    key: [u8; 16],
}

impl StandIn {
    /// All of `key` counts, though the hash takes half as much.
    pub(super) fn new(style: RedactStyle, key: &[u8; 32]) -> Self {
        let (mut first, mut rest) = ([0; 16], [0; 16]);
        first.copy_from_slice(&key[..16]);
        rest.copy_from_slice(&key[16..]);
        let mut hasher = SipHasher24::new_with_key(&first);
        hasher.write(&rest);
        Self { style, key: hasher.finish128().as_bytes() }
    }

    /// What is shown instead of `secret`.
    pub(super) fn of(&self, secret: &str) -> String {
        match self.style {
            RedactStyle::Hash => self.hash(secret.as_bytes()),
            RedactStyle::Drop => String::new(),
            RedactStyle::Mask => text::MASK.to_owned(),
        }
    }

    /// The keyed hash of `bytes`: `#` and twelve digits.
    pub(super) fn hash(&self, bytes: &[u8]) -> String {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(bytes);
        format!("#{:012x}", hasher.finish128().as_u128() & 0xffff_ffff_ffff)
    }

    /// Whether the place itself is to go, with its name.
    pub(super) fn drops(&self) -> bool {
        self.style == RedactStyle::Drop
    }
}

/// What was taken out of one example, in every form in which it may be found again.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    /// A form, and what takes its place.
    forms: BTreeMap<String, String>,
    /// The same, longest first, so that no part of a longer one remains.
    sorted: Vec<(String, String)>,
    overflow: bool,
}

impl Secrets {
    /// Remembers `secret`: as it is, percent-decoded and -encoded, and escaped as in JSON.
    pub(super) fn add(&mut self, secret: &str, stand_in: &StandIn) {
        let secret = secret.trim();
        let decoded = text::percent_decoded(secret, true);
        let shown = stand_in.of(&decoded);
        let plain = text::percent_decoded(secret, false);
        for form in [secret, &decoded, &plain] {
            self.insert(form, &shown);
            self.insert(&text::percent_encoded(form), &shown);
            self.insert(&text::percent_encoded(form).to_ascii_lowercase(), &shown);
            let escaped = serde_json::Value::from(form).to_string();
            self.insert(escaped.trim_matches('"'), &shown);
            self.insert(&escaped.trim_matches('"').replace('/', "\\/"), &shown);
        }
    }

    /// Remembers a field's value, and its parts: what follows the scheme, what the scheme hides in
    /// base 64, the values of its parameters.
    pub(super) fn add_field(&mut self, name: &str, value: &str, stand_in: &StandIn) {
        self.add(value, stand_in);
        if name == "set-cookie" {
            // What follows the first pair is no secret: `Secure`, `Path=/`.
            let pair = value.split(';').next().unwrap_or_default();
            self.add_pair(pair, stand_in);
            return;
        }
        if name == "cookie" {
            value.split(';').for_each(|pair| self.add_pair(pair, stand_in));
            return;
        }
        let Some((scheme, rest)) = value.trim().split_once(' ') else { return };
        self.add(rest, stand_in);
        if scheme.eq_ignore_ascii_case("basic")
            && let Some(bytes) = text::base64(rest.trim())
        {
            let pair = String::from_utf8_lossy(&bytes);
            self.add(&pair, stand_in);
            if let Some((user, password)) = pair.split_once(':') {
                self.add(user, stand_in);
                self.add(password, stand_in);
            }
        }
        for pair in rest.split(',').filter(|pair| pair.contains('=')) {
            self.add_pair(pair, stand_in);
        }
    }

    fn add_pair(&mut self, pair: &str, stand_in: &StandIn) {
        let value = pair.split_once('=').map_or(pair, |(_, value)| value);
        self.add(value, stand_in);
        self.add(value.trim().trim_matches('"'), stand_in);
    }

    fn insert(&mut self, form: &str, shown: &str) {
        if form.len() < SECRET_MIN || self.forms.contains_key(form) {
            return;
        }
        if self.forms.len() >= FORMS_MAX {
            self.overflow = true;
            return;
        }
        self.forms.insert(form.to_owned(), shown.to_owned());
    }

    /// No more are to come: prepares for [`Self::scrub`].
    pub(super) fn seal(&mut self) {
        self.sorted = std::mem::take(&mut self.forms).into_iter().collect();
        self.sorted.sort_by_key(|(form, _)| std::cmp::Reverse(form.len()));
    }

    /// There is something that could not be looked into.
    pub(super) const fn overflow(&mut self) {
        self.overflow = true;
    }

    /// Whether there were more than can be remembered: then nothing free of form may be kept.
    pub(super) const fn overflowed(&self) -> bool {
        self.overflow
    }

    /// Whether any secret is in `text`.
    pub(crate) fn are_in(&self, text: &str) -> bool {
        self.sorted.iter().any(|(form, _)| text.contains(form.as_str()))
    }

    /// Takes all secrets out of `text` and says whether there were any. `is_cut` says that the
    /// text may end within one.
    pub(super) fn scrub(&self, text: &mut String, is_cut: bool) -> bool {
        let mut found = false;
        for (form, shown) in &self.sorted {
            if text.contains(form.as_str()) {
                *text = text.replace(form.as_str(), shown);
                found = true;
            }
        }
        found | (is_cut && self.scrub_end(text))
    }

    fn scrub_end(&self, text: &mut String) -> bool {
        let body = text.trim_end_matches(['…', '"', '\u{fffd}']);
        let longest = |(form, shown): &'_ (String, String)| {
            (END_MIN..form.len())
                .rev()
                .filter(|&length| form.is_char_boundary(length))
                .find(|&length| body.ends_with(&form[..length]))
                .map(|length| (length, shown.clone()))
        };
        let Some((length, shown)) =
            self.sorted.iter().filter_map(longest).max_by_key(|(length, _)| *length)
        else {
            return false;
        };
        let keep = body.len() - length;
        text.replace_range(keep..keep + length, &shown);
        true
    }
}

/// Secrets shorter than this are taken out where they are, but not looked for elsewhere: they
/// would be found in every text.
const SECRET_MIN: usize = 6;
/// So much of a secret at the end of a cut text is taken for one.
const END_MIN: usize = 3;
/// Forms that are looked for in one example; each costs a look at all its texts.
const FORMS_MAX: usize = 2048;
