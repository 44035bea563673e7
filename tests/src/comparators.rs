//! Tests and bounds that others use, for comparison with the judge. The product has none of them.

/// F10: half-width of a band around a distribution function that holds at all times, after `t`
/// values: `0.85 sqrt((ln(1 + ln(t/t_min)) + C)/t)` (Howard and Ramdas, 1906.09712, theorem 2).
#[must_use]
pub fn dkw_lil(t: f64, t_min: f64, constant: f64) -> f64 {
    DKW_A * ((((t / t_min).ln()).ln_1p() + constant) / t).sqrt()
}

/// F10: the C of [`dkw_lil`] at `alpha`, from the theorem's own bound on the chance of a miss:
/// the least over η of `4 exp(-γ²C)(1 + 1/((γ²-1) ln η))`, `γ = sqrt(2/η)(A - sqrt(2(η-1)/C))`.
#[must_use]
pub fn dkw_constant(alpha: f64) -> f64 {
    halve(1.0, 100.0, |constant| missed(constant) <= alpha)
}

/// F10: C in closed form, one or two percent too wide.
#[must_use]
pub fn dkw_constant_closed(alpha: f64) -> f64 {
    0.8 * (1612.0 / alpha).ln()
}

fn missed(constant: f64) -> f64 {
    let at = |eta: f64| {
        let gamma = (2.0 / eta).sqrt() * (DKW_A - (2.0 * (eta - 1.0) / constant).sqrt());
        let excess = gamma * gamma - 1.0;
        if gamma <= 1.0 {
            return f64::INFINITY;
        }
        4.0 * (-gamma * gamma * constant).exp() * (1.0 + 1.0 / (excess * eta.ln()))
    };
    let most = 2.0 * DKW_A * DKW_A;
    let steps = 2000;
    let nth = |i: i32| 1.0 + (most - 1.0) * f64::from(i) / f64::from(steps);
    let best = (1..steps).min_by(|a, b| at(nth(*a)).total_cmp(&at(nth(*b)))).unwrap_or(1);
    let (mut low, mut high) = (nth(best - 1), nth(best + 1));
    for _ in 0..100 {
        let (a, b) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
        if at(a) < at(b) {
            high = b;
        } else {
            low = a;
        }
    }
    at(0.5 * (low + high))
}

const DKW_A: f64 = 0.85;

/// What a stitched boundary is drawn with.
#[derive(Clone, Copy, Debug)]
pub struct Stitch {
    /// Chance that it is ever crossed.
    pub alpha: f64,
    /// Variance from which on it is tight.
    pub v_min: f64,
    /// Scale of the tail: 0 is sub-Gaussian.
    pub c: f64,
    /// Exponent of the epochs' shares.
    pub s: f64,
    /// Ratio of the epochs' lengths.
    pub eta: f64,
}

/// F11: a polynomial stitched boundary at variance `v` (Howard, Ramdas, McAuliffe and Sekhon 2021).
#[must_use]
pub fn stitched(v: f64, with: Stitch) -> f64 {
    let Stitch { alpha, v_min, c, s, eta } = with;
    let v = v.max(v_min);
    let k1 = (eta.powf(0.25) + eta.powf(-0.25)) / 2.0_f64.sqrt();
    let k2 = (eta.sqrt() + 1.0) / 2.0;
    let epochs = s * (eta * v / v_min).ln().ln() + (zeta(s) / eta.ln().powf(s)).ln();
    let log = epochs + (1.0 / alpha).ln();
    let linear = k2 * c * log;
    (k1 * k1 * v * log + linear * linear).sqrt() + linear
}

/// Riemann's ζ above 1, by Euler and Maclaurin.
fn zeta(s: f64) -> f64 {
    let n = 1000.0_f64;
    let sum: f64 = (1..1000).map(|k| f64::from(k).powf(-s)).sum();
    sum + n.powf(1.0 - s) / (s - 1.0) + 0.5 * n.powf(-s) + s / 12.0 * n.powf(-s - 1.0)
}

/// F17: the z that a standard normal value is below with chance `p`.
#[must_use]
pub fn inverse_normal(p: f64) -> f64 {
    if p > 0.5 {
        return -inverse_normal(1.0 - p);
    }
    halve(-40.0, 0.0, |z| 0.5 * erfc(-z / 2.0_f64.sqrt()) >= p)
}

/// F17, the other way: the chance that a standard normal value is below `z`.
#[must_use]
pub fn normal(z: f64) -> f64 {
    let beyond = 0.5 * erfc(z.abs() / 2.0_f64.sqrt());
    if z < 0.0 { beyond } else { 1.0 - beyond }
}

