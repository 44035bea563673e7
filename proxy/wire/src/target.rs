//! Request targets and authorities: RFC 9112 section 3.2, RFC 3986 section 3.2.

use memchr::{memchr, memchr2, memchr3};

use crate::{reject::Fault, span::Span};

/// The form of a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// `/path?query`
    #[default]
    Origin,
    /// `http://authority/path?query`
    Absolute,
    /// `*`
    Asterisk,
    /// `host:port`, of CONNECT.
    Authority,
}

/// A target taken apart.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Target {
    pub(crate) form: Form,
    /// Empty in absolute form without a path.
    pub(crate) path: Span,
    pub(crate) query: Option<Span>,
    /// In absolute and authority form.
    pub(crate) authority: Option<Span>,
}

impl Target {
    /// Takes the target at `span` apart. httparse has refused white space and controls.
    pub(crate) fn parse(bytes: &[u8], span: Span, method: &[u8]) -> Result<Self, Fault> {
        let target = span.of(bytes);
        // A fragment or backslash is read by some and not by others, and raw octets beyond ASCII
        // have no one meaning. Route on exactly what is forwarded, or not at all.
        if memchr2(b'#', b'\\', target).is_some() || !target.is_ascii() {
            return Err(Fault::Target);
        }
        if method == b"CONNECT" {
            return Self::tunnel(target, span).ok_or(Fault::TargetForm);
        }
        match target.first() {
            Some(b'/') => Ok(Self::origin(bytes, target)),
            //= rfc9112#section-3.2.4
            //# The "asterisk-form" of request-target is only used for a server-wide OPTIONS request
            Some(b'*') if target == b"*" && method == b"OPTIONS" => {
                Ok(Self { form: Form::Asterisk, path: span, ..Self::default() })
            }
            _ => Self::absolute(bytes, target, method).ok_or(Fault::TargetForm),
        }
    }

    //= rfc9112#section-3.2.3
    //# When making a CONNECT request to establish a tunnel through one or more proxies, a client
    //# MUST send only the host and port of the tunnel destination as the request-target.
    fn tunnel(target: &[u8], span: Span) -> Option<Self> {
        let host = host_bytes(target)?;
        let port = target.get(host..)?.strip_prefix(b":")?;
        let form = Form::Authority;
        let parsed = Self { form, path: span, query: None, authority: Some(span) };
        (host > 0 && !port.is_empty()).then_some(parsed)
    }

    fn origin(bytes: &[u8], target: &[u8]) -> Self {
        let (path, query) = match memchr(b'?', target).and_then(|at| target.split_at_checked(at)) {
            Some((path, query)) => (path, Some(query.get(1..).unwrap_or_default())),
            None => (target, None),
        };
        Self {
            form: Form::Origin,
            path: Span::within(bytes, path),
            query: query.map(|query| Span::within(bytes, query)),
            authority: None,
        }
    }

    fn absolute(bytes: &[u8], target: &[u8], method: &[u8]) -> Option<Self> {
        let scheme = memchr(b':', target)?;
        let (scheme, rest) = target.split_at_checked(scheme)?;
        if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
            return None;
        }
        let rest = rest.strip_prefix(b"://")?;
        let end = memchr2(b'/', b'?', rest).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end)?;
        host_bytes(authority)?;
        let mut parsed = Self::origin(bytes, rest);
        //= rfc9112#section-3.2.4
        //# If a proxy receives an OPTIONS request with an absolute-form of request-target in which
        //# the URI has an empty path and no query component, then the last proxy on the request
        //# chain MUST send a request-target of "*" when it forwards the request to the indicated
        //# origin server.
        parsed.form =
            if rest.is_empty() && method == b"OPTIONS" { Form::Asterisk } else { Form::Absolute };
        parsed.authority = Some(Span::within(bytes, authority));
        Some(parsed)
    }
}

