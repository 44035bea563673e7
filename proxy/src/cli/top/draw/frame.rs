//! What is the same around every pane: whose it is, how it goes, and which keys there are.

use ratatui::{buffer::Buffer, layout::Rect, style::Modifier};

use super::{below, line};
use crate::cli::{
    shown,
    top::{
        order::offered,
        pane::Pane,
        picture::{Picture, errors, p99, rate},
        text::{flat, hour, part, short, stretch},
        tone::Tone,
        view::{Mode, View},
    },
};

/// Draws the frame; the room that is left inside.
pub(super) fn draw(picture: &Picture, view: &View, area: Rect, buffer: &mut Buffer) -> Rect {
    head(picture, view, area, buffer);
    signals(picture, view, area, buffer);
    tabs(view, area, buffer);
    let mut inside = below(area, 3);
    if let Some(since) = picture.silent_since() {
        let why = picture.silence.as_deref().unwrap_or("it may be stopped, or too busy");
        let ago = stretch((picture.now / 1000).saturating_sub(since));
        let said = if picture.heard == 0 {
            format!(" ▼ no answer yet: {}", flat(why))
        } else {
            format!(" ▼ no answer since {} ({ago}): {}", hour(since), flat(why))
        };
        line(&[(Tone::Bad, &said)], view.tints, inside, 0, buffer);
        inside = below(inside, 1);
    }
    foot(picture, view, Rect { y: area.bottom() - 1, height: 1, ..area }, buffer);
    inside.height = inside.height.saturating_sub(1);
    inside
}

fn head(picture: &Picture, view: &View, area: Rect, buffer: &mut Buffer) {
    let mut pieces = vec![(Tone::Strong, " gnomon top".to_owned())];
    if let Some(who) = picture.who.as_ref().filter(|who| !who.host.is_empty()) {
        pieces.push((Tone::Strong, format!("   {}", flat(&who.host))));
    }
    if let Some(status) = &picture.status {
        let up = stretch(seconds(status.uptime_seconds));
        let hash = status.config.hash.get(..4).unwrap_or("?");
        let cores = status.cores.len();
        let plural = if cores == 1 { "" } else { "s" };
        pieces.push((Tone::Plain, format!("   up {up}   {cores} core{plural}   config {hash} ")));
        pieces.push(match &status.config.last_reload {
            Some(reload) if !reload.ok => (Tone::Bad, "▼ refused".to_owned()),
            _ => (Tone::Good, "✓".to_owned()),
        });
        if !status.ready {
            pieces.push((Tone::Watch, "   ▲ not ready".to_owned()));
        }
    }
    let pieces: Vec<(Tone, &str)> = pieces.iter().map(|(tone, text)| (*tone, &**text)).collect();
    line(&pieces, view.tints, area, 0, buffer);
    let interval = match picture.interval {
        millis if millis.is_multiple_of(1000) => format!("{}s", millis / 1000),
        millis => format!("{millis}ms"),
    };
    let right = format!(" {}Z  {interval} ", hour(picture.now / 1000));
    let width = u16::try_from(right.len()).unwrap_or(0).min(area.width);
    let corner = Rect { x: area.right() - width, width, ..area };
    line(&[(Tone::Dim, &right)], view.tints, corner, 0, buffer);
}

/// The four golden signals of all versions together, and how they went.
fn signals(picture: &Picture, view: &View, area: Rect, buffer: &mut Buffer) {
    let sum = picture.all();
    let hottest = picture.status.as_ref().and_then(|status| status.saturation.hottest());
    let full = hottest.map_or_else(
        || (Tone::Dim, String::new()),
        |hottest| {
            let tone = Tone::of_ratio(hottest.ratio);
            let what = if hottest.name == "core" {
                hottest.which.clone()
            } else {
                hottest.name.replace('_', " ")
            };
            (
                tone,
                format!("HOTTEST {} {:.0}% {}", flat(&what), hottest.ratio * 100.0, tone.glyph()),
            )
        },
    );
    let wrong = Tone::of_errors(sum.errors);
    let texts = [
        format!(" RPS {} ", short(sum.rate)),
        format!("   p99 {} ", shown(sum.p99)),
        format!("   ERR {}{} ", part(sum.errors), mark(wrong)),
    ];
    let used: usize = texts.iter().map(|text| text.chars().count()).sum();
    let used = used + full.1.chars().count() + 4;
    let room = usize::from(area.width).saturating_sub(used) / 3;
    let room = room.min(LINE_MAX);
    let spark = |of: fn(&crate::control::api::series::Beat) -> f64| {
        view.glyphs.spark(&picture.past.line(of), room, None)
    };
    let (traffic, slow, failed) = (spark(rate), spark(p99), spark(errors));
    let pieces: [(Tone, &str); 8] = [
        (Tone::Strong, &texts[0]),
        (Tone::Note, &traffic),
        (Tone::Strong, &texts[1]),
        (Tone::Note, &slow),
        (if wrong == Tone::Good { Tone::Strong } else { wrong }, &texts[2]),
        (Tone::Note, &failed),
        (Tone::Plain, "   "),
        (full.0, &full.1),
    ];
    line(&pieces, view.tints, area, 1, buffer);
}

