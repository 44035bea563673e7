//! What a load saw, and how it is told.

use std::{fmt::Write, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;

/// Counts and latencies of one stretch of load.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Answers, whatever their status.
    pub requests: u64,
    /// Answers whose status was not 2xx.
    pub other_status: u64,
    /// Requests lost with their connection, and connections refused.
    pub errors: u64,
    /// Requests that had no answer when the load ended.
    pub unanswered: u64,
    /// Connections opened after the first ones.
    pub connects: u64,
    /// Bytes read.
    pub bytes: u64,
    latencies: Histogram<u64>,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            requests: 0,
            other_status: 0,
            errors: 0,
            unanswered: 0,
            connects: 0,
            bytes: 0,
            latencies: super::histogram(),
        }
    }
}

impl Seen {
    pub(super) fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latencies.saturating_record(micros);
    }

    /// The latency that `quantile` of the answers did not exceed, in microseconds.
    #[must_use]
    pub fn micros_at(&self, quantile: f64) -> u64 {
        self.latencies.value_at_quantile(quantile)
    }

    /// All latencies in HdrHistogram's text format of percentiles, in microseconds.
    #[must_use]
    pub fn percentiles(&self) -> String {
        let all = &self.latencies;
        let mut text = format!(
            "{:>12} {:>14} {:>10} {:>14}\n\n",
            "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
        );
        let mut count = 0;
        for step in all.iter_quantiles(TICKS_PER_HALF) {
            count += step.count_since_last_iteration();
            let quantile = step.quantile_iterated_to();
            let _ =
                write!(text, "{:12.3} {quantile:2.12} {count:10}", step.value_iterated_to() as f64);
            // The last line has nothing beyond it.
            if quantile < 1.0 {
                let _ = write!(text, " {:14.2}", 1.0 / (1.0 - quantile));
            }
            text.push('\n');
        }
        let _ = write!(
            text,
            "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]\n\
             #[Max     = {:12.3}, Total count    = {:12}]\n\
             #[Buckets = {:12}, SubBuckets     = {:12}]\n",
            all.mean(),
            all.stdev(),
            all.max() as f64,
            all.len(),
            all.buckets(),
            all.distinct_values() / usize::from(all.buckets()).max(1),
        );
        text
    }

    /// The figures of a stretch that lasted `seconds`.
    #[must_use]
    pub fn summary(&self, seconds: f64) -> Summary {
        Summary {
            seconds,
            requests: self.requests,
            other_status: self.other_status,
            errors: self.errors,
            unanswered: self.unanswered,
            connects: self.connects,
            bytes: self.bytes,
            rate: self.requests as f64 / seconds.max(f64::MIN_POSITIVE),
            p50_us: self.micros_at(0.5),
            p90_us: self.micros_at(0.9),
            p99_us: self.micros_at(0.99),
            p999_us: self.micros_at(0.999),
            max_us: self.latencies.max(),
        }
    }
}

/// The figures of one run, as they go into JSON.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// How long was measured.
    pub seconds: f64,
    /// Answers.
    pub requests: u64,
    /// Answers whose status was not 2xx.
    pub other_status: u64,
    /// Requests lost with their connection, and connections refused.
    pub errors: u64,
    /// Requests without an answer at the end.
    pub unanswered: u64,
    /// Connections opened after the first ones.
    pub connects: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Answers a second.
    pub rate: f64,
    /// Median latency.
    pub p50_us: u64,
    /// Nine in ten were no slower.
    pub p90_us: u64,
    /// 99 in 100 were no slower.
    pub p99_us: u64,
    /// 999 in 1000 were no slower.
    pub p999_us: u64,
    /// The slowest.
    pub max_us: u64,
}

/// Lines until the distance to 100 % has halved, as HdrHistogram's own tools write them.
const TICKS_PER_HALF: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_told_as_the_plotters_read_them() {
        let mut seen = Seen::default();
        (1..=1000).for_each(|micros| seen.record(Duration::from_micros(micros)));
        assert_eq!([0.5, 0.99, 1.0].map(|quantile| seen.micros_at(quantile)), [500, 990, 1000]);
        let text = seen.percentiles();
        assert!(text.contains("     500.000 0.500000000000        500           2.00\n"), "{text}");
        assert!(text.contains("    1000.000 1.000000000000       1000\n"), "{text}");
        assert!(text.contains("Total count    =         1000]"), "{text}");
    }
}
