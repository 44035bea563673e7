//! The beginning of a value, written down as JSON.

use super::{super::differences::Excerpt, read::Value};

pub(super) fn show(value: &Value<'_>) -> Box<str> {
    let mut text = Excerpt::default();
    write(value, &mut text);
    text.into_text()
}

fn write(value: &Value<'_>, text: &mut Excerpt) {
    match value {
        Value::Null => text.push("null"),
        Value::Bool(true) => text.push("true"),
        Value::Bool(false) => text.push("false"),
        Value::Number(number) => text.push(number),
        Value::Text(string) => write_string(string, text),
        Value::Array(items) => {
            text.push("[");
            for (ix, item) in items.iter().enumerate() {
                if text.is_full() {
                    return;
                }
                text.push(if ix > 0 { "," } else { "" });
                write(item, text);
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
                write(value, text);
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
