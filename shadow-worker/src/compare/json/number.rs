//! Numbers as they are written, compared without loss.

use std::{cmp::Ordering, hash::Hasher};

/// Which of two numbers is larger, exactly.
pub(super) fn order(one: &str, other: &str) -> Ordering {
    if one == other {
        return Ordering::Equal;
    }
    let (first, second) = (Decimal::of(one), Decimal::of(other));
    first.order(&second).then_with(|| {
        // Beyond this nobody counts; they are the same only if they are written the same.
        if first.exponent.abs() > EXPONENT_MAX { one.cmp(other) } else { Ordering::Equal }
    })
}

/// Whether they are equal, or differ by at most `tolerance` of the larger. Two that are written as
/// whole numbers count things, and differ if they are not equal.
pub(super) fn is_close(one: &str, other: &str, tolerance: f64) -> bool {
    if order(one, other) == Ordering::Equal {
        return true;
    }
    if tolerance <= 0.0 || is_whole(one) && is_whole(other) {
        return false;
    }
    let (Ok(one), Ok(other)) = (one.parse::<f64>(), other.parse::<f64>()) else { return false };
    let larger = one.abs().max(other.abs());
    // Neither too large for a machine's number nor too small, where all become one.
    larger.is_finite() && larger > 0.0 && (one - other).abs() <= tolerance * larger
}

/// A text that equal numbers share.
pub(super) fn canonical(number: &str) -> String {
    let decimal = Decimal::of(number);
    let mut text = String::from(if decimal.sign() < 0 { "-" } else { "" });
    text.extend(decimal.digits().map(char::from));
    text.push('e');
    text.push_str(&decimal.exponent.to_string());
    text
}

/// Feeds the same to `hasher` for equal numbers.
pub(super) fn hash(number: &str, hasher: &mut impl Hasher) {
    let decimal = Decimal::of(number);
    hasher.write_i8(decimal.sign());
    hasher.write_i64(decimal.exponent);
    for digit in decimal.digits() {
        hasher.write_u8(digit);
    }
}

fn is_whole(number: &str) -> bool {
    !number.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
}

/// Exponents are exact up to here.
const EXPONENT_MAX: i64 = 1 << 60;

/// `0.DIGITS × 10^exponent`, where neither the first nor the last digit is a zero.
struct Decimal<'a> {
    is_negative: bool,
    /// Digits before the point, then those behind it.
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Decimal<'a> {
    /// `number` follows JSON's grammar.
    fn of(number: &'a str) -> Self {
        let (is_negative, rest) =
            number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
        let (digits, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let (mut whole, mut fraction) = (whole.as_bytes(), fraction.as_bytes());
        let mut point = 0_i64;
        whole = skip_zeros(whole);
        if whole.is_empty() {
            let significant = skip_zeros(fraction);
            point -= length(fraction) - length(significant);
            fraction = significant;
        }
        point += length(whole);
        fraction = cut_zeros(fraction);
        if fraction.is_empty() {
            whole = cut_zeros(whole);
        }
        let is_zero = whole.is_empty() && fraction.is_empty();
        let exponent = if is_zero { 0 } else { read_exponent(exponent) + point };
        Self { is_negative, whole, fraction, exponent }
    }

    fn digits(&self) -> impl Iterator<Item = u8> + use<'a> {
        self.whole.iter().chain(self.fraction).copied()
    }

    const fn sign(&self) -> i8 {
        match (self.whole.is_empty() && self.fraction.is_empty(), self.is_negative) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => -1,
        }
    }

    fn order(&self, other: &Self) -> Ordering {
        let sizes = || self.exponent.cmp(&other.exponent).then(self.digits().cmp(other.digits()));
        self.sign().cmp(&other.sign()).then_with(|| match self.sign() {
            0 => Ordering::Equal,
            1 => sizes(),
            _ => sizes().reverse(),
        })
    }
}

fn length(digits: &[u8]) -> i64 {
    i64::try_from(digits.len()).unwrap_or(i64::MAX >> 2)
}

fn skip_zeros(digits: &[u8]) -> &[u8] {
    let first = digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len());
    digits.get(first..).unwrap_or_default()
}

fn cut_zeros(digits: &[u8]) -> &[u8] {
    let length = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    digits.get(..length).unwrap_or_default()
}

/// One that is too large becomes one beyond what is exact.
fn read_exponent(text: &str) -> i64 {
    let far = EXPONENT_MAX << 1;
    let digits = text.strip_prefix('+').unwrap_or(text);
    match digits.parse::<i64>() {
        Ok(exponent) => exponent.clamp(-far, far),
        Err(_) if digits.starts_with('-') => -far,
        Err(_) => far,
    }
}

#[cfg(test)]
mod tests {
    use std::hash::DefaultHasher;

    use super::*;

    fn hashed(number: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        hash(number, &mut hasher);
        hasher.finish()
    }

    #[test]
    fn equal_numbers_are_equal_however_they_are_written() {
        for all in [
            &["1", "1.0", "1e0", "10e-1", "0.1e1", "0.01E+2", "1.000000"][..],
            &["100", "1e2", "100.0", "1E+2", "0.0001e6"],
            &["0", "-0", "0.0", "0e7", "-0.00e-99999999999999999999"],
            &["-2.50", "-2.5", "-25e-1"],
            &["12345678901234567890", "12345678901234567890.0", "1234567890123456789e1"],
        ] {
            for one in all {
                for other in all {
                    assert_eq!(order(one, other), Ordering::Equal, "{one} {other}");
                    assert_eq!(hashed(one), hashed(other), "{one} {other}");
                    assert_eq!(canonical(one), canonical(other));
                }
            }
        }
    }

    #[test]
    fn unequal_numbers_are_in_order() {
        let rising = [
            "-1e99999999999999999999",
            "-1e400",
            "-12345678901234567891",
            "-12345678901234567890",
            "-1.5",
            "-1",
            "-0.001",
            "0",
            "1e-400",
            "1e-399",
            "0.1",
            "0.10000000000000000001",
            "0.2",
            "9",
            "10",
            "10.5",
            "12345678901234567890",
            "12345678901234567891",
            "1e400",
            "1e99999999999999999999",
        ];
        for (at, one) in rising.iter().enumerate() {
            for (other_at, other) in rising.iter().enumerate() {
                assert_eq!(order(one, other), at.cmp(&other_at), "{one} {other}");
                assert_eq!(canonical(one) == canonical(other), at == other_at);
            }
        }
        assert_ne!(order("1e99999999999999999999", "1e99999999999999999998"), Ordering::Equal);
    }

    #[test]
    fn rounding_is_forgiven_and_counting_is_not() {
        for (one, other, tolerance, close) in [
            ("0.1", "0.10000000000000001", 0.0, false),
            ("0.1", "0.10000000000000001", 1e-9, true),
            ("0.30000000000000004", "0.3", 1e-9, true),
            ("1.0", "1.1", 1e-9, false),
            ("1.0", "1.1", 0.1, true),
            ("-1.0", "1.0", 0.5, false),
            ("100", "101", 0.1, false),
            ("100", "101.0", 0.1, true),
            ("0", "0.0000001", 0.1, false),
            ("1e400", "1e400", 0.0, true),
            ("1e400", "1.0001e400", 0.1, false),
            ("1e-400", "2e-400", 0.1, false),
            ("1", "1.0", 0.0, true),
        ] {
            assert_eq!(is_close(one, other, tolerance), close, "{one} {other} {tolerance}");
            assert_eq!(is_close(other, one, tolerance), close, "{other} {one} {tolerance}");
        }
    }
}
