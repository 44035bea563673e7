//! Every directive that was read, and what became of it.

use std::sync::Arc;

use super::Remark;

/// Characters of a directive that are shown.
const SHOWN_MAX: usize = 160;

/// A directive in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(usize);

/// What became of a directive.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// Nothing yet.
    Open,
    /// It means the same here.
    Carried,
    /// It concerns the other program's own process.
    Needless,
    /// It means nearly the same here.
    Partly(String),
    /// It is left to a person.
    Left(String),
}

#[derive(Clone, Debug)]
struct Directive {
    file: Arc<str>,
    line: u32,
    text: String,
    fate: Fate,
    /// Why it is left if nobody says anything else.
    otherwise: Option<String>,
    /// The table of the draft that it belongs to.
    home: Option<usize>,
}

/// Every directive, in the order they were read.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    all: Vec<Directive>,
}

/// How many directives went which way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    pub(super) directives: usize,
    pub(super) carried: usize,
    pub(super) partly: usize,
    pub(super) needless: usize,
}

impl Ledger {
    /// Enters a directive as it is written.
    pub(super) fn enter(&mut self, file: &Arc<str>, line: u32, text: &str) -> Id {
        let file = Arc::clone(file);
        let (text, fate) = (masked(&shown(text)), Fate::Open);
        self.all.push(Directive { file, line, text, fate, otherwise: None, home: None });
        Id(self.all.len() - 1)
    }

    /// Says in which table of the draft people should look for it.
    pub(super) fn home(&mut self, id: Id, table: usize) {
        let home = &mut self.all[id.0].home;
        *home = home.or(Some(table));
    }

    /// It means the same here; if a part was left before, it is carried partly.
    pub(super) fn carry(&mut self, id: Id) {
        let fate = &mut self.all[id.0].fate;
        *fate = match std::mem::replace(fate, Fate::Carried) {
            Fate::Open | Fate::Carried | Fate::Needless => Fate::Carried,
            Fate::Partly(why) | Fate::Left(why) => Fate::Partly(why),
        };
    }

    /// It concerns the other program alone.
    pub(super) fn needless(&mut self, id: Id) {
        let fate = &mut self.all[id.0].fate;
        if *fate == Fate::Open {
            *fate = Fate::Needless;
        }
    }

    /// It means nearly the same here.
    pub(super) fn partly(&mut self, id: Id, why: impl Into<String>) {
        let fate = &mut self.all[id.0].fate;
        if !matches!(fate, Fate::Partly(_)) {
            *fate = Fate::Partly(why.into());
        }
    }

    /// It is left to a person; if a part was carried before, it is carried partly.
    pub(super) fn leave(&mut self, id: Id, why: impl Into<String>) {
        let fate = &mut self.all[id.0].fate;
        match fate {
            Fate::Open | Fate::Needless => *fate = Fate::Left(why.into()),
            Fate::Carried => *fate = Fate::Partly(why.into()),
            Fate::Partly(_) | Fate::Left(_) => {}
        }
    }

    /// It is left for this reason if nobody says anything else.
    pub(super) fn otherwise(&mut self, id: Id, why: impl Into<String>) {
        self.all[id.0].otherwise.get_or_insert_with(|| why.into());
    }

    /// Whether nobody has said what became of it.
    pub(super) fn is_open(&self, id: Id) -> bool {
        self.all[id.0].fate == Fate::Open
    }

    /// Leaves whatever nobody has said anything about.
    pub(super) fn close(&mut self) {
        for directive in &mut self.all {
            if directive.fate == Fate::Open {
                let unused = || "nothing that could be carried over uses it".to_owned();
                directive.fate = Fate::Left(directive.otherwise.take().unwrap_or_else(unused));
            }
        }
    }

    /// `FILE:LINE`.
    pub(super) fn place(&self, id: Id) -> String {
        let directive = &self.all[id.0];
        format!("{}:{}", directive.file, directive.line)
    }

    pub(super) fn count(&self) -> Count {
        let mut count = Count::default();
        for directive in &self.all {
            match directive.fate {
                Fate::Needless => {
                    count.needless += 1;
                    continue;
                }
                Fate::Carried => count.carried += 1,
                Fate::Partly(_) => count.partly += 1,
                Fate::Open | Fate::Left(_) => {}
            }
            count.directives += 1;
        }
        count
    }

    /// What is left to a person (`true`), or carried with a difference (`false`), with its home.
    pub(super) fn remarks(&self, left: bool) -> Vec<(Option<usize>, Remark)> {
        let told = self.all.iter().filter_map(|directive| {
            let why = match &directive.fate {
                Fate::Left(why) if left => why,
                Fate::Partly(why) if !left => why,
                Fate::Open | Fate::Carried | Fate::Needless | Fate::Left(_) | Fate::Partly(_) => {
                    return None;
                }
            };
            let remark = Remark {
                file: directive.file.to_string(),
                line: directive.line,
                directive: directive.text.clone(),
                why: shown(why),
            };
            Some((directive.home, remark))
        });
        let mut told: Vec<_> = told.collect();
        told.sort_by(|(_, a), (_, b)| (&a.file, a.line).cmp(&(&b.file, b.line)));
        told
    }
}

/// Without what nobody should read in a configuration that is handed on.
fn masked(text: &str) -> String {
    const SECRET: [&str; 7] = [
        "stats auth",
        "password",
        "secret",
        "basicauth.users",
        "digestauth.users",
        "authorization",
        "apitoken",
    ];
    let lower = text.to_lowercase();
    if !SECRET.iter().any(|it| lower.contains(it)) {
        return text.to_owned();
    }
    let words: Vec<&str> = text.split(' ').collect();
    let names = if words.first().is_some_and(|it| it.ends_with(':')) { 1 } else { 2 };
    match words.len() {
        count if count <= names => text.to_owned(),
        _ => format!("{} …", words[..names].join(" ")),
    }
}

/// On one line, without what a terminal or a comment would not bear.
fn shown(text: &str) -> String {
    let mut words = String::new();
    for word in text.split_whitespace() {
        if !words.is_empty() {
            words.push(' ');
        }
        words.extend(word.chars().map(|it| if it.is_control() { '?' } else { it }));
        if words.len() > SHOWN_MAX * 4 {
            break;
        }
    }
    if words.chars().count() > SHOWN_MAX {
        words = words.chars().take(SHOWN_MAX).collect();
        words.push('…');
    }
    words
}
