//! Every bound, each with its reason.

/// The most a head may hold. The defaults are bounds that honest peers do not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head, start line and empty line included.
    pub bytes: usize,
    /// Bytes of the start line.
    pub line_bytes: usize,
    /// Bytes of one field line.
    pub field_bytes: usize,
    /// Number of fields; at most [`FIELDS_MAX`] whatever is asked for.
    pub fields: usize,
    /// Whether CONNECT is a request at all: it is none to a reverse proxy, unless configured.
    pub connect: bool,
}

impl HeadLimits {
    //= rfc9112#section-3
    //# It is RECOMMENDED that all HTTP senders and recipients support, at a minimum, request-line
    //# lengths of 8000 octets.
    /// For requests: 8 KiB of request line, 16 KiB a field (cookies), 100 fields, 32 KiB in all.
    pub const REQUEST: Self = Self {
        bytes: 32 << 10,
        line_bytes: 8 << 10,
        field_bytes: 16 << 10,
        fields: 100,
        connect: false,
    };

    /// For replies: twice as much, since origins are fond of policies and cookies.
    pub const REPLY: Self = Self {
        bytes: 64 << 10,
        line_bytes: 8 << 10,
        field_bytes: 32 << 10,
        fields: 200,
        connect: false,
    };

    /// For trailers: a checksum and a status, not a second head.
    pub const TRAILERS: Self = Self {
        bytes: 8 << 10,
        line_bytes: 8 << 10,
        field_bytes: 8 << 10,
        fields: 32,
        connect: false,
    };
}

/// The most a body may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// Bytes of content; 0 for no bound.
    pub bytes: u64,
    /// Bytes of the extensions of one chunk.
    pub extension_bytes: usize,
    /// Bytes of the extensions of all chunks of a body.
    pub extensions_bytes: usize,
    /// The trailer section.
    pub trailers: HeadLimits,
}

impl BodyLimits {
    /// No bound on the content, which costs no memory; tight ones on what nobody needs.
    pub const DEFAULT: Self = Self {
        bytes: 0,
        extension_bytes: 4 << 10,
        extensions_bytes: 16 << 10,
        trailers: HeadLimits::TRAILERS,
    };
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Room for parsed fields on the stack: above the most that any limit above asks for.
pub const FIELDS_MAX: usize = 256;

/// Empty lines ignored before a request line. RFC 9112 section 2.2 asks for one; a client whose
/// library adds one after a body and one before a request line gets through as well.
pub(crate) const EMPTY_LINES_MAX: usize = 4;

/// Bytes of a method. The longest registered one has 18 (`UPDATEREDIRECTREF` and its like).
pub(crate) const METHOD_BYTES_MAX: usize = 32;

/// Options that Connection may name. Each costs a walk over the fields.
pub(crate) const OPTIONS_MAX: usize = 32;

/// Proxies a message may have been through, by Via, Forwarded or X-Forwarded-For.
pub(crate) const HOPS_MAX: usize = 50;

/// Hexadecimal digits of a chunk size: all that a `u64` needs. More are zeros, and a trick.
pub(crate) const CHUNK_DIGITS_MAX: u32 = 16;

/// Lengths are below this: sums of two then cannot overflow, here or in an origin's signed type.
pub(crate) const LENGTH_MAX: u64 = 1 << 63;
