//! Reads one value out of a document that comes in pieces.

use super::{CONTENT_MAX, DEPTH_MAX, NUMBER_MAX, Pointer};

/// What stands at a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found {
    /// A number, or a text that is nothing but one. Always finite.
    Number(f64),
    /// True or false, or a text that says so.
    Bool(bool),
    /// Any other text, with its length in bytes.
    Text(u32),
    /// Null.
    Null,
    /// An array or an object, with so many elements or members.
    Count(u32),
}

/// Looks for one place in one document.
#[derive(Clone, Debug)]
pub struct Scanner {
    found: Option<Found>,
    /// Which of the values that are open are objects, the innermost lowest.
    objects: u64,
    /// Bytes looked at.
    seen: u32,
    /// The element that is next in the innermost value on the path.
    index: u32,
    /// Bytes of the text at the place, or of the name that have been compared.
    length: u32,
    /// The number under an escape, and the first half of a pair.
    code: u16,
    half: u16,
    /// Values that are open, and how many of them, from outside, are on the path.
    depth: u8,
    path: u8,
    state: State,
    /// Whether the value that comes, or has come, is on the path.
    is_hit: bool,
    /// Whether the innermost value on the path is the place: what is in it is counted.
    is_counting: bool,
    kept: [u8; NUMBER_MAX],
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Value,
    /// A value or the array's end.
    Element,
    /// A name or the object's end.
    Member,
    Name,
    Colon,
    /// A comma or the end of what is around.
    Rest,
    Text(Text),
    Number(Number),
    /// What is left of a word: which, and from where.
    Word(Word, u8),
    Over,
}

/// Where in a text; the flag is whether it is a member's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Text {
    is_name: bool,
    at: Within,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    Plain,
    Escape,
    /// So many digits of an escape are missing.
    Digits(u8),
    /// The second half of a pair has to come: its backslash, its `u`.
    Slash,
    Letter,
}

/// Behind what in a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Whole,
    Point,
    Part,
    E,
    Sign,
    Power,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    True,
    False,
    Null,
}

impl Word {
    const fn text(self) -> &'static [u8] {
        match self {
            Self::True => b"true",
            Self::False => b"false",
            Self::Null => b"null",
        }
    }
}

