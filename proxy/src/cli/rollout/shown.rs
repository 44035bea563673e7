//! Rollouts for eyes.

use std::{fmt::Write as _, time::Duration};

use gnomon_config::model::Share;
use gnomon_policy::{
    judge::plan::{Advice, Detection, StepForecast},
    rollout::Phase,
};

use crate::{
    cli::{Paint, percent, status::span},
    control::api::rollout::{Forecast, Line, Record, Rejudged, Rollout, Rollouts, Why},
};

/// All of them, and what concerns all.
pub(crate) fn all(all: &Rollouts, paint: Paint) -> String {
    let mut text = String::new();
    if let Some(line) = &all.line {
        let _ = writeln!(text, "{}", paint.yellow(&stopped(line)));
    }
    if let Some(trouble) = &all.trouble {
        let said = format!("nothing can be written, and no weight is raised: {trouble}");
        let _ = writeln!(text, "{}", paint.red(&said));
    }
    let hooks = all.hooks;
    if hooks.failed + hooks.dropped > 0 {
        let said = format!("webhooks: {} given up, {} dropped", hooks.failed, hooks.dropped);
        let _ = writeln!(text, "{}", paint.yellow(&said));
    }
    for rollout in &all.rollouts {
        let _ = writeln!(text, "{}", line(rollout, paint));
    }
    text
}

/// One in a line.
pub(crate) fn line(rollout: &Rollout, paint: Paint) -> String {
    let Rollout { name, from, to, state, steps, .. } = rollout;
    let step = match state.step.checked_sub(1).and_then(|step| steps.get(step)) {
        Some(step) => format!("step {} of {} ({})", state.step, steps.len(), step.what),
        None => format!("before step 1 of {}", steps.len()),
    };
    let share = percent(state.weight().percent());
    let since = ago(state.since);
    format!(
        "{}   {from} → {to}   {}   {step}   {share} of the users   {since}: {}",
        paint.bold(name),
        phase(rollout, paint),
        state.why
    )
}

/// One in full.
pub(crate) fn one(rollout: &Rollout, paint: Paint) -> String {
    let Rollout { name, from, to, state, steps, .. } = rollout;
    let mut text = format!("{}   {from} → {to}   {}\n", paint.bold(name), phase(rollout, paint));
    let mark = |(place, step): (usize, &crate::control::api::rollout::Step)| {
        let what =
            if step.approve { format!("{} (approve)", step.what) } else { step.what.clone() };
        match (place + 1).cmp(&state.step) {
            std::cmp::Ordering::Less => format!("{what} ✓"),
            std::cmp::Ordering::Equal => paint.bold(&format!("[{what}]")),
            std::cmp::Ordering::Greater => paint.dim(&what),
        }
    };
    let way: Vec<String> = steps.iter().enumerate().map(mark).collect();
    let _ = writeln!(text, "  steps    {}", way.join(" → "));
    let _ = writeln!(text, "  why      {} ({}, {})", state.why, state.by, ago(state.since));
    if state.phase.is_active() || rollout.owns_split {
        now(&mut text, rollout);
    }
    if let Some(line) = &rollout.line {
        let _ = writeln!(text, "  line     {}", paint.yellow(&stopped(line)));
    }
    if !rollout.saved {
        let said = "the last transition is not on the disk yet";
        let _ = writeln!(text, "  disk     {}", paint.yellow(said));
    }
    text
}

