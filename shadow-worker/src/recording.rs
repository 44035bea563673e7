//! Capture files: exchanges as a recorder wrote them down.
//!
//! A capture is lines of JSON, as a rule compressed with gzip. Version 1:
//!
//! ```text
//! {"gnomon_capture":1,"started":MS,"route":…,"upstream":…,"sample":100.0,"config":HASH,"redacted":{…}}
//! {"at_us":…,"route":…,"request":{…},"reply":{…},"first_byte_us":…}       one for each exchange
//! {"end":{"why":…,"eligible":…,"sampled":…,"written":…,"unanswered":…,"dropped":{…}}}
//! ```
//!
//! Requests and replies look as in a [`crate::bundle`], and are redacted in the same way.
//! Replies are written without their content coding. Lines are in the order in which exchanges
//! ended; `at_us` says when they began. Members that a reader does not know are passed over. A
//! file that was cut is read up to its last whole line.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, BufRead, BufReader, Read},
};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use gnomon_config::{
    json_path::JsonPath,
    model::{Redact, RedactStyle},
};
use serde::{Deserialize, Serialize};

use crate::bundle::{self, Answer, Request};

/// A capture's first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opening {
    /// Version of the format: 1.
    pub gnomon_capture: u32,
    /// When it began, in milliseconds since 1970.
    pub started: u64,
    /// The route whose exchanges it holds; all of them if none is named.
    #[serde(default)]
    pub route: Option<String>,
    /// The upstream whose exchanges it holds; likewise.
    #[serde(default)]
    pub upstream: Option<String>,
    /// Share of the exchanges, in percent.
    pub sample: f64,
    /// Hash of the configuration then in force.
    pub config: String,
    /// What was made unreadable.
    pub redacted: Rules,
}

impl Opening {
    /// The version of the format that is written.
    pub const VERSION: u32 = 1;

    /// As a line of the file.
    #[must_use]
    pub fn to_line(&self) -> Bytes {
        line(self)
    }
}

/// What was made unreadable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Fields, in lower case.
    pub headers: Vec<String>,
    /// Query parameters, and fields of forms.
    pub query: Vec<String>,
    /// Places in JSON bodies.
    pub json: Vec<String>,
    /// What takes their place: `hash`, `mask` or `drop`.
    pub style: String,
}

impl Rules {
    /// These rules, as a file says them.
    #[must_use]
    pub fn of(redact: &Redact) -> Self {
        Self {
            headers: redact.headers.iter().map(ToString::to_string).collect(),
            query: redact.query.iter().map(ToString::to_string).collect(),
            json: redact.json.iter().map(ToString::to_string).collect(),
            style: match redact.style {
                RedactStyle::Hash => "hash",
                RedactStyle::Drop => "drop",
                RedactStyle::Mask => "mask",
            }
            .to_owned(),
        }
    }

    /// The places that can be read as such.
    #[must_use]
    pub fn places(&self) -> Vec<JsonPath> {
        self.json.iter().filter_map(|path| JsonPath::parse(path).ok()).collect()
    }
}

/// One exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// When it began: microseconds since the recording did.
    pub at_us: u64,
    /// The route it took.
    pub route: String,
    /// What was asked.
    pub request: Request,
    /// What was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Answer>,
    /// Why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
    /// From sending the request to the reply's first byte, in microseconds.
    pub first_byte_us: u64,
}

impl Recorded {
    /// As a line of the file.
    #[must_use]
    pub fn to_line(&self) -> Bytes {
        line(self)
    }
}

/// A capture's last line: what came of the exchanges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Why it ends: `count`, `time`, `size`, `asked`, `stopped`.
    pub why: String,
    /// Exchanges that could have been written.
    pub eligible: u64,
    /// Of these, those that the sample picked.
    pub sampled: u64,
    /// Of these, those that were.
    pub written: u64,
    /// Of these, those without a reply.
    pub unanswered: u64,
    /// Those that were not, by reason; but for those behind the last that was asked for.
    #[serde(default)]
    pub dropped: BTreeMap<String, u64>,
}

impl End {
    /// As a line of the file.
    #[must_use]
    pub fn to_line(&self) -> Bytes {
        line(&Closing { end: self.clone() })
    }

    /// Reads a last line, if this is one.
    #[must_use]
    pub fn of_line(line: &[u8]) -> Option<Self> {
        if !line.starts_with(b"{\"end\"") {
            return None;
        }
        serde_json::from_slice(line).ok().map(|closing: Closing| closing.end)
    }
}

#[derive(Serialize, Deserialize)]
struct Closing {
    end: End,
}

