//! From a text to steps.

use super::{BYTES_MAX, BadPath, STEPS_MAX, Step, is_plain};

pub(super) fn steps(text: &str) -> Result<Box<[Step]>, BadPath> {
    if text.len() > BYTES_MAX {
        return Err(BadPath { at: BYTES_MAX, what: "a path has at most 1,024 bytes" });
    }
    let mut reader = Reader { text, at: 0 };
    if !reader.eat('$') {
        return reader.bad("a path begins with `$`, the whole document");
    }
    let mut steps = Vec::new();
    while let Some(letter) = reader.peek() {
        let start = reader.at;
        if letter == '.' {
            reader.dotted(&mut steps)?;
        } else if letter == '[' {
            steps.push(reader.bracketed()?);
        } else {
            return reader.bad("a step begins with `.` or `[`");
        }
        if steps.len() > STEPS_MAX {
            return Err(BadPath { at: start, what: "a path has at most 63 steps" });
        }
    }
    Ok(steps.into())
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.at += letter.len_utf8();
        Some(letter)
    }

    fn eat(&mut self, letter: char) -> bool {
        let is_there = self.peek() == Some(letter);
        if is_there {
            self.at += letter.len_utf8();
        }
        is_there
    }

    /// Takes the bytes that may stand in such a piece.
    fn take(&mut self, belongs: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.bytes().position(|byte| !belongs(byte)).unwrap_or(rest.len());
        self.at += length;
        // `belongs` takes ASCII and whole characters beyond it alone.
        rest.get(..length).unwrap_or_default()
    }

    const fn bad<T>(&self, what: &'static str) -> Result<T, BadPath> {
        Err(BadPath { at: self.at, what })
    }

    /// `.name`, `.*`, or either behind `..`, where brackets may follow as well.
    fn dotted(&mut self, steps: &mut Vec<Step>) -> Result<(), BadPath> {
        self.at += 1;
        if self.eat('.') {
            steps.push(Step::Deep);
            if self.peek() == Some('[') {
                steps.push(self.bracketed()?);
                return Ok(());
            }
        }
        if self.eat('*') {
            steps.push(Step::AnyField);
            return Ok(());
        }
        let name = self.take(|byte| is_plain(byte) || !byte.is_ascii());
        if !name.is_empty() {
            steps.push(Step::Field(name.into()));
        }
        match self.peek() {
            None | Some('.' | '[') if !name.is_empty() => Ok(()),
            None => self.bad("a name or `*` is missing"),
            Some('.' | '[') => self.bad("a name or `*` is missing before this"),
            Some(_) => self.bad("a name with such a character is quoted: `['a b']`"),
        }
    }

    /// `[*]`, `[3]`, `['name']` or `["name"]`.
    fn bracketed(&mut self) -> Result<Step, BadPath> {
        self.at += 1;
        let step = match self.peek() {
            Some('*') => {
                self.at += 1;
                Step::AnyIndex
            }
            Some(quote @ ('\'' | '"')) => {
                self.at += 1;
                Step::Field(self.quoted(quote)?)
            }
            Some('0'..='9') => Step::Index(self.index()?),
            Some('-') => return self.bad("an index counts from the first item, 0"),
            Some('?' | '(' | ':' | ',') => return self.unknown(),
            Some(_) => return self.bad("an index, `*` or a quoted name comes here"),
            None => return self.bad("`]` is missing"),
        };
        match self.peek() {
            Some(']') => {
                self.at += 1;
                Ok(step)
            }
            Some(':' | ',') => self.unknown(),
            Some(_) => self.bad("`]` comes here"),
            None => self.bad("`]` is missing"),
        }
    }

    const fn unknown(&self) -> Result<Step, BadPath> {
        self.bad("slices, lists and filters are not known here: one index, name or `*`")
    }

    fn index(&mut self) -> Result<usize, BadPath> {
        let at = self.at;
        let digits = self.take(|byte| byte.is_ascii_digit());
        if digits.len() > 1 && digits.starts_with('0') {
            return Err(BadPath { at, what: "an index has no leading zeros" });
        }
        digits.parse().map_err(|_| BadPath { at, what: "this index is too large" })
    }

    fn quoted(&mut self, quote: char) -> Result<Box<str>, BadPath> {
        let mut name = String::new();
        loop {
            let at = self.at;
            match self.next() {
                None => return self.bad("the quote that ends the name is missing"),
                Some('\\') => name.push(self.escaped(at)?),
                Some(letter) if letter == quote => return Ok(name.into()),
                Some(letter) => name.push(letter),
            }
        }
    }

    /// What a backslash, at `at`, and what follows it stand for.
    fn escaped(&mut self, at: usize) -> Result<char, BadPath> {
        match self.next() {
            Some(letter @ ('\\' | '\'' | '"')) => Ok(letter),
            Some('u') => {
                let digits = self.rest().get(..4).unwrap_or_default();
                let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                let letter = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
                self.at += digits.len();
                letter
                    .filter(|_| is_hex)
                    .ok_or(BadPath { at, what: "`\\u` is followed by a character's four digits" })
            }
            _ => Err(BadPath { at, what: "only `\\\\`, `\\'`, `\\\"` and `\\uXXXX` are known" }),
        }
    }
}
