//! Cells of a latency histogram: log-linear, as pure arithmetic over a plain `[u64]`.
//!
//! Each power of two of microseconds-and-up is cut into 32 cells of equal width, so a cell is at
//! most 1/32 of its lower bound wide and its middle at most 1.6 % away from anything in it. One
//! writer per core counts into its own array; control adds the arrays up, cell by cell.

/// Cells of a histogram: from [`FLOOR_NANOS`] to more than 100 s.
pub const CELLS: usize = (OCTAVES as usize + 1) * SUB;

/// The first cells begin here: below about a microsecond nobody asks. A power of two.
pub const FLOOR_NANOS: u64 = 1 << FLOOR_BITS;

/// The cell that counts a latency. Below the floor the first, beyond the last bound the last.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "below 32 and below CELLS")]
pub fn bucket(nanos: u64) -> usize {
    if nanos < FLOOR_NANOS {
        return (nanos / LINEAR_WIDTH) as usize;
    }
    let octave = nanos.ilog2() - FLOOR_BITS;
    if octave >= OCTAVES {
        return CELLS - 1;
    }
    let within = (nanos >> (octave + FLOOR_BITS - SUB_BITS)) as usize - SUB;
    (octave as usize + 1) * SUB + within
}

/// The latencies a cell counts: from the first, included, to the second, excluded.
///
/// The last cell also counts everything beyond.
#[must_use]
pub fn bounds(index: usize) -> (u64, u64) {
    let (row, within) = (index / SUB, (index % SUB) as u64);
    if row == 0 {
        return (within * LINEAR_WIDTH, (within + 1) * LINEAR_WIDTH);
    }
    let shift = row.min(OCTAVES as usize) - 1 + (FLOOR_BITS - SUB_BITS) as usize;
    ((within + SUB as u64) << shift, (within + SUB as u64 + 1) << shift)
}

/// The latency that a share `q` of what was counted does not exceed: the middle of its cell.
/// `None` if nothing was counted.
#[must_use]
pub fn quantile(cells: &[u64], q: f64) -> Option<u64> {
    let total: u64 = cells.iter().sum();
    if total == 0 {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank between 1 and the total; beyond 2^53 a unit does not matter"
    )]
    let rank = ((q.clamp(0.0, 1.0) * total as f64).ceil() as u64).clamp(1, total);
    let mut seen = 0;
    let index = cells.iter().position(|count| {
        seen += count;
        seen >= rank
    })?;
    let (low, high) = bounds(index);
    Some(low + (high - low) / 2)
}

/// Adds what another core counted.
pub fn merge(into: &mut [u64], from: &[u64]) {
    for (sum, count) in into.iter_mut().zip(from) {
        *sum += count;
    }
}

/// Cells per power of two.
const SUB: usize = 1 << SUB_BITS;
const SUB_BITS: u32 = 5;
/// 1,024 ns.
const FLOOR_BITS: u32 = 10;
/// 2^27 floors are 137 s.
const OCTAVES: u32 = 27;
/// Below the floor, cells as wide as those right above it.
const LINEAR_WIDTH: u64 = FLOOR_NANOS / SUB as u64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cells_follow_each_other_without_gap() {
        let mut expected = 0;
        for index in 0..CELLS {
            let (low, high) = bounds(index);
            assert_eq!(low, expected);
            assert_eq!((bucket(low), bucket(high - 1)), (index, index));
            expected = high;
        }
        assert!(expected > 100_000_000_000);
        assert_eq!(bucket(u64::MAX), CELLS - 1);
    }

    #[test]
    fn quantiles_of_a_known_sample() {
        let mut cells = vec![0; CELLS];
        assert_eq!(quantile(&cells, 0.5), None);
        for milliseconds in 1..=1000 {
            cells[bucket(milliseconds * 1_000_000)] += 1;
        }
        for (q, expected) in [(0.0, 1e6), (0.5, 5e8), (0.99, 9.9e8), (1.0, 1e9)] {
            let answer = quantile(&cells, q).unwrap() as f64;
            assert!((answer / expected - 1.0).abs() < 0.02, "{q}: {answer}");
        }
    }

    #[test]
    fn merging_adds_up() {
        let (mut sum, mut other) = (vec![0; CELLS], vec![0; CELLS]);
        sum[3] = 2;
        other[3] = 5;
        merge(&mut sum, &other);
        assert_eq!(sum[3], 7);
    }

    proptest! {
        #[test]
        fn a_cell_is_within_three_percent(nanos in 1_024_u64..100_000_000_000) {
            let (low, high) = bounds(bucket(nanos));
            prop_assert!(low <= nanos && nanos < high);
            prop_assert!((high - low) as f64 <= 0.032 * low as f64);
        }
    }
}
