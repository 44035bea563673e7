//! Small forms of text: percent-encoding, base 64, cutting.

/// What takes the place of a secret that is masked.
pub(crate) const MASK: &str = "***";

/// `text` with percent-encoded bytes decoded; what is not UTF-8 then becomes a replacement
/// character.
pub(crate) fn percent_decoded(text: &str, plus_is_space: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let pair =
            (byte == b'%').then(|| Some((hex(bytes.get(at + 1)?)?, hex(bytes.get(at + 2)?)?)));
        if let Some((high, low)) = pair.flatten() {
            out.push(high << 4 | low);
            at += 3;
        } else {
            out.push(if byte == b'+' && plus_is_space { b' ' } else { byte });
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// `text` with every byte percent-encoded that is not unreserved.
pub(crate) fn percent_encoded(text: &str) -> String {
    encoded(text, |byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
}

/// `text` with every byte percent-encoded that a request's target may not have.
pub(crate) fn visible(text: &str) -> String {
    encoded(text, |byte| byte.is_ascii_graphic() && byte != b'#')
}

fn encoded(text: &str, is_kept: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_kept(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The bytes that `text` means in base 64, of either alphabet, padded or not.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut bits, mut held) = (0_u32, 0);
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xff_ffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held).to_le_bytes()[0]);
        }
    }
    (text.len() % 4 != 1).then_some(out)
}

/// The beginning of `text`: at most so many bytes, and whole characters.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

const fn hex(digit: &u8) -> Option<u8> {
    match *digit {
        digit @ b'0'..=b'9' => Some(digit - b'0'),
        digit @ b'a'..=b'f' => Some(digit - b'a' + 10),
        digit @ b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_and_written() {
        assert_eq!(percent_decoded("a%20b+c%zz%4", true), "a b c%zz%4");
        assert_eq!(percent_encoded("a b/ü"), "a%20b%2F%C3%BC");
        assert_eq!(visible("/a?b=#c d"), "/a?b=%23c%20d");
        assert_eq!(base64("dXNlcjpwYXNz").unwrap(), b"user:pass");
        assert_eq!(base64("_-8="), base64("/+8"));
        assert_eq!((base64("a"), base64("a b")), (None, None));
        assert_eq!(cut("aü", 2), "a");
    }
}
