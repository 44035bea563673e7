//! What would have been: the evidence of a start, judged again by other rules.

use std::{path::Path, sync::Arc};

use gnomon_config::{Config, Options, effective::effective, model::Rollout, parse};
use gnomon_policy::{
    judge::{Judge, Rules, Verdict, words::Occasion, words::words},
    rollout::{Event, weight_of},
};
use gnomon_shadow::store::Fault;

use super::{
    evidence::{clock, place, weights},
    shown::blocking,
    store,
};
use crate::control::{
    Control,
    api::{
        Kind, Refused,
        rollout::{Forecast, RejudgeAsked, Rejudged, Turn},
    },
};

impl Control {
    /// How long a rollout will take at the present traffic.
    pub(crate) fn rollout_plan(&self, name: &str) -> Result<Forecast, Refused> {
        let now = crate::clock::steady().as_secs();
        let mut rollouts = self.rollouts();
        let entry = rollouts.entry(name)?;
        let (rate, errors, steps) = entry.evidence.forecast(&entry.plan, now);
        let by_user =
            self.state().config.upstreams.get(usize::from(entry.plan.upstream.0)).is_some_and(
                |upstream| upstream.sticky.mode != gnomon_config::model::StickyMode::None,
            );
        let (name, plan) = (name.to_owned(), &entry.plan);
        let beyond = |step: &gnomon_config::model::Step| super::shown::step(step);
        Ok(Forecast {
            name,
            by_user,
            rate,
            errors,
            steps,
            plan: plan.steps.iter().map(beyond).collect(),
        })
    }

    /// Judges a start's evidence again, with some of the gate's limits as they are asked for.
    pub(crate) async fn rejudge(
        self: &Arc<Self>,
        name: &str,
        asked: RejudgeAsked,
    ) -> Result<Rejudged, Refused> {
        let (keeper, generation) = {
            let mut rollouts = self.rollouts();
            let newest = rollouts.entry(name)?.controller.state().generation;
            (rollouts.keeper.clone(), asked.generation.unwrap_or(newest))
        };
        let config = self.state().config.clone();
        let other = overridden(&config, name, &asked)?;
        self.end_rollouts().await;
        let (path, name) = (keeper.path().to_owned(), name.to_owned());
        let mut rejudged = blocking(move || replay(&path, &other, &name, generation)).await?;
        rejudged.gate = asked.gate;
        Ok(rejudged)
    }
}

/// The configuration as far as the judge is concerned, with other limits.
fn overridden(config: &Config, name: &str, asked: &RejudgeAsked) -> Result<Config, Refused> {
    let rollout = config.rollouts.iter().find(|rollout| *rollout.name == *name);
    let upstream = rollout.and_then(|it| config.upstreams.get(usize::from(it.upstream.0)));
    let Some(upstream) = upstream else {
        return Err(Refused::new(Kind::Unknown, format!("there is no rollout `{name}`")));
    };
    let mut text = format!("listen = \"127.0.0.1:0\"\nroute.all.to = \"{}\"\n", upstream.name);
    let concerned = [format!("rollout.{name}."), "upstream.".to_owned(), "kpi.".to_owned()];
    for setting in effective(config) {
        let is_concerned = concerned.iter().any(|start| setting.path.starts_with(start));
        if is_concerned && !setting.path.ends_with(".secret") {
            text.push_str(&format!("{} = {}\n", setting.path, setting.value));
        }
    }
    let sets: Vec<(String, String)> = asked
        .gate
        .iter()
        .map(|(key, value)| (format!("rollout.{name}.gate.{key}"), value.clone()))
        .collect();
    let parsed =
        parse("the running configuration", &text, &Options { sets: &sets, ..Options::default() });
    let loaded = parsed.map_err(|problems| {
        Refused::new(Kind::Request, problems.render(false))
            .help("say, for instance, --gate error_rate.worse_by=50% or --gate min_requests=100")
    })?;
    Ok(loaded.config)
}

/// Blocks.
fn replay(path: &Path, config: &Config, name: &str, generation: u32) -> Result<Rejudged, Fault> {
    let plan = config.rollouts.iter().find(|rollout| *rollout.name == *name);
    let plan = plan.ok_or_else(|| Fault::Corrupt("the rollout is gone".to_owned()))?;
    let (_, mut records) = store::history(path, name, 0, RECORDS)?;
    records.retain(|record| record.event.generation == generation);
    records.reverse();
    let events: Vec<Event> = records.into_iter().map(|record| record.event).collect();
    let rules = Rules::of(&plan.gate, &config.kpis);
    let mut replay = Replay {
        plan,
        events: &events,
        judge: Judge::new(rules, &weights(plan)),
        turns: Vec::new(),
        cohorts: 0,
        seconds: None,
    };
    store::evidence(path, name, generation, &mut |cohort| replay.take(cohort))?;
    let Replay { judge, turns, cohorts, seconds, .. } = replay;
    let step = events.last().map_or(0, |event| event.step_from);
    let report = serde_json::to_value(judge.report(place(plan, step))).unwrap_or_default();
    let (from, to) = seconds.unwrap_or_default();
    let gate = Default::default();
    Ok(Rejudged { generation, gate, cohorts, from, to, turns, recorded: events, report })
}

struct Replay<'a> {
    plan: &'a Rollout,
    events: &'a [Event],
    judge: Judge,
    turns: Vec<Turn>,
    cohorts: u64,
    seconds: Option<(u64, u64)>,
}

impl Replay<'_> {
    fn take(&mut self, cohort: &gnomon_policy::judge::Cohort) {
        self.judge.take(cohort);
        self.cohorts += 1;
        let at = cohort.second;
        self.seconds = Some((self.seconds.map_or(at, |(first, _)| first), at));
        let step = self.events.iter().take_while(|event| event.at <= at).last();
        let step = step.map_or(0, |event| event.step);
        let verdict = self.judge.verdict(place(self.plan, step));
        let verdict = name_of(&verdict);
        let is_same =
            self.turns.last().is_some_and(|turn| turn.verdict == verdict && turn.step == step);
        if is_same || self.turns.len() >= TURNS {
            return;
        }
        let clock = clock(at);
        let next = self.plan.steps.get(step).map(|step| weight_of(step.to).fraction());
        let began = self.judge.began().unwrap_or(at);
        let occasion = Occasion {
            at: &clock,
            after: std::time::Duration::from_secs(at.saturating_sub(began)),
            next: next.filter(|next| *next > 0.0),
            ..Occasion::default()
        };
        let words = words(&self.judge.report(place(self.plan, step)), &occasion);
        self.turns.push(Turn { at, step, verdict: verdict.to_owned(), words });
    }
}

const fn name_of(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Rollback { .. } => "rollback",
        Verdict::Hold { .. } => "hold",
        Verdict::Advance => "advance",
        Verdict::NotProven { .. } => "not_proven",
    }
}

/// Records of a rollout that are looked at.
const RECORDS: usize = 10_000;
/// Changes of the judge's mind that are told.
const TURNS: usize = 200;
