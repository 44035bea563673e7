//! From what was written to what may be believed, never stopping at the first fault.
//!
//! One file per area. Whatever is wrong is told, and a stand-in takes its place, so that the rest
//! can be checked; a [`Config`] with stand-ins never leaves this crate.

mod admin;
mod flag;
mod kpi;
mod listener;
mod overlap;
mod rate;
mod rollout;
mod route;
mod service;
mod shadow;
mod tls;
mod trace;
mod upstream;

use std::{collections::HashMap, hash::Hash};

use crate::{
    code, known,
    model::{Config, Name, Shadow, Upstream, UpstreamIx, VersionIx, flag::FlagCondition},
    names,
    problem::{Place, Problem, Severity, Wrong},
    read::{Placed, Reader, Scope},
    source::Sources,
    tree::{Entry, Table},
};

/// Builds the configuration and leaves the problems in `sources`.
pub(crate) fn build(root: &Table, sources: &mut Sources<'_>) -> Config {
    known::check(root, &mut sources.problems);
    let files = sources.files.iter().filter_map(|file| file.path.clone()).collect();
    let mut reader = Reader { sources };
    let scope = Scope::root(root);
    reader.forms(&scope, "include", |text| Ok(text.to_owned()));

    let timeouts = service::timeouts(&mut reader, &scope);
    let limits = service::limits(&mut reader, &scope);
    let admin = admin::admin(&mut reader, &scope);
    let metrics = service::metrics(&mut reader, &scope);
    let terms = flag::terms(&mut reader, &scope);
    let ours = listener::Ours { admin: &admin, metrics: &metrics, ofrep: &terms.binds };
    let listeners = listener::all(&mut reader, &scope, &ours);
    let upstreams = Upstreams::new(upstream::all(&mut reader, &scope));
    let flags = flag::all(&mut reader, &scope, terms, &upstreams);
    let globals = route::Globals { timeouts: &timeouts, limits: &limits, flags: &flags };
    let routes = route::all(&mut reader, &scope, &upstreams, &globals);
    overlap::check(&mut reader, &routes);
    let shadows = shadow::all(&mut reader, &scope, &upstreams, &flags);
    let kpis = kpi::all(&mut reader, &scope, &upstreams);
    let known = rollout::Known { upstreams: &upstreams, shadows: &shadows, kpis: &kpis };
    let rollouts = rollout::all(&mut reader, &scope, &known);
    flag::bounded(&mut reader, &scope, &flags, on_flags(&routes, &shadows));
    let logged = trace::Named { upstreams: &upstreams, routes: &routes };
    let access_log = service::access_log(&mut reader, &scope, &logged);
    unused(&mut reader, &upstreams.declared, &routes, &shadows, &flags);

    Config {
        listeners,
        upstreams: upstreams.declared.into_iter().map(|declared| declared.upstream).collect(),
        routes: routes.into_iter().map(|declared| declared.route).collect(),
        shadows,
        rollouts,
        flags: flags.flags,
        kpis: kpis.into_iter().map(|declared| declared.kpi).collect(),
        metrics,
        log: service::log(&mut reader, &scope),
        access_log,
        trace: trace::tracing(&mut reader, &scope),
        runtime: service::runtime(&mut reader, &scope),
        state: service::state(&mut reader, &scope),
        timeouts,
        limits,
        admin,
        files,
    }
}

/// An upstream, with the places that other tables' problems point at.
struct Declared {
    upstream: Upstream,
    place: Place,
    /// In their order.
    versions: Vec<DeclaredVersion>,
    /// Whether nothing was wrong with its split, so that it is known who is stable.
    split_readable: bool,
}

/// What is known of a version beyond what the model says.
struct DeclaredVersion {
    place: Place,
    /// Where `split` gives it a share.
    share: Option<Place>,
    /// Whether nothing was wrong with its endpoints.
    readable: bool,
}

/// All upstreams, found by name.
struct Upstreams {
    declared: Vec<Declared>,
    by_name: HashMap<Name, usize>,
}

impl Upstreams {
    fn new(declared: Vec<Declared>) -> Self {
        let names = declared.iter().map(|declared| declared.upstream.name.clone());
        let by_name = names.zip(0..).collect();
        Self { declared, by_name }
    }
}

/// Finds `upstream` or `upstream@version`; else what is wrong, and the upstream's place if it exists.
fn target(
    text: &str,
    upstreams: &Upstreams,
) -> Result<(UpstreamIx, Option<VersionIx>), (Wrong, Option<Place>)> {
    let (name, version) = match text.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (text, None),
    };
    let Some(&at) = upstreams.by_name.get(name) else {
        let names = upstreams.declared.iter().map(|declared| &*declared.upstream.name);
        let wrong = Wrong::new(code::REFERENCE, format!("there is no upstream `{name}`"));
        return Err((guessing(wrong, name, names), None));
    };
    let ix = UpstreamIx(u16::try_from(at).unwrap_or(u16::MAX));
    let Some(version) = version else { return Ok((ix, None)) };
    let declared = &upstreams.declared[at];
    match declared.upstream.versions.iter().position(|known| *known.name == *version) {
        Some(at) => Ok((ix, Some(VersionIx(u16::try_from(at).unwrap_or(u16::MAX))))),
        None => {
            let names = declared.upstream.versions.iter().map(|version| &*version.name);
            let message = format!("[upstream.{name}] has no version `{version}`");
            let wrong = guessing(Wrong::new(code::REFERENCE, message), version, names);
            Err((wrong, Some(declared.place)))
        }
    }
}

