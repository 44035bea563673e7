//! What the data cores say of a rollout, and what the judge makes of it.

use std::{collections::VecDeque, time::Duration};

use gnomon_config::model::{Kpi, Rollout, Share, Stage};
use gnomon_policy::{
    judge::{
        Cohort, Report, Rules, Verdict, Why,
        plan::StepForecast,
        words::{Occasion, words},
    },
    rollout::{Arms, Outcome, State, weight_of},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{jury::Jury, store};

/// What is known of one rollout's requests.
#[derive(Debug)]
pub(crate) struct Evidence {
    jury: Jury,
    /// The same before it has seen anything.
    blank: Jury,
    /// Shares of the users, step by step, without steps of shadows.
    weights: Vec<f64>,
    /// Whether the judge has seen nothing of a canary.
    is_fresh: bool,
    /// How the fuse has cut the canary off in this step, if it has.
    fuse: Option<String>,
    /// What the judge has taken and the disk has not.
    unwritten: Vec<Cohort>,
    /// Of this step.
    requests: Arms<u64>,
    /// Second, epoch and weight of the newest cohort.
    last: Option<(u64, u32, f64)>,
    /// What was assigned to both in each of the last seconds.
    traffic: VecDeque<(u64, u64)>,
    /// How long steps will take, and when that was last thought of.
    forecast: Vec<StepForecast>,
    forecast_at: u64,
    /// What the judge said last.
    outcome: Outcome,
    report: Option<Report>,
    #[cfg(test)]
    said: Option<Outcome>,
}

/// What a judge knows that is not in the file, for another process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct JudgeLeft {
    /// The jury, as JSON.
    jury: String,
    is_fresh: bool,
    fuse: Option<String>,
    last: Option<(u64, u32, f64)>,
    traffic: VecDeque<(u64, u64)>,
}

impl Evidence {
    /// What another process needs to go on. To be asked when everything else is on the disk.
    pub(crate) fn leave(&self) -> JudgeLeft {
        JudgeLeft {
            jury: serde_json::to_string(&self.jury).unwrap_or_default(),
            is_fresh: self.is_fresh,
            fuse: self.fuse.clone(),
            last: self.last,
            traffic: self.traffic.clone(),
        }
    }

    /// Goes on with what another process left. A judge of other rules begins anew; says why, if so.
    pub(crate) fn inherit(&mut self, left: &JudgeLeft, requests: Arms<u64>) -> Option<String> {
        self.requests = requests;
        self.fuse.clone_from(&left.fuse);
        self.last = left.last;
        self.traffic.clone_from(&left.traffic);
        match serde_json::from_str::<Jury>(&left.jury) {
            Ok(jury) if jury.is_like(&self.jury) => {
                (self.jury, self.is_fresh) = (jury, left.is_fresh);
                None
            }
            Ok(_) => Some("other rules than before".to_owned()),
            Err(error) => Some(error.to_string()),
        }
    }

    pub(crate) fn new(plan: &Rollout, kpis: &[Kpi]) -> Self {
        let weights = weights(plan);
        let jury = Jury::new(&Rules::of(&plan.gate, kpis), kpis, &weights);
        Self {
            blank: jury.clone(),
            jury,
            weights,
            is_fresh: true,
            fuse: None,
            unwritten: Vec::new(),
            requests: Arms::default(),
            last: None,
            traffic: VecDeque::new(),
            forecast: Vec::new(),
            forecast_at: 0,
            outcome: Outcome::Open("nothing is known yet".to_owned()),
            report: None,
            #[cfg(test)]
            said: None,
        }
    }

