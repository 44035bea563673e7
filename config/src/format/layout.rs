//! Where everything stands.

use super::lines::{Group, Item, Line, Remark, Value};

/// The text of `lines`.
pub(super) fn lay_out(lines: Vec<Line<'_>>) -> String {
    let lines = parted(lines);
    let mut rows: Vec<Row<'_>> = Vec::with_capacity(lines.len());
    let mut block: Vec<Member<'_, '_>> = Vec::new();
    for line in &lines {
        match line {
            Line::Entry { key, is_aligned, value, remark } => {
                let room = WIDTH_MAX.saturating_sub(key.chars().count() + SEPARATOR.len());
                let value = written(value, 0, Some(room));
                let is_tall = value.contains('\n');
                block.push(Member::Entry { key, is_aligned: *is_aligned, value, remark: *remark });
                if is_tall {
                    close(&mut block, &mut rows);
                }
            }
            Line::Comment(text) => block.push(Member::Comment(text)),
            Line::Blank => {
                close(&mut block, &mut rows);
                rows.push(Row::default());
            }
            Line::Header { name, remark } => {
                close(&mut block, &mut rows);
                rows.push(Row { text: name.clone(), remark: *remark, is_alone: true });
            }
        }
    }
    close(&mut block, &mut rows);
    let mut text = joined(&rows);
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// What stands in a block: the entries between two blank lines.
enum Member<'l, 't> {
    Comment(&'t str),
    Entry { key: &'l str, is_aligned: bool, value: String, remark: Option<Remark<'t>> },
}

/// Lines the `=` of a block up, if its author did.
fn close<'t>(block: &mut Vec<Member<'_, 't>>, rows: &mut Vec<Row<'t>>) {
    let (mut width, mut is_aligned) = (0, false);
    for member in &*block {
        if let Member::Entry { key, is_aligned: has_gap, .. } = member {
            width = width.max(key.chars().count());
            is_aligned |= has_gap;
        }
    }
    let width = if is_aligned { width } else { 0 };
    rows.extend(block.drain(..).map(|member| match member {
        Member::Comment(text) => Row { text: text.trim_end().to_owned(), ..Row::default() },
        Member::Entry { key, value, remark, .. } => {
            let is_alone = value.contains('\n');
            Row { text: format!("{key:width$}{SEPARATOR}{value}"), remark, is_alone }
        }
    }));
}

/// A line, or several that belong together, and the remark behind it.
#[derive(Default)]
struct Row<'t> {
    text: String,
    remark: Option<Remark<'t>>,
    /// Whether its remark lines up with no other.
    is_alone: bool,
}