impl Number {
    /// What it is behind the next byte; nothing if that is no part of it.
    const fn step(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Minus, b'0') => Self::Zero,
            (Self::Minus, b'1'..=b'9') | (Self::Whole, b'0'..=b'9') => Self::Whole,
            (Self::Zero | Self::Whole, b'.') => Self::Point,
            (Self::Point | Self::Part, b'0'..=b'9') => Self::Part,
            (Self::Zero | Self::Whole | Self::Part, b'e' | b'E') => Self::E,
            (Self::E, b'+' | b'-') => Self::Sign,
            (Self::E | Self::Sign | Self::Power, b'0'..=b'9') => Self::Power,
            _ => return None,
        })
    }

    const fn is_whole(self) -> bool {
        matches!(self, Self::Zero | Self::Whole | Self::Part | Self::Power)
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// Before a document.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            found: None,
            objects: 0,
            seen: 0,
            index: 0,
            length: 0,
            code: 0,
            half: 0,
            depth: 0,
            path: 0,
            state: State::Value,
            is_hit: true,
            is_counting: false,
            kept: [0; NUMBER_MAX],
        }
    }

    /// Takes the next piece of the document. The pointer must be the same for all of them.
    pub fn feed(&mut self, pointer: &Pointer, piece: &[u8]) {
        if self.is_over() {
            return;
        }
        let room = (CONTENT_MAX - self.seen) as usize;
        let (piece, is_last) =
            if piece.len() < room { (piece, false) } else { (&piece[..room], true) };
        let mut at = 0;
        while let Some(&byte) = piece.get(at) {
            at += 1;
            if self.take(pointer, byte).is_none() {
                self.state = State::Over;
            }
            if self.is_over() {
                return;
            }
            if self.is_in_plain_text() && !self.is_hit {
                let rest = piece.get(at..).unwrap_or_default();
                at += rest.iter().position(|&byte| is_special(byte)).unwrap_or(rest.len());
            }
        }
        // No more than there was room for.
        self.seen += u32::try_from(piece.len()).unwrap_or(CONTENT_MAX);
        if is_last {
            self.state = State::Over;
        }
    }

    /// Whether it wants no more of the document.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// What stands at the place, if the document has ended here.
    #[must_use]
    pub fn value(&self) -> Option<Found> {
        // Nothing but the end of the document ends a number that is all of it.
        if let State::Number(number) = self.state
            && self.depth == 0
            && number.is_whole()
        {
            return self.number().map(Found::Number);
        }
        self.found
    }

    /// One byte further; nothing if the document is malformed or has been looked at enough.
    fn take(&mut self, pointer: &Pointer, byte: u8) -> Option<()> {
        let is_blank = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        match self.state {
            State::Text(text) => self.text(pointer, text, byte)?,
            State::Word(word, at) => {
                if word.text().get(usize::from(at)) != Some(&byte) {
                    return None;
                }
                if usize::from(at) + 1 < word.text().len() {
                    self.state = State::Word(word, at + 1);
                } else {
                    self.end(Some(match word {
                        Word::True => Found::Bool(true),
                        Word::False => Found::Bool(false),
                        Word::Null => Found::Null,
                    }))?;
                }
            }
            State::Number(number) => match number.step(byte) {
                Some(next) => {
                    self.keep(byte);
                    self.state = State::Number(next);
                }
                None if number.is_whole() && (is_blank || matches!(byte, b',' | b']' | b'}')) => {
                    let found = self.is_hit.then(|| self.number().map(Found::Number)).flatten();
                    self.end(found)?;
                    return self.take(pointer, byte);
                }
                None => return None,
            },
            _ if is_blank => {}
            State::Value | State::Element | State::Member | State::Name => {
                self.begin(pointer, byte)?;
            }
            State::Colon if byte == b':' => self.state = State::Value,
            State::Rest => self.rest(byte)?,
            State::Colon | State::Over => return None,
        }
        Some(())
    }

    /// What a value, a name or an early end begins with.
    fn begin(&mut self, pointer: &Pointer, byte: u8) -> Option<()> {
        let is_name = matches!(self.state, State::Member | State::Name);
        match (self.state, byte) {
            (State::Element, b']') | (State::Member, b'}') => return self.close(),
            (State::Member | State::Name, b'"') => {
                self.is_hit = self.is_inside() && !self.is_counting;
            }
            (State::Member | State::Name, _) => return None,
            (_, _) => self.arrive(pointer),
        }
        (self.length, self.half) = (0, 0);
        self.state = match byte {
            b'"' => State::Text(Text { is_name, at: Within::Plain }),
            b'{' | b'[' => return self.open(pointer, byte == b'{'),
            b't' => State::Word(Word::True, 1),
            b'f' => State::Word(Word::False, 1),
            b'n' => State::Word(Word::Null, 1),
            b'-' | b'0'..=b'9' => {
                self.keep(byte);
                State::Number(match byte {
                    b'-' => Number::Minus,
                    b'0' => Number::Zero,
                    _ => Number::Whole,
                })
            }
            _ => return None,
        };
        // A value on the path that has nothing in it ends the search, unless it is the place.
        let is_astray = !is_name && self.is_hit && usize::from(self.path) < pointer.steps.len();
        (!is_astray).then_some(())
    }

    /// A value begins: is it on the path? Of an object's member, its name has told.
    fn arrive(&mut self, pointer: &Pointer) {
        if self.depth == 0 {
            return;
        }
        if !self.is_inside() {
            self.is_hit = false;
        } else if self.is_counting {
            (self.is_hit, self.index) = (false, self.index + 1);
        } else if self.objects & 1 == 0 {
            let step = pointer.steps.get(usize::from(self.path) - 1);
            self.is_hit = step.is_some_and(|step| step.place == Some(self.index));
            self.index += 1;
        }
    }

    fn open(&mut self, pointer: &Pointer, is_object: bool) -> Option<()> {
        if self.depth == DEPTH_MAX {
            return None;
        }
        if self.is_hit {
            self.is_counting = usize::from(self.path) == pointer.steps.len();
            (self.path, self.index) = (self.path + 1, 0);
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u64::from(is_object);
        self.state = if is_object { State::Member } else { State::Element };
        Some(())
    }

    fn close(&mut self) -> Option<()> {
        if self.is_inside() {
            // What was looked for is not in here, or this is what was looked for.
            self.found = self.is_counting.then_some(Found::Count(self.index));
            return None;
        }
        self.depth -= 1;
        self.objects >>= 1;
        self.is_hit = false;
        self.end(None)
    }

    /// A value has ended; nothing is left to be done if it was the one.
    fn end(&mut self, found: Option<Found>) -> Option<()> {
        if self.is_hit {
            self.found = found;
            return None;
        }
        self.state = State::Rest;
        Some(())
    }

    fn rest(&mut self, byte: u8) -> Option<()> {
        let is_object = self.objects & 1 == 1;
        match byte {
            b',' if is_object => self.state = State::Name,
            b',' => self.state = State::Value,
            b'}' if is_object => self.close()?,
            b']' if !is_object => self.close()?,
            _ => return None,
        }
        Some(())
    }

    fn text(&mut self, pointer: &Pointer, text: Text, byte: u8) -> Option<()> {
        let at = match (text.at, byte) {
            (Within::Plain, b'"') if text.is_name => return self.named(pointer),
            (Within::Plain, b'"') => {
                let found = self.is_hit.then(|| self.told());
                return self.end(found);
            }
            (Within::Plain, b'\\') => Within::Escape,
            (Within::Plain, 0..=0x1f) => return None,
            (Within::Plain, _) => {
                self.letter(pointer, text.is_name, byte);
                Within::Plain
            }
            (Within::Escape, b'u') => {
                self.code = 0;
                Within::Digits(4)
            }
            (Within::Escape, _) => {
                self.letter(pointer, text.is_name, unescaped(byte)?);
                Within::Plain
            }
            (Within::Digits(left), _) => {
                let digit = char::from(byte).to_digit(16)?;
                self.code = self.code << 4 | u16::try_from(digit).ok()?;
                if left > 1 { Within::Digits(left - 1) } else { self.coded(pointer, text.is_name)? }
            }
            (Within::Slash, b'\\') => Within::Letter,
            (Within::Letter, b'u') => {
                self.code = 0;
                Within::Digits(4)
            }
            (Within::Slash | Within::Letter, _) => return None,
        };
        self.state = State::Text(Text { at, ..text });
        Some(())
    }

    /// The four digits of an escape are complete.
    fn coded(&mut self, pointer: &Pointer, is_name: bool) -> Option<Within> {
        let units = [self.half, self.code];
        let units = if self.half == 0 { &units[1..] } else { &units[..] };
        match char::decode_utf16(units.iter().copied()).next()? {
            Ok(letter) => {
                self.half = 0;
                for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
                    self.letter(pointer, is_name, byte);
                }
                Some(Within::Plain)
            }
            Err(alone) if self.half == 0 && alone.unpaired_surrogate() < 0xdc00 => {
                self.half = self.code;
                Some(Within::Slash)
            }
            Err(_) => None,
        }
    }

    /// One byte of a text, as it is meant.
    fn letter(&mut self, pointer: &Pointer, is_name: bool, byte: u8) {
        if !is_name {
            return self.keep(byte);
        }
        if self.is_hit {
            let step = pointer.steps.get(usize::from(self.path) - 1);
            let name = step.map_or(&[][..], |step| step.name.as_bytes());
            self.is_hit = name.get(self.length as usize) == Some(&byte);
            self.length += 1;
        }
    }

    /// A member's name is complete.
    fn named(&mut self, pointer: &Pointer) -> Option<()> {
        if self.is_hit {
            let step = pointer.steps.get(usize::from(self.path) - 1)?;
            self.is_hit = step.name.len() == self.length as usize;
        }
        self.state = State::Colon;
        Some(())
    }

    const fn is_in_plain_text(&self) -> bool {
        matches!(self.state, State::Text(Text { at: Within::Plain, .. }))
    }

    /// Whether the innermost value that is open is on the path, and so what is in it matters.
    const fn is_inside(&self) -> bool {
        self.depth == self.path
    }

    fn keep(&mut self, byte: u8) {
        if self.is_hit {
            if let Some(place) = self.kept.get_mut(self.length as usize) {
                *place = byte;
            }
            self.length += 1;
        }
    }

    /// The number that has been kept.
    fn number(&self) -> Option<f64> {
        let text = std::str::from_utf8(self.kept.get(..self.length as usize)?).ok()?;
        text.parse::<f64>().ok().filter(|number| number.is_finite())
    }

    /// What the text that has been kept comes to.
    fn told(&self) -> Found {
        let is_number = |first: &u8| matches!(first, b'-' | b'0'..=b'9');
        match self.kept.get(..self.length as usize) {
            Some(b"true") => Found::Bool(true),
            Some(b"false") => Found::Bool(false),
            Some(text) if text.first().is_some_and(is_number) => {
                self.number().map_or(Found::Text(self.length), Found::Number)
            }
            Some(_) | None => Found::Text(self.length),
        }
    }
}

/// What ends a run of plain bytes in a text.
const fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..=0x1f)
}

/// What an escape of one letter means.
const fn unescaped(byte: u8) -> Option<u8> {
    Some(match byte {
        b'"' | b'\\' | b'/' => byte,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        _ => return None,
    })
}

const _: () = assert!(size_of::<Scanner>() <= 128, "it is a part of exchanges");
