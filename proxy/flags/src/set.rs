//! All flags as they are now.

use std::{collections::HashMap, sync::Arc};

use gnomon_config::{
    Config,
    model::{
        Name, Share,
        flag::{self, FlagCondition, Told, VariantValue, WATCHED_MAX},
    },
};
use serde_json::{Map, Value};

use crate::{
    Context, ErrorCode, Hasher, Override, Overrides, Reason, Resolution, claimed,
    flagd::{Definition, Definitions},
    frozen::Seal,
    groups::Groups,
    logic::{Expression, Outcome},
    rules::{Draw, Pair, Rules},
};

pub use crate::groups::Memberships;

/// Index of a flag in its set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlagIx(pub u32);

/// All flags: those of the configuration and those of its source, with what people have changed.
/// Immutable; all cores share one, and whoever answers applications has the same.
#[derive(Debug)]
pub struct FlagSet {
    config: Arc<Config>,
    flags: Box<[Flag]>,
    by_name: HashMap<Name, FlagIx>,
    watched: Box<[FlagIx]>,
    /// How many of the watched, from the first on, origins are told of.
    sent: usize,
    uses_claims: bool,
    pub(crate) groups: Groups,
    seal: Seal,
    /// What the source says of all its flags.
    pub metadata: Map<String, Value>,
    /// Differs for sets that may answer differently.
    pub revision: u64,
}

/// A flag.
#[derive(Debug)]
pub struct Flag {
    /// Its name.
    pub name: Name,
    /// Whether it is on at all.
    pub enabled: bool,
    /// What it can be.
    pub variants: Box<[Variant]>,
    /// Index of the variant for whom no rule holds.
    pub default: Option<u8>,
    /// Whether it comes from [`flag::Flags::source`].
    pub is_foreign: bool,
    /// What is said of it, to be told to applications.
    pub metadata: Map<String, Value>,
    pub(crate) program: Program,
}

/// What a flag can be.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// Its name.
    pub name: Name,
    /// Its value.
    pub value: Value,
}

/// What decides about a flag.
#[derive(Debug)]
pub(crate) enum Program {
    Rules(Rules),
    Logic(Option<Expression>),
}

/// Why a set cannot be made: a sentence for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSet(pub Vec<String>);

impl std::fmt::Display for BadSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for BadSet {}

impl FlagSet {
    /// All flags of `config` and of `foreign`, with what people have changed.
    ///
    /// # Errors
    /// [`BadSet`] if a name is in both, or more flags are watched than can be.
    pub fn compile(
        config: Arc<Config>,
        foreign: &Definitions,
        overrides: &Overrides,
    ) -> Result<Self, BadSet> {
        let terms = &config.flags;
        let changed = |name: &str| overrides.0.get(name);
        let own = terms.own.iter().map(|flag| Flag::own(flag, terms, changed(&flag.name)));
        let theirs = foreign.flags.iter().map(|flag| Flag::foreign(flag, changed(&flag.name)));
        let flags: Box<[Flag]> = own.chain(theirs).collect();
        let mut wrong = Vec::new();
        let mut by_name = HashMap::new();
        for (flag, number) in flags.iter().zip(0..) {
            if by_name.insert(flag.name.clone(), FlagIx(number)).is_some() {
                wrong.push(format!("flag `{}` is declared twice", flag.name));
            }
        }
        let (watched, sent) = watched(&config, &flags, &by_name);
        if watched.len() > WATCHED_MAX {
            wrong.push(format!(
                "{} flags are matched on, sent or judged, {WATCHED_MAX} can be",
                watched.len()
            ));
        }
        if !wrong.is_empty() {
            return Err(BadSet(wrong));
        }
        let groups = Groups::new(&config);
        let seal = Seal::new(&terms.sign, &terms.secret);
        let metadata = foreign.metadata.clone();
        let uses_claims = claimed::is_asked_for(terms, &watched);
        let revision = revision(&config, foreign, overrides);
        Ok(Self {
            config,
            flags,
            by_name,
            watched,
            sent,
            uses_claims,
            groups,
            seal,
            metadata,
            revision,
        })
    }

    /// What all flags have in common.
    #[must_use]
    pub fn terms(&self) -> &flag::Flags {
        &self.config.flags
    }

    /// All flags: those of the configuration first, in its order.
    #[must_use]
    pub fn flags(&self) -> &[Flag] {
        &self.flags
    }

    /// A flag.
    #[must_use]
    pub fn flag(&self, flag: FlagIx) -> &Flag {
        &self.flags[flag.0 as usize]
    }

