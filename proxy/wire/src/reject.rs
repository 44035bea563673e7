//! Every reason to refuse bytes, each with exactly one status.

use std::fmt;

/// Who sent what is being read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// A client: a fault is its own, 4xx or 5xx as the fault says.
    #[default]
    Request,
    /// An origin: any fault makes it a bad gateway, 502.
    Reply,
}

/// Bytes refused. The connection they came by ends: nobody knows where its next message begins.
///
/// Carries no input text, so it may be logged as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Who sent them.
    pub side: Side,
    /// What is wrong with them.
    pub fault: Fault,
}

impl Reject {
    /// The status to answer the client with.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self.side {
            Side::Request => self.fault.status(),
            Side::Reply => 502,
        }
    }

    /// A short code for logs and metrics; stable.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.fault.as_str()
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Reject {}

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident => $status:literal $code:literal,)*) => {
        /// What can be wrong with a message.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Fault { $($(#[$doc])* $name,)* }

        impl Fault {
            /// All of them, for tables and tests.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The status for a client that sent it.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// A short code for logs and metrics; stable.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }
        }
    };
}

faults! {
    /// Too many empty lines before the start line.
    EmptyLines => 400 "empty-lines",
    /// A line ends in LF without CR.
    BareLf => 400 "bare-lf",
    /// The request line is longer than allowed.
    LineTooLong => 414 "line-too-long",
    /// One field is longer than allowed.
    FieldTooLong => 431 "field-too-long",
    /// More fields than allowed.
    TooManyFields => 431 "too-many-fields",
    /// The head is larger than allowed.
    HeadTooLarge => 431 "head-too-large",
    /// A field line begins with white space.
    ObsFold => 400 "obs-fold",
    /// The start line is not of the grammar.
    StartLine => 400 "start-line",
    /// The method is not a token.
    Method => 400 "method",
    /// No method anybody implements is that long.
    MethodTooLong => 501 "method-too-long",
    /// CONNECT: this is not a forward proxy.
    Connect => 501 "connect",
    /// CONNECT with a body.
    ConnectBody => 400 "connect-body",
    /// TRACE would send credentials back to a script.
    Trace => 405 "trace",
    /// A version that is neither 1.0 nor 1.1.
    Version => 505 "version",
    /// The target holds a byte it may not.
    Target => 400 "target",
    /// The target's form does not go with the method.
    TargetForm => 400 "target-form",
    /// A status that is not 100 to 599.
    StatusCode => 400 "status-code",
    /// HTTP/1.1 without Host.
    HostMissing => 400 "host-missing",
    /// More than one Host.
    HostDuplicate => 400 "host-duplicate",
    /// Host is not a host and a port.
    HostInvalid => 400 "host-invalid",
    /// Host is not the target's authority.
    HostMismatch => 400 "host-mismatch",
    /// A field name is not a token with a colon right behind it.
    FieldName => 400 "field-name",
    /// A field value holds a control byte.
    FieldValue => 400 "field-value",
    /// A line is not terminated as it must be.
    LineEnd => 400 "line-end",
    /// Content-Length is not a number below 2^63.
    LengthMalformed => 400 "length-malformed",
    /// More than one Content-Length, be they equal.
    LengthDuplicate => 400 "length-duplicate",
    /// Content-Length and Transfer-Encoding in one message.
    LengthAndCoding => 400 "length-and-coding",
    /// A transfer coding that is not `chunked`, once.
    CodingUnknown => 501 "coding-unknown",
    /// Transfer-Encoding in an HTTP/1.0 message.
    CodingInHttp10 => 400 "coding-in-http10",
    /// Transfer-Encoding where no body can be.
    CodingWithoutBody => 400 "coding-without-body",
    /// Connection names more options than anybody needs.
    TooManyOptions => 400 "too-many-options",
    /// An expectation other than `100-continue`.
    Expectation => 417 "expectation",
    /// The message has been through too many proxies: a loop, or a lie.
    TooManyHops => 400 "too-many-hops",
    /// A chunk size is not 1 to 16 hexadecimal digits, or counts beyond 2^63.
    ChunkSize => 400 "chunk-size",
    /// A chunk extension is not of the grammar.
    ChunkExtension => 400 "chunk-extension",
    /// Chunk extensions are longer than allowed.
    ChunkExtensionsTooLong => 400 "chunk-extensions-too-long",
    /// A chunk does not end where its size says.
    ChunkEnd => 400 "chunk-end",
    /// The body is larger than allowed.
    BodyTooLarge => 413 "body-too-large",
    /// The trailer section is larger than allowed.
    TrailersTooLarge => 431 "trailers-too-large",
    /// The input ended inside a message.
    Truncated => 400 "truncated",
}

impl Fault {
    /// The fault as a reject of this side.
    #[must_use]
    pub const fn of(self, side: Side) -> Reject {
        Reject { side, fault: self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_code_of_its_own_and_an_error_status() {
        let mut codes: Vec<_> = Fault::ALL.iter().map(|fault| fault.as_str()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Fault::ALL.len());
        for fault in Fault::ALL {
            assert!((400..600).contains(&fault.of(Side::Request).status()));
            assert_eq!(fault.of(Side::Reply).status(), 502);
        }
    }
}
