//! Two trees walked at once.

use gnomon_config::{
    json_path::{Matcher, Walk},
    model::ArrayRule,
};

use super::{
    super::differences::{Differences, Place},
    number,
    read::{Field, Value},
    show::{Secrets, show},
};
use crate::difference::{Kind, Uncomparable};

/// Values that may be looked at for one pair, each anew whenever items are matched with each other:
/// five times those of two documents as large as may be, and some tenths of a second.
const LOOKS_MAX: u32 = 2_000_000;

/// What does not count and what counts differently.
#[derive(Debug)]
pub(in super::super) struct Rules {
    pub(in super::super) ignore: Matcher,
    /// Where arrays are compared by a rule, and by which.
    pub(in super::super) arrays: Matcher,
    pub(in super::super) array_rules: Vec<ArrayRule>,
    pub(in super::super) tolerance: f64,
    /// Where values are not shown.
    pub(in super::super) secrets: Matcher,
}

impl Rules {
    pub(in super::super) const fn has_secrets(&self) -> bool {
        !self.secrets.is_empty()
    }
}

/// One of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Primary,
    Other,
}

/// A walk through two trees.
pub(super) struct Differ<'r, 'f> {
    pub(super) rules: &'r Rules,
    ignore: Walk<'r>,
    arrays: Walk<'r>,
    secrets: Secrets<'r>,
    place: Place,
    found: &'f mut Differences,
    looks: u32,
    /// Whether this is only to see if anything differs.
    pub(super) is_probing: bool,
    /// Whether the probe has found something.
    differs: bool,
}

impl<'r, 'f> Differ<'r, 'f> {
    pub(super) fn new(rules: &'r Rules, found: &'f mut Differences) -> Self {
        Self {
            rules,
            ignore: rules.ignore.walk(),
            arrays: rules.arrays.walk(),
            secrets: Secrets::new(&rules.secrets),
            place: Place::root(),
            found,
            looks: LOOKS_MAX,
            is_probing: false,
            differs: false,
        }
    }

    /// Finds what differs.
    pub(super) fn compare(
        mut self,
        primary: &Value<'_>,
        other: &Value<'_>,
    ) -> Result<(), Uncomparable> {
        let before = self.found.len();
        self.values(primary, other);
        if self.looks > 0 {
            return Ok(());
        }
        // What was found may be no difference, had there been time to look for what fits.
        self.found.truncate(before);
        Err(Uncomparable::TooComplex)
    }

    /// The values at the current place.
    pub(super) fn values(&mut self, primary: &Value<'_>, other: &Value<'_>) {
        if !self.look() || self.is_ignored() {
            return;
        }
        match (primary, other) {
            (Value::Null, Value::Null) => {}
            (Value::Bool(was), Value::Bool(is)) => {
                if was != is {
                    let shape = if *was { "true → false" } else { "false → true" };
                    self.tell(Kind::Value, shape, Some(primary), Some(other));
                }
            }
            (Value::Number(was), Value::Number(is)) => {
                if !number::is_close(was, is, self.rules.tolerance) {
                    let is_less = number::order(was, is).is_gt();
                    let shape = if is_less { "number -" } else { "number +" };
                    self.tell(Kind::Value, shape, Some(primary), Some(other));
                }
            }
            (Value::Text(was), Value::Text(is)) => {
                if was != is {
                    self.tell(Kind::Value, "string", Some(primary), Some(other));
                }
            }
            (Value::Array(was), Value::Array(is)) => self.arrays(was, is),
            (Value::Object(was), Value::Object(is)) => self.objects(was, is),
            _ => {
                let shape = format!("{} → {}", primary.type_name(), other.type_name());
                self.tell(Kind::Type, &shape, Some(primary), Some(other));
            }
        }
    }

