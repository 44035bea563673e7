//! HAProxy: `defaults`, `frontend`, `backend`, `listen`.

mod backend;
mod condition;
mod frontend;
mod words;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use super::{
    Text,
    draft::{At, Draft},
    ledger::Id,
    values,
};

/// A line of a section.
#[derive(Clone, Debug)]
struct Line {
    id: Id,
    words: Vec<String>,
}

impl Line {
    fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }

    /// The words from a place on.
    fn from(&self, at: usize) -> &[String] {
        self.words.get(at..).unwrap_or_default()
    }
}

/// `frontend NAME` and what follows, with the `defaults` that hold in it before its own lines.
#[derive(Clone, Debug)]
struct Section {
    id: Id,
    kind: String,
    name: String,
    lines: Vec<Line>,
    defaults: Vec<Line>,
}

impl Section {
    /// Own lines that begin with these words.
    fn all<'a>(&'a self, words: &'a [&'a str]) -> impl Iterator<Item = &'a Line> {
        let begins = |line: &&Line| {
            line.words.iter().map(String::as_str).take(words.len()).eq(words.iter().copied())
        };
        self.lines.iter().filter(begins)
    }

    /// The last line that begins with these words, own ones before those of `defaults`.
    fn last(&self, words: &[&str]) -> Option<&Line> {
        let begins = |line: &&Line| {
            line.words.iter().map(String::as_str).take(words.len()).eq(words.iter().copied())
        };
        let own = self.lines.iter().rev().find(begins);
        own.or_else(|| self.defaults.iter().rev().find(begins))
    }

    /// Whether it speaks HTTP.
    fn is_http(&self) -> bool {
        self.last(&["mode"]).is_some_and(|line| line.word(1) == "http")
    }

    /// A deadline, in milliseconds unless it says otherwise.
    fn timeout(&self, name: &str) -> Option<(Duration, Id)> {
        let line = self.last(&["timeout", name])?;
        let time = values::read_duration(line.word(2), Duration::from_millis(1))?;
        Some((time, line.id))
    }
}

/// What frontends and backends refer to.
struct World<'d> {
    draft: &'d mut Draft,
    sections: Vec<Section>,
    /// Our upstream for a backend.
    made: HashMap<String, Option<At>>,
    /// Sockets by whether they speak TLS and expect a PROXY header.
    sockets: BTreeMap<(bool, bool), frontend::Sockets>,
    /// Whether a frontend for HTTP speaks TLS.
    has_tls: bool,
}

/// Reads HAProxy's configuration into the draft.
///
/// # Errors
///
/// What is no configuration of HAProxy, with file and line.
pub(super) fn read(draft: &mut Draft, texts: &[Text]) -> Result<(), String> {
    let mut sections = Vec::new();
    for text in texts {
        sections.extend(split(draft, text)?);
    }
    let mut world = World {
        draft,
        sections: sections.clone(),
        made: HashMap::new(),
        sockets: BTreeMap::new(),
        has_tls: false,
    };
    let front = |it: &&Section| matches!(it.kind.as_str(), "frontend" | "listen") && it.is_http();
    let fronts: Vec<&Section> = sections.iter().filter(front).collect();
    world.has_tls = fronts
        .iter()
        .any(|it| it.all(&["bind"]).any(|line| line.words.iter().any(|it| it == "ssl")));
    for section in &fronts {
        world.frontend(section);
    }
    world.listeners();
    world.globals(&sections);
    for section in &sections {
        settle(world.draft, section);
    }
    Ok(())
}

/// The sections of a text.
fn split(draft: &mut Draft, text: &Text) -> Result<Vec<Section>, String> {
    const KINDS: [&str; 16] = [
        "global",
        "defaults",
        "frontend",
        "backend",
        "listen",
        "userlist",
        "peers",
        "resolvers",
        "mailers",
        "program",
        "cache",
        "http-errors",
        "ring",
        "fcgi-app",
        "crt-store",
        "traces",
    ];
    let file: Arc<str> = Arc::from(text.name.as_str());
    let mut sections: Vec<Section> = Vec::new();
    let mut defaults: Vec<Line> = Vec::new();
    for (at, line) in text.text.lines().enumerate() {
        let number = u32::try_from(at + 1).unwrap_or(u32::MAX);
        let words = words::split(line).map_err(|why| format!("{}:{number}: {why}", text.name))?;
        let Some(first) = words.first() else { continue };
        let id = draft.ledger.enter(&file, number, line);
        if KINDS.contains(&first.as_str()) {
            if let Some(done) = sections.last().filter(|it| it.kind == "defaults") {
                defaults.clone_from(&done.lines);
            }
            let name = words.get(1).cloned().unwrap_or_default();
            let held = if first == "defaults" { Vec::new() } else { defaults.clone() };
            let kind = first.clone();
            sections.push(Section { id, kind, name, lines: Vec::new(), defaults: held });
            continue;
        }
        let Some(section) = sections.last_mut() else {
            return Err(format!("{}:{number}: `{first}` stands before any section", text.name));
        };
        section.lines.push(Line { id, words });
    }
    Ok(sections)
}

/// Says of every line that nobody has spoken of what becomes of it.
fn settle(draft: &mut Draft, section: &Section) {
    let http = match section.kind.as_str() {
        "frontend" | "backend" | "listen" => section.is_http(),
        _ => true,
    };
    let ledger = &mut draft.ledger;
    match section.kind.as_str() {
        "global" | "defaults" => ledger.needless(section.id),
        "frontend" | "backend" | "listen" if ledger.is_open(section.id) => {
            let why = if http { "no route leads to it" } else { TCP };
            ledger.otherwise(section.id, why);
        }
        _ if ledger.is_open(section.id) => {
            ledger.otherwise(section.id, "gnomon has nothing like it")
        }
        _ => {}
    }
    for line in &section.lines {
        if http {
            words::settle(ledger, line.id, &line.words, &section.kind);
        } else if ledger.is_open(line.id) {
            ledger.otherwise(line.id, TCP);
        }
    }
}

const TCP: &str = "gnomon proxies HTTP alone; a section without `mode http` speaks TCP";
