//! What has to be so before a weight is raised, in the order in which it is asked.
//!
//! 1. the canary has an endpoint, is not too full, and its copies are not answered differently
//! 2. the judge has no doubt, where both versions have users
//! 3. the step's hold has passed, both versions have traffic, and `min_requests` each
//! 4. the judge has proof against "worse than the next step allows"; a step of shadows, compared
//!    copies; at 100 % there is nobody left to compare with
//! 5. a person has said yes, if the step says `approve`
//! 6. nobody has stopped the line, and a change window is open
//! 7. the canary's healthy endpoints can carry the next step
//! 8. the tests pass, then `on.confirm` says yes
//!
//! Before the first step, 2 to 5 are left out: there is no evidence yet. Into a step of shadows 6
//! to 8 are: no user is touched.

use gnomon_config::model::{OnInconclusive, Rollout, Share, Stage, Step};

use super::{Arms, Block, Controller, Facts, Outcome, is_open, weight_of};

/// What comes of a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing: time or evidence is missing.
    Stay(String),
    /// Something is in the way.
    Hold(Block, String),
    /// A person has to say yes.
    Wait(String),
    /// The tests are to be run.
    Test,
    /// `on.confirm` is to be asked.
    Ask,
    /// An answer is awaited.
    Pending,
    /// The tests have failed too often.
    Broken(String),
    /// The step is over its time and nothing is proven.
    OverTime(String),
    /// On.
    Go(String),
}

/// Something asked of the outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Asked {
    /// Not yet.
    #[default]
    No,
    /// At this time, and there is no answer yet.
    Open(u64),
    /// Yes, at this time.
    Yes(u64),
    /// No, at this time, and why.
    Refused(u64, String),
}

impl Asked {
    pub(super) fn of(now: u64, result: Result<(), String>) -> Self {
        match result {
            Ok(()) => Self::Yes(now),
            Err(why) => Self::Refused(now, why),
        }
    }
}

impl Controller {
    /// What comes next, if nobody has to go back.
    pub(super) fn next(&self, plan: &Rollout, now: u64, facts: &Facts) -> Next {
        let step = self.state.step.checked_sub(1).and_then(|step| plan.steps.get(step));
        let next = plan.steps.get(self.state.step);
        let evidence = step.map_or_else(
            || Ok("started".to_owned()),
            |step| evidence(plan, step, next, self.state.served, facts),
        );
        let why = match evidence {
            Ok(why) => why,
            Err(next) => return next,
        };
        if let Some(waits) = self.approval(step, next) {
            return waits;
        }
        let wanted = next.map_or(Share::WHOLE, |next| weight_of(next.to));
        if matches!(next, Some(Step { to: Stage::Shadow(_), .. })) {
            return Next::Go(why);
        }
        if let Some((block, why)) = obstacle(plan, self.state.weight(), wanted, facts) {
            return Next::Hold(block, why);
        }
        self.answers(plan, now).unwrap_or(Next::Go(why))
    }

    fn approval(&self, step: Option<&Step>, next: Option<&Step>) -> Option<Next> {
        let step = step?;
        if next.is_none() && weight_of(step.to) < Share::WHOLE {
            // Whoever lets a plan end here wants to decide the rest.
            let why = "the plan ends below 100 %: promote or abort";
            return Some(Next::Wait(why.to_owned()));
        }
        let waits = step.approve && !self.state.approved;
        waits.then(|| Next::Wait("the step is done: approve the next one, or abort".to_owned()))
    }

    /// What the outside says, where it has to be asked.
    fn answers(&self, plan: &Rollout, now: u64) -> Option<Next> {
        let since = |at: u64| now.saturating_sub(at);
        if !plan.tests.is_empty() {
            match &self.tests {
                Asked::No => return Some(Next::Test),
                Asked::Open(at) if since(*at) < LOST => return Some(Next::Pending),
                Asked::Yes(at) if since(*at) < FRESH => {}
                Asked::Refused(_, why) if self.tests_failed >= TRIES => {
                    return Some(Next::Broken(format!("{why}, {TRIES} times in a row")));
                }
                Asked::Refused(at, why) if since(*at) < AGAIN => {
                    return Some(Next::Hold(Block::Tests, why.clone()));
                }
                Asked::Open(_) | Asked::Yes(_) | Asked::Refused(..) => return Some(Next::Test),
            }
        }
        plan.on.confirm.as_ref()?;
        match &self.confirm {
            Asked::Yes(at) if since(*at) < FRESH => None,
            Asked::Open(at) if since(*at) < LOST => Some(Next::Pending),
            Asked::Refused(at, why) if since(*at) < ASK_AGAIN => {
                Some(Next::Hold(Block::Confirm, why.clone()))
            }
            Asked::No | Asked::Open(_) | Asked::Yes(_) | Asked::Refused(..) => Some(Next::Ask),
        }
    }
}

