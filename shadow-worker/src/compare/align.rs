//! Which items of two lists belong together: a longest common subsequence, after E. W. Myers,
//! "An O(ND) Difference Algorithm and Its Variations" (1986).

/// Items that may be left over in both lists together. Two lists further apart than this are paired
/// by place: the work is this times their length, the memory 4 bytes times the square of it.
pub(super) const EDITS_MAX: usize = 128;

/// No way leads here.
const NOWHERE: i32 = -1;

/// The pairs of a longest common subsequence of two lists of these lengths, in order; none if more
/// than [`EDITS_MAX`] items would be left over.
pub(super) fn align(
    left: usize,
    right: usize,
    mut is_same: impl FnMut(usize, usize) -> bool,
) -> Option<Vec<(usize, usize)>> {
    let (n, m) = (i32::try_from(left).ok()?, i32::try_from(right).ok()?);
    // `rounds[d]` has how far one gets on each diagonal with `d` items left over.
    let mut rounds: Vec<Round> = Vec::new();
    for edits in 0..=i32::try_from(EDITS_MAX.min(left + right)).ok()? {
        let mut round = Round { edits, reached: Vec::new() };
        for diagonal in (-edits..=edits).step_by(2) {
            let mut x = match rounds.last() {
                None => 0,
                Some(before) => before.step(diagonal, n, m).map_or(NOWHERE, |step| step.x),
            };
            while x != NOWHERE && x < n && x - diagonal < m && same(x, x - diagonal, &mut is_same) {
                x += 1;
            }
            round.reached.push(x);
            if x == n && x - diagonal == m {
                return Some(trace(&rounds, n, m));
            }
        }
        rounds.push(round);
    }
    None
}

fn same(x: i32, y: i32, is_same: &mut impl FnMut(usize, usize) -> bool) -> bool {
    matches!((usize::try_from(x), usize::try_from(y)), (Ok(x), Ok(y)) if is_same(x, y))
}

/// How far one gets with so many items left over.
struct Round {
    edits: i32,
    /// Items of the left list that are done, on the diagonals `-edits`, `-edits + 2` and so on.
    reached: Vec<i32>,
}

/// Leaving over one more item.
struct Step {
    /// Items of the left list that are done after it.
    x: i32,
    /// The diagonal it came from.
    from: i32,
}

impl Round {
    fn on(&self, diagonal: i32) -> i32 {
        let at = usize::try_from((diagonal + self.edits) / 2).ok();
        let is_there = diagonal.abs() <= self.edits;
        at.filter(|_| is_there).and_then(|at| self.reached.get(at)).copied().unwrap_or(NOWHERE)
    }

    /// The step to a diagonal that gets furthest.
    fn step(&self, diagonal: i32, n: i32, m: i32) -> Option<Step> {
        let (down, right) = (self.on(diagonal + 1), self.on(diagonal - 1));
        let down = (down != NOWHERE && down - diagonal <= m)
            .then_some(Step { x: down, from: diagonal + 1 });
        let right =
            (right != NOWHERE && right < n).then_some(Step { x: right + 1, from: diagonal - 1 });
        match (down, right) {
            (Some(down), Some(right)) => Some(if right.x > down.x { right } else { down }),
            (down, right) => down.or(right),
        }
    }
}

/// The pairs on the way to the end, found from there.
fn trace(rounds: &[Round], n: i32, m: i32) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    let (mut x, mut diagonal) = (n, n - m);
    let mut take = |from: i32, to: i32, diagonal: i32| {
        for x in (from..to).rev() {
            if let (Ok(left), Ok(right)) = (usize::try_from(x), usize::try_from(x - diagonal)) {
                pairs.push((left, right));
            }
        }
    };
    for round in rounds.iter().rev() {
        let Some(step) = round.step(diagonal, n, m) else { break };
        take(step.x, x, diagonal);
        diagonal = step.from;
        x = round.on(diagonal);
    }
    take(0, x, diagonal);
    pairs.reverse();
    pairs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(left: &str, right: &str) -> Option<Vec<(usize, usize)>> {
        let (left, right) = (left.as_bytes(), right.as_bytes());
        align(left.len(), right.len(), |x, y| left[x] == right[y])
    }

    /// Length of a longest common subsequence, by the book.
    fn longest(left: &[u8], right: &[u8]) -> usize {
        let mut row = vec![0; right.len() + 1];
        for one in left {
            let mut corner = 0;
            for (at, other) in right.iter().enumerate() {
                let above = row[at + 1];
                row[at + 1] = if one == other { corner + 1 } else { above.max(row[at]) };
                corner = above;
            }
        }
        row[right.len()]
    }

    #[test]
    fn what_is_common_is_paired() {
        assert_eq!(pairs("", ""), Some(vec![]));
        assert_eq!(pairs("abc", "abc"), Some(vec![(0, 0), (1, 1), (2, 2)]));
        assert_eq!(pairs("abc", ""), Some(vec![]));
        assert_eq!(pairs("bc", "abcd"), Some(vec![(0, 1), (1, 2)]));
        assert_eq!(pairs("axc", "ayc"), Some(vec![(0, 0), (2, 2)]));
    }

    #[test]
    fn lists_too_far_apart_are_not_paired() {
        let (half, most) = ("a".repeat(EDITS_MAX / 2), "b".repeat(EDITS_MAX / 2));
        assert_eq!(pairs(&half, &most), Some(vec![]));
        assert_eq!(pairs(&half, &format!("{most}b")), None);
    }

    proptest! {
        #[test]
        fn pairs_are_a_longest_common_subsequence(left in "[abc]{0,24}", right in "[abc]{0,24}") {
            let pairs = pairs(&left, &right).unwrap();
            let (left, right) = (left.as_bytes(), right.as_bytes());
            prop_assert!(pairs.iter().all(|&(x, y)| left[x] == right[y]));
            prop_assert!(pairs.is_sorted_by(|one, next| one.0 < next.0 && one.1 < next.1));
            prop_assert_eq!(pairs.len(), longest(left, right));
        }
    }
}
