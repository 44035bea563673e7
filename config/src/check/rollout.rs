//! `[rollout.*]`: how a canary grows, what it is held to, and what follows.

mod gate;
mod steps;

pub(super) use self::gate::HORIZON_SECONDS;
use super::route;
use std::sync::Arc;

use super::{Declared, DeclaredVersion, Upstreams, end, kpi::DeclaredKpi, named, needed, repeated};
use crate::{
    code, known,
    model::{
        Fuse, On, OnFail, OnInconclusive, Probe, Rollout, Shadow, Share, Start, UpstreamIx,
        Version, VersionIx,
    },
    names,
    problem::{Place, Problem, Wrong},
    read::{Placed, Reader, Scope, shared, values},
    tree::Entry,
    units,
};

/// What a rollout may name.
pub(super) struct Known<'a> {
    pub(super) upstreams: &'a Upstreams,
    pub(super) shadows: &'a [Shadow],
    pub(super) kpis: &'a [DeclaredKpi],
}

/// Every rollout, in order of declaration.
pub(super) fn all(
    reader: &mut Reader<'_, '_>,
    root: &Scope<'_>,
    known: &Known<'_>,
) -> Vec<Rollout> {
    let mut rollouts = Vec::new();
    let mut places = Vec::new();
    for (entry, scope) in root.named("rollout") {
        if let Some(rollout) = rollout(reader, entry, &scope, known) {
            places.push((rollout.upstream, entry.key_place));
            rollouts.push(rollout);
        }
    }
    for (upstream, first, second) in repeated(places.into_iter()) {
        let name = &known.upstreams.declared[usize::from(upstream.0)].upstream.name;
        let message = format!("[upstream.{name}] has two rollouts");
        let problem = Problem::error(code::ROLLOUT, second, message);
        reader.tell(problem.label("the second").related(first, "the first"));
    }
    rollouts
}

fn rollout(
    reader: &mut Reader<'_, '_>,
    entry: &Entry,
    scope: &Scope<'_>,
    known: &Known<'_>,
) -> Option<Rollout> {
    let name = named(reader, entry);
    let table = format!("rollout.{name}");
    let ends = ends(reader, &table, scope, known.upstreams);
    let max = reader.duration(scope, "max");
    let steps = steps::all(reader, scope, max);
    if let Some(ends) = &ends {
        ends.check(reader);
        steps::fit(reader, scope, &steps, ends, known.shadows);
    }
    let rollout = Rollout {
        name,
        // Never seen by anyone: without both ends, a problem was told.
        upstream: ends.as_ref().map_or(UpstreamIx(0), |ends| ends.upstream),
        from: ends.as_ref().map_or(VersionIx(0), |ends| ends.from.value),
        to: ends.as_ref().map_or(VersionIx(0), |ends| ends.to.value),
        start: match reader.choice(scope, "start") {
            "on_change" => Start::OnChange,
            _ => Start::Manual,
        },
        steps: values(steps),
        max,
        cooldown: reader.duration(scope, "cooldown"),
        gate: gate::gate(reader, &table, &scope.child("gate"), ends.as_ref(), known),
        fuse: fuse(reader, scope),
        on: on(reader, &scope.child("on")),
        tests: tests(reader, &table, scope),
        windows: values(reader.forms(scope, "windows", names::window)),
    };
    reader.not_empty(scope, &["windows"]);
    ends.map(|_| rollout)
}

/// Both ends of a rollout, of one upstream.
struct Ends<'a> {
    declared: &'a Declared,
    upstream: UpstreamIx,
    from: Placed<VersionIx>,
    to: Placed<VersionIx>,
}

/// Both ends, if they are two versions of one upstream.
fn ends<'a>(
    reader: &mut Reader<'_, '_>,
    table: &str,
    scope: &Scope<'_>,
    upstreams: &'a Upstreams,
) -> Option<Ends<'a>> {
    let from = version(reader, table, scope, "from", upstreams);
    let to = version(reader, table, scope, "to", upstreams);
    let (from, to) = (from?, to?);
    let wrong = |message: &str, label: &str| {
        let problem = Problem::error(code::ROLLOUT, to.place, message);
        problem.related(from.place, label)
    };
    if from.value == to.value {
        reader.tell(wrong("a version cannot take over from itself", "the same version"));
        return None;
    }
    let (upstream, from_version) = from.value;
    if upstream != to.value.0 {
        reader.tell(wrong("a rollout stays within one upstream", "of another upstream"));
        return None;
    }
    Some(Ends {
        declared: &upstreams.declared[usize::from(upstream.0)],
        upstream,
        from: Placed { value: from_version, place: from.place },
        to: Placed { value: to.value.1, place: to.place },
    })
}

fn version(
    reader: &mut Reader<'_, '_>,
    table: &str,
    scope: &Scope<'_>,
    key: &str,
    upstreams: &Upstreams,
) -> Option<Placed<(UpstreamIx, VersionIx)>> {
    let found = end(reader, table, scope, key, upstreams)?;
    let Placed { value: (upstream, Some(version)), place } = found else {
        let message = format!("`{key}` does not say which version");
        let problem = Problem::error(code::REFERENCE, found.place, message);
        reader.tell(problem.label("expected \"UPSTREAM@VERSION\""));
        return None;
    };
    Some(Placed { value: (upstream, version), place })
}

