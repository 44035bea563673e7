//! What a key means, by what is on the screen.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{
    order::{Do, offered},
    pane::Pane,
};

/// What keys go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Focus {
    /// The pane.
    Pane,
    /// The filter that is being written.
    Filter,
    /// A page to read.
    Page,
    /// A question.
    Ask,
}

/// What is to be done about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing.
    Ignore,
    /// It is enough.
    Quit,
    /// Ctrl-Z.
    Suspend,
    /// Draw everything anew.
    Redraw,
    /// This pane.
    Show(Pane),
    /// The next pane, or the one before.
    Beside(bool),
    /// So many rows down.
    Move(isize),
    /// To the first row, or the last.
    End(bool),
    /// By the next column.
    Sort,
    /// The other way around.
    Turn,
    /// Begin to write a filter.
    Filter,
    /// The page of keys.
    Help,
    /// All about the chosen row.
    Details,
    /// Leave the page, the filter or the question.
    Back,
    /// A question about the chosen row.
    Begin(Do),
    /// A letter of an answer.
    Type(char),
    /// The last letter goes.
    Erase,
    /// All letters go.
    Clear,
    /// Yes, or the next question.
    Submit,
}

/// Rows of a page, as good as any.
const PAGE: isize = 10;

/// What `key` means.
pub(super) fn meaning(key: KeyEvent, focus: Focus, pane: Pane, may_act: bool) -> Action {
    if key.kind == KeyEventKind::Release {
        return Action::Ignore;
    }
    let has_ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
    // Everywhere.
    match (key.code, has_ctrl) {
        (KeyCode::Char('c'), true) => return Action::Quit,
        (KeyCode::Char('z'), true) => return Action::Suspend,
        (KeyCode::Char('l'), true) => return Action::Redraw,
        (KeyCode::Char('u'), true) => return Action::Clear,
        (KeyCode::Char(_), true) => return Action::Ignore,
        _ => {}
    }
    if key.modifiers.contains(KeyModifiers::ALT) {
        // Esc and a key right behind it look the same. The key was meant for what was there before.
        return Action::Back;
    }
    match focus {
        Focus::Pane => on_pane((key.code, may_act), pane),
        Focus::Page => on_page((key.code, ())),
        Focus::Filter | Focus::Ask => in_text((key.code, ())),
    }
}

fn on_pane(pressed: (KeyCode, bool), pane: Pane) -> Action {
    if let (KeyCode::Char(c), true) = pressed
        && let Some((_, what, _)) = offered(pane).iter().find(|(key, ..)| *key == c)
    {
        return Action::Begin(*what);
    }
    match pressed {
        (KeyCode::Char('q'), _) => Action::Quit,
        (KeyCode::Char('/'), _) => Action::Filter,
        (KeyCode::Char('s'), _) => Action::Sort,
        (KeyCode::Char('S'), _) => Action::Turn,
        (KeyCode::Char('?') | KeyCode::F(1), _) => Action::Help,
        (KeyCode::Enter, _) => Action::Details,
        (KeyCode::Esc, _) => Action::Back,
        _ => going(pressed.0),
    }
}

/// To another pane, or up and down.
fn going(code: KeyCode) -> Action {
    match (code, ()) {
        (KeyCode::Char(c @ '1'..='7'), ()) => {
            let place = usize::from(u8::try_from(c).unwrap_or(b'1') - b'1');
            Action::Show(Pane::ALL[place])
        }
        (KeyCode::Right | KeyCode::Tab | KeyCode::Char('l'), ()) => Action::Beside(true),
        (KeyCode::Left | KeyCode::BackTab | KeyCode::Char('h'), ()) => Action::Beside(false),
        (KeyCode::Down | KeyCode::Char('j'), ()) => Action::Move(1),
        (KeyCode::Up | KeyCode::Char('k'), ()) => Action::Move(-1),
        (KeyCode::PageDown, ()) => Action::Move(PAGE),
        (KeyCode::PageUp, ()) => Action::Move(-PAGE),
        (KeyCode::Home | KeyCode::Char('g'), ()) => Action::End(true),
        (KeyCode::End | KeyCode::Char('G'), ()) => Action::End(false),
        _ => Action::Ignore,
    }
}

