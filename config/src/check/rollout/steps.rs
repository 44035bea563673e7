//! The steps of a rollout.

use std::time::Duration;

use super::Ends;
use crate::{
    check::guessing,
    code,
    fields::{Effect, Field, Kind, Preset},
    known,
    model::{Shadow, Share, Stage, Step, VersionIx},
    problem::{Problem, Wrong},
    read::{Placed, Reader, Scope},
    tree::{Node, Table, Value},
    units,
};

/// Steps at most: the evidence for leaving each is gathered from the beginning.
const STEPS_MAX: usize = 32;
/// How long a step is held that does not say.
const HOLD: Duration = Duration::from_secs(10 * 60);

const WEIGHT: Field = part("weight", Kind::Share);
const SHADOW: Field = part("shadow", Kind::Share);
const HOLDING: Field = part("hold", Kind::Duration { zero: true });
const APPROVE: Field = part("approve", Kind::Bool);
const KEYS: [&str; 4] = ["weight", "shadow", "hold", "approve"];

/// A key of a step: items of a list have no rows of their own.
const fn part(path: &'static str, kind: Kind) -> Field {
    Field { path, kind, preset: Preset::Commented(""), effect: Effect::Reload, doc: "" }
}

/// Every step that can be read, in order, with what is wrong among them told.
pub(super) fn all(
    reader: &mut Reader<'_, '_>,
    scope: &Scope<'_>,
    max: Duration,
) -> Vec<Placed<Step>> {
    reader.not_empty(scope, &["steps"]);
    let read = |reader: &mut Reader<'_, '_>, field, node: &Node| {
        let one = std::slice::from_ref(node);
        let items = if let Value::List(items) = &node.value { items.as_slice() } else { one };
        Some(items.iter().filter_map(|item| step(reader, field, item)).collect())
    };
    let mut steps: Vec<Placed<Step>> = reader.value(scope, "steps", read).unwrap_or_default();
    if scope.entry("steps").is_none() {
        // What nobody wrote has no place of its own.
        steps.iter_mut().for_each(|step| step.place = scope.place);
    }
    in_order(reader, &steps);
    for step in steps.iter().filter(|step| step.value.hold > max) {
        let message = format!("this step is held for {}", units::show_duration(step.value.hold));
        let problem = Problem::error(code::STEPS, step.place, message)
            .label(format!("longer than `max`, {}, allows", units::show_duration(max)));
        reader.tell(match scope.entry("max") {
            Some(max) => problem.related(max.node.place, "`max`"),
            None => problem,
        });
    }
    steps
}

fn step(reader: &mut Reader<'_, '_>, field: &'static Field, node: &Node) -> Option<Placed<Step>> {
    let value = match &node.value {
        Value::Table(table) if !known::is_outside(table) => long(reader, node, table),
        Value::Table(_) | Value::Text(_) => short(reader, field, node),
        Value::Integer(_)
        | Value::Float(_)
        | Value::Bool(_)
        | Value::List(_)
        | Value::Date(_)
        | Value::Foreign(_) => reader.mistyped(field, node, "a step such as \"5% for 20m\""),
    }?;
    let (Stage::Shadow(share) | Stage::Weight(share)) = value.to;
    if share == Share::NONE {
        let problem = Problem::error(code::STEPS, node.place, "a step of 0 % is none");
        reader.tell(problem.label("expected more"));
    }
    Some(Placed { value, place: node.place })
}

/// `"5% for 20m"`, `"100%"`.
fn short(reader: &mut Reader<'_, '_>, field: &'static Field, node: &Node) -> Option<Step> {
    let text = reader.as_text(field, node)?;
    let (weight, hold) = match text.split_once(" for ") {
        Some((weight, hold)) => (weight, Some(hold.trim())),
        None => (text.as_str(), None),
    };
    let weight = units::share(weight.trim());
    let weight = weight.map_err(|wrong| wrong.label("expected \"5% for 20m\" or \"100%\""));
    let weight = reader.check(node.place, weight);
    let hold = hold.map_or(Some(HOLD), |hold| reader.check(node.place, units::duration(hold)));
    Some(Step { to: Stage::Weight(weight?), hold: hold?, approve: false })
}

/// `{ weight = "5%", hold = "20m", approve = true }`.
fn long(reader: &mut Reader<'_, '_>, node: &Node, table: &Table) -> Option<Step> {
    for entry in table.entries.iter().filter(|entry| !KEYS.contains(&entry.key.as_str())) {
        let message = format!("unknown key `{}` in a step", entry.key);
        let wrong = Wrong::new(code::UNKNOWN_KEY, message);
        reader.tell(guessing(wrong, &entry.key, KEYS.into_iter()).at(entry.key_place));
    }
    let get = |key| table.get(key).map(|entry| &entry.node);
    let weight = get("weight").map(|node| reader.as_share(&WEIGHT, node));
    let shadow = get("shadow").map(|node| reader.as_share(&SHADOW, node));
    let hold = get("hold").map_or(Some(HOLD), |node| reader.as_duration(&HOLDING, node));
    let approve = get("approve").map_or(Some(false), |node| reader.as_bool(&APPROVE, node));
    let to = match (weight, shadow) {
        (Some(weight), None) => Stage::Weight(weight?),
        (None, Some(shadow)) => Stage::Shadow(shadow?),
        (Some(_), Some(_)) => {
            let message = "`weight` and `shadow` exclude each other";
            reader.tell(Problem::error(code::EXCLUSIVE, node.place, message));
            return None;
        }
        (None, None) => {
            let message = "this step says neither `weight` nor `shadow`";
            reader.tell(Problem::error(code::MISSING, node.place, message));
            return None;
        }
    };
    Some(Step { to, hold: hold?, approve: approve? })
}

