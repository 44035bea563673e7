//! Forms of what filters and traces are told.

use std::sync::Arc;

use super::{name, statuses, url};
use crate::{code, problem::Wrong};

/// A status, a range of them or a class: `"404"`, `"200-299"`, `"5xx"`.
pub(crate) fn status_class(text: &str) -> Result<(u16, u16), Wrong> {
    if let Some(class) = text.strip_suffix("xx") {
        return match class.parse::<u16>() {
            Ok(class @ 1..=5) => Ok((class * 100, class * 100 + 99)),
            Ok(_) | Err(_) => Err(not_statuses(text)),
        };
    }
    statuses(text).map_err(|_| not_statuses(text))
}

fn not_statuses(text: &str) -> Wrong {
    Wrong::new(code::STATUS, format!("`{text}` names no statuses"))
        .label("expected \"404\", \"200-299\" or a class such as \"5xx\", within 100 to 599")
}

/// An upstream, or one version of it: `"shop"`, `"shop@v2"`.
pub(crate) fn upstream_version(text: &str) -> Result<(Arc<str>, Option<Arc<str>>), Wrong> {
    let wrong = |_| {
        Wrong::new(code::NAME, format!("`{text}` names no upstream"))
            .label("expected \"UPSTREAM\" or \"UPSTREAM@VERSION\"")
    };
    match text.split_once('@') {
        None => Ok((name(text).map_err(wrong)?, None)),
        Some((upstream, version)) => {
            Ok((name(upstream).map_err(wrong)?, Some(name(version).map_err(wrong)?)))
        }
    }
}

/// Where a collector takes traces: the usual path where there is none.
pub(crate) fn collector(text: &str) -> Result<Arc<str>, Wrong> {
    let url = url(text, "a collector's address")?;
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if !path.is_empty() {
        return Ok(url);
    }
    let scheme = &url[..url.len() - rest.len()];
    Ok(format!("{scheme}{host}/v1/traces").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_one_many_or_a_class() {
        let rows = [
            ("5xx", Some((500, 599))),
            ("1xx", Some((100, 199))),
            ("404", Some((404, 404))),
            ("200-299", Some((200, 299))),
            ("6xx", None),
            ("0xx", None),
            ("xx", None),
            ("600", None),
            ("300-200", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(status_class(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_collector_has_the_usual_path_unless_it_says_another() {
        let rows = [
            ("http://127.0.0.1:4318", Some("http://127.0.0.1:4318/v1/traces")),
            ("http://127.0.0.1:4318/", Some("http://127.0.0.1:4318/v1/traces")),
            ("https://otel.example/a/b", Some("https://otel.example/a/b")),
            ("127.0.0.1:4318", None),
            ("http://user@host/", None),
            ("grpc://host:4317", None),
        ];
        for (text, expected) in rows {
            assert_eq!(collector(text).ok().as_deref(), expected, "{text}");
        }
    }
}
