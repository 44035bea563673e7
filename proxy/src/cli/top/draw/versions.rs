//! Versions: how they go, which share they get, and where they run.

use ratatui::{buffer::Buffer, layout::Rect};

use super::{below, line, rollout};
use crate::{
    cli::{
        percent, shown,
        top::{
            picture::Picture,
            table::{Cell, Column, Row, Table},
            text::{count, flat, part, short},
            tone::Tone,
            view::View,
        },
    },
    control::api::{Arm, Status, UpstreamStatus, VersionStatus},
};

/// What should not be overlooked, and the rollouts; the room that is left.
pub(super) fn above(picture: &Picture, view: &View, area: Rect, buffer: &mut Buffer) -> Rect {
    let mut used = 0;
    for (tone, said) in warnings(picture).into_iter().take(WARNINGS_MAX) {
        let said = format!(" {} {}", tone.glyph(), flat(&said));
        line(&[(tone, &said)], view.tints, area, used, buffer);
        used += 1;
    }
    let active = picture.rollouts.rollouts.iter().filter(|it| it.state.phase.is_active());
    for rollout in active.take(ROLLOUTS_MAX) {
        rollout::line(rollout, view, below(area, used), buffer);
        used += 1;
    }
    below(area, used + u16::from(used > 0))
}

const WARNINGS_MAX: usize = 4;
const ROLLOUTS_MAX: usize = 4;

fn warnings(picture: &Picture) -> Vec<(Tone, String)> {
    let mut all = Vec::new();
    let Some(status) = &picture.status else { return all };
    if status.overload.number > 0 {
        all.push((Tone::Bad, format!("pressed: {}", status.overload.words())));
    }
    for core in status.cores.iter().filter(|core| core.stuck) {
        all.push((Tone::Bad, format!("core {} stands still", core.core)));
    }
    all.extend(of_versions(status));
    if let Some(line) = &picture.rollouts.line {
        all.push((Tone::Watch, format!("the line is stopped: {} ({})", line.reason, line.by)));
    }
    if let Some(trouble) = &picture.rollouts.trouble {
        all.push((Tone::Bad, format!("nothing can be written, no weight is raised: {trouble}")));
    }
    let log = status.access_log;
    if log.drops + log.failures > 0 {
        let (drops, failures) = (count(log.drops), count(log.failures));
        all.push((
            Tone::Watch,
            format!("access log: {drops} lines dropped, {failures} writes failed"),
        ));
    }
    if status.shadow.store.trouble {
        all.push((Tone::Watch, "what shadows learn cannot be written now".to_owned()));
    }
    all
}

fn of_versions(status: &Status) -> Vec<(Tone, String)> {
    let mut all = Vec::new();
    for upstream in &status.upstreams {
        for version in &upstream.versions {
            let (of, name) = (&upstream.name, &version.name);
            let out = version.endpoints.iter().filter(|endpoint| !endpoint.available).count();
            if !version.available {
                all.push((Tone::Bad, format!("{of}@{name} has no endpoint that may be used")));
            } else if out > 0 {
                let of_all = version.endpoints.len();
                all.push((
                    Tone::Watch,
                    format!("{of}@{name}: {out} of {of_all} endpoints are out"),
                ));
            }
        }
    }
    all
}

fn each<'p>(
    picture: &'p Picture,
) -> impl Iterator<Item = (&'p UpstreamStatus, &'p VersionStatus)> + use<'p> {
    let all = picture.status.iter().flat_map(|status| &status.upstreams);
    all.flat_map(|upstream| upstream.versions.iter().map(move |version| (upstream, version)))
}

fn key(upstream: &UpstreamStatus, version: &VersionStatus) -> String {
    format!("{}@{}", upstream.name, version.name)
}

fn arm(version: &VersionStatus) -> Cell {
    match version.arm {
        Arm::Stable => Cell::text("stable").tone(Tone::Dim),
        Arm::Canary => Cell::text("canary").tone(Tone::Note),
    }
}

fn time(seconds: Option<f64>) -> Cell {
    Cell::number(shown(seconds), seconds.unwrap_or(-1.0))
}

