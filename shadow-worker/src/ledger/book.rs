//! One shadow's part of the ledger.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use gnomon_config::{json_path::Step, model::Keep};

use super::{Baseline, Command, Pair, Refusal, endpoint};
use crate::{
    bundle::Bundle,
    difference::{Aspect, Difference},
    evidence::Pace,
    finding::{self, Example, Finding, Mark, MarkKind, Verdict},
    place::{self, Relation},
    redact::{Clean, Raw, Redactor, Secrets},
    report::{ShadowReport, Totals},
    tally::{Draw, Pairs, Tally},
};

/// What is known of one shadow.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) name: Arc<str>,
    /// None while the shadow is not configured.
    rules: Option<(Keep, Redactor)>,
    pub(super) share: f64,
    pub(super) totals: Totals,
    pub(super) endpoints: BTreeMap<Arc<str>, Endpoint>,
    pub(super) paths: usize,
    pub(super) findings: BTreeMap<Arc<str>, Finding>,
    /// By age.
    pub(super) examples: BTreeMap<u64, Arc<Example>>,
    pub(super) bytes: u64,
    pub(super) next_example: u64,
    pub(super) marks: Vec<Arc<Mark>>,
    pub(super) report: Option<Arc<ShadowReport>>,
}

/// What is known of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Endpoint {
    pub(super) compared: u64,
    pub(super) different: u64,
    pub(super) uncomparable: u64,
    pub(super) pace: Pace,
    pub(super) pairs: Pairs,
    pub(super) any: Tally,
    pub(super) revision: u64,
    pub(super) paths: BTreeMap<Arc<str>, Path>,
}

/// What is known of one path of it.
#[derive(Clone, Debug)]
pub(super) struct Path {
    pub(super) value: Question,
    /// None as long as all pairs are ties.
    pub(super) structure: Option<Question>,
    pub(super) mark: Option<Arc<Mark>>,
}

/// What is known of one aspect of a path.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) tally: Tally,
    pub(super) verdict: Verdict,
    pub(super) revision: u64,
}

impl Question {
    pub(super) fn new(tally: Tally, revision: u64) -> Self {
        Self { tally, verdict: Verdict::Undecided, revision }
    }
}

impl Path {
    /// What is known of it, by aspect.
    pub(super) fn questions(&self) -> impl Iterator<Item = (Aspect, &Question)> {
        let structure = self.structure.as_ref().map(|one| (Aspect::Structure, one));
        std::iter::once((Aspect::Value, &self.value)).chain(structure)
    }

    /// The same, in the same order, to be changed.
    pub(super) fn questions_mut(&mut self) -> impl Iterator<Item = &mut Question> {
        std::iter::once(&mut self.value).chain(&mut self.structure)
    }

    /// The one that a difference bears on. What is asked for the first time has had ties in all
    /// `pairs` so far.
    fn question(&mut self, aspect: Aspect, pairs: &Pairs) -> &mut Question {
        match aspect {
            Aspect::Value => &mut self.value,
            Aspect::Structure => {
                self.structure.get_or_insert_with(|| Question::new(Tally::of_ties(pairs), 0))
            }
        }
    }
}

impl Endpoint {
    /// Adds a path of which all pairs so far are ties.
    fn open(&mut self, path: &str, mark: Option<Arc<Mark>>, revision: u64) {
        let value = Question::new(Tally::of_ties(&self.pairs), revision);
        self.paths.insert(path.into(), Path { value, structure: None, mark });
    }

    /// From now on noise can be learnt; what was counted without would be held against it.
    fn see(&mut self, revision: u64) {
        self.pairs.see();
        self.any.see();
        for question in self.paths.values_mut().flat_map(Path::questions_mut) {
            question.tally.see();
            question.revision = revision;
        }
    }
}

