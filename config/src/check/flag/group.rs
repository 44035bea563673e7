//! `[group.*]`: named groups of users.

use std::{collections::HashMap, sync::Arc};

use super::Given;
use crate::{
    check::{guessing, named, route},
    code,
    fields::Field,
    model::{
        Condition, HostPattern, Key, Name, PathPattern,
        flag::{self, GROUPS_MAX, Group},
    },
    names,
    problem::{Place, Problem, Wrong},
    read::{Placed, Reader, Scope, shared, values},
    tree::{Entry, Node},
};

/// Users of a file at most.
const USERS_MAX: usize = 1_000_000;
/// Largest file of users.
const USERS_BYTES_MAX: u64 = 64 << 20;
/// Lists that would be about nobody if they were empty.
const LISTS: &[&str] = &["host", "path", "method", "client", "users", "any"];

/// All groups, each after those it refers to.
pub(super) struct Groups {
    pub(super) groups: Vec<Group>,
    pub(super) places: Vec<Place>,
    by_name: HashMap<Name, usize>,
}

impl Groups {
    /// The group of a name; that there is none is told.
    pub(super) fn find(&self, reader: &mut Reader<'_, '_>, name: &Placed<String>) -> Option<usize> {
        find(reader, name, &self.by_name)
    }
}

fn find(
    reader: &mut Reader<'_, '_>,
    name: &Placed<String>,
    by_name: &HashMap<Name, usize>,
) -> Option<usize> {
    let found = by_name.get(name.value.as_str()).copied();
    if found.is_none() {
        let message = format!("there is no group `{}`", name.value);
        let wrong = Wrong::new(code::REFERENCE, message);
        let names = by_name.keys().map(|name| &**name);
        reader.tell(guessing(wrong, &name.value, names).at(name.place));
    }
    found
}

/// A group whose references are names still.
struct Draft {
    group: Group,
    place: Place,
    any: Vec<Placed<String>>,
}

pub(super) fn all(reader: &mut Reader<'_, '_>, root: &Scope<'_>, given: Given) -> Groups {
    let mut tables = root.named("group");
    if let Some((beyond, _)) = tables.get(GROUPS_MAX) {
        let message = format!("there are more than {GROUPS_MAX} groups");
        reader.tell(Problem::error(code::GROUP, beyond.key_place, message));
        tables.truncate(GROUPS_MAX);
    }
    let drafts = tables.into_iter().map(|(entry, scope)| draft(reader, entry, &scope, given));
    let drafts: Vec<Draft> = drafts.collect();
    let by_name = drafts.iter().map(|draft| draft.group.name.clone()).zip(0..).collect();
    let refer = |draft: &Draft| -> Vec<usize> {
        draft.any.iter().filter_map(|name| find(reader, name, &by_name)).collect()
    };
    let refers: Vec<Vec<usize>> = drafts.iter().map(refer).collect();
    let order = in_order(reader, &drafts, &refers);
    sorted(drafts, &refers, &order)
}

/// The groups in the order of their declaration, but each behind those it refers to.
fn in_order(reader: &mut Reader<'_, '_>, drafts: &[Draft], refers: &[Vec<usize>]) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::with_capacity(drafts.len());
    let is_next = |order: &[usize], at: usize| {
        !order.contains(&at) && refers[at].iter().all(|other| order.contains(other))
    };
    while let Some(next) = (0..drafts.len()).find(|at| is_next(&order, *at)) {
        order.push(next);
    }
    let left = |order: &[usize], at: &usize| !order.contains(at);
    if let Some(first) = (0..drafts.len()).find(|at| left(&order, at)) {
        circle(reader, drafts, first, |at| {
            refers[at].iter().copied().find(|other| left(&order, other))
        });
        // Whoever names one of these has done nothing wrong.
        order.extend((first..drafts.len()).filter(|at| left(&order, at)).collect::<Vec<_>>());
    }
    order
}

/// Tells of groups that refer to each other, which one comes to from the first by `next`.
fn circle(
    reader: &mut Reader<'_, '_>,
    drafts: &[Draft],
    first: usize,
    next: impl Fn(usize) -> Option<usize>,
) {
    let mut way = vec![first];
    while let Some(to) = next(way[way.len() - 1]) {
        if let Some(begin) = way.iter().position(|at| *at == to) {
            way.drain(..begin);
            break;
        }
        way.push(to);
    }
    let Draft { group, place, .. } = &drafts[way[0]];
    let message = format!("[group.{}] refers to itself", group.name);
    let mut problem = Problem::error(code::GROUP, *place, message);
    for at in &way[1..] {
        problem = problem.related(drafts[*at].place, "by way of this one");
    }
    reader.tell(problem);
}

fn sorted(drafts: Vec<Draft>, refers: &[Vec<usize>], order: &[usize]) -> Groups {
    let moved = |at: &usize| order.iter().position(|old| old == at);
    let mut all: Vec<(usize, Group, Place)> = Vec::with_capacity(drafts.len());
    for ((draft, refers), at) in drafts.into_iter().zip(refers).zip(0..) {
        let any = refers.iter().filter_map(moved).collect();
        all.extend(moved(&at).map(|to| (to, Group { any, ..draft.group }, draft.place)));
    }
    all.sort_by_key(|(to, ..)| *to);
    let by_name = all.iter().map(|(to, group, _)| (group.name.clone(), *to)).collect();
    let (groups, places) = all.into_iter().map(|(_, group, place)| (group, place)).unzip();
    Groups { groups, places, by_name }
}