impl Ends<'_> {
    /// A version with what is known of where it is declared.
    fn version(&self, version: VersionIx) -> (&Version, &DeclaredVersion) {
        let at = usize::from(version.0);
        (&self.declared.upstream.versions[at], &self.declared.versions[at])
    }

    /// `upstream@version`.
    fn shown(&self, version: VersionIx) -> String {
        format!("{}@{}", self.declared.upstream.name, self.version(version).0.name)
    }

    /// The share that the file gives a version, and where.
    fn share(&self, version: VersionIx) -> (Share, Place) {
        let share = self.declared.upstream.split[usize::from(version.0)];
        (share, self.version(version).1.share.unwrap_or(self.declared.place))
    }

    /// Whether a rollout may take users from the one to the other.
    fn check(&self, reader: &mut Reader<'_, '_>) {
        let stable = self.declared.upstream.stable;
        if self.declared.split_readable && self.from.value != stable {
            let (_, declared) = self.version(stable);
            let message = format!("`{}` is not the stable version", self.shown(self.from.value));
            let problem = Problem::error(code::ROLLOUT, self.from.place, message)
                .label(format!("stable is `{}`", self.shown(stable)))
                .related(declared.share.unwrap_or(declared.place), "stable");
            reader.tell(problem.help(
                "the stable version is the one left out of `split`, else the one that it names first"
                    .to_owned(),
            ));
        } else {
            self.owns_split(reader);
        }
        for end in [&self.from, &self.to] {
            let (version, declared) = self.version(end.value);
            if declared.readable && version.endpoints.is_empty() {
                let message = format!("`{}` has no endpoint", self.shown(end.value));
                let problem = Problem::error(code::NO_ENDPOINT, end.place, message);
                reader.tell(problem.related(declared.place, "declared here"));
            }
        }
    }

    /// Two owners of one number would undo each other's work.
    fn owns_split(&self, reader: &mut Reader<'_, '_>) {
        let (share, place) = self.share(self.to.value);
        if !self.declared.split_readable || share == Share::NONE {
            return;
        }
        let message = format!(
            "`split` gives `{}` {}, and the rollout owns its share",
            self.shown(self.to.value),
            units::show_share(share)
        );
        reader.tell(
            Problem::error(code::OWNED, place, message)
                .related(self.to.place, "taken over by this rollout")
                .help("leave `split` to the stable version, or take the rollout out".to_owned()),
        );
    }
}

/// The fuse of a rollout; `fuse = false` is short for no budget.
fn fuse(reader: &mut Reader<'_, '_>, rollout: &Scope<'_>) -> Fuse {
    const WINDOW_SECONDS: std::ops::RangeInclusive<u64> = 2..=30;
    let scope = rollout.child("fuse");
    let is_long = scope.table.is_some_and(|table| !known::is_outside(table));
    let is_off = !is_long && rollout.entry("fuse").is_some() && !reader.bool(rollout, "fuse");
    let scope = Scope { table: scope.table.filter(|_| is_long), ..scope };
    let window = reader.duration(&scope, "window");
    if window.subsec_nanos() != 0 || !WINDOW_SECONDS.contains(&window.as_secs()) {
        let place = scope.entry("window").map_or(scope.place, |entry| entry.node.place);
        let problem = Problem::error(code::RANGE, place, "`window` is out of range");
        reader.tell(problem.label("whole seconds between 2s and 30s"));
    }
    let budget = reader.integer(&scope, "budget");
    Fuse {
        budget: if is_off { 0 } else { budget },
        window,
        factor: reader.integer(&scope, "factor"),
    }
}

fn on(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> On {
    On {
        fail: match reader.choice(scope, "fail") {
            "hold" => OnFail::Hold,
            _ => OnFail::Rollback,
        },
        inconclusive: match reader.choice(scope, "inconclusive") {
            "rollback" => OnInconclusive::Rollback,
            "advance" => OnInconclusive::Advance,
            _ => OnInconclusive::Hold,
        },
        webhook: reader.form(scope, "webhook", names::webhook).map(|url| url.value),
        confirm: reader.form(scope, "confirm", names::webhook).map(|url| url.value),
        timeout: reader.duration(scope, "timeout"),
        retries: reader.integer(scope, "retries"),
    }
}

fn tests(reader: &mut Reader<'_, '_>, table: &str, rollout: &Scope<'_>) -> Vec<Probe> {
    let tests = rollout.named("test").into_iter();
    tests.map(|(entry, scope)| test(reader, table, entry, &scope)).collect()
}

fn test(reader: &mut Reader<'_, '_>, rollout: &str, entry: &Entry, scope: &Scope<'_>) -> Probe {
    let name = named(reader, entry);
    needed(reader, &format!("{rollout}.test.{name}"), scope, "path");
    reader.not_empty(scope, &["status"]);
    let method = reader.form(scope, "method", names::method);
    if let Some(method) = method.as_ref().filter(|method| &*method.value == "CONNECT") {
        let problem = Problem::error(code::METHOD, method.place, "a test cannot open a tunnel");
        reader.tell(problem);
    }
    Probe {
        name,
        method: method.map_or_else(|| "GET".into(), |method| method.value),
        path: reader.form(scope, "path", names::target).map_or_else(|| "/".into(), |it| it.value),
        host: reader.form(scope, "host", names::authority).map(|host| host.value),
        headers: route::fields(reader, scope, "headers", test_field),
        body: reader.filled(scope, "body").map(|body| shared(&body.value)),
        status: values(reader.forms(scope, "status", names::statuses)),
        contains: reader.filled(scope, "contains").map(|text| shared(&text.value)),
        timeout: reader.duration(scope, "timeout"),
    }
}

/// The name of a field of a test, whose host has a key of its own.
fn test_field(text: &str) -> Result<Arc<str>, Wrong> {
    names::edited_field(text).map_err(|wrong| {
        let help = wrong.help.as_ref().map(|_| "set `host` of the test instead".to_owned());
        wrong.help(help)
    })
}
