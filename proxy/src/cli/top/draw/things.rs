//! Cores, shadows and events.

use gnomon_shadow::finding::{Finding, Verdict};
use ratatui::{buffer::Buffer, layout::Rect};

use super::{below, line};
use crate::{
    cli::top::{
        picture::Picture,
        table::{Cell, Column, Row, Table},
        text::{count, flat, moment, part, short},
        tone::Tone,
        view::View,
    },
    control::api::{CoreStatus, Shadow},
};

/// Each core.
pub(super) fn cores(picture: &Picture, view: &View) -> Table {
    let columns = vec![
        Column::number("core", 0),
        Column::text("state", 0, 20),
        Column::number("busy", 0),
        Column::text("", 1, 60),
        Column::number("rps", 0),
        Column::number("clients", 0),
        Column::number("origins", 2),
        Column::number("accepted", 4),
        Column::number("retries", 5),
        Column::number("refused", 3),
        Column::number("buffers", 6),
        Column::number("log drops", 7),
        Column::text("driver", 8, 44),
    ];
    let width = if view.columns >= 120 { 24 } else { 10 };
    let cores = picture.status.iter().flat_map(|status| &status.cores);
    let rows = cores.map(|core| of_core(core, picture, view, width)).collect();
    Table { columns, rows }
}

fn of_core(core: &CoreStatus, picture: &Picture, view: &View, width: usize) -> Row {
    let number = |value: u64| Cell::number(count(value), value as f64);
    let nth = core.core;
    let busy = picture.past.last().and_then(|beat| beat.cores.get(nth)).copied();
    let went = picture.past.line(|beat| beat.cores.get(nth).copied().unwrap_or(f64::NAN));
    let rate = picture.past.cores.get(&nth).copied().unwrap_or(0.0);
    let (tone, state) = match (core.stuck, core.stopped, core.ready) {
        (true, ..) => (Tone::Bad, "stands still"),
        (false, true, _) => (Tone::Watch, "stopped"),
        (false, false, false) => (Tone::Watch, "not ready"),
        (false, false, true) => (Tone::Good, "serving"),
    };
    let refused = core.rejects
        + core.client_refusals
        + core.strain_connections
        + core.strain_requests
        + core.rate_refusals;
    Row {
        key: nth.to_string(),
        cells: vec![
            Cell::number(nth.to_string(), nth as f64),
            Cell::text(state).marked(tone),
            Cell::number(busy.map_or_else(|| "-".to_owned(), part), busy.unwrap_or(-1.0))
                .tone(Tone::of_ratio(busy.unwrap_or(0.0))),
            Cell {
                text: view.glyphs.spark(&went, width, Some(1.0)),
                tone: Tone::Note,
                number: busy,
            },
            Cell::number(short(rate), rate),
            number(core.connections),
            number(core.origin_connections),
            number(core.accepted),
            number(core.retries),
            number(refused),
            number(core.buffers),
            number(core.log_drops),
            Cell::text(&core.driver).tone(Tone::Dim),
        ],
    }
}

/// How full everything is; the room that is left.
pub(super) fn components(picture: &Picture, view: &View, area: Rect, buffer: &mut Buffer) -> Rect {
    let Some(status) = &picture.status else { return area };
    let columns = vec![
        Column::text("how full", 0, 20),
        Column::number("", 0),
        Column::text("", 0, 30),
        Column::text("which", 1, 60),
    ];
    let width = if view.columns >= 120 { 30 } else { 16 };
    let row = |it: &crate::control::saturation::Component| {
        let tone = Tone::of_ratio(it.ratio);
        Row {
            key: it.name.clone(),
            cells: vec![
                Cell::text(&it.name.replace('_', " ")),
                Cell::number(part(it.ratio), it.ratio).marked(tone),
                Cell { text: view.glyphs.bar(it.ratio, width), tone, number: None },
                Cell::text(&it.which),
            ],
        }
    };
    let table = Table { columns, rows: status.saturation.components.iter().map(row).collect() };
    if table.rows.is_empty() || area.height < 12 {
        return area;
    }
    let lines = u16::try_from(table.rows.len() + 1).unwrap_or(u16::MAX).min(area.height / 2);
    table.draw(None, view.tints, Rect { height: lines, ..area }, buffer);
    below(area, lines + 1)
}

/// What became of the requests that shadows could have had; the room that is left.
pub(super) fn accounting(picture: &Picture, view: &View, area: Rect, buffer: &mut Buffer) -> Rect {
    let mut used = 0;
    let most = (area.height / 2).max(2);
    for shadow in &picture.shadows {
        if used + 2 > most {
            break;
        }
        for (tone, said) in told(shadow) {
            line(&[(tone, &flat(&said))], view.tints, area, used, buffer);
            used += 1;
        }
    }
    if picture.shadows.is_empty() {
        line(&[(Tone::Dim, "  no shadow is configured")], view.tints, area, 0, buffer);
        used = 1;
    }
    below(area, used + 1)
}

