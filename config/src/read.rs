//! Typed values out of the tree: every fault told, every default from its row.

use std::{borrow::Cow, sync::Arc, time::Duration};

use crate::{
    code,
    fields::{Field, Kind},
    known,
    model::{Secret, Share, Worse},
    problem::{Place, Problem, Wrong},
    shape::{self, Row},
    source::Sources,
    tree::{Entry, Node, Table, Value},
    units,
};

/// A table that is being read, or one that was left out.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'t> {
    /// Its row.
    pub(crate) row: &'static Row,
    /// What was written, if anything.
    pub(crate) table: Option<&'t Table>,
    /// Where to point when something is missing.
    pub(crate) place: Place,
}

impl<'t> Scope<'t> {
    /// The outermost table.
    pub(crate) fn root(table: &'t Table) -> Self {
        Self { row: shape::top(), table: Some(table), place: Place { file: 0, start: 0, end: 0 } }
    }

    /// What was written under `key`.
    pub(crate) fn entry(&self, key: &str) -> Option<&'t Entry> {
        self.table.and_then(|table| table.get(key))
    }

    /// Where `key` stands, else where it is missing.
    pub(crate) fn place_of(&self, key: &str) -> Place {
        self.entry(key).map_or(self.place, |entry| entry.key_place)
    }

    /// The table under `key`, there or not.
    pub(crate) fn child(&self, key: &str) -> Self {
        let entry = self.entry(key);
        Self {
            row: row(self.row, key),
            table: entry.and_then(|entry| entry.node.as_table()),
            place: entry.map_or(self.place, |entry| entry.key_place),
        }
    }

    /// The table under `key`, if it is there.
    pub(crate) fn present(&self, key: &str) -> Option<Self> {
        self.entry(key).map(|_| self.child(key))
    }

    /// A named table under `key` that nobody wrote.
    pub(crate) fn unwritten(&self, key: &str, place: Place) -> Self {
        Self { row: row(row(self.row, key), "*"), table: None, place }
    }

    /// The named tables under `key`, in order.
    pub(crate) fn named(&self, key: &str) -> Vec<(&'t Entry, Self)> {
        let keyed = self.child(key);
        let entries = keyed.table.map_or(&[][..], |table| table.entries.as_slice());
        let row = row(keyed.row, "*");
        let scope =
            |entry: &'t Entry| Self { row, table: entry.node.as_table(), place: entry.key_place };
        entries.iter().map(|entry| (entry, scope(entry))).collect()
    }
}

