//! The fields a proxy cares about, told apart by length and then by letters.

/// Which field a name is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Known {
    /// One that means nothing to us: it is forwarded as it came.
    #[default]
    Other,
    /// Named by Connection, hence for us alone.
    Named,
    /// Spelt with `_` where one of the others has `-`: CGI and its heirs cannot tell them apart.
    Twin,
    /// Describes or controls a message end to end: forwarded, but never in trailers.
    Control,
    /// `X-Forwarded-` and something we do not write.
    XForwarded,
    /// `Authorization`
    Authorization,
    /// `Connection`
    Connection,
    /// `Content-Length`
    ContentLength,
    /// `Cookie`
    Cookie,
    /// `Date`
    Date,
    /// `Expect`
    Expect,
    /// `Forwarded`
    Forwarded,
    /// `Host`
    Host,
    /// `HTTP2-Settings`
    Http2Settings,
    /// `Keep-Alive`
    KeepAlive,
    /// `Location`
    Location,
    /// `Proxy-Authenticate`
    ProxyAuthenticate,
    /// `Proxy-Authorization`
    ProxyAuthorization,
    /// `Proxy-Connection`
    ProxyConnection,
    /// `Server`
    Server,
    /// `Set-Cookie`
    SetCookie,
    /// `TE`
    Te,
    /// `Traceparent`
    Traceparent,
    /// `Tracestate`
    Tracestate,
    /// `Trailer`
    Trailer,
    /// `Transfer-Encoding`
    TransferEncoding,
    /// `Upgrade`
    Upgrade,
    /// `Via`
    Via,
    /// `X-Forwarded-For`
    XForwardedFor,
    /// `X-Forwarded-Host`
    XForwardedHost,
    /// `X-Forwarded-Proto`
    XForwardedProto,
    /// `X-Real-IP`
    XRealIp,
    /// `X-Request-Id`
    XRequestId,
}

impl Known {
    /// Which field this is. The name's letters may be of any case.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        let known = Self::folded(name);
        if known != Self::Other && name.contains(&b'_') { Self::Twin } else { known }
    }

    /// The same, with `_` taken for `-`.
    fn folded(name: &[u8]) -> Self {
        let Some(first) = name.first().map(|byte| fold(*byte)) else { return Self::Other };
        for (text, known) in same_length(name.len()) {
            // Most names are ruled out by their first letter.
            if text.first() == Some(&first) && is_same(name, text) {
                return *known;
            }
        }
        match name.get(..X_FORWARDED.len()) {
            Some(start) if first == b'x' && is_same(start, X_FORWARDED) => Self::XForwarded,
            _ => Self::Other,
        }
    }

    /// Fields that say how a message is framed, routed or handed on: ours alone to write.
    #[must_use]
    pub const fn is_ours(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::ContentLength
                | Self::Expect
                | Self::Host
                | Self::Http2Settings
                | Self::KeepAlive
                | Self::Named
                | Self::ProxyAuthenticate
                | Self::ProxyAuthorization
                | Self::ProxyConnection
                | Self::Te
                | Self::Trailer
                | Self::TransferEncoding
                | Self::Twin
                | Self::Upgrade
        )
    }

    //= rfc9110#section-6.5.1
    //# A sender MUST NOT generate a trailer field unless the sender knows the corresponding header
    //# field name's definition permits sending a trailer field
    /// Whether a field may be sent on in a trailer section: one that has no meaning for framing,
    /// routing, authentication or the reading of the content, as far as we know.
    #[must_use]
    pub const fn may_trail(self) -> bool {
        matches!(self, Self::Other)
    }
}

const X_FORWARDED: &[u8] = b"x-forwarded-";

fn is_same(name: &[u8], text: &[u8]) -> bool {
    name.iter().zip(text).all(|(byte, wanted)| fold(*byte) == *wanted)
}

/// Lower case, and `-` for `_`.
const fn fold(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' => byte | 0x20,
        b'_' => b'-',
        _ => byte,
    }
}

