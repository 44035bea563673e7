//! One signal: its bets, and what is shown of it.

use serde::{Deserialize, Serialize};

use super::{
    bernoulli::{Boundary, Counts, Side},
    cohort::Cohort,
    event::{Event, level_sum},
    events::Epoch,
    kpi::Toward,
    margin::shift,
    part::{Bound, Mean, Odds, Part, counts},
    past::{Faded, Thresholds},
    rules::{Allowed, Held, QUANTILES, Signal, Worsening, bucket_at},
};

/// A number for each version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Both<T> {
    /// The canary's.
    pub canary: T,
    /// Stable's.
    pub stable: T,
}

/// A signal, its bets with their shares, and its counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Gauge {
    held: Held,
    parts: Vec<(f64, Part)>,
    /// One for each quantile of the whole distribution, as its bets; else a single one.
    seen: Vec<Seen>,
}

/// What was counted, for display.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Seen {
    shown: Shown,
    /// Bad events and requests in this step.
    pub(super) here: Both<Counts>,
    /// Bad events and requests since the canary began.
    pub(super) overall: Both<Counts>,
    /// Bad events by weight; none of a mean.
    pub(super) epochs: Vec<Epoch>,
}

/// What is counted for display.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Shown {
    Event(Event),
    /// Of the KPI of this index.
    Levels(usize),
}

impl Gauge {
    /// For a signal that the canary is held to.
    pub(super) fn new(held: &Held) -> Self {
        let parts = match held.allowed {
            Allowed::Against(boundary) => against(held.signal, boundary),
            Allowed::AtMost(most) => at_most(held.signal, most),
        };
        let seen = shown(held).into_iter().map(Seen::new).collect();
        Self { held: held.clone(), parts, seen }
    }

    /// What the canary is held to.
    pub(super) const fn held(&self) -> &Held {
        &self.held
    }

    /// Its bets.
    pub(super) fn parts_mut(&mut self) -> impl Iterator<Item = &mut Part> {
        self.parts.iter_mut().map(|(_, part)| part)
    }

    /// Counts for display.
    pub(super) fn show(&mut self, cohort: &Cohort, thresholds: &Thresholds) {
        self.seen.iter_mut().for_each(|seen| seen.count(cohort, thresholds));
    }

    /// The counts of a step begin anew.
    pub(super) fn begin_step(&mut self) {
        self.seen.iter_mut().for_each(|seen| seen.here = Both::default());
    }

    /// What was counted of the bet that won most.
    pub(super) fn loudest(&self) -> Option<&Seen> {
        let loud = self.parts.iter().zip(&self.seen);
        loud.max_by(|((a, one), _), ((b, other), _)| (a * one.e()).total_cmp(&(b * other.e())))
            .map(|(_, seen)| seen)
    }

    /// Evidence that the limit is broken.
    pub(super) fn e(&self) -> f64 {
        self.parts.iter().map(|(share, part)| share * part.e()).sum()
    }

    /// The same, as far as it may be acted on.
    pub(super) fn guarded(&self) -> f64 {
        self.parts.iter().map(|(share, part)| share * part.guarded()).sum()
    }

    /// What bets on bounds won that stable breaks as well.
    pub(super) fn shared(&self) -> f64 {
        let shared = self.parts.iter().filter(|(_, part)| part.stable_breaks_it());
        shared.map(|(share, part)| share * part.won()).sum()
    }
}

impl Seen {
    fn new(shown: Shown) -> Self {
        let (here, overall) = (Both::default(), Both::default());
        Self { shown, here, overall, epochs: Vec::new() }
    }

    /// The quantile of stable's past that slower requests are counted of.
    pub(super) const fn quantile(&self) -> Option<f64> {
        match self.shown {
            Shown::Event(Event::Slow { quantile, .. }) => Some(quantile),
            Shown::Event(_) | Shown::Levels(_) => None,
        }
    }

    fn count(&mut self, cohort: &Cohort, thresholds: &Thresholds) {
        let both = match self.shown {
            Shown::Event(event) => counts(event, cohort, thresholds),
            Shown::Levels(kpi) => {
                Some((level_sum(&cohort.canary, kpi), level_sum(&cohort.stable, kpi)))
            }
        };
        let Some((canary, stable)) = both else { return };
        for both in [&mut self.here, &mut self.overall] {
            both.canary.add(canary);
            both.stable.add(stable);
        }
        if matches!(self.shown, Shown::Event(_)) {
            self.count_events(cohort.weight, canary.bad, canary.bad + stable.bad);
        }
    }

