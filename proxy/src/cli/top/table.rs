//! A table: sorted, filtered, and as wide as the terminal lets it be.

use std::borrow::Cow;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Modifier,
    text::{Line, Span},
};

use super::{
    text::flat,
    tone::{Tints, Tone},
};

/// A column.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) title: Cow<'static, str>,
    /// Whether numbers stand under each other.
    pub(super) is_right: bool,
    /// Where there is too little room, the highest goes first; 0 never does.
    pub(super) rank: u8,
    /// Columns of the terminal at most.
    pub(super) most: u16,
}

impl Column {
    /// A text.
    pub(super) const fn text(title: &'static str, rank: u8, most: u16) -> Self {
        Self { title: Cow::Borrowed(title), is_right: false, rank, most }
    }

    /// A number.
    pub(super) const fn number(title: &'static str, rank: u8) -> Self {
        Self { title: Cow::Borrowed(title), is_right: true, rank, most: 14 }
    }
}

/// What stands in one place.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) tone: Tone,
    /// What it is sorted by, where that is not its text.
    pub(super) number: Option<f64>,
}

impl Cell {
    /// A text of the proxy, which may hold anything.
    pub(super) fn text(text: &str) -> Self {
        Self { text: flat(text), tone: Tone::Plain, number: None }
    }

    pub(super) fn number(text: String, number: f64) -> Self {
        Self { text, tone: Tone::Plain, number: Some(number) }
    }

    pub(super) fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    /// The same behind the glyph of its tone.
    pub(super) fn marked(self, tone: Tone) -> Self {
        let text = format!("{} {}", tone.glyph(), self.text);
        Self { text, tone, ..self }
    }
}

/// A row, and what it is known by when others come and go.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) key: String,
    pub(super) cells: Vec<Cell>,
}

/// Rows under columns.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Row>,
}

/// How a table is looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    /// The chosen row.
    pub(super) key: Option<String>,
    /// Where it was, for when it is gone.
    pub(super) place: usize,
    /// The column it is sorted by; as the proxy tells it, if none.
    pub(super) sort: Option<usize>,
    /// Whether the smallest comes first.
    pub(super) is_rising: bool,
    /// What rows have to hold.
    pub(super) filter: String,
}

impl Table {
    /// Only the rows that are asked for, in the order that is asked for.
    pub(super) fn arranged(mut self, look: &Look) -> Self {
        let wanted = look.filter.to_lowercase();
        if !wanted.is_empty() {
            let holds = |cell: &Cell| cell.text.to_lowercase().contains(&wanted);
            self.rows.retain(|row| row.cells.iter().any(holds));
        }
        if let Some(column) = look.sort.filter(|column| *column < self.columns.len()) {
            let of = |row: &Row| row.cells.get(column).cloned().unwrap_or_default();
            self.rows.sort_by(|one, other| {
                let (one, other) = (of(one), of(other));
                let order = match (one.number, other.number) {
                    (Some(one), Some(other)) => other.total_cmp(&one),
                    (None, Some(_)) => std::cmp::Ordering::Greater,
                    (Some(_), None) => std::cmp::Ordering::Less,
                    (None, None) => one.text.cmp(&other.text),
                };
                if look.is_rising { order.reverse() } else { order }
            });
        }
        self
    }

    /// Where the chosen row is now.
    pub(super) fn chosen(&self, look: &Look) -> Option<usize> {
        let known = look.key.as_ref();
        let known = known.and_then(|key| self.rows.iter().position(|row| row.key == *key));
        known.or_else(|| self.rows.len().checked_sub(1).map(|last| look.place.min(last)))
    }

