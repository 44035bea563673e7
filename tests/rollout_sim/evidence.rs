//! Which requests the judge is told of, and when: what control makes of the cores' slots.

use std::sync::Arc;

use gnomon::trial::{Trial, slots::Reading};
use gnomon_config::model::{Rollout, Share, Stage};
use gnomon_policy::{
    judge::{Cohort, Judge, Rules, Verdict, Why, cohort::Class},
    rollout::{Arms, Outcome, State, weight_of},
};

use super::world::{Log, Seen};

/// What is known of the rollout's requests. Its seconds are those of the process, which no clock
/// that is set moves.
#[derive(Debug)]
pub(super) struct Evidence {
    judge: Judge,
    blank: Judge,
    is_fresh: bool,
    pub(super) requests: Arms<u64>,
    last: Option<(u64, u32, f64)>,
    pub(super) fuse: Option<String>,
    /// The first second that the judge has not seen.
    next: u32,
    epochs: Vec<(u32, f64)>,
    started: u64,
    step_since: u64,
    pub(super) outcome: Outcome,
    /// The last second in which each version had a request that counts.
    pub(super) heard: Arms<u64>,
    /// Whether this judge has found the canary worse.
    has_spoken: bool,
}

fn judge(plan: &Rollout) -> Judge {
    let weights = plan.steps.iter().filter_map(|step| match step.to {
        Stage::Weight(weight) => Some(weight.fraction()),
        Stage::Shadow(_) => None,
    });
    Judge::new(Rules::of(&plan.gate, &[]), &weights.collect::<Vec<_>>())
}

impl Evidence {
    pub(super) fn new(plan: &Rollout, now: u64) -> Self {
        Self {
            judge: judge(plan),
            blank: judge(plan),
            is_fresh: true,
            requests: Arms::default(),
            last: None,
            fuse: None,
            next: u32::try_from(now).expect("hours"),
            epochs: Vec::new(),
            started: now,
            step_since: now,
            outcome: Outcome::Open("nothing is known yet".to_owned()),
            heard: Arms { canary: now, stable: now },
            has_spoken: false,
        }
    }

    /// Goes on with what was kept, by way of its JSON.
    pub(super) fn restore(&mut self, requests: Arms<u64>, kept: Option<&Judge>) {
        self.requests = requests;
        let Some(kept) = kept else { return };
        let written = serde_json::to_string(kept).expect("it can be written");
        let known: Judge = serde_json::from_str(&written).expect("it was written");
        if known.rules() == self.judge.rules() {
            (self.judge, self.is_fresh) = (known, false);
        }
    }

    /// What is kept of the judge.
    pub(super) fn written(&self) -> Option<Judge> {
        (!self.is_fresh).then(|| self.judge.clone())
    }

    /// Takes another plan over: by other rules or weights, the judge begins anew.
    pub(super) fn follow(&mut self, old: &Rollout, new: &Rollout) {
        let weights = |plan: &Rollout| plan.steps.iter().map(|step| step.to).collect::<Vec<_>>();
        if weights(old) != weights(new) || judge(new).rules() != self.judge.rules() {
            (self.judge, self.blank) = (judge(new), judge(new));
            (self.is_fresh, self.has_spoken) = (true, false);
        }
    }

    /// A split is in force.
    pub(super) fn begin(&mut self, trial: &Trial, weight: f64) {
        self.epochs.push((trial.epoch, weight));
    }

    /// Another step, or another start.
    pub(super) fn step(&mut self, position: &State, now: u64) {
        self.requests = Arms::default();
        self.fuse = None;
        self.step_since = now;
        if position.step == 0 {
            self.started = now;
            if !self.is_fresh {
                self.judge = self.blank.clone();
                (self.is_fresh, self.has_spoken) = (true, false);
            }
        }
    }

