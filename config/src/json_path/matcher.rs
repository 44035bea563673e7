//! Many paths held against places, step by step as a document is walked.
//!
//! A path is a small nondeterministic automaton: its state is the set of steps that may come next,
//! one bit each, and the bit behind the last step says that the place is matched.

use super::{JsonPath, STEPS_MAX, Step};

const _: () = assert!(STEPS_MAX < 64, "the state of a path is one word");

/// Places above each other for which a walk makes room at once.
const USUAL_DEPTH: usize = 12;

/// Paths made ready to be held against the places of documents.
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    paths: Box<[Machine]>,
}

/// One path. Bit `i` of a mask belongs to step `i`.
#[derive(Clone, Debug)]
struct Machine {
    steps: Box<[Step]>,
    deep: u64,
    any_field: u64,
    any_index: u64,
    /// Those that name a field.
    fields: u64,
    /// Those that name an index.
    indices: u64,
    /// The bit behind the last step.
    end: u64,
}

impl Machine {
    fn new(path: &JsonPath) -> Self {
        let mask = |wanted: fn(&Step) -> bool| {
            let steps = path.steps().iter().enumerate();
            steps.filter(|(_, step)| wanted(step)).fold(0, |mask, (bit, _)| mask | 1 << bit)
        };
        Self {
            steps: path.steps().into(),
            deep: mask(|step| matches!(step, Step::Deep)),
            any_field: mask(|step| matches!(step, Step::AnyField)),
            any_index: mask(|step| matches!(step, Step::AnyIndex)),
            fields: mask(|step| matches!(step, Step::Field(_))),
            indices: mask(|step| matches!(step, Step::Index(_))),
            end: 1 << path.steps().len(),
        }
    }

    fn begin(&self) -> u64 {
        self.skip(1)
    }

    /// `..` may be no step at all.
    const fn skip(&self, state: u64) -> u64 {
        state | (state & self.deep) << 1
    }

    fn next(&self, state: u64, any: u64, named: u64, fits: impl Fn(&Step) -> bool) -> u64 {
        let mut next = state & self.deep | (state & any) << 1;
        let mut rest = state & named;
        while rest != 0 {
            let bit = rest.trailing_zeros();
            rest &= rest - 1;
            if self.steps.get(bit as usize).is_some_and(&fits) {
                next |= 2 << bit;
            }
        }
        self.skip(next)
    }
}

impl Matcher {
    /// Of these paths, whose order is kept.
    pub fn new<'p>(paths: impl IntoIterator<Item = &'p JsonPath>) -> Self {
        Self { paths: paths.into_iter().map(Machine::new).collect() }
    }

    /// Whether there is no path.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Begins at a document's root.
    #[must_use]
    pub fn walk(&self) -> Walk<'_> {
        let mut states = Vec::with_capacity(self.paths.len() * USUAL_DEPTH);
        states.extend(self.paths.iter().map(Machine::begin));
        Walk { matcher: self, states, depth: 0 }
    }
}

/// A place in a document, and which paths lead to it.
#[derive(Clone, Debug)]
pub struct Walk<'m> {
    matcher: &'m Matcher,
    /// One state per path for the root and for each place entered since.
    states: Vec<u64>,
    /// Places entered; those of an empty matcher leave no other trace.
    depth: usize,
}

impl Walk<'_> {
    /// Goes down into the field of this name.
    pub fn enter_field(&mut self, name: &str) {
        self.enter(|path, state| {
            let fits = |step: &Step| matches!(step, Step::Field(field) if **field == *name);
            path.next(state, path.any_field, path.fields, fits)
        });
    }

    /// Goes down into the item at this index.
    pub fn enter_index(&mut self, index: usize) {
        self.enter_either(index, index);
    }

    /// Goes down into an item that lies at one of these indices, in two documents.
    pub fn enter_either(&mut self, one: usize, other: usize) {
        self.enter(|path, state| {
            let fits = |step: &Step| matches!(step, Step::Index(at) if *at == one || *at == other);
            path.next(state, path.any_index, path.indices, fits)
        });
    }

    /// Goes down into an item whose index means nothing: only `[*]` and `..` lead there.
    pub fn enter_item(&mut self) {
        self.enter(|path, state| path.next(state, path.any_index, 0, |_| false));
    }

    /// Goes down into an item of which it is not known at which index it lies: every path to an item
    /// leads there, since it may.
    pub fn enter_some_item(&mut self) {
        self.enter(|path, state| path.next(state, path.any_index | path.indices, 0, |_| false));
    }

    /// Goes back up to where the last entered place lies; at the root it does nothing.
    pub fn leave(&mut self) {
        if self.depth > 0 {
            self.depth -= 1;
            self.states.truncate(self.states.len() - self.matcher.paths.len());
        }
    }

    /// Whether a path leads here.
    #[must_use]
    pub fn is_match(&self) -> bool {
        self.first_match().is_some()
    }

    /// Which path leads here, the first if there are several.
    #[must_use]
    pub fn first_match(&self) -> Option<usize> {
        let states = self.here().iter().zip(&self.matcher.paths);
        states.enumerate().find(|(_, (state, path))| *state & path.end != 0).map(|(ix, _)| ix)
    }

    /// Whether a path leads here or may lead to a place below.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.here().iter().any(|state| *state != 0)
    }

    fn here(&self) -> &[u64] {
        let start = self.states.len() - self.matcher.paths.len();
        self.states.get(start..).unwrap_or_default()
    }

    fn enter(&mut self, next: impl Fn(&Machine, u64) -> u64) {
        self.depth += 1;
        if self.matcher.is_empty() {
            return;
        }
        let start = self.states.len() - self.matcher.paths.len();
        for (offset, path) in self.matcher.paths.iter().enumerate() {
            let state = self.states.get(start + offset).copied().unwrap_or_default();
            self.states.push(if state == 0 { 0 } else { next(path, state) });
        }
    }
}
