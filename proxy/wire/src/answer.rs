//! Answers of our own.

use crate::{
    framing::Framing,
    head::Version,
    known::KnownSet,
    write::{Head, decimal, status_line},
};

/// An answer that no origin gave.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answer<'a> {
    /// The status; 200 to 599.
    pub status: u16,
    /// Fields beside `Content-Length`, `Content-Type` and `Connection`; all valid ones.
    pub fields: &'a [(&'a [u8], &'a [u8])],
    /// The body and its type; without, a line of text that says the status.
    pub body: Option<(&'a [u8], &'a [u8])>,
    /// The client's version.
    pub version: Version,
    /// Whether its connection stays open.
    pub keep_alive: bool,
    /// Whether it asked with HEAD.
    pub head_only: bool,
    /// The time.
    pub date: Option<&'a [u8]>,
}

/// Appends an answer, head and body.
pub fn write_answer(out: &mut Vec<u8>, answer: &Answer<'_>) {
    let text = reason(answer.status);
    status_line(out, answer.status, text.as_bytes());
    let mut head = Head { out, bytes: &[], present: KnownSet::default(), edits: &[] };
    for (name, value) in answer.fields {
        head.out.extend_from_slice(name);
        head.field(b": ", value);
    }
    if let Some(date) = answer.date {
        head.field(b"Date: ", date);
    }
    head.connection(answer.keep_alive, answer.version);
    if matches!(answer.status, 204 | 304) {
        head.finish();
        return;
    }
    let (kind, length) = match answer.body {
        Some((body, kind)) => (kind, body.len()),
        // Three digits, a space, the text and a line feed.
        None => (b"text/plain; charset=utf-8".as_slice(), text.len().saturating_add(5)),
    };
    head.field(b"Content-Type: ", kind);
    head.framing(Framing::Length(length as u64));
    head.finish();
    match answer.body {
        _ if answer.head_only => {}
        Some((body, _)) => out.extend_from_slice(body),
        None => {
            decimal(out, answer.status.into());
            out.push(b' ');
            out.extend_from_slice(text.as_bytes());
            out.push(b'\n');
        }
    }
}

/// The reason phrase of a status, as registered.
#[must_use]
pub const fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Unknown",
    }
}