    fn count_events(&mut self, weight: f64, canary: u64, all: u64) {
        let known = |epoch: &&mut Epoch| epoch.weight.to_bits() == weight.to_bits();
        if all == 0 {
            return;
        }
        match self.epochs.iter_mut().find(known) {
            Some(epoch) => {
                epoch.canary += canary;
                epoch.all += all;
            }
            None => self.epochs.push(Epoch { weight, canary, all }),
        }
    }
}

fn shown(held: &Held) -> Vec<Shown> {
    let event = match (held.signal, held.allowed) {
        (Signal::Errors, _) => Event::Failed,
        (Signal::Class(class), _) => Event::Class(class),
        (Signal::Latency | Signal::Quantile(_), Allowed::AtMost(seconds)) => {
            Event::Beyond { bucket: bucket_at(seconds) }
        }
        (Signal::Latency, Allowed::Against(boundary)) => {
            return QUANTILES.map(|(quantile, _)| Shown::Event(slow(quantile, boundary))).into();
        }
        (Signal::Quantile(quantile), Allowed::Against(boundary)) => slow(quantile, boundary),
        (Signal::Conversion(kpi, _), _) => Event::Kept { kpi },
        (Signal::Amount(kpi, _), _) => return vec![Shown::Levels(kpi)],
    };
    vec![Shown::Event(event)]
}

fn slow(quantile: f64, boundary: Boundary) -> Event {
    Event::Slow { quantile, shift: shift(boundary.ratio - 1.0, Side::Worse) }
}

/// Supposed of stable before anything is known: none of a hundred.
const UNKNOWN: Faded = Faded { bad: 0.0, all: 100.0 };

fn against(signal: Signal, boundary: Boundary) -> Vec<(f64, Part)> {
    let odds = |event, boundary, side, past| Part::Odds(Odds::new(event, boundary, side, past));
    let slower = |quantile| {
        let past = Faded { bad: (1.0 - quantile) * UNKNOWN.all, all: UNKNOWN.all };
        odds(slow(quantile, boundary), Boundary::EQUAL, Side::Worse, past)
    };
    match signal {
        Signal::Errors => vec![(1.0, odds(Event::Failed, boundary, Side::Worse, UNKNOWN))],
        Signal::Class(class) => {
            vec![(1.0, odds(Event::Class(class), boundary, Side::Worse, UNKNOWN))]
        }
        Signal::Latency => QUANTILES.map(|(quantile, share)| (share, slower(quantile))).into(),
        Signal::Quantile(quantile) => vec![(1.0, slower(quantile))],
        Signal::Conversion(kpi, Worsening::Higher) => {
            vec![(1.0, odds(Event::Kept { kpi }, boundary, Side::Worse, Faded::default()))]
        }
        Signal::Conversion(kpi, Worsening::Lower) => fewer(kpi, boundary).into(),
        Signal::Amount(kpi, Worsening::Higher) => {
            vec![(1.0, Part::Mean(Mean::new(kpi, boundary, Toward::Higher)))]
        }
        Signal::Amount(kpi, Worsening::Lower) => {
            vec![(1.0, Part::Mean(Mean::new(kpi, fallen(boundary), Toward::Lower)))]
        }
    }
}

/// Fewer conversions, as more failures to convert and as fewer conversions: the same claim, but
/// each is a poor bet where its event is the common one.
fn fewer(kpi: usize, boundary: Boundary) -> [(f64, Part); 2] {
    let Boundary { ratio, points } = fallen(boundary);
    let kept = Boundary { ratio, points: -points };
    let lost = Boundary { ratio, points: 1.0 - ratio + points };
    let past = Faded::default();
    [
        (0.5, Part::Odds(Odds::new(Event::Lost { kpi }, lost, Side::Worse, past))),
        (0.5, Part::Odds(Odds::new(Event::Kept { kpi }, kept, Side::NotWorse, past))),
    ]
}

/// "5 %" worse, which is 1.05 of what gets worse by rising, is 0.95 of what does by falling.
const fn fallen(boundary: Boundary) -> Boundary {
    Boundary { ratio: (2.0 - boundary.ratio).max(0.01), points: boundary.points }
}

fn at_most(signal: Signal, most: f64) -> Vec<(f64, Part)> {
    let bound = |event, bound: f64| vec![(1.0, Part::Bound(Bound::new(event, bound.min(0.9))))];
    match signal {
        Signal::Errors => bound(Event::Failed, most),
        Signal::Class(class) => bound(Event::Class(class), most),
        Signal::Latency => bound(Event::Beyond { bucket: bucket_at(most) }, 0.001),
        Signal::Quantile(quantile) => {
            bound(Event::Beyond { bucket: bucket_at(most) }, 1.0 - quantile)
        }
        Signal::Conversion(kpi, _) => bound(Event::Kept { kpi }, most),
        Signal::Amount(..) => Vec::new(),
    }
}
