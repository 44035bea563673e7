//! Where flags and groups are used.

use std::collections::BTreeSet;

use super::Declared;
use crate::{
    check::guessing,
    code,
    fields::Field,
    known,
    model::{
        Name,
        flag::{FlagCondition, Group, Told, VariantValue, WATCHED_MAX},
    },
    names,
    problem::{Place, Problem, Wrong},
    read::{Placed, Reader, Scope},
    tree::{Entry, Node, Value},
};

const FORM: &str = "a flag's name, { NAME = \"VARIANT\" } or { NAME = { not = \"VARIANT\" } }";

/// What a match says of flags.
pub(in crate::check) fn conditions(
    reader: &mut Reader<'_, '_>,
    scope: &Scope<'_>,
    flags: &Declared,
) -> Vec<FlagCondition> {
    reader.not_empty(scope, &["flag"]);
    let read = reader.value(scope, "flag", |reader, field, node| {
        let one = std::slice::from_ref(node);
        let items = if let Value::List(items) = &node.value { items.as_slice() } else { one };
        Some(items.iter().flat_map(|item| condition(reader, field, item)).collect::<Vec<_>>())
    });
    let mut all: Vec<FlagCondition> = Vec::new();
    for Placed { value, place } in read.unwrap_or_default() {
        fits(reader, flags, &value, place);
        let opposite = FlagCondition { not: !value.not, ..value.clone() };
        if all.contains(&opposite) {
            let message = format!("`{}` cannot be so and not be so", value.flag);
            reader.tell(Problem::error(code::VALUE, place, message));
        }
        if !all.contains(&value) {
            all.push(value);
        }
    }
    all
}

fn condition(
    reader: &mut Reader<'_, '_>,
    field: &'static Field,
    node: &Node,
) -> Vec<Placed<FlagCondition>> {
    match node.as_table().filter(|table| !known::is_outside(table)) {
        None => short(reader, field, node).into_iter().collect(),
        Some(table) => table.entries.iter().filter_map(|it| long(reader, field, it)).collect(),
    }
}

/// `"new-cart"`, `"!new-cart"`.
fn short(
    reader: &mut Reader<'_, '_>,
    field: &'static Field,
    node: &Node,
) -> Option<Placed<FlagCondition>> {
    if !matches!(node.value, Value::Text(_) | Value::Table(_)) {
        return reader.mistyped(field, node, FORM);
    }
    let text = reader.as_text(field, node)?;
    let name = text.strip_prefix('!').unwrap_or(&text);
    let flag = reader.check(node.place, names::flag(name))?;
    let value = FlagCondition { flag, variant: None, not: text.starts_with('!') };
    Some(Placed { value, place: node.place })
}

/// `theme = "dark"`, `theme = { not = "dark" }`, `new-cart = false`.
fn long(
    reader: &mut Reader<'_, '_>,
    field: &'static Field,
    entry: &Entry,
) -> Option<Placed<FlagCondition>> {
    let flag = reader.check(entry.key_place, names::flag(&entry.key));
    let (node, not) = match entry.node.as_table().map(|table| table.entries.as_slice()) {
        Some([inner]) if inner.key == "not" => (&inner.node, true),
        Some(_) | None => (&entry.node, false),
    };
    let (variant, not) = match &node.value {
        Value::Bool(truth) => (None, not == *truth),
        Value::Text(variant) => (Some(Name::from(variant.as_str())), not),
        Value::Integer(_)
        | Value::Float(_)
        | Value::List(_)
        | Value::Table(_)
        | Value::Date(_)
        | Value::Foreign(_) => return reader.mistyped(field, node, FORM),
    };
    Some(Placed { value: FlagCondition { flag: flag?, variant, not }, place: node.place })
}

/// Whether there is such a flag, and it can be so.
fn fits(reader: &mut Reader<'_, '_>, flags: &Declared, condition: &FlagCondition, place: Place) {
    let name = &condition.flag;
    flags.exists(reader, name, place);
    let Some((flag, true)) = flags.find(name) else { return };
    let names = || flag.variants.iter().map(|(variant, _)| &**variant);
    match &condition.variant {
        Some(variant) if !names().any(|known| *known == **variant) => {
            let message = format!("[flag.{name}] has no variant `{variant}`");
            let wrong = Wrong::new(code::REFERENCE, message);
            reader.tell(guessing(wrong, variant, names()).at(place));
        }
        Some(_) => {}
        None if matches!(flag.variants.first(), Some((_, VariantValue::Bool(_)))) => {}
        None => {
            let message = format!("[flag.{name}] is neither true nor false");
            let first = names().next().unwrap_or_default();
            let help = format!("say which variant: {{ {name} = \"{first}\" }}");
            reader.tell(Problem::error(code::REFERENCE, place, message).help(help));
        }
    }
}

/// Tells of more flags than are evaluated for a request.
pub(in crate::check) fn bounded<'m>(
    reader: &mut Reader<'_, '_>,
    root: &Scope<'_>,
    declared: &Declared,
    matched: impl Iterator<Item = &'m FlagCondition>,
) {
    let flags = &declared.flags;
    let mut watched: BTreeSet<&str> = matched.map(|condition| &*condition.flag).collect();
    let judged = flags.own.iter().filter(|flag| flag.judge.is_some());
    watched.extend(judged.map(|flag| &*flag.name));
    match &flags.send {
        _ if flags.header.is_none() => {}
        Told::Used => {}
        Told::All => watched.extend(flags.own.iter().map(|flag| &*flag.name)),
        Told::Only(names) => watched.extend(names.iter().map(|name| &**name)),
    }
    if watched.len() > WATCHED_MAX {
        let count = watched.len();
        let message = format!("{count} flags are matched on, sent or judged; {WATCHED_MAX} can be");
        let scope = root.child("flags");
        let problem = Problem::error(code::RANGE, scope.place_of("send"), message);
        reader.tell(problem.help("name in `send` those that origins have to know".to_owned()));
    }
}

/// Warns of flags and groups that nothing asks for.
pub(in crate::check) fn unused<'m>(
    reader: &mut Reader<'_, '_>,
    declared: &Declared,
    matched: impl Iterator<Item = &'m FlagCondition>,
) {
    let flags = &declared.flags;
    let mut used: Vec<&str> = matched.map(|condition| &*condition.flag).collect();
    if let (Told::Only(names), Some(_)) = (&flags.send, &flags.header) {
        used.extend(names.iter().map(|name| &**name));
    }
    let are_all_used = flags.ofrep.is_some() || (flags.send == Told::All && flags.header.is_some());
    for (flag, (place, _)) in flags.own.iter().zip(&declared.own) {
        if !are_all_used && flag.judge.is_none() && !used.contains(&&*flag.name) {
            let message = format!("nothing asks for [flag.{}]", flag.name);
            let help = "match on it, or add [flags.ofrep] if applications ask for it";
            let problem = Problem::warning(code::UNUSED, *place, message);
            reader.tell(problem.help(help.to_owned()));
        }
    }
    let rules = flags.own.iter().flat_map(|flag| &flag.rules);
    let named = rules.flat_map(|rule| rule.groups.iter().chain(&rule.not));
    let referred = flags.groups.iter().flat_map(|group: &Group| &group.any);
    let mut is_used = vec![false; flags.groups.len()];
    for at in named.chain(referred) {
        is_used[*at] = true;
    }
    for ((group, place), is_used) in flags.groups.iter().zip(&declared.groups).zip(is_used) {
        if !is_used {
            let message = format!("no flag and no group names [group.{}]", group.name);
            reader.tell(Problem::warning(code::UNUSED, *place, message));
        }
    }
}
