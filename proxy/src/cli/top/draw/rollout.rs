//! A rollout: where it is, what the judge knows, what is missing, and what happened last.

use gnomon_policy::{
    judge::{
        Missing, Report, Verdict,
        bernoulli::Counts,
        range,
        report::SignalReport,
        rules::{Allowed, Signal},
    },
    rollout::Phase,
};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::{below, labelled, put, rows};
use crate::{
    cli::{
        percent, shown,
        top::{
            picture::Picture,
            table::{Cell, Column, Row, Table},
            text::{count, flat, moment, part, short, stretch},
            tone::{Tints, Tone},
            view::View,
        },
    },
    control::api::rollout::{Forecast, Rollout},
};

/// All rollouts.
pub(super) fn list(picture: &Picture) -> Table {
    let columns = vec![
        Column::text("rollout", 0, 24),
        Column::text("from", 3, 24),
        Column::text("to", 2, 24),
        Column::text("phase", 0, 30),
        Column::number("step", 0),
        Column::number("users", 0),
        Column::number("evidence", 1),
        Column::text("since (UTC)", 4, 20),
    ];
    let now = picture.now / 1000;
    let row = |it: &Rollout| {
        let (tone, phase) = phase(it);
        Row {
            key: it.name.clone(),
            cells: vec![
                Cell::text(&it.name),
                Cell::text(&it.from),
                Cell::text(&it.to),
                Cell::text(&phase).marked(tone),
                Cell::number(format!("{}/{}", it.state.step, it.steps.len()), it.state.step as f64),
                Cell::number(percent(it.in_force), it.in_force),
                Cell::number(count(it.requests.canary), it.requests.canary as f64),
                Cell::text(&if it.state.since == 0 {
                    String::new()
                } else {
                    moment(it.state.since, now)
                }),
            ],
        }
    };
    Table { columns, rows: picture.rollouts.rollouts.iter().map(row).collect() }
}

/// The list, if there is more than one, and all about the chosen one.
pub(super) fn draw(table: &Table, picture: &Picture, view: &View, area: Rect, buffer: &mut Buffer) {
    let mut area = area;
    if table.rows.len() != 1 {
        let lines = u16::try_from(table.rows.len() + 1).unwrap_or(u16::MAX);
        let lines = lines.min((area.height / 3).max(3));
        rows(table, view, Rect { height: lines, ..area }, buffer);
        area = below(area, lines + 1);
    }
    let chosen = table.chosen(view.look()).and_then(|place| table.rows.get(place));
    let mut all = picture.rollouts.rollouts.iter();
    let Some(rollout) = chosen.and_then(|row| all.find(|it| it.name == row.key)) else { return };
    one(rollout, picture, view, area, buffer);
}

/// One in a line, as on the first pane.
pub(super) fn line(rollout: &Rollout, view: &View, area: Rect, buffer: &mut Buffer) {
    let Rollout { name, from, to, state, steps, in_force, .. } = rollout;
    let tints = view.tints;
    let (tone, phase) = phase(rollout);
    let hold = state.step.checked_sub(1).and_then(|place| steps.get(place));
    let hold = hold.map_or(0, |step| step.hold_seconds);
    let mut pieces = vec![
        (Tone::Strong, format!(" ROLLOUT {}", flat(name))),
        (Tone::Plain, format!("  {} ▶ {}  ", flat(from), flat(version_of(to, from)))),
        (tone, format!("{} {phase}  ", tone.glyph())),
        (Tone::Plain, format!("step {}/{}  {}", state.step, steps.len(), percent(*in_force))),
    ];
    if area.width >= WIDE {
        pieces.push((Tone::Note, format!(" {}", view.glyphs.bar(in_force / 100.0, 10))));
    }
    if state.phase.is_active() {
        let (have, is_enough) = evidence(rollout);
        let tone = if is_enough { Tone::Good } else { Tone::Watch };
        pieces.push((tone, format!("  evidence {have}")));
        let held = format!("  {} of {}", stretch(state.served.min(hold)), stretch(hold));
        pieces.push((Tone::Plain, held));
    }
    let spans = pieces.into_iter().map(|(tone, text)| Span::styled(text, tints.style(tone)));
    put(&spans.collect(), area, 0, buffer);
}

