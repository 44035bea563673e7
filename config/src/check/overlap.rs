//! Routes that get in each other's way.

use std::{collections::HashMap, fmt::Debug};

use super::route::{DeclaredRoute, below};
use crate::{
    code,
    model::{HostPattern, Match, PathPattern, Regex, Route},
    names::bare_pattern,
    problem::Problem,
    read::Reader,
};

/// Beyond so many routes, only equal ones are looked for: comparing each with each takes time
/// that grows with the square.
const COMPARED_ROUTES_MAX: usize = 2000;

pub(super) fn check(reader: &mut Reader<'_, '_>, routes: &[DeclaredRoute]) {
    let sound: Vec<&DeclaredRoute> = routes.iter().filter(|route| !route.broken).collect();
    same(reader, &sound);
    if sound.len() <= COMPARED_ROUTES_MAX {
        for route in &sound {
            never_reached(reader, route, &sound);
            ambiguous(reader, route, &sound);
        }
    }
}

/// Equal matches of equal priority, host by host: the second would never be used.
fn same(reader: &mut Reader<'_, '_>, routes: &[&DeclaredRoute]) {
    let mut seen: HashMap<Identity<'_>, &DeclaredRoute> = HashMap::with_capacity(routes.len());
    for declared in routes {
        let hosts = &declared.route.matches.hosts;
        let any = hosts.is_empty().then_some(None);
        for host in hosts.iter().map(Some).chain(any) {
            let Some(first) = seen.insert(Identity::of(&declared.route, host), declared) else {
                continue;
            };
            let (one, two) = (&first.route.name, &declared.route.name);
            let message = format!("[route.{two}] matches the same requests as [route.{one}]");
            reader.tell(
                Problem::error(code::SAME_ROUTE, declared.place, message)
                    .label("would never be used")
                    .related(first.place, "the same match and priority")
                    .help("change one match, or say with `priority` which one wins".to_owned()),
            );
            break;
        }
    }
}

/// What two routes share exactly when they match the same requests of a host equally well.
#[derive(PartialEq, Eq, Hash)]
struct Identity<'r> {
    host: Option<&'r HostPattern>,
    /// Its kind and its text.
    path: (u8, &'r str),
    priority: i32,
    /// Methods, and conditions on fields, query, cookies, client and flags; in any order the same.
    others: String,
}

impl<'r> Identity<'r> {
    fn of(route: &'r Route, host: Option<&'r HostPattern>) -> Self {
        let matches = &route.matches;
        let path = match &matches.path {
            PathPattern::Any => (0, ""),
            PathPattern::Exact(path) => (1, &**path),
            PathPattern::Prefix(path) => (2, &**path),
            PathPattern::Regex(regex) => (3, regex.0.as_str()),
        };
        let others = [
            sorted(&matches.methods),
            sorted(&matches.headers),
            sorted(&matches.query),
            sorted(&matches.cookies),
            sorted(&matches.clients),
            sorted(&matches.flags),
        ];
        Self { host, path, priority: route.priority, others: others.join("\n") }
    }
}

fn sorted(items: &[impl Debug]) -> String {
    let mut texts: Vec<String> = items.iter().map(|item| format!("{item:?}")).collect();
    texts.sort();
    texts.join(" ")
}

/// A route whose every request a more important route takes.
fn never_reached(reader: &mut Reader<'_, '_>, declared: &DeclaredRoute, all: &[&DeclaredRoute]) {
    let route = &declared.route;
    let above = all.iter().find(|other| {
        other.route.priority > route.priority && covers(&other.route.matches, &route.matches)
    });
    if let Some(above) = above {
        let message = format!("[route.{}] is never used", route.name);
        reader.tell(Problem::warning(code::NEVER_REACHED, declared.place, message).related(
            above.place,
            format!("takes all its requests by priority {}", above.route.priority),
        ));
    }
}