    /// Goes on with what was kept. A judge of other rules begins anew; says why, if so.
    pub(crate) fn restore(
        &mut self,
        kept: &store::Kept,
        judge: Option<&store::Evidence>,
    ) -> Option<String> {
        self.requests = kept.requests;
        let known = judge.filter(|known| known.generation == kept.state.generation)?;
        match serde_json::from_str::<Jury>(&known.judge) {
            Ok(jury) if jury.is_like(&self.jury) => {
                self.jury = jury;
                self.is_fresh = false;
                None
            }
            Ok(_) => Some("other rules than before".to_owned()),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Takes another plan over; whether the judge has to begin anew.
    pub(crate) fn follow(&mut self, plan: &Rollout, kpis: &[Kpi]) -> bool {
        let weights = weights(plan);
        let jury = Jury::new(&Rules::of(&plan.gate, kpis), kpis, &weights);
        if jury.is_like(&self.jury) && weights == self.weights {
            return false;
        }
        (self.blank, self.jury) = (jury.clone(), jury);
        (self.weights, self.is_fresh) = (weights, true);
        true
    }

    /// Hands what has come to the judge.
    pub(crate) fn take(
        &mut self,
        position: &State,
        cohorts: Vec<Cohort>,
        fuse: Option<String>,
        now: u64,
    ) {
        self.fuse = fuse.or_else(|| self.fuse.take());
        for cohort in cohorts {
            let assigned = cohort.canary.assigned + cohort.stable.assigned;
            self.traffic.push_back((cohort.second, assigned));
            self.last = Some((cohort.second, cohort.epoch, cohort.weight));
            // A cohort's second has begun up to a second later than it says.
            let begun = cohort.second + 1;
            let is_ours = position.phase.is_active() && begun >= position.started;
            if is_ours && begun >= position.step_since {
                self.requests.canary += cohort.canary.assigned;
                self.requests.stable += cohort.stable.assigned;
            }
            self.weigh(cohort, is_ours);
        }
        while self.traffic.front().is_some_and(|(second, _)| second + TRAFFIC < now) {
            self.traffic.pop_front();
        }
        self.hear_silence(position, now);
    }

    /// Hands what has been told late of KPIs to their judges.
    pub(crate) fn take_late(&mut self, position: &State, cohorts: &[(usize, Cohort)]) {
        // What is known after the end, nobody acts on any more.
        let is_ours =
            |cohort: &Cohort| position.phase.is_active() && cohort.second + 1 >= position.started;
        for (kpi, cohort) in cohorts.iter().filter(|(_, cohort)| is_ours(cohort)) {
            self.jury.take_late(*kpi, cohort);
        }
    }

    fn weigh(&mut self, cohort: Cohort, is_ours: bool) {
        if is_ours {
            self.is_fresh &= cohort.weight <= 0.0;
            self.jury.take(&cohort);
            self.unwritten.push(cohort);
        } else if self.is_fresh && cohort.weight <= 0.0 {
            // What stable usually does is good to know before the canary begins.
            self.jury.take(&cohort);
        }
    }

    /// Time passes for the judge with cohorts alone: where there are none, it is told so.
    fn hear_silence(&mut self, position: &State, now: u64) {
        let Some((second, epoch, weight)) = self.last else { return };
        // Older cohorts may be on their way for as long as a minute.
        let quiet = now.saturating_sub(LATE);
        if position.phase.is_active() && second + SILENCE <= quiet {
            self.last = Some((quiet, epoch, weight));
            let nobody = Cohort { second: quiet, epoch, weight, ..Cohort::default() };
            self.weigh(nobody, true);
        }
    }

    /// Another step, or another start.
    pub(crate) fn step(&mut self, position: &State) {
        self.requests = Arms::default();
        // What the fuse did is known by now.
        self.fuse = None;
        if position.step == 0 {
            self.unwritten.clear();
            if !self.is_fresh {
                self.jury = self.blank.clone();
                self.is_fresh = true;
            }
        }
    }

    /// Requests of this step that are evidence.
    pub(crate) fn requests(&self) -> Arms<u64> {
        self.requests
    }

    /// How the fuse has cut the canary off, if it has.
    pub(crate) fn fuse(&self) -> Option<String> {
        self.fuse.clone()
    }

    /// Has the judge say what it thinks of the present step.
    pub(crate) fn judge(&mut self, plan: &Rollout, position: &State, now: u64) {
        if position.phase.is_active() && self.forecast_at + FORECAST <= now {
            self.forecast_at = now;
            (_, _, self.forecast) = self.forecast(plan, now);
        }
        let place = place(plan, position.step);
        let at = clock(now);
        let next = plan.steps.get(position.step).map(|step| weight_of(step.to).fraction());
        let occasion = Occasion {
            at: &at,
            after: Duration::from_secs(now.saturating_sub(self.jury.began().unwrap_or(now))),
            next: next.filter(|next| *next > 0.0),
            pace: self.rate(now) * position.weight().fraction(),
            forecast: self.forecast.get(place),
        };
        let report = self.jury.report(place);
        self.outcome = outcome(&report, &occasion);
        self.report = Some(report);
    }

    /// What the judge has said.
    pub(crate) fn outcome(&self) -> Outcome {
        #[cfg(test)]
        if let Some(said) = &self.said {
            return said.clone();
        }
        self.outcome.clone()
    }

    /// What the judge knew when it said it.
    pub(crate) fn report(&self) -> Value {
        serde_json::to_value(&self.report).unwrap_or_default()
    }

    /// Requests (or users) of both versions a second.
    fn rate(&self, now: u64) -> f64 {
        let recent = self.traffic.iter().filter(|(second, _)| second + TRAFFIC >= now);
        let first = recent.clone().map(|(second, _)| *second).min().unwrap_or(now);
        let last = recent.clone().map(|(second, _)| *second).max().unwrap_or(now);
        let all: u64 = recent.map(|(_, assigned)| assigned).sum();
        #[expect(clippy::cast_precision_loss, reason = "counts of a minute")]
        let rate = all as f64 / (last - first + 1) as f64;
        rate
    }

    /// How long the steps will take at the present traffic, how much that is in requests (or users)
    /// a second, and how often stable fails.
    pub(crate) fn forecast(&self, plan: &Rollout, now: u64) -> (f64, f64, Vec<StepForecast>) {
        let weighted = plan.steps.iter().filter_map(|step| match step.to {
            Stage::Weight(weight) => Some((weight.fraction(), step.hold.as_secs_f64())),
            Stage::Shadow(_) => None,
        });
        let steps: Vec<(f64, f64)> = weighted.filter(|(weight, _)| *weight < 1.0).collect();
        let (rate, mut usual) = (self.rate(now), self.jury.usual());
        let errors = usual.errors;
        // Three times nothing is nothing.
        usual.errors = errors.max(ERRORS_ASSUMED);
        let forecast = gnomon_policy::judge::plan(self.jury.rules(), &steps, rate, &usual);
        (rate, errors, forecast)
    }

    /// What the disk does not have yet.
    pub(crate) fn take_unwritten(&mut self, generation: u32) -> Option<store::Evidence> {
        if self.unwritten.is_empty() {
            return None;
        }
        let judge = serde_json::to_string(&self.jury).ok()?;
        let cohorts = std::mem::take(&mut self.unwritten);
        Some(store::Evidence { generation, judge, cohorts })
    }

    #[cfg(test)]
    pub(crate) fn says(&mut self, outcome: Outcome) {
        self.said = Some(outcome);
    }
}

/// Shares of the users, step by step, without steps of shadows.
pub(super) fn weights(plan: &Rollout) -> Vec<f64> {
    let weights = plan.steps.iter().filter_map(|step| match step.to {
        Stage::Weight(weight) => Some(weight.fraction()),
        Stage::Shadow(_) => None,
    });
    weights.collect()
}

/// Place among [`weights`] of the step with this number, counted from 1.
pub(super) fn place(plan: &Rollout, step: usize) -> usize {
    let before = plan.steps.iter().take(step.saturating_sub(1));
    before.filter(|step| matches!(step.to, Stage::Weight(share) if share > Share::NONE)).count()
}

/// What follows from a report, in words.
pub(super) fn outcome(report: &Report, occasion: &Occasion<'_>) -> Outcome {
    let words = words(report, occasion);
    match &report.verdict {
        Verdict::Rollback { .. } => Outcome::Worse(words),
        Verdict::Hold { why: Why::NoTraffic } => Outcome::Silent(words),
        Verdict::Hold { .. } => Outcome::Doubt(words),
        Verdict::Advance => Outcome::Proven(words),
        Verdict::NotProven { .. } => Outcome::Open(words),
    }
}

/// The time of the day, in UTC.
pub(super) fn clock(now: u64) -> String {
    let day = now % 86_400;
    format!("{:02}:{:02}:{:02}", day / 3600, day / 60 % 60, day % 60)
}

/// Seconds between two forecasts.
const FORECAST: u64 = 30;
/// How often stable is taken to fail at the least, for a forecast: 0.01 %.
const ERRORS_ASSUMED: f64 = 0.0001;
/// Seconds of traffic that a forecast goes by.
const TRAFFIC: u64 = 60;
/// Seconds that a cohort may be late.
const LATE: u64 = 61;
/// Seconds without a cohort that are told to the judge.
const SILENCE: u64 = 10;

#[cfg(test)]
mod tests;
