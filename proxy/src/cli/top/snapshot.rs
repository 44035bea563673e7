//! Frames as plain text, for scripts and reports.

use ratatui::{buffer::Buffer, layout::Rect};

use super::{
    TopArguments, ask,
    ask::Wish,
    draw,
    pane::Pane,
    picture::{News, Picture},
    view::View,
    wiring,
};
use crate::cli::{Failure, live::Door};

/// Prints so many frames of the panes that are asked for.
pub(super) fn print(door: &Door, arguments: &TopArguments, frames: u16) -> Result<(), Failure> {
    let socket = door.socket();
    let (columns, rows) = arguments.size;
    let mut view = wiring::view(arguments, door.console, true);
    view.tints = super::tone::Tints::None;
    view.columns = columns;
    let mut picture = Picture { interval: wiring::millis(arguments), ..Picture::default() };
    let absent = |failure| Failure::call(failure, &socket);
    if let Some(history) = ask::optional(&socket, "/v1/history").map_err(absent)? {
        picture.learn(News::Past(history), wiring::now());
    }
    // Rates are of two looks.
    let first = ask::look(&socket, Wish::ALL, 0).map_err(absent)?;
    picture.learn(News::Look(Box::new(first)), wiring::now());
    let panes = arguments.pane.map_or_else(|| Pane::ALL.to_vec(), |pane| vec![pane]);
    for frame in 1..=frames {
        let _ = crossbeam_channel::after(arguments.interval).recv();
        let news = match ask::look(&socket, Wish::ALL, u64::from(frame)) {
            Ok(look) => News::Look(Box::new(look)),
            Err(failure) => News::Silent(failure.to_string()),
        };
        picture.learn(news, wiring::now());
        for pane in &panes {
            view.pane = *pane;
            let text = text(&picture, &view, Rect::new(0, 0, columns, rows));
            door.console.line(format_args!("-- frame {frame} of {frames}: {} --", pane.title()))?;
            door.console.data(text)?;
        }
    }
    Ok(())
}

/// A frame, line by line, without what is empty at the ends of lines.
pub(super) fn text(picture: &Picture, view: &View, area: Rect) -> String {
    let mut buffer = Buffer::empty(area);
    draw::draw(picture, view, area, &mut buffer);
    plain(&buffer)
}

/// What a buffer shows.
pub(super) fn plain(buffer: &Buffer) -> String {
    let mut text = String::new();
    for row in buffer.content.chunks(usize::from(buffer.area.width).max(1)) {
        let mut line = String::new();
        let mut hidden = 0;
        for cell in row {
            // What a wide character covers is not there.
            if hidden == 0 {
                line.push_str(cell.symbol());
                hidden = ratatui::text::Span::raw(cell.symbol()).width().saturating_sub(1);
            } else {
                hidden -= 1;
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
