//! Finds the end of a head as its bytes come in, and refuses what can be refused on the way.

use memchr::memchr_iter;

use crate::{limits::HeadLimits, reject::Fault};

/// How far a head has been looked at. Each byte is looked at once, however the bytes are cut.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lines {
    /// Everything before is known to hold no line end that was not judged.
    seen: usize,
    /// Where the current line starts.
    line: usize,
    /// Lines judged.
    count: usize,
}

/// What the first line of a section is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    StartLine,
    Field,
}

impl Lines {
    /// Starts at this offset.
    pub(crate) fn at(offset: usize) -> Self {
        Self { seen: offset, line: offset, count: 0 }
    }

    /// Whether nothing has been looked at.
    pub(crate) fn is_untouched(&self) -> bool {
        self.seen == 0
    }

    /// Whether the first line has ended.
    pub(crate) fn past_first(&self) -> bool {
        self.count > 0
    }

    /// The offset behind the empty line, if it is there.
    pub(crate) fn end(
        &mut self,
        bytes: &[u8],
        first: First,
        limits: &HeadLimits,
    ) -> Result<Option<usize>, Fault> {
        let from = self.seen;
        for offset in memchr_iter(b'\n', bytes.get(from..).unwrap_or_default()) {
            let next = from.saturating_add(offset).saturating_add(1);
            let line = bytes.get(self.line..next).unwrap_or_default();
            //= rfc9112#section-2.2
            //# Although the line terminator for the start-line and fields is the sequence CRLF, a
            //# recipient MAY recognize a single LF as a line terminator
            // We may, and do not: the next reader may not.
            let Some(line) = line.strip_suffix(b"\r\n") else { return Err(Fault::BareLf) };
            if next > limits.bytes {
                return Err(Fault::HeadTooLarge);
            }
            let (is_empty, start_line) = (line.is_empty(), first == First::StartLine);
            if is_empty && (self.past_first() || !start_line) {
                return Ok(Some(next));
            }
            self.judge(line, start_line, limits)?;
            *self = Self { seen: next, line: next, count: self.count.saturating_add(1) };
        }
        self.seen = bytes.len();
        // A line's CR may be there already; it does not count.
        let open = bytes.get(self.line..).unwrap_or_default();
        let open = open.strip_suffix(b"\r").unwrap_or(open);
        if !open.is_empty() {
            self.judge(open, first == First::StartLine, limits)?;
        }
        if bytes.len() >= limits.bytes { Err(Fault::HeadTooLarge) } else { Ok(None) }
    }

    /// Judges a line, or the beginning of one.
    fn judge(&self, line: &[u8], start_line: bool, limits: &HeadLimits) -> Result<(), Fault> {
        if start_line && !self.past_first() {
            return if line.len() > limits.line_bytes { Err(Fault::LineTooLong) } else { Ok(()) };
        }
        let fields = self.count.saturating_add(usize::from(!start_line));
        if fields > limits.fields {
            return Err(Fault::TooManyFields);
        }
        if line.len() > limits.field_bytes {
            return Err(Fault::FieldTooLong);
        }
        match line.first() {
            //= rfc9112#section-5.2
            //# A server that receives an obs-fold in a request message that is not within a
            //# "message/http" container MUST either reject the message by sending a 400 (Bad
            //# Request), preferably with a representation explaining that obsolete line folding is
            //# unacceptable, or replace each received obs-fold with one or more SP octets
            Some(b' ' | b'\t') => Err(Fault::ObsFold),
            _ => Ok(()),
        }
    }
}
