//! Quantities with units: `"250ms"`, `"16KiB"`, `"10%"`, to and fro.

use std::time::Duration;

use crate::{
    code,
    model::{Rate, Share, Worse},
    problem::Wrong,
};

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

/// Reads an allowance against stable: `"25%"`, `"0.2pp"` or `"25% + 0.01pp"`.
pub(crate) fn worse(text: &str) -> Result<Worse, Wrong> {
    let wrong = |why: &str| {
        Wrong::new(code::ALLOWANCE, format!("`{text}` is no allowance: {why}")).help(
            "write percent of what stable has, percentage points, or both: \"25% + 0.01pp\""
                .to_owned(),
        )
    };
    let (mut ratio, mut points) = (None, None);
    for term in text.split('+').map(str::trim) {
        let (unit, place) = match (term.strip_suffix("pp"), term.strip_suffix('%')) {
            (Some(number), _) => (decimal(number, POINTS_DIGITS, POINTS_MAX), &mut points),
            (None, Some(number)) => (decimal(number, RATIO_DIGITS, RATIO_MAX), &mut ratio),
            (None, None) => return Err(wrong("`%` or `pp` must follow each number")),
        };
        let number = unit.map_err(|why| wrong(&why))?;
        if place.replace(number).is_some() {
            return Err(wrong("each unit at most once"));
        }
    }
    Ok(Worse { ratio: 1.0 + ratio.unwrap_or_default(), points: points.unwrap_or_default() })
}

/// As [`worse`], for a latency: `"10%"` alone, because latencies are counted in buckets.
pub(crate) fn slower(text: &str) -> Result<Worse, Wrong> {
    if text.ends_with('%') && !text.contains('+') {
        return worse(text);
    }
    Err(Wrong::new(code::ALLOWANCE, format!("`{text}` is no allowance for a latency"))
        .label("in percent, such as \"10%\"")
        .help(
            "latencies are counted in buckets 4.4 % wide, and an allowance shifts the canary's by \
             whole ones; a bound in time is `max`"
                .to_owned(),
        ))
}

/// Reads percentage points, `"0.2pp"`, as a fraction: 0.002.
pub(crate) fn points(text: &str) -> Result<f64, Wrong> {
    let wrong = |why: &str| {
        Wrong::new(code::QUANTITY, format!("`{text}` is no number of percentage points: {why}"))
            .help("write a number and `pp`, such as \"0.2pp\"".to_owned())
    };
    let number = text.strip_suffix("pp").ok_or_else(|| wrong("`pp` is missing"))?;
    decimal(number, POINTS_DIGITS, POINTS_MAX).map_err(|why| wrong(&why))
}

/// Reads a rate of requests: `"100/s"`, `"6000/m"`, `"10/h"`; `"0"` is none.
pub(crate) fn rate(text: &str) -> Result<Option<Rate>, Wrong> {
    let wrong = |why: &str| {
        Wrong::new(code::QUANTITY, format!("`{text}` is not a rate: {why}"))
            .help("write requests in a second, minute or hour, such as \"100/s\"".to_owned())
    };
    if text == "0" {
        return Ok(None);
    }
    let (number, unit) = text.split_once('/').ok_or_else(|| wrong("a `/` is missing"))?;
    let (_, seconds) = PERS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(|| wrong("the units are s, m, h"))?;
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if !digits {
        return Err(wrong("the number is not a whole one"));
    }
    let requests = number.parse().ok().filter(|it| (1..=RATE_MAX * seconds).contains(it));
    match requests.and_then(|requests: u64| u32::try_from(requests).ok()) {
        Some(requests) => Ok(Some(Rate { requests, per: Duration::from_secs(*seconds) })),
        None => Err(Wrong::new(code::RANGE, format!("`{text}` is out of range"))
            .label(format!("between 1 and {RATE_MAX} requests a second"))),
    }
}

/// Reads a rate of bytes: `"240B/s"`, `"10KiB/s"`; `"0"` is none.
pub(crate) fn byte_rate(text: &str) -> Result<u64, Wrong> {
    if text == "0" {
        return Ok(0);
    }
    let bytes = text.strip_suffix("/s").and_then(|text| size(text).ok()).filter(|bytes| *bytes > 0);
    let bytes = bytes.ok_or_else(|| {
        Wrong::new(code::QUANTITY, format!("`{text}` is not a number of bytes per second"))
            .help("write a size a second, such as \"240B/s\" or \"10KiB/s\"".to_owned())
    })?;
    if bytes > BYTE_RATE_MAX {
        return Err(Wrong::new(code::RANGE, format!("`{text}` is out of range"))
            .label(format!("at most {}/s", show_size(BYTE_RATE_MAX))));
    }
    Ok(bytes)
}

