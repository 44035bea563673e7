//! `[rollout.*]` and `[kpi.*]` written down.

use std::time::Duration;

use super::{Writer, names_of, quoted};
use crate::{
    model::{
        Config, Direction, Gate, Kpi, KpiSource, Limit, On, OnFail, OnInconclusive, Probe, Rollout,
        Stage, Start, Step, Timing,
    },
    names::{QUANTILES, show_window},
    units::{show_duration, show_fraction, show_points, show_share, show_worse},
};

pub(super) fn write(out: &mut Writer, it: &Rollout, config: &Config) {
    let end = |version| {
        let (upstream, version) = names_of(config, it.upstream, Some(version));
        format!("{upstream}@{}", version.unwrap_or_default())
    };
    out.text("from", end(it.from));
    out.text("to", end(it.to));
    let start = match it.start {
        Start::Manual => "manual",
        Start::OnChange => "on_change",
    };
    out.text("start", start);
    let steps: Vec<String> = it.steps.iter().map(step).collect();
    out.plain("steps", format!("[{}]", steps.join(", ")));
    out.text("max", show_duration(it.max));
    out.text("cooldown", show_duration(it.cooldown));
    out.texts("windows", it.windows.iter().map(show_window));
    out.within("gate", |out| gate(out, &it.gate, config));
    out.within("fuse", |out| {
        out.plain("budget", it.fuse.budget);
        out.text("window", show_duration(it.fuse.window));
        out.plain("factor", it.fuse.factor);
    });
    out.within("on", |out| on(out, &it.on));
    for it in &it.tests {
        out.within(&format!("test.{}", it.name), |out| test(out, it));
    }
}

/// In the short form if that says all.
fn step(it: &Step) -> String {
    let hold = show_duration(it.hold);
    let (key, share) = match it.to {
        Stage::Weight(share) if !it.approve => {
            return quoted(format!("{} for {hold}", show_share(share)));
        }
        Stage::Weight(share) => ("weight", share),
        Stage::Shadow(share) => ("shadow", share),
    };
    let approve = if it.approve { ", approve = true" } else { "" };
    format!("{{ {key} = {}, hold = {}{approve} }}", quoted(show_share(share)), quoted(hold))
}

fn gate(out: &mut Writer, it: &Gate, config: &Config) {
    out.plain("min_requests", it.min_requests);
    out.text("confidence", show_share(it.confidence));
    out.text("warmup", show_duration(it.warmup));
    out.text("horizon", show_duration(it.horizon));
    let timing = match it.timing {
        Timing::Total => "total",
        Timing::FirstByte => "first_byte",
    };
    out.text("timing", timing);
    limit(out, "error_rate", &it.error_rate, show_fraction);
    limit(out, "timeout_rate", &it.timeout_rate, show_fraction);
    limit(out, "latency", &it.latency, show_seconds);
    for (key, known) in QUANTILES {
        for (_, it) in it.quantiles.iter().filter(|(quantile, _)| *quantile == known) {
            limit(out, key, it, show_seconds);
        }
    }
    for (key, max) in [("saturation", it.saturation_max), ("diff_rate", it.diff_rate_max)] {
        if let Some(max) = max {
            out.text(&format!("{key}.max"), show_share(max));
        }
    }
    for (at, it) in &it.kpis {
        let name = config.kpis.get(*at).map_or("", |kpi| &*kpi.name);
        limit(out, &format!("kpi.{name}"), it, show_fraction);
    }
    out.text("risk.errors", show_points(it.risk_errors));
    out.text("risk.latency", show_points(it.risk_latency));
}

fn limit(out: &mut Writer, key: &str, it: &Limit, show: fn(f64) -> String) {
    out.within(key, |out| {
        if let Some(max) = it.max {
            out.text("max", show(max));
        }
        if let Some(worse) = it.worse_by {
            out.text("worse_by", show_worse(worse));
        }
    });
}

fn show_seconds(seconds: f64) -> String {
    show_duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

fn on(out: &mut Writer, it: &On) {
    let fail = match it.fail {
        OnFail::Rollback => "rollback",
        OnFail::Hold => "hold",
    };
    out.text("fail", fail);
    let inconclusive = match it.inconclusive {
        OnInconclusive::Hold => "hold",
        OnInconclusive::Rollback => "rollback",
        OnInconclusive::Advance => "advance",
    };
    out.text("inconclusive", inconclusive);
    out.maybe("webhook", it.webhook.as_ref());
    out.maybe("confirm", it.confirm.as_ref());
    out.text("timeout", show_duration(it.timeout));
    out.plain("retries", it.retries);
}

fn test(out: &mut Writer, it: &Probe) {
    out.text("method", &it.method);
    out.text("path", &it.path);
    out.maybe("host", it.host.as_ref());
    out.pairs("headers", &it.headers);
    out.maybe("body", it.body.as_ref());
    out.list("status", it.status.iter().map(|(first, last)| format!("{first}-{last}")));
    out.maybe("contains", it.contains.as_ref());
    out.text("timeout", show_duration(it.timeout));
}

pub(super) fn kpi(out: &mut Writer, it: &Kpi, config: &Config) {
    out.text("of", names_of(config, it.upstream, None).0);
    match &it.source {
        KpiSource::Header(name) => out.text("from", format!("header:{name}")),
        KpiSource::Json(pointer) => out.text("from", format!("json:{pointer}")),
        KpiSource::Late(within) => {
            out.text("from", "late");
            out.text("within", show_duration(*within));
        }
    }
    // Only an amount has a bound, and only with one it is an amount.
    if it.is_binary {
        out.plain("binary", true);
    } else {
        out.plain("max", it.max);
        out.plain("binary", false);
    }
    let worse = match it.worse {
        Direction::Lower => "lower",
        Direction::Higher => "higher",
    };
    out.text("worse", worse);
}
