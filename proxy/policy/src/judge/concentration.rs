//! Whether bad events are those of many, or of one user or one machine (F23).

use serde::{Deserialize, Serialize};

use super::numbers::{ratio, real};

/// How bad events are spread over those that had them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Concentration {
    /// `Σm²/Σm`: how many events the one had who had a given event. Above 3: evidence of few.
    pub size_biased_mean: f64,
    /// Share of the one with most. Above 0.3: evidence of few.
    pub top_share: f64,
    /// `(Σm)²/Σm²`: how many there would be if all had the same.
    pub effective_units: f64,
}

/// F23: from the number of events of each; `None` without any.
#[must_use]
pub fn concentration(events: &[u64]) -> Option<Concentration> {
    let sum = events.iter().sum::<u64>();
    if sum == 0 {
        return None;
    }
    let squares = events.iter().map(|count| real(*count) * real(*count)).sum::<f64>();
    Some(Concentration {
        size_biased_mean: squares / real(sum),
        top_share: ratio(events.iter().copied().max().unwrap_or(0), sum),
        effective_units: real(sum) * real(sum) / squares,
    })
}
