//! A table that is drawn over, and lines that stay above it.

use std::cell::Cell;

use serde_json::json;

use crate::cli::{Console, Failure};

/// Where a demo is shown.
pub(super) struct Pane {
    pub(super) console: Console,
    pub(super) json: bool,
    /// Lines of the table that the next one takes the place of.
    height: Cell<usize>,
}

impl Pane {
    pub(super) fn new(console: Console, json: bool) -> Self {
        Self { console, json, height: Cell::new(0) }
    }

    /// Draws a table in the place of the one before; elsewhere than on a terminal, below it.
    pub(super) fn draw(&self, text: &str) -> Result<(), Failure> {
        if !self.console.is_terminal() {
            return self.console.line(text);
        }
        let up = match self.height.replace(text.lines().count()) {
            0 => String::new(),
            height => format!("\x1b[{height}A\x1b[J"),
        };
        self.console.data(format_args!("{up}{text}"))
    }

    /// Says what stays; the table goes on below.
    pub(super) fn tell(&self, text: &str) -> Result<(), Failure> {
        let gap = if self.height.replace(0) > 0 { "\n" } else { "" };
        self.console.line(format_args!("{gap}{text}\n"))
    }

    /// Says where the web console is, if there is one.
    pub(super) fn tell_console(&self, web: Option<&str>) -> Result<(), Failure> {
        let Some(web) = web else { return Ok(()) };
        if self.json {
            return self.console.line(json!({ "event": "console", "url": web }));
        }
        let web = self.console.paint().bold(web);
        self.console.line(format_args!("console: {web}   until Ctrl-C\n"))
    }
}
