//! How somebody looks at the picture, and what keys change about that.

use serde_json::Value;

use super::{
    draw,
    glyph::Glyphs,
    keys::{Action, Focus},
    order::{ANSWER_MAX, Ask},
    pane::Pane,
    picture::Picture,
    table::Look,
    tone::{Tints, Tone},
};

/// What is on top of the pane.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Mode {
    /// Nothing.
    #[default]
    Pane,
    /// A filter is being written.
    Filter,
    /// The page of keys.
    Help,
    /// All about the chosen row.
    Details,
    /// A question.
    Ask(Box<Ask>),
}

/// How the picture is looked at.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) pane: Pane,
    pub(super) looks: [Look; Pane::ALL.len()],
    pub(super) mode: Mode,
    /// Lines of a page that are above the screen.
    pub(super) scroll: u16,
    /// What was done last, or why not.
    pub(super) notice: Option<(Tone, String)>,
    /// Whether an order is under way.
    pub(super) is_busy: bool,
    /// Whether nothing may be changed, whoever we are.
    pub(super) is_read_only: bool,
    pub(super) glyphs: Glyphs,
    pub(super) tints: Tints,
    /// Columns of the terminal.
    pub(super) columns: u16,
}

/// What else has to happen.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Effect {
    /// Nothing.
    None,
    /// It is enough.
    Quit,
    /// The shell wants its terminal back for a while.
    Suspend,
    /// Everything is to be drawn anew.
    Redraw,
    /// Something else is looked at, and is to be asked for at once.
    Look,
    /// This is to be posted: path and body.
    Post(String, Value),
}

impl View {
    pub(super) fn new(pane: Pane, is_read_only: bool, glyphs: Glyphs, tints: Tints) -> Self {
        Self {
            pane,
            looks: Default::default(),
            mode: Mode::Pane,
            scroll: 0,
            notice: None,
            is_busy: false,
            is_read_only,
            glyphs,
            tints,
            columns: 80,
        }
    }

    pub(super) fn look(&self) -> &Look {
        &self.looks[self.pane.place()]
    }

    fn look_mut(&mut self) -> &mut Look {
        &mut self.looks[self.pane.place()]
    }

    /// Where keys go.
    pub(super) const fn focus(&self) -> Focus {
        match self.mode {
            Mode::Pane => Focus::Pane,
            Mode::Filter => Focus::Filter,
            Mode::Help | Mode::Details => Focus::Page,
            Mode::Ask(_) => Focus::Ask,
        }
    }

    /// Whether keys may change anything.
    pub(super) fn may_act(&self, picture: &Picture) -> bool {
        !self.is_read_only && picture.may_act()
    }

    /// Does what a key means.
    pub(super) fn obey(&mut self, action: Action, picture: &Picture) -> Effect {
        if action != Action::Ignore {
            self.notice = None;
        }
        match action {
            Action::Ignore => {}
            Action::Quit => return Effect::Quit,
            Action::Suspend => return Effect::Suspend,
            Action::Redraw => return Effect::Redraw,
            Action::Show(pane) => return self.show(pane),
            Action::Beside(forward) => return self.show(self.pane.beside(forward)),
            Action::Move(rows) => self.step(rows, picture),
            Action::End(is_first) => {
                self.step(if is_first { isize::MIN / 2 } else { isize::MAX / 2 }, picture);
            }
            Action::Sort => self.sort(picture),
            Action::Turn => {
                let look = self.look_mut();
                look.is_rising = !look.is_rising;
            }
            Action::Filter => self.mode = Mode::Filter,
            Action::Help => self.open(Mode::Help),
            Action::Details if self.chosen(picture).is_some() => self.open(Mode::Details),
            Action::Details => {}
            Action::Back => self.back(),
            Action::Begin(what) => {
                let key = self.chosen(picture);
                match Ask::begin(what, picture, key.as_deref()) {
                    Ok(_) if self.is_busy => {
                        self.notice = Some((Tone::Watch, "the last order is under way".into()));
                    }
                    Ok(ask) => self.mode = Mode::Ask(Box::new(ask)),
                    Err(why) => self.notice = Some((Tone::Watch, why)),
                }
            }
            // Whoever is asked only for a yes and writes something means something else.
            Action::Type(_) if self.wants_nothing() => self.back(),
            Action::Type(letter) => self.write(|text| add(text, letter)),
            Action::Erase => self.write(|text| {
                let _ = text.pop();
            }),
            Action::Clear => self.write(String::clear),
            Action::Submit => return self.submit(picture),
        }
        Effect::None
    }

