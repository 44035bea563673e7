//! One request's flags: each evaluated at most once, when first asked for.

use std::cell::Cell;

use gnomon_config::model::flag::WATCHED_MAX;

use crate::{
    context::RequestContext,
    groups::Memberships,
    resolution::Resolution,
    rules::{Draw, Pair},
    set::FlagSet,
};

/// The flags of one request. All who ask, ask this; so they agree, whatever is changed meanwhile.
#[derive(Debug)]
pub struct Evaluation<'a> {
    set: &'a FlagSet,
    context: RequestContext<'a>,
    /// Seconds since 1970.
    now: u64,
    memberships: Memberships,
    /// By the flag's place among the watched.
    known: [Cell<Option<Resolution>>; WATCHED_MAX],
    /// A bit for each watched flag whose answer has made a difference.
    used: Cell<u64>,
    /// A bit for each watched flag whose answer was told to us.
    frozen: Cell<u64>,
}

impl<'a> Evaluation<'a> {
    /// Nothing is evaluated yet. `now` is in seconds since 1970.
    #[must_use]
    pub fn new(set: &'a FlagSet, context: RequestContext<'a>, now: u64) -> Self {
        Self {
            set,
            context,
            now,
            memberships: Memberships::default(),
            known: [const { Cell::new(None) }; WATCHED_MAX],
            used: Cell::new(0),
            frozen: Cell::new(0),
        }
    }

    /// The set it asks.
    #[must_use]
    pub const fn set(&self) -> &'a FlagSet {
        self.set
    }

    /// Who it is about.
    #[must_use]
    pub const fn context(&self) -> &RequestContext<'a> {
        &self.context
    }

    /// When it is, in seconds since 1970.
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// What it was told before by somebody who is believed.
    pub fn freeze(&self, place: usize, resolution: Resolution) {
        self.frozen.set(self.frozen.get() | 1 << (place % WATCHED_MAX));
        self.known[place % WATCHED_MAX].set(Some(resolution));
    }

    /// How the watched flag at this place is drawn between two of its variants. Nothing if no draw
    /// decides, or if somebody has told us what it comes to: then it was drawn elsewhere.
    pub fn draw(&self, place: usize, pair: Pair) -> Option<Draw> {
        if self.frozen.get() & 1 << (place % WATCHED_MAX) != 0 {
            return None;
        }
        let flag = *self.set.watched().get(place)?;
        self.set.draw(flag, pair, &self.context, self.now, &self.memberships)
    }

    /// What the watched flag at this place comes to.
    pub fn resolve(&self, place: usize) -> Resolution {
        let cell = &self.known[place % WATCHED_MAX];
        if let Some(known) = cell.get() {
            return known;
        }
        let flag = self.set.watched()[place];
        let resolution = self.set.evaluate_with(flag, &self.context, self.now, &self.memberships);
        cell.set(Some(resolution));
        resolution
    }

    /// The same; what it comes to makes a difference for this request, which is an exposure.
    pub fn expose(&self, place: usize) -> Resolution {
        self.used.set(self.used.get() | 1 << (place % WATCHED_MAX));
        self.resolve(place)
    }

    /// The watched flags that made a difference, by place, each with what it came to.
    pub fn exposures(&self) -> impl Iterator<Item = (usize, Resolution)> {
        let used = self.used.get();
        let is_used = move |place: &usize| used & 1 << place != 0;
        let watched = 0..self.set.watched().len();
        watched.filter(is_used).map(|place| (place, self.resolve(place)))
    }
}
