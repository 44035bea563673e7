//! Tints. None says anything that a glyph or a word beside it does not say as well.
//!
//! The colours are those of Okabe and Ito, which people with any kind of colour blindness can tell apart.

use ratatui::style::{Color, Modifier, Style};

/// What a piece of text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    /// A text like others.
    #[default]
    Plain,
    /// What the eye should find first.
    Strong,
    /// What it may pass over.
    Dim,
    /// As it should be: ●.
    Good,
    /// To be watched: ▲.
    Watch,
    /// Wrong: ▼.
    Bad,
    /// What somebody has set, or a key to press.
    Note,
}

impl Tone {
    /// The glyph that says the same.
    pub(super) const fn glyph(self) -> &'static str {
        match self {
            Self::Good => "●",
            Self::Watch => "▲",
            Self::Bad => "▼",
            Self::Plain | Self::Strong | Self::Dim | Self::Note => " ",
        }
    }

    /// Of a share of something that can be full.
    pub(super) fn of_ratio(ratio: f64) -> Self {
        match ratio {
            ratio if ratio > 0.95 => Self::Bad,
            ratio if ratio > 0.8 => Self::Watch,
            _ => Self::Good,
        }
    }

    /// Of a share of requests that fail.
    pub(super) fn of_errors(ratio: f64) -> Self {
        match ratio {
            ratio if ratio > 0.05 => Self::Bad,
            ratio if ratio > 0.01 => Self::Watch,
            _ => Self::Good,
        }
    }
}

/// Which colours the terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tints {
    /// None are wanted.
    None,
    /// Whatever its sixteen are set to.
    Sixteen,
    /// The usual 256: the nearest ones.
    Many,
    /// All of them.
    True,
}

impl Tints {
    /// By what the terminal says of itself.
    pub(super) fn of(is_wanted: bool, term: &str, colorterm: &str) -> Self {
        if !is_wanted {
            Self::None
        } else if matches!(colorterm, "truecolor" | "24bit") {
            Self::True
        } else if term.contains("256") {
            Self::Many
        } else {
            Self::Sixteen
        }
    }

    pub(super) fn style(self, tone: Tone) -> Style {
        let style = Style::new();
        match tone {
            Tone::Plain => style,
            Tone::Strong => style.add_modifier(Modifier::BOLD),
            Tone::Dim => style.add_modifier(Modifier::DIM),
            Tone::Good => self.fill(style, (0, 158, 115), 36, Color::Green),
            Tone::Watch => self.fill(style, (230, 159, 0), 178, Color::Yellow),
            Tone::Bad => {
                self.fill(style, (213, 94, 0), 166, Color::LightRed).add_modifier(Modifier::BOLD)
            }
            Tone::Note => self.fill(style, (86, 180, 233), 74, Color::Cyan),
        }
    }

    fn fill(self, style: Style, (r, g, b): (u8, u8, u8), near: u8, named: Color) -> Style {
        match self {
            Self::None => style,
            Self::Sixteen => style.fg(named),
            Self::Many => style.fg(Color::Indexed(near)),
            Self::True => style.fg(Color::Rgb(r, g, b)),
        }
    }
}