/// Columns from which on there is room for a bar.
const WIDE: u16 = 96;

/// The end of a rollout, without its upstream if the other end says that already.
fn version_of<'n>(name: &'n str, other: &str) -> &'n str {
    match (name.split_once('@'), other.split_once('@')) {
        (Some((upstream, version)), Some((same, _))) if upstream == same => version,
        _ => name,
    }
}

/// How much evidence there is of how much, and whether that is enough.
fn evidence(rollout: &Rollout) -> (String, bool) {
    let have = count(rollout.requests.canary);
    match report(rollout).map(|report| report.verdict) {
        Some(Verdict::NotProven { missing }) => {
            let warms = missing.iter().any(|it| matches!(it, Missing::Warmup { .. }));
            let lacks = missing.into_iter().find_map(|it| match it {
                Missing::Requests { have, need } => Some((have, need)),
                Missing::Warmup { .. } | Missing::Proof { .. } => None,
            });
            match lacks {
                Some((have, need)) => (format!("{} / {} ▲", count(have), count(need)), false),
                None if warms => (format!("{have} ▲"), false),
                None => (format!("{have} ✓"), true),
            }
        }
        Some(Verdict::Advance | Verdict::Rollback { .. }) => (format!("{have} ✓"), true),
        Some(Verdict::Hold { .. }) | None => (format!("{have} ▲"), false),
    }
}

fn report(rollout: &Rollout) -> Option<Report> {
    serde_json::from_value(rollout.report.clone()).ok()
}

/// What it does, in a word, and how that is meant.
pub(super) fn phase(rollout: &Rollout) -> (Tone, String) {
    let state = &rollout.state;
    let mut name = state.phase.name().replace('_', " ");
    if !state.phase.reason().is_empty() {
        name = format!("{name} ({})", state.phase.reason().replace('_', " "));
    }
    if state.frozen {
        name.push_str(", frozen");
    }
    let tone = match state.phase {
        Phase::Idle => Tone::Dim,
        Phase::Shadowing | Phase::Running | Phase::Promoted => Tone::Good,
        Phase::Holding(_) | Phase::Waiting | Phase::Paused => Tone::Watch,
        Phase::RolledBack(_) | Phase::Aborted => Tone::Bad,
    };
    (tone, name)
}

fn one(rollout: &Rollout, picture: &Picture, view: &View, area: Rect, buffer: &mut Buffer) {
    line(rollout, view, area, buffer);
    let mut area = below(area, 1);
    let head = head(rollout, view.tints, area.width);
    area = lines(&head, head.len(), area, buffer);
    let report = report(rollout).filter(|_| rollout.state.phase.is_active());
    if let Some(report) = report.as_ref().filter(|_| rollout.state.phase != Phase::Shadowing) {
        let table = signals(rollout, report);
        let height = u16::try_from(table.rows.len() + 1).unwrap_or(u16::MAX);
        // What is missing and what happened last keep some room.
        let height = height.min(area.height.saturating_sub(5)).max(2).min(area.height);
        table.draw(None, view.tints, Rect { height, ..area }, buffer);
        area = below(area, height);
    }
    let forecast = picture.forecasts.get(&rollout.name);
    let rest = rest(rollout, report.as_ref(), forecast, view.tints, area.width);
    let most = usize::from(area.height).saturating_sub(3).max(1);
    area = lines(&rest, most, area, buffer);
    let last = last(rollout, picture, view.tints);
    lines(&last, usize::MAX, area, buffer);
}

