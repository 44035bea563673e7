//! What there is to look at.

use clap::ValueEnum;

/// A pane, by its number key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Pane {
    /// 1: rate, errors, latency and saturation of all.
    Overview,
    /// 2: how canaries are taking over.
    Rollouts,
    /// 3: versions and their shares.
    Upstreams,
    /// 4: where versions run.
    Endpoints,
    /// 5: each core.
    Cores,
    /// 6: what versions under test do differently.
    Shadows,
    /// 7: what happened.
    Events,
}

#[cfg(feature = "tui")]
impl Pane {
    /// In the order of their keys.
    pub(super) const ALL: [Self; 7] = [
        Self::Overview,
        Self::Rollouts,
        Self::Upstreams,
        Self::Endpoints,
        Self::Cores,
        Self::Shadows,
        Self::Events,
    ];

    /// From 0.
    pub(super) fn place(self) -> usize {
        Self::ALL.iter().position(|pane| *pane == self).unwrap_or_default()
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Rollouts => "rollouts",
            Self::Upstreams => "upstreams",
            Self::Endpoints => "endpoints",
            Self::Cores => "cores",
            Self::Shadows => "shadows",
            Self::Events => "events",
        }
    }

    /// The pane so many places further, round and round.
    pub(super) fn beside(self, forward: bool) -> Self {
        let step = if forward { 1 } else { Self::ALL.len() - 1 };
        Self::ALL[(self.place() + step) % Self::ALL.len()]
    }
}