fn draft(reader: &mut Reader<'_, '_>, entry: &Entry, scope: &Scope<'_>, given: Given) -> Draft {
    let told = reader.sources.problems.len();
    let name = named(reader, entry);
    reader.not_empty(scope, LISTS);
    let conditions = conditions(reader, scope, given);
    let clients = route::distinct(reader.forms(scope, "client", names::network));
    let (users, users_file) = users(reader, scope);
    let share = reader.value(scope, "percent", Reader::as_percent);
    let by = given.place(reader, scope, "by");
    let salt = reader.filled(scope, "salt").map_or_else(|| name.clone(), |it| shared(&it.value));
    let any = reader.forms(scope, "any", |text| Ok(text.to_owned()));
    let asks = ["users", "users_file", "percent"].iter().find_map(|key| scope.entry(key));
    if let Some(asks) = asks.filter(|_| !given.has_key && scope.entry("by").is_none()) {
        let message = format!("nothing says what tells the users of [group.{name}] apart");
        reader.tell(
            Problem::error(code::TARGETING, asks.key_place, message)
                .help("add by = \"cookie:uid\" here or to [flags]".to_owned()),
        );
    }
    let says_nothing = conditions.is_empty() && clients.is_empty() && asks.is_none();
    if says_nothing && any.is_empty() && reader.sources.problems.len() == told {
        let message = format!("[group.{name}] does not say who is in it");
        let problem = Problem::error(code::GROUP, entry.key_place, message);
        reader
            .tell(problem.help("add a condition such as header = { x-staff = \"1\" }".to_owned()));
    }
    let any_of = Vec::new();
    let group =
        Group { name, conditions, clients, users, users_file, share, by, salt, any: any_of };
    Draft { group, place: entry.key_place, any }
}

fn conditions(
    reader: &mut Reader<'_, '_>,
    scope: &Scope<'_>,
    given: Given,
) -> Vec<(flag::Place, Condition)> {
    let mut all = Vec::new();
    let fields = route::conditions(reader, scope, "header", names::field_name);
    all.extend(fields.into_iter().map(|(name, it)| (flag::Place::Key(Key::Header(name)), it)));
    let cookies = route::conditions(reader, scope, "cookie", names::cookie_name);
    all.extend(cookies.into_iter().map(|(name, it)| (flag::Place::Key(Key::Cookie(name)), it)));
    let query = route::conditions(reader, scope, "query", |name| Ok(shared(name)));
    all.extend(query.into_iter().map(|(name, it)| (flag::Place::Key(Key::Query(name)), it)));
    let claims = route::conditions(reader, scope, "claim", names::claim);
    for (name, condition) in claims {
        let place = flag::Place::Claim(name);
        given.believes(reader, &place, scope.place_of("claim"));
        all.push((place, condition));
    }
    for (key, place, read) in [
        ("host", flag::Place::Host, host as fn(&str) -> Result<Arc<str>, Wrong>),
        ("path", flag::Place::Path, path),
        ("method", flag::Place::Method, names::method),
    ] {
        let texts = values(reader.forms(scope, key, read));
        if !texts.is_empty() {
            all.push((place, Condition::OneOf(texts)));
        }
    }
    all
}

fn host(text: &str) -> Result<Arc<str>, Wrong> {
    match names::host_pattern(text)? {
        HostPattern::Exact(host) => Ok(host),
        HostPattern::Below(_) => Err(Wrong::new(code::HOST, format!("`{text}` is not one host"))
            .label("a group names whole hosts; patterns stand in a route's match")),
    }
}

fn path(text: &str) -> Result<Arc<str>, Wrong> {
    match names::path_pattern(text)? {
        PathPattern::Exact(path) => Ok(path),
        PathPattern::Any | PathPattern::Prefix(_) | PathPattern::Regex(_) => {
            Err(Wrong::new(code::PATH, format!("`{text}` is not one path"))
                .label("a group names whole paths; prefixes stand in a route's match"))
        }
    }
}

type Listed = (Option<Arc<[Box<str>]>>, Option<std::path::PathBuf>);

/// Those who are in it by name, and the file that names them.
fn users(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Listed {
    let written = scope.entry("users").map(|_| reader.forms(scope, "users", names::user));
    if let (Some(users), Some(file)) = (scope.entry("users"), scope.entry("users_file")) {
        let message = "`users` and `users_file` exclude each other";
        let problem = Problem::error(code::EXCLUSIVE, file.key_place, message);
        reader.tell(problem.related(users.key_place, "or this one"));
    }
    if let Some(users) = written {
        return (Some(sorted_users(users.iter().map(|user| &*user.value))), None);
    }
    match reader.value(scope, "users_file", users_of_file) {
        Some((users, path)) => (Some(users), Some(path)),
        None => (None, None),
    }
}

fn users_of_file(
    reader: &mut Reader<'_, '_>,
    field: &'static Field,
    node: &Node,
) -> Option<(Arc<[Box<str>]>, std::path::PathBuf)> {
    let name = reader.as_text(field, node)?;
    let read = reader.sources.read_lines(node.place, &name, USERS_BYTES_MAX);
    let read = read.and_then(|(path, text)| {
        let lines = text.lines().map(str::trim);
        let users = sorted_users(lines.filter(|line| !line.is_empty() && !line.starts_with('#')));
        if users.len() > USERS_MAX {
            return Err(format!("it names more than {USERS_MAX} users"));
        }
        Ok((users, path))
    });
    let wrong =
        |why| Problem::error(code::OUTSIDE, node.place, format!("cannot read {name}: {why}"));
    read.map_err(|why| reader.tell(wrong(why))).ok()
}

fn sorted_users<'u>(users: impl Iterator<Item = &'u str>) -> Arc<[Box<str>]> {
    let mut users: Vec<Box<str>> = users.map(Into::into).collect();
    users.sort_unstable();
    users.dedup();
    users.into()
}
