//! Draws from the distributions that traffic is made of.

use gnomon_policy::luck::Luck;

/// A seeded stream of draws.
#[derive(Debug)]
pub struct Draws(Luck);

impl Draws {
    /// The same seed gives the same draws.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Luck::seeded(seed))
    }

    /// Between 0 and 1, both excluded.
    pub fn share(&mut self) -> f64 {
        ((self.0.draw() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Between two numbers.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.share()
    }

    /// One of the first `count` numbers from 0 on.
    pub fn below(&mut self, count: u64) -> u64 {
        whole(self.share() * count as f64)
    }

    /// Whether something of this chance happens.
    pub fn happens(&mut self, chance: f64) -> bool {
        self.share() < chance
    }

    /// Normal, of mean 0 and variance 1 (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.share().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.share()).cos()
    }

    /// Exponential with this mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.share().ln()
    }

    /// How many arrive where `mean` are expected.
    pub fn poisson(&mut self, mean: f64) -> u64 {
        if mean <= 0.0 {
            return 0;
        }
        if mean >= LARGE {
            return self.poisson_rejected(mean);
        }
        let (mut term, mut rest, mut count) = ((-mean).exp(), self.share(), 0);
        while rest > term && count < 1000 {
            rest -= term;
            count += 1;
            term *= mean / count as f64;
        }
        count
    }

    /// How many of `n` happen, each with `chance`.
    pub fn binomial(&mut self, n: u64, chance: f64) -> u64 {
        if chance > 0.5 {
            return n - self.binomial(n, 1.0 - chance);
        }
        if n == 0 || chance <= 0.0 {
            return 0;
        }
        let size = n as f64;
        if size * chance >= LARGE {
            return self.binomial_rejected(size, chance);
        }
        let odds = chance / (1.0 - chance);
        let (mut term, mut rest) = ((size * (-chance).ln_1p()).exp(), self.share());
        let mut count = 0;
        while rest > term && count < n {
            rest -= term;
            count += 1;
            term *= (n - count + 1) as f64 / count as f64 * odds;
        }
        count
    }

    /// Hörmann's transformed rejection for large means (PTRS, 1993): exact.
    fn poisson_rejected(&mut self, mean: f64) -> u64 {
        let b = 0.931 + 2.53 * mean.sqrt();
        let a = -0.059 + 0.02483 * b;
        let scale = 1.1239 + 1.1328 / (b - 3.4);
        let quick = 0.9277 - 3.6224 / (b - 2.0);
        loop {
            let (u, v) = (self.share() - 0.5, self.share());
            let edge = 0.5 - u.abs();
            let count = ((2.0 * a / edge + b) * u + mean + 0.43).floor();
            if edge >= 0.07 && v <= quick {
                return whole(count);
            }
            if count < 0.0 || (edge < 0.013 && v > edge) {
                continue;
            }
            let height = (v * scale / (a / (edge * edge) + b)).ln();
            if height <= count * mean.ln() - mean - log_factorial(count) {
                return whole(count);
            }
        }
    }

    /// The same for binomials (BTRS).
    fn binomial_rejected(&mut self, n: f64, p: f64) -> u64 {
        let spread = (n * p * (1.0 - p)).sqrt();
        let b = 1.15 + 2.53 * spread;
        let a = -0.0873 + 0.0248 * b + 0.01 * p;
        let scale = (2.83 + 5.1 / b) * spread;
        let quick = 0.92 - 4.2 / b;
        let log_odds = (p / (1.0 - p)).ln();
        let mode = ((n + 1.0) * p).floor();
        let top = log_factorial(mode) + log_factorial(n - mode);
        loop {
            let (u, v) = (self.share() - 0.5, self.share());
            let edge = 0.5 - u.abs();
            let count = ((2.0 * a / edge + b) * u + n * p + 0.5).floor();
            if count < 0.0 || count > n {
                continue;
            }
            if edge >= 0.07 && v <= quick {
                return whole(count);
            }
            let height = (v * scale / (a / (edge * edge) + b)).ln();
            let below = log_factorial(count) + log_factorial(n - count);
            if height <= top - below + (count - mode) * log_odds {
                return whole(count);
            }
        }
    }
}

