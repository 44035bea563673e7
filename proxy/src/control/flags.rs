//! The flags as they are now: what the configuration, its source and people say together.
//!
//! What is made of them reaches the cores by a snapshot. A source that is wrong changes nothing: what
//! it said last stays, over restarts too. What people change acts at once, is written down with who
//! and why, and ends where the file says the same.

mod changes;
pub(crate) mod follow;
pub(crate) mod hygiene;
mod orders;
mod shown;
pub(crate) mod source;
mod store;
mod why;

use std::{collections::BTreeMap, sync::Arc};

use gnomon_config::{Config, model::flag};
use gnomon_flags::{FlagSet, Overrides, flagd::Definitions};

pub(crate) use self::changes::Verb;
use self::{
    changes::{Stamp, Written, differences, settle},
    source::{Content, Look, Mark},
    store::{Batch, Good, Saved},
};
use super::{
    api::{Kind, Refused, flag::Record},
    keeper, status,
};
use crate::heritage::left::FlagsLeft;

/// What has changes of flags written.
pub(crate) type Keeper = keeper::Keeper<store::Store>;

/// What the flags are made from, and what was made of it.
#[derive(Debug)]
pub(crate) struct Flags {
    /// What the source says; nothing without one.
    definitions: Definitions,
    /// What people have changed.
    overrides: Overrides,
    set: Arc<FlagSet>,
    following: Following,
    log: hygiene::Log,
    keeper: Arc<Keeper>,
}

/// How the source is doing. Times are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq)]
struct Following {
    mark: Mark,
    /// Of the text in force.
    good: Option<u64>,
    /// What is wrong with it.
    faults: Vec<String>,
    last_success: Option<u64>,
    last_asked: Option<u64>,
    /// Whether the text in force was kept from an earlier process.
    is_kept: bool,
}

/// A source's new content, read before a configuration is taken over.
pub(crate) type Fresh = (Mark, Box<Content>);

/// What was found before the first snapshot.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    saved: Saved,
    look: Option<Look>,
}

/// What the flags would be.
#[derive(Debug)]
pub(crate) struct Made {
    set: Arc<FlagSet>,
    definitions: Definitions,
    overrides: Overrides,
    /// Whose changes files say themselves by now.
    dropped: Vec<String>,
    fresh: Option<(Mark, String)>,
}

/// What came of a look at the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing that is not known.
    Nothing,
    /// It is right again, and says what is in force.
    Well,
    /// What it says is in force: what is new, one line each.
    Taken(Vec<String>),
    /// It is wrong in another way than before; what it said last stays.
    Refused(Vec<String>),
}

/// Reads what an earlier process has kept, and looks at the source for the first time.
pub(crate) async fn open(config: &Config, now: u64) -> Opened {
    let saved = store::load(&config.state.dir.join(FILE), now);
    let look = match &config.flags.source {
        Some(source) => Some(source::look(source, &Mark::default()).await),
        None => None,
    };
    Opened { saved, look }
}

impl Flags {
    /// The flags of a configuration alone.
    pub(crate) fn new(config: &Arc<Config>) -> Result<Self, Refused> {
        let (definitions, overrides) = (Definitions::default(), Overrides::default());
        let set = compile(config, &definitions, &overrides)?;
        Ok(Self {
            definitions,
            overrides,
            set,
            following: Following::default(),
            log: hygiene::Log::default(),
            keeper: Arc::new(Keeper::new(config.state.dir.join(FILE))),
        })
    }

    /// Begins with what an earlier process has kept or left, and with what the source says now. Gives
    /// back what is to be said beside.
    pub(crate) fn open(
        &mut self,
        config: &Arc<Config>,
        opened: Opened,
        left: Option<FlagsLeft>,
        now: u64,
    ) -> Vec<String> {
        let Opened { saved, look } = opened;
        let Saved { overrides, good, seen, lost } = saved;
        let mut remarks: Vec<String> = lost
            .map(|why| format!("what was changed of flags is lost: {why}"))
            .into_iter()
            .collect();
        let left = left.unwrap_or(FlagsLeft { overrides, seen });
        self.overrides = left.overrides;
        self.log = hygiene::Log::new(left.seen);
        remarks.extend(self.keep_good(config, good));
        match self.make(config, None) {
            Ok(made) => self.take(made, config, now),
            Err(refused) => {
                remarks.push(format!("what flags were made from is not kept: {refused}"));
                self.definitions = Definitions::default();
                self.following = Following::default();
            }
        }
        let Some(look) = look else { return remarks };
        match self.hear(config, look, now) {
            Heard::Nothing | Heard::Well => {}
            Heard::Taken(_) => {
                remarks.push(format!("{} flags from the source", self.definitions.flags.len()));
            }
            Heard::Refused(faults) => {
                let stays = if self.following.is_kept {
                    "what it said last stays"
                } else {
                    "none is known"
                };
                remarks
                    .push(format!("the source of flags is wrong, {stays}: {}", faults.join("; ")));
            }
        }
        remarks
    }

