//! `[route.*]`: which request goes where.

use std::sync::Arc;

use super::{Upstreams, flag, named, rate, repeated, service, target};
use crate::{
    code,
    fields::Field,
    known,
    model::{
        Action, Condition, Edits, Headers, Limits, Match, Name, PathPattern, Regex, Rewrite, Route,
        Timeouts, UpstreamIx,
    },
    names::{self, Anchor},
    problem::{Place, Problem, Wrong},
    read::{Placed, Reader, Scope, shared, values},
    tree::{Entry, Node, Table, Value},
};

/// What a route narrows.
pub(super) struct Globals<'a> {
    pub(super) timeouts: &'a Timeouts,
    pub(super) limits: &'a Limits,
    pub(super) flags: &'a flag::Declared,
}

/// A route, with the places that problems point at.
pub(super) struct DeclaredRoute {
    pub(super) route: Route,
    pub(super) place: Place,
    /// Whether its action or its match is a stand-in.
    pub(super) broken: bool,
}

impl DeclaredRoute {
    /// Where it leads, if it leads on.
    pub(super) const fn upstream(&self) -> Option<UpstreamIx> {
        if let Action::Forward(ix, _) = self.route.action { Some(ix) } else { None }
    }
}

/// Every route, in order of declaration.
pub(super) fn all(
    reader: &mut Reader<'_, '_>,
    root: &Scope<'_>,
    upstreams: &Upstreams,
    globals: &Globals<'_>,
) -> Vec<DeclaredRoute> {
    let named = root.named("route").into_iter();
    named.map(|(entry, scope)| route(reader, entry, &scope, upstreams, globals)).collect()
}

fn route(
    reader: &mut Reader<'_, '_>,
    entry: &Entry,
    scope: &Scope<'_>,
    upstreams: &Upstreams,
    globals: &Globals<'_>,
) -> DeclaredRoute {
    let told = reader.sources.problems.len();
    let name = named(reader, entry);
    let matches = matches(reader, &scope.child("match"), globals.flags);
    let action = action(reader, scope, &name, upstreams);
    let broken = action.is_none() || reader.sources.problems.len() > told;
    let rewrite = scope.present("rewrite").map_or(Rewrite::Keep, |scope| rewrite(reader, &scope));
    fits(reader, scope, &matches.path, &rewrite);
    let route = Route {
        name,
        priority: reader.integer(scope, "priority"),
        matches,
        // Never seen by anyone: without an action, a problem was told.
        action: action.unwrap_or_else(|| respond(404, "")),
        rewrite,
        headers: headers(reader, scope),
        timeouts: service::route_timeouts(reader, scope, globals.timeouts),
        body_max: reader.size_or(&scope.child("limits"), "body", globals.limits.body),
        rate: rate::of_route(reader, &scope.child("limits"), globals.limits),
        log_sample: reader.share_if(scope, "log_sample").map(|share| share.value),
    };
    DeclaredRoute { route, place: entry.key_place, broken }
}

fn respond(status: u16, body: &str) -> Action {
    Action::Respond { status, body: shared(body), headers: Vec::new() }
}

pub(super) fn matches(
    reader: &mut Reader<'_, '_>,
    scope: &Scope<'_>,
    flags: &flag::Declared,
) -> Match {
    reader.not_empty(scope, &["host", "method", "client"]);
    let path = reader.form(scope, "path", names::path_pattern);
    let regex = regex(reader, scope, "path_regex", Anchor::Both);
    if let (Some(path), Some(regex)) = (scope.entry("path"), scope.entry("path_regex")) {
        exclusive(reader, &[path, regex]);
    }
    Match {
        hosts: distinct(reader.forms(scope, "host", names::host_pattern)),
        path: match (path, regex) {
            (Some(path), _) => path.value,
            (None, Some(regex)) => PathPattern::Regex(regex),
            (None, None) => PathPattern::Any,
        },
        methods: distinct(reader.forms(scope, "method", names::method)),
        headers: conditions(reader, scope, "header", names::field_name),
        query: conditions(reader, scope, "query", |name| Ok(shared(name))),
        cookies: conditions(reader, scope, "cookie", names::cookie_name),
        clients: distinct(reader.forms(scope, "client", names::network)),
        flags: flag::conditions(reader, scope, flags),
    }
}

