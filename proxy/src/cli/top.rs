//! `gnomon top`: the running proxy on one screen, and what to do about it.
//!
//! One thread asks the proxy once an interval, another follows its events, and this one draws what they
//! have told and obeys the keys: whatever the proxy does, the keyboard answers. What is shown is a pure
//! function of what was told ([`picture`]) and of how one looks at it ([`view`]).

#[cfg(feature = "tui")]
mod ask;
#[cfg(feature = "tui")]
mod draw;
#[cfg(feature = "tui")]
mod follow;
#[cfg(feature = "tui")]
mod glyph;
#[cfg(feature = "tui")]
mod keys;
#[cfg(feature = "tui")]
mod order;
mod pane;
#[cfg(feature = "tui")]
mod past;
#[cfg(feature = "tui")]
mod picture;
#[cfg(feature = "tui")]
mod screen;
#[cfg(feature = "tui")]
mod snapshot;
#[cfg(feature = "tui")]
mod table;
#[cfg(test)]
#[cfg(feature = "tui")]
mod tests;
#[cfg(feature = "tui")]
mod text;
#[cfg(feature = "tui")]
mod tone;
#[cfg(feature = "tui")]
mod view;
#[cfg(feature = "tui")]
mod wiring;

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Failure, live::Door};
use pane::Pane;

/// How to look.
#[derive(Args, Debug)]
pub(crate) struct TopArguments {
    /// How often the proxy is asked, as in 500ms, 2s, 1m
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// Where to begin [default: overview; all of them with --snapshot]
    #[arg(long, value_enum)]
    pane: Option<Pane>,
    /// Look only: no key changes anything
    #[arg(long)]
    read_only: bool,
    /// Without a terminal: print so many frames of all panes as plain text, and end
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=3600))]
    snapshot: Option<u16>,
    /// How large a frame of --snapshot is
    #[arg(long, value_name = "COLUMNSxROWS", default_value = "100x30", value_parser = size, requires = "snapshot")]
    size: (u16, u16),
    /// What lines and marks are drawn with [default: by the locale and TERM]
    #[arg(long, value_enum)]
    glyphs: Option<GlyphChoice>,
}

/// What lines and marks are drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum GlyphChoice {
    /// Eight dots a character: the finest lines.
    Braille,
    /// Blocks, for fonts without braille.
    Block,
    /// What every terminal has.
    Ascii,
}

/// Draws until somebody has seen enough.
#[cfg(feature = "tui")]
pub(super) fn top(door: &Door, arguments: &TopArguments) -> Result<(), Failure> {
    if door.json {
        return Err(Failure::usage("`top` draws, and has nothing to say in JSON")
            .help("gnomon status --json, gnomon rollout list --json"));
    }
    match arguments.snapshot {
        Some(frames) => snapshot::print(door, arguments, frames),
        None => screen::run(door, arguments),
    }
}

/// Says that this program cannot.
#[cfg(not(feature = "tui"))]
pub(super) fn top(door: &Door, arguments: &TopArguments) -> Result<(), Failure> {
    let TopArguments { interval, pane, read_only, snapshot, size, glyphs } = arguments;
    let asked = (interval, pane, read_only, snapshot, size, glyphs, &door.console);
    Err(Failure::new(super::FAILED, format!("this gnomon was built without its screen: {asked:?}"))
        .help("build it with the feature `tui`, or see `gnomon status --watch`"))
}

fn interval(text: &str) -> Result<Duration, String> {
    let example = "say, for instance, 500ms, 2s or 1m";
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| example)?;
    let millis = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        _ => None,
    };
    let time = Duration::from_millis(millis.ok_or(example)?);
    if time < INTERVALS.0 || time > INTERVALS.1 {
        return Err(format!("{example}; from 200ms to 1h"));
    }
    Ok(time)
}

/// More often would be seen by nobody; more rarely is no watching.
const INTERVALS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(3600));

fn size(text: &str) -> Result<(u16, u16), String> {
    let example = "say COLUMNSxROWS, such as 120x40; from 40x10 to 400x200";
    let (columns, rows) = text.split_once('x').ok_or(example)?;
    let size: (u16, u16) =
        (columns.parse().map_err(|_| example)?, rows.parse().map_err(|_| example)?);
    if (40..=400).contains(&size.0) && (10..=200).contains(&size.1) {
        Ok(size)
    } else {
        Err(example.to_owned())
    }
}
