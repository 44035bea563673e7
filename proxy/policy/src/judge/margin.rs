//! How much worse a canary may be: by step (F19) and as buckets of a time (F20); and the chance
//! that a user meets the canary for the first time.

use super::{bernoulli::Side, cohort::BUCKET_OF_ONE_MS, numbers::real_len};

/// F19: the margin in points at the exit of each step, `Δ/w_{i+1}`, where the weight after the last
/// is 1. The harm to all traffic that may go unseen is the same at every exit.
#[must_use]
pub fn graduated(risk: f64, weights: &[f64]) -> Vec<f64> {
    weights.iter().skip(1).chain(&[1.0]).map(|next| risk / next).collect()
}

/// F19: the chance that a user who was not the canary's at weight `before` is at weight `now`, if
/// users are assigned by nested hashing: `(w_e - w_prev)/(1 - w_prev)`.
#[must_use]
pub fn first_exposure(before: f64, now: f64) -> f64 {
    (now - before) / (1.0 - before)
}

/// F20: the sixteenth of an octave, counted from one millisecond, whose upper edge `2^(i/16)` ms is
/// the first that is not below `seconds`.
#[must_use]
pub fn edge(seconds: f64) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "times are far from 2^27 octaves")]
    let edge = (16.0 * (seconds * 1000.0).log2()).ceil() as i32;
    edge
}

/// F20: the bucket of [`cohort`](super::cohort) that ends at this edge.
#[must_use]
pub fn bucket_of(edge: i32) -> u16 {
    let last = i32::try_from(super::cohort::BUCKETS - 1).unwrap_or(i32::MAX);
    let bucket = edge.saturating_add(i32::from(BUCKET_OF_ONE_MS)).clamp(0, last);
    u16::try_from(bucket).unwrap_or(0)
}

/// F20: by how many buckets the canary's threshold is above stable's, so that "slower by
/// `margin`" (0.1 is 10 %) is allowed: rounded up before blaming, down before trusting.
#[must_use]
pub fn shift(margin: f64, side: Side) -> u16 {
    let buckets = 16.0 * (1.0 + margin.max(0.0)).log2();
    let whole = match side {
        Side::Worse => (buckets - 1e-12).ceil(),
        Side::NotWorse => (buckets + 1e-12).floor(),
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 368")]
    let shift = whole.clamp(0.0, real_len(super::cohort::BUCKETS)) as u16;
    shift
}
