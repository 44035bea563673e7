//! Lines, bars and marks, with what the terminal can show; and what of a text it may be shown.

use ratatui::buffer::Buffer;

use super::GlyphChoice;

/// What lines and marks are drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Glyphs {
    /// Eight dots a character.
    Braille,
    /// Blocks.
    Block,
    /// Nothing but ASCII.
    Ascii,
}

impl Glyphs {
    /// As asked for, else by the locale (of which POSIX says which variable counts) and the terminal.
    pub(super) fn of(
        asked: Option<GlyphChoice>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        match asked {
            Some(GlyphChoice::Braille) => return Self::Braille,
            Some(GlyphChoice::Block) => return Self::Block,
            Some(GlyphChoice::Ascii) => return Self::Ascii,
            None => {}
        }
        let set = |name: &&str| variable(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(set).unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        let term = variable("TERM").unwrap_or_default();
        let is_plain = !(locale.contains("utf-8") || locale.contains("utf8"));
        if is_plain || term == "dumb" || term.starts_with("vt") {
            Self::Ascii
        } else if term == "linux" {
            // The kernel's own console has 512 glyphs, and no braille among them.
            Self::Block
        } else {
            Self::Braille
        }
    }

    /// How many values go into so many columns.
    pub(super) const fn values(self, columns: usize) -> usize {
        match self {
            Self::Braille => columns * 2,
            Self::Block | Self::Ascii => columns,
        }
    }

    /// A line of the newest values, from 0 to `top` (the largest of them, if none), at the right end of
    /// so many columns. What is not known stays empty.
    pub(super) fn spark(self, values: &[f64], columns: usize, top: Option<f64>) -> String {
        let room = self.values(columns);
        let newest = &values[values.len().saturating_sub(room)..];
        let largest = newest.iter().copied().filter(|value| value.is_finite()).fold(0.0, f64::max);
        let top = top.unwrap_or(largest);
        let missing = vec![f64::NAN; room - newest.len()];
        let all = [missing.as_slice(), newest].concat();
        let level = |value: f64, levels: usize| match value {
            value if !value.is_finite() => 0,
            value if top <= 0.0 || value <= 0.0 => 1,
            value => whole((value / top * levels as f64).ceil()).clamp(1, levels),
        };
        match self {
            Self::Braille => {
                let pair = |pair: &[f64]| braille(level(pair[0], 4), level(pair[1], 4));
                all.chunks_exact(2).map(pair).collect()
            }
            Self::Block | Self::Ascii => all.iter().map(|value| BLOCKS[level(*value, 8)]).collect(),
        }
    }

    /// A bar that is full at 1.
    pub(super) fn bar(self, ratio: f64, columns: usize) -> String {
        let full = whole((ratio.clamp(0.0, 1.0) * columns as f64).round()).min(columns);
        format!("{}{}", "█".repeat(full), "░".repeat(columns - full))
    }
}

const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Two columns of so many dots, from below.
fn braille(left: usize, right: usize) -> char {
    const LEFT: [u32; 5] = [0, 0x40, 0x44, 0x46, 0x47];
    const RIGHT: [u32; 5] = [0, 0x80, 0xa0, 0xb0, 0xb8];
    let dots = LEFT[left.min(4)] | RIGHT[right.min(4)];
    if dots == 0 { ' ' } else { char::from_u32(0x2800 + dots).unwrap_or(' ') }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a small number of cells"
)]
fn whole(value: f64) -> usize {
    value.max(0.0) as usize
}

/// Takes from a drawn picture whatever could move the terminal's cursor otherwise than we think, and, where
/// it has ASCII alone, everything else. Whatever way a text of the proxy came here, it ends here.
pub(super) fn scrub(buffer: &mut Buffer, glyphs: Glyphs) {
    for cell in &mut buffer.content {
        let symbol = cell.symbol();
        if symbol.is_ascii() && !symbol.chars().any(char::is_control) {
            continue;
        }
        let told = if symbol.chars().any(is_unsafe) || symbol.chars().count() > CHARS_MAX {
            Some('?')
        } else if glyphs == Glyphs::Ascii {
            Some(symbol.chars().next().map_or(' ', plain))
        } else {
            None
        };
        if let Some(told) = told {
            cell.set_char(told);
        }
    }
}

