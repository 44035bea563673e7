//! A strict reader of JSON (RFC 8259) into a tree that borrows from the text.
//!
//! Our own, because numbers must stay as they were written, and because of its bounds. It is as
//! strict as the grammar, but for a byte order mark, which is skipped, and for escapes of halves of
//! surrogate pairs: no text of ours can hold those, so the document counts as none.

use std::borrow::Cow;

/// Arrays and objects within each other.
pub(super) const DEPTH_MAX: usize = 128;

/// Values in one document; a tree of as many takes some 30 MiB at worst.
pub(super) const VALUES_MAX: usize = 200_000;

/// A value. Fields of an object are in the order of their names, each name once: of fields with
/// the same name the last counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    /// As it was written.
    Number(&'a str),
    Text(Cow<'a, str>),
    Array(Vec<Self>),
    Object(Vec<Field<'a>>),
}

/// A field of an object.
pub(super) type Field<'a> = (Cow<'a, str>, Value<'a>);

impl Value<'_> {
    /// The name of its type.
    pub(super) const fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }
}

/// Why there is no tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// It is not JSON.
    Syntax,
    /// It is too deep or has too many values; whether it is JSON to its end is not known.
    TooComplex,
}

/// Reads a document.
pub(super) fn read(bytes: &[u8]) -> Result<Value<'_>, Bad> {
    let text = std::str::from_utf8(bytes).map_err(|_| Bad::Syntax)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader { text, at: 0, values: 0 };
    let value = reader.value(0)?;
    reader.skip_space();
    if reader.at == text.len() { Ok(value) } else { Err(Bad::Syntax) }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    values: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Takes this byte and the white space behind it, if it comes next.
    fn eat(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        if is_there {
            self.at += 1;
            self.skip_space();
        }
        is_there
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, Bad> {
        self.values += 1;
        if self.values > VALUES_MAX || depth > DEPTH_MAX {
            return Err(Bad::TooComplex);
        }
        self.skip_space();
        match self.peek() {
            Some(b'"') => self.string().map(Value::Text),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => Err(Bad::Syntax),
        }
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, Bad> {
        let is_there = self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word));
        self.at += word.len();
        if is_there { Ok(value) } else { Err(Bad::Syntax) }
    }

    fn array(&mut self, depth: usize) -> Result<Value<'a>, Bad> {
        self.eat(b'[');
        let mut items = Vec::new();
        if self.eat_last(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_space();
            if self.eat_last(b']') {
                return Ok(Value::Array(items));
            }
            if !self.eat(b',') {
                return Err(Bad::Syntax);
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, Bad> {
        self.eat(b'{');
        let mut fields = Vec::new();
        if self.eat_last(b'}') {
            return Ok(Value::Object(fields));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(Bad::Syntax);
            }
            let name = self.string()?;
            self.skip_space();
            if !self.eat(b':') {
                return Err(Bad::Syntax);
            }
            fields.push((name, self.value(depth + 1)?));
            self.skip_space();
            if self.eat_last(b'}') {
                return Ok(Value::Object(in_order(fields)));
            }
            if !self.eat(b',') {
                return Err(Bad::Syntax);
            }
        }
    }

    /// As [`eat`](Self::eat), for what ends a value: what follows is not for it to skip.
    fn eat_last(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn number(&mut self) -> Result<Value<'a>, Bad> {
        let start = self.at;
        self.eat_last(b'-');
        if !self.eat_last(b'0') {
            self.digits()?;
        }
        if self.eat_last(b'.') {
            self.digits()?;
        }
        if self.eat_last(b'e') || self.eat_last(b'E') {
            let _ = self.eat_last(b'+') || self.eat_last(b'-');
            self.digits()?;
        }
        self.text.get(start..self.at).map(Value::Number).ok_or(Bad::Syntax)
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), Bad> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(Bad::Syntax) }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Bad> {
        self.at += 1;
        let plain = self.plain()?;
        if self.eat_last(b'"') {
            return Ok(Cow::Borrowed(plain));
        }
        let mut text = String::from(plain);
        loop {
            if self.eat_last(b'"') {
                return Ok(Cow::Owned(text));
            }
            text.push(self.escape()?);
            text.push_str(self.plain()?);
        }
    }

    /// What stands for itself up to the next quote or backslash, either of which is there.
    fn plain(&mut self) -> Result<&'a str, Bad> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
        let length = rest.iter().position(is_special).ok_or(Bad::Syntax)?;
        let start = self.at;
        self.at += length;
        if rest.get(length).is_some_and(|byte| *byte < 0x20) {
            return Err(Bad::Syntax);
        }
        self.text.get(start..self.at).ok_or(Bad::Syntax)
    }

    /// A backslash and what follows it.
    fn escape(&mut self) -> Result<char, Bad> {
        let letter = self.text.as_bytes().get(self.at + 1).ok_or(Bad::Syntax)?;
        self.at += 2;
        Ok(match letter {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return Err(Bad::Syntax),
        })
    }

    /// What follows `\u`, and the other half if it is one half of a pair.
    fn unicode(&mut self) -> Result<char, Bad> {
        let high = self.hex()?;
        if !matches!(high, 0xd800..=0xdbff) {
            return char::from_u32(high).ok_or(Bad::Syntax);
        }
        if !(self.eat_last(b'\\') && self.eat_last(b'u')) {
            return Err(Bad::Syntax);
        }
        let low = self.hex()?;
        if !matches!(low, 0xdc00..=0xdfff) {
            return Err(Bad::Syntax);
        }
        char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)).ok_or(Bad::Syntax)
    }

    fn hex(&mut self) -> Result<u32, Bad> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(Bad::Syntax)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Bad::Syntax);
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| Bad::Syntax)
    }
}

