//! Which requests are of one kind: the method, and the path with its identifiers taken out.

/// The endpoint that a request belongs to: `GET /carts/{}/items`. The query is left out, and at
/// most [`KEY_MAX`] bytes are kept.
#[must_use]
pub fn key(method: &str, target: &str) -> String {
    let path = path_of(target);
    let mut key = String::with_capacity(method.len() + path.len() + 1);
    key.push_str(known(method));
    key.push(' ');
    let mut segments = path.split('/').skip(usize::from(path.starts_with('/')));
    for (nth, segment) in segments.by_ref().enumerate() {
        if nth == SEGMENTS_MAX || key.len() + segment.len() > KEY_MAX {
            key.push_str("/…");
            break;
        }
        key.push('/');
        key.push_str(if is_identifier(segment) { "{}" } else { segment });
    }
    key
}

/// Under what the endpoints beyond [`ENDPOINTS_MAX`] are counted: `GET *`.
#[must_use]
pub fn rest(key: &str) -> String {
    format!("{} *", known(key.split(' ').next().unwrap_or_default()))
}

/// Endpoints of a shadow that are told apart.
pub const ENDPOINTS_MAX: usize = 256;

/// Bytes of an endpoint's key, apart from the ellipsis at its end.
pub const KEY_MAX: usize = 200;

/// Segments of a path that are told apart: what lies deeper is seldom another kind of request.
const SEGMENTS_MAX: usize = 12;

/// The path of a target in origin or absolute form.
fn path_of(target: &str) -> &str {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    match path.split_once("://") {
        Some((_, rest)) if !path.starts_with('/') => {
            rest.find('/').map_or("/", |slash| &rest[slash..])
        }
        Some(_) | None => path,
    }
}

/// The method; those that nobody registered are one, since a client can make up any number.
fn known(method: &str) -> &str {
    const KNOWN: [&str; 10] =
        ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"];
    if KNOWN.contains(&method) { method } else { "OTHER" }
}

/// Whether a segment looks like the name of one thing, and not of a kind of things.
fn is_identifier(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte);
    let is_hex = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b'-';
    if bytes.is_empty() {
        return false;
    }
    if digits == bytes.len() || bytes.len() > LONG || !bytes.iter().all(is_usual) {
        return true;
    }
    // A UUID is hexadecimal with hyphens; with no digit in it, it is a word such as `feedface`.
    if bytes.len() >= 8 && digits > 0 && bytes.iter().all(is_hex) {
        return true;
    }
    // Versions (`v2`), dates in names and the like are short; tokens are long.
    bytes.len() >= 16 && digits >= 2 && bytes.iter().all(is_plain)
}

/// Bytes that names of kinds are made of. A percent sign is not one: what needs it is text that
/// somebody typed, or worse.
const fn is_usual(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'@' | b'+' | b',' | b'!' | b'$' | b'\'')
        || matches!(byte, b'(' | b')' | b'*' | b':' | b';' | b'=' | b'&')
}

/// Segments longer than this are never names of kinds.
const LONG: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_left_out_and_kinds_are_kept() {
        let cases = [
            ("/", "GET /"),
            ("/carts/42/items", "GET /carts/{}/items"),
            ("/v2/users/0193fa2b", "GET /v2/users/{}"),
            ("/u/550e8400-e29b-41d4-a716-446655440000?x=1", "GET /u/{}"),
            ("/reset/eyJhbGciOiJIUzI1NiJ9.e30", "GET /reset/{}"),
            ("/search/caf%C3%A9", "GET /search/{}"),
            ("/feedface/settings", "GET /feedface/settings"),
            ("/checkout-confirmation-page", "GET /checkout-confirmation-page"),
            ("/a//b/", "GET /a//b/"),
            ("http://shop.example/a/7?b", "GET /a/{}"),
            ("http://shop.example", "GET /"),
            ("/go/http://x/1", "GET /go/http://x/{}"),
            ("*", "GET /*"),
        ];
        for (target, want) in cases {
            assert_eq!(key("GET", target), want, "{target}");
        }
    }

    #[test]
    fn keys_are_bounded_whatever_comes() {
        assert!(key("GET", &"/abc".repeat(500)).len() <= KEY_MAX + 8);
        assert!(key("GET", &format!("/{}", "x".repeat(5000))).len() < 20);
        assert_eq!(key("BREW", "/pot"), "OTHER /pot");
        assert_eq!(rest("GET /pot"), "GET *");
        assert_eq!(rest("OTHER /pot"), "OTHER *");
    }
}