    fn objects(&mut self, was: &[Field<'_>], is: &[Field<'_>]) {
        let (mut was, mut is) = (was.iter().peekable(), is.iter().peekable());
        while !self.is_over() {
            let (from_was, from_is) = match (was.peek(), is.peek()) {
                (None, None) => return,
                (Some(_), None) => (true, false),
                (None, Some(_)) => (false, true),
                (Some(one), Some(other)) => (one.0 <= other.0, one.0 >= other.0),
            };
            let one = from_was.then(|| was.next()).flatten();
            let other = from_is.then(|| is.next()).flatten();
            match (one, other) {
                (Some((name, one)), Some((_, other))) => {
                    self.enter_field(name);
                    self.values(one, other);
                    self.leave();
                }
                (Some((name, value)), None) => self.lone_field(name, value, Which::Primary),
                (None, Some((name, value))) => self.lone_field(name, value, Which::Other),
                (None, None) => return,
            }
        }
    }

    fn lone_field(&mut self, name: &str, value: &Value<'_>, which: Which) {
        self.enter_field(name);
        self.lone(value, value.type_name(), value.type_name(), which);
        self.leave();
    }

    /// What only one side has, told by the shape for the side that has it.
    pub(super) fn lone(&mut self, value: &Value<'_>, missing: &str, extra: &str, which: Which) {
        if !self.look() || self.is_ignored() {
            return;
        }
        match which {
            Which::Primary => self.tell(Kind::Missing, missing, Some(value), None),
            Which::Other => self.tell(Kind::Extra, extra, None, Some(value)),
        }
    }

    /// Tells a difference at the current place, or only that there is one.
    pub(super) fn tell(
        &mut self,
        kind: Kind,
        shape: &str,
        primary: Option<&Value<'_>>,
        other: Option<&Value<'_>>,
    ) {
        self.differs = true;
        if !self.is_probing {
            let secrets = &mut self.secrets;
            let mut shown = |value: Option<&Value<'_>>| value.map(|value| show(value, secrets));
            let values = || (shown(primary), shown(other));
            self.found.add(self.place.path(), kind, shape, values);
        }
    }

    /// Whether the values at the current place show no difference.
    pub(super) fn is_same(&mut self, primary: &Value<'_>, other: &Value<'_>) -> bool {
        self.probe(|differ| {
            differ.values(primary, other);
            !differ.differs
        })
    }

    /// Looks at something without telling what is found.
    pub(super) fn probe<T>(&mut self, look: impl FnOnce(&mut Self) -> T) -> T {
        let before = (self.is_probing, self.differs);
        (self.is_probing, self.differs) = (true, false);
        let outcome = look(self);
        (self.is_probing, self.differs) = before;
        outcome
    }

    /// Whether there is no use in looking on.
    pub(super) const fn is_over(&self) -> bool {
        self.looks == 0 || self.is_probing && self.differs
    }

    /// Counts a value that is looked at; not when there is no use.
    pub(super) const fn look(&mut self) -> bool {
        if self.is_over() {
            return false;
        }
        self.looks -= 1;
        true
    }

    pub(super) fn is_ignored(&self) -> bool {
        self.ignore.is_match()
    }

    /// How the arrays at the current place are compared.
    pub(super) fn array_rule(&self) -> &'r ArrayRule {
        let rule = self.arrays.first_match().and_then(|ix| self.rules.array_rules.get(ix));
        rule.unwrap_or(&ArrayRule::Ordered)
    }

    pub(super) fn enter_field(&mut self, name: &str) {
        self.ignore.enter_field(name);
        self.arrays.enter_field(name);
        if !self.is_probing {
            self.secrets.enter_field(name);
            self.place.enter_field(name);
        }
    }

    /// Into an item that lies at these indices on the two sides; without any, its index means
    /// nothing.
    pub(super) fn enter_item(&mut self, indices: Option<(usize, usize)>) {
        match indices {
            Some((was, is)) => {
                self.ignore.enter_either(was, is);
                self.arrays.enter_either(was, is);
            }
            None => {
                self.ignore.enter_item();
                self.arrays.enter_item();
            }
        }
        if !self.is_probing {
            self.secrets.enter_item(indices);
            self.place.enter_item();
        }
    }

    pub(super) fn leave(&mut self) {
        self.ignore.leave();
        self.arrays.leave();
        if !self.is_probing {
            self.secrets.leave();
            self.place.leave();
        }
    }
}