/// The golden signals of each version.
pub(super) fn golden(picture: &Picture, view: &View) -> Table {
    let columns = vec![
        Column::text("upstream", 0, 20),
        Column::text("version", 0, 16),
        Column::text("", 5, 6),
        Column::number("share", 3),
        Column::number("rps", 0),
        Column::text("", 4, 60),
        Column::number("errors", 0),
        Column::number("p50", 2),
        Column::number("p99", 0),
        Column::text("", 8, 60),
        Column::number("now", 6),
        Column::number("full", 7),
    ];
    let width = if view.columns >= 140 { 24 } else { 8 };
    let row = |(upstream, version): (&UpstreamStatus, &VersionStatus)| {
        let (of, name) = (&upstream.name, &version.name);
        let minute = picture.minute(of, name);
        let rate = picture.rate(of, name);
        let rates = picture.past.of_version(of, name, |beat| beat.rate);
        let slow = picture.past.of_version(of, name, |it| it.minute.p99.unwrap_or(f64::NAN));
        let spark = |values: &[f64]| view.glyphs.spark(values, width, None);
        let tone = Tone::of_errors(minute.error_rate);
        let full = picture.status.as_ref().map_or(0.0, |it| it.saturation.of_version(of, name));
        Row {
            key: key(upstream, version),
            cells: vec![
                Cell::text(of),
                Cell::text(name),
                arm(version),
                Cell::number(percent(version.share), version.share),
                Cell::number(short(rate), rate),
                Cell { text: spark(&rates), tone: Tone::Note, number: Some(rate) },
                Cell::number(part(minute.error_rate), minute.error_rate).marked(tone),
                time(minute.p50),
                time(minute.p99),
                Cell { text: spark(&slow), tone: Tone::Note, number: minute.p99 },
                Cell::number(count(version.in_flight), version.in_flight as f64),
                Cell::number(part(full), full).tone(Tone::of_ratio(full)),
            ],
        }
    };
    Table { columns, rows: each(picture).map(row).collect() }
}

/// Shares, and what keeps them.
pub(super) fn shares(picture: &Picture) -> Table {
    let columns = vec![
        Column::text("upstream", 0, 24),
        Column::text("version", 0, 24),
        Column::text("", 4, 6),
        Column::number("share", 0),
        Column::number("by file", 3),
        Column::text("state", 0, 40),
        Column::number("rps", 2),
        Column::number("requests", 5),
        Column::number("5xx", 4),
        Column::number("broken", 6),
        Column::number("pinned", 7),
        Column::number("moved", 8),
        Column::number("up", 1),
    ];
    let row = |(upstream, version): (&UpstreamStatus, &VersionStatus)| {
        let number = |value: u64| Cell::number(count(value), value as f64);
        let up = version.endpoints.iter().filter(|endpoint| endpoint.available).count();
        let of_all = version.endpoints.len();
        let failures = version.failures;
        let broken = failures.connect + failures.reset + failures.timeout + failures.protocol;
        let rate = picture.rate(&upstream.name, &version.name);
        let by_file = Cell::number(percent(version.configured_share), version.configured_share);
        let is_other = version.share != version.configured_share;
        Row {
            key: key(upstream, version),
            cells: vec![
                Cell::text(&upstream.name),
                Cell::text(&version.name),
                arm(version),
                Cell::number(percent(version.share), version.share),
                by_file.tone(if is_other { Tone::Watch } else { Tone::Dim }),
                state(upstream, version),
                Cell::number(short(rate), rate),
                number(version.assigned + version.pinned + version.fallback),
                number(version.classes[4]),
                number(broken + failures.truncated),
                number(version.pinned),
                number(version.fallback),
                Cell::number(format!("{up}/{of_all}"), up as f64).tone(if up == of_all {
                    Tone::Plain
                } else {
                    Tone::Watch
                }),
            ],
        }
    };
    Table { columns, rows: each(picture).map(row).collect() }
}

fn state(upstream: &UpstreamStatus, version: &VersionStatus) -> Cell {
    let (tone, words) = match (version.available, version.draining, upstream.frozen) {
        (false, ..) => (Tone::Bad, "no endpoint"),
        (true, true, _) => (Tone::Watch, "draining: nobody new"),
        (true, false, true) => (Tone::Watch, "frozen"),
        (true, false, false) if upstream.overridden => (Tone::Watch, "not as in the file"),
        (true, false, false) => (Tone::Good, "ok"),
    };
    Cell::text(words).marked(tone)
}

/// Where versions run.
pub(super) fn endpoints(picture: &Picture) -> Table {
    let columns = vec![
        Column::text("upstream", 2, 20),
        Column::text("version", 1, 16),
        Column::text("endpoint", 0, 46),
        Column::text("state", 0, 60),
        Column::number("rps", 0),
        Column::number("requests", 3),
        Column::number("now", 0),
        Column::number("idle", 4),
    ];
    let mut rows = Vec::new();
    for (upstream, version) in each(picture) {
        for endpoint in &version.endpoints {
            let of = (upstream.name.clone(), version.name.clone(), endpoint.address.clone());
            let rate = picture.past.endpoints.get(&of).copied().unwrap_or(0.0);
            let state = match (&endpoint.out, endpoint.available) {
                (_, true) => Cell::text("in use").marked(Tone::Good),
                (why, false) => Cell::text(why.as_deref().unwrap_or("out")).marked(Tone::Bad),
            };
            rows.push(Row {
                key: format!("{}@{}@{}", of.0, of.1, of.2),
                cells: vec![
                    Cell::text(&upstream.name),
                    Cell::text(&version.name),
                    Cell::text(&endpoint.address),
                    state,
                    Cell::number(short(rate), rate),
                    Cell::number(count(endpoint.requests), endpoint.requests as f64),
                    Cell::number(count(endpoint.in_flight), endpoint.in_flight as f64),
                    Cell::number(count(endpoint.idle), endpoint.idle as f64),
                ],
            });
        }
    }
    Table { columns, rows }
}
