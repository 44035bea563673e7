//! Flags that are judged: what the judge is told of a variant's users and the default's, and what it
//! says. It informs; no weight and no flag is changed by it.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use gnomon_config::{
    Config,
    model::{Gate, Name, flag::FlagJudge},
};
use gnomon_policy::{
    golden,
    judge::{
        Cohort, Report, Rules, Verdict, Why,
        events::{Epoch, range},
        variants,
    },
};
use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;

use super::{
    Control,
    api::{
        Kind, Refused,
        flag_compare::{FlagCompare, FlagJudged, SampleRatio, VariantCounts},
    },
    rollouts::jury::Jury,
    state::State,
    trials::flags::gate,
};
use crate::{
    cells::{
        flags::{Counted, FlagBook},
        totals::Totals,
    },
    clock,
    trial::FlagTrial,
};

/// All comparisons, by the flag's name.
#[derive(Debug, Default)]
pub(crate) struct Comparisons {
    known: BTreeMap<Name, Comparison>,
    /// What an earlier process left, until it is asked for.
    left: BTreeMap<String, ComparisonLeft>,
    /// What had been counted when the present epochs began.
    marks: BTreeMap<Name, Mark>,
}

/// The beginning of an epoch.
#[derive(Clone, Debug, Default)]
struct Mark {
    epoch: u32,
    since: u64,
    base: BTreeMap<String, Totals>,
}

/// What is known of one flag's users.
#[derive(Debug)]
struct Comparison {
    jury: Jury,
    known: ComparisonLeft,
    /// Users of the latest seconds.
    traffic: VecDeque<(u64, u64)>,
}

/// What outlives a process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ComparisonLeft {
    /// The jury, as JSON.
    jury: String,
    epoch: u32,
    since: u64,
    /// Users by the chance that they had.
    users: Vec<Epoch>,
    /// What had been counted of each variant when it began.
    base: BTreeMap<String, Totals>,
    /// The newest cohort's second, epoch and weight.
    last: Option<(u64, u32, f64)>,
}

impl Comparisons {
    /// Begins with what an earlier process knew.
    pub(crate) fn inherit(&mut self, left: BTreeMap<String, ComparisonLeft>) {
        self.left = left;
    }

    /// What another process needs to go on.
    pub(crate) fn leave(&self) -> BTreeMap<String, ComparisonLeft> {
        let leave = |it: &Comparison| ComparisonLeft {
            jury: serde_json::to_string(&it.jury).unwrap_or_default(),
            ..it.known.clone()
        };
        self.known.iter().map(|(name, it)| (name.to_string(), leave(it))).collect()
    }

    /// A flag's rules are to be in force; its counts so far are those of others.
    pub(crate) fn mark(&mut self, trial: &FlagTrial, book: &FlagBook, now: u64) {
        let known = self.marks.entry(trial.name.clone()).or_default();
        if known.epoch != trial.epoch {
            let counted =
                |(variant, it): (&Name, Counted<'_>)| (variant.to_string(), Totals::of(it.0));
            let base = book.of(&trial.name).map(counted).collect();
            *known = Mark { epoch: trial.epoch, since: now, base };
        }
    }

    /// Takes what has become known, at `now` in seconds since 1970.
    fn look(&mut self, state: &mut State, now: u64) {
        let config = state.config.clone();
        let judged = || config.flags.own.iter().filter(|flag| flag.judge.is_some());
        self.known.retain(|name, _| judged().any(|flag| flag.name == *name));
        self.marks.retain(|name, _| judged().any(|flag| flag.name == *name));
        for flag in judged() {
            let Some(judge) = &flag.judge else { continue };
            let Some((epoch, _)) = state.trials.flag_epoch(&flag.name) else { continue };
            let gate = gate(&config, judge);
            let jury = || Jury::new(&Rules::of(&gate, &config.kpis), &config.kpis, &[EVEN]);
            let left = self.left.remove(&*flag.name);
            let known = self.known.entry(flag.name.clone());
            let it = known.or_insert_with(|| Comparison::begin(jury(), left));
            if !it.jury.is_like(&jury()) {
                *it = Comparison::begin(jury(), None);
            }
            it.follow(epoch, self.marks.get(&flag.name));
            let moment = clock::now();
            let cohorts = state.trials.collect_flag(&flag.name, moment);
            it.take(cohorts, &gate, now);
            for (kpi, cohort) in state.trials.collect_late_flag(&flag.name, moment) {
                it.jury.take_late(kpi, &cohort);
            }
        }
    }
}

impl Comparison {
    fn begin(jury: Jury, left: Option<ComparisonLeft>) -> Self {
        let known = left.and_then(|left| {
            let jury_left = serde_json::from_str::<Jury>(&left.jury).ok()?;
            jury_left.is_like(&jury).then_some((jury_left, left))
        });
        let (jury, known) = known.unwrap_or_else(|| (jury, ComparisonLeft::default()));
        Self { jury, known, traffic: VecDeque::new() }
    }

