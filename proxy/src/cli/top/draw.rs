//! The picture, drawn. Whatever the size, and whatever the proxy's texts hold.

mod ask;
mod frame;
mod page;
mod rollout;
mod things;
mod versions;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::{
    glyph::scrub,
    pane::Pane,
    picture::Picture,
    table::Table,
    tone::{Tints, Tone},
    view::{Mode, View},
};

/// Draws everything.
pub(super) fn draw(picture: &Picture, view: &View, area: Rect, buffer: &mut Buffer) {
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let said = format!("{}x{} is too small", area.width, area.height);
        buffer.set_stringn(
            area.x,
            area.y,
            said,
            usize::from(area.width),
            view.tints.style(Tone::Plain),
        );
        return;
    }
    let body = frame::draw(picture, view, area, buffer);
    match &view.mode {
        Mode::Help => page::draw(&page::help(picture, view), view, body, buffer),
        Mode::Details => page::draw(&page::details(picture, view), view, body, buffer),
        Mode::Pane | Mode::Filter | Mode::Ask(_) => pane(picture, view, body, buffer),
    }
    if let Mode::Ask(ask) = &view.mode {
        ask::draw(ask, view, body, buffer);
    }
    scrub(buffer, view.glyphs);
}

/// Smaller shows nothing.
const LEAST: (u16, u16) = (40, 10);

/// The rows of a pane, as they are asked for.
pub(super) fn table(pane: Pane, picture: &Picture, view: &View) -> Table {
    let table = match pane {
        Pane::Overview => versions::golden(picture, view),
        Pane::Rollouts => rollout::list(picture),
        Pane::Upstreams => versions::shares(picture),
        Pane::Endpoints => versions::endpoints(picture),
        Pane::Cores => things::cores(picture, view),
        Pane::Shadows => things::findings(picture),
        Pane::Events => things::events(picture),
    };
    table.arranged(&view.looks[pane.place()])
}

fn pane(picture: &Picture, view: &View, area: Rect, buffer: &mut Buffer) {
    let table = table(view.pane, picture, view);
    let area = match view.pane {
        Pane::Overview => versions::above(picture, view, area, buffer),
        Pane::Rollouts => return rollout::draw(&table, picture, view, area, buffer),
        Pane::Cores => things::components(picture, view, area, buffer),
        Pane::Shadows => things::accounting(picture, view, area, buffer),
        Pane::Upstreams | Pane::Endpoints | Pane::Events => area,
    };
    rows(&table, view, area, buffer);
}

/// The rows, or why there are none.
fn rows(table: &Table, view: &View, area: Rect, buffer: &mut Buffer) {
    if !table.rows.is_empty() {
        return table.draw(Some(view.look()), view.tints, area, buffer);
    }
    let said = match (view.look().filter.is_empty(), view.pane) {
        (false, _) => "nothing holds that; Esc ends the filter",
        (true, Pane::Rollouts) => "no rollout is configured",
        (true, Pane::Shadows) => "no differences are known",
        (true, Pane::Events) => "nothing has happened, or this proxy keeps no journal",
        (true, _) => "nothing is known yet",
    };
    line(&[(Tone::Dim, &format!("  {said}"))], view.tints, area, 0, buffer);
}

/// Pieces of text, one after the other, on the line so many below the area's first.
fn line(pieces: &[(Tone, &str)], tints: Tints, area: Rect, below: u16, buffer: &mut Buffer) {
    let spans = pieces.iter().map(|(tone, text)| Span::styled(*text, tints.style(*tone)));
    put(&spans.collect(), area, below, buffer);
}

fn put(line: &Line<'_>, area: Rect, below: u16, buffer: &mut Buffer) {
    if below < area.height {
        buffer.set_line(area.x, area.y + below, line, area.width);
    }
}

/// The area without its first lines.
fn below(area: Rect, lines: u16) -> Rect {
    let lines = lines.min(area.height);
    Rect { y: area.y + lines, height: area.height - lines, ..area }
}

/// A text in lines of so many columns at most, broken between words where that goes.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(8);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace().flat_map(|word| pieces(word, columns)) {
        let width = Span::raw(word.as_str()).width();
        if used > 0 && used + 1 + width > columns {
            lines.push(String::new());
            used = 0;
        }
        if let Some(last) = lines.last_mut() {
            if used > 0 {
                last.push(' ');
                used += 1;
            }
            last.push_str(&word);
            used += width;
        }
        if lines.len() > WRAPPED_MAX {
            break;
        }
    }
    lines
}

/// Lines that one text becomes at most.
const WRAPPED_MAX: usize = 200;

/// A word that is longer than a line, in pieces.
fn pieces(word: &str, columns: usize) -> Vec<String> {
    if Span::raw(word).width() <= columns {
        return vec![word.to_owned()];
    }
    // No character is wider than two columns.
    let all: Vec<char> = word.chars().collect();
    all.chunks(columns.div_euclid(2).max(1)).map(|piece| piece.iter().collect()).collect()
}

/// A word at the side, and a text beside it.
fn labelled(label: &str, text: &str, tone: Tone, tints: Tints, columns: u16) -> Vec<Line<'static>> {
    let room = usize::from(columns).saturating_sub(LABEL + 3);
    let beside = |(nth, text): (usize, String)| {
        let label = if nth == 0 { label } else { "" };
        Line::from(vec![
            Span::styled(format!("  {label:<LABEL$} "), tints.style(Tone::Dim)),
            Span::styled(text, tints.style(tone)),
        ])
    };
    wrapped(text, room).into_iter().enumerate().map(beside).collect()
}

const LABEL: usize = 9;
