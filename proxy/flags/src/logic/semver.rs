//! Semantic versions, as far as `sem_ver` compares them: `1`, `v1.2` and `1.2.3-beta.4+build`.

use std::cmp::Ordering;

/// A version; what it lacks is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version<'a> {
    /// Without leading zeros, so that the longer is the greater.
    numbers: [&'a str; 3],
    /// Empty in a release.
    prerelease: &'a str,
}

/// How two versions are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    SameMajor,
    SameMinor,
}

impl Relation {
    pub(crate) fn of(text: &str) -> Option<Self> {
        Some(match text {
            "=" => Self::Equal,
            "!=" => Self::NotEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            "^" => Self::SameMajor,
            "~" => Self::SameMinor,
            _ => return None,
        })
    }

    /// Whether it holds between two versions; absent if one of them is none.
    pub(crate) fn holds(self, left: &str, right: &str) -> Option<bool> {
        let (left, right) = (Version::read(left)?, Version::read(right)?);
        let order = left.compare(&right);
        Some(match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::SameMajor => left.numbers[0] == right.numbers[0],
            Self::SameMinor => left.numbers[..2] == right.numbers[..2],
        })
    }
}

/// Whether a text is a version.
pub(crate) fn is_version(text: &str) -> bool {
    Version::read(text).is_some()
}

impl<'a> Version<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut rest = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let mut numbers = ["0"; 3];
        for (place, number) in numbers.iter_mut().enumerate() {
            if place > 0 {
                rest = rest.strip_prefix('.')?;
            }
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (digits, after) = rest.split_at(digits);
            if !is_number(digits) {
                return None;
            }
            (*number, rest) = (digits, after);
            if place < 2 && rest.is_empty() {
                return Some(Self { numbers, prerelease: "" });
            }
        }
        let (rest, build) = rest.split_once('+').map_or((rest, None), |(it, all)| (it, Some(all)));
        let prerelease = rest.strip_prefix('-');
        let is_right = (rest.is_empty() || prerelease.is_some())
            && prerelease.is_none_or(|all| all.split('.').all(is_prerelease))
            && build.is_none_or(|all| all.split('.').all(is_identifier));
        is_right.then_some(Self { numbers, prerelease: prerelease.unwrap_or_default() })
    }

    fn compare(&self, other: &Self) -> Ordering {
        let numbers = self.numbers.iter().zip(other.numbers);
        let numbers = numbers.map(|(left, right)| compare_numbers(left, right));
        numbers.fold(Ordering::Equal, Ordering::then).then_with(|| {
            match (self.prerelease, other.prerelease) {
                ("", "") => Ordering::Equal,
                ("", _) => Ordering::Greater,
                (_, "") => Ordering::Less,
                (left, right) => compare_prereleases(left, right),
            }
        })
    }
}

fn compare_numbers(left: &str, right: &str) -> Ordering {
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

fn compare_prereleases(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(left), Some(right)) => match (is_digits(left), is_digits(right)) {
                (true, true) => compare_numbers(left, right),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => left.cmp(right),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_number(digits: &str) -> bool {
    !digits.is_empty() && (digits == "0" || !digits.starts_with('0'))
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_prerelease(text: &str) -> bool {
    is_identifier(text) && (!is_digits(text) || is_number(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_from_other_texts() {
        for text in ["1", "v1", "V1.2", "1.2.3", "1.2.3-alpha.1", "1.2.3+b.01", "1.2.3-a+b", "0.0"]
        {
            assert!(is_version(text), "{text}");
        }
        for text in [
            "",
            "v",
            "vv1",
            "1.",
            "1.2.",
            "1.2.3.4",
            "01.2.3",
            "1.2.3-",
            "1.2.3-01",
            "1.2.3-a..b",
            "1.2.3+",
            "1-alpha",
            "1.2-alpha",
            "1.2+b",
            " 1.2.3",
            "1.2.3 ",
            "a.b.c",
            "1.2.3-é",
            "<nil>",
        ] {
            assert!(!is_version(text), "{text}");
        }
    }

    #[test]
    fn versions_stand_in_the_order_of_the_standard() {
        let rising = [
            "0.9.9",
            "1.0.0-1",
            "1.0.0-2",
            "1.0.0-10",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "1.2",
            "1.10",
            "2",
            "18446744073709551616.0.0",
        ];
        for (left, at) in rising.iter().zip(0..) {
            for (right, other) in rising.iter().zip(0..) {
                let read = |text| Version::read(text).expect("it is one");
                assert_eq!(read(left).compare(&read(right)), at.cmp(&other), "{left} {right}");
            }
        }
    }

    #[test]
    fn relations_hold_between_what_they_say() {
        for (left, relation, right, expected) in [
            ("1.0.0", "=", "v1.0.0", true),
            ("1.0.0+a", "=", "1.0.0+b", true),
            ("1.0.0", "!=", "1.0.1", true),
            ("1.0.0", "<", "1.0.0", false),
            ("1.0.0", "<=", "1.0.0", true),
            ("1.0.0", ">=", "1.0.0-rc", true),
            ("1.0.0-rc", ">", "1.0.0", false),
            ("1.9.9", "^", "1", true),
            ("2.0.0", "^", "1.9.9", false),
            ("3.1.9", "~", "3.1.0", true),
            ("3.2.0", "~", "3.1.0", false),
        ] {
            let holds = Relation::of(relation).and_then(|relation| relation.holds(left, right));
            assert_eq!(holds, Some(expected), "{left} {relation} {right}");
        }
        assert_eq!(Relation::of("==="), None);
        assert_eq!(Relation::Equal.holds("1.0.0", "newest"), None);
    }
}
