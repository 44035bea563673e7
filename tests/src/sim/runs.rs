//! Many runs of one case, and what they come to.

use std::{
    num::NonZero,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

/// Runs `one` with seeds that follow from `name` and the number of the run, on all cores. The
/// results are in the order of the runs, whichever core they came from.
///
/// # Panics
/// If a run does, or there is no room for a thread.
pub fn repeat<T: Send>(name: &str, count: u64, one: impl Fn(u64) -> T + Sync) -> Vec<T> {
    each(count, |number| one(seed(name, number)))
}

/// Runs `one` with each number below `count`, on all cores. The results are in order.
///
/// # Panics
/// If a run does, or there is no room for a thread.
pub fn each<T: Send>(count: u64, one: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicU64::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return done;
            }
            done.push((number, one(number)));
        }
    };
    let mut all = thread::scope(|scope| {
        let start = |core: usize| {
            let builder = thread::Builder::new().name(format!("run-{core}"));
            builder.spawn_scoped(scope, work).expect("there is room for a thread")
        };
        let threads: Vec<_> = (0..cores).map(start).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Vec<(u64, T)>>| {
            thread.join().expect("a run does not fail")
        };
        threads.into_iter().flat_map(join).collect::<Vec<_>>()
    });
    all.sort_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, result)| result).collect()
}

/// The seed of a run: FNV-1a of the name, then the number.
#[must_use]
pub fn seed(name: &str, number: u64) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    hash.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// When a rule spoke in each of many runs, in seconds from the start.
#[derive(Clone, Debug, Default)]
pub struct Spoken {
    /// In rising order.
    times: Vec<f64>,
    /// All runs, with those in which it did not.
    runs: usize,
}

impl Spoken {
    /// From one answer per run.
    #[must_use]
    pub fn new(times: impl IntoIterator<Item = Option<f64>>) -> Self {
        let all: Vec<Option<f64>> = times.into_iter().collect();
        let mut times: Vec<f64> = all.iter().copied().flatten().collect();
        times.sort_by(f64::total_cmp);
        Self { times, runs: all.len() }
    }

    /// How many runs there were.
    #[must_use]
    pub const fn runs(&self) -> usize {
        self.runs
    }

    /// Share of runs in which it spoke.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.times.len() as f64 / self.runs as f64
    }

    /// Share of runs in which it had spoken by then.
    #[must_use]
    pub fn by(&self, seconds: f64) -> f64 {
        self.times.partition_point(|time| *time <= seconds) as f64 / self.runs as f64
    }

    /// The time by which it had spoken in this share of all runs; `None` if it never had.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        let rank = (share * self.runs as f64 - 1e-9).ceil().max(1.0) as usize;
        self.times.get(rank - 1).copied()
    }

    /// The median over all runs.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        self.quantile(0.5)
    }
}

/// Three standard errors of a share that is `share`, measured in so many runs.
#[must_use]
pub fn three_errors(share: f64, runs: usize) -> f64 {
    3.0 * (share * (1.0 - share) / runs as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_count_silence_as_late() {
        let spoken = Spoken::new([Some(3.0), None, Some(1.0), None, None]);
        assert!((spoken.share() - 0.4).abs() < 1e-12 && (spoken.by(2.0) - 0.2).abs() < 1e-12);
        assert_eq!((spoken.quantile(0.2), spoken.quantile(0.4)), (Some(1.0), Some(3.0)));
        assert_eq!(spoken.median(), None);
    }

    #[test]
    fn runs_are_the_same_on_any_number_of_cores() {
        let seeds = repeat("a", 50, |seed| seed);
        assert_eq!(seeds, (0..50).map(|number| seed("a", number)).collect::<Vec<_>>());
        assert_ne!(seed("a", 0), seed("b", 0));
    }
}
