//! Where texts come from: the file, what it includes, `--set`, environment and secrets.

use std::{
    collections::HashMap,
    fs,
    io::Read,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use toml::de::DeTable;

use crate::{
    code,
    model::Secret,
    problem::{Place, Problem, Problems, SourceFile},
    tree::{Entry, Node, Table, Value},
};

/// Tables whose keys are names, and which therefore join over several files.
const JOINED: &[&str] =
    &["listener", "upstream", "route", "shadow", "rollout", "kpi", "group", "flag"];
/// Largest file we read: enough for 50,000 routes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What surrounds a configuration.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Overrides, a dotted key and a value each, as with `--set KEY=VALUE`.
    pub sets: &'a [(String, String)],
    /// Looks an environment variable up.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Folder that relative paths of a text start from; without it, a text reads no file at all.
    pub base: Option<&'a Path>,
    /// Seconds since 1970, for what has an end; without it, nothing has expired.
    pub now: Option<u64>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { sets: &[], env: &|_| None, base: None, now: None }
    }
}

/// Texts read so far, and what was wrong with them.
pub(crate) struct Sources<'a> {
    pub(crate) files: Vec<SourceFile>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) options: Options<'a>,
}

impl<'a> Sources<'a> {
    pub(crate) const fn new(options: Options<'a>) -> Self {
        Self { files: Vec::new(), problems: Vec::new(), options }
    }

    /// Ends in problems, warnings included.
    pub(crate) fn into_problems(self) -> Problems {
        Problems::new(Arc::from(self.files), self.problems)
    }

    /// Reads the main file, what it includes, and the overrides.
    pub(crate) fn read_file(&mut self, path: &Path) -> Table {
        let table = match self.add_file(path) {
            Some(ix) => self.parse(ix),
            None => Table::default(),
        };
        self.complete(table)
    }

    /// Reads the main file alone; `None` and a problem if it cannot be read.
    pub(crate) fn add_file(&mut self, path: &Path) -> Option<usize> {
        let (text, why) = match read(path) {
            Ok(text) => (text, None),
            Err(why) => (String::new(), Some(why)),
        };
        let ix = self.add(path.display().to_string(), text, Some(path.to_owned()));
        let Some(why) = why else { return Some(ix) };
        let message = format!("cannot read {}: {why}", path.display());
        self.problems.push(Problem::error(code::UNREADABLE, Place::default(), message));
        None
    }

    /// As [`Self::read_file`], but for a text at hand.
    pub(crate) fn read_text(&mut self, name: &str, text: &str) -> Table {
        let table = self.parse_text(name, text);
        self.complete(table)
    }

    /// A text at hand by itself, without what it includes and the overrides.
    pub(crate) fn parse_text(&mut self, name: &str, text: &str) -> Table {
        let ix = self.add(name.to_owned(), text.to_owned(), None);
        self.parse(ix)
    }

    fn complete(&mut self, mut table: Table) -> Table {
        self.include(&mut table);
        for (key, value) in self.options.sets {
            self.set(&mut table, key, value);
        }
        table
    }

    fn add(&mut self, name: String, text: String, path: Option<PathBuf>) -> usize {
        self.files.push(SourceFile { name, text, path });
        self.files.len() - 1
    }

