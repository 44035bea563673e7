//! The rules of a flag.

use std::{collections::BTreeSet, sync::Arc};

use super::{group::Groups, moment, only, part, variant::Variants};
use crate::{
    code,
    fields::{Field, Kind},
    known,
    model::{
        Share,
        flag::{Portion, RULES_MAX, Rule},
    },
    names,
    problem::{Place, Problem},
    read::{Placed, Reader, Scope, values},
    tree::{Node, Table, Value},
};

const KEYS: [&str; 5] = ["group", "not", "users", "percent", "serve"];
const GROUP: Field = part("group", Kind::Text);
const NOT: Field = part("not", Kind::Text);
const USERS: Field = part("users", Kind::Text);
const PERCENT: Field = part("percent", Kind::Ramp);
const SERVE: Field = part("serve", Kind::Text);
const GROWING: [&str; 4] = ["from", "to", "start", "end"];
const FROM: Field = part("from", Kind::Percent);
const TO: Field = part("to", Kind::Percent);
const START: Field = part("start", Kind::Moment);
const END: Field = part("end", Kind::Moment);

/// Every rule, long or short.
pub(super) fn all(
    reader: &mut Reader<'_, '_>,
    scope: &Scope<'_>,
    variants: &Variants,
    groups: &Groups,
) -> Vec<Placed<Rule>> {
    let short: Vec<_> =
        ["deny", "allow", "percent"].iter().filter_map(|key| scope.entry(key)).collect();
    if short.is_empty() {
        return long(reader, scope, variants, groups);
    }
    if let Some(rules) = scope.entry("rules") {
        for entry in short {
            let message = format!("`{}` and `rules` exclude each other", entry.key);
            let problem = Problem::error(code::EXCLUSIVE, entry.key_place, message);
            reader.tell(problem.label("short for a rule").related(rules.key_place, "the rules"));
        }
        return Vec::new();
    }
    if let Some((on, off)) = variants.booleans() {
        return from_short(reader, scope, on, off);
    }
    for entry in short.iter().filter(|_| variants.is_known) {
        let message = format!("`{}` is for a flag that is true or false", entry.key);
        let problem = Problem::error(code::FLAG, entry.key_place, message);
        reader.tell(problem.help("say in `rules` who gets which variant".to_owned()));
    }
    Vec::new()
}

/// Whoever is denied first, then whoever is allowed, then the rest.
fn from_short(
    reader: &mut Reader<'_, '_>,
    scope: &Scope<'_>,
    on: usize,
    off: usize,
) -> Vec<Placed<Rule>> {
    let mut rules = Vec::new();
    for (key, variant) in [("deny", off), ("allow", on)] {
        let users = values(reader.forms(scope, key, names::user));
        if !users.is_empty() {
            rules.push(Placed { value: serving(variant, users, None), place: scope.place_of(key) });
        }
    }
    if let Some(portion) = reader.value(scope, "percent", ramp) {
        let value = serving(on, Vec::new(), Some(portion));
        rules.push(Placed { value, place: scope.place_of("percent") });
    }
    rules
}

fn serving(variant: usize, users: Vec<Arc<str>>, portion: Option<Portion>) -> Rule {
    Rule { groups: Vec::new(), not: Vec::new(), users, portion, serve: vec![(variant, 1)] }
}

fn long(
    reader: &mut Reader<'_, '_>,
    scope: &Scope<'_>,
    variants: &Variants,
    groups: &Groups,
) -> Vec<Placed<Rule>> {
    let told = reader.sources.problems.len();
    let rules = reader.value(scope, "rules", |reader, field, node| {
        let one = std::slice::from_ref(node);
        let items = if let Value::List(items) = &node.value { items.as_slice() } else { one };
        let read = |item: &Node| {
            let value = rule(reader, field, item, variants, groups)?;
            Some(Placed { value, place: item.place })
        };
        Some(items.iter().filter_map(read).collect::<Vec<_>>())
    });
    let mut rules = rules.unwrap_or_default();
    if let Some(beyond) = rules.get(RULES_MAX) {
        let message = format!("there are more than {RULES_MAX} rules");
        reader.tell(Problem::error(code::FLAG, beyond.place, message));
        rules.truncate(RULES_MAX);
    }
    if reader.sources.problems.len() == told {
        unreached(reader, &rules);
    }
    rules
}