/// What is so while it is under way.
fn now(text: &mut String, rollout: &Rollout) {
    let Rollout { state, steps, requests, healthy, saturation, .. } = rollout;
    let hold = state.step.checked_sub(1).and_then(|step| steps.get(step));
    let hold = hold.map_or(0, |step| step.hold_seconds);
    let time = |seconds| span(Duration::from_secs(seconds));
    let _ = writeln!(
        text,
        "  users    {} · {} of {} of the hold · {}",
        percent(rollout.in_force),
        time(state.served),
        time(hold),
        if rollout.armed { "fuse armed" } else { "fuse not armed" }
    );
    if state.phase == Phase::Shadowing {
        let rate = rollout.diff_rate;
        let rate = rate.map_or_else(|| "unknown".to_owned(), |rate| percent(rate * 100.0));
        let _ = writeln!(text, "  copies   {} compared · really different {rate}", requests.canary);
    } else {
        let _ = writeln!(
            text,
            "  evidence canary {} requests, stable {}, in this step",
            requests.canary, requests.stable
        );
        let _ = writeln!(text, "  judge    {}", rollout.verdict);
    }
    let full = |value: Option<f64>| {
        value.map_or_else(String::new, |value| format!(", {} full", percent(value * 100.0)))
    };
    let _ = writeln!(
        text,
        "  health   canary {} endpoints{} · stable {}{}",
        healthy.canary,
        full(saturation.canary),
        healthy.stable,
        full(saturation.stable)
    );
}

/// Transitions, one a line.
pub(crate) fn history(records: &[Record], paint: Paint) -> String {
    let mut text = String::new();
    for record in records {
        let event = &record.event;
        let from = Share(event.weight_from).percent();
        let to = Share(event.weight).percent();
        let share =
            if from == to { percent(to) } else { format!("{} → {}", percent(from), percent(to)) };
        let phase = coloured(event.to, event.to.name(), paint);
        let _ = writeln!(
            text,
            "{}  #{} step {}  {phase}  {share}  {}  {}",
            paint.dim(&clock(event.at)),
            event.generation,
            event.step,
            event.by,
            event.why
        );
    }
    text
}

/// The newest transitions with what was known.
pub(crate) fn why(why: &Why, paint: Paint) -> String {
    let mut text = one(&why.now, paint);
    for record in &why.last {
        let event = &record.event;
        let _ = writeln!(
            text,
            "\n{}  {}\n  {}",
            paint.bold(&clock(event.at)),
            crate::control::rollouts::describe(&record.rollout, event),
            paint.dim(&format!("by {} under configuration {}", event.by, record.config))
        );
    }
    text
}

fn phase(rollout: &Rollout, paint: Paint) -> String {
    let state = &rollout.state;
    let name = state.phase.name().replace('_', " ");
    let name = match state.phase.reason() {
        "" => name,
        reason => format!("{name} ({})", reason.replace('_', " ")),
    };
    let shown = coloured(state.phase, &name, paint);
    if state.frozen { format!("{shown} {}", paint.blue("frozen")) } else { shown }
}

fn coloured(phase: Phase, name: &str, paint: Paint) -> String {
    match phase {
        Phase::Idle => paint.dim(&format!("○ {name}")),
        Phase::Shadowing | Phase::Running => paint.blue(&format!("● {name}")),
        Phase::Holding(_) | Phase::Waiting | Phase::Paused => paint.yellow(&format!("▲ {name}")),
        Phase::Promoted => paint.green(&format!("✓ {name}")),
        Phase::RolledBack(_) | Phase::Aborted => paint.red(&format!("▼ {name}")),
    }
}

fn stopped(line: &Line) -> String {
    let Line { reason, by, since } = line;
    format!("the line is stopped since {}: {reason} ({by})", ago(*since))
}

/// How long ago, for seconds since 1970.
fn ago(at: u64) -> String {
    if at == 0 {
        return "never".to_owned();
    }
    let now = crate::clock::wall().as_secs();
    format!("{} ago", span(Duration::from_secs(now.saturating_sub(at))))
}

/// A time of the day, in UTC.
pub(super) fn clock(at: u64) -> String {
    let at = jiff::Timestamp::from_second(i64::try_from(at).unwrap_or_default());
    at.map_or_else(|_| "?".to_owned(), |at| at.to_string())
}

