//! From the fine cells of a latency to the few buckets of a histogram.

use std::time::Duration;

use gnomon_policy::golden;

use crate::cells::{Exemplar, Latency};

/// A histogram as it is exposed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Histogram {
    /// Upper bounds in seconds, and how many durations do not exceed each.
    pub(crate) buckets: Vec<(f64, u64)>,
    /// All durations.
    pub(crate) count: u64,
    /// Their sum in seconds, to 1.6 %: each counts as the middle of its cell.
    pub(crate) sum: f64,
    /// The latest exchange that fell into each bucket and is known, then that beyond all of them.
    pub(crate) exemplars: Vec<Option<Exemplar>>,
}

/// Which cells belong to which bucket.
pub(crate) struct Fold {
    /// A bucket's bound in seconds, and the first cell beyond it.
    bounds: Vec<(f64, usize)>,
    /// The middle of each cell in seconds.
    middles: Vec<f64>,
    sums: Vec<u64>,
}

impl Fold {
    /// For buckets with these upper bounds, which rise.
    pub(crate) fn new(buckets: &[Duration]) -> Self {
        let middle = |cell| {
            let (low, high) = golden::bounds(cell);
            Duration::from_nanos(low + (high - low) / 2)
        };
        let cells: Vec<Duration> = (0..golden::CELLS).map(middle).collect();
        // A cell that a bound cuts in two belongs where its middle is.
        let end = |bound: &Duration| cells.partition_point(|middle| middle <= bound);
        Self {
            bounds: buckets.iter().map(|bound| (bound.as_secs_f64(), end(bound))).collect(),
            middles: cells.iter().map(Duration::as_secs_f64).collect(),
            sums: vec![0; golden::CELLS],
        }
    }

    /// The bucket that a duration lies in and is counted in. None if these are two: the bound cuts
    /// its cell.
    fn bucket_of(&self, nanos: u64) -> Option<usize> {
        let (seconds, cell) = (Duration::from_nanos(nanos).as_secs_f64(), golden::bucket(nanos));
        let bucket = self.bounds.partition_point(|(bound, _)| *bound < seconds);
        let counted = self.bounds.partition_point(|(_, end)| *end <= cell);
        (bucket == counted).then_some(bucket)
    }

    /// The histogram of these counts, one for each cell of [`golden`], which add up to so many
    /// microseconds.
    pub(crate) fn of_sums(&mut self, sums: &[u64], micros: u64) -> Histogram {
        self.sums.clear();
        self.sums.extend(sums);
        self.sums.resize(golden::CELLS, 0);
        let exemplars = vec![None; self.bounds.len() + 1];
        let sum = Duration::from_micros(micros).as_secs_f64();
        Histogram { sum, ..self.folded(exemplars) }
    }

    /// The histogram of what all these have counted.
    pub(crate) fn of<'a>(&mut self, latencies: impl Iterator<Item = &'a Latency>) -> Histogram {
        self.sums.fill(0);
        let mut exemplars: Vec<Option<Exemplar>> = vec![None; self.bounds.len() + 1];
        for latency in latencies {
            latency.add_to(&mut self.sums);
            for exemplar in latency.exemplars.read() {
                let Some(bucket) = self.bucket_of(exemplar.nanos) else { continue };
                let known = &mut exemplars[bucket];
                if known.is_none_or(|known| known.at <= exemplar.at) {
                    *known = Some(exemplar);
                }
            }
        }
        self.folded(exemplars)
    }

    fn folded(&self, exemplars: Vec<Option<Exemplar>>) -> Histogram {
        let (mut buckets, mut begun, mut count) = (Vec::with_capacity(self.bounds.len()), 0, 0);
        for &(bound, end) in &self.bounds {
            count += self.sums[begun..end].iter().sum::<u64>();
            begun = end;
            buckets.push((bound, count));
        }
        count += self.sums[begun..].iter().sum::<u64>();
        let pairs = self.sums.iter().zip(&self.middles).filter(|(count, _)| **count > 0);
        #[expect(clippy::cast_precision_loss, reason = "a count beyond 2^53 is none of ours")]
        // Begun at 0, as the sum of nothing is -0 otherwise.
        let sum = pairs.fold(0.0, |sum, (count, middle)| sum + *count as f64 * middle);
        Histogram { buckets, count, sum, exemplars }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn buckets_are_cumulative_over_all_cores_and_count_everything() {
        let (one, two) = (Latency::default(), Latency::default());
        for time in [1, 2, 40] {
            one.record(time * 1_000_000);
        }
        two.record(40_000_000);
        two.record(600_000_000_000);
        let mut fold = Fold::new(&[millis(5), millis(50), millis(500)]);
        let histogram = fold.of([&one, &two].into_iter());
        assert_eq!(histogram.buckets, [(0.005, 2), (0.05, 4), (0.5, 4)]);
        assert_eq!(histogram.count, 5);
        // What is beyond the last cell counts as that.
        assert!((135.0..138.0).contains(&histogram.sum), "{}", histogram.sum);
        let empty = fold.of([].into_iter());
        assert_eq!((empty.count, empty.sum.to_bits()), (0, 0), "nothing stays from the last");
    }

    #[test]
    fn a_sum_is_right_to_two_percent() {
        let latency = Latency::default();
        (1..=1000_u64).for_each(|micros| latency.record(micros * 10_000));
        let histogram = Fold::new(&[millis(5)]).of([&latency].into_iter());
        let exact = 0.00001 * 500_500.0;
        assert!((histogram.sum / exact - 1.0).abs() < 0.02, "{}", histogram.sum);
        let (bound, below) = histogram.buckets[0];
        assert!(bound == 0.005 && (485..=515).contains(&below), "{below}");
    }

    #[test]
    fn a_bucket_has_the_latest_exemplar_that_lies_in_it() {
        let (one, two) = (Latency::default(), Latency::default());
        one.exemplars.offer(&[b'a'; 32], 3_000_000, 1, 1);
        two.exemplars.offer(&[b'c'; 32], 700_000_000, 1, 1);
        let early = clock::wall() + millis(2);
        while clock::wall() < early {
            std::hint::spin_loop();
        }
        two.exemplars.offer(&[b'b'; 32], 4_500_000, 1, 1);
        let mut fold = Fold::new(&[millis(1), millis(5), millis(50)]);
        let found = fold.of([&one, &two].into_iter()).exemplars;
        let letters: Vec<_> = found.iter().map(|it| it.map(|it| char::from(it.id[0]))).collect();
        assert_eq!(letters, [None, Some('b'), None, Some('c')]);
        // Counted as 5.02 ms: the bucket that it lies in may be empty.
        let cut = Latency::default();
        cut.record(4_990_000);
        cut.exemplars.offer(&[b'd'; 32], 4_990_000, 1, 1);
        let histogram = fold.of([&cut].into_iter());
        assert_eq!(histogram.buckets[1].1, u64::from(histogram.exemplars[1].is_some()));
        assert_eq!(histogram.exemplars[2], None);
    }

    #[test]
    fn a_bound_beyond_every_cell_holds_all() {
        let latency = Latency::default();
        latency.record(u64::MAX);
        let histogram = Fold::new(&[millis(1), millis(1_000_000)]).of([&latency].into_iter());
        assert_eq!(histogram.buckets, [(0.001, 0), (1000.0, 1)]);
    }
}
