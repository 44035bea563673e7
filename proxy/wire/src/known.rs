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
    /// Who the client is by its certificate, which only we know: never passed on.
    XClientCert,
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
    /// Which field this is. The name, a token, may have letters of any case.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        let (start, rest) = name.split_at_checked(WORDS_BYTES).unwrap_or((name, &[]));
        let words = folded(start);
        if !words.into_iter().any(has_underscore) && !rest.contains(&b'_') {
            return Self::spelt(words, name.len());
        }
        let known = Self::spelt(words.map(with_hyphens), name.len());
        if known == Self::Other { known } else { Self::Twin }
    }

    /// The field whose folded name, or its beginning, are these words.
    fn spelt(words: Words, length: usize) -> Self {
        for (known_words, known) in same_length(length) {
            // A name differs in its first word more often than not.
            if known_words[0] == words[0] && *known_words == words {
                return *known;
            }
        }
        let [first, second, _] = X_FORWARDED;
        // Of the second word, the half before the padding.
        let begins = words[0] == first && (words[1] ^ second) & u64::from(u32::MAX) == 0;
        if begins && length >= X_FORWARDED_BYTES { Self::XForwarded } else { Self::Other }
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

/// A set of [`Known`] fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownSet(u64);

impl KnownSet {
    pub(crate) fn insert(&mut self, known: Known) {
        self.0 |= Self::bit(known);
    }

    /// Whether `known` is in it.
    #[must_use]
    pub const fn contains(self, known: Known) -> bool {
        self.0 & Self::bit(known) != 0
    }

    const fn bit(known: Known) -> u64 {
        1_u64.wrapping_shl(known as u32)
    }
}

/// A name's first bytes, folded, eight to a word: two names are compared in three steps.
type Words = [u64; 3];

const WORDS_BYTES: usize = size_of::<Words>();

/// Folds a name of at most [`WORDS_BYTES`] bytes: one bit makes letters small and leaves digits
/// and `-` alone. Among the bytes of a token nothing else becomes a letter, digit or `-`.
const fn folded(name: &[u8]) -> Words {
    let mut padded = [0; WORDS_BYTES];
    let (start, _) = padded.split_at_mut(name.len());
    start.copy_from_slice(name);
    let ([first, second, third], _) = padded.as_chunks::<8>() else { return [0; 3] };
    [
        u64::from_le_bytes(*first) | SMALL,
        u64::from_le_bytes(*second) | SMALL,
        u64::from_le_bytes(*third) | SMALL,
    ]
}

const SMALL: u64 = u64::from_le_bytes([0x20; 8]);

/// `_`, folded.
const UNDERSCORE: u8 = b'_' | 0x20;

/// Whether a folded word holds an underscore: then one of the differences is a zero byte.
const fn has_underscore(word: u64) -> bool {
    let difference = word ^ u64::from_le_bytes([UNDERSCORE; 8]);
    let borrows = difference.wrapping_sub(u64::from_le_bytes([1; 8]));
    borrows & !difference & u64::from_le_bytes([0x80; 8]) != 0
}

/// A folded word with `-` for `_`.
fn with_hyphens(word: u64) -> u64 {
    let hyphen = |byte| if byte == UNDERSCORE { b'-' } else { byte };
    u64::from_le_bytes(word.to_le_bytes().map(hyphen))
}

/// What `X-Forwarded-` and its unknown kin begin with.
const X_FORWARDED: Words = folded(b"x-forwarded-");
const X_FORWARDED_BYTES: usize = b"x-forwarded-".len();

/// The known names of this length.
fn same_length(length: usize) -> &'static [(Words, Known)] {
    let first = |length: usize| FIRST.get(length).copied().unwrap_or(NAMES.len());
    FOLDED.get(first(length)..first(length.saturating_add(1))).unwrap_or_default()
}