/// What `key` of `[table]` names; `None` if it is missing or wrong, which is told.
fn end(
    reader: &mut Reader<'_, '_>,
    table: &str,
    scope: &Scope<'_>,
    key: &str,
    upstreams: &Upstreams,
) -> Option<Placed<(UpstreamIx, Option<VersionIx>)>> {
    needed(reader, table, scope, key);
    let text = reader.form(scope, key, |text| Ok(text.to_owned()))?;
    found(reader, &text, upstreams)
}

/// What a text names; `None` if it is wrong, which is told.
fn found(
    reader: &mut Reader<'_, '_>,
    text: &Placed<String>,
    upstreams: &Upstreams,
) -> Option<Placed<(UpstreamIx, Option<VersionIx>)>> {
    match target(&text.value, upstreams) {
        Ok(value) => Some(Placed { value, place: text.place }),
        Err((wrong, declared)) => {
            let problem = wrong.at(text.place);
            reader.tell(match declared {
                Some(place) => problem.related(place, "declared here"),
                None => problem,
            });
            None
        }
    }
}

/// Tells if `[table]` does not have `key`.
fn needed(reader: &mut Reader<'_, '_>, table: &str, scope: &Scope<'_>, key: &str) {
    if scope.entry(key).is_none() {
        let message = format!("[{table}] has no `{key}`");
        reader.tell(Problem::error(code::MISSING, scope.place, message));
    }
}

/// Labels a wrong name with the nearest known one.
fn guessing<'a>(wrong: Wrong, name: &str, known: impl Iterator<Item = &'a str>) -> Wrong {
    match known::nearest(name, known) {
        Some(guess) => wrong.label(format!("did you mean `{guess}`?")),
        None => wrong,
    }
}

/// The key of a named table as a name; a bad one is told and taken as it is.
fn named(reader: &mut Reader<'_, '_>, entry: &Entry) -> Name {
    reader
        .check(entry.key_place, names::name(&entry.key))
        .unwrap_or_else(|| entry.key.as_str().into())
}

/// Tells when there are more of something than indices for it.
fn bounded(reader: &mut Reader<'_, '_>, count: usize, what: &str, place: Place) {
    if count > usize::from(u16::MAX) {
        let message = format!("there are more than {} {what}", u16::MAX);
        reader.tell(Problem::error(code::RANGE, place, message));
    }
}

/// Values that were seen before, with their places.
fn repeated<T: Eq + Hash + Clone>(
    items: impl Iterator<Item = (T, Place)>,
) -> Vec<(T, Place, Place)> {
    let mut seen: HashMap<T, Place> = HashMap::new();
    let mut repeated = Vec::new();
    for (item, place) in items {
        match seen.get(&item) {
            Some(first) => repeated.push((item, *first, place)),
            None => {
                seen.insert(item, place);
            }
        }
    }
    repeated
}

/// Warns of upstreams that no route leads to, of having no route at all, and of flags and groups
/// that nothing asks for.
fn unused(
    reader: &mut Reader<'_, '_>,
    upstreams: &[Declared],
    routes: &[route::DeclaredRoute],
    shadows: &[Shadow],
    flags: &flag::Declared,
) {
    // With an error elsewhere, such as a mistyped table, this would only be noise.
    if reader.sources.problems.iter().any(|problem| problem.severity == Severity::Error) {
        return;
    }
    if routes.is_empty() {
        let message = "there is no route, so every request is answered with 404";
        reader.tell(Problem::warning(code::NOTHING, Place::default(), message));
    }
    let mut used = vec![false; upstreams.len()];
    let copied_to = shadows.iter().map(|shadow| shadow.to.0);
    for ix in routes.iter().filter_map(route::DeclaredRoute::upstream).chain(copied_to) {
        used[usize::from(ix.0)] = true;
    }
    for (declared, used) in upstreams.iter().zip(used) {
        if !used {
            let message = format!("no route leads to [upstream.{}]", declared.upstream.name);
            reader.tell(Problem::warning(code::UNUSED, declared.place, message));
        }
    }
    flag::unused(reader, flags, on_flags(routes, shadows));
}

/// What routes and shadows match on.
fn on_flags<'m>(
    routes: &'m [route::DeclaredRoute],
    shadows: &'m [Shadow],
) -> impl Iterator<Item = &'m FlagCondition> {
    let of_routes = routes.iter().map(|declared| &declared.route.matches);
    let matches = of_routes.chain(shadows.iter().map(|shadow| &shadow.matches));
    matches.flat_map(|matches| &matches.flags)
}
