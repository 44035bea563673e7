//! Heads as spans into the caller's buffer.

use crate::{Framing, Reject};

/// A range of bytes in the buffer a head was read from, counted from the head's first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// The protocol's minor version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
}

/// The most a head may hold.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes of the whole head.
    pub bytes: usize,
    /// Bytes of a request line.
    pub line_bytes: usize,
    /// Number of fields.
    pub fields: usize,
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
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The name as received.
    pub name: Span,
    /// The value without the white space around it.
    pub value: Span,
}

/// A request's head. Reusable: holds its capacity between requests, allocates nothing in steady state.
#[derive(Debug, Default)]
pub struct RequestHead {
    fields: Vec<Field>,
}

impl RequestHead {
    /// Reads a head from the start of `bytes`. Resumable: offer the same bytes and more after
    /// [`Progress::More`]; [`clear`](Self::clear) before the next head.
    ///
    /// # Errors
    /// A [`Reject`] where the bytes can never become a request we forward.
    pub fn read(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Progress, Reject> {
        let _ = (bytes, limits, &self.fields);
        Ok(Progress::More)
    }
}

/// A request: its head and the bytes it was read from. `Copy`; all that routing and rewriting need.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The spans.
    pub head: &'a RequestHead,
    /// The buffer, from the head's first byte.
    pub bytes: &'a [u8],
}

impl<'a> Request<'a> {
    /// The method, as received.
    #[must_use]
    pub fn method(&self) -> &'a [u8] {
        b""
    }
    /// The path of the target, without its query. `*` for the asterisk form, empty for the
    /// authority form.
    #[must_use]
    pub fn path(&self) -> &'a [u8] {
        b""
    }
    /// The query of the target, without its question mark.
    #[must_use]
    pub fn query(&self) -> Option<&'a [u8]> {
        None
    }
    /// Host without its port: the target's authority in absolute form, else the Host field. As received
    /// (compare without case).
    #[must_use]
    pub fn host(&self) -> &'a [u8] {
        b""
    }
    /// Host with its port as received.
    #[must_use]
    pub fn authority(&self) -> &'a [u8] {
        b""
    }
    /// All fields in order, name and value.
    pub fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        std::iter::empty()
    }
    /// Values of the fields of this name (given in lower case), in order.
    pub fn values(&self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let _ = name;
        std::iter::empty()
    }
    /// Value of the first cookie of this name.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&'a [u8]> {
        let _ = name;
        None
    }
    /// Value of the first query parameter of this name, as received (percent-encoded).
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<&'a [u8]> {
        let _ = name;
        None
    }
    /// How the body is delimited.
    #[must_use]
    pub fn framing(&self) -> Framing {
        Framing::Empty
    }
}

/// A reply's head.
#[derive(Debug, Default)]
pub struct ResponseHead {
    fields: Vec<Field>,
}

impl ResponseHead {
    /// Reads a head from the start of `bytes`, as [`RequestHead::read`].
    ///
    /// # Errors
    /// A [`Reject`] where the bytes can never become a reply we forward.
    pub fn read(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Progress, Reject> {
        let _ = (bytes, limits, &self.fields);
        Ok(Progress::More)
    }
}

/// A reply: its head and the bytes it was read from.
#[derive(Clone, Copy)]
pub struct Response<'a> {
    /// The spans.
    pub head: &'a ResponseHead,
    /// The buffer, from the head's first byte.
    pub bytes: &'a [u8],
}