/// All known names, by length.
const NAMES: [(&str, Known); 52] = [
    ("te", Known::Te),
    ("via", Known::Via),
    ("age", Known::Control),
    ("host", Known::Host),
    ("date", Known::Date),
    ("vary", Known::Control),
    ("range", Known::Control),
    ("cookie", Known::Cookie),
    ("server", Known::Server),
    ("expect", Known::Expect),
    ("pragma", Known::Control),
    ("upgrade", Known::Upgrade),
    ("trailer", Known::Trailer),
    ("expires", Known::Control),
    ("location", Known::Location),
    ("if-match", Known::Control),
    ("if-range", Known::Control),
    ("x-real-ip", Known::XRealIp),
    ("forwarded", Known::Forwarded),
    ("connection", Known::Connection),
    ("keep-alive", Known::KeepAlive),
    ("set-cookie", Known::SetCookie),
    ("tracestate", Known::Tracestate),
    ("traceparent", Known::Traceparent),
    ("retry-after", Known::Control),
    ("x-request-id", Known::XRequestId),
    ("content-type", Known::Control),
    ("max-forwards", Known::Control),
    ("authorization", Known::Authorization),
    ("cache-control", Known::Control),
    ("content-range", Known::Control),
    ("if-none-match", Known::Control),
    ("last-modified", Known::Control),
    ("content-length", Known::ContentLength),
    ("http2-settings", Known::Http2Settings),
    ("x-forwarded-for", Known::XForwardedFor),
    ("content-encoding", Known::Control),
    ("content-location", Known::Control),
    ("proxy-connection", Known::ProxyConnection),
    ("x-forwarded-host", Known::XForwardedHost),
    ("www-authenticate", Known::Control),
    ("transfer-encoding", Known::TransferEncoding),
    ("x-forwarded-proto", Known::XForwardedProto),
    ("if-modified-since", Known::Control),
    ("x-client-cert-san", Known::XClientCert),
    ("proxy-authenticate", Known::ProxyAuthenticate),
    ("proxy-authorization", Known::ProxyAuthorization),
    ("if-unmodified-since", Known::Control),
    ("authentication-info", Known::Control),
    ("content-disposition", Known::Control),
    ("x-client-cert-sha256", Known::XClientCert),
    ("x-client-cert-subject", Known::XClientCert),
];

#[expect(clippy::indexing_slicing, reason = "run by the compiler")]
static FOLDED: [(Words, Known); NAMES.len()] = {
    let mut all = [([0; 3], Known::Other); NAMES.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = (folded(NAMES[at].0.as_bytes()), NAMES[at].1);
        at += 1;
    }
    all
};

/// Where the names of each length begin among all.
#[expect(clippy::indexing_slicing, reason = "run by the compiler")]
static FIRST: [usize; WORDS_BYTES + 1] = {
    let mut first = [0; WORDS_BYTES + 1];
    let (mut length, mut at) = (0, 0);
    while length < first.len() {
        while at < NAMES.len() && NAMES[at].0.len() < length {
            at += 1;
        }
        first[length] = at;
        length += 1;
    }
    first
};

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
    fn every_known_name_is_found_in_any_case_and_its_twins_are_twins() {
        assert!(NAMES.is_sorted_by_key(|(name, _)| name.len()));
        for (name, known) in NAMES {
            assert_eq!(name.to_ascii_lowercase(), name);
            assert_eq!(Known::of(name.as_bytes()), known, "{name}");
            assert_eq!(Known::of(name.to_ascii_uppercase().as_bytes()), known, "{name}");
            if name.contains('-') {
                assert_eq!(Known::of(name.replace('-', "_").as_bytes()), Known::Twin, "{name}");
            }
            for other in [format!("{name}s"), name[1..].to_owned(), format!("x{name}")] {
                let is_listed = NAMES.iter().any(|(listed, _)| *listed == other);
                let begins = other.starts_with("x-forwarded-");
                let found = Known::of(other.as_bytes());
                assert!(is_listed || begins || found == Known::Other, "{other}: {found:?}");
            }
        }
    }

    #[test]
    fn no_byte_of_a_token_folds_into_a_letter_it_is_not() {
        for byte in (0..=u8::MAX).filter(|byte| crate::parse::is_token(*byte)) {
            for (at, wanted) in b"host".iter().enumerate() {
                let mut name = *b"host";
                name[at] = byte;
                let is_host = byte.to_ascii_lowercase() == *wanted;
                assert_eq!(Known::of(&name) == Known::Host, is_host, "{}", byte as char);
            }
        }
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut set = KnownSet::default();
        set.insert(Known::Via);
        set.insert(Known::XRequestId);
        assert!(set.contains(Known::Via) && set.contains(Known::XRequestId));
        assert!(!set.contains(Known::Other) && !set.contains(Known::Host));
    }

    #[test]
    fn an_underscore_alone_makes_no_twin() {
        assert_eq!(Known::of(b"X_Forwarded_For"), Known::Twin);
        assert_eq!(Known::of(b"X_Forwarded-Client_Certificate_And_More"), Known::Twin);
        assert_eq!(Known::of(b"my_field"), Known::Other);
    }
}
