//! Secrets in pairs such as `token=abc`, in targets, forms, and anywhere in a text.

use std::borrow::Cow;

use super::{Redactor, secrets::Secrets};
use crate::text;

impl Redactor {
    /// `text` without the values of secret parameters, wherever there seem to be some: links in
    /// fields, in pages and in JSON.
    pub(super) fn queries<'a>(&self, text: &'a str, secrets: &mut Secrets) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        if self.query.is_empty() {
            return text;
        }
        // A link may hold another one, encoded.
        for _ in 0..DEPTH {
            if let Some(clean) = self.scan(&text, secrets) {
                text = Cow::Owned(clean);
            }
            if !text.contains("%3D") && !text.contains("%3d") {
                break;
            }
            let decoded = text::percent_decoded(&text, false);
            if self.scan(&decoded, &mut Secrets::default()).is_none() && !decoded.contains("%3") {
                break;
            }
            text = Cow::Owned(decoded);
        }
        text
    }

    /// A form or a query: pairs between `&`, whose values may hold anything else.
    pub(super) fn pairs(&self, form: &str, secrets: &mut Secrets) -> String {
        let mut out: Vec<Cow<'_, str>> = Vec::new();
        for pair in form.split('&') {
            match pair.split_once('=') {
                Some((name, _)) if self.is_secret(name) && self.stand_in.drops() => {
                    self.take(pair, secrets);
                }
                Some((name, _)) if self.is_secret(name) => {
                    out.push(format!("{name}={}", self.take(pair, secrets)).into());
                }
                _ => out.push(self.queries(pair, secrets)),
            }
        }
        out.join("&")
    }

    /// A target: what follows the first question mark is a query.
    pub(super) fn target(&self, target: &str, secrets: &mut Secrets) -> String {
        match target.split_once('?') {
            Some((path, query)) => match self.pairs(query, secrets) {
                query if query.is_empty() => path.to_owned(),
                query => format!("{path}?{query}"),
            },
            None => target.to_owned(),
        }
    }

    fn is_secret(&self, name: &str) -> bool {
        let name = text::percent_decoded(name, true);
        self.query.iter().any(|secret| secret.eq_ignore_ascii_case(&name))
    }

    /// What takes the place of the value in `pair`.
    fn take(&self, pair: &str, secrets: &mut Secrets) -> String {
        let value = pair.split_once('=').map_or("", |(_, value)| value);
        secrets.add(value, &self.stand_in);
        self.stand_in.of(&text::percent_decoded(value, true))
    }

    /// `text` without secret values, if there are any.
    fn scan(&self, text: &str, secrets: &mut Secrets) -> Option<String> {
        let mut clean: Option<String> = None;
        let (mut copied, mut from) = (0, 0);
        while let Some(equals) = text[from..].find('=').map(|at| from + at) {
            from = equals + 1;
            let starts = |char: char| !char.is_ascii_alphanumeric() && !"_.-%[]~+".contains(char);
            let name = &text[copied..equals];
            let name = &name[name
                .rfind(starts)
                .map_or(0, |at| at + name[at..].chars().next().map_or(1, char::len_utf8))..];
            if !self.is_secret(name) {
                continue;
            }
            let rest = &text[from..];
            let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\''));
            let (open, end) = match quote {
                Some(quote) => (1, rest[1..].find(quote).map_or(rest.len(), |at| at + 1)),
                None => (0, rest.find(ends).unwrap_or(rest.len())),
            };
            let value = &rest[open..end];
            secrets.add(value, &self.stand_in);
            let out = clean.get_or_insert_default();
            out.push_str(&text[copied..from + open]);
            out.push_str(&self.stand_in.of(&text::percent_decoded(value, true)));
            (copied, from) = (from + end, from + end);
        }
        clean.map(|mut out| {
            out.push_str(&text[copied..]);
            out
        })
    }
}

/// Whether a value in a link ends here.
fn ends(char: char) -> bool {
    char.is_whitespace() || matches!(char, '&' | '#' | '<' | '>' | '"' | '\'' | '\\')
}

/// Links within links that are looked into.
const DEPTH: usize = 3;