/// The known names of this length.
const fn same_length(length: usize) -> &'static [(&'static [u8], Known)] {
    match length {
        2 => &[(b"te", Known::Te)],
        3 => &[(b"via", Known::Via), (b"age", Known::Control)],
        4 => &[(b"host", Known::Host), (b"date", Known::Date), (b"vary", Known::Control)],
        5 => &[(b"range", Known::Control)],
        6 => &[
            (b"cookie", Known::Cookie),
            (b"server", Known::Server),
            (b"expect", Known::Expect),
            (b"pragma", Known::Control),
        ],
        7 => &[
            (b"upgrade", Known::Upgrade),
            (b"trailer", Known::Trailer),
            (b"expires", Known::Control),
        ],
        8 => &[
            (b"location", Known::Location),
            (b"if-match", Known::Control),
            (b"if-range", Known::Control),
        ],
        9 => &[(b"x-real-ip", Known::XRealIp), (b"forwarded", Known::Forwarded)],
        10 => &[
            (b"connection", Known::Connection),
            (b"keep-alive", Known::KeepAlive),
            (b"set-cookie", Known::SetCookie),
            (b"tracestate", Known::Tracestate),
        ],
        11 => &[(b"traceparent", Known::Traceparent), (b"retry-after", Known::Control)],
        12 => &[
            (b"x-request-id", Known::XRequestId),
            (b"content-type", Known::Control),
            (b"max-forwards", Known::Control),
        ],
        13 => &[
            (b"authorization", Known::Authorization),
            (b"cache-control", Known::Control),
            (b"content-range", Known::Control),
            (b"if-none-match", Known::Control),
            (b"last-modified", Known::Control),
        ],
        14 => {
            &[(b"content-length", Known::ContentLength), (b"http2-settings", Known::Http2Settings)]
        }
        15 => &[(b"x-forwarded-for", Known::XForwardedFor)],
        16 => &[
            (b"content-encoding", Known::Control),
            (b"content-location", Known::Control),
            (b"proxy-connection", Known::ProxyConnection),
            (b"x-forwarded-host", Known::XForwardedHost),
            (b"www-authenticate", Known::Control),
        ],
        17 => &[
            (b"transfer-encoding", Known::TransferEncoding),
            (b"x-forwarded-proto", Known::XForwardedProto),
            (b"if-modified-since", Known::Control),
        ],
        18 => &[(b"proxy-authenticate", Known::ProxyAuthenticate)],
        19 => &[
            (b"proxy-authorization", Known::ProxyAuthorization),
            (b"if-unmodified-since", Known::Control),
            (b"authentication-info", Known::Control),
            (b"content-disposition", Known::Control),
        ],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case_and_not_by_their_beginning() {
        assert_eq!(Known::of(b"Host"), Known::Host);
        assert_eq!(Known::of(b"cOnTeNt-LeNgTh"), Known::ContentLength);
        assert_eq!(Known::of(b"Content-Length0"), Known::Other);
        assert_eq!(Known::of(b"X-Forwarded-Client-Cert"), Known::XForwarded);
        assert_eq!(Known::of(b""), Known::Other);
    }

    #[test]
    fn every_known_name_is_listed_under_its_length_in_lower_case() {
        for length in 0..32 {
            for (name, known) in same_length(length) {
                assert_eq!(name.len(), length);
                assert_eq!(name.to_ascii_lowercase(), *name);
                assert_eq!(Known::of(name), *known);
                if name.contains(&b'-') {
                    let twin: Vec<_> =
                        name.iter().map(|b| if *b == b'-' { b'_' } else { *b }).collect();
                    assert_eq!(Known::of(&twin), Known::Twin);
                }
            }
        }
    }

    #[test]
    fn an_underscore_alone_makes_no_twin() {
        assert_eq!(Known::of(b"X_Forwarded_For"), Known::Twin);
        assert_eq!(Known::of(b"X_Forwarded-Client_Certificate_And_More"), Known::Twin);
        assert_eq!(Known::of(b"my_field"), Known::Other);
    }
}