    /// Other rules of the flag: what is shown of it begins anew.
    fn follow(&mut self, epoch: u32, mark: Option<&Mark>) {
        let Some(mark) = mark.filter(|mark| self.known.epoch != epoch && mark.epoch == epoch)
        else {
            return;
        };
        (self.known.epoch, self.known.since) = (epoch, mark.since);
        self.known.base = mark.base.clone();
        self.known.users.clear();
    }

    fn take(&mut self, cohorts: Vec<Cohort>, gate: &Gate, now: u64) {
        for cohort in cohorts {
            let (canary, all) =
                (cohort.canary.assigned, cohort.canary.assigned + cohort.stable.assigned);
            self.traffic.push_back((cohort.second, all));
            if cohort.epoch == self.known.epoch {
                self.count(cohort.weight, canary, all);
            }
            self.known.last = Some((cohort.second, cohort.epoch, cohort.weight));
            self.jury.take(&cohort);
        }
        self.hear_silence(gate, now);
        let oldest = now.saturating_sub(TRAFFIC + gate.horizon.as_secs());
        while self.traffic.front().is_some_and(|(second, _)| *second < oldest) {
            self.traffic.pop_front();
        }
    }

    fn count(&mut self, weight: f64, canary: u64, all: u64) {
        let users = &mut self.known.users;
        match users.iter_mut().find(|epoch| epoch.weight.to_bits() == weight.to_bits()) {
            Some(epoch) => (epoch.canary, epoch.all) = (epoch.canary + canary, epoch.all + all),
            None => users.push(Epoch { weight, canary, all }),
        }
    }

    /// Time passes for the judge with cohorts alone: where there are none, it is told so.
    fn hear_silence(&mut self, gate: &Gate, now: u64) {
        let Some((second, epoch, weight)) = self.known.last else { return };
        let quiet = now.saturating_sub(gate.horizon.as_secs() + LATE);
        if second + SILENCE <= quiet {
            self.known.last = Some((quiet, epoch, weight));
            self.jury.take(&Cohort { second: quiet, epoch, weight, ..Cohort::default() });
        }
    }

    fn ratio(&self, e: f64) -> SampleRatio {
        let users = &self.known.users;
        let (canary, all) =
            users.iter().fold((0, 0), |(canary, all), it| (canary + it.canary, all + it.all));
        #[expect(clippy::cast_precision_loss, reason = "counts of users")]
        let (expected, counted) = {
            let expected: f64 = users.iter().map(|it| it.weight * it.all as f64).sum();
            let whole = (all as f64).max(1.0);
            (expected / whole, canary as f64 / whole)
        };
        let range = range(users, 0.05);
        SampleRatio {
            variant: canary,
            default: all - canary,
            expected,
            counted,
            low: range.low,
            high: range.high,
            e,
            is_broken: e >= MISROUTED,
        }
    }

    /// Users a second, over the latest that are known.
    #[expect(clippy::cast_precision_loss, reason = "counts of a minute")]
    fn pace(&self) -> f64 {
        let all: u64 = self.traffic.iter().map(|(_, users)| users).sum();
        let (first, last) = (self.traffic.front(), self.traffic.back());
        let seconds = first.zip(last).map_or(0, |(first, last)| last.0.saturating_sub(first.0));
        all as f64 / (seconds + 1) as f64
    }

    fn words(&self, report: &Report, (variant, default): (&str, &str)) -> String {
        let rate = self.pace();
        let mut usual = self.jury.usual();
        // Three times nothing is nothing.
        usual.errors = usual.errors.max(0.0001);
        let share = self.ratio(1.0).expected.clamp(0.001, 0.999);
        let forecast = gnomon_policy::judge::plan(self.jury.rules(), &[(share, 0.0)], rate, &usual);
        variants(report, variant, default, forecast.first().filter(|_| rate > 0.0))
    }

