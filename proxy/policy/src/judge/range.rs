//! Ranges for display of one version alone: of a rate (F7) and of a quantile (F8), valid whenever
//! one looks while nothing changes.

use super::{
    bernoulli::Counts,
    numbers::{halve, real},
};

/// F9: logarithm of the evidence against the rate `p`, with a Beta(`a`, `b`) prior over the others:
/// `ln B(a+k, b+n-k) - ln B(a, b) - k ln p - (n-k) ln(1-p)`.
#[must_use]
pub fn beta_mixture(counts: Counts, p: f64, a: f64, b: f64) -> f64 {
    Mixture::new(counts, a, b).against(p)
}

/// F7: the rates that are not refuted at `alpha`, with a Beta(½, ½) prior.
#[must_use]
pub fn rate(counts: Counts, alpha: f64) -> (f64, f64) {
    if counts.all == 0 {
        return (0.0, 1.0);
    }
    let bound = (1.0 / alpha).ln();
    let mixture = Mixture::new(counts, 0.5, 0.5);
    let refuted = |p: f64| mixture.against(p) >= bound;
    let likely = counts.rate();
    let low = if counts.bad == 0 { 0.0 } else { halve(0.0, likely, |p| !refuted(p)) };
    let high = if counts.bad == counts.all { 1.0 } else { halve(likely, 1.0, refuted) };
    (low, high)
}

/// F8: between which buckets the `p`-quantile lies, at `alpha`: it is above the upper edge of the
/// first and not above that of the second. `None`: no bound.
#[must_use]
pub fn quantile(counts: &[u64], p: f64, alpha: f64) -> (Option<usize>, Option<usize>) {
    let mut all = 0;
    let below: Vec<u64> = counts
        .iter()
        .map(|count| {
            all += count;
            all
        })
        .collect();
    let (a, b) = if p >= 0.5 { (p / (1.0 - p), 1.0) } else { (1.0, (1.0 - p) / p) };
    let bound = (2.0 / alpha).ln();
    let refuted = |below: u64| beta_mixture(Counts { bad: below, all }, p, a, b) >= bound;
    // The evidence is convex in how many are below, and least where those are the share that they
    // should be: what refutes is at the ends, and where it stops is found by halving.
    let (few, enough) = below.split_at(below.partition_point(|it| real(*it) < real(all) * p));
    let low = few.partition_point(|it| refuted(*it)).checked_sub(1);
    let many = enough.partition_point(|it| real(*it) <= real(all) * p || !refuted(*it));
    let high = (many < enough.len()).then_some(few.len() + many);
    (low, high)
}

/// F9 for many rates: what does not depend on the rate is computed once.
struct Mixture {
    bad: f64,
    good: f64,
    x: f64,
    y: f64,
    /// What is added to the parts of the rate, in this order.
    rest: [f64; 3],
    prior: f64,
}

impl Mixture {
    fn new(counts: Counts, a: f64, b: f64) -> Self {
        let (bad, good) = (real(counts.bad), real(counts.all - counts.bad));
        let (x, y) = (a + bad, b + good);
        let rest = [a * (x / (x + y)).ln(), b * (y / (x + y)).ln(), spread(x, y)];
        Self { bad, good, x, y, rest, prior: log_beta(a, b) }
    }

    fn against(&self, p: f64) -> f64 {
        let Self { bad, good, x, y, rest: [first, second, third], prior } = *self;
        // The large terms of both sides are put together before they are subtracted.
        let bad_part = if bad > 0.0 { bad * (x / (x + y) / p).ln() } else { 0.0 };
        let good_part = if good > 0.0 { good * ((y / (x + y)).ln() - (-p).ln_1p()) } else { 0.0 };
        bad_part + good_part + first + second + third - prior
    }
}

/// `ln B(x, y)`, the logarithm of the beta function.
fn log_beta(x: f64, y: f64) -> f64 {
    x * (x / (x + y)).ln() + y * (y / (x + y)).ln() + spread(x, y)
}

/// What `ln B(x, y)` is above `x ln(x/(x+y)) + y ln(y/(x+y))`.
fn spread(x: f64, y: f64) -> f64 {
    0.5 * (std::f64::consts::TAU * ((x + y) / x / y)).ln() + rest(x) + rest(y) - rest(x + y)
}

/// What `ln Γ(x)` is above Stirling's `(x-½) ln x - x + ½ ln 2π`.
fn rest(x: f64) -> f64 {
    let mut shifted = x;
    let mut product = 1.0;
    while shifted < 12.0 {
        product *= shifted;
        shifted += 1.0;
    }
    let inverse = 1.0 / shifted;
    let square = inverse * inverse;
    let series = STIRLING.iter().rev().fold(0.0, |sum, term| sum * square + term) * inverse;
    if shifted > x {
        let stirling = |x: f64| (x - 0.5) * x.ln() - x;
        series + stirling(shifted) - stirling(x) - product.ln()
    } else {
        series
    }
}

/// Coefficients of 1/x, 1/x³ … in Stirling's series.
const STIRLING: [f64; 7] = [
    1.0 / 12.0,
    -1.0 / 360.0,
    1.0 / 1260.0,
    -1.0 / 1680.0,
    1.0 / 1188.0,
    -691.0 / 360_360.0,
    1.0 / 156.0,
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// F8 as it is written: every bucket is looked at.
    fn one_by_one(counts: &[u64], p: f64, alpha: f64) -> (Option<usize>, Option<usize>) {
        let all = counts.iter().sum::<u64>();
        let (a, b) = if p >= 0.5 { (p / (1.0 - p), 1.0) } else { (1.0, (1.0 - p) / p) };
        let bound = (2.0 / alpha).ln();
        let (mut low, mut high, mut below) = (None, None, 0);
        for (index, count) in counts.iter().enumerate() {
            below += count;
            if beta_mixture(Counts { bad: below, all }, p, a, b) >= bound {
                if real(below) < real(all) * p {
                    low = Some(index);
                } else if real(below) > real(all) * p && high.is_none() {
                    high = Some(index);
                }
            }
        }
        (low, high)
    }

    proptest! {
        #[test]
        fn halving_finds_the_same_quantiles(
            counts in prop::collection::vec(prop_oneof![Just(0_u64), 0_u64..40, 0_u64..5000], 0..60),
            p in prop_oneof![Just(0.5), Just(0.95), Just(0.99), 0.01_f64..0.99],
            alpha in 0.001_f64..0.5,
        ) {
            prop_assert_eq!(quantile(&counts, p, alpha), one_by_one(&counts, p, alpha));
        }
    }
}
