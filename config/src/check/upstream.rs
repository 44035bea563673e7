//! `[upstream.*]`: what is proxied to.

use std::sync::Arc;

use super::{Declared, DeclaredVersion, bounded, guessing, named, repeated, route, tls};
use crate::{
    code, known,
    model::{
        Balance, Eject, Endpoint, FailureKind, Health, HostRule, Pool, Retry, Share, Sticky,
        StickyMode, Upstream, Version, VersionIx,
    },
    names,
    problem::{Place, Problem, Wrong},
    read::{Placed, Reader, Scope, values},
    tree::Entry,
    units,
};

/// Every upstream, in order of declaration.
pub(super) fn all(reader: &mut Reader<'_, '_>, root: &Scope<'_>) -> Vec<Declared> {
    let named = root.named("upstream");
    bounded(reader, named.len(), "upstreams", root.place_of("upstream"));
    named.into_iter().map(|(entry, scope)| upstream(reader, entry, &scope)).collect()
}

fn upstream(reader: &mut Reader<'_, '_>, entry: &Entry, scope: &Scope<'_>) -> Declared {
    let name = named(reader, entry);
    let listed = versions(reader, scope, &name);
    let told = reader.sources.problems.len();
    let Split { stable, split, places } = split(reader, scope, &name, &listed);
    let split_readable = told == reader.sources.problems.len();
    for (Listed { version, place, readable }, share) in listed.iter().zip(&split) {
        if *readable && version.endpoints.is_empty() && *share > Share::NONE {
            let message = format!(
                "`{name}@{}` takes {} of the traffic and has no endpoint",
                version.name,
                units::show_share(*share)
            );
            reader.tell(Problem::error(code::NO_ENDPOINT, *place, message));
        }
    }
    reader.choice(scope, "protocol");
    let upstream = Upstream {
        stable,
        split,
        sticky: sticky(reader, scope, &name),
        balance: reader.form(scope, "balance", balance).map_or(Balance::P2c, |b| b.value),
        host: reader.form(scope, "host", names::host_rule).map_or(HostRule::Preserve, |h| h.value),
        health: scope.present("health").map(|scope| health(reader, &scope)),
        eject: eject(reader, &scope.child("eject")),
        retry: retry(reader, &scope.child("retry")),
        pool: pool(reader, &scope.child("pool")),
        name,
        versions: listed.iter().map(|listed| listed.version.clone()).collect(),
    };
    let versions = listed.iter().zip(places).map(|(listed, share)| DeclaredVersion {
        place: listed.place,
        share,
        readable: listed.readable,
    });
    Declared { upstream, place: entry.key_place, versions: versions.collect(), split_readable }
}

/// A version that was read.
struct Listed {
    version: Version,
    place: Place,
    /// Whether nothing was wrong with its endpoints.
    readable: bool,
}

fn versions(reader: &mut Reader<'_, '_>, scope: &Scope<'_>, upstream: &str) -> Vec<Listed> {
    let named_versions = scope.named("versions");
    bounded(reader, named_versions.len(), "versions", scope.place_of("versions"));
    if named_versions.is_empty() {
        let message = format!("[upstream.{upstream}] has no version");
        reader.tell(
            Problem::error(code::NO_ENDPOINT, scope.place_of("versions"), message)
                .help("add versions.v1 = [\"10.0.0.11:8080\"]".to_owned()),
        );
    }
    let mut versions = Vec::new();
    for (entry, scope) in named_versions {
        let name = named(reader, entry);
        let told = reader.sources.problems.len();
        let endpoints = endpoints(reader, entry, &scope);
        let readable = told == reader.sources.problems.len();
        let places_of = endpoints.iter().map(|endpoint| (endpoint.value.clone(), endpoint.place));
        for (_, first, second) in repeated(places_of) {
            let message = format!("an endpoint of `{upstream}@{name}` is listed twice");
            let problem = Problem::warning(code::SAME_ENDPOINT, second, message);
            reader.tell(problem.label("again here").related(first, "first here"));
        }
        let headers = route::headers(reader, &scope);
        let tls = tls::version(reader, &scope, &format!("{upstream}@{name}"), &endpoints);
        let proxy_protocol = !reader.choices(&scope, "proxy_protocol").is_empty();
        let endpoints = values(endpoints);
        let version = Version { name, endpoints, proxy_protocol, headers, tls };
        versions.push(Listed { version, place: entry.key_place, readable });
    }
    versions
}

