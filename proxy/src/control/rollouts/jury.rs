//! The judges of one rollout: one for what is known when a cohort is complete, and one for each KPI
//! that is told late, which sees its seconds long after the others.
//!
//! They cannot be one: by the time a late outcome is weighed, the other signals of its second have
//! long shown where the failures went, and a bet whose outcome can be guessed is no fair one.
//!
//! A judge has a share of the chance of a mistake as large as the weight of its signals, so that all
//! of them together are wrong no more often than one judge of everything would be.

use std::{cmp::Reverse, collections::BTreeMap};

use gnomon_config::model::{Kpi, KpiSource};
use gnomon_policy::judge::{
    Cohort, Judge, Report, Rules, Verdict, Why,
    plan::Usual,
    rules::{Held, Signal},
};
use serde::{Deserialize, Serialize};

/// The judges of one rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::control) struct Jury {
    main: Judge,
    /// By the KPI's place in the configuration.
    late: BTreeMap<usize, Judge>,
}

impl Jury {
    pub(in crate::control) fn new(rules: &Rules, kpis: &[Kpi], weights: &[f64]) -> Self {
        let is_late = |held: &Held| {
            let kpi = kpi_of(held).and_then(|place| kpis.get(place));
            kpi.is_some_and(|kpi| matches!(kpi.source, KpiSource::Late(_)))
        };
        let mut late: BTreeMap<usize, Judge> = BTreeMap::new();
        for place in rules.held.iter().filter(|held| is_late(held)).filter_map(kpi_of) {
            late.entry(place).or_insert_with(|| {
                let own = part(rules, |held| kpi_of(held) == Some(place));
                Judge::new(Rules { proofs: Vec::new(), ..own }, weights)
            });
        }
        Self { main: Judge::new(part(rules, |held| !is_late(held)), weights), late }
    }

    /// Whether the other one goes by the same rules.
    pub(in crate::control) fn is_like(&self, other: &Self) -> bool {
        let late = |jury: &Self| {
            let all = jury.late.iter();
            all.map(|(place, judge)| (*place, judge.rules().clone())).collect::<Vec<_>>()
        };
        self.main.rules() == other.main.rules() && late(self) == late(other)
    }

    pub(in crate::control) fn take(&mut self, cohort: &Cohort) {
        self.main.take(cohort);
    }

    /// What has been told late of a KPI.
    pub(in crate::control) fn take_late(&mut self, kpi: usize, cohort: &Cohort) {
        if let Some(judge) = self.late.get_mut(&kpi) {
            judge.take(cohort);
        }
    }

    /// What stable usually does.
    pub(in crate::control) fn usual(&self) -> Usual {
        self.main.usual()
    }

    /// The canary's first second.
    pub(in crate::control) fn began(&self) -> Option<u64> {
        self.main.began()
    }

    /// What the main judge goes by.
    pub(in crate::control) fn rules(&self) -> &Rules {
        self.main.rules()
    }

    /// The report of the judge who says most, with the signals of all.
    pub(in crate::control) fn report(&self, place: usize) -> Report {
        let mut reports = vec![self.main.report(place)];
        reports.extend(self.late.values().map(|judge| judge.report(place)));
        // Of those who say as much, the first: the main one.
        let says = |nth: usize, report: &Report| weight_of(&report.verdict, nth == 0);
        let most = reports.iter().enumerate();
        let most = most.max_by_key(|(nth, report)| (says(*nth, report), Reverse(*nth)));
        let most = most.map_or(0, |(nth, _)| nth);
        let mut told = reports.swap_remove(most);
        told.signals.extend(reports.into_iter().flat_map(|report| report.signals));
        told
    }
}

/// How much a verdict says. One about a late KPI alone is only ever against the canary.
const fn weight_of(verdict: &Verdict, is_main: bool) -> u8 {
    match verdict {
        Verdict::Rollback { .. } => 3,
        Verdict::Hold { why: Why::Suspicious } => 2,
        Verdict::Hold { .. } | Verdict::Advance | Verdict::NotProven { .. } if is_main => 1,
        Verdict::Hold { .. } | Verdict::Advance | Verdict::NotProven { .. } => 0,
    }
}

/// The KPI that a signal is of.
const fn kpi_of(held: &Held) -> Option<usize> {
    match held.signal {
        Signal::Conversion(place, _) | Signal::Amount(place, _) => Some(place),
        Signal::Errors | Signal::Class(_) | Signal::Latency | Signal::Quantile(_) => None,
    }
}

/// The rules as far as these signals go.
fn part(rules: &Rules, is_own: impl Fn(&Held) -> bool) -> Rules {
    let all: f64 = rules.held.iter().map(|held| held.weight).sum();
    let held: Vec<Held> = rules.held.iter().filter(|held| is_own(held)).cloned().collect();
    if held.len() == rules.held.len() {
        return rules.clone();
    }
    let own: f64 = held.iter().map(|held| held.weight).sum();
    let share = (own / all).clamp(LEAST, 1.0);
    Rules { alpha: rules.alpha * share, hold: rules.hold / share, held, ..rules.clone() }
}

/// The least share of the chance of a mistake.
const LEAST: f64 = 1e-6;
