//! A text as lines, each with what is kept of it: everything but the space between tokens.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "of many kinds of events, a few may stand at each place of TOML"
)]

use toml_parser::{
    Source, Span,
    parser::{Event, EventKind, parse_document},
};

/// A line, or a key with a value over several.
#[derive(Debug)]
pub(super) enum Line<'t> {
    /// Nothing.
    Blank,
    /// A comment by itself.
    Comment(&'t str),
    /// `[a.b]` or `[[a.b]]`.
    Header { name: String, remark: Option<Remark<'t>> },
    /// A key and its value.
    Entry {
        key: String,
        /// Whether more than a space stood before the `=`.
        is_aligned: bool,
        value: Value<'t>,
        remark: Option<Remark<'t>>,
    },
}

/// A comment behind something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remark<'t> {
    pub(super) text: &'t str,
    /// Characters before it in its line, if more than a space set it off.
    pub(super) column: Option<usize>,
}

/// What stands behind a `=`.
#[derive(Debug)]
pub(super) enum Value<'t> {
    /// As it is written.
    Scalar(&'t str),
    /// A list or a table in braces.
    Group(Group<'t>),
}

/// A list or a table in braces.
#[derive(Debug)]
pub(super) struct Group<'t> {
    pub(super) is_list: bool,
    /// Whether a line ended before its first item.
    pub(super) is_tall: bool,
    pub(super) items: Vec<Item<'t>>,
}

/// What stands in a group.
#[derive(Debug)]
pub(super) enum Item<'t> {
    /// An empty line.
    Blank,
    /// A comment by itself.
    Comment(&'t str),
    /// A value, with a key in a table.
    Member { key: Option<String>, value: Value<'t>, remark: Option<Remark<'t>> },
}

/// The lines of `text`, which is TOML.
pub(super) fn read(text: &str) -> Vec<Line<'_>> {
    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    let mut events: Vec<Event> = Vec::new();
    parse_document(&tokens, &mut events, &mut ());
    let mut reader = Reader { text, events: &events, next: 0 };
    reader.lines()
}

struct Reader<'t, 'e> {
    text: &'t str,
    events: &'e [Event],
    next: usize,
}

impl<'t, 'e> Reader<'t, 'e> {
    fn lines(&mut self) -> Vec<Line<'t>> {
        let mut lines = Vec::new();
        let mut is_line_taken = false;
        while let Some(event) = self.take() {
            let opens = event.kind();
            match opens {
                EventKind::Newline if is_line_taken => is_line_taken = false,
                EventKind::Newline => lines.push(Line::Blank),
                EventKind::Comment => {
                    let remark = self.remark(event.span());
                    match lines.last_mut().filter(|_| is_line_taken) {
                        Some(
                            Line::Header { remark: slot, .. } | Line::Entry { remark: slot, .. },
                        ) => {
                            *slot = Some(remark);
                        }
                        _ => lines.push(Line::Comment(remark.text)),
                    }
                    is_line_taken = true;
                }
                EventKind::StdTableOpen | EventKind::ArrayTableOpen => {
                    lines.push(Line::Header { name: self.header(event.span()), remark: None });
                    is_line_taken = true;
                }
                EventKind::SimpleKey => {
                    let (key, is_aligned) = self.key(event.span());
                    let value = self.value();
                    lines.push(Line::Entry { key, is_aligned, value, remark: None });
                    is_line_taken = true;
                }
                _ => {}
            }
        }
        lines
    }

    /// The whole of `[a.b]`.
    fn header(&mut self, open: Span) -> String {
        let mut name = self.of(open).to_owned();
        while let Some(event) = self.take() {
            if event.kind() != EventKind::Whitespace {
                name.push_str(self.of(event.span()));
            }
            if matches!(event.kind(), EventKind::StdTableClose | EventKind::ArrayTableClose) {
                break;
            }
        }
        name
    }

    /// A key that begins with `first`, up to its `=`, and whether more than a space stood before that.
    fn key(&mut self, first: Span) -> (String, bool) {
        let mut key = self.of(first).to_owned();
        let mut end = first.end();
        while let Some(event) = self.take() {
            match event.kind() {
                EventKind::KeyValSep => return (key, event.span().start() > end + 1),
                EventKind::Whitespace => {}
                _ => {
                    key.push_str(self.of(event.span()));
                    end = event.span().end();
                }
            }
        }
        (key, false)
    }

    fn value(&mut self) -> Value<'t> {
        while let Some(event) = self.take() {
            match event.kind() {
                EventKind::Scalar => return Value::Scalar(self.of(event.span())),
                EventKind::ArrayOpen => return Value::Group(self.group(true)),
                EventKind::InlineTableOpen => return Value::Group(self.group(false)),
                _ => {}
            }
        }
        Value::Scalar("")
    }

    /// A group whose bracket is open.
    fn group(&mut self, is_list: bool) -> Group<'t> {
        let mut group = Group { is_list, is_tall: false, items: Vec::new() };
        // The line of the bracket is taken, though a remark there has nothing to stand behind.
        let mut is_line_taken = true;
        while let Some(event) = self.take() {
            let kind = event.kind();
            match kind {
                EventKind::ArrayClose | EventKind::InlineTableClose => break,
                EventKind::Newline => {
                    group.is_tall |= group.items.is_empty();
                    if !is_line_taken {
                        group.items.push(Item::Blank);
                    }
                    is_line_taken = false;
                }
                EventKind::Comment => {
                    let remark = self.remark(event.span());
                    match group.items.last_mut().filter(|_| is_line_taken) {
                        Some(Item::Member { remark: slot @ None, .. }) => *slot = Some(remark),
                        _ => group.items.push(Item::Comment(remark.text)),
                    }
                    is_line_taken = true;
                }
                EventKind::ValueSep | EventKind::Whitespace => {}
                _ => {
                    let (key, value) = self.member(*event);
                    group.items.push(Item::Member { key, value, remark: None });
                    is_line_taken = true;
                }
            }
        }
        // A remark needs the end of a line.
        group.is_tall |= group.items.iter().any(|item| match item {
            Item::Blank => false,
            Item::Comment(_) => true,
            Item::Member { remark, .. } => remark.is_some(),
        });
        group
    }

    fn member(&mut self, first: Event) -> (Option<String>, Value<'t>) {
        match first.kind() {
            EventKind::SimpleKey => {
                let (key, _) = self.key(first.span());
                (Some(key), self.value())
            }
            EventKind::ArrayOpen => (None, Value::Group(self.group(true))),
            EventKind::InlineTableOpen => (None, Value::Group(self.group(false))),
            _ => (None, Value::Scalar(self.of(first.span()))),
        }
    }

    fn remark(&self, span: Span) -> Remark<'t> {
        let line = self.text[..span.start()].rfind('\n').map_or(0, |newline| newline + 1);
        let before = &self.text[line..span.start()];
        let gap = before.chars().rev().take_while(|&it| it == ' ' || it == '\t').count();
        let column = (gap > 1).then(|| before.trim_start_matches('\u{feff}').chars().count());
        Remark { text: self.of(span).trim_end(), column }
    }

    fn of(&self, span: Span) -> &'t str {
        self.text.get(span.start()..span.end()).unwrap_or_default()
    }

    fn take(&mut self) -> Option<&'e Event> {
        let event = self.events.get(self.next)?;
        self.next += 1;
        Some(event)
    }
}
