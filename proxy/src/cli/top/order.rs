//! What can be done from here: what it would do, in words, before anybody says yes.

use gnomon_policy::rollout::Phase;
use serde_json::{Value, json};

use super::{pane::Pane, picture::Picture};
use crate::{
    cli::{live::named, percent},
    control::api::{UpstreamStatus, VersionStatus, rollout::Rollout},
};

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Do {
    /// A rollout: its next step.
    Promote,
    /// A rollout: everybody to stable.
    Abort,
    /// A rollout: stay, or go on.
    Pause,
    /// A rollout: yes.
    Approve,
    /// A rollout: begin.
    Start,
    /// A version: its share.
    Weight,
    /// A version: nobody new.
    Drain,
    /// An upstream: everybody to stable.
    Rollback,
    /// An upstream: no change, or changes again.
    Freeze,
    /// A finding: its path is noise.
    Noise,
}

/// Keys that act on a pane, and what they are called.
pub(super) const fn offered(pane: Pane) -> &'static [(char, Do, &'static str)] {
    match pane {
        Pane::Rollouts => &[
            ('p', Do::Promote, "promote"),
            ('a', Do::Abort, "abort"),
            (' ', Do::Pause, "pause/resume"),
            ('A', Do::Approve, "approve"),
            ('b', Do::Start, "begin"),
        ],
        Pane::Upstreams => &[
            ('w', Do::Weight, "weight"),
            ('d', Do::Drain, "drain"),
            ('r', Do::Rollback, "rollback"),
            ('f', Do::Freeze, "freeze/resume"),
        ],
        Pane::Shadows => &[('m', Do::Noise, "mark as noise")],
        Pane::Overview | Pane::Endpoints | Pane::Cores | Pane::Events => &[],
    }
}

/// A question that is answered in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) label: &'static str,
    pub(super) text: String,
}

/// What is about to be done, until somebody says yes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ask {
    /// As in `Abort the rollout shop?`.
    pub(super) title: String,
    /// What will happen.
    pub(super) means: String,
    pub(super) fields: Vec<Field>,
    /// The field that is written in.
    pub(super) at: usize,
    /// What is still wrong with the answers.
    pub(super) trouble: Option<String>,
    path: String,
    body: Body,
}

#[derive(Clone, Debug, PartialEq)]
enum Body {
    /// Of a rollout: why, and, to promote, out of which step.
    Order(Option<usize>),
    /// The share of this version.
    Weight(String),
    /// Nothing that a person would have to add.
    Fixed(Value),
    /// Why this path is noise.
    Noise(String),
}

/// Characters of an answer at most.
pub(super) const ANSWER_MAX: usize = 300;

const REASON: &str = "reason";
const SHARE: &str = "percent";

impl Ask {
    /// The question that a key begins, about the chosen row.
    ///
    /// # Errors
    /// Why there is nothing to ask.
    pub(super) fn begin(what: Do, picture: &Picture, key: Option<&str>) -> Result<Self, String> {
        let key = key.ok_or("nothing is chosen")?;
        match what {
            Do::Promote | Do::Abort | Do::Pause | Do::Approve | Do::Start => {
                let mut all = picture.rollouts.rollouts.iter();
                let rollout = all.find(|it| it.name == key).ok_or("it is gone")?;
                of_rollout(what, rollout)
            }
            Do::Weight | Do::Drain | Do::Rollback | Do::Freeze => {
                let (upstream, version) = version(picture, key).ok_or("it is gone")?;
                of_upstream(what, upstream, version)
            }
            Do::Noise => noise(picture, key),
        }
    }

    fn new(title: String, means: String, path: String, body: Body) -> Self {
        let labels: &[&'static str] = match &body {
            Body::Order(_) | Body::Noise(_) => &[REASON],
            Body::Weight(_) => &[SHARE],
            Body::Fixed(_) => &[],
        };
        let field = |label: &&'static str| Field { label, text: String::new() };
        let fields = labels.iter().map(field).collect();
        Self { title, means, fields, at: 0, trouble: None, path, body }
    }

