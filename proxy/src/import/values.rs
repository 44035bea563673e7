//! Values as others write them, and as TOML wants them.

use std::time::Duration;

/// Longest name we make; there is room for a number behind it.
const NAME_MAX: usize = 56;

/// A name of ours out of whatever is there.
pub(super) fn name(text: &str) -> String {
    let mut name = String::new();
    for letter in text.chars() {
        let plain = letter.is_ascii_alphanumeric() || letter == '_';
        if plain {
            name.push(letter);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
        if name.len() == NAME_MAX {
            break;
        }
    }
    let name = name.trim_matches('-');
    if name.is_empty() { "unnamed".to_owned() } else { name.to_owned() }
}

/// A text in TOML: in single quotes if that saves escapes.
pub(super) fn text(text: &str) -> String {
    if text.contains(['\\', '"']) && !text.contains('\'') && !text.chars().any(char::is_control) {
        return format!("'{text}'");
    }
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            it if it.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(it))),
            it => out.push(it),
        }
    }
    out.push('"');
    out
}

/// Texts in TOML: one stands for itself.
pub(super) fn texts(all: &[String]) -> String {
    if let [one] = all {
        return text(one);
    }
    list(all)
}

/// A list of texts in TOML.
pub(super) fn list(all: &[String]) -> String {
    let all: Vec<String> = all.iter().map(|it| text(it)).collect();
    format!("[{}]", all.join(", "))
}

/// A key in TOML.
pub(super) fn key(text: &str) -> String {
    let bare = |it: u8| it.is_ascii_alphanumeric() || it == b'_' || it == b'-';
    if !text.is_empty() && text.bytes().all(bare) {
        return text.to_owned();
    }
    self::text(text)
}

/// A duration in TOML.
pub(super) fn duration(duration: Duration) -> String {
    text(&gnomon_config::show_duration(duration))
}

/// Reads `30s`, `1m30s`, `500ms`; a number without a unit is of `bare`.
pub(super) fn read_duration(text: &str, bare: Duration) -> Option<Duration> {
    const UNITS: [(&str, f64); 11] = [
        ("us", 1e-6),
        ("µs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
        ("d", 86_400.0),
        ("w", 604_800.0),
        ("M", 2_592_000.0),
        ("y", 31_536_000.0),
        ("", 0.0),
    ];
    let mut rest = text.trim();
    let mut seconds = 0.0_f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|it: char| !it.is_ascii_digit() && it != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|it: char| it.is_ascii_digit() || it == '.').unwrap_or(rest.len());
        let unit = rest[..letters].trim();
        let scale = UNITS.iter().find(|(name, _)| *name == unit)?.1;
        seconds += number * if unit.is_empty() { bare.as_secs_f64() } else { scale };
        rest = rest[letters..].trim_start();
    }
    Duration::try_from_secs_f64(seconds).ok().map(|it| {
        // What is shorter than a microsecond nobody wrote: it is what the sum of fractions left.
        Duration::from_micros(u64::try_from((it.as_nanos() + 500) / 1000).unwrap_or(u64::MAX))
    })
}

/// Reads `10m`, `512k`, `1g`, `100` as nginx and others mean it: powers of 1024.
pub(super) fn read_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|it: char| !it.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let scale = match text[digits..].to_ascii_lowercase().as_str() {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(scale)
}

/// A size in TOML.
pub(super) fn size(bytes: u64) -> String {
    text(&gnomon_config::show_size(bytes))
}

/// A share in percent as TOML wants it, a bare number of at most three decimals.
pub(super) fn percent(share: f64) -> String {
    let text = format!("{share:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The text with what means something in a regular expression escaped.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        if r"\.+*?()|[]{}^$".contains(letter) {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

/// What a route matches by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// Any path.
    Any,
    /// This one.
    Exact(String),
    /// This one and those below, written with `/*` at its end.
    Prefix(String),
    /// Those that match as a whole.
    Regex(String),
}

impl Path {
    /// What begins with this text. Ours go by whole segments, which is nearly always meant; a text
    /// that ends in the middle of one becomes a pattern.
    pub(super) fn beginning(text: &str) -> Self {
        match text.chars().last() {
            None => Self::Any,
            Some('/') if text == "/" => Self::Any,
            Some('/') => Self::Prefix(format!("{text}*")),
            Some(last) if last.is_alphanumeric() => Self::Prefix(format!("{text}/*")),
            Some(_) => Self::Regex(format!("{}.*", escaped(text))),
        }
    }

    /// What matches a regular expression anywhere: ours match the whole path.
    pub(super) fn regex(text: &str) -> Self {
        let (start, body) = match text.strip_prefix('^') {
            Some(rest) => ("", rest),
            None => (".*", text),
        };
        let dollar = body.ends_with('$') && !body.ends_with("\\$");
        let (body, end) = if dollar { (&body[..body.len() - 1], "") } else { (body, ".*") };
        // Alternatives at the top would take the ends along.
        let grouped = body.contains('|');
        let body = if grouped { format!("(?:{body})") } else { body.to_owned() };
        let anchored = grouped && (text.starts_with('^') || dollar);
        // `^a|b$` means something else than `^(a|b)$`.
        if anchored && !wrapped(text) {
            return Self::Regex(format!("(?s:.*(?:{text}).*)"));
        }
        Self::Regex(format!("{start}{body}{end}"))
    }

    /// The key and the value of the condition, if it is one.
    pub(super) fn condition(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Any => None,
            Self::Exact(path) | Self::Prefix(path) => Some(("match.path", text(path))),
            Self::Regex(regex) => Some(("match.path_regex", text(regex))),
        }
    }
}

/// Whether every `|` of a pattern stands in parentheses.
fn wrapped(pattern: &str) -> bool {
    let mut depth = 0_i32;
    let mut escaped = false;
    for letter in pattern.chars() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' => depth += 1,
            ')' => depth -= 1,
            '|' if depth == 0 => return false,
            _ => {}
        }
    }
    true
}

/// Scheme and the rest of a URL.
pub(super) fn scheme(url: &str) -> Option<(&str, &str)> {
    url.split_once("://").filter(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty())
}

/// An endpoint of ours out of `HOST[:PORT]`.
pub(super) fn endpoint(authority: &str, port: u16) -> String {
    if authority.starts_with("unix:") {
        return authority.to_owned();
    }
    let bracketed = authority.starts_with('[');
    let after =
        if bracketed { authority.rsplit_once(']').map_or("", |(_, it)| it) } else { authority };
    if after.contains(':') { authority.to_owned() } else { format!("{authority}:{port}") }
}