/// Sorts fields by name; of those with the same name the last stays.
fn in_order(mut fields: Vec<Field<'_>>) -> Vec<Field<'_>> {
    if !fields.is_sorted_by(|one, next| one.0 < next.0) {
        fields.reverse();
        fields.sort_by(|one, other| one.0.cmp(&other.0));
        fields.dedup_by(|later, kept| later.0 == kept.0);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_read() {
        let text = " {\"b\" : [1, -0.5e+3 ,true,false,null], \"a\":\"x\\u00e9\\n\\ud83d\\ude00\"} ";
        let numbers = [Value::Number("1"), Value::Number("-0.5e+3")];
        let words = [Value::Bool(true), Value::Bool(false), Value::Null];
        let list = numbers.into_iter().chain(words).collect();
        let expected = Value::Object(vec![
            ("a".into(), Value::Text("xé\n😀".into())),
            ("b".into(), Value::Array(list)),
        ]);
        assert_eq!(read(text.as_bytes()), Ok(expected));
        assert_eq!(read(b"[]"), Ok(Value::Array(vec![])));
        assert_eq!(read(b"{ }"), Ok(Value::Object(vec![])));
        assert_eq!(read(b"\xef\xbb\xbf0"), Ok(Value::Number("0")));
    }

    #[test]
    fn of_fields_with_one_name_the_last_counts() {
        let last = read(br#"{"a":1,"b":2,"a":3,"a":4}"#);
        assert_eq!(last, read(br#"{"b":2,"a":4}"#));
    }

    #[test]
    fn the_reader_agrees_with_serde() {
        for text in [
            "",
            " ",
            "{",
            "}",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[,]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "01",
            "-",
            "-01",
            "1.",
            ".5",
            "1e",
            "1e+",
            "+1",
            "0x1",
            "1 2",
            "tru",
            "truex",
            "nul",
            "NaN",
            "\"",
            "\"a",
            "\"\\",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u+123\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "\"\n\"",
            "\"\u{7f}\"",
            "'a'",
            "[1 2]",
            "{\"a\":1 \"b\":2}",
            "/**/1",
            "1e400",
            "-0",
            "0e0",
            "\"\\/\\b\\f\"",
            "[[],{}]",
            "\u{a0}1",
            "\"\\u00é\"",
            "null",
            "[true]",
            "1.5E-7",
        ] {
            // Serde reads numbers into machine words, which 1e400 does not fit.
            let theirs = text == "1e400" || serde_json::from_str::<serde_json::Value>(text).is_ok();
            assert_eq!(read(text.as_bytes()).is_ok(), theirs, "{text}");
        }
        assert_eq!(read(b"\"\xff\""), Err(Bad::Syntax));
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(nested(DEPTH_MAX + 1).as_bytes()).is_ok());
        assert_eq!(read(nested(DEPTH_MAX + 2).as_bytes()), Err(Bad::TooComplex));
        assert_eq!(read("[".repeat(1 << 20).as_bytes()), Err(Bad::TooComplex));
        let many = |count| format!("[{}0]", "0,".repeat(count - 2));
        assert!(read(many(VALUES_MAX).as_bytes()).is_ok());
        assert_eq!(read(many(VALUES_MAX + 1).as_bytes()), Err(Bad::TooComplex));
    }
}