    fn parse(&mut self, ix: usize) -> Table {
        let text = self.files[ix].text.as_str();
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let place = Place { file: ix, start: span.start, end: span.end };
            let message = format!("this is not TOML: {}", error.message());
            self.problems.push(Problem::error(code::SYNTAX, place, message));
        }
        Table::from_toml(table.into_inner(), ix)
    }

    /// The folder that relative paths in the file `ix` start from; `None` if nothing may be read.
    fn folder(&self, ix: usize) -> Option<PathBuf> {
        let path = self.files.get(ix).and_then(|file| file.path.as_deref());
        match path.or_else(|| self.files.first().and_then(|file| file.path.as_deref())) {
            Some(path) => Some(path.parent().unwrap_or_else(|| Path::new("")).to_owned()),
            None => self.options.base.map(Path::to_owned),
        }
    }

    /// The text of a file named by a value at `place`.
    pub(crate) fn read_beside(&self, place: Place, name: &str) -> Result<String, String> {
        let folder = self.folder(place.file).ok_or("this text may not read files")?;
        read(&folder.join(name))
    }

    /// Path, content and permission bits of a file named by a value at `place`: any bytes.
    pub(crate) fn read_material(
        &self,
        place: Place,
        name: &str,
    ) -> Result<(PathBuf, Secret, u32), String> {
        let folder = self.folder(place.file).ok_or("this text may not read files")?;
        let path = folder.join(name);
        let (bytes, mode) = read_bytes(&path, FILE_BYTES_MAX)?;
        Ok((std::path::absolute(&path).unwrap_or(path), Secret(bytes), mode))
    }

    /// Path and lines of a file named by a value at `place`, which may hold `max` bytes.
    pub(crate) fn read_lines(
        &self,
        place: Place,
        name: &str,
        max: u64,
    ) -> Result<(PathBuf, String), String> {
        let folder = self.folder(place.file).ok_or("this text may not read files")?;
        let path = folder.join(name);
        let text = utf8(read_bytes(&path, max)?.0)?;
        Ok((std::path::absolute(&path).unwrap_or(path), text))
    }

    /// The absolute path of a file that a value at `place` names, and that is not read now.
    pub(crate) fn path_of(&self, place: Place, name: &Path) -> PathBuf {
        let path = self.folder(place.file).unwrap_or_default().join(name);
        std::path::absolute(&path).unwrap_or(path)
    }

    fn include(&mut self, table: &mut Table) {
        let Some(entry) = table.get("include").cloned() else { return };
        let whole = std::slice::from_ref(&entry.node);
        let items =
            if let Value::List(items) = &entry.node.value { items.as_slice() } else { whole };
        let mut joined = Places::of(table);
        let mut seen = Vec::new();
        for item in items {
            // What is no string is told by the check of types, later.
            let Value::Text(pattern) = &item.value else { continue };
            for path in self.expand(item.place, pattern) {
                if !seen.contains(&path) {
                    self.include_file(table, &mut joined, item.place, &path);
                    seen.push(path);
                }
            }
        }
    }

    fn include_file(&mut self, table: &mut Table, joined: &mut Places, place: Place, path: &Path) {
        let text = match read(path) {
            Ok(text) => text,
            Err(why) => {
                let message = format!("cannot read {}: {why}", path.display());
                self.problems
                    .push(Problem::error(code::UNREADABLE, place, message).label("included here"));
                return;
            }
        };
        let ix = self.add(path.display().to_string(), text, Some(path.to_owned()));
        let mut other = self.parse(ix);
        if let Some(at) = other.entries.iter().position(|entry| entry.key == "include") {
            let entry = other.entries.remove(at);
            self.problems.push(
                Problem::error(
                    code::INCLUDE,
                    entry.key_place,
                    "an included file includes no others",
                )
                .related(place, "included here"),
            );
        }
        self.join(table, joined, other);
    }

    /// Adds what `other` holds; whatever is there already is a problem.
    fn join(&mut self, table: &mut Table, places: &mut Places, other: Table) {
        for entry in other.entries {
            let Some(known) = table.entries.iter_mut().find(|known| known.key == entry.key) else {
                places.add(&entry);
                table.entries.push(entry);
                continue;
            };
            let joined = JOINED.contains(&entry.key.as_str());
            match (&mut known.node.value, entry.node.value) {
                (Value::Table(ours), Value::Table(theirs)) if joined => {
                    for named in theirs.entries {
                        let what = format!("[{}.{}]", entry.key, named.key);
                        match places.0.get(&what) {
                            Some(first) => {
                                self.problems.push(twice(&what, *first, named.key_place))
                            }
                            None => {
                                places.0.insert(what, named.key_place);
                                ours.entries.push(named);
                            }
                        }
                    }
                }
                _ => {
                    let what = format!("`{}`", entry.key);
                    self.problems.push(twice(&what, known.key_place, entry.key_place));
                }
            }
        }
    }

    /// The files that an entry of `include` stands for, sorted.
    fn expand(&mut self, place: Place, pattern: &str) -> Vec<PathBuf> {
        let Some(folder) = self.folder(place.file) else {
            self.problems.push(
                Problem::error(code::INCLUDE, place, "this text cannot include files")
                    .help("give gnomon a file instead".to_owned()),
            );
            return Vec::new();
        };
        let path = folder.join(pattern);
        if !pattern.contains('*') {
            return vec![path];
        }
        let last = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let parent = path.parent().unwrap_or_else(|| Path::new("")).to_owned();
        if parent.to_string_lossy().contains('*') || last.is_empty() {
            let problem =
                Problem::error(code::INCLUDE, place, format!("`{pattern}` cannot be used"))
                    .label("`*` may stand only in the last part of the path");
            self.problems.push(problem);
            return Vec::new();
        }
        let Ok(folder) = fs::read_dir(&parent) else { return Vec::new() };
        let mut files: Vec<PathBuf> = folder
            .filter_map(Result::ok)
            .filter(|file| file.file_name().to_str().is_some_and(|name| glob(&last, name)))
            .map(|file| file.path())
            .filter(|path| path.is_file())
            .collect();
        files.sort();
        files
    }

    /// Lays one override over the table.
    fn set(&mut self, table: &mut Table, key: &str, value: &str) {
        let ix = self.add(format!("--set {key}={value}"), format!("{key}={value}"), None);
        let whole = |start, end| Place { file: ix, start, end };
        let key_place = whole(0, key.len());
        let value_place = whole(key.len() + 1, key.len() + 1 + value.len());
        let Some(keys) = dotted(key) else {
            self.problems.push(
                Problem::error(code::SET, key_place, format!("`{key}` is not a dotted key"))
                    .help("write --set upstream.shop.split.v2=10".to_owned()),
            );
            return;
        };
        // Not TOML means a string, so that nobody has to quote quotes in a shell.
        let mut node = Node::parse(value, ix)
            .unwrap_or_else(|| Node { value: Value::Text(value.to_owned()), place: value_place });
        relocate(&mut node, value_place);
        overlay(table, &keys, key_place, node);
    }
}

