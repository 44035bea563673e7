//! What flags and groups are written with: places, moments, sources.

use std::{path::PathBuf, sync::Arc};

use jiff::{Timestamp, civil, tz::TimeZone};

use super::{key, url};
use crate::{
    code,
    model::{
        Key,
        flag::{Place, Source},
    },
    problem::Wrong,
};

/// Longest name of a flag that comes from elsewhere.
const FLAG_BYTES_MAX: usize = 128;
/// Longest key of a user that is named.
const USER_BYTES_MAX: usize = 1024;

/// Where in a request a value stands.
pub(crate) fn place(text: &str) -> Result<Place, Wrong> {
    match text {
        "host" => return Ok(Place::Host),
        "path" => return Ok(Place::Path),
        "method" => return Ok(Place::Method),
        _ => {}
    }
    if let Some(name) = text.strip_prefix("claim:") {
        return claim(name).map(Place::Claim);
    }
    key(text).map(Place::Key).map_err(|wrong| {
        if wrong.code != code::KEY {
            return wrong;
        }
        Wrong::new(code::KEY, format!("`{text}` is no place in a request")).label(
            "expected cookie:NAME, header:NAME, query:NAME, client_ip, claim:NAME, host, path or method",
        )
    })
}

/// A place as it is written.
pub(crate) fn show_place(place: &Place) -> String {
    match place {
        Place::Key(Key::Cookie(name)) => format!("cookie:{name}"),
        Place::Key(Key::Header(name)) => format!("header:{name}"),
        Place::Key(Key::Query(name)) => format!("query:{name}"),
        Place::Key(Key::ClientIp) => "client_ip".to_owned(),
        Place::Claim(name) => format!("claim:{name}"),
        Place::Host => "host".to_owned(),
        Place::Path => "path".to_owned(),
        Place::Method => "method".to_owned(),
    }
}

/// Where a token stands.
pub(crate) fn token_place(text: &str) -> Result<Place, Wrong> {
    match place(text) {
        Ok(found @ Place::Key(Key::Cookie(_) | Key::Header(_))) => Ok(found),
        Ok(_) | Err(_) => Err(Wrong::new(code::KEY, format!("`{text}` is no place for a token"))
            .label("expected header:NAME or cookie:NAME")),
    }
}

/// The name of a claim.
pub(crate) fn claim(text: &str) -> Result<Arc<str>, Wrong> {
    if text.is_empty() {
        return Err(Wrong::new(code::KEY, "a claim has a name").label("expected claim:NAME"));
    }
    Ok(text.into())
}

/// The name of an attribute of a context.
pub(crate) fn attribute(text: &str) -> Result<Arc<str>, Wrong> {
    match text {
        "" => Err(Wrong::new(code::VALUE, "an attribute has a name")),
        "targetingKey" => Err(Wrong::new(code::VALUE, "`targetingKey` is what `by` says")
            .label("another name, or set `flags.by`")),
        "$flagd" => Err(Wrong::new(code::VALUE, "`$flagd` is what the evaluator knows by itself")),
        name => Ok(name.into()),
    }
}

/// The name of a flag, which may come from elsewhere.
pub(crate) fn flag(text: &str) -> Result<Arc<str>, Wrong> {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:/".contains(&b));
    if plain && (1..=FLAG_BYTES_MAX).contains(&text.len()) {
        return Ok(text.into());
    }
    Err(Wrong::new(code::NAME, format!("`{text}` is not the name of a flag"))
        .label("letters, digits and _-.:/"))
}

/// What tells one user from all others.
pub(crate) fn user(text: &str) -> Result<Arc<str>, Wrong> {
    match text.len() {
        0 => Err(Wrong::new(code::VALUE, "an empty key is nobody's")),
        1..=USER_BYTES_MAX => Ok(text.into()),
        _ => Err(Wrong::new(code::VALUE, "no key is longer than 1024 bytes")),
    }
}

