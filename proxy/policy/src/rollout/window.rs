//! Change windows.

use gnomon_config::model::Window;

/// Whether a weight may be raised at `now`, in seconds since 1970. Without windows, always.
#[must_use]
pub fn is_open(windows: &[Window], now: u64) -> bool {
    // The first of January 1970 was a Thursday.
    let day = usize::try_from((now / DAY + 3) % 7).unwrap_or_default();
    let minute = u16::try_from(now % DAY / 60).unwrap_or_default();
    let holds = |window: &Window| window.days[day] && (window.from..window.to).contains(&minute);
    windows.is_empty() || windows.iter().any(holds)
}

const DAY: u64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_of_some_days_and_some_minutes() {
        // 2026-11-23 is a Monday.
        let monday = 1_795_392_000;
        let days = [true, true, true, true, true, false, false];
        let windows = [Window { days, from: 9 * 60, to: 17 * 60 }];
        let at = |day: u64, hour: u64, minute: u64| monday + day * DAY + hour * 3600 + minute * 60;
        for (now, open) in [
            (at(0, 9, 0), true),
            (at(0, 8, 59), false),
            (at(0, 16, 59), true),
            (at(0, 17, 0), false),
            (at(4, 12, 0), true),
            (at(5, 12, 0), false),
            (at(7, 12, 0), true),
        ] {
            assert_eq!(is_open(&windows, now), open, "{now}");
        }
        assert!(is_open(&[], monday));
    }
}