/// Puts lines, so many at most; the room that is left.
fn lines(lines: &[Line<'_>], most: usize, area: Rect, buffer: &mut Buffer) -> Rect {
    let mut used = 0;
    for line in lines.iter().take(most) {
        put(line, area, used, buffer);
        used += 1;
    }
    below(area, used)
}

/// The steps, and why it is where it is.
fn head(rollout: &Rollout, tints: Tints, columns: u16) -> Vec<Line<'static>> {
    let Rollout { state, steps, armed, saved, line, healthy, saturation, .. } = rollout;
    let mark = |(place, step): (usize, &crate::control::api::rollout::Step)| {
        let what =
            if step.approve { format!("{} (approve)", step.what) } else { step.what.clone() };
        match (place + 1).cmp(&state.step) {
            std::cmp::Ordering::Less => format!("{what}✓"),
            std::cmp::Ordering::Equal => format!("[{what}]"),
            std::cmp::Ordering::Greater => what,
        }
    };
    let way: Vec<String> = steps.iter().enumerate().map(mark).collect();
    let mut all = labelled("steps", &flat(&way.join(" → ")), Tone::Plain, tints, columns);
    let why = format!("{} ({})", flat(&state.why), flat(&state.by));
    all.extend(labelled("why", &why, Tone::Plain, tints, columns).into_iter().take(WHY_MAX));
    if state.phase.is_active() {
        let full =
            |of: Option<f64>| of.map_or_else(String::new, |of| format!(", {} full", part(of)));
        let health = format!(
            "canary {} endpoints{} · stable {}{} · fuse {}",
            healthy.canary,
            full(saturation.canary),
            healthy.stable,
            full(saturation.stable),
            if *armed { "armed" } else { "not armed" }
        );
        all.extend(labelled("health", &health, Tone::Plain, tints, columns));
    }
    if let Some(line) = line {
        let said = format!("▲ stopped: {} ({})", flat(&line.reason), flat(&line.by));
        all.extend(labelled("line", &said, Tone::Watch, tints, columns).into_iter().take(WHY_MAX));
    }
    if !saved {
        let said = "▲ the last transition is not on the disk yet";
        all.extend(labelled("disk", said, Tone::Watch, tints, columns));
    }
    all
}

/// Lines of a reason at most; all of it is among the details.
const WHY_MAX: usize = 3;

/// The signals of both versions, side by side.
fn signals(rollout: &Rollout, report: &Report) -> Table {
    let named = |of: &str, arm: &str| {
        let name = of.rsplit_once('@').map_or(of, |(_, version)| version);
        format!("{} ({arm})", flat(name)).into()
    };
    let side = |title| Column { title, is_right: false, rank: 0, most: 26 };
    let columns = vec![
        Column::text("signal", 0, 18),
        side(named(&rollout.from, "stable")),
        side(named(&rollout.to, "canary")),
        Column::text("difference", 2, 12),
        Column::text("times as often, 95%", 1, 22),
        Column::text("allowed", 4, 18),
        Column::text("verdict", 0, 14),
    ];
    let mut told: Vec<&SignalReport> = report.signals.iter().filter(|it| !is_silent(it)).collect();
    told.sort_by_key(|signal| match signal.signal {
        _ if signal.is_culprit => 0,
        _ if signal.e >= DOUBT => 1,
        Signal::Errors | Signal::Latency => 2,
        Signal::Class(_) | Signal::Quantile(_) | Signal::Conversion(..) | Signal::Amount(..) => 3,
    });
    Table { columns, rows: told.into_iter().map(|signal| row(signal, report)).collect() }
}

/// Whether it is a sort of failure that neither version has had: a row of noughts.
fn is_silent(signal: &SignalReport) -> bool {
    let both = signal.overall;
    matches!(signal.signal, Signal::Class(_)) && both.canary.bad + both.stable.bad == 0
}

