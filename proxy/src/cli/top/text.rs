//! Numbers and words as they are shown.

use std::time::Duration;

use crate::cli::status::span;

/// A text of the proxy on one line: without breaks and tabs, and no longer than anybody reads.
pub(super) fn flat(text: &str) -> String {
    text.chars().take(CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// More than any screen shows of one text.
const CHARS_MAX: usize = 4000;

/// A count in groups of three.
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A number in four characters or so: 3.2, 18.4k, 2.1M.
pub(super) fn short(value: f64) -> String {
    match value {
        value if !value.is_finite() => "-".to_owned(),
        value if value < 0.05 => "0".to_owned(),
        value if value < 9.95 => format!("{value:.1}"),
        value if value < 999.5 => format!("{value:.0}"),
        value if value < 99_950.0 => format!("{:.1}k", value / 1e3),
        value if value < 999_500.0 => format!("{:.0}k", value / 1e3),
        value => format!("{:.1}M", value / 1e6),
    }
}

/// A share, 0 to 1, in percent.
pub(super) fn part(ratio: f64) -> String {
    let percent = ratio * 100.0;
    match percent {
        percent if !percent.is_finite() => "-".to_owned(),
        0.0 => "0%".to_owned(),
        percent if percent < 0.01 => "<0.01%".to_owned(),
        percent if percent < 9.995 => format!("{percent:.2}%"),
        percent if percent < 99.95 => format!("{percent:.1}%"),
        percent => format!("{percent:.0}%"),
    }
}

/// A stretch of time; of whole minutes, hours and days without what is not there.
pub(super) fn stretch(seconds: u64) -> String {
    let text = span(Duration::from_secs(seconds));
    match text.rsplit_once(' ') {
        Some((whole, "0s" | "0m" | "0h")) => whole.to_owned(),
        _ => text,
    }
}

/// The time of the day, UTC, of seconds since 1970.
pub(super) fn hour(at: u64) -> String {
    let of_day = at % 86_400;
    format!("{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

/// The same with its day, if that is not today's.
pub(super) fn moment(at: u64, now: u64) -> String {
    if at / 86_400 == now / 86_400 {
        return hour(at);
    }
    let stamp = jiff::Timestamp::from_second(i64::try_from(at).unwrap_or_default());
    let day = stamp.map_or_else(|_| "?".to_owned(), |stamp| stamp.to_string());
    format!("{} {}", day.get(..10).unwrap_or("?"), hour(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let table = [
            (0.0, "0"),
            (3.21, "3.2"),
            (9.99, "10"),
            (999.9, "1.0k"),
            (18_420.0, "18.4k"),
            (412_000.0, "412k"),
            (2_140_000.0, "2.1M"),
            (f64::NAN, "-"),
        ];
        for (value, text) in table {
            assert_eq!(short(value), text);
        }
        assert_eq!(
            (count(7), count(41_208), count(1_000_000)),
            ("7".into(), "41 208".into(), "1 000 000".into())
        );
        assert_eq!(
            (part(0.0012), part(0.0), part(0.00001), part(0.25), part(1.0)),
            ("0.12%".into(), "0%".into(), "<0.01%".into(), "25.0%".into(), "100%".into())
        );
        assert_eq!(
            (stretch(59), stretch(2220), stretch(3661), stretch(1_036_800)),
            ("59s".into(), "37m".into(), "1h 1m".into(), "12d".into())
        );
        assert_eq!(hour(50_531), "14:02:11");
        assert_eq!(moment(50_531, 90_000), "1970-01-01 14:02:11");
        assert_eq!(flat("a\n\u{1b}[2Jb\t"), "a  [2Jb ");
        assert_eq!(flat(&"x".repeat(9999)).len(), 4000);
    }
}
