//! Heads: lines to fields, without the secret ones.

use super::{Message, Redactor, body::Kind, secrets::Secrets};
use crate::bundle::Field;

impl Redactor {
    /// The head of a request or of a reply.
    pub(super) fn message(&self, head: &[u8], secrets: &mut Secrets) -> Message {
        let text = String::from_utf8_lossy(head);
        let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let mut words = lines.next().unwrap_or_default().splitn(3, ' ').map(str::to_owned);
        let mut start = [(); 3].map(|()| words.next().unwrap_or_default());
        // In a reply the second word is the status, and nothing happens to it.
        start[1] = self.target(&start[1], secrets);
        let mut message = Message { start, ..Message::default() };
        let mut is_secret = false;
        for line in lines.take_while(|line| !line.is_empty()) {
            if line.starts_with([' ', '\t']) {
                // A continued line belongs to the field before it, and so do its secrets.
                if let Some(field) = message.fields.last_mut().filter(|_| !is_secret) {
                    field.value.push(' ');
                    field.value.push_str(&self.queries(line.trim(), secrets));
                } else {
                    secrets.add(line, &self.stand_in);
                }
                continue;
            }
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            message.kind.note(name, value.trim());
            is_secret = self.is_secret_field(name.trim());
            message.fields.extend(self.field(name, value.trim(), secrets));
        }
        message
    }

    /// One field; none if it is secret and secrets leave no trace.
    fn field(&self, name: &str, value: &str, secrets: &mut Secrets) -> Option<Field> {
        if self.is_secret_field(name.trim()) {
            let known = name.trim().to_ascii_lowercase();
            secrets.add_field(&known, value, &self.stand_in);
            let shown = self.stand_in.of(value);
            return (!self.stand_in.drops()).then(|| Field {
                name: name.to_owned(),
                value: shown,
                redacted: true,
            });
        }
        let clean = self.queries(value, secrets);
        Some(Field { name: name.to_owned(), redacted: clean != value, value: clean.into_owned() })
    }
}

impl Kind {
    /// Learns from a field what the body is.
    fn note(&mut self, name: &str, value: &str) {
        if name.eq_ignore_ascii_case("content-type") {
            self.media = value.to_ascii_lowercase();
        } else if name.eq_ignore_ascii_case("content-encoding") {
            self.codings.push(',');
            self.codings.push_str(value);
        }
    }
}
