//! Bad events of one version against a fixed bound (F13).

use super::{
    bernoulli::{Boundary, Counts, Side, alternative},
    numbers::{mixed, real},
};

/// F13: logarithm of the evidence that the chance of a bad event is above `bound`, or below it:
/// `LSE_j( ln π_j + k ln(c_j/p) + (n-k) ln((1-c_j)/(1-p)) )`, `odds(c_j) = g_j·odds(p)`. With a
/// bound of ½ it is a sign test.
#[must_use]
pub fn log_e(counts: Counts, bound: f64, side: Side) -> f64 {
    let mut logs = [0.0; 12];
    add(counts, bound, side, &mut logs);
    mixed(side.grid(), &logs)
}

/// F13: adds to `logs` what these requests do to the wealth of each alternative.
pub fn add(counts: Counts, bound: f64, side: Side, logs: &mut [f64]) {
    for (log, (factor, _)) in logs.iter_mut().zip(side.grid()) {
        let other = alternative(Boundary::EQUAL, bound, *factor);
        *log += real(counts.bad) * (other / bound).ln()
            + real(counts.all - counts.bad) * ((1.0 - other) / (1.0 - bound)).ln();
    }
}
