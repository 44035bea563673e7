//! Active checks: how many answers in a row change our mind about an endpoint.

use gnomon_config::model::Health;

/// What the checks say about an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It takes requests.
    Healthy,
    /// It does not.
    Unhealthy,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// As expected.
    Passed,
    /// Otherwise, a deadline included.
    Failed,
}

impl Outcome {
    /// Of a reply's status, by the ranges that `health` expects.
    #[must_use]
    pub fn of_status(status: u16, health: &Health) -> Self {
        let expected = health.expect.iter().any(|&(low, high)| (low..=high).contains(&status));
        if expected { Self::Passed } else { Self::Failed }
    }
}

/// One endpoint, as its checks see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    verdict: Verdict,
    /// Outcomes in a row that contradict the verdict.
    against: u32,
}

impl Endpoint {
    /// Healthy until checks say otherwise: a start or a reload must not begin with an outage.
    #[must_use]
    pub fn new() -> Self {
        Self { verdict: Verdict::Healthy, against: 0 }
    }

    /// Not to be used until checks say otherwise: what an earlier process knew.
    #[must_use]
    pub fn unhealthy() -> Self {
        Self { verdict: Verdict::Unhealthy, against: 0 }
    }

    /// What the checks say so far.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Takes note of a check; gives back the new verdict if this one changed it.
    pub fn note(&mut self, outcome: Outcome, health: &Health) -> Option<Verdict> {
        let (agrees, threshold, other) = match self.verdict {
            Verdict::Healthy => (outcome == Outcome::Passed, health.unhealthy, Verdict::Unhealthy),
            Verdict::Unhealthy => (outcome == Outcome::Failed, health.healthy, Verdict::Healthy),
        };
        if agrees {
            self.against = 0;
            return None;
        }
        self.against += 1;
        if self.against < threshold.max(1) {
            return None;
        }
        *self = Self { verdict: other, against: 0 };
        Some(other)
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use Outcome::{Failed, Passed};

    use super::*;

    fn health() -> Health {
        Health {
            path: None,
            host: None,
            interval: Duration::from_secs(2),
            timeout: Duration::from_millis(500),
            healthy: 2,
            unhealthy: 3,
            expect: vec![(200, 399)],
        }
    }

    #[test]
    fn a_verdict_changes_after_enough_in_a_row() {
        let mut endpoint = Endpoint::new();
        let outcomes =
            [Failed, Failed, Passed, Failed, Failed, Failed, Passed, Failed, Passed, Passed];
        let changes: Vec<_> = outcomes.map(|outcome| endpoint.note(outcome, &health())).into();
        let mut expected = vec![None; 10];
        expected[5] = Some(Verdict::Unhealthy);
        expected[9] = Some(Verdict::Healthy);
        assert_eq!(changes, expected);
    }

    #[test]
    fn a_status_passes_within_its_ranges() {
        assert_eq!(Outcome::of_status(204, &health()), Passed);
        assert_eq!(Outcome::of_status(399, &health()), Passed);
        assert_eq!(Outcome::of_status(400, &health()), Failed);
    }
}