    /// Begins with what the source said last, if it is still the same source.
    fn keep_good(&mut self, config: &Config, good: Option<Good>) -> Option<String> {
        let source = config.flags.source.as_ref()?;
        let good = good.filter(|good| good.what == source::name(source))?;
        let hash = source::hash(good.text.as_bytes());
        match source::read(good.text.into_bytes()) {
            Ok(content) => {
                self.definitions = content.definitions;
                let last_success = Some(good.at);
                self.following = Following {
                    good: Some(hash),
                    last_success,
                    is_kept: true,
                    ..Following::default()
                };
                None
            }
            Err(faults) => Some(format!(
                "what the source of flags said last is wrong by now: {}",
                faults.join("; ")
            )),
        }
    }

    /// The set that cores and applications ask.
    pub(crate) fn set(&self) -> Arc<FlagSet> {
        self.set.clone()
    }

    /// What has changes written.
    pub(crate) fn keeper(&self) -> Arc<Keeper> {
        self.keeper.clone()
    }

    /// What is left to another process.
    pub(crate) fn leave(&self) -> FlagsLeft {
        FlagsLeft { overrides: self.overrides.clone(), seen: self.log.all().clone() }
    }

    /// What the flags would be under another configuration, or with what its source says anew.
    pub(crate) fn make(&self, config: &Arc<Config>, fresh: Option<Fresh>) -> Result<Made, Refused> {
        let is_followed = self.set.terms().source == config.flags.source;
        let (definitions, fresh) = match fresh {
            Some((mark, content)) => {
                for doubt in &content.doubts {
                    tracing::warn!(doubt, "a flag of the source hardly means what it says");
                }
                (content.definitions, Some((mark, content.text)))
            }
            None if is_followed => (self.definitions.clone(), None),
            None => (Definitions::default(), None),
        };
        let (overrides, dropped) = settle(&self.overrides, &config.flags, &definitions);
        let set = compile(config, &definitions, &overrides)?;
        Ok(Made { set, definitions, overrides, dropped, fresh })
    }

    /// Takes over what [`make`](Self::make) has made, at `now` in seconds since 1970.
    pub(crate) fn take(&mut self, made: Made, config: &Config, now: u64) {
        let Made { set, definitions, overrides, dropped, fresh } = made;
        let (old, new) = ((self.set.terms(), &self.definitions), (set.terms(), &definitions));
        let records = self.records(differences(old, new), &dropped, config, now);
        let changed = dropped.into_iter().map(|name| {
            let left = overrides.0.get(&name).cloned();
            (name, left)
        });
        let changed: BTreeMap<_, _> = changed.collect();
        if self.set.terms().source != set.terms().source {
            self.following = Following::default();
        } else if !self.following.faults.is_empty() {
            // What was wrong with it may be right under this configuration.
            self.following.mark = Mark::default();
        }
        let good = fresh.map(|(mark, text)| {
            let (hash, at) = (mark.hash, now);
            self.following =
                Following { mark, good: hash, last_asked: Some(now), ..Following::default() };
            self.following.succeed(now);
            let what = config.flags.source.as_ref().map(source::name).unwrap_or_default();
            Good { what, text, at }
        });
        if !records.is_empty() || !changed.is_empty() || good.is_some() {
            self.keeper.keep(|batch: &mut Batch| {
                batch.records.extend(records);
                batch.overrides.extend(changed);
                batch.good = good.or_else(|| batch.good.take());
            });
        }
        (self.set, self.definitions, self.overrides) = (set, definitions, overrides);
    }

    /// Lines of the record for what files say anew.
    fn records(
        &self,
        differences: Vec<(String, Vec<String>)>,
        dropped: &[String],
        config: &Config,
        now: u64,
    ) -> Vec<Record> {
        let config = status::hash(config);
        let record = |flag: String, what: &str, changes| Record {
            at: now,
            flag,
            what: what.to_owned(),
            changes,
            by: OURSELVES.to_owned(),
            config: config.clone(),
            ..Record::default()
        };
        let over = differences.len().saturating_sub(RECORDS_MAX);
        let mut records: Vec<Record> = differences
            .into_iter()
            .take(RECORDS_MAX)
            .map(|(flag, changes)| record(flag, "file", changes))
            .collect();
        if over > 0 {
            records.push(record(String::new(), "file", vec![format!("{over} more flags")]));
        }
        let ended = |name: &String| {
            let change = vec!["the file says the same by now".to_owned()];
            record(name.clone(), "reset", change)
        };
        records.extend(dropped.iter().map(ended));
        records
    }

