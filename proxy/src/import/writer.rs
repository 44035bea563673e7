//! From the draft to TOML that can be used.

use std::ops::Range;

use super::{
    Check, Imported, MARK, Remark,
    draft::{At, Draft, Kind, Table},
    values,
};

/// Rounds of checking: a refused version takes its upstream along, that its routes, and these nothing.
const ROUNDS_MAX: usize = 32;

/// Writes the draft down; what the check refuses is taken out and told.
pub(super) fn write(mut draft: Draft, check: Check<'_>) -> Imported {
    settle(&mut draft, check);
    account(&mut draft);
    let mut config = Page::of(&draft, true).text;
    if !check(&config).is_empty() {
        // Not reached as far as anyone knows; what is printed has to be usable whatever happens.
        strike_all(&mut draft);
        account(&mut draft);
        config = Page::of(&draft, true).text;
    }
    let count = draft.ledger.count();
    let told = |left| draft.ledger.remarks(left).into_iter().map(|(_, remark)| remark).collect();
    Imported {
        config,
        directives: count.directives,
        carried: count.carried,
        partly: count.partly,
        needless: count.needless,
        todo: told(true),
        notes: told(false),
    }
}

/// Takes out whatever is refused until nothing is.
fn settle(draft: &mut Draft, check: Check<'_>) {
    for _ in 0..ROUNDS_MAX {
        let page = Page::of(draft, false);
        let faults = check(&page.text);
        if faults.is_empty() {
            return;
        }
        let mut struck = false;
        for (byte, why) in faults {
            let Some((_, at, setting)) = page.parts.iter().find(|(it, ..)| it.contains(&byte))
            else {
                continue;
            };
            struck = true;
            strike(draft, *at, *setting, &format!("gnomon refuses it: {why}"));
        }
        if !struck {
            break;
        }
    }
    strike_all(draft);
}

/// Takes out a setting, or its table if that would mean something else without it.
fn strike(draft: &mut Draft, at: usize, setting: Option<usize>, why: &str) {
    let table = &mut draft.tables[at];
    match setting.and_then(|setting| table.settings.get_mut(setting)) {
        Some(setting) if !setting.vital => {
            setting.struck.get_or_insert_with(|| why.to_owned());
        }
        Some(setting) => {
            let why = format!("`{}`: {why}", setting.key);
            draft.strike(At(at), &why);
        }
        None => draft.strike(At(at), why),
    }
}

fn strike_all(draft: &mut Draft) {
    for at in 0..draft.tables.len() {
        draft.strike(At(at), "what these files amount to could not be told apart");
    }
}

/// Tells the ledger what became of the directives behind the draft.
fn account(draft: &mut Draft) {
    let Draft { ledger, tables, .. } = draft;
    for table in tables.iter() {
        for setting in &table.settings {
            for id in &setting.from {
                match table.struck.as_ref().or(setting.struck.as_ref()) {
                    Some(why) => ledger.leave(*id, why.clone()),
                    None => ledger.carry(*id),
                }
            }
        }
        for id in &table.from {
            match &table.struck {
                Some(why) => ledger.leave(*id, why.clone()),
                None => ledger.carry(*id),
            }
        }
    }
    ledger.close();
}

/// A configuration, with what each part of it comes from.
struct Page {
    text: String,
    /// Table and setting of a stretch of the text.
    parts: Vec<(Range<usize>, usize, Option<usize>)>,
}

impl Page {
    fn of(draft: &Draft, with_remarks: bool) -> Self {
        let mut page = Self { text: String::new(), parts: Vec::new() };
        let mut remarks = Remarks::new(draft, with_remarks);
        if with_remarks {
            page.head(draft);
        }
        if draft.live(Kind::Listener).next().is_none() {
            if with_remarks {
                page.line(&format!(
                    "# {MARK} no listener could be carried over; where do clients connect?"
                ));
            }
            page.line("listen = \"127.0.0.1:8080\"");
        }
        for kind in [
            Kind::Listener,
            Kind::Global("timeouts"),
            Kind::Global("limits"),
            Kind::Global("access_log"),
            Kind::Upstream,
            Kind::Route,
            Kind::Shadow,
        ] {
            let tables = draft.tables.iter().enumerate().filter(|(_, table)| table.kind == kind);
            for (at, table) in tables {
                page.table(draft, at, table, with_remarks);
                for line in remarks.of(Some(at)) {
                    page.line(&line);
                }
            }
        }
        let rest = remarks.of(None);
        if !rest.is_empty() {
            page.line("");
            rest.iter().for_each(|line| page.line(line));
        }
        page
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn head(&mut self, draft: &Draft) {
        self.line("# Written by `gnomon import`. `gnomon check FILE` says what is left to mend.");
        for note in &draft.notes {
            self.line(&format!("# {note}"));
        }
        self.line("");
    }

    fn table(&mut self, draft: &Draft, at: usize, table: &Table, with_remarks: bool) {
        let out = table.struck.is_some();
        if table.settings.is_empty() || (out && !with_remarks) {
            return;
        }
        let off = if out { "# " } else { "" };
        if with_remarks && !self.text.ends_with("\n\n") {
            self.line("");
        }
        let header = match table.kind {
            Kind::Global(key) => format!("[{key}]"),
            kind @ (Kind::Listener | Kind::Upstream | Kind::Route | Kind::Shadow) => {
                format!("[{}.{}]", kind.key(), values::key(&table.name))
            }
        };
        let from = match table.from.first() {
            Some(id) if with_remarks => format!(" # {}", draft.ledger.place(*id)),
            Some(_) | None => String::new(),
        };
        self.part(&format!("{off}{header}{from}"), at, None);
        for (ix, setting) in table.settings.iter().enumerate() {
            let line = format!("{} = {}", setting.key, setting.value);
            match &setting.struck {
                None => self.part(&format!("{off}{line}"), at, Some(ix)),
                Some(_) if with_remarks => self.line(&format!("# {line}")),
                Some(_) => {}
            }
        }
    }

    fn part(&mut self, line: &str, at: usize, setting: Option<usize>) {
        let start = self.text.len();
        self.line(line);
        self.parts.push((start..self.text.len(), at, setting));
    }
}

/// What is told beside the settings, each at its table.
struct Remarks {
    all: Vec<(Option<usize>, String)>,
}

impl Remarks {
    fn new(draft: &Draft, wanted: bool) -> Self {
        let mut all = Vec::new();
        for (left, mark) in [(true, MARK), (false, "NOTE")] {
            let told = if wanted { draft.ledger.remarks(left) } else { Vec::new() };
            for (home, remark) in told {
                let Remark { file, line, directive, why } = remark;
                let home = home.filter(|at| !draft.tables[*at].settings.is_empty());
                all.push((home, format!("# {mark} {file}:{line}: {directive} -- {why}")));
            }
        }
        Self { all }
    }

    fn of(&mut self, home: Option<usize>) -> Vec<String> {
        self.all.extract_if(.., |(at, _)| *at == home).map(|(_, line)| line).collect()
    }
}