/// Where each named table stands, by its header: looking for each of an included file in all
/// others would take time that grows with the square.
struct Places(HashMap<String, Place>);

impl Places {
    fn of(table: &Table) -> Self {
        let mut places = Self(HashMap::new());
        table.entries.iter().for_each(|entry| places.add(entry));
        places
    }

    fn add(&mut self, joined: &Entry) {
        let table = joined.node.as_table().filter(|_| JOINED.contains(&joined.key.as_str()));
        for named in table.iter().flat_map(|table| &table.entries) {
            self.0.insert(format!("[{}.{}]", joined.key, named.key), named.key_place);
        }
    }
}

fn twice(what: &str, first: Place, second: Place) -> Problem {
    Problem::error(code::TWICE, second, format!("{what} is defined twice"))
        .label("defined again here")
        .related(first, "first defined here")
}

fn overlay(table: &mut Table, keys: &[String], key_place: Place, node: Node) {
    let [key, rest @ ..] = keys else { return };
    let at = table.entries.iter().position(|entry| entry.key == *key).unwrap_or_else(|| {
        let empty = Node { value: Value::Table(Table::default()), place: key_place };
        table.entries.push(Entry { key: key.clone(), key_place, node: empty });
        table.entries.len() - 1
    });
    let entry = &mut table.entries[at];
    if rest.is_empty() {
        entry.node = node;
        return;
    }
    if entry.node.as_table().is_none() {
        entry.node = Node { value: Value::Table(Table::default()), place: key_place };
    }
    if let Value::Table(inner) = &mut entry.node.value {
        overlay(inner, rest, key_place, node);
    }
}

/// Gives every part of an override the place of its whole value.
fn relocate(node: &mut Node, place: Place) {
    node.place = place;
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| relocate(item, place)),
        Value::Table(table) => {
            for entry in &mut table.entries {
                entry.key_place = place;
                relocate(&mut entry.node, place);
            }
        }
        Value::Text(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Bool(_)
        | Value::Date(_)
        | Value::Foreign(_) => {}
    }
}

/// The parts of a dotted key, quotes taken off.
fn dotted(key: &str) -> Option<Vec<String>> {
    if key.contains(['\n', '=', '[', '#']) {
        return None;
    }
    let text = format!("{key} = 0");
    let root = DeTable::parse(&text).ok()?;
    let mut table = Table::from_toml(root.into_inner(), 0);
    let mut keys = Vec::new();
    while let Some(entry) = table.entries.pop() {
        keys.push(entry.key);
        if let Value::Table(inner) = entry.node.value {
            table = inner;
        }
    }
    Some(keys)
}

/// Whether `name` fits a pattern in which `*` stands for any number of characters.
fn glob(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    // As in a shell, a dot file is matched only by a pattern that says so.
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn read(path: &Path) -> Result<String, String> {
    utf8(read_bytes(path, FILE_BYTES_MAX)?.0)
}

fn utf8(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
}

/// What a file of `max` bytes at most holds, and its permission bits.
fn read_bytes(path: &Path, max: u64) -> Result<(Vec<u8>, u32), String> {
    let file = fs::File::open(path).map_err(|error| why(&error))?;
    let meta = file.metadata().map_err(|error| why(&error))?;
    if meta.is_dir() {
        return Err("it is a folder".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).map_err(|error| why(&error))?;
    if bytes.len() as u64 > max {
        return Err(format!("it is larger than {} MiB", max >> 20));
    }
    Ok((bytes, meta.permissions().mode() & 0o7777))
}

/// The reason without the number of the error, which tells a person nothing.
fn why(error: &std::io::Error) -> String {
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    let known = [(NotFound, "there is no such file"), (PermissionDenied, "permission denied")];
    known
        .iter()
        .find(|(kind, _)| *kind == error.kind())
        .map_or_else(|| error.to_string(), |(_, text)| (*text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_in_a_shell() {
        for (pattern, name, fits) in [
            ("*.toml", "a.toml", true),
            ("*.toml", ".toml", false),
            ("*.toml", "a.toml~", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "ac", false),
            ("a*a", "a", false),
            ("*", "x", true),
        ] {
            assert_eq!(glob(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn dotted_keys_come_apart() {
        assert_eq!(dotted("a.b").unwrap(), ["a", "b"]);
        assert_eq!(dotted("a.\"x.y\".c").unwrap(), ["a", "x.y", "c"]);
        assert_eq!(dotted("a..b"), None);
        assert_eq!(dotted(""), None);
        assert_eq!(dotted("[a]\nb"), None);
    }
}