impl Book {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            rules: None,
            share: 1.0,
            totals: Totals::default(),
            endpoints: BTreeMap::new(),
            paths: 0,
            findings: BTreeMap::new(),
            examples: BTreeMap::new(),
            bytes: 0,
            next_example: 0,
            marks: Vec::new(),
            report: None,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) const fn is_open(&self) -> bool {
        self.rules.is_some()
    }

    pub(super) fn close(&mut self) {
        self.rules = None;
    }

    pub(super) fn open(&mut self, keep: Keep, redactor: Redactor) {
        self.rules = Some((keep, redactor));
        self.report = None;
        self.shrink();
    }

    pub(super) fn first_pairs(&self, endpoint: &str) -> u64 {
        self.endpoints.get(&*self.fold(endpoint)).map_or(0, |endpoint| endpoint.pairs.first)
    }

    /// The endpoint to count under: its own, or one for all that have no room.
    fn fold(&self, key: &str) -> Arc<str> {
        match self.endpoints.get_key_value(key) {
            Some((known, _)) => known.clone(),
            None if self.endpoints.len() < endpoint::ENDPOINTS_MAX => key.into(),
            None => endpoint::rest(key).into(),
        }
    }

    pub(super) fn record(&mut self, pair: &Pair<'_>, revision: u64) {
        self.report = None;
        let key = self.fold(pair.endpoint);
        self.totals.endpoints_over += u64::from(*key != *pair.endpoint);
        if pair.draw.is_sound() {
            self.settle(pair.draw, revision);
        }
        self.endpoints.entry(key.clone()).or_default();
        self.count(&key, pair, revision);
        if !pair.found.is_empty() {
            self.find(&key, pair, revision);
            self.shrink();
        }
    }

    /// If another share holds now, closes the pairs under the former one.
    fn settle(&mut self, draw: Draw, revision: u64) {
        let Draw::Chance(share) = draw else { return };
        if share.to_bits() == self.share.to_bits() {
            return;
        }
        for endpoint in self.endpoints.values_mut() {
            for question in endpoint.paths.values_mut().flat_map(Path::questions_mut) {
                question.tally.settle(&endpoint.pairs, self.share);
                question.revision = revision;
            }
            endpoint.any.settle(&endpoint.pairs, self.share);
            endpoint.pairs.settle(self.share);
            endpoint.revision = revision;
        }
        self.share = share;
    }

    /// Counts the pair, and at which paths there is a difference.
    fn count(&mut self, key: &Arc<str>, pair: &Pair<'_>, revision: u64) {
        let shadow = places(pair.found);
        let (asked, noise) = match pair.baseline {
            Baseline::Found(found) => (true, places(found)),
            Baseline::Unasked | Baseline::Lost => (false, BTreeSet::new()),
        };
        let is_evidence = match pair.baseline {
            Baseline::Lost => false,
            Baseline::Unasked => pair.draw != Draw::Always,
            Baseline::Found(_) => true,
        };
        let Some(endpoint) = self.endpoints.get_mut(key) else { return };
        endpoint.revision = revision;
        endpoint.compared += 1;
        self.totals.compared += 1;
        if let Some(why) = pair.uncomparable {
            endpoint.uncomparable += 1;
            *self.totals.uncomparable.entry(why.name().into()).or_default() += 1;
        }
        if let Some((shadow, second)) = pair.pace {
            endpoint.pace.count(shadow, second);
        }
        let mut hidden =
            Hidden { redactor: self.rules.as_ref().map(|(_, it)| it), pair, all: None };
        let listed = pair.paths.iter().map(|path| &**path);
        for path in listed.chain(shadow.union(&noise).map(|(path, _)| *path)) {
            if endpoint.paths.contains_key(path) {
                continue;
            }
            if self.paths >= PATHS_MAX || path.len() > PATH_MAX || hidden.hides(path) {
                self.totals.paths_over += 1;
                continue;
            }
            self.paths += 1;
            endpoint.open(path, mark_of(&self.marks, path), revision);
        }
        let is_seen = |(path, _): &(&str, Aspect)| match endpoint.paths.get(*path) {
            Some(known) => known.mark.is_none(),
            None => mark_of(&self.marks, path).is_none(),
        };
        let any = (shadow.iter().any(&is_seen), noise.iter().any(&is_seen));
        endpoint.different += u64::from(any.0);
        self.totals.different += u64::from(any.0);
        if !is_evidence || !pair.draw.is_sound() {
            return;
        }
        if pair.draw != Draw::Never && endpoint.pairs.blind > 0 {
            endpoint.see(revision);
        }
        let Endpoint { paths, pairs, any: tally, .. } = endpoint;
        for at in shadow.union(&noise) {
            if let Some(path) = paths.get_mut(at.0) {
                let differs = (shadow.contains(at), noise.contains(at));
                let question = path.question(at.1, pairs);
                question.tally.count(pair.draw, asked, differs.0, differs.1);
                question.revision = revision;
            }
        }
        pairs.count(pair.draw, asked);
        tally.count(pair.draw, asked, any.0, any.1);
    }

    /// Counts the findings of the pair and takes examples.
    fn find(&mut self, key: &Arc<str>, pair: &Pair<'_>, revision: u64) {
        let mut seen = BTreeSet::new();
        let mut clean = None;
        for one in pair.found {
            let Some(id) = self.finding(key, one, pair.at) else {
                self.totals.findings_over += 1;
                continue;
            };
            if !seen.insert(id.clone()) {
                continue;
            }
            let Some(finding) = self.findings.get_mut(&id) else { continue };
            finding.count += 1;
            finding.last_seen = finding.last_seen.max(pair.at);
            finding.revision = revision;
            let Some((keep, redactor)) = &self.rules else { continue };
            let most = usize::try_from(keep.samples).unwrap_or(usize::MAX);
            if let Some(place) = sample(finding, most) {
                let clean = clean.get_or_insert_with(|| {
                    let Pair { request, primary, shadow, found, .. } = *pair;
                    redactor.clean(&Raw { request, primary, shadow, found })
                });
                let json = self.bundle(&id, key, clean, pair);
                self.keep(&id, place, json, pair.at);
            }
        }
    }

    /// The id of the finding that `one` belongs to; none if there is no room for another.
    fn finding(&mut self, key: &Arc<str>, one: &Difference, at: u64) -> Option<Arc<str>> {
        let parts = [&**key, &*one.path, one.kind.name(), &*one.shape];
        let id = finding::id(parts);
        if let Some((id, _)) = self.findings.get_key_value(&*id) {
            return Some(id.clone());
        }
        let path = self.endpoints.get(key)?.paths.get_key_value(&*one.path)?.0.clone();
        if self.findings.len() >= FINDINGS_MAX || one.shape.len() > SHAPE_MAX {
            return None;
        }
        let siblings = self.findings.values().filter(|f| f.path == path && f.endpoint == *key);
        if siblings.count() >= SHAPES_MAX {
            return None;
        }
        let id: Arc<str> = id.into();
        let finding = Finding {
            id: id.clone(),
            endpoint: key.clone(),
            path,
            kind: one.kind.name().into(),
            shape: (*one.shape).into(),
            count: 0,
            first_seen: at,
            last_seen: at,
            rates: crate::evidence::Rates::default(),
            log_e: 0.0,
            plain_rule: false,
            verdict: Verdict::Undecided,
            mark: None,
            examples: Vec::new(),
            revision: 0,
        };
        self.findings.insert(id.clone(), finding);
        Some(id)
    }

    fn bundle(&self, id: &str, key: &str, clean: &Clean, pair: &Pair<'_>) -> Option<String> {
        let bundle = Bundle {
            gnomon_bundle: Bundle::VERSION,
            name: self.name.to_string(),
            endpoint: key.to_owned(),
            finding: id.to_owned(),
            at: pair.at,
            versions: pair.versions.to_owned(),
            config: pair.config.to_owned(),
            request: clean.request.clone(),
            primary: clean.primary.clone(),
            shadow: clean.shadow.clone(),
            differences: clean.differences.clone(),
        };
        serde_json::to_string(&bundle).ok()
    }

    /// Keeps an example in the finding's place of this number.
    fn keep(&mut self, id: &Arc<str>, place: usize, json: Option<String>, at: u64) {
        let (Some(json), Some(finding)) = (json, self.findings.get_mut(id)) else { return };
        let nth = self.next_example;
        self.next_example += 1;
        let example = Example {
            id: format!("{id}-{nth}").into(),
            finding: id.clone(),
            nth,
            at,
            json: json.into_boxed_str(),
        };
        self.bytes += example.json.len() as u64;
        finding.examples.push(example.id.clone());
        let gone = (finding.examples.len() > place + 1).then(|| finding.examples.remove(place));
        self.examples.insert(nth, Arc::new(example));
        if let Some(nth) = gone.and_then(|id| nth_of(&id)) {
            self.discard(nth);
        }
    }

    fn discard(&mut self, nth: u64) {
        if let Some(example) = self.examples.remove(&nth) {
            self.bytes -= example.json.len() as u64;
            if let Some(finding) = self.findings.get_mut(&example.finding) {
                finding.examples.retain(|id| *id != example.id);
            }
        }
    }

    /// Lets the oldest examples go until the rest has room.
    fn shrink(&mut self) {
        let most = self.rules.as_ref().map_or(u64::MAX, |(keep, _)| keep.size);
        while self.bytes > most
            && let Some((&nth, _)) = self.examples.first_key_value()
        {
            self.discard(nth);
            self.totals.examples_over += 1;
        }
    }

    /// Drops the findings that were not seen for too long, and says whether there were any.
    pub(super) fn expire(&mut self, now: u64) -> bool {
        let Some((keep, _)) = &self.rules else { return false };
        let age = u64::try_from(keep.age.as_millis()).unwrap_or(u64::MAX);
        let before = self.findings.len();
        self.drop_findings(|finding| finding.last_seen.saturating_add(age) < now);
        self.findings.len() != before
    }

    fn drop_findings(&mut self, is_gone: impl Fn(&Finding) -> bool) {
        let gone: Vec<Finding> =
            self.findings.extract_if(.., |_, finding| is_gone(finding)).map(|(_, f)| f).collect();
        if gone.is_empty() {
            return;
        }
        self.report = None;
        for nth in gone.iter().flat_map(|finding| &finding.examples).filter_map(|id| nth_of(id)) {
            self.discard(nth);
        }
    }

    pub(super) fn command(
        &mut self,
        command: Command,
        at: u64,
        revision: u64,
    ) -> Result<(), Refusal> {
        match command {
            Command::Mark { pattern, kind, by, why } => {
                self.mark(Mark { pattern, kind, by, why, at })?;
            }
            Command::Unmark { pattern } => {
                let before = self.marks.len();
                self.marks.retain(|mark| mark.pattern != pattern);
                if self.marks.len() == before {
                    return Err(Refusal::Nothing);
                }
            }
            Command::Forget { path: None } => {
                let (name, rules) = (self.name.clone(), self.rules.take());
                let marks = std::mem::take(&mut self.marks);
                let next_example = self.next_example;
                *self = Self { name, rules, marks, next_example, ..Self::new("") };
            }
            Command::Forget { path: Some(path) } => self.forget(&path, revision)?,
        }
        self.report = None;
        for endpoint in self.endpoints.values_mut() {
            for (name, path) in &mut endpoint.paths {
                path.mark = mark_of(&self.marks, name);
            }
        }
        Ok(())
    }

    fn mark(&mut self, mark: Mark) -> Result<(), Refusal> {
        let length = mark.pattern.len() + mark.by.len() + mark.why.len();
        let others = self.marks.iter().filter(|other| other.pattern != mark.pattern).count();
        if others >= MARKS_MAX || length > MARK_MAX {
            return Err(Refusal::TooMuch);
        }
        let is_path = mark.pattern.starts_with('$') && place::parse(&mark.pattern).is_some();
        let is_field = |name: &str| !name.is_empty() && !name.contains(char::is_whitespace);
        let is_plain = matches!(&*mark.pattern, "status" | "body")
            || mark.pattern.strip_prefix("header.").is_some_and(is_field);
        if !is_path && !is_plain {
            return Err(Refusal::Pattern);
        }
        self.marks.retain(|other| other.pattern != mark.pattern);
        self.marks.push(Arc::new(mark));
        Ok(())
    }

    fn forget(&mut self, name: &str, revision: u64) -> Result<(), Refusal> {
        let mut found = false;
        for endpoint in self.endpoints.values_mut() {
            if let Some(path) = endpoint.paths.get_mut(name) {
                let question = Question::new(Tally::forgotten(&endpoint.pairs), revision);
                (path.value, path.structure) = (question.clone(), Some(question));
                found = true;
            }
        }
        self.drop_findings(|finding| *finding.path == *name);
        if found { Ok(()) } else { Err(Refusal::Nothing) }
    }
}