fn rule(
    reader: &mut Reader<'_, '_>,
    field: &'static Field,
    node: &Node,
    variants: &Variants,
    groups: &Groups,
) -> Option<Rule> {
    let Some(table) = node.as_table() else {
        return reader.mistyped(field, node, "a rule such as { percent = 10, serve = \"on\" }");
    };
    only(reader, table, &KEYS, "a rule");
    let get = |key| table.get(key).map(|entry| &entry.node);
    let groups_of = |reader: &mut Reader<'_, '_>, field, node: Option<&Node>| {
        let names = list(reader, field, node, &|text| Ok(text.to_owned()));
        let found: BTreeSet<usize> =
            names.iter().filter_map(|name| groups.find(reader, name)).collect();
        found.into_iter().collect::<Vec<usize>>()
    };
    let any = groups_of(reader, &GROUP, get("group"));
    let not = groups_of(reader, &NOT, get("not"));
    let users = values(list(reader, &USERS, get("users"), &names::user));
    let portion = get("percent").map(|node| ramp(reader, &PERCENT, node));
    let serve = match get("serve") {
        Some(node) => serve(reader, node, variants),
        None => {
            let problem = Problem::error(code::MISSING, node.place, "this rule has no `serve`");
            reader.tell(problem.label("who is in it gets what?"));
            None
        }
    };
    // What could not be read was told.
    let portion = portion.map_or(Some(None), |portion| portion.map(Some))?;
    Some(Rule { groups: any, not, users, portion, serve: serve? })
}

/// Texts, or one; an empty list is told, as it would be about everybody or nobody.
fn list<T>(
    reader: &mut Reader<'_, '_>,
    field: &'static Field,
    node: Option<&Node>,
    read: &impl Fn(&str) -> Result<T, crate::problem::Wrong>,
) -> Vec<Placed<T>> {
    let Some(node) = node else { return Vec::new() };
    if matches!(&node.value, Value::List(items) if items.is_empty()) {
        let message = format!("`{}` may not be empty", field.key());
        reader.tell(Problem::error(code::VALUE, node.place, message));
    }
    reader.as_forms(field, node, read)
}

/// `10`, or `{ from = 1, to = 100, start = …, end = … }`.
fn ramp(reader: &mut Reader<'_, '_>, field: &'static Field, node: &Node) -> Option<Portion> {
    let Some(table) = node.as_table().filter(|table| !known::is_outside(table)) else {
        return reader.as_percent(field, node).map(Portion::Fixed);
    };
    only(reader, table, &GROWING, "a share that grows");
    for key in ["to", "start", "end"].iter().filter(|key| table.get(key).is_none()) {
        let message = format!("a share that grows needs `{key}`");
        let problem = Problem::error(code::MISSING, node.place, message);
        reader.tell(problem.label("expected { from = 1, to = 100, start = …, end = … }"));
    }
    let get = |key| table.get(key).map(|entry| &entry.node);
    let from = get("from").map_or(Some(Share::NONE), |node| reader.as_percent(&FROM, node));
    let to = get("to").and_then(|node| reader.as_percent(&TO, node));
    let start = get("start").and_then(|node| moment(reader, &START, node));
    let end = get("end").and_then(|node| moment(reader, &END, node));
    let (start, end) = (start?, end?);
    if end.value <= start.value {
        let problem = Problem::error(code::FLAG, end.place, "`end` is not after `start`");
        reader.tell(problem.related(start.place, "`start`"));
    }
    Some(Portion::Ramp { from: from?, to: to?, start: start.value, end: end.value })
}