/// The short form is the endpoints themselves.
fn endpoints(
    reader: &mut Reader<'_, '_>,
    entry: &Entry,
    scope: &Scope<'_>,
) -> Vec<Placed<Endpoint>> {
    match scope.table.filter(|table| !known::is_outside(table)) {
        Some(table) => {
            if table.get("endpoints").is_none() {
                let message = format!("version `{}` has no `endpoints`", entry.key);
                reader.tell(Problem::error(code::MISSING, entry.key_place, message));
            }
            reader.forms(scope, "endpoints", names::endpoint)
        }
        None => reader.as_forms(scope.row.field, &entry.node, &names::endpoint),
    }
}

/// How an upstream's users are split.
struct Split {
    stable: VersionIx,
    /// One share per version.
    split: Vec<Share>,
    /// Where each of them is written.
    places: Vec<Option<Place>>,
}

/// Who is stable, and one share per version.
fn split(
    reader: &mut Reader<'_, '_>,
    scope: &Scope<'_>,
    upstream: &str,
    versions: &[Listed],
) -> Split {
    let mut places = vec![None; versions.len()];
    let mut shares: Vec<Option<Share>> = vec![None; versions.len()];
    let Some(entry) = scope.entry("split") else {
        // All to the first declared: adding a version must not move traffic by itself.
        let whole = |at| if at == 0 { Share::WHOLE } else { Share::NONE };
        let split = (0..versions.len()).map(whole).collect();
        return Split { stable: VersionIx(0), split, places };
    };
    let written = reader.map(scope, "split", Reader::as_percent);
    let all_read = entry.node.as_table().is_some_and(|table| table.entries.len() == written.len());
    let mut total = 0_u64;
    let mut named_first = None;
    let mut all_known = all_read;
    for (name, place, share) in written {
        total += u64::from(share.value.0);
        if let Some(at) = versions.iter().position(|listed| *listed.version.name == *name) {
            shares[at] = Some(share.value);
            places[at] = Some(Place { end: share.place.end, ..place });
            named_first = named_first.or(Some(at));
            continue;
        }
        all_known = false;
        let message =
            format!("`split` names version `{name}`, which [upstream.{upstream}] does not have");
        let known = versions.iter().map(|listed| &*listed.version.name);
        let wrong = guessing(Wrong::new(code::SPLIT_NAME, message), &name, known);
        let mut problem = wrong.at(place);
        for listed in versions {
            problem = problem.related(listed.place, "declared here");
        }
        reader.tell(problem);
    }
    let left_out = || shares.iter().enumerate().filter(|(_, share)| share.is_none());
    let rest = u64::from(Share::WHOLE.0).checked_sub(total);
    let taker = left_out().next().map(|(at, _)| at).filter(|_| rest.is_some_and(|rest| rest > 0));
    if all_read {
        let count = if all_known { left_out().count() } else { 1 };
        if let Some(problem) = sum_problem(entry, total, count) {
            reader.tell(problem);
        }
    }
    let rest = Share(rest.and_then(|rest| u32::try_from(rest).ok()).unwrap_or_default());
    let stable = taker.or(named_first).unwrap_or_default();
    let filled = shares
        .iter()
        .enumerate()
        .map(|(at, share)| share.unwrap_or(if Some(at) == taker { rest } else { Share::NONE }));
    let stable = VersionIx(u16::try_from(stable).unwrap_or_default());
    Split { stable, split: filled.collect(), places }
}

/// What is wrong with a sum of shares, given how many versions could take a rest.
fn sum_problem(entry: &Entry, total: u64, left_out: usize) -> Option<Problem> {
    let whole = u64::from(Share::WHOLE.0);
    let shown = units::show_percent(Share(u32::try_from(total).unwrap_or(u32::MAX)));
    let (key, value) = (entry.key_place, entry.node.place);
    let place = Place { end: value.end.max(key.end), ..key };
    let problem = |message: String| Problem::error(code::SPLIT_SUM, place, message);
    if total > whole || (total < whole && left_out == 0) {
        return Some(
            problem(format!("the shares of `split` add up to {shown}, not 100"))
                .help("leave one version out and it takes the rest".to_owned()),
        );
    }
    (total < whole && left_out > 1).then(|| {
        problem(format!(
            "{left_out} versions are left out of `split`, and only one can take the rest"
        ))
        .label(format!("these add up to {shown}"))
        .help("give all but one of them a share, which may be 0".to_owned())
    })
}