#[derive(Deserialize)]
struct Stamp {
    gnomon_capture: u32,
}

/// A value as a line; values of ours always are JSON.
fn line(value: &impl Serialize) -> Bytes {
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    Bytes::from(line)
}

/// A capture that is being read.
pub struct Recording {
    opening: Opening,
    lines: Lines,
    end: Option<End>,
}

impl Recording {
    /// Reads the first line of `source`, which may be compressed or not.
    ///
    /// # Errors
    /// If it is no capture, of a later version, or cannot be read.
    pub fn open(source: impl Read + Send + 'static) -> Result<Self, Flaw> {
        let mut source = BufReader::new(source);
        let is_coded = source.fill_buf().map_err(|error| Flaw::Unreadable(error.to_string()))?;
        let reader: Box<dyn BufRead + Send> = if is_coded.starts_with(&[0x1f, 0x8b]) {
            Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(source)))
        } else {
            Box::new(source)
        };
        let mut lines = Lines { reader, number: 0, line: Vec::new() };
        let first = lines.next()?.ok_or(Flaw::NoCapture)?;
        let stamp: Stamp = serde_json::from_slice(first).map_err(|_| Flaw::NoCapture)?;
        if stamp.gnomon_capture != Opening::VERSION {
            return Err(Flaw::Version(stamp.gnomon_capture));
        }
        let opening = serde_json::from_slice(first).map_err(|error| Flaw::of_json(1, &error))?;
        Ok(Self { opening, lines, end: None })
    }

    /// What the first line says.
    #[must_use]
    pub const fn opening(&self) -> &Opening {
        &self.opening
    }

    /// The next exchange; none at the end, be it the capture's or that of what is left of it.
    ///
    /// # Errors
    /// If a line is damaged, or could not be sent as it is.
    pub fn next_exchange(&mut self) -> Result<Option<Recorded>, Flaw> {
        if self.end.is_some() {
            return Ok(None);
        }
        let Some(line) = self.lines.next()? else { return Ok(None) };
        if let Some(end) = End::of_line(line) {
            self.end = Some(end);
            return Ok(None);
        }
        let recorded: Result<Recorded, _> = serde_json::from_slice(line);
        let number = self.lines.number;
        let recorded = recorded.map_err(|error| Flaw::of_json(number, &error))?;
        recorded.request.check().map_err(|flaw| Flaw::Request(number, flaw))?;
        Ok(Some(recorded))
    }

    /// What the last line says; none before it was reached, and if the capture was cut.
    #[must_use]
    pub const fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording").field("opening", &self.opening).finish_non_exhaustive()
    }
}

/// Whole lines of bounded length.
struct Lines {
    reader: Box<dyn BufRead + Send>,
    number: u64,
    line: Vec<u8>,
}

impl Lines {
    fn next(&mut self) -> Result<Option<&[u8]>, Flaw> {
        self.line.clear();
        self.number += 1;
        match (&mut self.reader).take(LINE_MAX as u64).read_until(b'\n', &mut self.line) {
            Ok(_) => {}
            // Cut in the midst of what is compressed.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(Flaw::Unreadable(error.to_string())),
        }
        if self.line.len() >= LINE_MAX {
            return Err(Flaw::TooLong(self.number));
        }
        // Without its end a line is not all there.
        Ok(self.line.strip_suffix(b"\n"))
    }
}

/// Why a file is no capture, or one that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It cannot be read.
    Unreadable(String),
    /// Its first line is not that of a capture.
    NoCapture,
    /// It is of this version of the format.
    Version(u32),
    /// This line is longer than any that is written.
    TooLong(u64),
    /// This line is not what it should be.
    Line(u64, String),
    /// The request in this line is none.
    Request(u64, bundle::Flaw),
}

impl Flaw {
    fn of_json(number: u64, error: &serde_json::Error) -> Self {
        Self::Line(number, error.to_string())
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "it cannot be read: {why}"),
            Self::NoCapture => f.write_str("it is no capture"),
            Self::Version(other) => write!(f, "its format is version {other}, not 1"),
            Self::TooLong(number) => write!(f, "line {number} is too long"),
            Self::Line(number, why) => write!(f, "line {number} is damaged: {why}"),
            Self::Request(number, flaw) => write!(f, "the request in line {number}: {flaw}"),
        }
    }
}

impl std::error::Error for Flaw {}

/// Bytes of a line that are read: two bodies of the most that is kept, escaped, and their heads.
const LINE_MAX: usize = 32 << 20;
/// Decompressed bytes that are held.
const BUFFER: usize = 64 << 10;

#[cfg(test)]
mod tests;