/// Copies come before users, and users only become more.
fn in_order(reader: &mut Reader<'_, '_>, steps: &[Placed<Step>]) {
    if let Some(beyond) = steps.get(STEPS_MAX) {
        let message = format!("there are more than {STEPS_MAX} steps");
        reader.tell(Problem::error(code::STEPS, beyond.place, message));
    }
    let mut last: Option<(Share, &Placed<Step>)> = None;
    for step in steps {
        match (step.value.to, last) {
            // What is none has been told.
            (Stage::Weight(Share::NONE), _) | (Stage::Shadow(_), None) => {}
            (Stage::Shadow(_), Some((_, before))) => {
                let message = "a step of copies comes before all weights";
                let problem = Problem::error(code::STEPS, step.place, message);
                reader.tell(problem.related(before.place, "users have it already"));
            }
            (Stage::Weight(weight), before) => {
                if let Some((_, before)) = before.filter(|(share, _)| *share >= weight) {
                    let message = "weights rise from step to step";
                    let problem = Problem::error(code::STEPS, step.place, message);
                    let label = "not above the one before";
                    reader.tell(problem.label(label).related(before.place, "this one"));
                }
                last = Some((weight, step));
            }
        }
    }
    if let Some(copies) = steps.last().filter(|_| last.is_none()) {
        let message = "no step gives the new version any user";
        let problem = Problem::error(code::STEPS, copies.place, message);
        reader.tell(problem.label("copies alone"));
    }
}

/// Whether the versions can have what the steps give.
pub(super) fn fit(
    reader: &mut Reader<'_, '_>,
    scope: &Scope<'_>,
    steps: &[Placed<Step>],
    ends: &Ends<'_>,
    shadows: &[Shadow],
) {
    let copies = steps.iter().find(|step| matches!(step.value.to, Stage::Shadow(_)));
    if let Some(copies) = copies.filter(|_| !ends.have_shadow(shadows)) {
        let message = "there is no shadow that could copy requests for this step";
        let problem = Problem::error(code::STEPS, copies.place, message);
        reader.tell(problem.help(ends.shadow_to_add()));
    }
    beside(reader, scope, steps, ends);
}

/// What third versions keep, a rollout cannot give.
fn beside(reader: &mut Reader<'_, '_>, scope: &Scope<'_>, steps: &[Placed<Step>], ends: &Ends<'_>) {
    if !ends.declared.split_readable || ends.from.value != ends.declared.upstream.stable {
        return;
    }
    let count = u16::try_from(ends.declared.upstream.versions.len()).unwrap_or(u16::MAX);
    let others = (0..count)
        .map(VersionIx)
        .filter(|version| ![ends.from.value, ends.to.value].contains(version))
        .filter(|version| ends.share(*version).0 > Share::NONE);
    let others: Vec<VersionIx> = others.collect();
    let kept: u32 = others.iter().map(|version| ends.share(*version).0.0).sum();
    let left = Share(Share::WHOLE.0.saturating_sub(kept));
    let beyond = |step: &&Placed<Step>| matches!(step.value.to, Stage::Weight(it) if it > left);
    let Some(step) = steps.iter().find(beyond) else { return };
    let message = format!("no more than {} are left for this step", units::show_share(left));
    let mut problem = Problem::error(code::STEPS, step.place, message);
    if scope.entry("steps").is_none() {
        problem = problem.label("its steps, which are not written, end at 100%");
    }
    for version in others {
        let (share, place) = ends.share(version);
        let label = format!("`{}` keeps {}", ends.shown(version), units::show_share(share));
        problem = problem.related(place, label);
    }
    reader.tell(problem);
}

impl Ends<'_> {
    /// Whether a shadow copies from the one version to the other.
    pub(super) fn have_shadow(&self, shadows: &[Shadow]) -> bool {
        shadows.iter().any(|shadow| {
            shadow.from == (self.upstream, Some(self.from.value))
                && shadow.to == (self.upstream, self.to.value)
        })
    }

    /// What to write so that one does.
    pub(super) fn shadow_to_add(&self) -> String {
        let (from, to) = (self.shown(self.from.value), self.shown(self.to.value));
        format!("add a [shadow.NAME] with from = \"{from}\" and to = \"{to}\"")
    }
}