pub(super) fn distinct<T: PartialEq>(placed: Vec<Placed<T>>) -> Vec<T> {
    let mut all = Vec::new();
    for value in values(placed) {
        if !all.contains(&value) {
            all.push(value);
        }
    }
    all
}

pub(super) fn conditions(
    reader: &mut Reader<'_, '_>,
    scope: &Scope<'_>,
    key: &str,
    name: impl Fn(&str) -> Result<Arc<str>, Wrong>,
) -> Vec<(Arc<str>, Condition)> {
    let written = reader.map(scope, key, condition);
    let checked = written.into_iter().filter_map(|(key, place, condition)| {
        Some((reader.check(place, name(&key))?, condition.value))
    });
    checked.collect()
}

fn condition(reader: &mut Reader<'_, '_>, field: &'static Field, node: &Node) -> Option<Condition> {
    let text = |text: &str| Ok(shared(text));
    match node.as_table().filter(|table| !known::is_outside(table)) {
        None => {
            let told = reader.sources.problems.len();
            let texts = reader.as_forms(field, node, &text);
            if texts.is_empty() && reader.sources.problems.len() == told {
                let message = "an empty list matches nothing";
                reader.tell(Problem::error(code::VALUE, node.place, message));
            }
            Some(Condition::OneOf(values(texts)))
        }
        Some(table) => table_condition(reader, field, node, table),
    }
}

fn table_condition(
    reader: &mut Reader<'_, '_>,
    field: &'static Field,
    node: &Node,
    table: &Table,
) -> Option<Condition> {
    let [entry] = table.entries.as_slice() else {
        return reader.mistyped(field, node, "a string, a list, { present = … } or { regex = … }");
    };
    match (entry.key.as_str(), &entry.node.value) {
        ("present", Value::Bool(present)) => Some(Condition::Present(*present)),
        ("present", _) => reader.mistyped(field, &entry.node, "true or false"),
        ("regex", Value::Text(text)) => {
            compiled(reader, &entry.node, text, Anchor::No).map(Condition::Regex)
        }
        ("regex", _) => reader.mistyped(field, &entry.node, "a regular expression"),
        (key, _) => {
            let message = format!("unknown condition `{key}`");
            let problem = Problem::error(code::UNKNOWN_KEY, entry.key_place, message);
            reader.tell(problem.label("expected `present` or `regex`"));
            None
        }
    }
}

fn regex(
    reader: &mut Reader<'_, '_>,
    scope: &Scope<'_>,
    key: &str,
    anchor: Anchor,
) -> Option<Regex> {
    reader.value(scope, key, |reader, field, node| {
        let text = reader.as_text(field, node)?;
        compiled(reader, node, &text, anchor)
    })
}

fn compiled(
    reader: &mut Reader<'_, '_>,
    node: &Node,
    pattern: &str,
    anchor: Anchor,
) -> Option<Regex> {
    match names::regex(pattern, anchor) {
        Ok(regex) => Some(regex),
        Err((wrong, at)) => {
            let place = at.and_then(|at| inside(reader, node, pattern, at)).unwrap_or(node.place);
            reader.tell(wrong.at(place));
            None
        }
    }
}

/// The place of a byte of a string, if it stands in the file as it is, without escapes.
fn inside(reader: &Reader<'_, '_>, node: &Node, text: &str, at: usize) -> Option<Place> {
    let file = reader.sources.files.get(node.place.file)?;
    let written = file.text.get(node.place.start..node.place.end)?;
    let bare = written.strip_prefix(['"', '\''])?.strip_suffix(['"', '\''])?;
    let start = node.place.start + 1 + at;
    (bare == text).then_some(Place { start, end: start + 1, ..node.place })
}

