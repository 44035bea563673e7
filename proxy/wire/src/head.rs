//! Heads as spans into the caller's buffer.

use crate::{
    framing::{self, Framing},
    known::{Known, KnownSet},
    limits::{EMPTY_LINES_MAX, HeadLimits},
    lines::{First, Lines},
    parse::{self, Opening, RequestLine, StatusLine},
    reject::{Fault, Reject, Side},
    span::Span,
    survey::Survey,
    target::{Form, Target, host_bytes},
};

/// The protocol's minor version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
}

/// Whether a head is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Offer again, with more bytes behind the same ones.
    More,
    /// The head ends after so many bytes.
    Done(usize),
}

/// A field name and value, with the name's identity where a proxy cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name as received.
    pub name: Span,
    /// The value without the white space around it.
    pub value: Span,
    /// Which field it is.
    pub known: Known,
}

/// What a client asks its connection to become, if it may ask at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upgrade {
    /// Nothing, or nothing it may ask for in this way.
    #[default]
    None,
    /// A WebSocket.
    WebSocket,
    /// A tunnel to the target: CONNECT.
    Tunnel,
    /// Something that we never pass on, as h2c.
    Other,
}

/// A request's head. Reusable: holds its capacity between requests, allocates nothing in steady
/// state.
#[derive(Debug, Default)]
pub struct RequestHead {
    // Progress
    start: usize,
    lines: Lines,
    opening: Opening,
    pub(crate) end: usize,
    // Request line
    pub(crate) method: Span,
    pub(crate) target: Span,
    pub(crate) parts: Target,
    pub(crate) version: Version,
    // Fields
    pub(crate) fields: Vec<Field>,
    pub(crate) present: KnownSet,
    pub(crate) authority: Span,
    pub(crate) host: Span,
    pub(crate) framing: Framing,
    pub(crate) upgrade: Upgrade,
    pub(crate) persistent: bool,
    pub(crate) expects_continue: bool,
    pub(crate) takes_trailers: bool,
}

