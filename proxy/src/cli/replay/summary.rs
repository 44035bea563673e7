//! What a replay has shown.

use std::{collections::BTreeMap, time::Duration};

use gnomon_shadow::{
    bundle::Bundle,
    difference::Difference,
    endpoint,
    recheck::{Recheck, Rechecked},
};
use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::sender::{Done, Sent};
use crate::cli::{Paint, shown};

/// Compares replies as they come, and counts.
pub(super) struct Judge {
    recheck: Recheck,
    failed: BTreeMap<String, u64>,
    compared: u64,
    partial: u64,
    without_reply: u64,
    different: u64,
    findings: BTreeMap<Key, Found>,
    /// Differences beyond the findings that are told apart.
    more: u64,
    recorded: Latency,
    replayed: Latency,
}

/// What makes differences the same finding: endpoint, path, kind, shape.
type Key = (String, String, &'static str, String);

struct Found {
    count: u64,
    example: Example,
}

/// How a finding was first seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Example {
    target: String,
    recorded: Option<String>,
    replayed: Option<String>,
}

/// A kind of difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    endpoint: String,
    path: String,
    kind: &'static str,
    shape: String,
    count: u64,
    first: Example,
}

/// All that there is to say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Summary {
    to: String,
    /// Exchanges of the capture, loops counted.
    exchanges: u64,
    sent: u64,
    /// Not sent, by reason.
    skipped: BTreeMap<String, u64>,
    /// Sent, and not answered, by reason.
    failed: BTreeMap<String, u64>,
    /// Sent later than they should have been.
    late: u64,
    seconds: f64,
    latency: Quantiles,
    recorded_latency: Quantiles,
    compared: u64,
    /// Of these, those whose body was not compared in all its parts.
    partial: u64,
    /// Answered, but nothing was recorded to compare with.
    without_reply: u64,
    different: u64,
    findings: Vec<Finding>,
    /// Differences beyond those findings.
    more: u64,
    /// Whether the capture has its last line.
    whole: bool,
}

/// To the first byte.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Quantiles {
    p50_seconds: Option<f64>,
    p99_seconds: Option<f64>,
}

/// Times in microseconds; none if there is no room for them, which nobody has seen.
struct Latency(Option<Histogram<u64>>);

impl Latency {
    fn new() -> Self {
        Self(Histogram::new_with_bounds(1, 3_600_000_000, 3).ok())
    }

    fn add(&mut self, micros: u64) {
        if let Some(times) = &mut self.0 {
            times.saturating_record(micros);
        }
    }

    fn quantiles(&self) -> Quantiles {
        let at = |quantile: f64| {
            let times = self.0.as_ref().filter(|times| !times.is_empty())?;
            Some(Duration::from_micros(times.value_at_quantile(quantile)).as_secs_f64())
        };
        Quantiles { p50_seconds: at(0.5), p99_seconds: at(0.99) }
    }
}

impl Judge {
    pub(super) fn new(recheck: Recheck) -> Self {
        Self {
            recheck,
            failed: BTreeMap::new(),
            compared: 0,
            partial: 0,
            without_reply: 0,
            different: 0,
            findings: BTreeMap::new(),
            more: 0,
            recorded: Latency::new(),
            replayed: Latency::new(),
        }
    }

    /// Judges all that comes. Blocks.
    pub(super) fn judge(mut self, mut done: mpsc::Receiver<Done>) -> Self {
        while let Some(done) = done.blocking_recv() {
            self.take(&done);
        }
        self
    }

    fn take(&mut self, done: &Done) {
        let recorded = &done.turn.recorded;
        let answer = match &done.answer {
            Ok(answer) => answer,
            Err(why) => {
                *self.failed.entry(why.name().to_owned()).or_default() += 1;
                return;
            }
        };
        let took = answer.first_byte.saturating_duration_since(done.due);
        self.replayed.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        let Some(reply) = &recorded.reply else {
            self.without_reply += 1;
            return;
        };
        self.recorded.add(recorded.first_byte_us);
        let found = self.recheck.compare(reply, &answer.reply);
        self.compared += 1;
        self.partial += u64::from(found.is_partial);
        self.different += u64::from(!found.differences.is_empty());
        let request = &recorded.request;
        let endpoint = endpoint::key(&request.method, &request.target);
        for difference in &found.differences {
            self.add(&endpoint, &request.target, difference);
        }
    }

    fn add(&mut self, endpoint: &str, target: &str, it: &Difference) {
        let key = (endpoint.to_owned(), it.path.to_string(), it.kind.name(), it.shape.to_string());
        if let Some(found) = self.findings.get_mut(&key) {
            found.count += 1;
        } else if self.findings.len() < FINDINGS_MAX {
            let text = |value: &Option<Box<str>>| value.as_ref().map(ToString::to_string);
            let (recorded, replayed) = (text(&it.primary), text(&it.other));
            let example = Example { target: target.to_owned(), recorded, replayed };
            self.findings.insert(key, Found { count: 1, example });
        } else {
            self.more += 1;
        }
    }