/// From this mean on, adding up the chances one by one takes longer than rejecting.
const LARGE: f64 = 10.0;

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
const fn whole(count: f64) -> u64 {
    count as u64
}

/// Logarithm of n!, to eleven digits (Stirling's series).
fn log_factorial(n: f64) -> f64 {
    const SMALL: [f64; 10] = [1.0, 1.0, 2.0, 6.0, 24.0, 120.0, 720.0, 5040.0, 40_320.0, 362_880.0];
    if n < 10.0 {
        let index = usize::try_from(whole(n)).unwrap_or(0);
        return SMALL[index].ln();
    }
    let x = n + 1.0;
    let tail = (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / (1260.0 * x * x)) / (x * x)) / x;
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and variance of so many draws, held to what they must be within five standard errors.
    #[track_caller]
    fn check(name: &str, mean: f64, variance: f64, mut draw: impl FnMut() -> u64) {
        const DRAWS: f64 = 40_000.0;
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..40_000 {
            let off = draw() as f64 - mean;
            sum += off;
            squares += off * off;
        }
        let off = sum / DRAWS;
        assert!(off.abs() < 5.0 * (variance / DRAWS).sqrt() + 1e-9, "{name}: mean off by {off}");
        // The fourth moment of either is about 3σ⁴ + σ².
        let error = ((2.0 * variance * variance + variance) / DRAWS).sqrt();
        let off = squares / DRAWS - variance;
        assert!(off.abs() < 5.0 * error + 1e-9, "{name}: variance off by {off}");
    }

    #[test]
    fn means_and_variances_are_right() {
        let mut draws = Draws::seeded(11);
        for mean in [0.01, 0.9, 9.9, 10.1, 37.0, 2_500.0, 3e6] {
            check(&format!("poisson {mean}"), mean, mean, || draws.poisson(mean));
        }
        for (n, p) in
            [(1, 0.3), (50, 0.001), (2_000, 0.003), (30, 0.4), (25_000, 0.01), (1_000_000, 0.25)]
        {
            let mean = f64::from(n) * p;
            for p in [p, 1.0 - p] {
                let mean_of_p = f64::from(n) * p;
                let name = format!("binomial {n} {p}");
                check(&name, mean_of_p, mean * (1.0 - mean / f64::from(n)), || {
                    draws.binomial(u64::try_from(n).unwrap(), p)
                });
            }
        }
    }

    #[test]
    fn small_and_large_means_agree_where_they_meet() {
        // The same distribution by both ways, compared count by count.
        let mut draws = Draws::seeded(12);
        let (n, p, most) = (200_u64, 0.06, 40_usize);
        let (mut a, mut b) = (vec![0_f64; most], vec![0_f64; most]);
        for _ in 0..60_000 {
            let ones = (0..n).filter(|_| draws.happens(p)).count();
            a[ones.min(most - 1)] += 1.0;
            let at_once = usize::try_from(draws.binomial(n, p)).unwrap();
            b[at_once.min(most - 1)] += 1.0;
        }
        let distance: f64 = a
            .iter()
            .zip(&b)
            .filter(|(a, b)| *a + *b > 0.0)
            .map(|(a, b)| (a - b) * (a - b) / (a + b))
            .sum();
        assert!(distance < 70.0, "chi² = {distance}");
    }

    #[test]
    fn factorials_are_right() {
        let slow = |n: u32| (1..=n).map(|i| f64::from(i).ln()).sum::<f64>();
        for n in [0, 3, 9, 10, 11, 25, 170, 5_000] {
            assert!((log_factorial(f64::from(n)) - slow(n)).abs() < 1e-8, "{n}");
        }
    }

    #[test]
    fn nothing_comes_of_nothing() {
        let mut draws = Draws::seeded(13);
        assert_eq!((draws.poisson(0.0), draws.binomial(0, 0.5), draws.binomial(9, 0.0)), (0, 0, 0));
        assert_eq!(draws.binomial(9, 1.0), 9);
    }
}