    /// The flag of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<FlagIx> {
        self.by_name.get(name).copied()
    }

    /// The flags that are evaluated for requests. Where a flag stands here is its place.
    #[must_use]
    pub fn watched(&self) -> &[FlagIx] {
        &self.watched
    }

    /// The place of a flag among the watched, if it is one.
    #[must_use]
    pub fn place(&self, flag: FlagIx) -> Option<usize> {
        self.watched.iter().position(|watched| *watched == flag)
    }

    /// What signs and reads the field that tells origins.
    #[must_use]
    pub const fn seal(&self) -> &Seal {
        &self.seal
    }

    /// How many of the watched, from the first on, origins are told of.
    #[must_use]
    pub const fn sent(&self) -> usize {
        self.sent
    }

    /// Whether what is evaluated for requests may ask for a claim of theirs.
    #[must_use]
    pub const fn uses_claims(&self) -> bool {
        self.uses_claims
    }

    /// What a flag comes to for `context`, at `now` in seconds since 1970.
    #[must_use]
    pub fn evaluate(&self, flag: FlagIx, context: &impl Context, now: u64) -> Resolution {
        self.evaluate_with(flag, context, now, &Memberships::default())
    }

    /// The same, for whom several flags are evaluated.
    #[must_use]
    pub fn evaluate_with(
        &self,
        flag: FlagIx,
        context: &impl Context,
        now: u64,
        memberships: &Memberships,
    ) -> Resolution {
        let flag = self.flag(flag);
        if !flag.enabled {
            return Resolution::nothing(Reason::Disabled);
        }
        match &flag.program {
            Program::Rules(rules) => rules.evaluate(&self.groups, context, now, memberships),
            Program::Logic(None) => flag.otherwise(Reason::Static),
            Program::Logic(Some(rule)) => flag.follow(rule, context, now),
        }
    }

    /// How a flag is drawn for `context` between two of its variants; nothing if no draw decides which
    /// of both it gets.
    #[must_use]
    pub fn draw(
        &self,
        flag: FlagIx,
        pair: Pair,
        context: &impl Context,
        now: u64,
        memberships: &Memberships,
    ) -> Option<Draw> {
        let flag = self.flag(flag);
        match &flag.program {
            Program::Rules(rules) if flag.enabled => {
                rules.draw(pair, &self.groups, context, now, memberships)
            }
            Program::Rules(_) | Program::Logic(_) => None,
        }
    }

    /// The end of the positions that may have had a variant of a flag by a draw, at any time up to
    /// `now`.
    #[must_use]
    pub fn reach(&self, flag: FlagIx, variant: u8, now: u64) -> u32 {
        match &self.flag(flag).program {
            Program::Rules(rules) if self.flag(flag).enabled => rules.reach(variant, now),
            Program::Rules(_) | Program::Logic(_) => 0,
        }
    }

    /// A hash of all that decides how users are drawn for a flag: another one is another draw.
    #[must_use]
    pub fn draws(&self, flag: FlagIx) -> u64 {
        let (terms, flag) = (self.terms(), self.flag(flag));
        let Flag { enabled, default, program, .. } = flag;
        let names: Vec<&str> = flag.variants.iter().map(|variant| &*variant.name).collect();
        let groups = &terms.groups;
        let hasher = Hasher::derive(b"gnomon draws 1", "", &terms.secret.0);
        hasher.hash(format!("{enabled} {default:?} {names:?} {program:?} {groups:?}").as_bytes())
    }

    /// The groups that hold for `context`, by name, in order of declaration.
    pub fn groups_of<'a>(&'a self, context: &impl Context) -> Vec<&'a str> {
        let memberships = Memberships::default();
        let named = self.terms().groups.iter().enumerate();
        let held = named.filter(|(at, _)| self.groups.any(1 << at, context, &memberships));
        held.map(|(_, group)| &*group.name).collect()
    }
}

impl Flag {
    fn own(flag: &flag::Flag, terms: &flag::Flags, changed: Option<&Override>) -> Self {
        let default = changed.and_then(|it| it.default.as_ref());
        let default =
            default.and_then(|name| flag.variants.iter().position(|(known, _)| **known == **name));
        let share = changed.and_then(|it| it.share).map(Share);
        let variants = flag
            .variants
            .iter()
            .map(|(name, value)| Variant { name: name.clone(), value: json_of(value) });
        let mut metadata = Map::new();
        for (key, text) in [("owner", &flag.owner), ("description", &flag.description)] {
            if !text.is_empty() {
                metadata.insert(key.to_owned(), Value::String(text.to_string()));
            }
        }
        Self {
            name: flag.name.clone(),
            enabled: changed.and_then(|it| it.enabled).unwrap_or(flag.enabled),
            variants: variants.collect(),
            default: u8::try_from(default.unwrap_or(flag.default)).ok(),
            is_foreign: false,
            metadata,
            program: Program::Rules(Rules::new(flag, terms, default, share)),
        }
    }

