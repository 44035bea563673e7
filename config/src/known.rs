//! Is every key known? The check that forgives no typing error.

use crate::{
    code,
    fields::{self, Effect, Field, Kind},
    problem::Problem,
    shape::{self, Row},
    tree::{Entry, Node, Table},
};

/// Tells of every key that is unknown, and of every one that is not for this version.
pub(crate) fn check(root: &Table, problems: &mut Vec<Problem>) {
    walk(root, shape::top(), &mut String::new(), problems);
}

/// `path` is the table's as a person wrote it.
fn walk(table: &Table, row: &Row, path: &mut String, problems: &mut Vec<Problem>) {
    let length = path.len();
    for entry in &table.entries {
        if length > 0 {
            path.push('.');
        }
        path.push_str(&entry.key);
        match row.find(&entry.key) {
            None => problems.push(unknown(entry, row, path)),
            Some(row) if row.field.effect == Effect::Later => {
                problems.push(later(entry, row.field, path));
            }
            Some(row) => descend(&entry.node, row, path, problems),
        }
        path.truncate(length);
    }
}

fn descend(node: &Node, row: &Row, path: &mut String, problems: &mut Vec<Problem>) {
    match (row.field.kind, node.as_table()) {
        (Kind::Table | Kind::Keyed, Some(table)) => walk(table, row, path, problems),
        (Kind::TableOr(_), Some(table)) if !is_outside(table) => walk(table, row, path, problems),
        (Kind::Table | Kind::Keyed, None) => problems.push(
            Problem::error(code::TYPE, node.place, format!("`{path}` is a table"))
                .label(format!("expected a table, found {}", node.type_name())),
        ),
        (_, _) => {}
    }
}

/// Whether the table stands for a scalar: `{ env = … }` or `{ file = … }`.
pub(crate) fn is_outside(table: &Table) -> bool {
    let has = |key: &str| table.get(key).is_some();
    let known = |entry: &Entry| matches!(entry.key.as_str(), "env" | "default" | "file");
    (has("env") || has("file")) && table.entries.iter().all(known)
}

fn later(entry: &Entry, field: &Field, path: &str) -> Problem {
    let message = format!("`{path}` is known, but not in this version yet");
    Problem::error(code::LATER, entry.key_place, message)
        .label(field.doc)
        .help("take it out until you run a version that has it".to_owned())
}

fn unknown(entry: &Entry, table: &Row, path: &str) -> Problem {
    let place = match path.rsplit_once('.') {
        Some((parent, _)) => format!("in [{parent}]"),
        None => "at the top level".to_owned(),
    };
    let message = format!("unknown key `{}` {place}", entry.key);
    let problem = Problem::error(code::UNKNOWN_KEY, entry.key_place, message);
    if matches!(table.field.path, "upstream.*.versions.*.headers" | "route.*.headers") {
        return problem
            .label(format!("say of which head: `request.{0}` or `response.{0}`", entry.key));
    }
    let siblings = table.fields().filter(|field| field.effect != Effect::Later);
    match nearest(&entry.key, siblings.map(Field::key)) {
        Some(guess) => problem.label(format!("did you mean `{guess}`?")),
        None => match home(&entry.key) {
            Some(field) => {
                problem.help(format!("`{}` belongs to [{}]", field.key(), field.parent()))
            }
            None => problem,
        },
    }
}

/// A table elsewhere that has this very key, if there is just one.
fn home(key: &str) -> Option<&'static Field> {
    let mut homes = fields::FIELDS
        .iter()
        .filter(|field| field.key() == key && !field.parent().is_empty())
        .filter(|field| field.effect != Effect::Later);
    homes.next().filter(|_| homes.next().is_none())
}

/// What a person may have meant: the nearest by typing errors, if it is near enough.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Nobody mistypes a longer word, and the distance costs the product of both lengths.
    const WORD_BYTES_MAX: usize = 64;
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    // A third of the word may be wrong: enough for two slips in six letters, too little for
    // another word.
    let allowed = (word.chars().count() / 3).max(1);
    let mut known: Vec<&str> = known.collect();
    known.sort_unstable();
    // A word cut short or drawn out: `warning` for `warn`.
    const STEM_BYTES_MIN: usize = 3;
    let stem = |name: &str| {
        word.len().min(name.len()) >= STEM_BYTES_MIN
            && (word.starts_with(name) || name.starts_with(word))
    };
    let stems = known.iter().copied().find(|name| stem(name));
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(word, name), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name)
        .or(stems)
}