fn row(signal: &SignalReport, report: &Report) -> Row {
    let (stable, canary, difference) = match signal.signal {
        Signal::Latency => {
            let (stable, canary) = (report.times.stable.p99, report.times.canary.p99);
            let change = stable.zip(canary).filter(|(stable, _)| *stable > 0.0);
            let change = change.map(|(stable, canary)| (canary / stable - 1.0) * 100.0);
            let change = change.map_or_else(String::new, |change| format!("{change:+.1}%"));
            let p99 = |time: Option<f64>| format!("p99 {}", shown(time));
            (p99(stable), p99(canary), change)
        }
        Signal::Errors
        | Signal::Class(_)
        | Signal::Quantile(_)
        | Signal::Conversion(..)
        | Signal::Amount(..) => {
            let (stable, canary) = (signal.overall.stable, signal.overall.canary);
            let points = (canary.rate() - stable.rate()) * 100.0;
            let change = if stable.all == 0 || canary.all == 0 {
                String::new()
            } else {
                format!("{points:+.2}pp")
            };
            (banded(stable, signal.signal), banded(canary, signal.signal), change)
        }
    };
    let ratio = signal.ratio.map_or_else(String::new, |range| {
        let number =
            |value: Option<f64>, none: &str| value.map_or_else(|| none.to_owned(), short_ratio);
        format!(
            "×{} [{}, {}]",
            number(range.likely, "?"),
            number(range.low, "0"),
            number(range.high, "any")
        )
    });
    let (tone, verdict) = verdict(signal, report);
    Row {
        key: signal.name.clone(),
        cells: vec![
            Cell::text(&signal.name.replace('_', " ")),
            Cell::text(&stable),
            Cell::text(&canary),
            Cell::text(&difference),
            Cell::text(&ratio),
            Cell::text(&allowed(signal)).tone(Tone::Dim),
            Cell::text(verdict).marked(tone),
        ],
    }
}

/// A share, and between which it may lie, whenever one looks.
fn banded(counts: Counts, signal: Signal) -> String {
    if counts.all == 0 {
        return "-".to_owned();
    }
    let rate = part(counts.rate());
    if matches!(signal, Signal::Amount(..)) {
        // A sum is no count of events, and has no such band.
        return format!("{rate} of most");
    }
    let (low, high) = range::rate(counts, BAND);
    format!("{rate} [{}, {}]", bare(low), bare(high))
}

/// Chance that a band does not hold the truth.
const BAND: f64 = 0.05;

fn bare(ratio: f64) -> String {
    part(ratio).trim_end_matches('%').to_owned()
}

fn short_ratio(value: f64) -> String {
    if value < 9.95 { format!("{value:.2}") } else { short(value) }
}

fn allowed(signal: &SignalReport) -> String {
    let is_time = matches!(signal.signal, Signal::Latency | Signal::Quantile(_));
    match signal.allowed {
        Allowed::AtMost(most) if is_time => format!("within {}", shown(Some(most))),
        Allowed::AtMost(most) => format!("at most {}", part(most)),
        Allowed::Against(limit) if is_time => format!("{} slower", part(limit.ratio - 1.0)),
        Allowed::Against(limit) => {
            let more = if limit.points > 0.0 {
                format!(" + {}pp", bare(limit.points))
            } else {
                String::new()
            };
            format!("×{}{more}", short_ratio(limit.ratio))
        }
    }
}

/// What is thought of one signal.
fn verdict(signal: &SignalReport, report: &Report) -> (Tone, &'static str) {
    if signal.is_culprit {
        return (Tone::Bad, "worse");
    }
    if signal.e >= DOUBT {
        return (Tone::Watch, "suspicious");
    }
    let of = match signal.signal {
        Signal::Errors => "errors",
        Signal::Latency => "p99 exceedance",
        Signal::Class(_) | Signal::Quantile(_) | Signal::Conversion(..) | Signal::Amount(..) => "",
    };
    match report.proofs.iter().find(|proof| proof.name == of) {
        Some(proof) if proof.e >= proof.need => (Tone::Good, "pass"),
        Some(_) => (Tone::Watch, "not sure"),
        None => (Tone::Good, "no sign"),
    }
}

/// As much evidence against the canary holds a step.
const DOUBT: f64 = 10.0;