    /// Takes what is pasted into an answer or a filter. On a pane it would be keys that nobody pressed.
    pub(super) fn paste(&mut self, text: &str) {
        match self.focus() {
            Focus::Filter | Focus::Ask => {
                for letter in text.chars().take(ANSWER_MAX) {
                    self.write(|text| add(text, if letter.is_control() { ' ' } else { letter }));
                }
            }
            Focus::Pane | Focus::Page => {
                let said = "what is pasted is taken where something is written".to_owned();
                self.notice = Some((Tone::Watch, said));
            }
        }
    }

    /// Whether a question is open that wants a yes or a no.
    fn wants_nothing(&self) -> bool {
        matches!(&self.mode, Mode::Ask(ask) if ask.fields.is_empty())
    }

    /// What an order came to.
    pub(super) fn done(&mut self, result: Result<String, String>) {
        self.is_busy = false;
        self.notice = Some(match result {
            Ok(said) => (Tone::Good, said),
            Err(why) => (Tone::Bad, why),
        });
    }

    fn show(&mut self, pane: Pane) -> Effect {
        self.pane = pane;
        self.mode = Mode::Pane;
        Effect::Look
    }

    fn open(&mut self, page: Mode) {
        self.mode = page;
        self.scroll = 0;
    }

    fn back(&mut self) {
        match std::mem::take(&mut self.mode) {
            Mode::Pane | Mode::Filter => self.look_mut().filter.clear(),
            Mode::Help | Mode::Details => {}
            Mode::Ask(_) => self.notice = Some((Tone::Plain, "nothing was done".to_owned())),
        }
    }

    fn write(&mut self, change: impl FnOnce(&mut String)) {
        match &mut self.mode {
            Mode::Filter => change(&mut self.looks[self.pane.place()].filter),
            Mode::Ask(ask) => {
                ask.trouble = None;
                if let Some(field) = ask.fields.get_mut(ask.at) {
                    change(&mut field.text);
                }
            }
            Mode::Pane | Mode::Help | Mode::Details => {}
        }
    }

    fn submit(&mut self, picture: &Picture) -> Effect {
        let may_act = self.may_act(picture);
        let Mode::Ask(ask) = &mut self.mode else {
            self.mode = Mode::Pane;
            return Effect::None;
        };
        if !may_act {
            self.mode = Mode::Pane;
            self.notice = Some((Tone::Bad, "only looking is allowed".to_owned()));
            return Effect::None;
        }
        match ask.answered() {
            Ok((path, body)) => {
                self.mode = Mode::Pane;
                self.is_busy = true;
                self.notice = Some((Tone::Plain, "asked; no answer yet".to_owned()));
                Effect::Post(path, body)
            }
            Err(_) => Effect::None,
        }
    }

    /// The key of the chosen row.
    pub(super) fn chosen(&self, picture: &Picture) -> Option<String> {
        let table = draw::table(self.pane, picture, self);
        let place = table.chosen(self.look())?;
        table.rows.get(place).map(|row| row.key.clone())
    }

    fn step(&mut self, rows: isize, picture: &Picture) {
        if matches!(self.mode, Mode::Help | Mode::Details) {
            let rows = i16::try_from(rows.clamp(-1000, 1000)).unwrap_or_default();
            self.scroll = self.scroll.saturating_add_signed(rows).min(SCROLL_MAX);
            return;
        }
        let table = draw::table(self.pane, picture, self);
        let Some(last) = table.rows.len().checked_sub(1) else { return };
        let from = table.chosen(self.look()).unwrap_or(0);
        let to = from.saturating_add_signed(rows).min(last);
        let key = table.rows.get(to).map(|row| row.key.clone());
        let look = self.look_mut();
        look.place = to;
        look.key = key;
    }

    /// By the next column; after the last as the proxy tells it.
    fn sort(&mut self, picture: &Picture) {
        let columns = draw::table(self.pane, picture, self).columns.len();
        let look = self.look_mut();
        look.sort = match look.sort {
            None => Some(0),
            Some(last) if last + 1 >= columns => None,
            Some(column) => Some(column + 1),
        };
    }
}

fn add(text: &mut String, letter: char) {
    if text.chars().count() < ANSWER_MAX && !letter.is_control() {
        text.push(letter);
    }
}

/// Lines of a page that may be above the screen.
const SCROLL_MAX: u16 = 2000;