    /// Hears what a look at the source of this configuration came to.
    pub(crate) fn hear(&mut self, config: &Arc<Config>, look: Look, now: u64) -> Heard {
        self.following.last_asked = Some(now);
        let faults = match look {
            Look::Same(mark) => {
                let is_good = mark.hash.is_some() && mark.hash == self.following.good;
                self.following.mark = mark;
                return if is_good { self.following.succeed(now) } else { Heard::Nothing };
            }
            Look::New(mark, _) if mark.hash == self.following.good => {
                self.following.mark = mark;
                return self.following.succeed(now);
            }
            Look::New(mark, content) => match self.make(config, Some((mark.clone(), content))) {
                Ok(made) => {
                    let old = (self.set.terms(), &self.definitions);
                    let lines = differences(old, (made.set.terms(), &made.definitions));
                    self.take(made, config, now);
                    let line = |(name, lines): (String, Vec<String>)| {
                        format!("flag {name}: {}", lines.join(", "))
                    };
                    return Heard::Taken(lines.into_iter().map(line).collect());
                }
                Err(refused) => {
                    self.following.mark = mark;
                    refused.error.lines().map(str::to_owned).collect()
                }
            },
            Look::Bad(mark, faults) => {
                self.following.mark = mark;
                faults
            }
        };
        if self.following.faults == faults {
            return Heard::Nothing;
        }
        self.following.faults.clone_from(&faults);
        let record = Record {
            at: now,
            what: "source".to_owned(),
            changes: faults.iter().map(|fault| format!("refused: {fault}")).collect(),
            by: OURSELVES.to_owned(),
            config: status::hash(config),
            ..Record::default()
        };
        self.keeper.keep(|batch| batch.records.push(record));
        Heard::Refused(faults)
    }

    /// Changes what a person says; what has changed, one line each, and its number with the keeper.
    fn change(
        &mut self,
        config: &Arc<Config>,
        name: &str,
        verb: &Verb,
        stamp: &Stamp,
    ) -> Result<(Vec<String>, u64), Refused> {
        let written = Written::of(name, &config.flags, &self.definitions);
        let present = self.overrides.0.get(name);
        let (change, lines) = changes::change(name, written.as_ref(), present, verb, stamp)
            .map_err(|refused| self.advise(refused))?;
        if lines.is_empty() {
            return Ok((lines, 0));
        }
        let mut overrides = self.overrides.clone();
        match &change {
            Some(change) => overrides.0.insert(name.to_owned(), change.clone()),
            None => overrides.0.remove(name),
        };
        self.set = compile(config, &self.definitions, &overrides)?;
        self.overrides = overrides;
        let record = Record {
            id: 0,
            at: stamp.at,
            flag: name.to_owned(),
            what: verb.name().to_owned(),
            changes: lines.clone(),
            by: stamp.by.clone(),
            reason: stamp.reason.clone(),
            config: status::hash(config),
        };
        let number = self.keeper.keep(|batch| {
            batch.overrides.insert(name.to_owned(), change);
            batch.records.push(record);
        });
        Ok((lines, number))
    }

    /// Says which flags there are to who names one that is not.
    fn advise(&self, refused: Refused) -> Refused {
        if refused.kind != Kind::Unknown || refused.help.is_some() {
            return refused;
        }
        let names: Vec<&str> =
            self.set.flags().iter().map(|flag| &*flag.name).take(NAMES).collect();
        let more = if self.set.flags().len() > NAMES { ", …" } else { "" };
        match names.as_slice() {
            [] => refused.help("there are none: see config/sample/flags.toml"),
            names => refused.help(format!("there are: {}{more}", names.join(", "))),
        }
    }

    /// What is other than in files, one line each.
    pub(crate) fn drift(&self) -> Vec<String> {
        let mut all = Vec::new();
        for (name, change) in &self.overrides.0 {
            let Some(written) = Written::of(name, self.set.terms(), &self.definitions) else {
                continue;
            };
            let lines = written.drift(change).into_iter();
            all.extend(
                lines.map(|line| {
                    format!("flag {name}: {line}, by {}: {}", change.by, change.reason)
                }),
            );
        }
        all
    }

    /// The configuration's own flag of this name.
    fn own(&self, name: &str) -> Option<&flag::Flag> {
        self.set.terms().own.iter().find(|flag| *flag.name == *name)
    }
}

impl Following {
    /// It was read, and what it says is in force.
    fn succeed(&mut self, now: u64) -> Heard {
        self.last_success = Some(now);
        self.is_kept = false;
        if std::mem::take(&mut self.faults).is_empty() { Heard::Nothing } else { Heard::Well }
    }
}

fn compile(
    config: &Arc<Config>,
    definitions: &Definitions,
    overrides: &Overrides,
) -> Result<Arc<FlagSet>, Refused> {
    let set = FlagSet::compile(config.clone(), definitions, overrides);
    set.map(Arc::new).map_err(|bad| Refused::new(Kind::Config, bad.to_string()))
}

/// In the state's folder.
const FILE: &str = "flags.db";
/// Who takes over what files say.
const OURSELVES: &str = "gnomon";
/// Lines of the record for one change of a file.
const RECORDS_MAX: usize = 100;
/// Names that are listed for who names no flag.
const NAMES: usize = 10;

#[cfg(test)]
mod tests;