/// Seconds of the units of a rate.
const PERS: &[(&str, u64)] = &[("s", 1), ("m", 60), ("h", 3600)];
/// Requests a second that a rate can tell: far more than a core serves, and at a microsecond each
/// rounding to nanoseconds still takes nothing off.
const RATE_MAX: u64 = 1_000_000;
/// Bytes a second that may be asked of a client's body: who asks for more means a limit of time.
const BYTE_RATE_MAX: u64 = 1 << 30;
/// Digits behind the point of a number of percent, as for a [`Share`].
const RATIO_DIGITS: u32 = 3;
/// Digits behind the point of a number of percentage points: a tenth of a millionth is finer than
/// any traffic can tell.
const POINTS_DIGITS: u32 = 5;
/// Largest allowance in percent: eleven times as bad is no longer a matter of degree.
const RATIO_MAX: u32 = 1000;
/// Largest allowance in percentage points: all of them.
const POINTS_MAX: u32 = 100;

/// A plain number of percent as a fraction. Divided once, so that it is the nearest to what was
/// written.
fn decimal(number: &str, digits: u32, max: u32) -> Result<f64, String> {
    let plain = part(number).filter(|(_, unit, rest)| unit.is_empty() && rest.is_empty());
    let (number, ..) = plain.ok_or("a plain number is missing")?;
    let fraction = number.split_once('.').map_or("", |(_, fraction)| fraction);
    if fraction.trim_end_matches('0').len() > digits as usize {
        return Err(format!("at most {digits} digits behind the point count"));
    }
    let scale = 10_u32.pow(digits);
    let parts = scaled(number, scale.into()).and_then(|parts| u32::try_from(parts).ok());
    match parts.filter(|parts| *parts <= max * scale) {
        Some(parts) => Ok(f64::from(parts) / f64::from(100 * scale)),
        None => Err(format!("more than {max} is not allowed")),
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

/// Reads an allowance against stable as the file has it: `25%`, `0.2pp`, `25% + 0.01pp`.
///
/// # Errors
/// What is wrong with it.
pub fn read_worse(text: &str) -> Result<Worse, String> {
    worse(text).map_err(told)
}

/// Reads percentage points as the file has them, as a fraction: 0.002 for `0.2pp`.
///
/// # Errors
/// What is wrong with it.
pub fn read_points(text: &str) -> Result<f64, String> {
    points(text).map_err(told)
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

/// A rate as one would write it in the file: `100/s`.
#[must_use]
pub fn show_rate(rate: Rate) -> String {
    let unit = PERS.iter().find(|(_, seconds)| *seconds == rate.per.as_secs());
    format!("{}/{}", rate.requests, unit.map_or("s", |(name, _)| name))
}

/// A number of bytes a second as one would write it in the file: `240B/s`.
#[must_use]
pub fn show_byte_rate(bytes: u64) -> String {
    if bytes == 0 { "0".to_owned() } else { format!("{}/s", show_size(bytes)) }
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

/// An allowance as one would write it in the file: `25% + 0.01pp`.
#[must_use]
pub fn show_worse(worse: Worse) -> String {
    let percent = format!("{}%", show_decimal((worse.ratio - 1.0) * 100.0, RATIO_DIGITS));
    if worse.points == 0.0 {
        return percent;
    }
    let points = show_points(worse.points);
    if worse.ratio == 1.0 { points } else { format!("{percent} + {points}") }
}

/// A fraction as percentage points: `0.2pp` for 0.002.
#[must_use]
pub fn show_points(fraction: f64) -> String {
    format!("{}pp", show_decimal(fraction * 100.0, POINTS_DIGITS))
}

/// A fraction as a share, as one would write it in the file: `1%` for 0.01.
pub(crate) fn show_fraction(fraction: f64) -> String {
    format!("{}%", show_decimal(fraction * 100.0, RATIO_DIGITS))
}

fn show_decimal(number: f64, digits: u32) -> String {
    let shown = format!("{number:.*}", digits as usize);
    shown.trim_end_matches('0').trim_end_matches('.').to_owned()
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
    fn rates_survive_the_way_out_and_back() {
        for (text, requests, seconds) in [
            ("100/s", 100, 1),
            ("6000/m", 6000, 60),
            ("10/h", 10, 3600),
            ("1000000/s", 1_000_000, 1),
        ] {
            let read = Rate { requests, per: Duration::from_secs(seconds) };
            assert_eq!(rate(text), Ok(Some(read)));
            assert_eq!(show_rate(read), text);
        }
        assert_eq!((rate("0"), byte_rate("0")), (Ok(None), Ok(0)));
        for text in
            ["", "100", "/s", "0/s", "1.5/s", "+1/s", "-1/s", "100/d", "1000001/s", "5000000000/h"]
        {
            assert!(rate(text).is_err(), "{text}");
        }
        for (text, bytes) in [("240B/s", 240), ("10KiB/s", 10_240), ("1GiB/s", 1 << 30)] {
            assert_eq!(byte_rate(text), Ok(bytes));
            assert_eq!(show_byte_rate(bytes), text);
        }
        for text in ["", "240B", "240", "0B/s", "240B/m", "2GiB/s"] {
            assert!(byte_rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn allowances_are_what_was_written_and_survive_the_way_out_and_back() {
        for (text, ratio, points, shown) in [
            ("25%", 1.25, 0.0, "25%"),
            ("0.2pp", 1.0, 0.002, "0.2pp"),
            ("25% + 0.01pp", 1.25, 0.0001, "25% + 0.01pp"),
            ("0.01pp+25%", 1.25, 0.0001, "25% + 0.01pp"),
            ("0%", 1.0, 0.0, "0%"),
            ("0pp", 1.0, 0.0, "0%"),
            ("1000%", 11.0, 0.0, "1000%"),
            ("100pp", 1.0, 1.0, "100pp"),
            ("0.001% + 0.00001pp", 1.00001, 0.000_000_1, "0.001% + 0.00001pp"),
        ] {
            assert_eq!(worse(text), Ok(Worse { ratio, points }), "{text}");
            assert_eq!(show_worse(Worse { ratio, points }), shown);
            assert_eq!(worse(shown), Ok(Worse { ratio, points }), "{shown}");
        }
        assert_eq!(points("0.05pp"), Ok(0.0005));
        assert_eq!(show_points(0.0005), "0.05pp");
    }

    #[test]
    fn every_allowance_reads_as_it_shows() {
        for thousandths in (0..=1_000_000_u32).step_by(17) {
            let ratio = 1.0 + f64::from(thousandths) / 100_000.0;
            let points = f64::from(thousandths) / 10_000_000.0;
            let one = Worse { ratio, points };
            assert_eq!(worse(&show_worse(one)), Ok(one), "{thousandths}");
        }
        for parts in 0..=Share::WHOLE.0 {
            let share = Share(parts);
            assert_eq!(show_fraction(share.fraction()), show_share(share));
        }
    }

    #[test]
    fn a_latency_is_allowed_percent_alone() {
        assert_eq!(slower("4%"), Ok(Worse { ratio: 1.04, points: 0.0 }));
        for text in ["20ms", "0.2pp", "4% + 0.2pp", "4", "", "4% + 4%", "-4%", "1001%"] {
            assert!(slower(text).is_err(), "{text:?}");
        }
        let told = slower("20ms").unwrap_err();
        assert!(told.help.unwrap().contains("4.4 %"));
    }

    #[test]
    fn what_is_no_allowance_is_refused() {
        for text in [
            "",
            "25",
            "%",
            "pp",
            "25 %",
            "-1%",
            "1% + 2%",
            "1pp + 2pp",
            "1% + 1pp + 1%",
            "+",
            "1% +",
            "1%pp",
            "20ms",
            "1e1%",
            "1.2.3%",
            ".5%",
            "0.0001%",
            "0.000001pp",
            "1000.001%",
            "100.1pp",
            "99999999999999999999%",
            "1% - 1pp",
            "NaN%",
        ] {
            assert!(worse(text).is_err(), "{text:?}");
        }
        for text in ["", "0.05", "0.05%", "pp", "0.05 pp", "101pp", "-1pp", "1pp + 1pp"] {
            assert!(points(text).is_err(), "{text:?}");
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
