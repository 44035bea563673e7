//! What a rollout is doing.

use serde::{Deserialize, Serialize};

/// What a rollout is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing: it was never started.
    #[default]
    Idle,
    /// The canary gets copies alone.
    Shadowing,
    /// The canary gets its share, and evidence gathers. Before the first step, the share is 0.
    Running,
    /// It could be time for the next step, but for this.
    Holding(Block),
    /// The step is done, and a person has to say yes.
    Waiting,
    /// A person has stopped it where it is.
    Paused,
    /// The canary has taken over.
    Promoted,
    /// Everybody is on stable, by its own decision.
    RolledBack(Cause),
    /// Everybody is on stable, by a person's decision.
    Aborted,
}

impl Phase {
    /// Whether it is under way.
    #[must_use]
    pub const fn is_active(self) -> bool {
        match self {
            Self::Shadowing | Self::Running | Self::Holding(_) | Self::Waiting | Self::Paused => {
                true
            }
            Self::Idle | Self::Promoted | Self::RolledBack(_) | Self::Aborted => false,
        }
    }

    /// Whether nothing happens until a person acts.
    #[must_use]
    pub const fn needs_person(self) -> bool {
        match self {
            Self::Holding(block) => block.needs_person(),
            Self::Waiting | Self::Paused => true,
            Self::Idle
            | Self::Shadowing
            | Self::Running
            | Self::Promoted
            | Self::RolledBack(_)
            | Self::Aborted => false,
        }
    }

    /// As in tables and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Shadowing => "shadowing",
            Self::Running => "running",
            Self::Holding(_) => "holding",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Promoted => "promoted",
            Self::RolledBack(_) => "rolled_back",
            Self::Aborted => "aborted",
        }
    }

    /// What a phase with more than one reason is there for; empty for the others.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Holding(block) => block.name(),
            Self::RolledBack(cause) => cause.name(),
            Self::Idle
            | Self::Shadowing
            | Self::Running
            | Self::Waiting
            | Self::Paused
            | Self::Promoted
            | Self::Aborted => "",
        }
    }
}

/// What keeps a rollout from its next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// The judge doubts, or sees both versions fail together.
    Doubt,
    /// A version gets no requests.
    NoTraffic,
    /// The canary's fullest component is too full now.
    Saturated,
    /// Too many copies are answered differently.
    Different,
    /// The canary has no healthy endpoint.
    NoEndpoint,
    /// The canary's healthy endpoints could not carry the next step.
    Capacity,
    /// No change window is open.
    Window,
    /// Somebody has stopped the line.
    StopLine,
    /// A test of the canary failed.
    Tests,
    /// `on.confirm` did not say yes.
    Confirm,
    /// The step has taken its `max`, and nothing is proven. For a person.
    Unproven,
    /// The canary is worse, and `on.fail = "hold"`. For a person.
    Worse,
    /// What it was doing is not known any more. For a person.
    Lost,
}

impl Block {
    /// Whether only a person ends it.
    #[must_use]
    pub const fn needs_person(self) -> bool {
        matches!(self, Self::Unproven | Self::Worse | Self::Lost)
    }

    /// As in tables and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Doubt => "doubt",
            Self::NoTraffic => "no_traffic",
            Self::Saturated => "saturated",
            Self::Different => "different",
            Self::NoEndpoint => "no_endpoint",
            Self::Capacity => "capacity",
            Self::Window => "window",
            Self::StopLine => "stop_line",
            Self::Tests => "tests",
            Self::Confirm => "confirm",
            Self::Unproven => "unproven",
            Self::Worse => "worse",
            Self::Lost => "lost",
        }
    }
}

/// What has rolled a rollout back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The judge found the canary worse.
    Judge,
    /// The data cores cut it off.
    Fuse,
    /// Its tests failed.
    Tests,
    /// Nothing was proven in time, and `on.inconclusive = "rollback"`.
    Inconclusive,
}

impl Cause {
    /// As in tables and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Judge => "judge",
            Self::Fuse => "fuse",
            Self::Tests => "tests",
            Self::Inconclusive => "inconclusive",
        }
    }
}