/// What is missing, what the judge says, and how long it would take.
fn rest(
    rollout: &Rollout,
    report: Option<&Report>,
    forecast: Option<&Forecast>,
    tints: Tints,
    columns: u16,
) -> Vec<Line<'static>> {
    let mut all = Vec::new();
    let Some(report) = report else { return all };
    if rollout.state.phase == Phase::Shadowing {
        let rate = rollout.diff_rate.map_or_else(|| "not known".to_owned(), part);
        let said = format!("{} compared, really different: {rate}", count(rollout.requests.canary));
        all.extend(labelled("copies", &said, Tone::Plain, tints, columns));
        return all;
    }
    let judge = labelled("judge", &flat(&rollout.verdict), Tone::Plain, tints, columns);
    let is_held = matches!(report.verdict, Verdict::Hold { .. });
    if is_held {
        all.extend(judge.clone());
    }
    if let Verdict::NotProven { missing } = &report.verdict {
        let said: Vec<String> = missing.iter().map(lacking).collect();
        all.extend(labelled(
            "missing",
            &format!("▲ {}", flat(&said.join(" · "))),
            Tone::Watch,
            tints,
            columns,
        ));
    }
    let step = forecast.and_then(|forecast| {
        let weight = rollout.state.weight().fraction();
        let step = forecast.steps.iter().find(|step| (step.weight - weight).abs() < 1e-9);
        step.map(|step| (forecast, step))
    });
    if let Some((forecast, step)) = step {
        let until = |seconds: Option<f64>| seconds.map_or_else(|| "decades".to_owned(), until);
        let found = |all: &[gnomon_policy::judge::plan::Detection], nth: usize| {
            all.get(nth).map_or_else(|| "?".to_owned(), |it| until(it.seconds))
        };
        let unit = if forecast.by_user { "new users" } else { "requests" };
        let said = format!(
            "proof of not worse {} into this step; errors ×3 seen in {}, p99 +20% in {}; at {} {unit} a second",
            until(step.proof),
            found(&step.errors, 1),
            found(&step.latency, 1),
            short(forecast.rate)
        );
        all.extend(labelled("forecast", &said, Tone::Plain, tints, columns));
    }
    let silent =
        report.signals.iter().filter(|it| is_silent(it)).map(|it| it.name.replace('_', " "));
    let silent: Vec<String> = silent.collect();
    if !silent.is_empty() {
        let said = format!("{} (none of either version)", flat(&silent.join(", ")));
        all.extend(labelled("unseen", &said, Tone::Dim, tints, columns));
    }
    if !is_held {
        all.extend(judge);
    }
    all
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
fn until(seconds: f64) -> String {
    stretch(seconds.clamp(0.0, 1e10).ceil() as u64)
}

fn lacking(missing: &Missing) -> String {
    match missing {
        Missing::Warmup { seconds } => format!("warm-up: {} more", stretch(*seconds)),
        Missing::Requests { have, need } => format!("requests {} / {}", count(*have), count(*need)),
        Missing::Proof { signal, margin, e, need } => format!(
            "proof of {signal} within {}pp: {} / {}",
            bare(*margin),
            short(*e),
            short(*need)
        ),
    }
}

/// The newest transitions, one a line.
fn last(rollout: &Rollout, picture: &Picture, tints: Tints) -> Vec<Line<'static>> {
    let records = picture.records.get(&rollout.name).map_or(&[][..], Vec::as_slice);
    let row = |(nth, record): (usize, &crate::control::api::rollout::Record)| {
        let event = &record.event;
        let label = if nth == 0 { "last" } else { "" };
        let share = percent(f64::from(event.weight) / 1000.0);
        let when = moment(event.at, picture.now / 1000);
        let said = format!(
            "{} {share}  {}: {}",
            event.to.name().replace('_', " "),
            flat(&event.by),
            flat(&event.why)
        );
        Line::from(vec![
            Span::styled(format!("  {label:<9} {when} "), tints.style(Tone::Dim)),
            Span::raw(said),
        ])
    };
    records.iter().enumerate().map(row).collect()
}