    fn foreign(flag: &Definition, changed: Option<&Override>) -> Self {
        let default = changed.and_then(|it| it.default.as_ref());
        let default =
            default.and_then(|name| flag.variants.iter().position(|(known, _)| known == name));
        let variants = flag
            .variants
            .iter()
            .map(|(name, value)| Variant { name: name.as_str().into(), value: value.clone() });
        Self {
            name: flag.name.as_str().into(),
            enabled: changed.and_then(|it| it.enabled).unwrap_or(flag.enabled),
            variants: variants.collect(),
            default: default.and_then(|at| u8::try_from(at).ok()).or(flag.default),
            is_foreign: true,
            metadata: flag.metadata.clone(),
            program: Program::Logic(flag.targeting.clone()),
        }
    }

    /// What a rule in JSONLogic comes to.
    fn follow(&self, rule: &Expression, context: &impl Context, now: u64) -> Resolution {
        match rule.decide(context, &self.name, now) {
            Ok(Outcome::Nothing) => self.otherwise(Reason::Default),
            Ok(Outcome::Variant(name)) => {
                let place = self.variants.iter().position(|variant| *variant.name == *name);
                let place = place.and_then(|place| u8::try_from(place).ok());
                place.map_or(Resolution::failed(ErrorCode::General), |place| {
                    Resolution::of(place, Reason::TargetingMatch)
                })
            }
            Ok(Outcome::Other) => Resolution::failed(ErrorCode::General),
            Err(error) => Resolution::failed(error),
        }
    }

    /// The default variant, for this reason. Without one, applications use their own.
    fn otherwise(&self, reason: Reason) -> Resolution {
        let default = self.default.map(|default| Resolution::of(default, reason));
        default.unwrap_or(Resolution::nothing(Reason::Default))
    }

    /// Whether a condition of a route on this flag holds for what it came to.
    #[must_use]
    pub fn meets(&self, condition: &FlagCondition, resolution: Resolution) -> bool {
        let variant = resolution.variant.and_then(|at| self.variants.get(usize::from(at)));
        let is_so = variant.is_some_and(|variant| match &condition.variant {
            Some(name) => variant.name == *name,
            None => variant.value == Value::Bool(true),
        });
        is_so != condition.not
    }
}

/// The watched flags, those that are sent first, and how many are.
fn watched(
    config: &Config,
    flags: &[Flag],
    by_name: &HashMap<Name, FlagIx>,
) -> (Box<[FlagIx]>, usize) {
    let terms = &config.flags;
    let matches = config.routes.iter().map(|route| &route.matches);
    let matches = matches.chain(config.shadows.iter().map(|shadow| &shadow.matches));
    let matched = matches.flat_map(|it| &it.flags).filter_map(|it| by_name.get(&it.flag).copied());
    let matched: Vec<FlagIx> = matched.collect();
    let judged = terms.own.iter().filter(|flag| flag.judge.is_some());
    let judged = judged.filter_map(|flag| by_name.get(&flag.name).copied());
    let mut all = match &terms.send {
        _ if terms.header.is_none() => Vec::new(),
        Told::Used => matched.clone(),
        Told::All => (0..u32::try_from(flags.len()).unwrap_or(u32::MAX)).map(FlagIx).collect(),
        Told::Only(names) => names.iter().filter_map(|it| by_name.get(it).copied()).collect(),
    };
    all.sort_unstable();
    all.dedup();
    let sent = all.len();
    for flag in matched.into_iter().chain(judged) {
        if !all.contains(&flag) {
            all.push(flag);
        }
    }
    (all.into(), sent)
}

/// A hash of all that a set is made of.
fn revision(config: &Config, foreign: &Definitions, overrides: &Overrides) -> u64 {
    let terms = &config.flags;
    let hasher = Hasher::derive(b"gnomon flags 1", "", &terms.secret.0);
    hasher.hash(format!("{terms:?}{foreign:?}{overrides:?}").as_bytes())
}

fn json_of(value: &VariantValue) -> Value {
    match value {
        VariantValue::Bool(value) => Value::Bool(*value),
        VariantValue::Text(text) => Value::String(text.to_string()),
        VariantValue::Integer(value) => Value::from(*value),
        VariantValue::Float(value) => Value::from(*value),
        // Checked when the configuration was read.
        VariantValue::Json(text) => serde_json::from_str(text).unwrap_or(Value::Null),
    }
}
