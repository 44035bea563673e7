//! What is wrong with a configuration, told as rustc tells it: all at once, each with its place.

use std::{fmt, path::PathBuf, sync::Arc};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde_json::{Value as Json, json};

use crate::code;

/// A stretch of a file, in bytes. Meaningful with the [`Problems`] that holds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Index of the file in [`Problems::files`].
    pub file: usize,
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
}

/// A text that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path as given, or what stands for it (`--set upstream.shop.split.v2=10`).
    pub name: String,
    /// What it held.
    pub text: String,
    /// Where it lies, unless it is no file.
    pub path: Option<PathBuf>,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but hardly does what was meant.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The kind, such as `G012`; see [`explain`](crate::explain).
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in a sentence without a full stop.
    pub message: String,
    /// Where.
    pub place: Place,
    /// What to say at the place; may be empty.
    pub label: String,
    /// Other places that matter, with what to say there.
    pub related: Vec<(Place, String)>,
    /// What to do about it.
    pub help: Option<String>,
}

/// Code of what is wrong with a certificate.
pub const CERTIFICATE: &str = code::CERTIFICATE;
/// Code of what is wrong with a private key.
pub const PRIVATE_KEY: &str = code::PRIVATE_KEY;
/// Code of a certificate that works, but hardly as it should.
pub const COVERS: &str = code::COVERS;
/// Code of what is wrong with the keys of tokens.
pub const TOKEN_KEYS: &str = code::TOKEN_KEYS;

impl Problem {
    /// An error, for now without a label.
    pub fn error(code: &'static str, place: Place, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            place,
            label: String::new(),
            related: Vec::new(),
            help: None,
        }
    }

    /// A warning, for now without a label.
    pub fn warning(code: &'static str, place: Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, place, message) }
    }

    /// Says this at its place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<Option<String>>) -> Self {
        self.help = help.into();
        self
    }

    /// Says this of another place that matters.
    #[must_use]
    pub fn related(mut self, place: Place, label: impl Into<String>) -> Self {
        self.related.push((place, label.into()));
        self
    }
}

/// What is wrong with a text by itself, before anyone knows where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) label: String,
    pub(crate) help: Option<String>,
}

impl Wrong {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), label: String::new(), help: None }
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(crate) fn help(mut self, help: impl Into<Option<String>>) -> Self {
        self.help = help.into();
        self
    }

    /// All of it in a line, where there is no place to point at.
    pub(crate) fn told(self) -> String {
        let more = [Some(self.label).filter(|label| !label.is_empty()), self.help];
        more.into_iter().flatten().fold(self.message, |told, more| format!("{told}: {more}"))
    }

    pub(crate) fn at(self, place: Place) -> Problem {
        Problem::error(self.code, place, self.message).label(self.label).help(self.help)
    }
}

/// All that is wrong with a configuration, in the order of its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    files: Arc<[SourceFile]>,
    items: Vec<Problem>,
}

impl Problems {
    /// These with `more`, which whoever looked deeper has found.
    #[must_use]
    pub fn with(self, more: Vec<Problem>) -> Self {
        let mut items = self.items;
        items.extend(more);
        Self::new(self.files, items)
    }

    pub(crate) fn new(files: Arc<[SourceFile]>, mut items: Vec<Problem>) -> Self {
        items.sort_by(|a, b| (a.place, a.code).cmp(&(b.place, b.code)));
        items.dedup();
        Self { files, items }
    }

    /// The texts that places refer to.
    #[must_use]
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// The problems, by position.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.items.iter()
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether one of them forbids using the configuration.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.items.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Line and column, both from 1, of a byte of a file.
    #[must_use]
    pub fn position(&self, file: usize, byte: usize) -> (usize, usize) {
        let text = self.files.get(file).map_or("", |file| file.text.as_str());
        let before = &text[..floor(text, byte)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// As rustc would show them, separated by blank lines.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for problem in &self.items {
            out.push_str(&renderer.render(&[self.group(problem)]));
            out.push_str("\n\n");
        }
        out.truncate(out.trim_end().len());
        if !out.is_empty() {
            out.push('\n');
        }
        out
    }

    fn group<'a>(&'a self, problem: &'a Problem) -> Group<'a> {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(problem.message.as_str()).id(problem.code);
        let mut group = Group::with_title(title);
        let mut files: Vec<usize> = vec![problem.place.file];
        files.extend(problem.related.iter().map(|(place, _)| place.file));
        let mut seen = Vec::new();
        for file in files {
            if !seen.contains(&file) {
                seen.push(file);
                group = self.with_snippet(group, problem, file);
            }
        }
        match &problem.help {
            Some(help) => group.element(Level::HELP.message(help.as_str())),
            None => group,
        }
    }

    fn with_snippet<'a>(&'a self, group: Group<'a>, problem: &'a Problem, ix: usize) -> Group<'a> {
        let Some(file) = self.files.get(ix) else { return group };
        if file.text.is_empty() {
            return group.element(Origin::path(file.name.as_str()));
        }
        let mut snippet = Snippet::source(file.text.as_str()).path(file.name.as_str());
        if problem.place.file == ix {
            snippet = snippet.annotation(
                AnnotationKind::Primary
                    .span(clamp(&file.text, problem.place))
                    .label((!problem.label.is_empty()).then_some(problem.label.as_str())),
            );
        }
        for (place, label) in problem.related.iter().filter(|(place, _)| place.file == ix) {
            snippet = snippet.annotation(
                AnnotationKind::Context.span(clamp(&file.text, *place)).label(label.as_str()),
            );
        }
        group.element(snippet)
    }

    /// One object for each problem, for machines.
    #[must_use]
    pub fn to_json(&self) -> Json {
        self.items.iter().map(|problem| self.problem_json(problem)).collect()
    }

    fn problem_json(&self, problem: &Problem) -> Json {
        let mut object = self.place_json(problem.place);
        let related: Vec<Json> = problem
            .related
            .iter()
            .map(|(place, label)| {
                let mut object = self.place_json(*place);
                object["label"] = json!(label);
                object
            })
            .collect();
        object["code"] = json!(problem.code);
        object["severity"] = json!(problem.severity.as_str());
        object["message"] = json!(problem.message);
        object["label"] = json!(problem.label);
        object["help"] = json!(problem.help);
        object["related"] = json!(related);
        object
    }

    fn place_json(&self, place: Place) -> Json {
        let (line, column) = self.position(place.file, place.start);
        let (end_line, end_column) = self.position(place.file, place.end);
        json!({
            "file": self.files.get(place.file).map(|file| file.name.as_str()),
            "line": line,
            "column": column,
            "end_line": end_line,
            "end_column": end_column,
        })
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The span of a place, moved inside the text and onto character boundaries: a parser's span at
/// the end of a broken file may lie beyond it.
fn clamp(text: &str, place: Place) -> std::ops::Range<usize> {
    let start = floor(text, place.start);
    start..floor(text, place.end).max(start)
}

fn floor(text: &str, byte: usize) -> usize {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    byte
}