    /// Takes in what has come since the last look.
    pub(super) fn collect(
        &mut self,
        trial: &Arc<Trial>,
        position: &State,
        now: u64,
        log: &mut Log,
    ) {
        let second = u32::try_from(now).expect("hours");
        while self.next + 1 < second {
            let mut readings: Vec<(u32, Reading)> = Vec::new();
            for core in &trial.evidence.cores {
                core.read(self.next, &mut readings);
            }
            let age = second - self.next;
            let open: u64 =
                readings.iter().map(|(_, it)| it.canary.silent() + it.stable.silent()).sum();
            if age < LATEST && open > 0 {
                break;
            }
            readings.sort_by_key(|(epoch, _)| *epoch);
            for (epoch, reading) in readings {
                self.take(epoch, reading, position);
            }
            self.next += 1;
        }
        self.hear_silence(position, now);
        self.epochs.drain(..self.epochs.len().saturating_sub(128));
        if self.next + LATEST < second {
            log.wrong(now, "a second of evidence is kept for ever");
        }
    }

    fn take(&mut self, epoch: u32, reading: Reading, position: &State) {
        let known = self.epochs.iter().find(|(number, _)| *number == epoch);
        let (Some((_, weight)), false) = (known, reading.is_void) else { return };
        let tally = |counted: gnomon::trial::slots::Counted| {
            let silent = counted.silent();
            let mut tally = counted.tally;
            tally.errors[Class::Unfinished as usize] += silent;
            tally
        };
        let second = u64::from(self.next);
        let (canary, stable) = (tally(reading.canary), tally(reading.stable));
        let cohort = Cohort { second: EPOCH + second, epoch, weight: *weight, canary, stable };
        self.last = Some((second, epoch, *weight));
        if cohort.canary.assigned > 0 {
            self.heard.canary = second;
        }
        if cohort.stable.assigned > 0 {
            self.heard.stable = second;
        }
        let is_ours = position.phase.is_active() && second + 1 >= self.started;
        if is_ours && second + 1 >= self.step_since {
            self.requests.canary += cohort.canary.assigned;
            self.requests.stable += cohort.stable.assigned;
        }
        self.weigh(&cohort, is_ours);
    }

    fn weigh(&mut self, cohort: &Cohort, is_ours: bool) {
        if is_ours {
            self.is_fresh &= cohort.weight <= 0.0;
            self.judge.take(cohort);
        } else if self.is_fresh && cohort.weight <= 0.0 {
            self.judge.take(cohort);
        }
    }

    fn hear_silence(&mut self, position: &State, now: u64) {
        let Some((second, epoch, weight)) = self.last else { return };
        let quiet = now.saturating_sub(LATE);
        if position.phase.is_active() && second + SILENCE <= quiet {
            self.last = Some((quiet, epoch, weight));
            let second = EPOCH + quiet;
            self.weigh(&Cohort { second, epoch, weight, ..Cohort::default() }, true);
        }
    }

    /// Has the judge say what it thinks of the present step.
    pub(super) fn judge(&mut self, plan: &Rollout, position: &State, alike: bool, seen: &mut Seen) {
        let before = plan.steps.iter().take(position.step.saturating_sub(1));
        let place = before.filter(|step| weight_of(step.to) > Share::NONE).count();
        let verdict = self.judge.verdict(place);
        let words = String::new();
        self.outcome = match &verdict {
            Verdict::Rollback { .. } => Outcome::Worse(words),
            Verdict::Hold { why: Why::NoTraffic } => Outcome::Silent(words),
            Verdict::Hold { .. } => Outcome::Doubt(words),
            Verdict::Advance => Outcome::Proven(words),
            Verdict::NotProven { .. } => Outcome::Open(words),
        };
        if matches!(verdict, Verdict::Hold { why: Why::Invalid }) {
            seen.invalid += 1;
        }
        if matches!(verdict, Verdict::Rollback { .. }) && !self.has_spoken {
            self.has_spoken = true;
            seen.worse += 1;
            seen.alike_worse += u64::from(alike);
        }
    }

    /// Whether the judge has seen nothing of a canary.
    pub(super) fn is_fresh(&self) -> bool {
        self.is_fresh
    }
}

/// Second 0 since 1970.
pub(super) const EPOCH: u64 = 1_800_000_000;
/// Seconds after which what has not come back counts as unfinished.
const LATEST: u32 = 60;
/// Seconds that a cohort may be late.
const LATE: u64 = 61;
/// Seconds without a cohort that are told to the judge.
const SILENCE: u64 = 10;