/// Exactly one of `to`, `redirect` and `respond`.
fn action(
    reader: &mut Reader<'_, '_>,
    scope: &Scope<'_>,
    name: &Name,
    upstreams: &Upstreams,
) -> Option<Action> {
    let written: Vec<&Entry> =
        ["to", "redirect", "respond"].into_iter().filter_map(|key| scope.entry(key)).collect();
    if written.is_empty() {
        let message = format!("[route.{name}] does not say what to do");
        let problem = Problem::error(code::EXCLUSIVE, scope.place, message);
        reader.tell(problem.help("add one of `to`, `redirect` and `respond`".to_owned()));
    }
    if !exclusive(reader, &written) {
        return None;
    }
    if let Some(scope) = scope.present("redirect") {
        return redirect(reader, &scope);
    }
    if let Some(scope) = scope.present("respond") {
        return response(reader, &scope);
    }
    let to = reader.form(scope, "to", |text| Ok(text.to_owned()))?;
    match target(&to.value, upstreams) {
        Ok((upstream, version)) => Some(Action::Forward(upstream, version)),
        Err((wrong, declared)) => {
            let problem = wrong.at(to.place);
            reader.tell(match declared {
                Some(place) => problem.related(place, "declared here"),
                None => problem,
            });
            None
        }
    }
}

/// Tells of keys that exclude each other; true if at most one is there.
fn exclusive(reader: &mut Reader<'_, '_>, entries: &[&Entry]) -> bool {
    let mut entries = entries.to_vec();
    entries.sort_by_key(|entry| entry.key_place);
    let [first, rest @ ..] = entries.as_slice() else { return true };
    for other in rest {
        let message = format!("`{}` and `{}` exclude each other", first.key, other.key);
        reader.tell(
            Problem::error(code::EXCLUSIVE, other.key_place, message)
                .related(first.key_place, "or this one"),
        );
    }
    rest.is_empty()
}

fn redirect(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Option<Action> {
    if scope.entry("to").is_none() {
        reader.tell(Problem::error(code::MISSING, scope.place, "a redirect needs `to`"));
    }
    let status: u16 = reader.integer(scope, "status");
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        let place = scope.entry("status").map_or(scope.place, |entry| entry.node.place);
        let message = format!("{status} is not the status of a redirect");
        let problem = Problem::error(code::STATUS, place, message);
        reader.tell(problem.label("expected 301, 302, 303, 307 or 308"));
    }
    let to = reader.form(scope, "to", names::location)?;
    Some(Action::Redirect { to: to.value, status })
}

