//! Bodies: how they are delimited, read and written.

/// How a body is delimited (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Replies only: until the connection ends.
    UntilClose,
}

/// Reads a body.
#[derive(Debug)]
pub struct BodyReader;

/// Writes a body.
#[derive(Debug)]
pub struct BodyWriter;
