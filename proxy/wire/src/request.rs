//! A request as routing and rewriting see it.

use std::fmt;

use memchr::memchr;

use crate::{
    framing::Framing,
    head::{Field, RequestHead, Upgrade, Version},
    known::Known,
    survey::trim,
    target::Form,
    trace::Traceparent,
};

/// A request: its head and the bytes it was read from. `Copy`; all that routing and rewriting need.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The spans.
    pub head: &'a RequestHead,
    /// The buffer, from the first byte offered to [`RequestHead::read`].
    pub bytes: &'a [u8],
}

impl<'a> Request<'a> {
    /// The method, as received.
    #[must_use]
    pub fn method(&self) -> &'a [u8] {
        self.head.method.of(self.bytes)
    }

    /// The whole target, as received.
    #[must_use]
    pub fn target(&self) -> &'a [u8] {
        self.head.target.of(self.bytes)
    }

    /// The form of the target.
    #[must_use]
    pub fn form(&self) -> Form {
        self.head.parts.form
    }

    /// The path of the target, without its query: exactly the bytes that are forwarded. `*` for the
    /// asterisk form.
    #[must_use]
    pub fn path(&self) -> &'a [u8] {
        match self.head.parts.path.of(self.bytes) {
            b"" if self.head.is_asterisk() => b"*",
            b"" => b"/",
            path => path,
        }
    }

    /// The query of the target, without its question mark.
    #[must_use]
    pub fn query(&self) -> Option<&'a [u8]> {
        self.head.parts.query.map(|query| query.of(self.bytes))
    }

    /// Host without its port, as received (compare without case): the target's authority in absolute
    /// form, else the Host field. An IPv6 address keeps its brackets. Empty only for HTTP/1.0.
    #[must_use]
    pub fn host(&self) -> &'a [u8] {
        self.head.host.of(self.bytes)
    }

    /// Host with its port, as received.
    #[must_use]
    pub fn authority(&self) -> &'a [u8] {
        self.head.authority.of(self.bytes)
    }

    /// The version of the client.
    #[must_use]
    pub fn version(&self) -> Version {
        self.head.version
    }

    /// All fields in order, name and value.
    pub fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        pairs(&self.head.fields, self.bytes)
    }

    /// Values of the fields of this name (of any case), in order.
    pub fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        named(&self.head.fields, self.bytes, name)
    }

    /// Value of the first field of this kind.
    #[must_use]
    pub fn first(&self, kind: Known) -> Option<&'a [u8]> {
        if !self.head.present.contains(kind) {
            return None;
        }
        known(&self.head.fields, self.bytes, kind).next()
    }

    /// Value of the first cookie of this name.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&'a [u8]> {
        if !self.head.present.contains(Known::Cookie) {
            return None;
        }
        known(&self.head.fields, self.bytes, Known::Cookie)
            .find_map(|cookies| cookie_of(cookies, name.as_bytes()))
    }

    /// Value of the first query parameter of this name, as received (percent-encoded).
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<&'a [u8]> {
        let name = name.as_bytes();
        self.query()?
            .split(|byte| *byte == b'&')
            .find_map(|pair| if pair == name { Some(&[][..]) } else { value_of(pair, name) })
    }

    /// How the body is delimited: never [`Framing::UntilClose`].
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.head.framing
    }

    /// Whether the client's connection may be kept.
    #[must_use]
    pub fn persistent(&self) -> bool {
        self.head.persistent
    }

    /// Whether the client waits for `100 Continue` before it sends its body.
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        self.head.expects_continue
    }

    /// What the client asks its connection to become.
    #[must_use]
    pub fn upgrade(&self) -> Upgrade {
        self.head.upgrade
    }

    /// Whether the client takes a trailer section (`TE: trailers`).
    #[must_use]
    pub fn accepts_trailers(&self) -> bool {
        self.head.takes_trailers
    }

    /// Whether the reply will have no body whatever it says.
    #[must_use]
    pub fn is_head(&self) -> bool {
        self.method() == b"HEAD"
    }

    //= rfc9110#section-9.2.1
    //# Of the request methods defined by this specification, the GET, HEAD, OPTIONS, and TRACE
    //# methods are defined to be safe.
    /// Whether the method changes nothing at the origin.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        matches!(self.method(), b"GET" | b"HEAD" | b"OPTIONS")
    }

    /// Whether the request may be sent twice.
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        self.is_safe() || matches!(self.method(), b"PUT" | b"DELETE")
    }

    /// Whether it says anything of a trace, be it valid or not.
    #[must_use]
    pub fn speaks_of_trace(&self) -> bool {
        self.head.present.contains(Known::Traceparent)
    }

    /// The trace this request belongs to, if it says so validly and once.
    #[must_use]
    pub fn traceparent(&self) -> Option<Traceparent> {
        if !self.head.present.contains(Known::Traceparent) {
            return None;
        }
        let mut values = known(&self.head.fields, self.bytes, Known::Traceparent);
        let (first, second) = (values.next()?, values.next());
        if second.is_some() { None } else { Traceparent::parse(first) }
    }
}

impl fmt::Debug for Request<'_> {
    /// Never the text: it may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("head", self.head).finish_non_exhaustive()
    }
}

pub(crate) fn pairs<'a>(
    fields: &'a [Field],
    bytes: &'a [u8],
) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
    fields.iter().map(move |field| (field.name.of(bytes), field.value.of(bytes)))
}

pub(crate) fn named<'a, 'n>(
    fields: &'a [Field],
    bytes: &'a [u8],
    name: &'n str,
) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
    pairs(fields, bytes)
        .filter(move |(is, _)| is.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, value)| value)
}

pub(crate) fn known<'a>(
    fields: &'a [Field],
    bytes: &'a [u8],
    known: Known,
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    fields.iter().filter(move |field| field.known == known).map(move |field| field.value.of(bytes))
}

/// The value of the first `name=value` in a Cookie field.
fn cookie_of<'a>(cookies: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = Some(cookies);
    while let Some(cookies) = rest {
        let end = memchr(b';', cookies).unwrap_or(cookies.len());
        let (pair, after) = cookies.split_at_checked(end)?;
        let value = trim(pair).strip_prefix(name).and_then(|value| value.strip_prefix(b"="));
        if value.is_some() {
            return value;
        }
        rest = after.get(1..);
    }
    None
}

/// The value in `name=value`.
fn value_of<'a>(pair: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (is, value) = pair.split_at_checked(memchr(b'=', pair)?)?;
    if is == name { value.get(1..) } else { None }
}