fn told(shadow: &Shadow) -> Vec<(Tone, String)> {
    let a = &shadow.accounting;
    let mut all = vec![
        (
            Tone::Strong,
            format!(
                " SHADOW {}   {} → {}   sample {}%   compared {} of {} eligible: coverage {}",
                shadow.name,
                shadow.from,
                shadow.to,
                shadow.sample,
                count(a.compared),
                count(a.eligible),
                part(a.coverage)
            ),
        ),
        (
            Tone::Plain,
            format!(
                "   different {} ({})   noise {} of {}   under way {}",
                count(a.different),
                part(a.difference_rate),
                count(a.noisy),
                count(a.again.saturating_sub(a.again_failed)),
                count(a.in_flight)
            ),
        ),
    ];
    let lost = [
        ("dropped", &a.dropped),
        ("failed", &a.failed),
        ("unpaired", &a.unpaired),
        ("uncomparable", &a.uncomparable),
    ];
    let lost = lost.into_iter().filter(|(_, why)| !why.is_empty()).map(|(what, why)| {
        let why: Vec<String> = why.iter().map(|(why, n)| format!("{why} {}", count(*n))).collect();
        format!("{what}: {}", why.join(", "))
    });
    let lost: Vec<String> = lost.collect();
    if !lost.is_empty() {
        all.push((Tone::Watch, format!(" ▲ {}", lost.join("   "))));
    }
    all
}

/// What versions under test do differently.
pub(super) fn findings(picture: &Picture) -> Table {
    let columns = vec![
        Column::text("verdict", 0, 14),
        Column::text("endpoint", 1, 40),
        Column::text("path", 0, 50),
        Column::text("kind", 3, 20),
        Column::number("seen", 0),
        Column::number("differs", 2),
        Column::number("noise", 4),
        Column::text("last", 6, 20),
        Column::text("shadow", 5, 20),
        Column::text("shape", 7, 40),
    ];
    let now = picture.now / 1000;
    let row = |(shadow, one): (&String, &Finding)| {
        let tone = match one.verdict {
            Verdict::Real => Tone::Bad,
            Verdict::Undecided => Tone::Watch,
            Verdict::Noise | Verdict::Ignored => Tone::Dim,
        };
        let (rate, noise) = (one.rates.shadow(), one.rates.noise());
        Row {
            key: one.id.to_string(),
            cells: vec![
                Cell::text(one.verdict.name()).marked(tone),
                Cell::text(&one.endpoint),
                Cell::text(&one.path),
                Cell::text(&one.kind),
                Cell::number(count(one.count), one.count as f64),
                Cell::number(part(rate), rate),
                Cell::number(part(noise), noise),
                Cell {
                    text: moment(one.last_seen / 1000, now),
                    tone: Tone::Dim,
                    number: Some(one.last_seen as f64),
                },
                Cell::text(shadow),
                Cell::text(&one.shape),
            ],
        }
    };
    let all = picture.findings.iter();
    let all = all.flat_map(|(shadow, page)| page.items.iter().map(move |one| (shadow, one)));
    Table { columns, rows: all.map(row).collect() }
}

/// What happened, newest first.
pub(super) fn events(picture: &Picture) -> Table {
    let columns = vec![
        Column::text("when (UTC)", 0, 20),
        Column::text("what", 2, 10),
        Column::text("of", 3, 20),
        Column::text("", 0, 200),
        Column::text("by", 4, 24),
        Column::text("reason", 5, 60),
    ];
    let now = picture.now / 1000;
    let row = |(nth, entry): (usize, &crate::control::api::series::Entry)| {
        let text = Cell::text(&entry.text);
        Row {
            key: if entry.id == 0 { format!("{} {nth}", entry.at) } else { entry.id.to_string() },
            cells: vec![
                Cell {
                    text: moment(entry.at / 1000, now),
                    tone: Tone::Dim,
                    number: Some(entry.at as f64),
                },
                Cell::text(&entry.kind).tone(Tone::Note),
                Cell::text(entry.subject.as_deref().unwrap_or_default()),
                if entry.failed { text.marked(Tone::Bad) } else { text },
                Cell::text(&entry.by),
                Cell::text(entry.reason.as_deref().unwrap_or_default()),
            ],
        }
    };
    Table { columns, rows: picture.journal.iter().enumerate().map(row).collect() }
}
