//! `[flags]`, `[group.*]` and `[flag.*]`: who gets which feature.

mod feature;
mod group;
mod rule;
mod terms;
mod uses;
mod variant;

use std::collections::HashMap;

use super::{Upstreams, guessing};
use crate::{
    code,
    fields::{Effect, Field, Kind, Preset},
    model::{
        Flags, Name,
        flag::{self, FLAGS_MAX, Flag},
    },
    names,
    problem::{Place, Problem, Wrong},
    read::{Placed, Reader, Scope},
    tree::{Node, Table, Value},
};

pub(super) use terms::{Terms, terms};
pub(super) use uses::{bounded, conditions, unused};

/// What is known of all flags before one of them is read.
#[derive(Clone, Copy)]
struct Given {
    /// Whether it is said how tokens are verified.
    has_tokens: bool,
    /// Whether `flags.by` says what tells users apart.
    has_key: bool,
}

/// The flags of the file, with the places that problems point at.
pub(super) struct Declared {
    pub(super) flags: Flags,
    /// Of each flag, where it stands and whether nothing is wrong with its variants.
    own: Vec<(Place, bool)>,
    groups: Vec<Place>,
    by_name: HashMap<Name, usize>,
}

impl Declared {
    /// A flag of the file, and whether its variants are known.
    fn find(&self, name: &str) -> Option<(&Flag, bool)> {
        let at = *self.by_name.get(name)?;
        Some((self.flags.own.get(at)?, self.own.get(at)?.1))
    }

    /// Tells of a flag that does not exist, unless others may come from the source.
    fn exists(&self, reader: &mut Reader<'_, '_>, name: &str, place: Place) {
        if self.flags.source.is_some() || self.by_name.contains_key(name) {
            return;
        }
        let wrong = Wrong::new(code::REFERENCE, format!("there is no flag `{name}`"));
        let names = self.flags.own.iter().map(|flag| &*flag.name);
        reader.tell(guessing(wrong, name, names).at(place));
    }
}

/// Every group and every flag.
pub(super) fn all(
    reader: &mut Reader<'_, '_>,
    root: &Scope<'_>,
    terms: Terms,
    upstreams: &Upstreams,
) -> Declared {
    let Terms { mut flags, given, sent, .. } = terms;
    let groups = group::all(reader, root, given);
    let known = feature::Known { given, groups: &groups, upstreams };
    let mut tables = root.named("flag");
    if let Some((beyond, _)) = tables.get(FLAGS_MAX) {
        let message = format!("there are more than {FLAGS_MAX} flags");
        let problem = Problem::error(code::FLAG, beyond.key_place, message);
        reader.tell(problem.help("give them in a file of flagd's by `flags.source`".to_owned()));
        tables.truncate(FLAGS_MAX);
    }
    let mut own = Vec::new();
    for (entry, scope) in tables {
        let (flag, is_known) = feature::flag(reader, entry, &scope, &known);
        own.push((entry.key_place, is_known));
        flags.own.push(flag);
    }
    let by_name = flags.own.iter().map(|flag| flag.name.clone()).zip(0..).collect();
    flags.groups = groups.groups;
    let declared = Declared { flags, own, groups: groups.places, by_name };
    for name in sent {
        declared.exists(reader, &name.value, name.place);
    }
    declared
}

impl Given {
    /// Where a value stands, if that is said.
    fn place(
        self,
        reader: &mut Reader<'_, '_>,
        scope: &Scope<'_>,
        key: &str,
    ) -> Option<flag::Place> {
        let place = reader.form(scope, key, names::place)?;
        self.believes(reader, &place.value, place.place);
        Some(place.value)
    }

    /// Tells of a claim that nobody would verify.
    fn believes(self, reader: &mut Reader<'_, '_>, place: &flag::Place, at: Place) {
        if let (flag::Place::Claim(name), false) = (place, self.has_tokens) {
            let message = format!("claim `{name}` would never be believed");
            reader.tell(
                Problem::error(code::CLAIM, at, message)
                    .label("nothing says how tokens are verified")
                    .help("add [flags.jwt] with keys = \"/path/to/jwks.json\"".to_owned()),
            );
        }
    }
}

/// A key of a table in a list: such have no rows of their own.
const fn part(path: &'static str, kind: Kind) -> Field {
    Field { path, kind, preset: Preset::Commented(""), effect: Effect::Reload, doc: "" }
}

/// Tells of keys that a table in a list does not have.
fn only(reader: &mut Reader<'_, '_>, table: &Table, keys: &[&'static str], what: &str) {
    for entry in table.entries.iter().filter(|entry| !keys.contains(&entry.key.as_str())) {
        let wrong = Wrong::new(code::UNKNOWN_KEY, format!("unknown key `{}` in {what}", entry.key));
        reader.tell(guessing(wrong, &entry.key, keys.iter().copied()).at(entry.key_place));
    }
}

/// A moment, in seconds since 1970.
fn moment(reader: &mut Reader<'_, '_>, field: &'static Field, node: &Node) -> Option<Placed<u64>> {
    let text = if let Value::Date(text) = &node.value {
        text.clone()
    } else {
        reader.as_text(field, node)?
    };
    let value = reader.check(node.place, names::moment(&text))?;
    Some(Placed { value, place: node.place })
}
