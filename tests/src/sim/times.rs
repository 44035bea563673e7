//! How long the requests of two versions take, look by look, as counts per bucket.
//!
//! Times are lognormal: half of stable's take 40 ms at most, one in a hundred more than 204 ms.

use gnomon_policy::judge::{
    bernoulli::Boundary,
    cohort::{BUCKETS, upper_edge},
};

use super::{BASE, BEFORE, TICK, WATCHED, draw::Draws, weather::Weather};
use crate::comparators::{inverse_normal, normal};

const MEDIAN: f64 = 0.040;
const SIGMA: f64 = 0.7;

/// How the canary's times differ from stable's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// Each is this many times as long.
    All(f64),
    /// Each of the slowest 3 % is this many times as long.
    Tail(f64),
}

impl Shape {
    /// As stable's.
    pub const SAME: Self = Self::All(1.0);

    /// Share of the times that are `seconds` at most.
    fn below(self, seconds: f64) -> f64 {
        let stable = |seconds: f64| normal((seconds / MEDIAN).ln() / SIGMA);
        match self {
            Self::All(factor) => stable(seconds / factor),
            Self::Tail(factor) => {
                let knee = MEDIAN * (SIGMA * inverse_normal(0.97)).exp();
                if seconds <= knee { stable(seconds) } else { stable(seconds / factor).max(0.97) }
            }
        }
    }
}

/// Counts of requests by the bucket of their time.
#[derive(Clone, Debug)]
pub struct Histogram {
    cells: Vec<u64>,
    all: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { cells: vec![0; BUCKETS], all: 0 }
    }
}

impl Histogram {
    /// All of them.
    #[must_use]
    pub const fn all(&self) -> u64 {
        self.all
    }

    /// Those beyond a bucket.
    #[must_use]
    pub fn slower(&self, bucket: usize) -> u64 {
        self.cells[bucket + 1..].iter().sum()
    }

    /// By bucket.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.cells
    }

    fn count(&mut self, bucket: usize, more: u64) {
        self.cells[bucket] += more;
        self.all += more;
    }

    /// Counts these as well.
    pub fn add(&mut self, more: &Self) {
        for (count, more) in self.cells.iter_mut().zip(&more.cells) {
            *count += more;
        }
        self.all += more.all;
    }

    /// The time that this share is not above, in seconds, evenly spread within a bucket. `None` of
    /// nothing.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let rank = share * self.all() as f64;
        let mut below = 0.0;
        for (bucket, count) in self.cells.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = *count as f64;
            if below + count >= rank {
                let within = (rank - below) / count - 1.0;
                return Some(edge(bucket) * (within / 16.0).exp2());
            }
            below += count;
        }
        None
    }
}

/// Upper edge of a bucket in seconds.
fn edge(bucket: usize) -> f64 {
    upper_edge(u16::try_from(bucket).unwrap_or(u16::MAX))
}

/// Chances of the buckets under one shape.
#[derive(Debug)]
struct Source {
    first: usize,
    /// Of the bucket, and of it and all below.
    chances: Vec<(f64, f64)>,
}

impl Source {
    fn new(shape: Shape) -> Self {
        let below: Vec<f64> = (0..BUCKETS).map(|bucket| shape.below(edge(bucket))).collect();
        let first = below.partition_point(|share| *share < 1e-9);
        let last = below.partition_point(|share| *share < 1.0 - 1e-9);
        let mut before = 0.0;
        let mut chance = |share: &f64| {
            let chance = share - before;
            before = *share;
            (chance, *share)
        };
        let mut chances: Vec<_> = below[first..last].iter().map(&mut chance).collect();
        chances.push((1.0 - before, 1.0));
        Self { first, chances }
    }

    /// Draws so many times, each `later` buckets beyond what the shape says.
    fn draw(&self, draws: &mut Draws, count: u64, later: usize) -> Histogram {
        let mut histogram = Histogram::default();
        let first = self.first + later;
        if count < FEW {
            for _ in 0..count {
                let share = draws.share();
                let bucket = self.chances.partition_point(|(_, below)| *below < share);
                histogram.count(first + bucket, 1);
            }
            return histogram;
        }
        let (mut left, mut rest) = (count, 1.0);
        for (bucket, (chance, below)) in self.chances.iter().enumerate() {
            if left == 0 {
                break;
            }
            let here = draws.binomial(left, (chance / rest).min(1.0));
            histogram.count(first + bucket, here);
            left -= here;
            rest = 1.0 - below;
        }
        histogram
    }
}