/// Knows which paths must not be written down: the names of fields are data in some documents.
struct Hidden<'a> {
    /// None while it is not known what is secret.
    redactor: Option<&'a Redactor>,
    pair: &'a Pair<'a>,
    /// Gathered when it is first asked for: new paths are rare.
    all: Option<Secrets>,
}

impl Hidden<'_> {
    fn hides(&mut self, path: &str) -> bool {
        if !path.starts_with('$') {
            return false;
        }
        let Some(redactor) = self.redactor else { return true };
        let Pair { request, primary, shadow, second, .. } = *self.pair;
        let replies = [primary, shadow].into_iter().chain(second);
        self.all.get_or_insert_with(|| redactor.secrets(request, replies)).are_in(path)
    }
}

/// What the differences bear on.
fn places(found: &[Difference]) -> BTreeSet<(&str, Aspect)> {
    found.iter().map(|one| (&*one.path, one.kind.aspect())).collect()
}

/// The mark that holds for `path`: the last that fits.
pub(super) fn mark_of(marks: &[Arc<Mark>], path: &str) -> Option<Arc<Mark>> {
    let fits = |mark: &&Arc<Mark>| {
        *mark.pattern == *path || (mark.pattern.starts_with('$') && is_within(&mark.pattern, path))
    };
    marks.iter().rev().find(fits).cloned()
}