fn on_page(pressed: (KeyCode, ())) -> Action {
    match pressed {
        (KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q' | '?'), ()) => Action::Back,
        (code, ()) => going(code),
    }
}

fn in_text(pressed: (KeyCode, ())) -> Action {
    match pressed {
        (KeyCode::Esc, ()) => Action::Back,
        (KeyCode::Enter, ()) => Action::Submit,
        (KeyCode::Backspace, ()) => Action::Erase,
        (KeyCode::Char(c), ()) => Action::Type(c),
        _ => Action::Ignore,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(code: KeyCode) -> KeyEvent {
        KeyEvent::new(code, KeyModifiers::NONE)
    }

    #[test]
    fn every_key_means_what_the_help_says() {
        use KeyCode::{Char, Down, Enter, Esc, Left, PageUp, Tab, Up};
        let table = [
            (Char('q'), Pane::Events, true, Action::Quit),
            (Char('1'), Pane::Events, true, Action::Show(Pane::Overview)),
            (Char('7'), Pane::Overview, false, Action::Show(Pane::Events)),
            (Char('8'), Pane::Overview, false, Action::Ignore),
            (Tab, Pane::Overview, false, Action::Beside(true)),
            (Left, Pane::Overview, false, Action::Beside(false)),
            (Char('h'), Pane::Overview, false, Action::Beside(false)),
            (Down, Pane::Cores, false, Action::Move(1)),
            (Char('k'), Pane::Cores, false, Action::Move(-1)),
            (Up, Pane::Cores, false, Action::Move(-1)),
            (PageUp, Pane::Cores, false, Action::Move(-10)),
            (Char('G'), Pane::Cores, false, Action::End(false)),
            (Char('/'), Pane::Cores, false, Action::Filter),
            (Char('s'), Pane::Cores, false, Action::Sort),
            (Char('S'), Pane::Cores, false, Action::Turn),
            (Char('?'), Pane::Cores, false, Action::Help),
            (Enter, Pane::Cores, false, Action::Details),
            (Esc, Pane::Cores, false, Action::Back),
            (Char('p'), Pane::Rollouts, true, Action::Begin(Do::Promote)),
            (Char('a'), Pane::Rollouts, true, Action::Begin(Do::Abort)),
            (Char(' '), Pane::Rollouts, true, Action::Begin(Do::Pause)),
            (Char('A'), Pane::Rollouts, true, Action::Begin(Do::Approve)),
            (Char('b'), Pane::Rollouts, true, Action::Begin(Do::Start)),
            (Char('w'), Pane::Upstreams, true, Action::Begin(Do::Weight)),
            (Char('d'), Pane::Upstreams, true, Action::Begin(Do::Drain)),
            (Char('r'), Pane::Upstreams, true, Action::Begin(Do::Rollback)),
            (Char('f'), Pane::Upstreams, true, Action::Begin(Do::Freeze)),
            (Char('m'), Pane::Shadows, true, Action::Begin(Do::Noise)),
            // Elsewhere, or without the right to, they mean nothing.
            (Char('a'), Pane::Overview, true, Action::Ignore),
            (Char('a'), Pane::Rollouts, false, Action::Ignore),
            (Char('w'), Pane::Upstreams, false, Action::Ignore),
            (Char('m'), Pane::Shadows, false, Action::Ignore),
        ];
        for (code, pane, may_act, expected) in table {
            assert_eq!(meaning(key(code), Focus::Pane, pane, may_act), expected, "{code:?}");
        }
    }

    #[test]
    fn whoever_writes_acts_on_nothing() {
        for focus in [Focus::Filter, Focus::Ask] {
            for letter in "qaAp 1?/jkhl".chars() {
                let said = meaning(key(KeyCode::Char(letter)), focus, Pane::Rollouts, true);
                assert_eq!(said, Action::Type(letter));
            }
            let said = |code| meaning(key(code), focus, Pane::Rollouts, true);
            assert_eq!(said(KeyCode::Enter), Action::Submit);
            assert_eq!(said(KeyCode::Esc), Action::Back);
            assert_eq!(said(KeyCode::Backspace), Action::Erase);
        }
        let on_page = |code| meaning(key(code), Focus::Page, Pane::Rollouts, true);
        assert_eq!(on_page(KeyCode::Char('a')), Action::Ignore);
        assert_eq!(on_page(KeyCode::Char('q')), Action::Back);
        assert_eq!(on_page(KeyCode::Down), Action::Move(1));
        assert_eq!(on_page(KeyCode::Char('3')), Action::Show(Pane::Upstreams));
    }

    #[test]
    fn control_keys_mean_the_same_everywhere() {
        for focus in [Focus::Pane, Focus::Page, Focus::Filter, Focus::Ask] {
            for (letter, expected) in [
                ('c', Action::Quit),
                ('z', Action::Suspend),
                ('l', Action::Redraw),
                ('u', Action::Clear),
                ('a', Action::Ignore),
            ] {
                let key = KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL);
                assert_eq!(meaning(key, focus, Pane::Rollouts, true), expected);
            }
        }
        let released =
            KeyEvent::new_with_kind(KeyCode::Char('q'), KeyModifiers::NONE, KeyEventKind::Release);
        assert_eq!(meaning(released, Focus::Pane, Pane::Overview, true), Action::Ignore);
    }
}
