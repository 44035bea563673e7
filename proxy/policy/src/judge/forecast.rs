//! How long it will take to be sure (F14).

use super::{
    bernoulli::{Boundary, Gains, Side, alternative, chance, gains, level},
    numbers::{halve, log_sum},
};

/// What is assumed of two versions, and what is to be shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assumption {
    /// Requests of both a second.
    pub rate: f64,
    /// Stable's chance of a bad event.
    pub stable: f64,
    /// The canary's.
    pub canary: f64,
    /// What is allowed.
    pub boundary: Boundary,
    /// What is to be shown.
    pub side: Side,
    /// The evidence that is enough is 1/`alpha`.
    pub alpha: f64,
    /// Standard deviations of bad luck that are allowed for: [`POWER_80`].
    pub luck: f64,
    /// Share of the stake that is there from the start: ½ with restarts (F4), else 1.
    pub stake: f64,
}

/// Four of five canaries are found within a forecast that allows for this bad luck.
pub const POWER_80: f64 = 0.8416;

/// F14: seconds until the evidence is enough, along steps of (weight, seconds), the last of them
/// without an end. `None`: not within thirty years.
///
/// The first t with `LSE_j( ln π_j + ln stake + D_j(t) - z sqrt(V_j(t)) ) >= ln(1/α)`, where D and
/// V are the means and squares of the gains so far.
#[must_use]
pub fn seconds(steps: &[(f64, f64)], assumed: &Assumption) -> Option<f64> {
    let b = chance(level_of(assumed.stable));
    if steps.is_empty() || !assumed.boundary.has_room(b) {
        return None;
    }
    let drifts: Vec<Drift> = steps.iter().map(|(weight, _)| drift(*weight, b, assumed)).collect();
    let enough = |time: f64| log_e(steps, &drifts, assumed, time) >= (1.0 / assumed.alpha).ln();
    let (mut low, mut high) = (0.0, 1.0);
    while !enough(high) {
        low = high;
        high *= 1.25;
        if high > NEVER {
            return None;
        }
    }
    Some(halve(low, high, enough))
}

const NEVER: f64 = 1e9;

/// Mean and mean square of each alternative's gain in one second.
type Drift = Vec<(f64, f64)>;

/// The level of a chance that is known.
fn level_of(stable: f64) -> i32 {
    // As of a sample that is too large for the half event to matter.
    level(stable * 1e15, 1e15)
}

fn drift(weight: f64, b: f64, assumed: &Assumption) -> Drift {
    let cells = [
        weight * assumed.canary,
        weight * (1.0 - assumed.canary),
        (1.0 - weight) * assumed.stable,
        (1.0 - weight) * (1.0 - assumed.stable),
    ];
    let of = |(factor, _): &(f64, f64)| {
        let c = alternative(assumed.boundary, b, *factor);
        let Gains { canary_bad, canary_good, stable_bad, stable_good } =
            gains(weight, assumed.boundary, b, c);
        let all = [canary_bad, canary_good, stable_bad, stable_good];
        let mean: f64 = all.iter().zip(cells).map(|(gain, cell)| gain * cell).sum();
        let square: f64 = all.iter().zip(cells).map(|(gain, cell)| gain * gain * cell).sum();
        (assumed.rate * mean, assumed.rate * square)
    };
    assumed.side.grid().iter().map(of).collect()
}

fn log_e(steps: &[(f64, f64)], drifts: &[Drift], assumed: &Assumption, time: f64) -> f64 {
    let grid = assumed.side.grid();
    let mut sums = vec![(0.0, 0.0); grid.len()];
    let mut left = time;
    for (index, ((_, lasts), drift)) in steps.iter().zip(drifts).enumerate() {
        let spent = if index + 1 == steps.len() { left } else { left.min(*lasts) };
        for (sum, (mean, square)) in sums.iter_mut().zip(drift) {
            sum.0 += mean * spent;
            sum.1 += square * spent;
        }
        left -= spent;
        if left <= 0.0 {
            break;
        }
    }
    let one = |((_, share), (mean, square)): (&(f64, f64), &(f64, f64))| {
        (share / 32.0 * assumed.stake).ln() + mean - assumed.luck * square.sqrt()
    };
    log_sum(grid.iter().zip(&sums).map(one))
}
