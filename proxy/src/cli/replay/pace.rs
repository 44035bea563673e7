//! When each request is to be sent.

use std::time::Duration;

/// How fast requests follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// At the recorded times, so many times as fast.
    Speed(f64),
    /// Evenly, so many a second.
    Rate(f64),
    /// As fast as there are connections.
    Max,
}

impl Pace {
    /// Reads `2x`, `0.5` or `max`.
    pub(super) fn of_speed(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        positive(text.strip_suffix('x').unwrap_or(text), 1000.0)
            .map(Self::Speed)
            .ok_or_else(|| "say a factor such as 2x or 0.5x, or max".to_owned())
    }

    /// Reads `500/s`.
    pub(super) fn of_rate(text: &str) -> Result<Self, String> {
        positive(text.strip_suffix("/s").unwrap_or(text), 1e6)
            .map(Self::Rate)
            .ok_or_else(|| "say so many a second, such as 500/s".to_owned())
    }

    /// When the request of this number is to be sent, that was recorded at `at`; both count from
    /// the first. Nothing if at once.
    pub(super) fn due(self, number: u64, at: Duration) -> Option<Duration> {
        match self {
            Self::Speed(factor) => Some(at.div_f64(factor)),
            #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
            Self::Rate(rate) => Some(Duration::from_secs_f64(number as f64 / rate)),
            Self::Max => None,
        }
    }
}

fn positive(text: &str, most: f64) -> Option<f64> {
    text.parse().ok().filter(|number| *number >= 0.001 && *number <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paces_are_read() {
        assert_eq!(Pace::of_speed("2x"), Ok(Pace::Speed(2.0)));
        assert_eq!(Pace::of_speed("max"), Ok(Pace::Max));
        assert_eq!(Pace::of_rate("500/s"), Ok(Pace::Rate(500.0)));
        for wrong in ["0", "-1x", "NaN", "inf", "x", ""] {
            assert!(Pace::of_speed(wrong).is_err() && Pace::of_rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn requests_are_due_when_they_were_recorded_or_evenly() {
        let at = Duration::from_secs(10);
        assert_eq!(Pace::Speed(2.0).due(3, at), Some(Duration::from_secs(5)));
        assert_eq!(Pace::Rate(4.0).due(3, at), Some(Duration::from_millis(750)));
        assert_eq!(Pace::Max.due(3, at), None);
    }
}
