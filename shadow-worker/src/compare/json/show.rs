//! The beginning of a value, written down as JSON, but for what is secret.

use gnomon_config::json_path::{Matcher, Walk};

use super::{super::differences::Excerpt, read::Value};

/// What stands for a secret.
const MASK: &str = "\"***\"";

/// Where secrets are, seen from the current place. What lies below a secret is one.
pub(super) struct Secrets<'r> {
    walk: Walk<'r>,
    depth: usize,
    /// How deep the outermost secret lies that the current place is in.
    from: Option<usize>,
}

impl<'r> Secrets<'r> {
    /// At a document's root.
    pub(super) fn new(secrets: &'r Matcher) -> Self {
        let walk = secrets.walk();
        let from = walk.is_match().then_some(0);
        Self { walk, depth: 0, from }
    }

    pub(super) fn enter_field(&mut self, name: &str) {
        self.walk.enter_field(name);
        self.entered();
    }

    /// An item without an index may be any: a secret at one index is one at all of them.
    pub(super) fn enter_item(&mut self, indices: Option<(usize, usize)>) {
        match indices {
            Some((was, is)) => self.walk.enter_either(was, is),
            None => self.walk.enter_some_item(),
        }
        self.entered();
    }

    pub(super) fn leave(&mut self) {
        self.walk.leave();
        self.from = self.from.filter(|from| *from < self.depth);
        self.depth -= 1;
    }

    fn entered(&mut self) {
        self.depth += 1;
        if self.from.is_none() && self.walk.is_match() {
            self.from = Some(self.depth);
        }
    }
}

/// The value at the current place.
pub(super) fn show(value: &Value<'_>, secrets: &mut Secrets<'_>) -> Box<str> {
    let mut text = Excerpt::default();
    write(value, secrets, &mut text);
    text.into_text()
}

fn write(value: &Value<'_>, secrets: &mut Secrets<'_>, text: &mut Excerpt) {
    if secrets.from.is_some() {
        return text.push(MASK);
    }
    match value {
        Value::Null => text.push("null"),
        Value::Bool(true) => text.push("true"),
        Value::Bool(false) => text.push("false"),
        Value::Number(number) => text.push(number),
        Value::Text(string) => write_string(string, text),
        Value::Array(items) => {
            text.push("[");
            // This may be a part of the array only, where an index says nothing.
            for (ix, item) in items.iter().enumerate() {
                if text.is_full() {
                    return;
                }
                text.push(if ix > 0 { "," } else { "" });
                secrets.enter_item(None);
                write(item, secrets, text);
                secrets.leave();
            }
            text.push("]");
        }
        Value::Object(fields) => {
            text.push("{");
            for (ix, (name, value)) in fields.iter().enumerate() {
                if text.is_full() {
                    return;
                }
                text.push(if ix > 0 { "," } else { "" });
                write_string(name, text);
                text.push(":");
                secrets.enter_field(name);
                write(value, secrets, text);
                secrets.leave();
            }
            text.push("}");
        }
    }
}

fn write_string(string: &str, text: &mut Excerpt) {
    text.push("\"");
    for piece in string.split_inclusive(|letter: char| matches!(letter, '"' | '\\' | '\0'..='\x1f'))
    {
        if text.is_full() {
            return;
        }
        let last = piece.chars().next_back().unwrap_or_default();
        let plain = piece.get(..piece.len() - last.len_utf8()).unwrap_or_default();
        match last {
            '"' | '\\' => {
                text.push(plain);
                text.push(if last == '"' { "\\\"" } else { "\\\\" });
            }
            '\n' => {
                text.push(plain);
                text.push("\\n");
            }
            '\0'..='\x1f' => {
                text.push(plain);
                text.push(&format!("\\u{:04x}", u32::from(last)));
            }
            _ => text.push(piece),
        }
    }
    text.push("\"");
}