    /// What is to be posted where.
    ///
    /// # Errors
    /// What is wrong with the answers. A reason may be left out by whoever says so twice: in an emergency
    /// it must not be in the way.
    pub(super) fn answered(&mut self) -> Result<(String, Value), String> {
        let text = |label: &str| {
            let field = self.fields.iter().find(|field| field.label == label);
            field.map_or("", |field| field.text.trim()).to_owned()
        };
        let reason = text(REASON);
        let wants_reason = self.fields.iter().any(|field| field.label == REASON);
        if wants_reason && reason.is_empty() && self.trouble.is_none() {
            let said = "no reason is given: Enter once more does it without".to_owned();
            self.trouble = Some(said.clone());
            return Err(said);
        }
        let body = match &self.body {
            Body::Order(step) => json!({ "reason": reason, "step": step }),
            Body::Noise(pattern) => json!({ "pattern": pattern, "kind": "noise", "why": reason }),
            Body::Fixed(body) => body.clone(),
            Body::Weight(version) => {
                let said = text(SHARE);
                let share: Option<f64> = said.trim_end_matches('%').trim().parse().ok();
                match share.filter(|share| (0.0..=100.0).contains(share)) {
                    Some(share) => json!({ version.as_str(): share }),
                    None => {
                        let said = "say a share from 0 to 100, such as 12.5".to_owned();
                        self.trouble = Some(said.clone());
                        return Err(said);
                    }
                }
            }
        };
        Ok((self.path.clone(), body))
    }
}

fn of_rollout(what: Do, rollout: &Rollout) -> Result<Ask, String> {
    let Rollout { name, from, to, state, steps, .. } = rollout;
    let name = named(name, "rollout").map_err(|failure| failure.text)?;
    let phase = state.phase;
    let here = match state.step.checked_sub(1).and_then(|place| steps.get(place)) {
        Some(step) => format!("step {} of {} ({})", state.step, steps.len(), step.what),
        None => "the beginning".to_owned(),
    };
    let share = percent(rollout.in_force);
    if !phase.is_active() && !matches!(what, Do::Abort | Do::Start) {
        return Err(format!("{name} is not under way: {}", phase.name().replace('_', " ")));
    }
    let is_stopped = state.frozen || phase == Phase::Paused || needs_resume(phase);
    let (verb, title, means) = match (what, is_stopped) {
        (Do::Abort, _) => (
            "abort",
            format!("Abort the rollout {name}?"),
            format!(
                "Everybody goes to {from} at once. {to} has {share} of the users now and will have none. The rollout ends."
            ),
        ),
        (Do::Start, _) => (
            "start",
            format!("Begin the rollout {name}?"),
            format!(
                "From the first step of {}: {to} gets {}. What an earlier run has learnt is left behind.",
                steps.len(),
                steps.first().map_or("its share", |step| step.what.as_str())
            ),
        ),
        (Do::Promote, _) => {
            ("promote", format!("Promote the rollout {name}?"), promoted(rollout, &here))
        }
        (Do::Approve, _) => {
            ("approve", format!("Approve the next step of {name}?"), approved(rollout, &here))
        }
        (_, true) => (
            "resume",
            format!("Resume the rollout {name}?"),
            format!(
                "It goes on from {here}, where {to} has {share} of the users{}.",
                if state.frozen { ", and is not frozen any more" } else { "" }
            ),
        ),
        (_, false) => (
            "pause",
            format!("Pause the rollout {name}?"),
            format!(
                "It stays at {here}: {to} keeps {share} of the users. It is still rolled back if {to} is bad."
            ),
        ),
    };
    // Said twice by accident, it is one step all the same.
    let step = (what == Do::Promote).then_some(state.step);
    Ok(Ask::new(title, means, format!("/v1/rollouts/{name}/{verb}"), Body::Order(step)))
}