/// Whether `wide` matches every request that `narrow` matches. False where that is hard to say.
fn covers(wide: &Match, narrow: &Match) -> bool {
    let hosts = wide.hosts.is_empty()
        || (!narrow.hosts.is_empty()
            && narrow.hosts.iter().all(|host| wide.hosts.iter().any(|w| host_covers(w, host))));
    let path = match (&wide.path, &narrow.path) {
        (PathPattern::Any, _) => true,
        (PathPattern::Prefix(wide), PathPattern::Exact(path) | PathPattern::Prefix(path)) => {
            below(path, wide)
        }
        (wide, narrow) => wide == narrow,
    };
    hosts
        && path
        && subset(&narrow.methods, &wide.methods)
        && subset(&narrow.clients, &wide.clients)
        && wide.headers.iter().all(|condition| narrow.headers.contains(condition))
        && wide.query.iter().all(|condition| narrow.query.contains(condition))
        && wide.cookies.iter().all(|condition| narrow.cookies.contains(condition))
        && wide.flags.iter().all(|condition| narrow.flags.contains(condition))
}

/// Whether a condition that allows `narrow` is stricter than one that allows `wide`; empty allows
/// all.
fn subset<T: PartialEq>(narrow: &[T], wide: &[T]) -> bool {
    wide.is_empty() || (!narrow.is_empty() && narrow.iter().all(|item| wide.contains(item)))
}

fn host_covers(wide: &HostPattern, narrow: &HostPattern) -> bool {
    match (wide, narrow) {
        (HostPattern::Below(wide), HostPattern::Exact(host)) => {
            host.strip_suffix(&**wide).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        }
        (HostPattern::Below(wide), HostPattern::Below(host)) => {
            host == wide || host.strip_suffix(&**wide).is_some_and(|rest| rest.ends_with('.'))
        }
        (HostPattern::Exact(wide), HostPattern::Exact(host)) => wide == host,
        (HostPattern::Exact(_), HostPattern::Below(_)) => false,
    }
}

/// A regular expression beside another path that matches the same, with nothing to tell them apart.
fn ambiguous(reader: &mut Reader<'_, '_>, declared: &DeclaredRoute, all: &[&DeclaredRoute]) {
    let PathPattern::Regex(regex) = &declared.route.matches.path else { return };
    for other in all {
        let peers = !std::ptr::eq(*other, declared)
            && other.route.priority == declared.route.priority
            && other.route.matches.hosts == declared.route.matches.hosts;
        if !peers {
            continue;
        }
        let (name, wins) = (&other.route.name, &declared.route.name);
        let (message, label) = match &other.route.matches.path {
            PathPattern::Exact(path) if regex.0.is_match(path.as_bytes()) => {
                (format!("`path_regex` of [route.{wins}] also matches {path}"), "wins: it is exact")
            }
            PathPattern::Prefix(path) if within(&regex.0, path) => (
                format!("`path_regex` of [route.{wins}] also matches paths below {path}"),
                "wins: a prefix goes before a regular expression",
            ),
            // Told once, at the later of the two.
            PathPattern::Regex(second)
                if other.place < declared.place && may_meet(regex, second) =>
            {
                (
                    format!("[route.{wins}] and [route.{name}] both have a `path_regex`"),
                    "wins where both match: it is declared first",
                )
            }
            PathPattern::Exact(_)
            | PathPattern::Prefix(_)
            | PathPattern::Regex(_)
            | PathPattern::Any => continue,
        };
        reader.tell(
            Problem::warning(code::AMBIGUOUS, declared.place, message)
                .related(other.place, label)
                .help("say with `priority` which one is meant".to_owned()),
        );
    }
}

/// Whether two expressions might match the same path: not if they begin with different letters.
fn may_meet(one: &Regex, two: &Regex) -> bool {
    let (one, two) = (literal_start(one), literal_start(two));
    one.starts_with(two) || two.starts_with(one)
}

/// The letters that every match begins with.
fn literal_start(regex: &Regex) -> &str {
    let text = bare_pattern(regex);
    if text.contains('|') {
        return "";
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_~%".contains(c);
    let end = text.find(|c| !plain(c)).unwrap_or(text.len());
    // The last letter may be optional or repeated by what follows it.
    let end = if text[end..].starts_with(['?', '*', '{']) { end.saturating_sub(1) } else { end };
    &text[..end]
}

/// Whether the expression matches the prefix itself or a simple path below it. A sample: whether
/// two patterns meet at all is not worth deciding exactly for a warning.
fn within(regex: &regex::bytes::Regex, prefix: &str) -> bool {
    ["", "/", "/a", "/1", "/a/b"]
        .iter()
        .any(|tail| regex.is_match(format!("{prefix}{tail}").as_bytes()))
}