impl RequestHead {
    /// Reads a head from the start of `bytes`. Resumable: offer the same bytes and more after
    /// [`Progress::More`]; [`clear`](Self::clear) before the next head. Each byte is looked at once
    /// until the head is complete, and then once again by the parser.
    ///
    /// # Errors
    /// A [`Reject`] where the bytes can never become a request we forward.
    pub fn read(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Progress, Reject> {
        self.advance(bytes, limits).map_err(|fault| fault.of(Side::Request))
    }

    /// Makes ready for the next head.
    pub fn clear(&mut self) {
        self.fields.clear();
        *self = Self { fields: std::mem::take(&mut self.fields), ..Self::default() };
    }

    /// Whether `bytes`, all that there is, begin a request: anything but empty lines. A client that
    /// leaves before is not owed an answer.
    #[must_use]
    pub fn is_begun(bytes: &[u8]) -> bool {
        bytes.iter().any(|byte| !matches!(byte, b'\r' | b'\n'))
    }

    /// A head that comes whole and clean, as nearly all do, is looked at once. Any other is watched
    /// line by line, so that what can never become a request is refused as early as possible.
    fn advance(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Progress, Fault> {
        if self.lines.is_untouched() {
            self.fields.clear();
            if let Some((line, end)) = parse::clean_request(bytes, limits, &mut self.fields) {
                return self.conclude(bytes, &line, end, limits);
            }
        }
        if !self.skip_empty_lines(bytes)? {
            return Ok(Progress::More);
        }
        let Some(end) = self.lines.end(bytes, First::StartLine, limits)? else {
            let head = bytes.get(self.start..).unwrap_or_default();
            self.opening.judge(head, self.lines.past_first())?;
            return Ok(Progress::More);
        };
        self.fields.clear();
        let head = bytes.get(..end).unwrap_or_default();
        let line = parse::request(head, self.start, &mut self.fields)?;
        self.conclude(bytes, &line, end, limits)
    }

    fn conclude(
        &mut self,
        bytes: &[u8],
        line: &RequestLine,
        end: usize,
        limits: &HeadLimits,
    ) -> Result<Progress, Fault> {
        self.understand(bytes.get(..end).unwrap_or_default(), line, limits)?;
        self.end = end;
        Ok(Progress::Done(end))
    }

    //= rfc9112#section-2.2
    //# In the interest of robustness, a server that is expecting to receive and parse a request-line
    //# SHOULD ignore at least one empty line (CRLF) received prior to the request-line.
    /// Whether the request line begins in `bytes`.
    fn skip_empty_lines(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        loop {
            match bytes.get(self.start..).unwrap_or_default() {
                [b'\r', b'\n', ..] if self.start >= 2 * EMPTY_LINES_MAX => {
                    return Err(Fault::EmptyLines);
                }
                [b'\r', b'\n', ..] => {
                    self.start = self.start.saturating_add(2);
                    self.lines = Lines::at(self.start);
                }
                [] | [b'\r'] => return Ok(false),
                [b'\n', ..] => return Err(Fault::BareLf),
                [b'\r', ..] => return Err(Fault::LineEnd),
                _ => return Ok(true),
            }
        }
    }

    /// Makes sense of a head taken apart.
    fn understand(
        &mut self,
        bytes: &[u8],
        line: &RequestLine,
        limits: &HeadLimits,
    ) -> Result<(), Fault> {
        (self.method, self.target, self.version) = (line.method, line.target, line.version);
        let method = self.method.of(bytes);
        match method {
            b"CONNECT" if !limits.connect => return Err(Fault::Connect),
            b"TRACE" => return Err(Fault::Trace),
            _ => {}
        }
        self.parts = Target::parse(bytes, self.target, method)?;
        let survey = Survey::of(bytes, &mut self.fields)?;
        self.framing = framing::of_request(survey.length, survey.coding, self.version)?;
        self.place(bytes, survey.host)?;
        self.present = survey.present;
        self.settle(&survey, method == b"GET")?;
        if method == b"CONNECT" {
            //= rfc9110#section-9.3.6
            //# A CONNECT request message does not have content.
            if self.framing != Framing::Empty {
                return Err(Fault::ConnectBody);
            }
            self.upgrade = Upgrade::Tunnel;
        }
        Ok(())
    }

    /// Decides where the request is addressed to.
    fn place(&mut self, bytes: &[u8], host: Option<Span>) -> Result<(), Fault> {
        //= rfc9112#section-3.2
        //# A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request
        //# message that lacks a Host header field and to any request message that contains more than
        //# one Host header field line or a Host header field with an invalid field value.
        let Some(host) = host else {
            if self.version == Version::Http11 {
                return Err(Fault::HostMissing);
            }
            self.authority = self.parts.authority.unwrap_or_default();
            self.host = self.host_of(bytes).unwrap_or_default();
            return Ok(());
        };
        //= rfc9112#section-3.2.2
        //# When a proxy receives a request with an absolute-form of request-target, the proxy MUST
        //# ignore the received Host header field (if any) and instead replace it with the host
        //# information of the request-target.
        // We do, but only where both agree: an origin or a log that reads the other one is misled.
        self.authority = host;
        if let Some(authority) = self.parts.authority {
            if !authority.of(bytes).eq_ignore_ascii_case(host.of(bytes)) {
                return Err(Fault::HostMismatch);
            }
            self.authority = authority;
        }
        self.host = self.host_of(bytes).ok_or(Fault::HostInvalid)?;
        Ok(())
    }

    fn host_of(&self, bytes: &[u8]) -> Option<Span> {
        let start = self.authority.start;
        let length = u32::try_from(host_bytes(self.authority.of(bytes))?).ok()?;
        Some(Span { start, end: start.checked_add(length)? })
    }

    /// Decides what becomes of the connection, now that the framing is known.
    fn settle(&mut self, survey: &Survey, is_get: bool) -> Result<(), Fault> {
        let is_http11 = self.version == Version::Http11;
        self.persistent = !survey.close && (is_http11 || survey.keep_alive);
        self.takes_trailers = survey.takes_trailers && is_http11;
        if survey.expects_more {
            return Err(Fault::Expectation);
        }
        //= rfc9110#section-10.1.1
        //# A server that receives a 100-continue expectation in an HTTP/1.0 request MUST ignore that
        //# expectation.
        self.expects_continue =
            survey.expects_continue && is_http11 && self.framing != Framing::Empty;
        //= rfc9110#section-7.8
        //# A server MUST ignore an Upgrade header field that is received in an HTTP/1.0 request.
        //
        // A body before the switch would have to be read first, so such a request is a plain one.
        let may_ask = survey.upgrade
            && survey.connection_upgrade
            && is_http11
            && self.framing == Framing::Empty;
        self.upgrade = match (may_ask, survey.websocket && is_get) {
            (false, _) => Upgrade::None,
            (true, true) => Upgrade::WebSocket,
            (true, false) => Upgrade::Other,
        };
        Ok(())
    }

    pub(crate) fn is_asterisk(&self) -> bool {
        self.parts.form == Form::Asterisk
    }
}

/// A reply's head. Reusable, as [`RequestHead`].
#[derive(Debug, Default)]
pub struct ResponseHead {
    // Progress
    lines: Lines,
    pub(crate) end: usize,
    // Status line
    pub(crate) version: Version,
    pub(crate) status: u16,
    pub(crate) reason: Span,
    // Fields
    pub(crate) fields: Vec<Field>,
    pub(crate) present: KnownSet,
    pub(crate) declared: Option<Framing>,
    pub(crate) persistent: bool,
    pub(crate) upgrade: bool,
}

impl ResponseHead {
    /// Reads a head from the start of `bytes`, as [`RequestHead::read`].
    ///
    /// # Errors
    /// A [`Reject`] where the bytes can never become a reply we forward.
    pub fn read(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Progress, Reject> {
        self.advance(bytes, limits).map_err(|fault| fault.of(Side::Reply))
    }

    /// Makes ready for the next head.
    pub fn clear(&mut self) {
        self.fields.clear();
        *self = Self { fields: std::mem::take(&mut self.fields), ..Self::default() };
    }

    fn advance(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Progress, Fault> {
        if self.lines.is_untouched() {
            self.fields.clear();
            if let Some((line, end)) = parse::clean_reply(bytes, limits, &mut self.fields) {
                return self.conclude(bytes, &line, end);
            }
        }
        if !bytes.iter().zip(b"HTTP/1.").all(|(is, wanted)| is == wanted) {
            return Err(Fault::StartLine);
        }
        let Some(end) = self.lines.end(bytes, First::StartLine, limits)? else {
            return Ok(Progress::More);
        };
        self.fields.clear();
        let line = parse::reply(bytes.get(..end).unwrap_or_default(), &mut self.fields)?;
        self.conclude(bytes, &line, end)
    }

    fn conclude(&mut self, bytes: &[u8], line: &StatusLine, end: usize) -> Result<Progress, Fault> {
        self.understand(bytes.get(..end).unwrap_or_default(), line)?;
        self.end = end;
        Ok(Progress::Done(end))
    }

    fn understand(&mut self, bytes: &[u8], line: &StatusLine) -> Result<(), Fault> {
        (self.version, self.status, self.reason) = (line.version, line.status, line.reason);
        let survey = Survey::of(bytes, &mut self.fields)?;
        self.present = survey.present;
        self.declared = framing::declared(survey.length, survey.coding, self.version)?;
        //= rfc9112#section-6.1
        //# A server MUST NOT send a Transfer-Encoding header field in any response with a status
        //# code of 1xx (Informational) or 204 (No Content).
        if self.declared == Some(Framing::Chunked) && matches!(self.status, 100..=199 | 204) {
            return Err(Fault::CodingWithoutBody);
        }
        self.persistent = !survey.close && (self.version == Version::Http11 || survey.keep_alive);
        self.upgrade = survey.upgrade && survey.connection_upgrade;
        Ok(())
    }
}