    pub(super) fn sum_up(self, to: &str, sent: Sent, whole: bool) -> Summary {
        let (latency, recorded_latency) = (self.replayed.quantiles(), self.recorded.quantiles());
        let mut findings: Vec<Finding> = self
            .findings
            .into_iter()
            .map(|((endpoint, path, kind, shape), Found { count, example })| Finding {
                endpoint,
                path,
                kind,
                shape,
                count,
                first: example,
            })
            .collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.count));
        Summary {
            to: to.to_owned(),
            exchanges: sent.exchanges,
            sent: sent.sent,
            skipped: sent.skipped,
            failed: self.failed,
            late: sent.late,
            seconds: sent.took.as_secs_f64(),
            latency,
            recorded_latency,
            compared: self.compared,
            partial: self.partial,
            without_reply: self.without_reply,
            different: self.different,
            findings,
            more: self.more,
            whole,
        }
    }
}

impl Summary {
    /// Whether everything was answered, and as before.
    pub(super) fn is_good(&self) -> bool {
        self.failed.is_empty() && self.different == 0
    }

    /// For a person.
    pub(super) fn render(&self, paint: Paint) -> String {
        let reasons = |all: &BTreeMap<String, u64>| -> String {
            let each = all.iter().map(|(why, count)| format!("{why} {count}"));
            each.collect::<Vec<_>>().join(", ")
        };
        let sum = |all: &BTreeMap<String, u64>| all.values().sum::<u64>();
        let mut text = String::new();
        let mut line = |name: &str, said: &str| text.push_str(&format!("  {name:<11}{said}\n"));
        line(
            "sent",
            &format!("{} of {} to {} in {:.1} s", self.sent, self.exchanges, self.to, self.seconds),
        );
        if !self.skipped.is_empty() {
            line("not sent", &format!("{}: {}", sum(&self.skipped), reasons(&self.skipped)));
        }
        if !self.failed.is_empty() {
            line(
                "failed",
                &paint.red(&format!("{}: {}", sum(&self.failed), reasons(&self.failed))),
            );
        }
        line("late", &self.late.to_string());
        let (new, old) = (&self.latency, &self.recorded_latency);
        line(
            "latency",
            &format!(
                "p50 {} (recorded {}), p99 {} (recorded {})",
                shown(new.p50_seconds),
                shown(old.p50_seconds),
                shown(new.p99_seconds),
                shown(old.p99_seconds)
            ),
        );
        line(
            "compared",
            &format!(
                "{}, of these {} without what was redacted or not kept",
                self.compared, self.partial
            ),
        );
        if self.without_reply > 0 {
            line("unrecorded", &format!("{} have no reply to compare with", self.without_reply));
        }
        line("different", &self.different.to_string());
        for finding in &self.findings {
            text.push_str(&finding.render(paint));
        }
        if self.more > 0 {
            text.push_str(&format!("  and {} differences of other kinds\n", self.more));
        }
        if !self.whole {
            text.push_str(&paint.yellow("  the capture has no last line: it was cut\n"));
        }
        text
    }
}

impl Finding {
    fn render(&self, paint: Paint) -> String {
        let Self { endpoint, path, kind, shape, count, first } = self;
        let title = paint.bold(&format!("{endpoint}  {path}"));
        let example = values(first.recorded.as_deref(), first.replayed.as_deref());
        format!("\n{title}  {kind} ({shape})  {count}×\n  first {}: {example}\n", first.target)
    }
}

/// A difference for machines.
pub(super) fn told(it: &Difference) -> Value {
    json!({ "path": it.path, "kind": it.kind.name(), "shape": it.shape,
        "recorded": it.primary, "replayed": it.other })
}

/// What came of replaying a bundle, for a person.
pub(super) fn of_bundle(bundle: &Bundle, found: &Rechecked, paint: Paint) -> String {
    let mut text = format!("{}\n", paint.bold(&bundle.endpoint));
    for it in &found.differences {
        let values = values(it.primary.as_deref(), it.other.as_deref());
        text.push_str(&format!("  {}  {} ({})  {values}\n", it.path, it.kind, it.shape));
    }
    if found.differences.is_empty() {
        text.push_str("  as the primary answered\n");
    }
    if found.is_partial {
        text.push_str(&paint.dim("  what was redacted or not kept was not compared\n"));
    }
    text
}

fn values(recorded: Option<&str>, replayed: Option<&str>) -> String {
    let shown = |value: Option<&str>| value.unwrap_or("(nothing)").to_owned();
    format!("{} → {}", shown(recorded), shown(replayed))
}

/// Findings that are told apart.
const FINDINGS_MAX: usize = 1000;