    fn show(
        &self,
        config: &Config,
        judge: &FlagJudge,
        ends: (&str, &str),
        lost: u64,
    ) -> FlagJudged {
        let report = self.jury.report(0);
        let upstream = config.upstreams.get(usize::from(judge.upstream.0));
        FlagJudged {
            upstream: upstream.map_or_else(String::new, |upstream| upstream.name.to_string()),
            variant: ends.0.to_owned(),
            default: ends.1.to_owned(),
            since: self.known.since,
            epoch: self.known.epoch,
            horizon_seconds: judge.horizon.as_secs(),
            ratio: self.ratio(report.router_e),
            lost,
            verdict: name_of(&report.verdict).to_owned(),
            words: self.words(&report, ends),
            report: Some(report),
        }
    }
}

impl Control {
    /// The variants of a flag side by side.
    pub(crate) fn compare_flag(&self, name: &str) -> Result<FlagCompare, Refused> {
        let state = self.state();
        let set = state.flags.set();
        let Some(flag) = set.find(name) else {
            let names: Vec<&str> = set.flags().iter().map(|flag| &*flag.name).collect();
            let refused = Refused::new(Kind::Unknown, format!("there is no flag `{name}`"));
            return Err(refused.help(format!("there are: {}", names.join(", "))));
        };
        let known = state.comparisons.known.get(name);
        let base = known.map(|known| &known.known.base);
        let variants = state.flag_book.of(name).map(|(variant, counted)| {
            counts(variant, &counted, base.and_then(|base| base.get(&**variant)))
        });
        let own = state.config.flags.own.iter().find(|flag| *flag.name == *name);
        let judge = own.and_then(|flag| flag.judge.as_ref());
        let names = &set.flag(flag).variants;
        let judged = judge.zip(known).and_then(|(judge, known)| {
            let default = names.get(usize::from(set.flag(flag).default?))?;
            let variant = names.get(judge.variant)?;
            let lost = state.trials.flag_epoch(name).map_or(0, |(_, lost)| lost);
            Some(known.show(&state.config, judge, (&variant.name, &default.name), lost))
        });
        Ok(FlagCompare { flag: name.to_owned(), variants: variants.collect(), judged })
    }

    /// Looks at all flags that are judged once a second, for ever.
    pub(super) async fn compare_for_ever(self: std::sync::Arc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.compare_flags();
        }
    }

    fn compare_flags(&self) {
        let mut state = self.state();
        // Once another process judges, this one only tells what it sees.
        if !state.trials.is_left() {
            let mut comparisons = std::mem::take(&mut state.comparisons);
            comparisons.look(&mut state, clock::steady().as_secs());
            state.comparisons = comparisons;
        }
    }
}

/// What has been counted of a variant since it was so much.
fn counts(variant: &str, counted: &Counted<'_>, base: Option<&Totals>) -> VariantCounts {
    let none = Totals::default();
    let (all, base) = (Totals::of(counted.0.iter().copied()), base.unwrap_or(&none));
    let since = |name: &str| all.get(name).saturating_sub(base.get(name));
    let (ok, errors, client) = (since("ok"), since("error"), since("client"));
    let mut times = counted.times();
    for (place, count) in base.times.values().flatten() {
        // As the cells are added: the second of four.
        if let Some(sum) = times.get_mut(place * 4 + 1) {
            *sum = sum.saturating_sub(*count);
        }
    }
    let at = |q| golden::quantile(&times, q).map(|nanos| Duration::from_nanos(nanos).as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "counts of requests")]
    let error_rate = errors as f64 / (ok + errors + client).max(1) as f64;
    VariantCounts {
        variant: variant.to_owned(),
        exposures: since("exposures"),
        asked: since("asked"),
        ok,
        errors,
        client,
        error_rate,
        p50_seconds: at(0.5),
        p99_seconds: at(0.99),
    }
}

const fn name_of(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Rollback { .. } => "worse",
        Verdict::Hold { why: Why::Invalid } => "blind",
        Verdict::Hold { why: Why::NoTraffic } => "no_users",
        Verdict::Hold { .. } => "doubt",
        Verdict::NotProven { .. } => "not_proven",
        Verdict::Advance => "no_worse",
    }
}

/// The one step of a comparison, whose margins are what all users would suffer, whatever the share.
const EVEN: f64 = 0.5;
/// Between two looks.
const TICK: Duration = Duration::from_secs(1);
/// Evidence of another share that makes the judge blind.
const MISROUTED: f64 = 1000.0;
/// Seconds of users that the pace goes by.
const TRAFFIC: u64 = 60;
/// Seconds after its horizon that a user may be late.
const LATE: u64 = 61;
/// Seconds without a user that are told to the judge.
const SILENCE: u64 = 10;
