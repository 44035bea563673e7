//! A proxy that is known: what it answers.

use gnomon_policy::rollout::Phase;
use gnomon_shadow::finding::Finding;
use serde_json::{Value, json};

use crate::{
    cli::top::picture::{Look, News, Picture},
    control::api::{
        Page, Shadow, Status,
        rollout::{Forecast, Record, Rollout, Rollouts},
        series::{Entry, Role, Whoami},
    },
};

/// 14:02:11 of a day in 1970.
pub(super) const NOW: u64 = 50_531_000;

fn read<A: serde::de::DeserializeOwned>(value: Value) -> A {
    serde_json::from_value(value).unwrap()
}

fn core(core: u64) -> Value {
    let mut told = json!({ "core": core, "driver": "io_uring, pinned to 2", "stuck": false, "ready": true, "stopped": false });
    for name in [
        "heartbeat",
        "generation",
        "accepted",
        "accept_failures",
        "accept_pauses",
        "rejects",
        "unrouted",
        "panics",
        "retries",
        "dials",
        "origin_connections",
        "queued",
        "log_drops",
        "buffers",
    ] {
        told[name] = json!(3);
    }
    told["connections"] = json!(12 + core);
    told["requests"] = json!(41_000);
    told
}

fn version(name: &str, arm: &str, share: f64, assigned: u64) -> Value {
    let latency = json!({ "count": 1, "p50_seconds": 0.004, "p90_seconds": 0.01, "p99_seconds": 0.041, "max_seconds": 0.2 });
    json!({
        "name": name, "arm": arm, "share": share, "configured_share": share, "draining": false,
        "available": true, "assigned": assigned, "pinned": 2, "fallback": 0, "displaced": 0,
        "in_flight": 4, "classes": [0, assigned, 0, 7, 11],
        "failures": { "connect": 1, "reset": 0, "timeout": 0, "truncated": 0, "protocol": 0 },
        "client_gone": 0, "request_bytes": 1, "response_bytes": 2,
        "latency": latency, "failure_latency": latency,
        "endpoints": [
            { "address": "10.0.0.1:8080", "available": true, "requests": assigned, "in_flight": 4, "idle": 2 },
            { "address": "10.0.0.2:8080", "available": arm == "canary", "out": "ejected: 5 failures in a row", "requests": 9, "in_flight": 0, "idle": 0 }
        ]
    })
}

fn status(uptime: f64, assigned: u64) -> Box<Status> {
    Box::new(read(json!({
        "version": "0.4.0", "pid": 7, "uptime_seconds": uptime, "phase": "serving", "ready": true,
        "live": true, "generation": 3,
        "config": { "path": "gnomon.toml", "hash": "9f3c5a11d0", "last_reload": null },
        "listeners": [], "cores": [core(0), core(1)],
        "upstreams": [
            { "name": "shop", "frozen": false, "overridden": false,
              "versions": [version("v1", "stable", 75.0, assigned), version("v2", "canary", 25.0, 400)] },
            { "name": "cart", "frozen": false, "overridden": true, "versions": [version("v1", "stable", 100.0, 90)] }
        ],
        "access_log": { "lines": 9, "drops": 0, "failures": 0 },
        "shadow": { "taken": 0, "restarts": 0, "store": { "keeps": true, "trouble": false, "writes": 1, "failures": 0, "pending": 0, "last_write_seconds": null, "last_error": null } },
        "saturation": {
            "components": [
                { "name": "core", "ratio": 0.61, "which": "core 1" },
                { "name": "accept_queue", "ratio": 0.02, "which": "core 0" },
                { "name": "fds", "ratio": 0.07, "which": "process" }
            ],
            "versions": []
        }
    })))
}

fn golden(upstream: &str, version: &str, requests: u64, errors: f64, p99: f64) -> Value {
    let times = json!({ "count": requests, "p50_seconds": 0.0041, "p90_seconds": 0.02, "p99_seconds": p99, "max_seconds": 1.0 });
    json!({
        "route": "all", "upstream": upstream, "version": version, "seconds": 60.0, "rate": requests as f64 / 60.0,
        "arms": { "drawn": requests, "pinned": 0, "fallback": 0, "retried": 0 }, "classes": [0, requests, 0, 0, 0],
        "failures": { "connect": 0, "reset": 0, "timeout": 0, "truncated": 0, "protocol": 0 },
        "error_rate": errors, "latency": times, "failure_latency": times, "first_byte": times
    })
}

fn signal(name: &str, kind: Value, counts: [u64; 4], e: f64) -> Value {
    let counts = json!({ "canary": { "bad": counts[0], "all": counts[1] }, "stable": { "bad": counts[2], "all": counts[3] } });
    json!({
        "name": name, "signal": kind, "allowed": { "against": { "ratio": 1.25, "points": 0.002 } },
        "weight": 0.3, "quantile": null, "here": counts, "overall": counts,
        "ratio": { "low": 0.61, "likely": 1.18, "high": 2.31, "log_mixed": 0.1 }, "e": e, "is_culprit": false
    })
}

fn report() -> Value {
    json!({
        "step": 1, "verdict": "not_proven",
        "missing": [
            { "kind": "requests", "have": 1208, "need": 2000 },
            { "kind": "proof", "signal": "errors", "margin": 0.008, "e": 4.1, "need": 20.0 }
        ],
        "mean_e": 0.4, "rule": 100.0, "router_e": 0.9,
        "assigned": { "canary": 1208, "stable": 3650 },
        "times": { "canary": { "p50": 0.0042, "p99": 0.0441 }, "stable": { "p50": 0.0041, "p99": 0.0408 } },
        "signals": [
            signal("timeouts", json!({ "class": "timeout" }), [0, 1208, 0, 3650], 0.5),
            signal("errors", json!("errors"), [2, 1208, 4, 3650], 0.8),
            signal("latency", json!("latency"), [14, 1208, 36, 3650], 12.0)
        ],
        "proofs": [
            { "name": "errors", "margin": 0.008, "e": 4.1, "need": 20.0 },
            { "name": "p99 exceedance", "margin": 0.03, "e": 31.0, "need": 20.0 }
        ]
    })
}