/// A glyph where something is wrong.
fn mark(tone: Tone) -> String {
    if tone == Tone::Good { String::new() } else { format!(" {}", tone.glyph()) }
}

/// Columns of a line at most: two minutes in braille.
const LINE_MAX: usize = 60;

fn tabs(view: &View, area: Rect, buffer: &mut Buffer) {
    let mut x = area.x + 1;
    for (nth, pane) in (1..).zip(Pane::ALL) {
        // Where not all names have room, those of the others are their beginnings, or nothing.
        let title = match area.width {
            _ if pane == view.pane => pane.title(),
            0..NAMED => "",
            NAMED..NAMED_ALL => pane.title().get(..4).unwrap_or_default(),
            _ => pane.title(),
        };
        let gap = if title.is_empty() { "" } else { " " };
        let text = format!(" {nth}{gap}{title} ");
        let style = view.tints.style(if pane == view.pane { Tone::Strong } else { Tone::Dim });
        let style = if pane == view.pane { style.add_modifier(Modifier::REVERSED) } else { style };
        let room = usize::from(area.right().saturating_sub(x));
        (x, _) = buffer.set_stringn(x, area.y + 2, text, room, style);
        if x + 1 >= area.right() {
            break;
        }
        x += 1;
    }
}

/// Columns from which on the panes have the beginnings of their names.
const NAMED: u16 = 64;
/// Columns from which on they have all of them.
const NAMED_ALL: u16 = 84;

/// The last line: the filter, what was done, or the keys.
fn foot(picture: &Picture, view: &View, area: Rect, buffer: &mut Buffer) {
    let filter = &view.look().filter;
    if view.mode == Mode::Filter {
        let said = format!("/{}▏", flat(filter));
        return line(
            &[(Tone::Note, " filter "), (Tone::Strong, &said)],
            view.tints,
            area,
            0,
            buffer,
        );
    }
    if let Some((tone, said)) = &view.notice {
        let said = format!(" {} {}", tone.glyph(), flat(said));
        return line(&[(*tone, &said)], view.tints, area, 0, buffer);
    }
    let mut keys: Vec<(String, &str)> = Vec::new();
    match view.mode {
        Mode::Help | Mode::Details => {
            keys.extend([("Esc".to_owned(), "back"), ("j k".to_owned(), "scroll")]);
        }
        Mode::Ask(_) => keys.extend([("Enter".to_owned(), "yes"), ("Esc".to_owned(), "no")]),
        Mode::Pane | Mode::Filter => {
            if view.may_act(picture) {
                let acts = offered(view.pane).iter().map(|(key, _, name)| (named(*key), *name));
                keys.extend(acts);
            }
            let usual =
                [("↵", "details"), ("/", "filter"), ("s", "sort"), ("?", "help"), ("q", "quit")];
            keys.extend(usual.map(|(key, name)| (key.to_owned(), name)));
        }
    }
    let mut pieces: Vec<(Tone, String)> = Vec::new();
    if !view.may_act(picture) {
        pieces.push((Tone::Dim, " read only ".to_owned()));
    }
    if !filter.is_empty() {
        pieces.push((Tone::Watch, format!(" filter: {} (Esc ends it) ", flat(filter))));
    }
    for (key, name) in keys {
        pieces.push((Tone::Note, format!(" {key}")));
        pieces.push((Tone::Plain, format!(" {name} ")));
    }
    let pieces: Vec<(Tone, &str)> = pieces.iter().map(|(tone, text)| (*tone, &**text)).collect();
    line(&pieces, view.tints, area, 0, buffer);
}

/// A key as it is called.
pub(super) fn named(key: char) -> String {
    if key == ' ' { "space".to_owned() } else { key.to_string() }
}

/// Whole seconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
fn seconds(seconds: f64) -> u64 {
    seconds.clamp(0.0, 1e12) as u64
}