/// Where flags come from; a path is left as it is written.
pub(crate) fn source(text: &str) -> Result<Source, Wrong> {
    if let Some(server) = text.strip_prefix("ofrep+") {
        return url(server, "the address of a server of flags").map(Source::Ofrep);
    }
    if text.contains("://") {
        return url(text, "the address of a source of flags").map(Source::Url);
    }
    match text {
        "" => Err(Wrong::new(code::VALUE, "flags come from a file or a URL").label("empty")),
        path if path.contains('\0') => Err(Wrong::new(code::VALUE, "this is not a path")),
        path => Ok(Source::File(PathBuf::from(path))),
    }
}

/// A moment, in seconds since 1970.
pub(crate) fn moment(text: &str) -> Result<u64, Wrong> {
    let wrong = || Wrong::new(code::MOMENT, format!("`{text}` is not a moment"));
    let at = if text.contains(':') {
        text.parse::<Timestamp>().ok()
    } else {
        let midnight = |date: civil::Date| date.to_zoned(TimeZone::UTC).ok();
        text.parse().ok().and_then(midnight).map(|zoned| zoned.timestamp())
    };
    let Some(at) = at else {
        if text.contains(':') && text.parse::<civil::DateTime>().is_ok() {
            return Err(wrong()
                .label("without an offset nobody knows when that is")
                .help(format!("for UTC, write \"{text}Z\"")));
        }
        return Err(wrong().label("expected \"2026-12-01T08:00:00Z\" or \"2026-12-01\""));
    };
    u64::try_from(at.as_second()).map_err(|_| wrong().label("before 1970"))
}

/// A moment as it is written.
pub(crate) fn show_moment(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok().and_then(|at| Timestamp::from_second(at).ok());
    at.unwrap_or(Timestamp::MAX).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_an_offset_or_is_a_midnight() {
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("1970-01-02", 86_400),
            ("1970-01-01T00:00:01Z", 1),
            ("1970-01-01 00:00:01Z", 1),
            ("1970-01-01t01:00:01.9+01:00", 1),
            ("2026-12-01T08:00:00Z", 1_796_112_000),
        ] {
            assert_eq!(moment(text), Ok(seconds), "{text}");
            assert_eq!(moment(&show_moment(seconds)), Ok(seconds), "{text}");
        }
        for text in [
            "",
            "soon",
            "1970",
            "2026-13-01",
            "2026-12-01T08:00:00",
            "08:00:00",
            "1969-12-31",
            "1969-12-31T23:59:59Z",
            "2026-12-01T25:00:00Z",
            "99999-01-01",
        ] {
            assert_eq!(moment(text).unwrap_err().code, code::MOMENT, "{text}");
        }
    }

    #[test]
    fn places_are_shown_as_they_are_written() {
        for text in [
            "cookie:uid",
            "header:x-user",
            "query:id",
            "client_ip",
            "claim:realm.roles",
            "host",
            "path",
            "method",
        ] {
            assert_eq!(place(text).map(|place| show_place(&place)).as_deref(), Ok(text));
        }
        for text in ["", "claim:", "query:", "cookie:", "header:a b", "uid", "claim", "Host"] {
            assert!(place(text).is_err(), "{text:?}");
        }
        assert!(token_place("header:Authorization").is_ok() && token_place("query:jwt").is_err());
    }

    #[test]
    fn a_source_is_a_file_a_url_or_a_server() {
        assert_eq!(source("flags.json"), Ok(Source::File("flags.json".into())));
        assert_eq!(source("http://a:1/x"), Ok(Source::Url("http://a:1/x".into())));
        assert_eq!(source("ofrep+https://a"), Ok(Source::Ofrep("https://a".into())));
        for text in ["", "ftp://a", "ofrep+a", "http://me:pw@a/", "ofrep+ofrep+http://a"] {
            assert!(source(text).is_err(), "{text:?}");
        }
    }
}
