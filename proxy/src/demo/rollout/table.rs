//! The golden signals of both versions side by side, with step, evidence and forecast.

use std::{fmt::Write as _, time::Duration};

use gnomon_policy::{
    judge::{Report, words::odds},
    rollout::Phase,
};
use serde_json::{Value as Json, json};

use super::super::origins::VERSIONS;
use crate::{
    cli::{Paint, percent, shown},
    control::api::{
        Golden, Status, VersionStatus,
        rollout::{Forecast, Rollout},
    },
};

/// All that is known at one look.
pub(super) struct Look<'a> {
    pub(super) elapsed: Duration,
    pub(super) rollout: &'a Rollout,
    pub(super) status: &'a Status,
    /// The status before, and how long before.
    pub(super) was: Option<(Duration, &'a Status)>,
    pub(super) golden: &'a [Golden],
    pub(super) forecast: &'a Forecast,
    /// Replies that the staff had, by version.
    pub(super) staff: [u64; 2],
}

/// One version in the table.
struct Row<'a> {
    name: &'static str,
    arm: &'static str,
    /// Percent.
    share: f64,
    /// Requests a second since the last look.
    rate: f64,
    /// Of the latest minute; without a request in it there is none.
    golden: Option<&'a Golden>,
    /// How full the fullest component is, where it is measured.
    saturation: Option<f64>,
}

impl Look<'_> {
    fn rows(&self) -> [Row<'_>; 2] {
        let Rollout { in_force, saturation, .. } = self.rollout;
        let row = |version: usize, arm, share, saturation| Row {
            name: VERSIONS[version],
            arm,
            share,
            rate: self.rate(version),
            golden: self.golden.iter().find(|it| it.version == VERSIONS[version]),
            saturation,
        };
        [
            row(0, "stable", 100.0 - in_force, saturation.stable),
            row(1, "canary", *in_force, saturation.canary),
        ]
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    fn rate(&self, version: usize) -> f64 {
        let Some((interval, was)) = self.was else { return 0.0 };
        let new = replies(self.status, version) - replies(was, version);
        new as f64 / interval.as_secs_f64().max(0.001)
    }

    /// The table; fits 80 columns, as lines that wrap could not be drawn over.
    pub(super) fn text(&self, paint: Paint) -> String {
        let rows = self.rows();
        let rate: f64 = rows.iter().map(|row| row.rate).sum();
        let seconds = paint.bold(&format!("{:>4} s", self.elapsed.as_secs()));
        let mut text = format!("{seconds}   {}   {rate:.0} requests/s\n", self.place());
        let title = format!(
            "  {:<10} {:>6} {:>7} {:>8} {:>9} {:>9} {:>6}",
            "version", "share", "req/s", "errors", "p50", "p99", "full"
        );
        let _ = writeln!(text, "{}", paint.dim(&title));
        for row in &rows {
            let _ = writeln!(text, "{}", row.text(paint));
        }
        for (title, said) in self.remarks().into_iter().chain(self.flagged()) {
            let _ = writeln!(text, "  {} {said}", paint.dim(&format!("{title:<9}")));
        }
        text
    }

    /// Where the rollout is.
    fn place(&self) -> String {
        let Rollout { state, steps, .. } = self.rollout;
        let name = state.phase.name().replace('_', " ");
        let Some(step) = state.step.checked_sub(1).and_then(|step| steps.get(step)) else {
            return name;
        };
        let place = format!("step {} of {}: {}", state.step, steps.len(), step.what);
        let is_moving = matches!(state.phase, Phase::Shadowing | Phase::Running);
        if is_moving && state.served < step.hold_seconds {
            format!("{place}   {} of {} s", state.served, step.hold_seconds)
        } else if is_moving {
            format!("{place}   {} s, evidence awaited", state.served)
        } else {
            format!("{place}   {name}")
        }
    }

    /// Who has v2 by a flag.
    fn flagged(&self) -> Option<(&'static str, String)> {
        let [by_v1, by_v2] = self.staff;
        let said = format!("the staff has v2: {by_v2} of its {} requests", by_v1 + by_v2);
        (by_v1 + by_v2 > 0).then_some(("flag", said))
    }

    fn remarks(&self) -> Vec<(&'static str, String)> {
        let Rollout { state, requests, diff_rate, report, .. } = self.rollout;
        if state.phase == Phase::Shadowing {
            let really = diff_rate.map_or_else(|| "-".to_owned(), |rate| percent(rate * 100.0));
            let said = format!("{} compared, {really} really different", requests.canary);
            return vec![("copies", said)];
        }
        let is_compared =
            state.phase.is_active() && (0.001..99.999).contains(&self.rollout.in_force);
        let report: Option<Report> = serde_json::from_value(report.clone()).ok();
        let (Some(report), true) = (report, is_compared) else { return Vec::new() };
        let worse = format!("{} ({} rolls back)", odds(report.mean_e), odds(report.rule));
        let proofs: Vec<String> =
            report.proofs.iter().map(|proof| format!("{} {}", proof.name, odds(proof.e))).collect();
        let need = report.proofs.first().map_or(0.0, |proof| proof.need);
        let mut all = vec![
            ("worse", worse),
            ("not worse", format!("{} ({} advances)", proofs.join(", "), odds(need))),
        ];
        all.extend(self.expected().map(|said| ("forecast", said)));
        all
    }

    /// How long the present step will take, and what it would find in which time.
    fn expected(&self) -> Option<String> {
        let share = self.rollout.in_force / 100.0;
        let step = self.forecast.steps.iter().find(|step| (step.weight - share).abs() < 1e-9)?;
        let after = |seconds: f64| match seconds {
            it if it < 120.0 => format!("{:.0} s", it.max(1.0).ceil()),
            it => format!("{:.0} min", it / 60.0),
        };
        let mut said = format!("not worse is proven after {}", after(step.proof?));
        for found in step.errors.iter().filter(|found| found.factor > 2.0) {
            if let Some(seconds) = found.seconds {
                let _ = write!(said, ", ×{} errors after {}", found.factor, after(seconds));
            }
        }
        Some(said)
    }

    pub(super) fn json(&self) -> Json {
        let versions: Vec<Json> = self.rows().iter().map(Row::json).collect();
        let Rollout { state, requests, diff_rate, report, .. } = self.rollout;
        json!({
            "event": "look",
            "elapsed_seconds": self.elapsed.as_secs_f64(),
            "phase": state.phase.name(),
            "step": state.step,
            "served_seconds": state.served,
            "versions": versions,
            "requests": requests,
            "diff_rate": diff_rate,
            "report": report,
            "forecast": self.forecast,
            "staff": { "v1": self.staff[0], "v2": self.staff[1] },
        })
    }
}

