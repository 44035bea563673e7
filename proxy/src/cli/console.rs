//! The one place that writes to the terminal: data on stdout, messages on stderr.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
};

use super::Failure;
use crate::environment;

/// Whether colours are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colours {
    /// On a terminal that has them, unless `NO_COLOR` says no.
    Auto,
    /// Never.
    Never,
}

/// Where commands speak.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    /// Colours in data.
    colour: bool,
    /// Colours in messages.
    message_colour: bool,
    /// Whether data goes to a terminal, which can be drawn over.
    terminal: bool,
}

impl Console {
    pub(crate) fn new(colours: Colours) -> Self {
        let set = |name| environment::variable(name).is_some_and(|value| !value.is_empty());
        let dumb = environment::variable("TERM").is_some_and(|term| term == "dumb");
        let wanted = colours == Colours::Auto && !set("NO_COLOR") && !dumb;
        Self {
            colour: wanted && io::stdout().is_terminal(),
            message_colour: wanted && io::stderr().is_terminal(),
            terminal: io::stdout().is_terminal() && !dumb,
        }
    }

    /// Whether data may carry colours.
    pub(crate) fn colour(self) -> bool {
        self.colour
    }

    /// Whether messages may carry colours.
    pub(crate) fn message_colour(self) -> bool {
        self.message_colour
    }

    /// Whether data goes to a terminal, which can be drawn over.
    pub(crate) fn is_terminal(self) -> bool {
        self.terminal
    }

    /// How data is painted.
    pub(crate) fn paint(self) -> Paint {
        Paint(self.colour)
    }

    /// Data, as it is.
    pub(crate) fn data(self, text: impl Display) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        write!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(Failure::output)
    }

    /// A line of data.
    pub(crate) fn line(self, text: impl Display) -> Result<(), Failure> {
        self.data(format_args!("{text}\n"))
    }

    /// A value as JSON.
    pub(crate) fn json(self, value: &impl serde::Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::new(super::FAILED, error.to_string()))?;
        self.line(text)
    }

    /// A message for a person. Nobody may be listening, and that is no reason to fail.
    pub(crate) fn say(self, text: impl Display) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Advice on what to do next, for a person.
    pub(crate) fn hint(self, text: impl Display) {
        let paint = Paint(self.message_colour);
        self.say(paint.dim(&format!("  next: {text}")));
    }

    /// Something that a person should know.
    pub(crate) fn warn(self, text: impl Display) {
        let paint = Paint(self.message_colour);
        self.say(format_args!("{}: {text}", paint.yellow("warning")));
    }

    /// Why a command did not do what was asked.
    pub(crate) fn fail(self, failure: &Failure) {
        let paint = Paint(self.message_colour);
        if failure.is_rendered {
            return self.say(failure.text.trim_end());
        }
        self.say(format_args!("{}: {}", paint.red("error"), failure.text));
    }
}

/// Colours or none. Never the only carrier of a meaning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(bool);

impl Paint {
    /// None.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self(false);

    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    pub(crate) fn blue(self, text: &str) -> String {
        self.wrap("36", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