/// What it means to go on without proof.
fn promoted(rollout: &Rollout, here: &str) -> String {
    let Rollout { from, to, state, steps, .. } = rollout;
    match steps.get(state.step) {
        Some(next) => format!(
            "{to} goes from {here} into step {} ({}) now, without waiting for time or proof. It is recorded as not proven.",
            state.step + 1,
            next.what
        ),
        None => format!(
            "{to} takes over now, without waiting for time or proof: everybody leaves {from}. It is recorded as not proven."
        ),
    }
}

/// What a yes means.
fn approved(rollout: &Rollout, here: &str) -> String {
    let Rollout { to, state, steps, .. } = rollout;
    match steps.get(state.step) {
        Some(next) => format!(
            "Step {} ({}) follows {here} as soon as its time has passed and the judge agrees.",
            state.step + 1,
            next.what
        ),
        None => format!("{to} takes over as soon as the judge agrees."),
    }
}

/// Whether only a person ends it, and not by a yes.
fn needs_resume(phase: Phase) -> bool {
    phase.needs_person() && phase != Phase::Waiting
}

fn of_upstream(
    what: Do,
    upstream: &UpstreamStatus,
    version: &VersionStatus,
) -> Result<Ask, String> {
    let (of, name) = (&upstream.name, &version.name);
    let of = named(of, "upstream").map_err(|failure| failure.text)?;
    let share = percent(version.share);
    let stable = upstream.versions.iter().find(|it| it.arm == crate::control::api::Arm::Stable);
    let stable = stable.map_or("stable", |it| it.name.as_str());
    let is_kept = upstream.frozen || upstream.versions.iter().any(|it| it.draining);
    let nothing = || Body::Fixed(json!({}));
    let (verb, title, means, body) = match (what, is_kept) {
        (Do::Weight, _) => (
            "weight",
            format!("Which share is {of}@{name} to have?"),
            format!("It has {share} now. {stable} takes the rest; other canaries keep theirs."),
            Body::Weight(name.clone()),
        ),
        (Do::Drain, _) => (
            "drain",
            format!("Drain {of}@{name}?"),
            format!(
                "Nobody new gets it; users who are on it stay. Its share, {share} now, goes to others. `resume` ends it."
            ),
            Body::Fixed(json!({ "version": name })),
        ),
        (Do::Freeze, true) => (
            "resume",
            format!("Resume {of}?"),
            "The freeze and every drain end: its split may change again.".to_owned(),
            nothing(),
        ),
        (Do::Freeze, false) => (
            "freeze",
            format!("Freeze {of}?"),
            "Its split stays as it is: no command but `resume` changes it.".to_owned(),
            nothing(),
        ),
        _ => (
            "rollback",
            format!("Roll {of} back?"),
            format!("Everybody goes to {stable} at once, whatever the shares are now."),
            nothing(),
        ),
    };
    Ok(Ask::new(title, means, format!("/v1/upstreams/{of}/{verb}"), body))
}

fn noise(picture: &Picture, key: &str) -> Result<Ask, String> {
    let of = |(shadow, page): (&String, &_)| {
        let page: &crate::control::api::Page<gnomon_shadow::finding::Finding> = page;
        let found = page.items.iter().find(|finding| *finding.id == *key)?;
        Some((shadow.clone(), found.path.to_string(), found.endpoint.to_string()))
    };
    let (shadow, path, endpoint) = picture.findings.iter().find_map(of).ok_or("it is gone")?;
    let shadow = named(&shadow, "shadow").map_err(|failure| failure.text)?.to_owned();
    let title = "Mark as noise?".to_owned();
    let means = format!(
        "Differences at {path} (here of {endpoint}) do not count any more, at every endpoint of the shadow {shadow}."
    );
    Ok(Ask::new(title, means, format!("/v1/shadows/{shadow}/mark"), Body::Noise(path)))
}

/// The version that a row is about.
fn version<'p>(picture: &'p Picture, key: &str) -> Option<(&'p UpstreamStatus, &'p VersionStatus)> {
    let (upstream, version) = key.split_once('@')?;
    let all = &picture.status.as_ref()?.upstreams;
    let upstream = all.iter().find(|it| it.name == upstream)?;
    Some((upstream, upstream.versions.iter().find(|it| it.name == version)?))
}
