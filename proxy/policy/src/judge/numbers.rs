//! What the formulas share: sums of logarithms, grids of alternatives, halving an interval.

/// Logarithm of the sum of what these are logarithms of.
#[must_use]
pub fn log_sum(logs: impl IntoIterator<Item = f64> + Clone) -> f64 {
    let most = logs.clone().into_iter().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        return most;
    }
    most + logs.into_iter().map(|log| (log - most).exp()).sum::<f64>().ln()
}

/// Logarithm of the sum of what these two finite numbers are logarithms of.
#[must_use]
pub fn log_add(a: f64, b: f64) -> f64 {
    a.max(b) + (-(a - b).abs()).exp().ln_1p()
}

/// A count as a real number.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
#[must_use]
pub const fn real(count: u64) -> f64 {
    count as f64
}

/// A length as a real number.
#[expect(clippy::cast_precision_loss, reason = "lengths stay far below 2^53")]
#[must_use]
pub const fn real_len(count: usize) -> f64 {
    count as f64
}

/// A share of a whole; 0 of nothing.
#[must_use]
pub fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { real(part) / real(whole) }
}

/// Where `is_above` turns from false to true between `low` and `high`, as closely as numbers go.
#[must_use]
pub fn halve(mut low: f64, mut high: f64, mut is_above: impl FnMut(f64) -> bool) -> f64 {
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if is_above(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    0.5 * (low + high)
}

/// Factors on the odds that are betted on, and thirty-seconds of the stake on each.
pub type Grid = [(f64, f64)];

/// Bets on more bad events than the claim allows (`G_UP`).
pub const UP: [(f64, f64); 12] = [
    (1.1, 2.0),
    (1.25, 3.0),
    (1.5, 4.0),
    (2.0, 4.0),
    (3.0, 4.0),
    (5.0, 4.0),
    (8.0, 3.0),
    (16.0, 2.0),
    (40.0, 2.0),
    (100.0, 2.0),
    (400.0, 1.0),
    (2000.0, 1.0),
];

/// Bets on fewer bad events than the claim requires (`G_DN`).
pub const DOWN: [(f64, f64); 10] = [
    (0.95, 2.0),
    (0.9, 3.0),
    (0.8, 4.0),
    (0.7, 4.0),
    (0.6, 4.0),
    (0.5, 4.0),
    (0.35, 4.0),
    (0.2, 3.0),
    (0.1, 2.0),
    (0.02, 2.0),
];

/// What is wealth after bets whose logarithms of wealth are these, with the stakes of `grid`.
#[must_use]
pub fn mixed(grid: &Grid, logs: &[f64]) -> f64 {
    log_sum(grid.iter().zip(logs).map(|((_, stake), log)| (stake / 32.0).ln() + log))
}