/// How long each step will take.
pub(crate) fn forecast(forecast: &Forecast, paint: Paint) -> String {
    let unit = if forecast.by_user { "new users" } else { "requests" };
    let mut text = format!(
        "{}   at {} {unit} a second, of which stable fails {} (0.01% is assumed at the least); with \
         a chance of 80 %:\n",
        paint.bold(&forecast.name),
        number(forecast.rate),
        percent(forecast.errors * 100.0)
    );
    if forecast.rate <= 0.0 {
        let said = "there is no traffic now: nothing can be proven";
        let _ = writeln!(text, "  {}", paint.yellow(said));
        return text;
    }
    let head = ["step", "errors ×1.5", "×3", "×10", "p99 +10%", "+20%", "proof of not worse"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(forecast.steps.iter().map(expected));
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    for (nth, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).map(|(cell, width)| {
            let gap = width - cell.chars().count();
            format!("{cell}{}", " ".repeat(gap))
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        let line = line.trim_end();
        let _ = writeln!(text, "  {}", if nth == 0 { paint.dim(line) } else { line.to_owned() });
    }
    for step in forecast.steps.iter().filter(|step| !step.advice.is_empty()) {
        let _ = writeln!(text, "  {} takes long. What would help:", share(step.weight));
        for advice in &step.advice {
            let _ = writeln!(text, "    {}", advised(*advice));
        }
    }
    text
}

fn expected(step: &StepForecast) -> [String; 7] {
    let found = |all: &[Detection], place: usize| {
        all.get(place).map_or_else(|| "?".to_owned(), |found| until(found.seconds))
    };
    [
        share(step.weight),
        found(&step.errors, 0),
        found(&step.errors, 1),
        found(&step.errors, 2),
        found(&step.latency, 0),
        found(&step.latency, 1),
        until(step.proof),
    ]
}

fn advised(advice: Advice) -> String {
    match advice {
        Advice::Mirror => {
            "copies to the canary first, of all requests: the whole rate, and no harm".to_owned()
        }
        Advice::Larger { weight, triple, proof } => format!(
            "{} instead: errors ×3 are found after {}, proof takes {}",
            share(weight),
            until(triple),
            until(proof)
        ),
        Advice::Wider { risk_errors, proof } => format!(
            "gate.risk.errors = \"{}pp\": proof takes {}",
            number(risk_errors * 100.0),
            until(proof)
        ),
    }
}

/// What would have been.
pub(crate) fn rejudged(rejudged: &Rejudged, paint: Paint) -> String {
    let mut text = format!(
        "start #{}   {} seconds of evidence, {} to {}\n",
        rejudged.generation,
        rejudged.cohorts,
        clock(rejudged.from),
        clock(rejudged.to)
    );
    for (key, value) in &rejudged.gate {
        let _ = writeln!(text, "  with {key} = {value}");
    }
    let turns = rejudged.turns.iter().map(|turn| {
        let what = format!("would say at step {}: {}", turn.step, turn.words);
        (turn.at, 1, if turn.verdict == "rollback" { paint.red(&what) } else { what })
    });
    let recorded = rejudged.recorded.iter().map(|event| {
        let what = format!(
            "was: {} ({}), step {}, {}",
            event.to.name(),
            event.by,
            event.step,
            share(Share(event.weight).fraction())
        );
        (event.at, 0, paint.dim(&what))
    });
    let mut lines: Vec<(u64, u8, String)> = turns.chain(recorded).collect();
    lines.sort_by_key(|(at, order, _)| (*at, *order));
    for (at, _, line) in lines {
        let _ = writeln!(text, "{}  {line}", paint.dim(&clock(at)));
    }
    text
}

fn share(fraction: f64) -> String {
    percent(fraction * 100.0)
}

fn until(seconds: Option<f64>) -> String {
    match seconds {
        None => "decades".to_owned(),
        Some(seconds) => span(Duration::from_secs_f64(seconds.clamp(0.0, 1e10).ceil())),
    }
}

/// A number in few digits.
fn number(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