/// Whether the step has shown what it was to show, and in which words.
fn evidence(
    plan: &Rollout,
    step: &Step,
    next: Option<&Step>,
    served: u64,
    facts: &Facts,
) -> Result<String, Next> {
    if let Some((block, why)) = unwell(plan, facts) {
        return Err(Next::Hold(block, why));
    }
    let is_shadow = matches!(step.to, Stage::Shadow(_));
    let is_whole = weight_of(step.to) == Share::WHOLE;
    // Nothing could end a doubt about copies, or where stable has no requests to compare with.
    if let (Outcome::Doubt(why), false) = (&facts.outcome, is_shadow || is_whole) {
        return Err(Next::Hold(Block::Doubt, why.clone()));
    }
    let hold = step.hold.as_secs();
    if served < hold {
        return Err(Next::Stay(format!("{} of {} of the hold", span(served), span(hold))));
    }
    let open = if is_shadow {
        uncompared(plan, facts)
    } else if is_whole {
        too_few(plan, Arms { stable: u64::MAX, ..facts.requests })
    } else if let Outcome::Silent(why) = &facts.outcome {
        Some(why.clone())
    } else {
        too_few(plan, facts.requests).or_else(|| unproven(&facts.outcome))
    };
    let is_in_time = served < plan.max.as_secs();
    match (open, &facts.outcome) {
        (None, Outcome::Proven(why)) if !is_shadow && !is_whole => Ok(why.clone()),
        (None, _) if next.is_none() => Ok("the whole plan is done".to_owned()),
        (None, _) => Ok("the step is done".to_owned()),
        (Some(why), Outcome::Silent(_)) if is_in_time && !is_shadow => {
            Err(Next::Hold(Block::NoTraffic, why))
        }
        (Some(why), _) if is_in_time => Err(Next::Stay(why)),
        (Some(why), _) if plan.on.inconclusive == OnInconclusive::Advance => {
            Ok(format!("advanced without proof. {why}"))
        }
        (Some(why), _) => Err(Next::OverTime(why)),
    }
}

fn unproven(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Proven(_) => None,
        Outcome::Open(why) | Outcome::Silent(why) | Outcome::Worse(why) | Outcome::Doubt(why) => {
            Some(why.clone())
        }
    }
}

/// What of the canary itself is beyond its bounds now.
fn unwell(plan: &Rollout, facts: &Facts) -> Option<(Block, String)> {
    if facts.healthy.canary == 0 {
        return Some((Block::NoEndpoint, "the canary has no healthy endpoint".to_owned()));
    }
    let beyond = |value: Option<f64>, max: Option<Share>| {
        value.zip(max).filter(|(value, max)| *value > max.fraction())
    };
    if let Some((full, max)) = beyond(facts.saturation.canary, plan.gate.saturation_max) {
        let why =
            format!("the canary is {} full, {} is allowed", share(full), share(max.fraction()));
        return Some((Block::Saturated, why));
    }
    let (rate, max) = beyond(facts.diff_rate, plan.gate.diff_rate_max)?;
    let max = share(max.fraction());
    let why = format!("{} of the copies are answered differently, {max} is allowed", share(rate));
    Some((Block::Different, why))
}

fn too_few(plan: &Rollout, requests: Arms<u64>) -> Option<String> {
    let (least, seen) = (plan.gate.min_requests, requests.canary.min(requests.stable));
    let who = if requests.canary <= requests.stable { "the canary" } else { "stable" };
    (seen < least).then(|| format!("{seen} of min_requests = {least} have gone to {who}"))
}

/// What a step of shadows lacks: silence is no proof.
fn uncompared(plan: &Rollout, facts: &Facts) -> Option<String> {
    let (least, seen) = (plan.gate.min_requests, facts.requests.canary);
    if seen < least {
        return Some(format!("{seen} of min_requests = {least} copies are compared"));
    }
    let is_unknown = plan.gate.diff_rate_max.is_some() && facts.diff_rate.is_none();
    is_unknown.then(|| "no copy has been compared".to_owned())
}

/// What keeps the weight from rising from `present` to `wanted`.
fn obstacle(
    plan: &Rollout,
    present: Share,
    wanted: Share,
    facts: &Facts,
) -> Option<(Block, String)> {
    if let Some((block, why)) = unwell(plan, facts) {
        return Some((block, why));
    }
    if wanted <= present {
        return None;
    }
    if let Some(why) = &facts.stop_line {
        return Some((Block::StopLine, format!("the line is stopped: {why}")));
    }
    if !is_open(&plan.windows, facts.wall) {
        return Some((Block::Window, "no change window is open now (UTC)".to_owned()));
    }
    overload(plan, present, wanted, facts).map(|why| (Block::Capacity, why))
}

/// Why the canary's healthy endpoints could not carry `wanted`: as full as stable's are now, for
/// each share of the traffic that one of them has.
pub(super) fn overload(
    plan: &Rollout,
    present: Share,
    wanted: Share,
    facts: &Facts,
) -> Option<String> {
    let full = facts.saturation.stable?;
    let rest = Share::WHOLE.0.saturating_sub(present.0);
    let Arms { canary, stable } = facts.healthy;
    if rest == 0 || stable == 0 || canary == 0 {
        return None;
    }
    let each = |share: u32, endpoints: u32| f64::from(share) / f64::from(endpoints);
    let predicted = full * each(wanted.0, canary) / each(rest, stable);
    let max = plan.gate.saturation_max.unwrap_or(Share::WHOLE).fraction();
    (predicted > max).then(|| {
        format!(
            "at {} the canary's {canary} healthy endpoints would be {} full ({} is allowed): \
             stable's {stable} are {} full at {}",
            share(wanted.fraction()),
            share(predicted),
            share(max),
            share(full),
            share(f64::from(rest) / f64::from(Share::WHOLE.0)),
        )
    })
}

/// A share for eyes.
fn share(value: f64) -> String {
    let percent = value * 100.0;
    let digits = if percent >= 10.0 { 0 } else { 2 };
    let text = format!("{percent:.digits$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} %")
}

/// A time for eyes.
fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} m", seconds / 60),
        _ => format!("{} h {} m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Seconds after which an answer that has not come is asked for again.
const LOST: u64 = 600;
/// Seconds for which a yes is good.
const FRESH: u64 = 60;
/// Seconds between a failed test and the next try.
const AGAIN: u64 = 10;
/// Failures of the tests in a row that are a verdict.
const TRIES: u32 = 3;
/// Seconds between a no of `on.confirm` and the next question.
const ASK_AGAIN: u64 = 30;