    /// Draws it, with the chosen row in sight; without a look nothing is chosen.
    pub(super) fn draw(&self, look: Option<&Look>, tints: Tints, area: Rect, buffer: &mut Buffer) {
        if area.height == 0 || area.width < 4 {
            return;
        }
        let shown = self.fitting(area.width);
        self.head(&shown, look, tints, area, buffer);
        let room = usize::from(area.height - 1);
        let chosen = look.and_then(|look| self.chosen(look));
        let first = chosen.unwrap_or(0).saturating_sub(room / 2);
        let first = first.min(self.rows.len().saturating_sub(room));
        for (nth, row) in self.rows.iter().enumerate().skip(first).take(room) {
            let y = area.y + 1 + u16::try_from(nth - first).unwrap_or(u16::MAX);
            let mut x = area.x + 1;
            for (column, width) in &shown {
                let cell = row.cells.get(*column).cloned().unwrap_or_default();
                let style = tints.style(cell.tone);
                put(buffer, (x, y), &cell.text, (*width, self.columns[*column].is_right), style);
                x += width + GAP;
            }
            if Some(nth) == chosen {
                let line = Rect { y, height: 1, ..area };
                buffer.set_style(line, Modifier::REVERSED);
                buffer.set_string(area.x, y, "›", tints.style(Tone::Strong));
            }
        }
    }

    fn head(
        &self,
        shown: &[(usize, u16)],
        look: Option<&Look>,
        tints: Tints,
        area: Rect,
        buffer: &mut Buffer,
    ) {
        let mut x = area.x + 1;
        for (column, width) in shown {
            let Column { title, is_right, .. } = &self.columns[*column];
            let title = match look.filter(|look| look.sort == Some(*column)) {
                Some(look) if look.is_rising => format!("{title}↑"),
                Some(_) => format!("{title}↓"),
                None => title.to_string(),
            };
            put(buffer, (x, area.y), &title, (*width, *is_right), tints.style(Tone::Dim));
            x += width + GAP;
        }
    }

    /// Which columns there is room for, and how much each gets.
    fn fitting(&self, room: u16) -> Vec<(usize, u16)> {
        let natural = |nth: usize, column: &Column| {
            let cells = self.rows.iter().filter_map(|row| row.cells.get(nth));
            let widest = cells.map(|cell| Span::raw(cell.text.as_str()).width()).max();
            // One more than its title, for the arrow of the sorted one.
            let widest = widest.unwrap_or(0).max(column.title.chars().count() + 1);
            u16::try_from(widest).unwrap_or(u16::MAX).min(column.most)
        };
        let all = self.columns.iter().enumerate();
        let mut shown: Vec<(usize, u16)> =
            all.map(|(nth, column)| (nth, natural(nth, column))).collect();
        let need = |shown: &[(usize, u16)]| {
            shown.iter().map(|(_, width)| width.saturating_add(GAP)).fold(1, u16::saturating_add)
        };
        while need(&shown) > room.saturating_add(GAP) {
            let worst =
                shown.iter().enumerate().max_by_key(|(_, (nth, _))| self.columns[*nth].rank);
            match worst.map(|(place, (nth, _))| (place, self.columns[*nth].rank)) {
                Some((place, rank)) if rank > 0 => drop(shown.remove(place)),
                _ => break,
            }
        }
        // What never goes gives way from the widest.
        while need(&shown) > room.saturating_add(GAP) {
            match shown.iter_mut().max_by_key(|(_, width)| *width) {
                Some((_, width)) if *width > LEAST => *width -= 1,
                _ => break,
            }
        }
        shown
    }
}

/// Between two columns.
const GAP: u16 = 2;
/// Narrower says nothing.
const LEAST: u16 = 4;

/// Writes a text into so many columns; what does not fit is cut, and seen to be.
fn put(
    buffer: &mut Buffer,
    (x, y): (u16, u16),
    text: &str,
    (width, is_right): (u16, bool),
    style: ratatui::style::Style,
) {
    let line = Line::styled(text, style);
    let is_cut = line.width() > usize::from(width);
    let taken = u16::try_from(line.width()).unwrap_or(width).min(width);
    let start = if is_right && !is_cut { x + (width - taken) } else { x };
    if !buffer.area.contains((start, y).into()) {
        return;
    }
    let (end, _) = buffer.set_line(start, y, &line, width);
    if is_cut && width > 0 {
        let last = end.saturating_sub(1).max(x);
        buffer.set_stringn(last.min(x + width - 1), y, "…", 1, style);
    }
}
