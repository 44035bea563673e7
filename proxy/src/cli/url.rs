//! What goes into the query of a URL.

use std::fmt::Write as _;

/// Names and values as a query, whatever bytes they have.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        let and = if text.is_empty() { "" } else { "&" };
        let _ = write!(text, "{and}{}={}", escaped(name), escaped(value));
    }
    text
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_stands_in_it_arrives() {
        let query = query(&[("url", "http://a/b?c=d&e"), ("header", "cookie: ü=1+2")]);
        assert_eq!(query, "url=http%3A%2F%2Fa%2Fb%3Fc%3Dd%26e&header=cookie%3A%20%C3%BC%3D1%2B2");
    }
}