/// From this many on, drawing bucket by bucket is quicker than one by one.
const FEW: u64 = 400;

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Requests per second.
    pub rate: f64,
    /// The canary's times.
    pub canary: Shape,
    /// The canary's chance of an error, given stable's. Without it nothing fails.
    pub errors: Option<Boundary>,
    /// Whether both versions are slow now and then.
    pub rough: bool,
}

/// The requests between two looks.
#[derive(Debug)]
pub struct Tick {
    /// Seconds from the start of the rollout to the look.
    pub end: u64,
    /// Probability that a request went to the canary.
    pub weight: f64,
    /// Times of those that did.
    pub canary: Histogram,
    /// Times of those that did not.
    pub stable: Histogram,
    /// Requests of canary and stable that failed, and so have no time.
    pub failed: (u64, u64),
}

/// A rollout that is being simulated.
#[derive(Debug)]
pub struct Rollout {
    case: Case,
    draws: Draws,
    weather: Weather,
    canary: Source,
    stable: Source,
    /// Stable's requests in the ten minutes before.
    pub before: Histogram,
}

impl Rollout {
    /// The one of this seed.
    #[must_use]
    pub fn new(case: Case, seed: u64) -> Self {
        let mut draws = Draws::seeded(seed);
        let weather = if case.rough { Weather::rough(&mut draws) } else { Weather::calm() };
        let (canary, stable) = (Source::new(case.canary), Source::new(Shape::SAME));
        let all = draws.poisson(case.rate * BEFORE);
        let before = stable.draw(&mut draws, all, 0);
        Self { case, draws, weather, canary, stable, before }
    }

    /// The requests of the tick of this number.
    pub fn tick(&mut self, number: u64) -> Tick {
        let start = number * TICK;
        let (weight, minute) = (super::weight(start), self.weather.at(start));
        let all = self.draws.poisson(self.case.rate * minute.load * TICK as f64);
        let to_canary = self.draws.binomial(all, weight);
        let failed = self.failed(to_canary, all - to_canary, (BASE * minute.errors).min(1.0));
        let later = buckets(minute.slowness);
        let canary = self.canary.draw(&mut self.draws, to_canary - failed.0, later);
        let stable = self.stable.draw(&mut self.draws, all - to_canary - failed.1, later);
        Tick { end: start + TICK, weight, canary, stable, failed }
    }

    fn failed(&mut self, to_canary: u64, to_stable: u64, chance: f64) -> (u64, u64) {
        let Some(canary) = self.case.errors else { return (0, 0) };
        let bad = self.draws.binomial(to_canary, canary.at(chance).min(1.0));
        (bad, self.draws.binomial(to_stable, chance))
    }

    /// How many ticks there are.
    #[must_use]
    pub const fn ticks() -> u64 {
        WATCHED / TICK
    }
}

/// A slowness as whole buckets, of 4.4 % each.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at least 1, at most 3"
)]
fn buckets(slowness: f64) -> usize {
    (16.0 * slowness.log2()).round() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(shape: Shape, count: u64) -> Histogram {
        let source = Source::new(shape);
        let mut draws = Draws::seeded(3);
        let mut all = Histogram::default();
        for _ in 0..100 {
            all.add(&source.draw(&mut draws, count / 100, 0));
        }
        assert_eq!(all.all(), count);
        all
    }

    #[track_caller]
    fn close(got: Option<f64>, want: f64, error: f64) {
        let got = got.unwrap();
        assert!((got / want - 1.0).abs() < error, "{got} for {want}");
    }

    #[test]
    fn few_and_many_are_drawn_from_the_same_distribution() {
        for (count, error) in [(30_000, 0.07), (3_000_000, 0.01)] {
            let same = drawn(Shape::SAME, count);
            close(same.quantile(0.5), 0.040, error);
            close(same.quantile(0.99), 0.2038, error);
            let all = drawn(Shape::All(1.2), count);
            close(all.quantile(0.5), 0.048, error);
            let tail = drawn(Shape::Tail(1.2), count);
            close(tail.quantile(0.5), 0.040, error);
            close(tail.quantile(0.99), 0.2446, error);
        }
    }

    #[test]
    fn slower_is_beyond_the_bucket() {
        let mut histogram = Histogram::default();
        histogram.count(3, 2);
        histogram.count(4, 5);
        assert_eq!((histogram.slower(2), histogram.slower(3), histogram.slower(4)), (7, 5, 0));
        assert!(Histogram::default().quantile(0.5).is_none());
    }
}