/// Characters of one cell at most: more marks on a letter than any script has are an attack.
const CHARS_MAX: usize = 4;

/// What has no width, turns the writing's direction, joins others, or is a command.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{10ffff}')
}

/// The nearest that ASCII has.
fn plain(c: char) -> char {
    match c {
        '●' | '★' => '*',
        '▲' | '↑' => '^',
        '▼' | '↓' => 'v',
        '○' => 'o',
        '✓' => '+',
        '✗' => 'x',
        '▶' | '→' | '›' => '>',
        '←' | '‹' => '<',
        '↵' => '/',
        '·' | '…' | '░' | '▁' => '.',
        '─' | '–' | '—' | '▂' | '−' => '-',
        '│' => '|',
        '┌' | '┐' | '└' | '┘' | '├' | '┤' | '▅' => '+',
        '▃' | '▄' => '=',
        '▏' => '_',
        '▆' => '*',
        '▇' | '█' | '▓' | '▒' => '#',
        '×' => 'x',
        'µ' | 'μ' => 'u',
        '±' => '~',
        '“' | '”' => '"',
        '‘' | '’' => '\'',
        '\u{a0}' | '\u{202f}' | '\u{2009}' => ' ',
        '\u{2800}'..='\u{28ff}' => ':',
        c if c.is_ascii() => c,
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;

    use super::*;

    #[test]
    fn the_locale_and_the_terminal_say_what_is_drawn_with() {
        let table = [
            (&[("LANG", "en_US.UTF-8"), ("TERM", "xterm-256color")][..], Glyphs::Braille),
            (&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8"), ("TERM", "xterm")], Glyphs::Ascii),
            (&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8"), ("TERM", "tmux")], Glyphs::Braille),
            (&[("LC_CTYPE", "POSIX"), ("LANG", "C.UTF-8")], Glyphs::Ascii),
            (&[("LANG", "C.UTF-8"), ("TERM", "linux")], Glyphs::Block),
            (&[("LANG", "C.UTF-8"), ("TERM", "vt220")], Glyphs::Ascii),
            (&[("LANG", "C.UTF-8"), ("TERM", "dumb")], Glyphs::Ascii),
            (&[], Glyphs::Ascii),
        ];
        for (set, expected) in table {
            let variable = |name: &str| {
                set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(Glyphs::of(None, variable), expected, "{set:?}");
            assert_eq!(Glyphs::of(Some(GlyphChoice::Block), variable), Glyphs::Block);
        }
    }

    #[test]
    fn a_line_ends_at_the_right_and_begins_at_nothing() {
        let values = [0.0, 1.0, 4.0, 8.0];
        assert_eq!(Glyphs::Block.spark(&values, 6, None), "  ▁▁▄█");
        assert_eq!(Glyphs::Block.spark(&values, 2, None), "▄█");
        assert_eq!(Glyphs::Block.spark(&values, 4, Some(16.0)), "▁▁▂▄");
        assert_eq!(Glyphs::Block.spark(&[f64::NAN, 1.0], 2, None), " █");
        assert_eq!(Glyphs::Braille.spark(&values, 3, None), " ⣀⣼");
        assert_eq!(Glyphs::Block.spark(&[], 3, None), "   ");
        assert_eq!(Glyphs::Block.bar(0.26, 8), "██░░░░░░");
        assert_eq!(Glyphs::Block.bar(f64::NAN, 4), "░░░░");
        assert_eq!(Glyphs::Block.bar(7.0, 4), "████");
    }

    #[test]
    fn nothing_that_moves_a_cursor_is_left() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 8, 1));
        let hostile = ["\u{1b}", "a\u{202e}", "\u{9b}", "e\u{301}", "👩\u{200d}👩", "界", "●", "a"];
        for (x, symbol) in (0..).zip(hostile) {
            buffer[(x, 0)].set_symbol(symbol);
        }
        let mut plain = buffer.clone();
        scrub(&mut buffer, Glyphs::Braille);
        let symbols = |buffer: &Buffer| {
            buffer.content.iter().map(|cell| cell.symbol().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(symbols(&buffer), ["?", "?", "?", "e\u{301}", "?", "界", "●", "a"]);
        scrub(&mut plain, Glyphs::Ascii);
        assert_eq!(symbols(&plain), ["?", "?", "?", "e", "?", "?", "*", "a"]);
    }
}