/// The complement of the error function, for `x >= 0`.
fn erfc(x: f64) -> f64 {
    let scale = 2.0 / std::f64::consts::PI.sqrt();
    if x < 2.5 {
        let (mut term, mut sum, mut n) = (x, x, 0.0);
        while term.abs() > 1e-18 {
            n += 1.0;
            term *= 2.0 * x * x / (2.0 * n + 1.0);
            sum += term;
        }
        return 1.0 - scale * (-x * x).exp() * sum;
    }
    let fraction = (1..=200).rev().fold(x, |below, k| x + f64::from(k) / 2.0 / below);
    0.5 * scale * (-x * x).exp() / fraction
}

/// F18: logarithm of the mixture sequential probability ratio of `n` values with this mean and
/// standard deviation against a mean of 0, with a normal prior of width `tau` (Johari, Pekelis and
/// Walsh).
#[must_use]
pub fn msprt(n: f64, mean: f64, sigma: f64, tau: f64) -> f64 {
    let (s, t) = (sigma * sigma, n * tau * tau);
    0.5 * (s / (s + t)).ln() + n * t * mean * mean / (2.0 * s * (s + t))
}

/// Requests and errors of two versions while nothing changed.
#[derive(Clone, Copy, Debug)]
pub struct Stratum {
    /// Requests to the canary.
    pub canary: f64,
    /// Of them, errors.
    pub canary_bad: f64,
    /// Requests to stable.
    pub stable: f64,
    /// Of them, errors.
    pub stable_bad: f64,
}

/// F21: z of two proportions, all strata in one.
#[must_use]
pub fn pooled_z(strata: &[Stratum]) -> f64 {
    let sum = |of: fn(&Stratum) -> f64| strata.iter().map(of).sum::<f64>();
    let (a, x) = (sum(|it| it.canary), sum(|it| it.canary_bad));
    let (b, y) = (sum(|it| it.stable), sum(|it| it.stable_bad));
    let p = (x + y) / (a + b);
    (x / a - y / b) / (p * (1.0 - p) * (1.0 / a + 1.0 / b)).sqrt()
}

/// F21: z of Cochran, Mantel and Haenszel, stratum by stratum.
#[must_use]
pub fn stratified_z(strata: &[Stratum]) -> f64 {
    let (mut over, mut variance) = (0.0, 0.0);
    for it in strata {
        let n = it.canary + it.stable;
        let bad = it.canary_bad + it.stable_bad;
        over += it.canary_bad - bad * it.canary / n;
        variance += it.canary * it.stable * bad * (n - bad) / (n * n * (n - 1.0));
    }
    over / variance.sqrt()
}

/// What a shift of one series above another looks like to [`shift`].
#[derive(Clone, Copy, Debug)]
pub struct Shift {
    /// Median of all differences (Hodges and Lehmann).
    pub median: f64,
    /// Mann and Whitney's U of the canary, moved down by a quarter of that median.
    pub u: f64,
    /// Its z, with corrections for ties and continuity.
    pub z: f64,
    /// Ratio of the means.
    pub mean_ratio: f64,
    /// Whether the well-known canary tool would call it high.
    pub is_high: bool,
}

/// F22: that tool's classifier of two time series, with its defaults.
#[must_use]
pub fn shift(canary: &[f64], stable: &[f64]) -> Shift {
    const TIED: f64 = 1e-9;
    let pairs = canary.iter().flat_map(|a| stable.iter().map(move |b| a - b));
    let mut differences: Vec<f64> = pairs.collect();
    differences.sort_by(f64::total_cmp);
    let middle = |at: usize| differences[at];
    let median = f64::midpoint(middle((differences.len() - 1) / 2), middle(differences.len() / 2));
    let moved = 0.25 * median.abs();
    let score = |difference: &f64| match difference - moved {
        over if over > TIED => 1.0,
        over if over >= -TIED => 0.5,
        _ => 0.0,
    };
    let u: f64 = differences.iter().map(score).sum();
    let (m, n) = (count(canary), count(stable));
    let over = u - m * n / 2.0;
    let mut all: Vec<f64> =
        canary.iter().map(|a| a - moved).chain(stable.iter().copied()).collect();
    all.sort_by(f64::total_cmp);
    let ties: f64 =
        all.chunk_by(|a, b| b - a <= TIED).map(|tied| count(tied).powi(3) - count(tied)).sum();
    let variance = m * n / 12.0 * ((m + n + 1.0) - ties / ((m + n) * (m + n - 1.0)));
    let sign = if over == 0.0 { 0.0 } else { over.signum() };
    let z = (over - 0.5 * sign) / variance.sqrt();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / count(values);
    let mean_ratio = mean(canary) / mean(stable);
    Shift { median, u, z, mean_ratio, is_high: z > inverse_normal(0.99) && mean_ratio >= 1.0 }
}

#[expect(clippy::cast_precision_loss, reason = "series are short")]
const fn count(values: &[f64]) -> f64 {
    values.len() as f64
}

/// Where `is_above` turns from false to true.
fn halve(mut low: f64, mut high: f64, is_above: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if is_above(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    f64::midpoint(low, high)
}
