//! How long is the body? RFC 9112 section 6.3 as two total functions.

use crate::{head::Version, limits::LENGTH_MAX, reject::Fault};

/// How a body is delimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is none. For replies: there can be none (1xx, 204, 304, answers to HEAD).
    #[default]
    Empty,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Replies only: until the connection ends.
    UntilClose,
}

impl Framing {
    /// How a reply's body is best sent on to a client of this version.
    ///
    /// HTTP/1.0 knows no chunks: its connection ends with the body. For HTTP/1.1 a body that ends
    /// with the origin's connection is sent in chunks, so that the client's connection lives on and
    /// a cut body is seen to be cut.
    #[must_use]
    pub const fn toward(self, client: Version) -> Self {
        match (self, client) {
            (Self::Chunked | Self::UntilClose, Version::Http10) => Self::UntilClose,
            (Self::Chunked | Self::UntilClose, Version::Http11) => Self::Chunked,
            (Self::Empty | Self::Length(_), _) => self,
        }
    }
}

/// What all Content-Length fields together say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Length {
    #[default]
    None,
    One(u64),
    Malformed,
    Several,
}

impl Length {
    /// Takes the next Content-Length value.
    pub(crate) fn note(&mut self, value: &[u8]) {
        *self = match self {
            Self::None => parse_length(value).map_or(Self::Malformed, Self::One),
            Self::One(_) | Self::Malformed | Self::Several => Self::Several,
        };
    }
}

/// What all Transfer-Encoding fields together say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Coding {
    #[default]
    None,
    Chunked,
    Other,
}

impl Coding {
    /// Takes the next Transfer-Encoding value. We decode `chunked` and nothing else, so that any
    /// second coding, parameter or repetition is one we do not implement.
    pub(crate) fn note(&mut self, value: &[u8]) {
        *self = match self {
            Self::None if value.eq_ignore_ascii_case(b"chunked") => Self::Chunked,
            Self::None | Self::Chunked | Self::Other => Self::Other,
        };
    }
}

/// Decides how a request's body is delimited. Total on purpose: a proxy that guesses here is a
/// smuggling tool.
pub(crate) fn of_request(
    length: Length,
    coding: Coding,
    version: Version,
) -> Result<Framing, Fault> {
    match declared(length, coding, version)? {
        //= rfc9112#section-6.3
        //# If this is a request message and none of the above are true, then the message body
        //# length is zero (no message body is present).
        None => Ok(Framing::Empty),
        Some(framing) => Ok(framing),
    }
}

/// Decides what a reply declares, and [`of_reply`] whether it counts.
pub(crate) fn declared(
    length: Length,
    coding: Coding,
    version: Version,
) -> Result<Option<Framing>, Fault> {
    match (coding, length, version) {
        //= rfc9112#section-6.1
        //# A server or client that receives an HTTP/1.0 message containing a Transfer-Encoding
        //# header field MUST treat the message as if the framing is faulty, even if a
        //# Content-Length is present, and close the connection after processing the message.
        (Coding::Chunked | Coding::Other, _, Version::Http10) => Err(Fault::CodingInHttp10),
        //= rfc9112#section-6.3
        //# If a Transfer-Encoding header field is present in a request and the chunked transfer
        //# coding is not the final encoding, the message body length cannot be determined reliably;
        //# the server MUST respond with the 400 (Bad Request) status code and then close the
        //# connection.
        (Coding::Other, _, Version::Http11) => Err(Fault::CodingUnknown),
        (Coding::Chunked, Length::None, Version::Http11) => Ok(Some(Framing::Chunked)),
        //= rfc9112#section-6.1
        //# A server MAY reject a request that contains both Content-Length and Transfer-Encoding
        (Coding::Chunked, _, Version::Http11) => Err(Fault::LengthAndCoding),
        (Coding::None, Length::None, _) => Ok(None),
        (Coding::None, Length::One(bytes), _) => Ok(Some(Framing::Length(bytes))),
        //= rfc9112#section-6.3
        //# If a message is received without Transfer-Encoding and with an invalid Content-Length
        //# header field, then the message framing is invalid and the recipient MUST treat it as an
        //# unrecoverable error
        (Coding::None, Length::Malformed, _) => Err(Fault::LengthMalformed),
        (Coding::None, Length::Several, _) => Err(Fault::LengthDuplicate),
    }
}