/// The length of the host in `authority`, or nothing if it is no `uri-host [ ":" port ]`.
pub(crate) fn host_bytes(authority: &[u8]) -> Option<usize> {
    let end = match authority {
        [b'[', address @ ..] => {
            let end = memchr(b']', address)?;
            let address = std::str::from_utf8(address.get(..end)?).ok()?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            end.checked_add(2)?
        }
        _ => reg_name(authority)?,
    };
    match authority.get(end..)? {
        [] => Some(end),
        [b':', port @ ..] => {
            (port.len() <= 5 && port.iter().all(u8::is_ascii_digit)).then_some(end)
        }
        _ => None,
    }
}

/// The length of the `reg-name` that `text` begins with. Not empty: the schemes we serve demand a
/// host.
fn reg_name(text: &[u8]) -> Option<usize> {
    let mut end = 0_usize;
    loop {
        let rest = text.get(end..)?;
        end = end.checked_add(rest.iter().take_while(|byte| is_plain(**byte)).count())?;
        match text.get(end..)? {
            [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                end = end.checked_add(3)?;
            }
            [b'%', ..] => return None,
            _ => return (end > 0).then_some(end),
        }
    }
}

fn is_plain(byte: u8) -> bool {
    PLAIN.get(usize::from(byte)).copied().unwrap_or_default()
}

/// `unreserved` and `sub-delims`: a look costs less than the comparisons.
#[expect(clippy::indexing_slicing, reason = "run by the compiler")]
static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0_u8;
    while byte < 0x80 {
        plain[byte as usize] = matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-'
            | b'.' | b'_' | b'~' | b'!' | b'$' | b'&'..=b',' | b';' | b'=');
        byte += 1;
    }
    plain
};

/// Whether `target` may be sent to an origin in origin-form: what a rewriting must yield.
#[must_use]
pub fn is_origin_form(target: &[u8]) -> bool {
    target.first() == Some(&b'/')
        && target.iter().all(u8::is_ascii_graphic)
        && memchr3(b'#', b'\\', b' ', target).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_a_host_and_perhaps_a_port() {
        let rows: &[(&[u8], Option<usize>)] = &[
            (b"localhost", Some(9)),
            (b"localhost:8080", Some(9)),
            (b"localhost:", Some(9)),
            (b"0.0.0.0=5000", Some(12)),
            (b"a%2eb:1", Some(5)),
            (b"[::1]:80", Some(5)),
            (b"[::1]", Some(5)),
            (b"", None),
            (b":80", None),
            (b"local host", None),
            (b"localhost/x", None),
            (b"u@localhost", None),
            (b"localhost:8x", None),
            (b"localhost:123456", None),
            (b"localhost?x", None),
            (b"localhost\\x", None),
            (b"local\"host", None),
            (b"a%2", None),
            (b"[::1", None),
            (b"[::1]x", None),
            (b"[fe80::1%25eth0]", None),
        ];
        for (authority, length) in rows {
            assert_eq!(host_bytes(authority), *length, "{:?}", authority.escape_ascii());
        }
    }

    #[test]
    fn a_target_has_a_form_or_is_refused() {
        let form = |method: &str, target: &str| {
            let span = Span::new(0, target.len());
            Target::parse(target.as_bytes(), span, method.as_bytes()).map(|target| target.form)
        };
        assert_eq!(form("GET", "/a?b"), Ok(Form::Origin));
        assert_eq!(form("GET", "//x//../y"), Ok(Form::Origin));
        assert_eq!(form("GET", "HTTP://a?b"), Ok(Form::Absolute));
        assert_eq!(form("OPTIONS", "*"), Ok(Form::Asterisk));
        assert_eq!(form("OPTIONS", "http://a"), Ok(Form::Asterisk));
        assert_eq!(form("OPTIONS", "http://a/"), Ok(Form::Absolute));
        for target in ["*", "admin", "localhost:80", "http:///t", "ftp://a/", "http://u@a/"] {
            assert_eq!(form("GET", target), Err(Fault::TargetForm), "{target}");
        }
        for target in ["/a#b", "/a\\b", "/caf\u{e9}"] {
            assert_eq!(form("GET", target), Err(Fault::Target), "{target}");
        }
    }
}
