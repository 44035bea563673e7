//! Flags as the admin API tells of them.

use std::collections::BTreeMap;

use gnomon_config::model::flag::{self, Rule};
use gnomon_flags::Flag;
use serde_json::Value;

use super::{Flags, Written, changes, hygiene, source};
use crate::{
    cells::flags::Counted,
    clock,
    control::{
        Control,
        api::{Kind, Page, Refused, flag as told},
        state::State,
    },
};

impl Control {
    /// All flags.
    pub(crate) fn all_flags(&self) -> told::Flags {
        let now = clock::wall().as_secs();
        self.note_use(now);
        let state = self.state();
        let Flags { set, overrides, keeper, .. } = &state.flags;
        let lost = overrides.0.iter().filter(|(name, _)| set.find(name).is_none());
        told::Flags {
            flags: set.flags().iter().map(|flag| state.tell_flag(flag, now)).collect(),
            source: state.flags.tell_source(),
            lost: lost.map(|(name, change)| (name.clone(), change.clone())).collect(),
            trouble: keeper.trouble(),
        }
    }

    /// One flag.
    pub(crate) fn one_flag(&self, name: &str) -> Result<told::Flag, Refused> {
        let now = clock::wall().as_secs();
        self.note_use(now);
        let state = self.state();
        let set = state.flags.set();
        let flag = set.find(name).map(|flag| state.tell_flag(set.flag(flag), now));
        let unknown = || Refused::new(Kind::Unknown, format!("there is no flag `{name}`"));
        flag.ok_or_else(|| state.flags.advise(unknown()))
    }

    /// A page of the record, newest first.
    pub(crate) async fn flag_history(
        &self,
        asked: &told::HistoryAsked,
    ) -> Result<Page<told::Record>, Refused> {
        let keeper = self.state().flags.keeper();
        // What has just happened is to be seen.
        keeper.flush().await;
        let (offset, limit) = (asked.offset, asked.limit.min(PAGE_MAX));
        let flag = asked.flag.clone();
        let read = tokio::task::spawn_blocking(move || {
            super::store::history(keeper.path(), flag.as_deref(), offset, limit)
        });
        let failed =
            |why: String| Refused::new(Kind::Machine, format!("the record of flags: {why}"));
        let read = read.await.map_err(|error| failed(error.to_string()))?;
        let (total, items) = read.map_err(|fault| failed(fault.to_string()))?;
        Ok(Page { total, offset, items })
    }
}

impl State {
    /// How often each variant of a flag was given, if anybody counts.
    pub(crate) fn exposures(&self, flag: &str) -> Option<BTreeMap<String, u64>> {
        let counted = self.flag_book.of(flag);
        let sum = |counted: &Counted<'_>| {
            counted.sum(|cells| &cells.exposures) + counted.sum(|cells| &cells.asked)
        };
        Some(counted.map(|(variant, counted)| (variant.to_string(), sum(&counted))).collect())
    }

    /// A flag as it is now.
    pub(crate) fn tell_flag(&self, flag: &Flag, now: u64) -> told::Flag {
        let (flags, terms) = (&self.flags, self.flags.set.terms());
        let own = flags.own(&flag.name);
        let change = flags.overrides.0.get(&*flag.name);
        let written = Written::of(&flag.name, terms, &flags.definitions);
        let drift = written.as_ref().zip(change).map(|(written, change)| written.drift(change));
        let seen = flags.log.of(&flag.name).cloned().unwrap_or_default();
        let expires = own.and_then(|own| own.expires);
        let exposures = self.exposures(&flag.name);
        let stale = terms.stale.as_secs();
        let find = |key: &str| flag.metadata.get(key).and_then(Value::as_str).unwrap_or_default();
        let variant = |it: &gnomon_flags::set::Variant| told::Variant {
            name: it.name.to_string(),
            value: it.value.clone(),
        };
        let default = flag.default.and_then(|at| flag.variants.get(usize::from(at)));
        let place = flags.set.find(&flag.name).and_then(|ix| flags.set.place(ix));
        told::Flag {
            name: flag.name.to_string(),
            kind: kind(flag).to_owned(),
            variants: flag.variants.iter().map(variant).collect(),
            default: default.map(|it| it.name.to_string()),
            enabled: flag.enabled,
            percent: written.and_then(|it| it.percent(change)),
            rules: own.map_or_else(|| targeting(flags, &flag.name), |own| rules(own, terms)),
            source: self.source_of(flag),
            watched: place.is_some(),
            owner: find("owner").to_owned(),
            description: find("description").to_owned(),
            expires,
            changed: change.cloned(),
            drift: drift.unwrap_or_default(),
            last_evaluated: seen.evaluated,
            remarks: hygiene::remarks(&seen, expires, exposures.is_some(), stale, now),
            exposures: exposures.unwrap_or_default(),
            same_since: seen.same.map(|(_, since)| since),
        }
    }

    fn source_of(&self, flag: &Flag) -> String {
        let source = self.config.flags.source.as_ref().filter(|_| flag.is_foreign);
        source.map_or_else(|| "config".to_owned(), source::name)
    }
}

