//! Numbers as JavaScript reads and writes them.

use std::{borrow::Cow, fmt::Write as _};

/// The number that a whole text is: `Number(text)`.
pub(crate) fn read(text: &str) -> f64 {
    let text = text.trim_matches(is_space);
    if text.is_empty() {
        return 0.0;
    }
    for (prefix, radix) in [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            return whole(digits, radix);
        }
    }
    let end = decimal(text);
    if end == text.len() { parsed(text) } else { f64::NAN }
}

/// The number that a text begins with: `parseFloat(text)`.
pub(crate) fn read_start(text: &str) -> f64 {
    let text = text.trim_start_matches(is_space);
    parsed(&text[..decimal(text)])
}

/// The number as text: `String(number)`.
pub(crate) fn write(number: f64) -> Cow<'static, str> {
    if number.is_nan() {
        return Cow::Borrowed("NaN");
    }
    if number.is_infinite() {
        return Cow::Borrowed(if number > 0.0 { "Infinity" } else { "-Infinity" });
    }
    if number == 0.0 {
        return Cow::Borrowed("0");
    }
    let size = number.abs();
    if (1e-6..1e21).contains(&size) {
        return Cow::Owned(number.to_string());
    }
    let mut text = String::new();
    // Nothing is refused by a text.
    let _ = write!(text, "{number:e}");
    Cow::Owned(if size < 1.0 { text } else { text.replace('e', "e+") })
}

fn is_space(letter: char) -> bool {
    letter.is_whitespace() || letter == '\u{feff}'
}

fn whole(digits: &str, radix: u32) -> f64 {
    let mut number = 0.0;
    for digit in digits.chars() {
        let Some(digit) = digit.to_digit(radix) else { return f64::NAN };
        number = number * f64::from(radix) + f64::from(digit);
    }
    if digits.is_empty() { f64::NAN } else { number }
}

/// How much of the text's start is a decimal number; nothing if there is none.
fn decimal(text: &str) -> usize {
    let bytes = text.as_bytes();
    let sign = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    if text[sign..].starts_with("Infinity") {
        return sign + "Infinity".len();
    }
    let before = digits(bytes, sign);
    let mut end = before;
    if bytes.get(before) == Some(&b'.') {
        let after = digits(bytes, before + 1);
        if before > sign || after > before + 1 {
            end = after;
        }
    }
    if end == sign {
        return 0;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let signed = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let after = digits(bytes, signed);
        if after > signed {
            end = after;
        }
    }
    end
}

/// Where the digits from `at` on end.
fn digits(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn parsed(text: &str) -> f64 {
    text.parse().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_a_browser_does() {
        for (text, expected) in [
            ("", 0.0),
            (" \t\n", 0.0),
            (" 12 ", 12.0),
            ("-1.5e3", -1500.0),
            ("+.5", 0.5),
            ("5.", 5.0),
            ("0x1F", 31.0),
            ("0b101", 5.0),
            ("0o17", 15.0),
            ("Infinity", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
        for text in ["abc", "1a", ".", "+", "-", "1e", "0x", "0xg", "inf", "nan", "1_0", "--1"] {
            assert!(read(text).is_nan(), "{text}");
        }
    }

    #[test]
    fn a_number_may_have_something_behind_it() {
        for (text, expected) in
            [("12px", 12.0), (" 1.5.2", 1.5), ("1e", 1.0), ("-.5x", -0.5), ("3,4", 3.0)]
        {
            assert_eq!(read_start(text), expected, "{text}");
        }
        for text in ["", "px", ".", "-", "é1"] {
            assert!(read_start(text).is_nan(), "{text}");
        }
    }

    #[test]
    fn numbers_are_written_as_a_browser_does() {
        for (number, expected) in [
            (1.0, "1"),
            (-0.0, "0"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-1.5e300, "-1.5e+300"),
            (1.5e-7, "1.5e-7"),
            (0.000_001, "0.000001"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(write(number), expected);
        }
    }
}