/// A variant, or several with weights.
fn serve(
    reader: &mut Reader<'_, '_>,
    node: &Node,
    variants: &Variants,
) -> Option<Vec<(usize, u32)>> {
    let Some(table) = node.as_table().filter(|table| !known::is_outside(table)) else {
        let name = reader.as_text(&SERVE, node)?;
        return variants.find(reader, &name, node.place).map(|variant| vec![(variant, 1)]);
    };
    let weights = weights(reader, table, variants);
    if weights.len() == table.entries.len() && weights.iter().all(|(_, weight)| *weight == 0) {
        let problem = Problem::error(code::FLAG, node.place, "no variant has a weight");
        reader.tell(problem.label("expected { a = 1, b = 1 }"));
        return None;
    }
    Some(weights)
}

fn weights(reader: &mut Reader<'_, '_>, table: &Table, variants: &Variants) -> Vec<(usize, u32)> {
    let mut weights = Vec::new();
    for entry in &table.entries {
        let variant = variants.find(reader, &entry.key, entry.key_place);
        let Value::Integer(number) = entry.node.value else {
            let _: Option<()> = reader.mistyped(&SERVE, &entry.node, "a whole number as weight");
            continue;
        };
        match u32::try_from(number) {
            Ok(weight) => weights.extend(variant.map(|variant| (variant, weight))),
            Err(_) => {
                let problem = Problem::error(code::RANGE, entry.node.place, "not a weight");
                reader.tell(problem.label(format!("between 0 and {}", u32::MAX)));
            }
        }
    }
    weights
}

/// Where the flag has to know who its user is, if it has to.
pub(super) fn drawing(rules: &[Placed<Rule>]) -> Option<Place> {
    rules.iter().find(|rule| asks_for_key(&rule.value)).map(|rule| rule.place)
}

fn asks_for_key(rule: &Rule) -> bool {
    rule.portion.is_some() || rule.serve.len() > 1 || !rule.users.is_empty()
}

/// Warns of rules behind one that takes all they would be for.
fn unreached(reader: &mut Reader<'_, '_>, rules: &[Placed<Rule>]) {
    for (at, rule) in rules.iter().enumerate() {
        let Some(wide) = rules[..at].iter().find(|wide| covers(&wide.value, &rule.value)) else {
            continue;
        };
        let problem = Problem::warning(code::UNREACHED, rule.place, "this rule is never reached");
        let is_drawn = wide.value.portion.is_some() && rule.value.portion.is_some();
        let help = "the shares of a flag's rules begin at the same user; serve several variants with weights instead";
        reader.tell(
            problem
                .related(wide.place, "takes everybody that it would be for")
                .help(is_drawn.then(|| help.to_owned())),
        );
    }
}

/// Whether the one rule takes everybody for whom the other would hold.
fn covers(wide: &Rule, narrow: &Rule) -> bool {
    let within = |narrow: &[usize], wide: &[usize]| narrow.iter().all(|it| wide.contains(it));
    let groups = wide.groups.is_empty()
        || (!narrow.groups.is_empty() && within(&narrow.groups, &wide.groups));
    let users = wide.users.is_empty()
        || (!narrow.users.is_empty() && narrow.users.iter().all(|it| wide.users.contains(it)));
    let (_, most) = bounds(narrow);
    groups && users && within(&wide.not, &narrow.not) && most > 0 && bounds(wide).0 >= most
}

/// How many of its users a rule takes at least and at most, one more than all being those, too, who
/// cannot be told apart.
fn bounds(rule: &Rule) -> (u32, u32) {
    match rule.portion {
        Some(Portion::Fixed(share)) => (share.0, share.0),
        Some(Portion::Ramp { from, to, .. }) => (from.min(to).0, from.max(to).0),
        None if asks_for_key(rule) => (Share::WHOLE.0, Share::WHOLE.0),
        None => (Share::WHOLE.0 + 1, Share::WHOLE.0 + 1),
    }
}