/// Decides how a reply's body is delimited, given what it declares.
pub(crate) const fn of_reply(declared: Option<Framing>, status: u16, to_head: bool) -> Framing {
    match (declared, status) {
        //= rfc9112#section-6.3
        //# Any response to a HEAD request and any response with a 1xx (Informational), 204 (No
        //# Content), or 304 (Not Modified) status code is always terminated by the first empty line
        //# after the header fields, regardless of the header fields present in the message, and thus
        //# cannot contain a message body or trailer section.
        (_, 100..=199 | 204 | 304) => Framing::Empty,
        _ if to_head => Framing::Empty,
        (Some(framing), _) => framing,
        //= rfc9112#section-6.3
        //# Otherwise, this is a response message without a declared message body length, so the
        //# message body length is determined by the number of octets received prior to the server
        //# closing the connection.
        (None, _) => Framing::UntilClose,
    }
}

/// `1*DIGIT` below 2^63. Leading zeros are digits.
fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value
        .iter()
        .try_fold(0_u64, |sum, byte| {
            let digit = char::from(*byte).to_digit(10)?;
            sum.checked_mul(10)?.checked_add(digit.into())
        })
        .filter(|length| *length < LENGTH_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_digits_and_nothing_else() {
        let rows: &[(&[u8], Option<u64>)] = &[
            (b"0", Some(0)),
            (b"005", Some(5)),
            (b"9223372036854775807", Some((1 << 63) - 1)),
            (b"9223372036854775808", None),
            (b"18446744073709551621", None),
            (b"", None),
            (b"+5", None),
            (b"-0", None),
            (b"5, 5", None),
            (b"5 5", None),
            (b"0x5", None),
            (b"\xb25", None),
        ];
        for (value, length) in rows {
            assert_eq!(parse_length(value), *length, "{value:?}");
        }
    }

    #[test]
    fn a_request_has_one_framing_or_none_at_all() {
        use Version::{Http10, Http11};
        type Row = (&'static [&'static str], &'static [&'static str], Version, Judgement);
        type Judgement = Result<Framing, Fault>;
        let rows: &[Row] = &[
            (&[], &[], Http11, Ok(Framing::Empty)),
            (&["5"], &[], Http11, Ok(Framing::Length(5))),
            (&["5"], &[], Http10, Ok(Framing::Length(5))),
            (&["5", "5"], &[], Http11, Err(Fault::LengthDuplicate)),
            (&["", "43"], &[], Http11, Err(Fault::LengthDuplicate)),
            (&[""], &[], Http11, Err(Fault::LengthMalformed)),
            (&[], &["ChUnKeD"], Http11, Ok(Framing::Chunked)),
            (&["5"], &["chunked"], Http11, Err(Fault::LengthAndCoding)),
            (&[], &["chunked"], Http10, Err(Fault::CodingInHttp10)),
            (&[], &["chunked", "chunked"], Http11, Err(Fault::CodingUnknown)),
            (&[], &["chunked, chunked"], Http11, Err(Fault::CodingUnknown)),
            (&[], &["gzip, chunked"], Http11, Err(Fault::CodingUnknown)),
            (&[], &["identity"], Http11, Err(Fault::CodingUnknown)),
            (&["5"], &[""], Http11, Err(Fault::CodingUnknown)),
            (&[], &["chunked;a=b"], Http11, Err(Fault::CodingUnknown)),
        ];
        for (lengths, codings, version, wanted) in rows {
            let mut length = Length::default();
            let mut coding = Coding::default();
            lengths.iter().for_each(|value| length.note(value.as_bytes()));
            codings.iter().for_each(|value| coding.note(value.as_bytes()));
            assert_eq!(of_request(length, coding, *version), *wanted, "{lengths:?} {codings:?}");
        }
    }

    #[test]
    fn a_reply_that_cannot_have_a_body_has_none() {
        let length = Some(Framing::Length(5));
        for status in [100, 103, 199, 204, 304] {
            assert_eq!(of_reply(length, status, false), Framing::Empty);
        }
        assert_eq!(of_reply(length, 200, true), Framing::Empty);
        assert_eq!(of_reply(length, 200, false), Framing::Length(5));
        assert_eq!(of_reply(None, 200, false), Framing::UntilClose);
        assert_eq!(of_reply(Some(Framing::Chunked), 500, false), Framing::Chunked);
    }
}