fn row(table: &'static Row, key: &str) -> &'static Row {
    table.find(key).expect("the decoder asks only for keys that have a row")
}

/// A value, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// Reads values and gathers problems.
pub(crate) struct Reader<'a, 's> {
    pub(crate) sources: &'s mut Sources<'a>,
}

impl Reader<'_, '_> {
    pub(crate) fn tell(&mut self, problem: Problem) {
        self.sources.problems.push(problem);
    }

    /// The value or `None`, having told what is wrong.
    pub(crate) fn check<T>(&mut self, place: Place, result: Result<T, Wrong>) -> Option<T> {
        result.map_err(|wrong| self.tell(wrong.at(place))).ok()
    }

    /// The value of a key; where it is left out or wrong, its default, read in the same way.
    pub(crate) fn value<T>(
        &mut self,
        scope: &Scope<'_>,
        key: &str,
        read: impl Fn(&mut Self, &'static Field, &Node) -> Option<T>,
    ) -> Option<T> {
        let row = row(scope.row, key);
        let written = scope.entry(key).and_then(|entry| read(self, row.field, &entry.node));
        written.or_else(|| read(self, row.field, row.default.as_ref()?))
    }

    /// As [`Self::value`], of a key whose row has a default.
    fn defaulted<T: Default>(
        &mut self,
        scope: &Scope<'_>,
        key: &str,
        read: impl Fn(&mut Self, &'static Field, &Node) -> Option<T>,
    ) -> T {
        // Keys without a default may be asked for too: then a problem was told, and any value does.
        self.value(scope, key, read).unwrap_or_default()
    }

    pub(crate) fn bool(&mut self, scope: &Scope<'_>, key: &str) -> bool {
        self.defaulted(scope, key, Self::as_bool)
    }

    pub(crate) fn as_bool(&mut self, field: &'static Field, node: &Node) -> Option<bool> {
        let outside = node.as_table().is_some();
        let node = self.resolve(field, node)?;
        let spelt = || node.as_text().filter(|_| outside).and_then(|text| text.parse().ok());
        match node.as_bool().or_else(spelt) {
            None => self.mistyped(field, &node, "true or false"),
            truth => truth,
        }
    }

    /// A whole number that fits into `T`, as the row's bounds make sure.
    pub(crate) fn integer<T: TryFrom<i64> + Default>(&mut self, scope: &Scope<'_>, key: &str) -> T {
        self.defaulted(scope, key, Self::as_integer)
    }

    fn as_integer<T: TryFrom<i64>>(&mut self, field: &'static Field, node: &Node) -> Option<T> {
        let outside = node.as_table().is_some();
        let node = self.resolve(field, node)?;
        let spelt = || node.as_text().filter(|_| outside).and_then(|text| text.parse().ok());
        let Some(number) = node.as_integer().or_else(spelt) else {
            return self.mistyped(field, &node, "a whole number");
        };
        let (min, max) =
            if let Kind::Integer { min, max } = field.kind { (min, max) } else { (0, i64::MAX) };
        if !(min..=max).contains(&number) {
            let message = format!("`{}` is out of range", field.key());
            self.tell(
                Problem::error(code::RANGE, node.place, message)
                    .label(format!("between {min} and {max}")),
            );
            return None;
        }
        T::try_from(number).ok()
    }

    /// A number, whole or not, from 0 to the row's bound.
    pub(crate) fn number(&mut self, scope: &Scope<'_>, key: &str) -> f64 {
        self.defaulted(scope, key, |reader, field, node| {
            let node = reader.resolve(field, node)?;
            let text = node.as_number().or_else(|| node.as_text().cloned());
            let Some(number) = text.and_then(|text| text.parse::<f64>().ok()) else {
                return reader.mistyped(field, &node, "a number");
            };
            let max = if let Kind::Number { max } = field.kind { f64::from(max) } else { 0.0 };
            if !(0.0..=max).contains(&number) {
                let message = format!("`{}` is out of range", field.key());
                let problem = Problem::error(code::RANGE, node.place, message);
                reader.tell(problem.label(format!("between 0 and {max}")));
                return None;
            }
            Some(number)
        })
    }

    pub(crate) fn duration(&mut self, scope: &Scope<'_>, key: &str) -> Duration {
        self.defaulted(scope, key, Self::as_duration)
    }

    /// A duration that holds only if it is written.
    pub(crate) fn duration_or(&mut self, scope: &Scope<'_>, key: &str, or: Duration) -> Duration {
        self.value(scope, key, Self::as_duration).unwrap_or(or)
    }

    /// A duration that need not be there.
    pub(crate) fn duration_if(&mut self, scope: &Scope<'_>, key: &str) -> Option<Duration> {
        self.value(scope, key, Self::as_duration)
    }

    /// A list of durations, or one.
    pub(crate) fn durations(&mut self, scope: &Scope<'_>, key: &str) -> Vec<Placed<Duration>> {
        self.defaulted(scope, key, |reader, field, node| {
            let one = std::slice::from_ref(node);
            let items = if let Value::List(items) = &node.value { items.as_slice() } else { one };
            let placed = |item: &Node| {
                let value = reader.as_duration(field, item)?;
                Some(Placed { value, place: item.place })
            };
            Some(items.iter().filter_map(placed).collect())
        })
    }

    pub(crate) fn as_duration(&mut self, field: &'static Field, node: &Node) -> Option<Duration> {
        let node = self.resolve(field, node)?;
        let text =
            self.quantity(field, &node, "a duration such as \"250ms\"", |n| format!("{n}s"))?;
        let duration = self.check(node.place, units::duration(&text))?;
        if duration.is_zero() && field.kind == (Kind::Duration { zero: false }) {
            let message = format!("`{}` may not be zero", field.key());
            self.tell(Problem::error(code::RANGE, node.place, message));
            return None;
        }
        Some(duration)
    }

    /// A size in bytes that fits into `T`, as the row's bounds make sure.
    pub(crate) fn size<T: TryFrom<u64> + Default>(&mut self, scope: &Scope<'_>, key: &str) -> T {
        self.defaulted(scope, key, Self::as_size)
    }

    /// A size that holds only if it is written.
    pub(crate) fn size_or(&mut self, scope: &Scope<'_>, key: &str, or: u64) -> u64 {
        self.value(scope, key, Self::as_size).unwrap_or(or)
    }

    fn as_size<T: TryFrom<u64>>(&mut self, field: &'static Field, node: &Node) -> Option<T> {
        let node = self.resolve(field, node)?;
        let text = self.quantity(field, &node, "a size such as \"16KiB\"", |n| {
            n.parse().map_or_else(|_| format!("{n}KiB"), units::show_size)
        })?;
        let size = self.check(node.place, units::size(&text))?;
        let (min, max) =
            if let Kind::Size { min, max } = field.kind { (min, max) } else { (0, u64::MAX) };
        if !(min..=max).contains(&size) {
            let message = format!("`{}` is out of range", field.key());
            self.tell(Problem::error(code::RANGE, node.place, message).label(format!(
                "between {} and {}",
                units::show_size(min),
                units::show_size(max)
            )));
            return None;
        }
        T::try_from(size).ok()
    }

    pub(crate) fn share(&mut self, scope: &Scope<'_>, key: &str) -> Share {
        self.defaulted(scope, key, Self::as_share)
    }

    /// A share that need not be there.
    pub(crate) fn share_if(&mut self, scope: &Scope<'_>, key: &str) -> Option<Placed<Share>> {
        self.value(scope, key, |reader, field, node| {
            let value = reader.as_share(field, node)?;
            Some(Placed { value, place: node.place })
        })
    }

    pub(crate) fn as_share(&mut self, field: &'static Field, node: &Node) -> Option<Share> {
        let node = self.resolve(field, node)?;
        let text = self.quantity(field, &node, "a share such as \"10%\"", |n| format!("{n}%"))?;
        self.check(node.place, units::share(&text))
    }

    /// Percentage points as a fraction.
    pub(crate) fn points(&mut self, scope: &Scope<'_>, key: &str) -> f64 {
        self.defaulted(scope, key, |reader, field, node| {
            let node = reader.resolve(field, node)?;
            let form = "a number of percentage points such as \"0.2pp\"";
            let text = reader.quantity(field, &node, form, |n| format!("{n}pp"))?;
            reader.check(node.place, units::points(&text))
        })
    }

    /// An allowance against stable, of the form that the key's row says; `None` if it is left out
    /// and has no default, or if it is wrong.
    pub(crate) fn worse(&mut self, scope: &Scope<'_>, key: &str) -> Option<Placed<Worse>> {
        self.value(scope, key, |reader, field, node| {
            let node = reader.resolve(field, node)?;
            let form = "an allowance such as \"25%\"";
            let text = reader.quantity(field, &node, form, |n| format!("{n}%"))?;
            let takes_points = field.kind == (Kind::Worse { points: true });
            let read = if takes_points { units::worse } else { units::slower };
            Some(Placed { value: reader.check(node.place, read(&text))?, place: node.place })
        })
    }

    /// The text of a quantity; a bare number is refused, with what was probably meant as an offer.
    fn quantity(
        &mut self,
        field: &Field,
        node: &Node,
        form: &str,
        offer: impl Fn(&str) -> String,
    ) -> Option<String> {
        if let Some(text) = node.as_text() {
            return Some(text.clone());
        }
        let Some(number) = node.as_number() else { return self.mistyped(field, node, form) };
        self.tell(
            Problem::error(code::QUANTITY, node.place, format!("`{}` needs a unit", field.key()))
                .label(format!("did you mean \"{}\"?", offer(&number)))
                .help(format!("a bare number is a count; here stands {form}")),
        );
        None
    }

    pub(crate) fn as_percent(&mut self, field: &'static Field, node: &Node) -> Option<Share> {
        let outside = node.as_table().is_some();
        let node = self.resolve(field, node)?;
        let spelt = node.as_text().filter(|text| outside || text.ends_with('%'));
        let spelt = spelt.map(|text| text.trim_end_matches('%').to_owned());
        let Some(text) = node.as_number().or(spelt) else {
            return self.mistyped(field, &node, "a number of percent");
        };
        self.check(node.place, units::percent(&text))
    }

    pub(crate) fn text(&mut self, scope: &Scope<'_>, key: &str) -> String {
        self.defaulted(scope, key, Self::as_text)
    }

    pub(crate) fn as_text(&mut self, field: &'static Field, node: &Node) -> Option<String> {
        let node = self.resolve(field, node)?;
        match node.as_text() {
            None => self.mistyped(field, &node, "a string"),
            text => text.cloned(),
        }
    }

    /// A text that is refused when empty; `None` if it is left out.
    pub(crate) fn filled(&mut self, scope: &Scope<'_>, key: &str) -> Option<Placed<String>> {
        self.form(scope, key, |text| {
            if text.is_empty() {
                return Err(Wrong::new(code::VALUE, "this may not be empty"));
            }
            Ok(text.to_owned())
        })
    }

    /// A text of some form; `None` if it is left out and has no default, or if it is wrong.
    pub(crate) fn form<T>(
        &mut self,
        scope: &Scope<'_>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<Placed<T>> {
        self.value(scope, key, |reader, field, node| reader.as_form(field, node, &parse))
    }

    fn as_form<T>(
        &mut self,
        field: &'static Field,
        node: &Node,
        parse: &impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<Placed<T>> {
        let text = self.as_text(field, node)?;
        let value = self.check(node.place, parse(&text))?;
        Some(Placed { value, place: node.place })
    }

    /// A list of such texts, or one.
    pub(crate) fn forms<T>(
        &mut self,
        scope: &Scope<'_>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Vec<Placed<T>> {
        self.value(scope, key, |reader, field, node| Some(reader.as_forms(field, node, &parse)))
            .unwrap_or_default()
    }

    /// Tells of an empty list where it would mean nothing, or everything.
    pub(crate) fn not_empty(&mut self, scope: &Scope<'_>, keys: &[&str]) {
        for entry in keys.iter().filter_map(|key| scope.entry(key)) {
            if matches!(&entry.node.value, Value::List(items) if items.is_empty()) {
                let message = format!("`{}` may not be empty", entry.key);
                self.tell(Problem::error(code::VALUE, entry.node.place, message));
            }
        }
    }

    pub(crate) fn as_forms<T>(
        &mut self,
        field: &'static Field,
        node: &Node,
        parse: &impl Fn(&str) -> Result<T, Wrong>,
    ) -> Vec<Placed<T>> {
        if let Value::List(items) = &node.value {
            return items.iter().filter_map(|item| self.as_form(field, item, parse)).collect();
        }
        self.as_form(field, node, parse).into_iter().collect()
    }

    /// One of the words of the key's row.
    pub(crate) fn choice(&mut self, scope: &Scope<'_>, key: &str) -> &'static str {
        self.choices(scope, key).first().copied().unwrap_or_default()
    }

    /// Several of the words of the key's row, each once.
    pub(crate) fn choices(&mut self, scope: &Scope<'_>, key: &str) -> Vec<&'static str> {
        let mut kind = row(scope.row, key).field.kind;
        if let Kind::OneOrMany(inner) = kind {
            kind = *inner;
        }
        let (now, later) =
            if let Kind::Choice { now, later } = kind { (now, later) } else { (&[][..], &[][..]) };
        let mut words: Vec<&'static str> = Vec::new();
        for word in self.forms(scope, key, |text| choose(text, now, later)) {
            if !words.contains(&word.value) {
                words.push(word.value);
            }
        }
        words
    }

    /// The entries of a table with free keys, each value read by `read`.
    pub(crate) fn map<T>(
        &mut self,
        scope: &Scope<'_>,
        key: &str,
        read: impl Fn(&mut Self, &'static Field, &Node) -> Option<T>,
    ) -> Vec<(String, Place, Placed<T>)> {
        let Some(entry) = scope.entry(key) else { return Vec::new() };
        let field = row(scope.row, key).field;
        let Some(table) = entry.node.as_table() else {
            let _: Option<()> = self.mistyped(field, &entry.node, "a table");
            return Vec::new();
        };
        let entries = table.entries.iter();
        entries
            .filter_map(|entry| {
                let value = read(self, field, &entry.node)?;
                let placed = Placed { value, place: entry.node.place };
                Some((entry.key.clone(), entry.key_place, placed))
            })
            .collect()
    }

    /// Bytes from a file; anything else would be a secret in a configuration.
    pub(crate) fn secret(&mut self, scope: &Scope<'_>, key: &str) -> Secret {
        // What a keyed hash needs to resist guessing.
        const SECRET_BYTES_MIN: usize = 16;
        let Some(entry) = scope.entry(key) else { return Secret::default() };
        let file = entry.node.as_table().filter(|table| table.entries.len() == 1);
        let Some(file) = file.and_then(|table| table.get("file")) else {
            self.tell(
                Problem::error(code::OUTSIDE, entry.node.place, "a secret comes from a file only")
                    .help(format!("write {key} = {{ file = \"/path/to/it\" }}")),
            );
            return Secret::default();
        };
        let Some(text) = self.file(&file.node) else { return Secret::default() };
        if text.len() < SECRET_BYTES_MIN {
            self.tell(Problem::error(
                code::OUTSIDE,
                file.node.place,
                "the secret has fewer than 16 bytes and could be guessed",
            ));
        }
        Secret(text.into_bytes())
    }

    /// The scalar that a node stands for: itself, or what environment or file give.
    fn resolve<'n>(&mut self, field: &'static Field, node: &'n Node) -> Option<Cow<'n, Node>> {
        let Some(table) = node.as_table() else { return Some(Cow::Borrowed(node)) };
        if !known::is_outside(table) {
            return self.mistyped(field, node, "a single value");
        }
        let outside = |value| Some(Cow::Owned(Node { value, place: node.place }));
        if let Some(file) = table.get("file") {
            if let Some(other) = table.entries.iter().find(|entry| entry.key != "file") {
                let message = format!("`{}` does not go with `file`", other.key);
                self.tell(Problem::error(code::OUTSIDE, other.key_place, message));
                return None;
            }
            return self.file(&file.node).and_then(|text| outside(Value::Text(text)));
        }
        let name = table.get("env")?;
        let Value::Text(variable) = &name.node.value else {
            let message = "`env` names an environment variable";
            self.tell(Problem::error(code::OUTSIDE, name.node.place, message));
            return None;
        };
        if let Some(text) = (self.sources.options.env)(variable) {
            return outside(Value::Text(text));
        }
        match table.get("default") {
            Some(default) => outside(default.node.value.clone()),
            None => {
                let message = format!("the environment variable `{variable}` is not set");
                self.tell(
                    Problem::error(code::OUTSIDE, node.place, message)
                        .help(format!("set it, or write {{ env = \"{variable}\", default = … }}")),
                );
                None
            }
        }
    }

    /// The text of a file named by a node, without the newline that editors put at its end.
    fn file(&mut self, node: &Node) -> Option<String> {
        let Value::Text(name) = &node.value else {
            self.tell(Problem::error(code::OUTSIDE, node.place, "`file` names a file"));
            return None;
        };
        match self.sources.read_beside(node.place, name) {
            Ok(text) => Some(text.trim_end_matches(['\r', '\n']).to_owned()),
            Err(why) => {
                let message = format!("cannot read {name}: {why}");
                self.tell(Problem::error(code::OUTSIDE, node.place, message));
                None
            }
        }
    }

    pub(crate) fn mistyped<T>(&mut self, field: &Field, node: &Node, expected: &str) -> Option<T> {
        self.tell(
            Problem::error(code::TYPE, node.place, format!("`{}` has the wrong type", name(field)))
                .label(format!("expected {expected}, found {}", node.type_name())),
        );
        None
    }
}

/// The key for a person: of named tables, the word before the `*`.
fn name(field: &Field) -> &'static str {
    if field.key() == "*" {
        return field.parent().rsplit('.').next().unwrap_or_default();
    }
    field.key()
}

fn choose(
    text: &str,
    now: &'static [&'static str],
    later: &'static [&'static str],
) -> Result<&'static str, Wrong> {
    if let Some(word) = now.iter().find(|word| **word == text) {
        return Ok(word);
    }
    if later.contains(&text) {
        let message = format!("`{text}` is known, but not in this version yet");
        return Err(Wrong::new(code::LATER, message).label(format!("expected {}", now.join(", "))));
    }
    let wrong = Wrong::new(code::CHOICE, format!("`{text}` is none of the words allowed here"))
        .label(format!("expected {}", now.join(", ")));
    let guess = known::nearest(text, now.iter().copied());
    Err(wrong.help(guess.map(|guess| format!("did you mean \"{guess}\"?"))))
}

/// Values without their places.
pub(crate) fn values<T>(placed: Vec<Placed<T>>) -> Vec<T> {
    placed.into_iter().map(|placed| placed.value).collect()
}

/// A string as the model keeps it.
pub(crate) fn shared(text: &str) -> Arc<str> {
    Arc::from(text)
}
