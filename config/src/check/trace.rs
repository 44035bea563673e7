//! `[trace]`, and which exchanges the access log has.

use std::sync::Arc;

use super::{Upstreams, route::DeclaredRoute, target};
use crate::{
    code, known,
    model::{AccessField, Arm, Filter, Otlp, Secret, Tracing},
    names,
    problem::{Problem, Wrong},
    read::{Reader, Scope, shared, values},
};

/// What a filter may name.
pub(super) struct Named<'a> {
    pub(super) upstreams: &'a Upstreams,
    pub(super) routes: &'a [DeclaredRoute],
}

/// A filter under `key`; one that was left out says nothing.
pub(super) fn filter(
    reader: &mut Reader<'_, '_>,
    parent: &Scope<'_>,
    key: &str,
    named: &Named<'_>,
) -> Filter {
    let scope = parent.child(key);
    let keys = ["status", "route", "upstream", "arm", "method", "path", "client"];
    reader.not_empty(&scope, &keys);
    let min = if key == "only" { reader.duration_if(&scope, "min") } else { None };
    let arm = |word: &&str| Arm::of(word);
    Filter {
        statuses: values(reader.forms(&scope, "status", names::status_class)),
        min: min.unwrap_or_default(),
        routes: routes(reader, &scope, named),
        upstreams: upstreams(reader, &scope, named),
        arms: reader.choices(&scope, "arm").iter().filter_map(arm).collect(),
        methods: values(reader.forms(&scope, "method", names::method)),
        paths: values(reader.forms(&scope, "path", names::path)),
        clients: values(reader.forms(&scope, "client", names::network)),
    }
}

fn routes(reader: &mut Reader<'_, '_>, scope: &Scope<'_>, named: &Named<'_>) -> Vec<Arc<str>> {
    let known = |name: &str| {
        let mut names = named.routes.iter().map(|declared| &*declared.route.name);
        if names.clone().any(|known| known == name) {
            return Ok(shared(name));
        }
        let wrong = Wrong::new(code::REFERENCE, format!("there is no route `{name}`"));
        Err(match known::nearest(name, names.by_ref()) {
            Some(guess) => wrong.label(format!("did you mean `{guess}`?")),
            None => wrong,
        })
    };
    values(reader.forms(scope, "route", known))
}

fn upstreams(
    reader: &mut Reader<'_, '_>,
    scope: &Scope<'_>,
    named: &Named<'_>,
) -> Vec<(Arc<str>, Option<Arc<str>>)> {
    let known = |text: &str| {
        target(text, named.upstreams).map_err(|(wrong, _)| wrong)?;
        names::upstream_version(text)
    };
    values(reader.forms(scope, "upstream", known))
}

/// The fields that lines of the access log do not have.
pub(super) fn left_out(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Vec<AccessField> {
    reader.not_empty(scope, &["keep"]);
    let of = |words: Vec<&'static str>| -> Vec<AccessField> {
        words.into_iter().filter_map(AccessField::of).collect()
    };
    let keep = of(reader.choices(scope, "keep"));
    let left_out = of(reader.choices(scope, "leave_out"));
    let (Some(kept), Some(out)) = (scope.entry("keep"), scope.entry("leave_out")) else {
        if scope.entry("keep").is_none() {
            return left_out;
        }
        return AccessField::ALL.into_iter().filter(|field| !keep.contains(field)).collect();
    };
    let message = "`keep` and `leave_out` exclude each other";
    let problem = Problem::error(code::EXCLUSIVE, out.key_place, message);
    reader.tell(problem.related(kept.key_place, "or this one"));
    left_out
}

pub(super) fn tracing(reader: &mut Reader<'_, '_>, root: &Scope<'_>) -> Tracing {
    let scope = root.child("trace");
    Tracing {
        start: reader.bool(&scope, "start"),
        sample: reader.share(&scope, "sample"),
        server_timing: reader.bool(&scope, "server_timing"),
        otlp: scope.present("otlp").map(|scope| otlp(reader, &scope)),
    }
}

fn otlp(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Otlp {
    super::needed(reader, "trace.otlp", scope, "endpoint");
    let endpoint = reader.form(scope, "endpoint", names::collector);
    let attributes = reader.choices(scope, "attributes");
    Otlp {
        endpoint: endpoint.map_or_else(|| shared(""), |endpoint| endpoint.value),
        headers: headers(reader, scope),
        sample: reader.share(scope, "sample"),
        timeout: reader.duration(scope, "timeout"),
        queue: reader.integer(scope, "queue"),
        gzip: reader.bool(scope, "gzip"),
        service: reader.filled(scope, "service").map_or_else(|| shared(""), |it| shared(&it.value)),
        user_agent: attributes.contains(&"user_agent.original"),
        query: attributes.contains(&"url.query"),
    }
}

fn headers(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Vec<(Arc<str>, Secret)> {
    let written = reader.map(scope, "headers", |reader, field, node| {
        let text = reader.as_text(field, node)?;
        let is_fit = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if text.is_empty() || !is_fit {
            let message = "a field's value is visible ASCII characters and spaces";
            reader.tell(Problem::error(code::HEADER, node.place, message));
            return None;
        }
        Some(Secret(text.into_bytes()))
    });
    let checked = written.into_iter().filter_map(|(key, place, value)| {
        Some((reader.check(place, names::edited_field(&key))?, value.value))
    });
    checked.collect()
}
