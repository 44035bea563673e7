//! `[rollout.*.gate]`: what a canary is held to.

use std::time::Duration;

use super::{Ends, Known, needed};
use crate::{
    check::guessing,
    code,
    model::{Gate, Limit, Share, Timing, Worse},
    names::QUANTILES,
    problem::{Problem, Wrong},
    read::{Placed, Reader, Scope},
};

/// Below, the judge would guess more often than not; above, it would never dare.
pub(in crate::check) const HORIZON_SECONDS: std::ops::RangeInclusive<u64> = 1..=600;
const CONFIDENCE: std::ops::RangeInclusive<Share> = Share(50_000)..=Share(99_999);

pub(super) fn gate(
    reader: &mut Reader<'_, '_>,
    rollout: &str,
    scope: &Scope<'_>,
    ends: Option<&Ends<'_>>,
    known: &Known<'_>,
) -> Gate {
    let quantile = |(key, quantile)| scope.present(key).map(|scope| (quantile, scope));
    let mut quantiles = Vec::new();
    for (quantile, scope) in QUANTILES.into_iter().filter_map(quantile) {
        quantiles.push((quantile, own_quantile(reader, &scope)));
    }
    let risk = scope.child("risk");
    Gate {
        min_requests: reader.integer(scope, "min_requests"),
        confidence: confidence(reader, scope),
        warmup: reader.duration(scope, "warmup"),
        horizon: horizon(reader, scope),
        timing: match reader.choice(scope, "timing") {
            "first_byte" => Timing::FirstByte,
            _ => Timing::Total,
        },
        error_rate: rate(reader, &scope.child("error_rate")),
        timeout_rate: rate(reader, &scope.child("timeout_rate")),
        latency: latency(reader, &scope.child("latency")),
        quantiles,
        saturation_max: saturation(reader, scope),
        diff_rate_max: diff_rate(reader, scope, ends, known),
        kpis: kpis(reader, rollout, scope, ends, known),
        risk_errors: harm(reader, &risk, "errors"),
        risk_latency: harm(reader, &risk, "latency"),
    }
}