fn is_within(pattern: &str, path: &str) -> bool {
    let steps = |text: &str| -> Option<Vec<Step>> { place::parse(text) };
    let (Some(pattern), Some(path)) = (steps(pattern), steps(path)) else { return false };
    place::concrete(&path).is_some_and(|at| place::relation(&pattern, &at) == Relation::Inside)
}

/// Where to keep an example of this finding, which was just counted: a free place, or by chance
/// one of the later half, so that there are some of the first and some of all.
fn sample(finding: &Finding, most: usize) -> Option<usize> {
    if finding.mark.as_ref().is_some_and(|mark| mark.kind == MarkKind::Ignore) {
        return None;
    }
    if finding.examples.len() < most {
        return Some(finding.examples.len());
    }
    let draw = mixed(finding.first_seen ^ finding.count) % finding.count.max(1);
    usize::try_from(draw).ok().filter(|&place| place >= most.div_ceil(2) && place < most)
}

/// A number that looks like chance (the finaliser of SplitMix64).
const fn mixed(seed: u64) -> u64 {
    let seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let seed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let seed = (seed ^ (seed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    seed ^ (seed >> 31)
}

/// The number in an example's id.
fn nth_of(id: &str) -> Option<u64> {
    id.rsplit_once('-')?.1.parse().ok()
}

/// Paths of a shadow that are counted: a document with more has names that are made up.
pub(super) const PATHS_MAX: usize = 2000;
/// Bytes of a path.
const PATH_MAX: usize = 1024;
/// Findings of a shadow: nobody reads more.
pub(super) const FINDINGS_MAX: usize = 1000;
/// Shapes of differences at one path, so that one that is never twice the same leaves room.
const SHAPES_MAX: usize = 32;
/// Bytes of a shape.
const SHAPE_MAX: usize = 512;
/// Marks of a shadow. Each difference is held to each.
const MARKS_MAX: usize = 200;
/// Bytes of a mark's texts.
const MARK_MAX: usize = 4096;
