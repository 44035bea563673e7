//! What differs between two configurations, in a person's words.

mod rules;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

use serde::{Deserialize, Serialize};

use crate::{
    effective::{Setting, names_of, with_routes},
    fields::{self, Kind},
    model::{Action, Config, Route},
    shape,
};

/// When a change takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// With a reload.
    Hot,
    /// With a restart only; a reload leaves the old value in force.
    Restart,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The dotted key of a setting, or of a table that came or went as a whole.
    pub path: String,
    /// The value before; none if there was none, and none of a whole table.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub old: Option<String>,
    /// The value after.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub new: Option<String>,
    /// What happened.
    pub kind: ChangeKind,
    /// When it takes effect.
    pub effect: Effect,
}

/// What happened to a setting or a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It came.
    Added,
    /// It went.
    Removed,
    /// It has another value.
    Changed,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match (self.effect, self.kind) {
            (Effect::Restart, _) => '!',
            (Effect::Hot, ChangeKind::Added) => '+',
            (Effect::Hot, ChangeKind::Removed) => '-',
            (Effect::Hot, ChangeKind::Changed) => '~',
        };
        write!(f, "{sign} {}", spaced(&self.path))?;
        match (&self.old, &self.new) {
            (Some(old), Some(new)) if old == new => write!(f, " {old}, with other content")?,
            (Some(old), Some(new)) => write!(f, " {old} → {new}")?,
            (Some(one), None) | (None, Some(one)) => write!(f, " {one}")?,
            (None, None) => {}
        }
        if self.effect == Effect::Restart {
            f.write_str(" needs a restart")?;
        }
        Ok(())
    }
}

/// The key of a table with free keys set apart: `upstream.shop.split v2`.
fn spaced(path: &str) -> String {
    let map = shape::of_path(path).filter(|field| matches!(field.kind, Kind::Map(_)));
    let depth = map.map_or(usize::MAX, |field| field.path.split('.').count());
    let mut spaced = String::new();
    for (at, key) in path.split('.').enumerate() {
        if at > 0 {
            spaced.push(if at == depth { ' ' } else { '.' });
        }
        spaced.push_str(key);
    }
    spaced
}

/// Every difference, in the order of the file format; empty only if the two mean the same.
#[must_use]
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    let (old_routes, new_routes) = (apart(old, new), apart(new, old));
    let (old_tables, new_tables) = (tables(old, &old_routes), tables(new, &new_routes));
    let (before, after) = (with_routes(old, old_routes), with_routes(new, new_routes));
    let old_values = by_path(&before);
    let new_values = by_path(&after);
    let mut told = BTreeSet::new();
    let mut changes = Vec::new();
    for setting in &after {
        match old_values.get(setting.path.as_str()) {
            Some(known) if *known == setting => {}
            Some(known) => match rules::changed(old, new, &setting.path) {
                Some(rule) => changes.push(rule),
                None => changes.push(changed(known, setting)),
            },
            None => come_or_gone(setting, &old_tables, ChangeKind::Added, &mut told, &mut changes),
        }
    }
    for setting in &before {
        if !new_values.contains_key(setting.path.as_str()) {
            come_or_gone(setting, &new_tables, ChangeKind::Removed, &mut told, &mut changes);
        }
    }
    if changes.is_empty() && (Config { files: old.files.clone(), ..new.clone() }) != *old {
        changes.push(Change {
            path: "order of declaration".to_owned(),
            old: None,
            new: None,
            kind: ChangeKind::Changed,
            effect: Effect::Hot,
        });
    }
    changes
}

/// The routes that the other side does not have alike. Of thousands, most are the same on both
/// sides, and to write all of them down takes long.
fn apart<'c>(config: &'c Config, other: &Config) -> Vec<&'c Route> {
    let routes = other.routes.iter().map(|route| (&*route.name, route));
    let known: HashMap<&str, &Route> = routes.collect();
    // An index means the same only where it leads to the same name.
    let leads = |config, route: &Route| match route.action {
        Action::Forward(upstream, version) => Some(names_of(config, upstream, version)),
        Action::Redirect { .. } | Action::Respond { .. } => None,
    };
    let differs = |route: &&Route| {
        let twin = known.get(&*route.name);
        twin.is_none_or(|twin| twin != route || leads(config, route) != leads(other, twin))
    };
    config.routes.iter().filter(differs).collect()
}

fn by_path(settings: &[Setting]) -> BTreeMap<&str, &Setting> {
    settings.iter().map(|setting| (setting.path.as_str(), setting)).collect()
}

/// The tables that come and go as a whole.
fn tables(config: &Config, routes: &[&Route]) -> BTreeSet<String> {
    let mut tables = BTreeSet::new();
    tables.extend(config.listeners.iter().map(|it| format!("listener.{}", it.name)));
    tables.extend(routes.iter().map(|it| format!("route.{}", it.name)));
    tables.extend(config.shadows.iter().map(|it| format!("shadow.{}", it.name)));
    tables.extend(config.rollouts.iter().map(|it| format!("rollout.{}", it.name)));
    tables.extend(config.kpis.iter().map(|it| format!("kpi.{}", it.name)));
    tables.extend(config.flags.groups.iter().map(|it| format!("group.{}", it.name)));
    tables.extend(config.flags.own.iter().map(|it| format!("flag.{}", it.name)));
    for upstream in &config.upstreams {
        let name = format!("upstream.{}", upstream.name);
        let versions = upstream.versions.iter();
        tables.extend(versions.map(|version| format!("{name}.versions.{}", version.name)));
        tables.insert(name);
    }
    tables
}

fn changed(old: &Setting, new: &Setting) -> Change {
    Change {
        path: new.path.clone(),
        old: Some(old.value.clone()),
        new: Some(new.value.clone()),
        kind: ChangeKind::Changed,
        effect: effect(&new.path),
    }
}

/// A setting that only one side has: told as its outermost table, if the other side lacks that.
fn come_or_gone(
    setting: &Setting,
    other_tables: &BTreeSet<String>,
    kind: ChangeKind,
    told: &mut BTreeSet<String>,
    changes: &mut Vec<Change>,
) {
    let (path, value) = match missing_table(&setting.path, other_tables) {
        Some(table) => (table, None),
        None => (setting.path.clone(), Some(setting.value.clone())),
    };
    if !told.insert(path.clone()) {
        return;
    }
    let (old, new) = match kind {
        ChangeKind::Removed => (value, None),
        ChangeKind::Added | ChangeKind::Changed => (None, value),
    };
    changes.push(Change { effect: effect(&path), path, old, new, kind });
}

fn missing_table(path: &str, tables: &BTreeSet<String>) -> Option<String> {
    let keys: Vec<&str> = path.split('.').collect();
    let named = match keys.as_slice() {
        [
            "listener" | "upstream" | "route" | "shadow" | "rollout" | "kpi" | "group" | "flag",
            _,
            ..,
        ] => keys[..2].join("."),
        _ => return None,
    };
    if !tables.contains(&named) {
        return Some(named);
    }
    let version = match keys.as_slice() {
        ["upstream", _, "versions", version, ..] => format!("{named}.versions.{version}"),
        _ => return None,
    };
    (!tables.contains(&version)).then_some(version)
}

fn effect(path: &str) -> Effect {
    match shape::of_path(path).map(|field| field.effect) {
        Some(fields::Effect::Restart) => Effect::Restart,
        Some(fields::Effect::Reload | fields::Effect::Later) | None => Effect::Hot,
    }
}
