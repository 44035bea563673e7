//! `[flag.*]`.

use std::time::Duration;

use super::{Given, group::Groups, moment, rule, variant, variant::Variants};
use crate::{
    check::{Upstreams, end, found, named, rollout::HORIZON_SECONDS},
    code, known,
    model::{
        Gate, Name, UpstreamIx,
        flag::{Flag, FlagJudge, VariantValue},
    },
    names,
    problem::Problem,
    read::{Placed, Reader, Scope, shared},
    tree::Entry,
};

/// What a flag refers to.
pub(super) struct Known<'a> {
    pub(super) given: Given,
    pub(super) groups: &'a Groups,
    pub(super) upstreams: &'a Upstreams,
}

/// A flag, and whether nothing is wrong with its variants.
pub(super) fn flag(
    reader: &mut Reader<'_, '_>,
    entry: &Entry,
    scope: &Scope<'_>,
    known: &Known<'_>,
) -> (Flag, bool) {
    let name = named(reader, entry);
    let variants = variant::all(reader, scope);
    let default = default(reader, scope, &name, &variants);
    let rules = rule::all(reader, scope, &variants, known.groups);
    let by = known.given.place(reader, scope, "by");
    let is_drawn = rule::drawing(&rules);
    if let Some(place) = is_drawn.filter(|_| !known.given.has_key && scope.entry("by").is_none()) {
        let message = format!("nothing says what tells the users of [flag.{name}] apart");
        reader.tell(
            Problem::error(code::TARGETING, place, message)
                .help("add by = \"cookie:uid\" here or to [flags]".to_owned()),
        );
    }
    let [start, end] = ["start", "end"].map(|key| reader.value(scope, key, moment));
    if let (Some(start), Some(end)) = (&start, &end)
        && end.value <= start.value
    {
        let problem = Problem::error(code::FLAG, end.place, "`end` is not after `start`");
        reader.tell(problem.related(start.place, "`start`"));
    }
    let flag = Flag {
        enabled: reader.bool(scope, "enabled"),
        default: default.unwrap_or(0),
        by,
        salt: reader.filled(scope, "salt").map_or_else(|| name.clone(), |it| shared(&it.value)),
        rules: rules.into_iter().map(|rule| rule.value).collect(),
        start: start.map(|at| at.value),
        end: end.map(|at| at.value),
        owner: shared(&reader.text(scope, "owner")),
        description: shared(&reader.text(scope, "description")),
        expires: expires(reader, scope, &name),
        judge: judge(reader, scope, &name, &variants, default, known.upstreams),
        name,
        variants: variants.all,
    };
    (flag, variants.is_known)
}

fn default(
    reader: &mut Reader<'_, '_>,
    scope: &Scope<'_>,
    name: &str,
    variants: &Variants,
) -> Option<usize> {
    if scope.entry("default").is_none() {
        let off = (Name::from("off"), VariantValue::Bool(false));
        if let Some(off) = variants.all.iter().position(|variant| *variant == off) {
            return Some(off);
        }
        if !variants.is_known {
            return None;
        }
        let message = format!("[flag.{name}] has no `default`");
        let problem = Problem::error(code::MISSING, scope.place, message);
        let first = variants.all.first().map(|(name, _)| format!("add default = \"{name}\""));
        reader.tell(problem.label("for whom no rule holds, what holds?").help(first));
        return None;
    }
    let written = reader.form(scope, "default", |text| Ok(text.to_owned()))?;
    variants.find(reader, &written.value, written.place)
}

fn expires(reader: &mut Reader<'_, '_>, scope: &Scope<'_>, name: &str) -> Option<u64> {
    let at = reader.value(scope, "expires", moment)?;
    if reader.sources.options.now.is_some_and(|now| now >= at.value) {
        let message =
            format!("[flag.{name}] should be gone since {}", names::show_moment(at.value));
        reader.tell(
            Problem::warning(code::EXPIRED, at.place, message)
                .help("take it out of the code, then out of the file".to_owned()),
        );
    }
    Some(at.value)
}

/// `judge = "shop"`, or `{ upstream = "shop", variant = "on" }`.
fn judge(
    reader: &mut Reader<'_, '_>,
    flag: &Scope<'_>,
    name: &str,
    variants: &Variants,
    default: Option<usize>,
    upstreams: &Upstreams,
) -> Option<FlagJudge> {
    let entry = flag.entry("judge")?;
    let scope = flag.child("judge");
    let long = scope.table.filter(|table| !known::is_outside(table));
    let written = if long.is_some() {
        end(reader, &format!("flag.{name}.judge"), &scope, "upstream", upstreams)
    } else {
        let value = reader.as_text(scope.row.field, &entry.node)?;
        found(reader, &Placed { value, place: entry.node.place }, upstreams)
    };
    let scope = Scope { table: long, ..scope };
    let variant = tested(reader, &scope, variants, default);
    let written = written?;
    let (upstream, version): (UpstreamIx, _) = written.value;
    if version.is_some() {
        let message = "a flag is judged over all versions of an upstream";
        let problem = Problem::error(code::REFERENCE, written.place, message);
        reader.tell(problem.label("without the version"));
    }
    let horizon = horizon(reader, &scope);
    Some(FlagJudge { upstream, variant: variant?, horizon })
}

/// How long what a user sees counts; as of a rollout, unless it is said.
fn horizon(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Duration {
    let horizon = reader.duration_or(scope, "horizon", Gate::default().horizon);
    if horizon.subsec_nanos() != 0 || !HORIZON_SECONDS.contains(&horizon.as_secs()) {
        let place = scope.entry("horizon").map_or(scope.place, |entry| entry.node.place);
        let problem = Problem::error(code::RANGE, place, "`horizon` is out of range");
        reader.tell(problem.label("whole seconds, \"1s\" to \"10m\""));
    }
    horizon
}

/// The variant under test: the one that is not the default, if there are two.
fn tested(
    reader: &mut Reader<'_, '_>,
    scope: &Scope<'_>,
    variants: &Variants,
    default: Option<usize>,
) -> Option<usize> {
    if let Some(written) = reader.form(scope, "variant", |text| Ok(text.to_owned())) {
        let variant = variants.find(reader, &written.value, written.place)?;
        if Some(variant) == default {
            let message = "the default cannot be judged against itself";
            reader.tell(Problem::error(code::FLAG, written.place, message));
        }
        return Some(variant);
    }
    let default = default?;
    if let [_, _] = variants.all.as_slice() {
        return Some(1 - default);
    }
    if variants.is_known && scope.entry("variant").is_none() {
        let message = "`judge` does not say which variant is under test";
        let problem = Problem::error(code::MISSING, scope.place, message);
        reader.tell(problem.help("write judge = { upstream = …, variant = … }".to_owned()));
    }
    None
}