fn horizon(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Duration {
    let horizon = reader.duration(scope, "horizon");
    if horizon.subsec_nanos() != 0 || !HORIZON_SECONDS.contains(&horizon.as_secs()) {
        let place = scope.entry("horizon").map_or(scope.place, |entry| entry.node.place);
        let problem = Problem::error(code::RANGE, place, "`horizon` is out of range");
        reader.tell(problem.label("whole seconds, \"1s\" to \"10m\""));
    }
    horizon
}

fn confidence(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Share {
    let confidence = reader.share(scope, "confidence");
    if let Some(written) = scope.entry("confidence").filter(|_| !CONFIDENCE.contains(&confidence)) {
        let message = "`confidence` is out of range";
        let problem = Problem::error(code::RANGE, written.node.place, message);
        reader.tell(problem.label("between 50% and 99.999%").help(
            "it is one minus the chance of rolling back a version that is no worse than allowed"
                .to_owned(),
        ));
    }
    confidence
}

fn rate(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Limit {
    Limit {
        worse_by: reader.worse(scope, "worse_by").map(|worse| worse.value),
        max: above_zero(reader, scope).map(Share::fraction),
    }
}

fn latency(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Limit {
    Limit {
        worse_by: reader.worse(scope, "worse_by").map(|worse| worse.value),
        max: reader.duration_if(scope, "max").as_ref().map(Duration::as_secs_f64),
    }
}

/// A quantile by itself has no defaults, and so must be held to something.
fn own_quantile(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Limit {
    if scope.table.is_some_and(|table| table.entries.is_empty()) {
        let message = "this holds the canary to nothing";
        let problem = Problem::error(code::MISSING, scope.place, message);
        reader.tell(problem.label("expected `worse_by` or `max`, or both"));
    }
    latency(reader, scope)
}

/// The share `max`, unless it is zero, which the first bad request would break.
fn above_zero(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Option<Share> {
    let max = reader.share_if(scope, "max")?;
    if max.value == Share::NONE {
        let problem = Problem::error(code::RANGE, max.place, "`max` may not be zero");
        reader.tell(problem.label("any canary breaks this sooner or later"));
    }
    Some(max.value)
}

fn saturation(reader: &mut Reader<'_, '_>, gate: &Scope<'_>) -> Option<Share> {
    let scope = gate.present("saturation")?;
    bounded(reader, &scope);
    above_zero(reader, &scope)
}

/// Without anyone to count differences, a bound on them would hold every canary or none.
fn diff_rate(
    reader: &mut Reader<'_, '_>,
    gate: &Scope<'_>,
    ends: Option<&Ends<'_>>,
    known: &Known<'_>,
) -> Option<Share> {
    let scope = gate.present("diff_rate")?;
    bounded(reader, &scope);
    let max = reader.share_if(&scope, "max")?;
    if let Some(ends) = ends.filter(|ends| !ends.have_shadow(known.shadows)) {
        let message = "there is no shadow whose differences could be counted";
        let problem = Problem::error(code::MISSING, scope.place, message);
        reader.tell(problem.help(ends.shadow_to_add()));
    }
    Some(max.value)
}

/// Tells if a table with nothing but a bound lacks that.
fn bounded(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) {
    if scope.table.is_some_and(|table| table.get("max").is_none()) {
        let message = "this holds the canary to nothing";
        let problem = Problem::error(code::MISSING, scope.place, message);
        reader.tell(problem.label("expected `max`"));
    }
}

fn kpis(
    reader: &mut Reader<'_, '_>,
    rollout: &str,
    gate: &Scope<'_>,
    ends: Option<&Ends<'_>>,
    known: &Known<'_>,
) -> Vec<(usize, Limit)> {
    let mut limits = Vec::new();
    for (entry, scope) in gate.named("kpi") {
        needed(reader, &format!("{rollout}.gate.kpi.{}", entry.key), &scope, "worse_by");
        let worse = reader.worse(&scope, "worse_by");
        let at = known.kpis.iter().position(|declared| *declared.kpi.name == *entry.key);
        let Some(at) = at else {
            let message = format!("there is no KPI `{}`", entry.key);
            let names = known.kpis.iter().map(|declared| &*declared.kpi.name);
            let wrong = guessing(Wrong::new(code::REFERENCE, message), &entry.key, names);
            reader.tell(wrong.at(entry.key_place));
            continue;
        };
        let declared = &known.kpis[at];
        let is_other = |ends: &&Ends<'_>| ends.upstream != declared.kpi.upstream;
        if ends.filter(is_other).is_some() && declared.has_upstream {
            let message = format!("KPI `{}` belongs to another upstream", entry.key);
            let problem = Problem::error(code::REFERENCE, entry.key_place, message);
            reader.tell(problem.related(declared.place, "declared here"));
        }
        let of_amount =
            |worse: &&Placed<Worse>| worse.value.points > 0.0 && !declared.kpi.is_binary;
        if let Some(worse) = worse.as_ref().filter(of_amount) {
            let message =
                format!("KPI `{}` is an amount, which has no percentage points", entry.key);
            let problem = Problem::error(code::KPI, worse.place, message);
            reader.tell(problem.label("in percent").related(declared.place, "declared here"));
        }
        limits.push((at, Limit { worse_by: worse.map(|worse| worse.value), max: None }));
    }
    limits
}

/// No amount of evidence proves that there is no harm at all.
fn harm(reader: &mut Reader<'_, '_>, scope: &Scope<'_>, key: &str) -> f64 {
    let harm = reader.points(scope, key);
    if let Some(written) = scope.entry(key).filter(|_| harm == 0.0) {
        let message = format!("`{key}` may not be zero");
        let problem = Problem::error(code::RANGE, written.node.place, message);
        reader.tell(problem.label("no evidence proves that there is no harm at all"));
    }
    harm
}
