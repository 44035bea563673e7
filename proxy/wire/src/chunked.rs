//! The chunk decoder: RFC 9112 section 7.1, one byte of framing at a time, content in runs.

use std::ops::Range;

use crate::{
    limits::{BodyLimits, CHUNK_DIGITS_MAX, LENGTH_MAX},
    parse::is_token,
    reject::Fault,
};

/// Where in a chunked body the next byte lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// In a chunk size, behind so many digits.
    #[default]
    Size,
    Extension(Extension),
    /// Behind the CR of a size line.
    SizeLf,
    /// In the content; so many bytes are left in `size`.
    Data,
    DataCr,
    DataLf,
    Trailers,
}

//= rfc9112#section-7.1.1
//# chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
/// Where in the extensions of a size line the next byte lies. A line cannot end inside a name that
/// was not begun, a quote that was not closed, or white space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    /// White space before a semicolon.
    Gap,
    /// Behind a semicolon.
    NameStart,
    Name,
    /// White space behind a name.
    NameGap,
    /// Behind an equals sign.
    ValueStart,
    Value,
    Quoted,
    Escaped,
    /// Behind a closing quote.
    Unquoted,
}

impl Extension {
    /// The next place; CR is not for here to judge.
    fn next(self, byte: u8) -> Option<Self> {
        let is_text = matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
        match (self, byte) {
            (Self::Quoted, b'"') => Some(Self::Unquoted),
            (Self::Quoted, b'\\') => Some(Self::Escaped),
            (Self::Quoted | Self::Escaped, _) => is_text.then_some(Self::Quoted),
            (Self::Gap | Self::Name | Self::NameGap | Self::Value | Self::Unquoted, b';') => {
                Some(Self::NameStart)
            }
            (Self::Name | Self::NameGap, b'=') => Some(Self::ValueStart),
            (Self::ValueStart, b'"') => Some(Self::Quoted),
            (Self::NameStart | Self::ValueStart | Self::Gap | Self::NameGap, b' ' | b'\t') => {
                Some(self)
            }
            (Self::Name, b' ' | b'\t') => Some(Self::NameGap),
            (Self::Value | Self::Unquoted, b' ' | b'\t') => Some(Self::Gap),
            (Self::NameStart | Self::Name, _) => is_token(byte).then_some(Self::Name),
            (Self::ValueStart | Self::Value, _) => is_token(byte).then_some(Self::Value),
            (Self::Gap | Self::NameGap | Self::Unquoted, _) => None,
        }
    }

    /// Whether the line may end here.
    const fn may_end(self) -> bool {
        matches!(self, Self::Name | Self::Value | Self::Unquoted)
    }
}

/// Decodes chunks. Needs no look-ahead: whatever it is offered it consumes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chunks {
    state: State,
    /// Of the current chunk: as read so far, then as left.
    size: u64,
    digits: u32,
    /// Of all chunks so far.
    content: u64,
    extension_bytes: usize,
    extensions_bytes: usize,
}

impl Chunks {
    /// Decodes in place. Content that follows other content is moved down onto its end, so that what
    /// was decoded is one range. Returns that range and the bytes consumed.
    pub(crate) fn decode(
        &mut self,
        window: &mut [u8],
        limits: &BodyLimits,
    ) -> Result<(Range<usize>, usize), Fault> {
        let mut data = 0..0;
        let mut at = 0_usize;
        while !self.is_at_trailers()
            && let Some(byte) = window.get(at)
        {
            if self.state != State::Data {
                self.step(*byte, limits)?;
                at = at.saturating_add(1);
                continue;
            }
            let left = window.len().saturating_sub(at);
            let run = usize::try_from(self.size).map_or(left, |size| size.min(left));
            let end = at.saturating_add(run);
            if data.is_empty() {
                data = at..end;
            } else {
                window.copy_within(at..end, data.end);
                data.end = data.end.saturating_add(run);
            }
            at = end;
            self.size = self.size.saturating_sub(run as u64);
            if self.size == 0 {
                self.state = State::DataCr;
            }
        }
        Ok((data, at))
    }

    /// Whether only the trailer section is left.
    pub(crate) fn is_at_trailers(&self) -> bool {
        self.state == State::Trailers
    }

    fn step(&mut self, byte: u8, limits: &BodyLimits) -> Result<(), Fault> {
        self.state = match (self.state, byte) {
            (State::Size, _) => self.in_size(byte)?,
            (State::Extension(extension), b'\r') if extension.may_end() => State::SizeLf,
            (State::Extension(extension), _) => {
                self.count_extension(limits)?;
                extension.next(byte).map(State::Extension).ok_or(Fault::ChunkExtension)?
            }
            (State::SizeLf, b'\n') => self.begin_chunk(limits)?,
            (State::SizeLf, _) => return Err(Fault::ChunkSize),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            (State::DataCr | State::DataLf, _) => return Err(Fault::ChunkEnd),
            (State::Data | State::Trailers, _) => self.state,
        };
        Ok(())
    }

    //= rfc9112#section-7.1
    //# A recipient MUST anticipate potentially large hexadecimal numerals and prevent parsing errors
    //# due to integer conversion overflows or precision loss due to integer representation.
    fn in_size(&mut self, byte: u8) -> Result<State, Fault> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            self.digits = self.digits.saturating_add(1);
            if self.digits > CHUNK_DIGITS_MAX {
                return Err(Fault::ChunkSize);
            }
            self.size = self.size << 4 | u64::from(digit);
            return Ok(State::Size);
        }
        match byte {
            _ if self.digits == 0 => Err(Fault::ChunkSize),
            b'\r' => Ok(State::SizeLf),
            b'\n' => Err(Fault::BareLf),
            b';' => Ok(State::Extension(Extension::NameStart)),
            b' ' | b'\t' => Ok(State::Extension(Extension::Gap)),
            _ => Err(Fault::ChunkSize),
        }
    }

    //= rfc9112#section-7.1.1
    //# A recipient MUST ignore unrecognized chunk extensions. A server ought to limit the total
    //# length of chunk extensions received in a request to an amount reasonable for the services
    //# provided
    fn count_extension(&mut self, limits: &BodyLimits) -> Result<(), Fault> {
        self.extension_bytes = self.extension_bytes.saturating_add(1);
        self.extensions_bytes = self.extensions_bytes.saturating_add(1);
        if self.extension_bytes > limits.extension_bytes
            || self.extensions_bytes > limits.extensions_bytes
        {
            return Err(Fault::ChunkExtensionsTooLong);
        }
        Ok(())
    }

    fn begin_chunk(&mut self, limits: &BodyLimits) -> Result<State, Fault> {
        let content = self.content.checked_add(self.size).filter(|all| *all < LENGTH_MAX);
        self.content = content.ok_or(Fault::ChunkSize)?;
        if limits.bytes > 0 && self.content > limits.bytes {
            return Err(Fault::BodyTooLarge);
        }
        (self.digits, self.extension_bytes) = (0, 0);
        Ok(if self.size == 0 { State::Trailers } else { State::Data })
    }
}