impl Row<'_> {
    fn text(&self, paint: Paint) -> String {
        let errors = self.golden.map_or(0.0, |golden| golden.error_rate * 100.0);
        let errors_shown = format!("{errors:>7.2}%");
        let time = |of: fn(&Golden) -> Option<f64>| shown(self.golden.and_then(of));
        let name = format!("{:<10}", format!("{} {}", self.name, self.arm));
        let full =
            self.saturation.map_or_else(|| "-".to_owned(), |it| format!("{:.0}%", it * 100.0));
        format!(
            "  {} {:>6} {:>7.0} {} {:>9} {:>9} {full:>6}",
            if self.arm == "canary" { paint.blue(&name) } else { paint.green(&name) },
            percent(self.share),
            self.rate,
            if errors > ALARMING { paint.yellow(&errors_shown) } else { errors_shown },
            time(|golden| golden.latency.p50_seconds),
            time(|golden| golden.latency.p99_seconds),
        )
    }

    fn json(&self) -> Json {
        json!({
            "version": self.name,
            "share": self.share,
            "requests_per_second": self.rate,
            "saturation": self.saturation,
            "last_minute": self.golden,
        })
    }
}

fn replies(status: &Status, version: usize) -> u64 {
    let of = |status: &Status| -> Option<u64> {
        let version: &VersionStatus = status.upstreams.first()?.versions.get(version)?;
        Some(version.classes.iter().sum())
    };
    of(status).unwrap_or(0)
}

/// Percent of errors from which on they are painted.
const ALARMING: f64 = 1.0;
