//! A report about two variants of a flag: the judge informs, and nothing follows by itself.

use super::{
    Sides, count, duration, excluded, grouped, is_told_by_errors, loudest, odds, percent, told_of,
};
use crate::judge::{
    plan::StepForecast,
    report::Report,
    verdict::{Missing, Verdict, Why},
};

/// What a verdict about a variant says against the default, and why; with a forecast, how long it
/// will take.
#[must_use]
pub fn variants(
    report: &Report,
    variant: &str,
    default: &str,
    forecast: Option<&StepForecast>,
) -> String {
    let sides = Sides { canary: variant, stable: default };
    match &report.verdict {
        Verdict::Rollback { .. } => worse(report, sides),
        Verdict::Hold { why } => held(why, report, sides),
        Verdict::Advance => no_worse(report, sides),
        Verdict::NotProven { missing } => open(missing, sides, forecast),
    }
}

fn worse(report: &Report, sides: Sides<'_>) -> String {
    let culprits = report.signals.iter().filter(|signal| signal.is_culprit);
    let told = culprits.filter(|signal| !is_told_by_errors(signal, report));
    let signals: String =
        told.map(|signal| format!(" {}", told_of(signal, report, sides))).collect();
    format!(
        "WORSE: `{}` is worse than `{}`.{signals} Evidence {} that the limit is broken; the rule is \
         {}. A variant that is no worse meets this rule in at most 1 of {} comparisons, however often \
         one looks.",
        sides.canary,
        sides.stable,
        odds(report.mean_e),
        odds(report.rule),
        grouped(report.rule),
    )
}

fn held(why: &Why, report: &Report, sides: Sides<'_>) -> String {
    let evidence = odds(report.mean_e);
    let Sides { canary, stable } = sides;
    match why {
        Why::Invalid => format!(
            "BLIND: another share of the users has `{canary}` than the rules say ({}); nothing that was \
             counted means anything. Users of one of the two may be lost before they are counted.",
            odds(report.router_e)
        ),
        Why::Suspicious => {
            let but = if report.mean_e < report.rule {
                format!("{} is needed", odds(report.rule))
            } else {
                "it rests on too few bad answers yet, or on one second alone".to_owned()
            };
            let loudest = loudest(report, sides);
            format!("DOUBT: there is evidence against `{canary}` ({evidence}), but {but}.{loudest}")
        }
        Why::BothDegraded { signal, canary: now, stable: beside, usual } => {
            let usual = usual.map_or_else(String::new, |it| format!(", usually {}", percent(it)));
            format!(
                "DOUBT: both variants degraded together ({signal}: {canary} {}, {stable} {}{usual}); \
                 evidence against `{canary}` {evidence}.",
                percent(*now),
                percent(*beside)
            )
        }
        Why::NoTraffic => format!(
            "NO USERS to judge by ({canary} {}, {stable} {} since the rules were changed).",
            count(report.assigned.canary),
            count(report.assigned.stable)
        ),
    }
}

fn no_worse(report: &Report, sides: Sides<'_>) -> String {
    let proofs: Vec<String> = report.proofs.iter().map(excluded).collect();
    let need = report.proofs.iter().map(|proof| proof.need).fold(f64::INFINITY, f64::min);
    format!(
        "NO WORSE: with `{}` for everybody instead of `{}` it is excluded, {} or better, {}.",
        sides.canary,
        sides.stable,
        odds(need),
        proofs.join(" and ")
    )
}

fn open(missing: &[Missing], sides: Sides<'_>, forecast: Option<&StepForecast>) -> String {
    let lacks: Vec<String> = missing.iter().map(super::lacking).collect();
    let proof = forecast.and_then(|forecast| forecast.proof);
    let takes = proof.map_or_else(String::new, |seconds| {
        format!(" At the present pace that takes about {}.", duration(seconds))
    });
    format!(
        "NOT PROVEN: nothing says that `{}` is worse than `{}`, nor that it is not. Missing: {}.{takes}",
        sides.canary,
        sides.stable,
        lacks.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{Cohort, Judge, Rules, Tally};

    /// What is said after ten minutes of users, of whom so many fail in a second.
    fn said(canary: (u64, u64), stable: (u64, u64)) -> String {
        let gate = gnomon_config::model::Gate {
            warmup: std::time::Duration::ZERO,
            ..gnomon_config::model::Gate::default()
        };
        let mut judge = Judge::new(Rules::of(&gate, &[]), &[0.5]);
        for second in 0..600 {
            let tally = |(assigned, failed): (u64, u64)| Tally {
                assigned,
                errors: [0, 0, 0, failed, 0, 0],
                ..Tally::default()
            };
            let (canary, stable) = (tally(canary), tally(stable));
            judge.take(&Cohort { second, epoch: 1, weight: 0.5, canary, stable });
        }
        variants(&judge.report(0), "on", "off", None)
    }

    #[test]
    fn variants_go_by_their_names() {
        let table = [
            (
                ((5, 1), (5, 0)),
                "WORSE: `on` is worse than `off`. Errors: on 20% (600 of 3 000), off 0%",
            ),
            (((5, 0), (5, 0)), "NOT PROVEN: nothing says that `on` is worse than `off`"),
            (((5, 0), (2, 0)), "BLIND: another share of the users has `on` than the rules say ("),
            (((0, 0), (0, 0)), "NO USERS to judge by (on 0, off 0 since"),
        ];
        for ((canary, stable), expected) in table {
            let said = said(canary, stable);
            assert!(said.starts_with(expected), "{said}");
            assert!(!said.contains("canary") && !said.contains("stable"), "{said}");
        }
    }
}
