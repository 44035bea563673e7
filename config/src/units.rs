//! Quantities with units: `"250ms"`, `"16KiB"`, `"10%"`, to and fro.

use std::time::Duration;

use crate::{code, model::Share, problem::Wrong};

/// The longest time we take: far beyond any use, far below where arithmetic on clocks overflows.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Nanoseconds per unit, the longest first, which is also the order in which they may be joined.
const TIMES: &[(&str, u128)] = &[
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

const SIZES: &[(&str, u64)] = &[
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Reads `"250ms"`, `"1h30m"`, `"1.5s"` or `"0"`.
pub(crate) fn duration(text: &str) -> Result<Duration, Wrong> {
    let wrong = |why: &str| {
        Wrong::new(code::QUANTITY, format!("`{text}` is not a duration: {why}"))
            .help("write a number and a unit, such as \"250ms\", \"30s\" or \"1h30m\"".to_owned())
    };
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut rest, mut nanos, mut units) = (text, 0_u128, TIMES);
    if rest.is_empty() {
        return Err(wrong("it is empty"));
    }
    while !rest.is_empty() {
        let (number, unit, after) = part(rest).ok_or_else(|| wrong("a number is missing"))?;
        if unit.is_empty() {
            return Err(wrong("a unit (d, h, m, s, ms, us, ns) must follow each number"));
        }
        let Some(at) = units.iter().position(|(name, _)| *name == unit) else {
            let known = TIMES.iter().any(|(name, _)| *name == unit);
            return Err(wrong(if known {
                "units go from the longest to the shortest, each at most once"
            } else {
                "the units are d, h, m, s, ms, us, ns"
            }));
        };
        let more = scaled(number, units[at].1).ok_or_else(|| wrong("the number is too long"))?;
        nanos = nanos.saturating_add(more);
        units = &units[at + 1..];
        rest = after;
    }
    match u64::try_from(nanos).map(Duration::from_nanos) {
        Ok(duration) if duration <= DURATION_MAX => Ok(duration),
        Ok(_) | Err(_) => Err(Wrong::new(
            code::RANGE,
            format!("`{text}` is longer than 366d, the longest duration allowed"),
        )),
    }
}

/// Reads `"16KiB"`, `"1MB"`, `"512B"` or `"0"`.
pub(crate) fn size(text: &str) -> Result<u64, Wrong> {
    let wrong = |why: &str| {
        Wrong::new(code::QUANTITY, format!("`{text}` is not a size: {why}"))
            .help("write a number and a unit, such as \"16KiB\", \"10MB\" or \"512B\"".to_owned())
    };
    if text == "0" {
        return Ok(0);
    }
    let (number, unit, rest) = part(text).ok_or_else(|| wrong("a number is missing"))?;
    let known = SIZES.iter().find(|(name, _)| *name == unit && rest.is_empty());
    let (_, scale) = known.ok_or_else(|| wrong("the units are B, KiB, MiB, GiB and KB, MB, GB"))?;
    let number: u64 = number.parse().map_err(|_| wrong("the number is not a whole one"))?;
    number.checked_mul(*scale).ok_or_else(|| wrong("the number is too large"))
}

/// Reads `"10%"` or `"0.125%"`.
pub(crate) fn share(text: &str) -> Result<Share, Wrong> {
    text.strip_suffix('%').map_or_else(
        || {
            Err(Wrong::new(code::QUANTITY, format!("`{text}` is not a share: `%` is missing"))
                .help("write a number and the percent sign, such as \"10%\"".to_owned()))
        },
        percent,
    )
}

/// Reads `10` or `0.125`, meaning percent.
pub(crate) fn percent(text: &str) -> Result<Share, Wrong> {
    let wrong =
        |why: &str| Wrong::new(code::QUANTITY, format!("`{text}` is not a percentage: {why}"));
    let (number, unit, rest) = part(text).ok_or_else(|| wrong("a number is missing"))?;
    if !(unit.is_empty() && rest.is_empty()) {
        return Err(wrong("it is not a plain number"));
    }
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.trim_end_matches('0').len() > 3 {
        return Err(wrong("the finest share is 0.001 percent"));
    }
    let parts = scaled(number, 1000).and_then(|parts| u32::try_from(parts).ok());
    match parts {
        Some(parts) if parts <= Share::WHOLE.0 && !whole.is_empty() => Ok(Share(parts)),
        Some(_) | None => {
            Err(Wrong::new(code::RANGE, format!("`{text}` is not between 0 and 100 percent")))
        }
    }
}

/// Splits a leading number and the letters after it from the rest.
fn part(text: &str) -> Option<(&str, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    let letters = rest.find(|c: char| !c.is_alphabetic() && c != '%').unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(letters);
    let plain = number.starts_with(|c: char| c.is_ascii_digit())
        && number.ends_with(|c: char| c.is_ascii_digit())
        && number.matches('.').count() <= 1;
    plain.then_some((number, unit, rest))
}

/// A decimal number times a scale, rounded down; `None` if it is absurdly long.
fn scaled(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().ok()?;
    let fraction = &fraction[..fraction.len().min(12)];
    let digits = u32::try_from(fraction.len()).ok()?;
    let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    Some(u128::from(whole) * scale + fraction * scale / 10_u128.pow(digits))
}

/// Reads a duration as the file has it: `250ms`, `1h30m`.
///
/// # Errors
/// What is wrong with it.
pub fn read_duration(text: &str) -> Result<Duration, String> {
    duration(text).map_err(told)
}

/// Reads a size in bytes as the file has it: `16KiB`, `1MB`.
///
/// # Errors
/// What is wrong with it.
pub fn read_size(text: &str) -> Result<u64, String> {
    size(text).map_err(told)
}

/// Reads a share as the file has it: `10%`.
///
/// # Errors
/// What is wrong with it.
pub fn read_share(text: &str) -> Result<Share, String> {
    share(text).map_err(told)
}

fn told(wrong: Wrong) -> String {
    match wrong.help {
        Some(help) => format!("{}; {help}", wrong.message),
        None => wrong.message,
    }
}

/// A duration as one would write it in the file: `1h30m`, `250ms`, `0s`.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    let mut nanos = duration.as_nanos();
    let mut out = String::new();
    for (unit, scale) in TIMES {
        let count = nanos / scale;
        if count > 0 {
            out.push_str(&format!("{count}{unit}"));
            nanos %= scale;
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

/// A size in bytes as one would write it in the file: `16KiB`, `1500B`.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    let binary = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    binary
        .iter()
        .find(|(_, scale)| bytes > 0 && bytes.is_multiple_of(*scale))
        .map_or_else(|| format!("{bytes}B"), |(unit, scale)| format!("{}{unit}", bytes / scale))
}

/// A share as one would write it in the file: `10%`, `0.125%`.
#[must_use]
pub fn show_share(share: Share) -> String {
    format!("{}%", show_percent(share))
}

/// A share as a number of percent: `10`, `0.125`.
#[must_use]
pub fn show_percent(share: Share) -> String {
    let (whole, parts) = (share.0 / 1000, share.0 % 1000);
    if parts == 0 {
        whole.to_string()
    } else {
        format!("{whole}.{parts:03}").trim_end_matches('0').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_survive_the_way_out_and_back() {
        for text in ["250ms", "1h30m", "75s", "5m", "30d", "1m15s", "2ms500us"] {
            let shown = show_duration(duration(text).unwrap());
            assert_eq!(duration(&shown), duration(text), "{text} -> {shown}");
        }
        for (text, bytes, shown) in [
            ("16KiB", 16_384, "16KiB"),
            ("16KB", 16_000, "16000B"),
            ("0", 0, "0B"),
            ("3GiB", 3 << 30, "3GiB"),
        ] {
            assert_eq!(size(text), Ok(bytes));
            assert_eq!(show_size(bytes), shown);
        }
        for (text, parts, shown) in
            [("10%", 10_000, "10%"), ("0.001%", 1, "0.001%"), ("12.50%", 12_500, "12.5%")]
        {
            assert_eq!(share(text), Ok(Share(parts)));
            assert_eq!(show_share(Share(parts)), shown);
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in
            ["", "5", "s", "5 s", "-5s", "5S", "1m1h", "1s1s", "1..5s", ".5s", "5.s", "5sec"]
        {
            assert!(duration(text).is_err(), "{text:?}");
        }
        for text in ["367d", "99999999999999999999s", "18446744073709551615d"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
        for text in ["", "5", "5K", "1.5KiB", "99999999999GiB", "5KiBx", "KiB"] {
            assert!(size(text).is_err(), "{text:?}");
        }
        for text in ["", "10", "%", "101%", "0.0001%", "-1%", "1e1%", "10%%", "NaN%"] {
            assert!(share(text).is_err(), "{text:?}");
        }
    }
}