fn rollout() -> Rollout {
    let step = |what: &str, weight: f64, approve: bool| json!({ "what": what, "weight": weight, "hold_seconds": 3600, "approve": approve });
    let mut rollout = Rollout {
        name: "shop".to_owned(),
        from: "shop@v1".to_owned(),
        to: "shop@v2".to_owned(),
        steps: read(json!([
            step("1%", 1.0, false),
            step("25%", 25.0, true),
            step("50%", 50.0, false),
            step("100%", 100.0, false)
        ])),
        in_force: 25.0,
        owns_split: true,
        armed: true,
        saved: true,
        requests: read(json!({ "canary": 1208, "stable": 3650 })),
        healthy: read(json!({ "canary": 2, "stable": 1 })),
        verdict: "NOT PROVEN: this step needs more evidence.".to_owned(),
        report: report(),
        ..Rollout::default()
    };
    let state = &mut rollout.state;
    (state.phase, state.step, state.weight_parts) = (Phase::Running, 2, 25_000);
    (state.since, state.served) = (48_311, 2220);
    (state.why, state.by) = ("37m of 1h of the hold".to_owned(), "gnomon".to_owned());
    rollout
}

fn record() -> Record {
    read(json!({
        "id": 4, "rollout": "shop", "report": null, "config": "9f3c5a11d0",
        "event": { "at": 48_311, "generation": 1, "from": "running", "to": "running", "step_from": 1, "step": 2, "weight_from": 1000, "weight": 25_000, "why": "ADVANCED to 25%: proven", "by": "gnomon" }
    }))
}

fn forecast() -> Forecast {
    let times = |seconds: [f64; 3]| seconds.map(|it| json!({ "factor": 3.0, "seconds": it }));
    read(json!({
        "name": "shop", "by_user": false, "rate": 180.0, "errors": 0.001, "plan": [],
        "steps": [{ "weight": 0.25, "errors": times([900.0, 130.0, 20.0]), "latency": times([4000.0, 340.0, 9.0]), "proof": 2700.0, "advice": [] }]
    }))
}

/// A page with one finding.
pub(super) fn finding() -> Page<Finding> {
    read(json!({ "total": 1, "offset": 0, "items": [{
        "id": "0123456789ab", "endpoint": "GET /cart/{id}", "path": "$.price", "kind": "value", "shape": "number → number",
        "count": 41, "first_seen": NOW - 90_000, "last_seen": NOW - 4_000,
        "rates": { "compared": 900, "different": 41, "asked": 90, "noisy": 0 },
        "log_e": 9.5, "plain_rule": true, "verdict": "real", "mark": null, "examples": [], "revision": 2
    }]}))
}

fn shadow() -> Shadow {
    read(json!({
        "name": "next", "from": "shop@v1", "to": "shop@v2", "sample": 50.0,
        "accounting": {
            "eligible": 2000, "sampled": 1000, "copied": 950, "dropped": { "busy": 50 }, "in_flight": 1, "sent": 949,
            "failed": {}, "unpaired": {}, "compared": 900, "uncomparable": {}, "different": 41, "again": 90,
            "again_failed": 0, "noisy": 0, "coverage": 0.45, "difference_rate": 0.0456
        }
    }))
}

fn journal() -> Vec<Entry> {
    let entry = |id: u64, kind: &str, text: &str, reason: Option<&str>| Entry {
        id,
        at: NOW - 100_000 + id * 1000,
        kind: kind.to_owned(),
        subject: Some("shop".to_owned()),
        text: text.to_owned(),
        by: "uid 1000".to_owned(),
        reason: reason.map(str::to_owned),
        failed: id == 12,
    };
    vec![
        entry(12, "action", "promote: the line is stopped", Some("release")),
        entry(11, "rollout", "shop: step 2, 25%", None),
    ]
}

/// A proxy of which one look is known.
pub(super) fn silent() -> Picture {
    let mut picture = Picture { interval: 1000, ..Picture::default() };
    let first = Look { status: Some(status(1_036_800.0, 1000)), ..Look::default() };
    picture.learn(News::Look(Box::new(first)), NOW - 1000);
    let look = Look {
        status: Some(status(1_036_801.0, 1050)),
        golden: read(json!([
            golden("shop", "v1", 9000, 0.0011, 0.0408),
            golden("shop", "v2", 3000, 0.0213, 0.0441),
            golden("cart", "v1", 60, 0.0, 0.0021)
        ])),
        ..Look::default()
    };
    picture.learn(News::Look(Box::new(look)), NOW);
    picture
}

/// A proxy of which everything is known.
pub(super) fn picture() -> Picture {
    let mut picture = silent();
    picture.rollouts = Rollouts { rollouts: vec![rollout()], ..Rollouts::default() };
    picture.records.insert("shop".to_owned(), vec![record()]);
    picture.forecasts.insert("shop".to_owned(), forecast());
    picture.shadows = vec![shadow()];
    picture.findings.insert("next".to_owned(), finding());
    picture.journal = journal();
    let role = Role::Admin;
    picture.who =
        Some(Whoami { name: "uid 0".into(), role, host: "edge-1".into(), version: "0.4.0".into() });
    picture
}
