//! `[shadow.*]`: whose requests are copied to whom, and how the replies are compared.

use std::sync::Arc;

use super::{Upstreams, end, flag, named, route};
use crate::{
    code,
    fields::Field,
    json_path::JsonPath,
    model::{
        ArrayRule, BodyMode, Compare, Edits, HostRule, Keep, Match, Noise, Redact, RedactStyle,
        Rewrite, Shadow, Share, UpstreamIx, VersionIx,
    },
    names,
    problem::Problem,
    read::{Reader, Scope, shared, values},
    tree::{Entry, Node, Value},
    units,
};

/// A request carries the set of its shadows in 64 bits, of which the last means the recorder.
const SHADOWS_MAX: usize = 63;

/// What `noise = true` means: a fifth of the copies is enough once an endpoint is known.
const NOISE: Share = Share(20_000);

/// Every shadow, in order of declaration.
pub(super) fn all(
    reader: &mut Reader<'_, '_>,
    root: &Scope<'_>,
    upstreams: &Upstreams,
    flags: &flag::Declared,
) -> Vec<Shadow> {
    let tables = root.named("shadow");
    if tables.len() > SHADOWS_MAX {
        let message = format!("there are more than {SHADOWS_MAX} shadows");
        reader.tell(Problem::error(code::RANGE, root.place_of("shadow"), message));
    }
    let mut shadows = Vec::new();
    for (entry, scope) in tables {
        shadows.extend(shadow(reader, entry, &scope, upstreams, flags));
    }
    shadows
}

fn shadow(
    reader: &mut Reader<'_, '_>,
    entry: &Entry,
    scope: &Scope<'_>,
    upstreams: &Upstreams,
    flags: &flag::Declared,
) -> Option<Shadow> {
    let name = named(reader, entry);
    let ends = ends(reader, entry, scope, upstreams);
    let matching = scope.child("match");
    let matches = route::matches(reader, &matching, flags);
    warn_of_writes(reader, &matching, &matches);
    let rewrite = scope.present("rewrite").map_or(Rewrite::Keep, |it| route::rewrite(reader, &it));
    route::fits(reader, scope, &matches.path, &rewrite);
    let (mark, host, without) = marks(reader, scope);
    let shadow = Shadow {
        name,
        // Never seen by anyone: without both ends, a problem was told.
        from: ends.map_or((UpstreamIx(0), None), |(from, _)| from),
        to: ends.map_or((UpstreamIx(0), VersionIx(0)), |(_, to)| to),
        sample: reader.share(scope, "sample"),
        by: reader.form(scope, "by", names::key).map(|key| key.value),
        salt: salt(reader, scope),
        matches,
        forced: reader.bool(scope, "forced"),
        noise: reader.value(scope, "noise", noise).unwrap_or(Noise::Off),
        timeout: reader.duration(scope, "timeout"),
        in_flight: reader.integer(scope, "in_flight"),
        shed_at: reader.share(scope, "shed_at"),
        mark,
        body_max: reader.size(scope, "body"),
        host,
        without,
        edits: edits(reader, scope),
        rewrite,
        compare: compare(reader, &scope.child("compare")),
        redact: redact(reader, &scope.child("redact")),
        keep: keep(reader, &scope.child("keep")),
    };
    ends.map(|_| shadow)
}