fn response(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Option<Action> {
    scope.table?;
    let status: u16 = reader.integer(scope, "status");
    let body = reader.text(scope, "body");
    if matches!(status, 204 | 205 | 304) && !body.is_empty() {
        let message = format!("a reply with status {status} has no body");
        reader.tell(Problem::error(code::STATUS, scope.place_of("body"), message));
    }
    let headers = fields(reader, scope, "headers", names::edited_field);
    Some(Action::Respond { status, body: shared(&body), headers })
}

pub(super) fn rewrite(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Rewrite {
    let entries = scope.table.map_or(&[][..], |table| table.entries.as_slice());
    let acts: Vec<&Entry> = entries.iter().filter(|entry| entry.key != "with").collect();
    exclusive(reader, &acts);
    let (regex_key, with_key) = (scope.entry("path_regex"), scope.entry("with"));
    match (regex_key, with_key) {
        (Some(one), None) | (None, Some(one)) => {
            let message = "`path_regex` and `with` go together";
            reader.tell(Problem::error(code::MISSING, one.key_place, message));
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
    let mut one = |key, parse: fn(&str) -> Result<Arc<str>, Wrong>| {
        reader.form(scope, key, parse).map(|text| text.value)
    };
    if let Some(prefix) = one("strip_prefix", names::prefix) {
        return Rewrite::StripPrefix(prefix);
    }
    if let Some(prefix) = one("add_prefix", names::prefix) {
        return Rewrite::AddPrefix(prefix);
    }
    if let Some(prefix) = one("replace_prefix", names::prefix) {
        return Rewrite::ReplacePrefix(prefix);
    }
    if let Some(path) = one("path", names::path) {
        return Rewrite::Path(path);
    }
    let regex = regex(reader, scope, "path_regex", Anchor::No);
    let with = reader.form(scope, "with", replacement);
    match (regex, with) {
        (Some(regex), Some(with)) => {
            groups(reader, &regex, &with);
            Rewrite::Regex(regex, with.value)
        }
        (Some(_), None) | (None, Some(_)) | (None, None) => Rewrite::Keep,
    }
}

fn replacement(text: &str) -> Result<Arc<str>, Wrong> {
    if text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(shared(text));
    }
    Err(Wrong::new(code::PATH, "a path holds visible ASCII only"))
}

/// Tells of `$7` where there is no seventh group: it would silently become nothing.
fn groups(reader: &mut Reader<'_, '_>, regex: &Regex, with: &Placed<Arc<str>>) {
    for after in with.value.split('$').skip(1) {
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        if digits.parse::<usize>().is_ok_and(|group| group >= regex.0.captures_len()) {
            let message = format!("`path_regex` has no group {digits}");
            reader.tell(Problem::error(code::REWRITE, with.place, message));
        }
    }
}

/// Whether the rewrite can do what it says to what the route matches.
pub(super) fn fits(
    reader: &mut Reader<'_, '_>,
    scope: &Scope<'_>,
    path: &PathPattern,
    rewrite: &Rewrite,
) {
    let rewriting = scope.child("rewrite");
    match (rewrite, path) {
        (Rewrite::ReplacePrefix(_), PathPattern::Prefix(_) | PathPattern::Any)
            if scope.child("match").entry("path").is_some() => {}
        (Rewrite::ReplacePrefix(_), _) => {
            let place = rewriting.place_of("replace_prefix");
            let message = "`replace_prefix` needs a `path` that ends in `/*`";
            reader.tell(Problem::error(code::REWRITE, place, message));
        }
        (Rewrite::StripPrefix(strip), PathPattern::Exact(path) | PathPattern::Prefix(path))
            if below(path, strip) => {}
        // Nobody can say what a regular expression matches.
        (Rewrite::StripPrefix(_), PathPattern::Regex(_)) => {}
        (Rewrite::StripPrefix(strip), _) => {
            let place = rewriting.place_of("strip_prefix");
            let message = format!("this route also matches paths that do not begin with `{strip}`");
            let matching = scope.child("match");
            reader.tell(
                Problem::warning(code::REWRITE, place, message)
                    .label("leaves those as they are")
                    .related(matching.place_of("path"), "what is matched"),
            );
        }
        (Rewrite::Keep | Rewrite::AddPrefix(_) | Rewrite::Path(_) | Rewrite::Regex(..), _) => {}
    }
}

/// Whether `path` is `prefix` or lies below it, by whole segments.
pub(super) fn below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The edits of a route or a version.
pub(super) fn headers(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Headers {
    let scope = scope.child("headers");
    Headers {
        request: edits(reader, &scope.child("request")),
        response: edits(reader, &scope.child("response")),
    }
}

pub(super) fn edits(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Edits {
    Edits {
        remove: distinct(reader.forms(scope, "remove", names::edited_field)),
        set: fields(reader, scope, "set", names::edited_field),
        add: fields(reader, scope, "add", names::edited_field),
    }
}

/// Fields with their values; a name is there once, however its letters are written.
pub(super) fn fields(
    reader: &mut Reader<'_, '_>,
    scope: &Scope<'_>,
    key: &str,
    name_of: fn(&str) -> Result<Arc<str>, Wrong>,
) -> Vec<(Arc<str>, Arc<str>)> {
    let written = reader.map(scope, key, Reader::as_text);
    let mut fields = Vec::new();
    let mut places = Vec::new();
    for (name, place, value) in written {
        let name = reader.check(place, name_of(&name));
        let value = reader.check(value.place, names::field_value(&value.value));
        if let (Some(name), Some(value)) = (name, value) {
            places.push((Arc::clone(&name), place));
            fields.push((name, value));
        }
    }
    for (name, first, second) in repeated(places.into_iter()) {
        let problem = Problem::error(code::TWICE, second, format!("field `{name}` is there twice"));
        reader.tell(problem.related(first, "first here"));
    }
    fields
}
