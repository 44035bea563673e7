//! The rows themselves, in the order in which the reference shows them.

mod flags;
mod rollout;
mod service;
mod shadow;
mod traffic;

use super::{
    Effect::{Later, Reload, Restart},
    Field,
    Kind::{
        self, Certificate, Condition, Duration, Form, Integer, Keyed, Map, OneOrMany, Table, Text,
    },
    Preset::{Commented, Default, Shown},
};

const fn table(path: &'static str, doc: &'static str) -> Field {
    Field { path, kind: Table, preset: Default(""), effect: Reload, doc }
}

const fn keyed(path: &'static str, doc: &'static str) -> Field {
    Field { path, kind: Keyed, preset: Default(""), effect: Reload, doc }
}

/// A table that switches something on by being there.
const fn switch(path: &'static str, doc: &'static str) -> Field {
    Field { path, kind: Table, preset: Shown(""), effect: Reload, doc }
}

/// A table that most files do without.
const fn rare(path: &'static str, doc: &'static str) -> Field {
    Field { path, kind: Table, preset: Commented(""), effect: Reload, doc }
}

const fn key(path: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Field {
    Field { path, kind, preset: Default(default), effect: Reload, doc }
}

const fn needed(path: &'static str, kind: Kind, shown: &'static str, doc: &'static str) -> Field {
    Field { path, kind, preset: Shown(shown), effect: Reload, doc }
}

const fn free(path: &'static str, kind: Kind, shown: &'static str, doc: &'static str) -> Field {
    Field { path, kind, preset: Commented(shown), effect: Reload, doc }
}

const fn later(path: &'static str, doc: &'static str) -> Field {
    Field { path, kind: Text, preset: Commented(""), effect: Later, doc }
}

const fn restart(field: Field) -> Field {
    Field { effect: Restart, ..field }
}

const fn count(min: i64) -> Kind {
    Integer { min, max: u32::MAX as i64 }
}

const KIB: u64 = 1 << 10;
const TIME: Kind = Duration { zero: false };
const TIME_OR_NONE: Kind = Duration { zero: true };
const ENDPOINTS: Kind = OneOrMany(&Form("endpoint"));
const NETWORKS: Kind = OneOrMany(&Form("network"));
const CERTIFICATES: Kind = OneOrMany(&Certificate);
const FAILURES: &[&str] = &["connect", "reset", "timeout", "5xx"];
const CONDITIONS: Kind = Map(&Condition);
const TEXTS: Kind = Map(&Text);
const NAMES: Kind = OneOrMany(&Text);

/// Every key, in the order of the reference.
pub const FIELDS: &[Field] = &joined();

const PARTS: [&[Field]; 5] =
    [traffic::ROWS, flags::ROWS, shadow::ROWS, rollout::ROWS, service::ROWS];
const LENGTH: usize = traffic::ROWS.len()
    + flags::ROWS.len()
    + shadow::ROWS.len()
    + rollout::ROWS.len()
    + service::ROWS.len();

#[expect(clippy::large_stack_arrays, reason = "the compiler evaluates it")]
const fn joined() -> [Field; LENGTH] {
    let mut all = [PARTS[0][0]; LENGTH];
    let (mut part, mut row, mut place) = (0, 0, 0);
    while place < LENGTH {
        if row == PARTS[part].len() {
            (part, row) = (part + 1, 0);
        } else {
            all[place] = PARTS[part][row];
            (row, place) = (row + 1, place + 1);
        }
    }
    all
}