/// The rows as lines; remarks of consecutive rows stand below each other.
fn joined(rows: &[Row<'_>]) -> String {
    let mut lines: Vec<String> = Vec::with_capacity(rows.len());
    let is_in_run = |row: &Row<'_>| row.remark.is_some() && !row.is_alone;
    let mut rest = rows;
    while let Some(row) = rest.first() {
        let run = rest.iter().take_while(|row| is_in_run(row)).count();
        if run == 0 {
            let remark = row.remark.map(|it| format!(" {}", it.text)).unwrap_or_default();
            lines.push(format!("{}{remark}", row.text));
            rest = &rest[1..];
            continue;
        }
        let (now, then) = rest.split_at(run);
        let longest = now.iter().map(|row| row.text.chars().count()).max().unwrap_or(0);
        // Remarks that stand further right stay there: a column of them may span several runs.
        let columns = now.iter().filter_map(|row| row.remark?.column);
        let width = (longest + 1).max(columns.min().unwrap_or(0));
        for row in now {
            let remark = row.remark.map_or("", |it| it.text);
            lines.push(format!("{:width$}{remark}", row.text));
        }
        rest = then;
    }
    lines.join("\n")
}

/// One blank line, never two, none at the ends and none below a header; one before a header, above the
/// comments that belong to it.
fn parted(lines: Vec<Line<'_>>) -> Vec<Line<'_>> {
    let mut out: Vec<Line<'_>> = Vec::with_capacity(lines.len());
    for line in lines {
        match line {
            Line::Blank => {
                if !matches!(out.last(), None | Some(Line::Blank)) {
                    out.push(Line::Blank);
                }
            }
            Line::Header { .. } => {
                let own = out.iter().rev().take_while(|it| is_between(it)).count();
                let start = out.len() - own;
                if start > 0 && !out[start..].iter().any(|it| matches!(it, Line::Blank)) {
                    out.insert(start, Line::Blank);
                }
                out.push(line);
            }
            Line::Entry { .. } => {
                let own = out.iter().rev().take_while(|it| is_between(it)).count();
                let start = out.len() - own;
                let is_first = start > 0 && matches!(out[start - 1], Line::Header { .. });
                if is_first && matches!(out.get(start), Some(Line::Blank)) {
                    out.remove(start);
                }
                out.push(line);
            }
            Line::Comment(_) => out.push(line),
        }
    }
    if matches!(out.last(), Some(Line::Blank)) {
        out.pop();
    }
    out
}

fn is_between(line: &Line<'_>) -> bool {
    matches!(line, Line::Blank | Line::Comment(_))
}

/// A value whose further lines begin at `indent`. A list is broken into lines if it has more than
/// `room` characters; without `room`, only if its author did.
fn written(value: &Value<'_>, indent: usize, room: Option<usize>) -> String {
    let group = match value {
        Value::Scalar(text) => return (*text).to_owned(),
        Value::Group(group) => group,
    };
    if !group.items.iter().any(|item| !matches!(item, Item::Blank)) {
        return if group.is_list { "[]" } else { "{}" }.to_owned();
    }
    if is_tall(group) {
        return tall(group, indent);
    }
    let short = flat(group, indent);
    let is_wide = room.is_some_and(|room| short.chars().count() > room);
    if group.is_list && is_wide && !short.contains('\n') { tall(group, indent) } else { short }
}

/// Whether a group takes several lines: its author had it so, or a list holds something that does.
fn is_tall(group: &Group<'_>) -> bool {
    let holds_tall = group.items.iter().any(|item| match item {
        Item::Member { value: Value::Group(inner), .. } => is_tall(inner),
        Item::Member { value: Value::Scalar(_), .. } | Item::Blank | Item::Comment(_) => false,
    });
    group.is_tall || group.is_list && holds_tall
}

fn flat(group: &Group<'_>, indent: usize) -> String {
    let members = group.items.iter().filter_map(|item| match item {
        Item::Member { key, value, .. } => {
            Some(format!("{}{}", key_of(key.as_ref()), written(value, indent, None)))
        }
        Item::Blank | Item::Comment(_) => None,
    });
    let members = members.collect::<Vec<_>>().join(", ");
    if group.is_list { format!("[{members}]") } else { format!("{{ {members} }}") }
}

fn tall(group: &Group<'_>, indent: usize) -> String {
    let inner = indent + INDENT;
    let mut rows: Vec<Row<'_>> = Vec::with_capacity(group.items.len());
    for item in &group.items {
        let row = match item {
            Item::Blank if rows.last().is_none_or(|row| row.text.is_empty()) => continue,
            Item::Blank => Row::default(),
            Item::Comment(text) => {
                Row { text: format!("{:inner$}{}", "", text.trim_end()), ..Row::default() }
            }
            Item::Member { key, value, remark } => {
                let key = key_of(key.as_ref());
                // With a comma behind it.
                let taken = inner + key.chars().count() + 1;
                let value = written(value, inner, Some(WIDTH_MAX.saturating_sub(taken)));
                let is_alone = value.contains('\n');
                Row { text: format!("{:inner$}{key}{value},", ""), remark: *remark, is_alone }
            }
        };
        rows.push(row);
    }
    if rows.last().is_some_and(|row| row.text.is_empty()) {
        rows.pop();
    }
    let (open, close) = if group.is_list { ('[', ']') } else { ('{', '}') };
    format!("{open}\n{}\n{:indent$}{close}", joined(&rows), "")
}

fn key_of(key: Option<&String>) -> String {
    key.map(|key| format!("{key}{SEPARATOR}")).unwrap_or_default()
}

const SEPARATOR: &str = " = ";
/// Spaces before what stands within brackets.
const INDENT: usize = 2;
/// Characters that a list on one line may reach to.
const WIDTH_MAX: usize = 100;