fn sticky(reader: &mut Reader<'_, '_>, upstream: &Scope<'_>, name: &str) -> Sticky {
    let scope = upstream.child("sticky");
    let long = scope.table.is_some_and(|table| !known::is_outside(table));
    let mode = if long || upstream.entry("sticky").is_none() {
        if long && scope.entry("key").is_none() {
            let message = format!("`sticky` of [upstream.{name}] has no `key`");
            let problem = Problem::error(code::MISSING, scope.place, message);
            reader.tell(problem.help("write key = \"cookie\"".to_owned()));
        }
        reader.form(&scope, "key", sticky_mode)
    } else {
        reader.form(upstream, "sticky", sticky_mode)
    };
    let rest = Scope { table: scope.table.filter(|_| long), ..scope };
    Sticky {
        mode: mode.map_or(StickyMode::None, |mode| mode.value),
        cookie: reader
            .form(&rest, "cookie", names::cookie_name)
            .map_or_else(|| Arc::from(format!("gnomon_{name}")), |cookie| cookie.value),
        max_age: reader.duration(&rest, "max_age"),
        secret: reader.secret(&rest, "secret"),
        salt: reader.filled(&rest, "salt").map_or_else(|| name.into(), |it| it.value.into()),
    }
}

fn sticky_mode(text: &str) -> Result<StickyMode, Wrong> {
    match text {
        "none" => Ok(StickyMode::None),
        "cookie" => Ok(StickyMode::Minted),
        key => names::key(key).map(StickyMode::Key).map_err(|wrong| {
            wrong.label("expected cookie, cookie:NAME, header:NAME, query:NAME, client_ip or none")
        }),
    }
}

fn balance(text: &str) -> Result<Balance, Wrong> {
    const WORDS: [&str; 3] = ["p2c", "round_robin", "least_conn"];
    match text {
        "p2c" => Ok(Balance::P2c),
        "round_robin" => Ok(Balance::RoundRobin),
        "least_conn" => Ok(Balance::LeastConn),
        other => match other.strip_prefix("hash:") {
            Some(key) => names::key(key).map(Balance::Hash),
            None => {
                let guess = known::nearest(other, WORDS.into_iter());
                Err(Wrong::new(code::CHOICE, format!("`{other}` is no way to balance"))
                    .label("expected p2c, round_robin, least_conn or hash:KEY")
                    .help(guess.map(|guess| format!("did you mean \"{guess}\"?"))))
            }
        },
    }
}

fn health(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Health {
    reader.not_empty(scope, &["expect"]);
    let health = Health {
        path: reader.form(scope, "path", names::target).map(|path| path.value),
        host: reader.form(scope, "host", names::authority).map(|host| host.value),
        interval: reader.duration(scope, "interval"),
        timeout: reader.duration(scope, "timeout"),
        healthy: reader.integer(scope, "healthy"),
        unhealthy: reader.integer(scope, "unhealthy"),
        expect: values(reader.forms(scope, "expect", names::statuses)),
    };
    if health.timeout > health.interval {
        let message = "a check may take longer than the time between two checks";
        let problem = Problem::warning(code::TIMING, scope.place_of("timeout"), message);
        reader.tell(problem.related(scope.place_of("interval"), "the time between two"));
    }
    health
}

fn eject(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Eject {
    Eject {
        after: reader.integer(scope, "after"),
        duration: reader.duration(scope, "for"),
        max_ejected: reader.share(scope, "max_ejected"),
        on: failures(reader, scope),
    }
}

fn retry(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Retry {
    Retry {
        attempts: reader.integer(scope, "attempts"),
        on: failures(reader, scope),
        budget: reader.share(scope, "budget"),
    }
}

fn failures(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Vec<FailureKind> {
    let kind = |word: &str| match word {
        "connect" => FailureKind::Connect,
        "reset" => FailureKind::Reset,
        "timeout" => FailureKind::Timeout,
        _ => FailureKind::Status5xx,
    };
    reader.choices(scope, "on").into_iter().map(kind).collect()
}

fn pool(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Pool {
    Pool {
        idle_per_core: reader.integer(scope, "idle_per_core"),
        idle: reader.duration(scope, "idle"),
        max: reader.integer(scope, "max"),
        queue: reader.duration(scope, "queue"),
    }
}
