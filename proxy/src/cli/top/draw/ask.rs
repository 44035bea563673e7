//! A question, in a box over the pane.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::{Block, Clear, Widget},
};

use super::{put, wrapped};
use crate::cli::top::{order::Ask, text::flat, tone::Tone, view::View};

/// Draws it.
pub(super) fn draw(ask: &Ask, view: &View, area: Rect, buffer: &mut Buffer) {
    let tints = view.tints;
    let width = area.width.saturating_sub(4).min(WIDEST);
    let room = usize::from(width.saturating_sub(4));
    let mut lines: Vec<Line<'_>> =
        wrapped(&flat(&ask.means), room).into_iter().map(Line::raw).collect();
    lines.push(Line::default());
    for (nth, field) in ask.fields.iter().enumerate() {
        let is_here = nth == ask.at;
        lines.push(Line::from(vec![
            Span::styled(format!("{}: ", field.label), tints.style(Tone::Note)),
            Span::styled(
                end_of(&flat(&field.text), room.saturating_sub(12)),
                tints.style(Tone::Strong),
            ),
            Span::raw(if is_here { "▏" } else { "" }),
        ]));
    }
    if let Some(trouble) = &ask.trouble {
        lines.push(Line::styled(format!("▲ {trouble}"), tints.style(Tone::Watch)));
    }
    lines.push(Line::styled("Enter does it · Esc leaves it", tints.style(Tone::Dim)));
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let frame = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    Clear.render(frame, buffer);
    let title = Span::styled(format!(" {} ", flat(&ask.title)), tints.style(Tone::Strong));
    let block = Block::bordered().title(title).border_style(tints.style(Tone::Watch));
    let inner = block.inner(frame);
    block.render(frame, buffer);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    // Where there is too little room, the questions count, and what to press.
    let skipped = lines.len().saturating_sub(usize::from(inner.height));
    for (nth, line) in (0..inner.height).zip(lines.iter().skip(skipped)) {
        put(line, inner, nth, buffer);
    }
}

/// Columns of a question at most: longer lines are hard to read.
const WIDEST: u16 = 76;

/// The end of a text, where the cursor is.
fn end_of(text: &str, columns: usize) -> String {
    let over = text.chars().count().saturating_sub(columns);
    text.chars().skip(over).collect()
}