/// What users' positions depend on, if there are users.
fn salt(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Option<Arc<str>> {
    let salt = reader.filled(scope, "salt")?;
    if scope.entry("by").is_none() {
        let problem = Problem::error(code::MISSING, scope.place_of("salt"), "`salt` needs `by`");
        reader.tell(problem.label("without it, a coin decides for each request"));
    }
    Some(shared(&salt.value))
}

type Ends = ((UpstreamIx, Option<VersionIx>), (UpstreamIx, VersionIx));

/// Both ends, if they are there and not the same.
fn ends(
    reader: &mut Reader<'_, '_>,
    entry: &Entry,
    scope: &Scope<'_>,
    upstreams: &Upstreams,
) -> Option<Ends> {
    let table = format!("shadow.{}", entry.key);
    let from = end(reader, &table, scope, "from", upstreams);
    let to = end(reader, &table, scope, "to", upstreams);
    let (from, (upstream, version)) = (from?.value, to?.value);
    let Some(version) = version else {
        let message = "`to` does not say which version gets the copies";
        let problem = Problem::error(code::REFERENCE, scope.place_of("to"), message);
        reader.tell(problem.label("expected \"UPSTREAM@VERSION\""));
        return None;
    };
    if from == (upstream, Some(version)) {
        let message = "a version cannot be its own shadow";
        let problem = Problem::error(code::REFERENCE, scope.place_of("to"), message);
        reader.tell(problem.related(scope.place_of("from"), "the same version"));
        return None;
    }
    Some((from, (upstream, version)))
}

/// Copies of unsafe requests do twice what should be done once.
fn warn_of_writes(reader: &mut Reader<'_, '_>, scope: &Scope<'_>, matches: &Match) {
    let is_safe = |method: &str| matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE");
    for method in matches.methods.iter().filter(|method| !is_safe(method)) {
        let place = scope.place_of("method");
        let message = format!("copies of {method} requests are carried out by the shadow as well");
        reader.tell(
            Problem::warning(code::SHADOW_WRITES, place, message)
                .help("let its side effects go to a store of its own".to_owned()),
        );
    }
}

fn noise(reader: &mut Reader<'_, '_>, field: &'static Field, node: &Node) -> Option<Noise> {
    let text = if let Value::Bool(truth) = node.value {
        truth.to_string()
    } else {
        reader.as_text(field, node)?
    };
    match text.as_str() {
        "false" => Some(Noise::Off),
        "true" => Some(Noise::Learn(NOISE)),
        share => match reader.check(node.place, units::share(share))? {
            Share::NONE => Some(Noise::Off),
            share => Some(Noise::Learn(share)),
        },
    }
}

fn marks(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> (Arc<str>, HostRule, Vec<Arc<str>>) {
    let mark = reader.form(scope, "mark", names::edited_field);
    let host = reader.form(scope, "host", names::host_rule);
    let without = route::distinct(reader.forms(scope, "without", names::edited_field));
    (
        mark.map_or_else(|| "x-shadow".into(), |mark| mark.value),
        host.map_or(HostRule::Preserve, |host| host.value),
        without,
    )
}

fn edits(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Edits {
    route::edits(reader, &scope.child("headers").child("request"))
}

fn compare(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Compare {
    Compare {
        status: reader.bool(scope, "status"),
        headers: route::distinct(reader.forms(scope, "headers", names::field_name)),
        body: match reader.choice(scope, "body") {
            "json" => BodyMode::Json,
            "text" => BodyMode::Text,
            "bytes" => BodyMode::Bytes,
            "none" => BodyMode::None,
            _ => BodyMode::Auto,
        },
        max: reader.size(scope, "max"),
        ignore: json_paths(reader, scope, "ignore"),
        tolerance: reader.number(&scope.child("numbers"), "tolerance"),
        arrays: arrays(reader, scope),
        latency: reader.bool(scope, "latency"),
    }
}

fn json_paths(reader: &mut Reader<'_, '_>, scope: &Scope<'_>, key: &str) -> Vec<JsonPath> {
    values(reader.forms(scope, key, names::json_path))
}

fn arrays(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Vec<(JsonPath, ArrayRule)> {
    let written = reader.map(scope, "arrays", Reader::as_text);
    let mut arrays = Vec::new();
    for (path, place, rule) in written {
        let path = reader.check(place, names::json_path(&path));
        let rule = reader.check(rule.place, names::array_rule(&rule.value));
        arrays.extend(path.zip(rule));
    }
    arrays
}

fn redact(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Redact {
    Redact {
        headers: route::distinct(reader.forms(scope, "headers", names::field_name)),
        query: values(reader.forms(scope, "query", |text| Ok(shared(text)))),
        json: json_paths(reader, scope, "json"),
        style: match reader.choice(scope, "style") {
            "drop" => RedactStyle::Drop,
            "mask" => RedactStyle::Mask,
            _ => RedactStyle::Hash,
        },
    }
}

fn keep(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Keep {
    Keep {
        samples: reader.integer(scope, "samples"),
        age: reader.duration(scope, "age"),
        size: reader.size(scope, "size"),
    }
}