impl Flags {
    /// All of them in a few numbers.
    pub(crate) fn in_short(&self) -> told::Short {
        told::Short {
            flags: self.set.flags().len(),
            changed: self.overrides.0.len(),
            source: self.tell_source(),
            trouble: self.keeper.trouble(),
        }
    }

    /// How the source is doing, if there is one.
    pub(crate) fn tell_source(&self) -> Option<told::Source> {
        let source = self.set.terms().source.as_ref()?;
        let it = &self.following;
        Some(told::Source {
            what: source::name(source),
            ok: it.faults.is_empty() && it.last_success.is_some() && !it.is_kept,
            faults: it.faults.clone(),
            last_success: it.last_success,
            last_asked: it.last_asked,
            is_kept: it.is_kept,
            flags: self.definitions.flags.len(),
        })
    }

    /// Whether something that somebody has changed is at work.
    pub(crate) fn is_changed(&self, flag: &str) -> bool {
        self.overrides.0.contains_key(flag)
    }

    /// What everybody is given by a flag, if all are given the same.
    pub(crate) fn same(&self, flag: &Flag, now: u64) -> Option<String> {
        if let Some(own) = self.own(&flag.name) {
            return hygiene::same(own, self.overrides.0.get(&*flag.name), now);
        }
        if !flag.enabled {
            return Some(String::new());
        }
        let has_rules =
            self.definitions.flags.iter().any(|it| it.name == *flag.name && it.targeting.is_some());
        if has_rules {
            return None;
        }
        let default = flag.default.and_then(|at| flag.variants.get(usize::from(at)));
        Some(default.map_or_else(|| CODE.to_owned(), |it| it.name.to_string()))
    }
}

fn targeting(flags: &Flags, name: &str) -> Vec<String> {
    let flag = flags.definitions.flags.iter().find(|it| it.name == name);
    let has_rules = flag.is_some_and(|it| it.targeting.is_some());
    if has_rules { vec!["its targeting, in JSONLogic".to_owned()] } else { Vec::new() }
}

/// What sort of value a flag has.
fn kind(flag: &Flag) -> &'static str {
    match flag.variants.first().map(|it| &it.value) {
        Some(Value::Bool(_)) => "boolean",
        Some(Value::String(_)) => "string",
        Some(Value::Number(_)) => "number",
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => "json",
    }
}

/// The rules of a flag in words.
pub(super) fn rules(flag: &flag::Flag, terms: &flag::Flags) -> Vec<String> {
    flag.rules.iter().map(|it| rule(it, flag, terms)).collect()
}

/// A rule in words: `20% of who is in staff, not in test → on`.
fn rule(rule: &Rule, flag: &flag::Flag, terms: &flag::Flags) -> String {
    let names = |groups: &[usize]| {
        let names = groups.iter().filter_map(|it| terms.groups.get(*it));
        names.map(|it| &*it.name).collect::<Vec<_>>().join(" or ")
    };
    let mut who = Vec::new();
    if !rule.groups.is_empty() {
        who.push(format!("in {}", names(&rule.groups)));
    }
    if !rule.not.is_empty() {
        who.push(format!("not in {}", names(&rule.not)));
    }
    match rule.users.as_slice() {
        [] => {}
        [one] => who.push(format!("user {one}")),
        many => who.push(format!("any of {} users", many.len())),
    }
    let who = if who.is_empty() { "everybody".to_owned() } else { who.join(", ") };
    let who = match rule.portion {
        Some(portion) => format!("{} of {who}", changes::show(portion)),
        None => who,
    };
    let name = |variant: usize| flag.variants.get(variant).map_or("?", |(name, _)| &**name);
    let serve = match rule.serve.as_slice() {
        [(variant, _)] => name(*variant).to_owned(),
        many => {
            let parts = many.iter().map(|(variant, weight)| format!("{} {weight}", name(*variant)));
            parts.collect::<Vec<_>>().join(", ")
        }
    };
    format!("{who} → {serve}")
}

/// What everybody is given by a flag without a default.
const CODE: &str = "what is in the code";
/// Lines of the record in one answer.
const PAGE_MAX: usize = 1000;
