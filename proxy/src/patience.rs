//! How long is waited for what, in ticks.
//!
//! Reckoned once for each route by control: a core that did so would keep its clients waiting at
//! every reload.

use std::{collections::HashMap, time::Duration};

use gnomon_config::{Config, model::Timeouts};
use gnomon_policy::RouteIx;

/// Length of a tick. Deadlines are kept to one tick, which no timeout in seconds notices.
pub(crate) const TICK: Duration = Duration::from_millis(TICK_MILLIS as u64);

/// The same, in milliseconds.
pub(crate) const TICK_MILLIS: u32 = 50;

/// A number of ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ticks(u32);

impl Ticks {
    /// No deadline.
    pub(crate) const NONE: Self = Self(NEVER);

    /// `duration` in ticks, rounded up; one more, since the current tick has partly passed. Zero
    /// is [`Ticks::NONE`].
    pub(crate) fn of(duration: Duration) -> Self {
        if duration.is_zero() {
            return Self::NONE;
        }
        let ticks = duration.as_millis().div_ceil(TICK.as_millis()) + 1;
        Self(u32::try_from(ticks).unwrap_or(NEVER).min(NEVER / 2))
    }

    /// So many whole seconds.
    pub(crate) const fn of_seconds(seconds: u32) -> Self {
        Self(seconds * 1000 / TICK_MILLIS + 1)
    }

    /// So many.
    pub(crate) const fn exactly(ticks: u32) -> Self {
        Self(ticks)
    }

    /// As a duration; without an end, a century.
    pub(crate) const fn duration(self) -> Duration {
        let ticks = if self.0 == NEVER { 100 * 366 * 86_400 * 20 } else { self.0 as u64 };
        Duration::from_millis(ticks * TICK_MILLIS as u64)
    }

    /// How many.
    pub(crate) const fn count(self) -> u32 {
        self.0
    }

    /// The shorter of two.
    pub(crate) fn min(self, other: Self) -> Self {
        if self.0 <= other.0 { self } else { other }
    }
}

const NEVER: u32 = u32::MAX;

/// The deadlines of an exchange, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Patience {
    pub(crate) header: Ticks,
    pub(crate) body: Ticks,
    pub(crate) idle: Ticks,
    pub(crate) response: Ticks,
    pub(crate) request: Ticks,
    pub(crate) tunnel: Ticks,
    pub(crate) connect: Duration,
}

impl Patience {
    pub(crate) fn of(timeouts: &Timeouts) -> Self {
        Self {
            header: Ticks::of(timeouts.header),
            body: Ticks::of(timeouts.body),
            idle: Ticks::of(timeouts.idle),
            response: Ticks::of(timeouts.response),
            request: Ticks::of(timeouts.request),
            tunnel: Ticks::of(timeouts.tunnel),
            connect: timeouts.connect,
        }
    }
}

/// The deadlines of every route, equal ones once: a core then needs four bytes of each route at
/// hand, not forty.
#[derive(Debug)]
pub(crate) struct OfRoutes {
    /// By route, where its own are.
    places: Box<[u32]>,
    different: Vec<Patience>,
}

impl OfRoutes {
    pub(crate) fn new(config: &Config) -> Self {
        let (mut known, mut different) = (HashMap::new(), Vec::new());
        let all = config.routes.iter().map(|route| Patience::of(&route.timeouts));
        let place = |patience: Patience| {
            *known.entry(patience).or_insert_with(|| {
                different.push(patience);
                // No more than routes, which are numbered by a `u32`.
                u32::try_from(different.len() - 1).unwrap_or(0)
            })
        };
        Self { places: all.map(place).collect(), different }
    }

    pub(crate) fn get(&self, route: RouteIx) -> Option<Patience> {
        let place = *self.places.get(route.0 as usize)?;
        self.different.get(place as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_deadlines_are_kept_once() {
        let text = "listen = \"127.0.0.1:0\"\n\
                    upstream.o.versions.v1 = [\"127.0.0.1:1\"]\n\
                    [route]\n\
                    a = { match = { path = \"/a\" }, to = \"o\" }\n\
                    b = { match = { path = \"/b\" }, to = \"o\", timeouts = { request = \"1s\" } }\n\
                    c = { match = { path = \"/c\" }, to = \"o\" }\n";
        let loaded = gnomon_config::parse("test", text, &gnomon_config::Options::default());
        let config = loaded.unwrap_or_else(|problems| panic!("{}", problems.render(false))).config;
        let all = OfRoutes::new(&config);
        for (route, number) in config.routes.iter().zip(0..) {
            assert_eq!(all.get(RouteIx(number)), Some(Patience::of(&route.timeouts)));
        }
        assert_eq!((all.different.len(), all.get(RouteIx(3))), (2, None));
    }

    #[test]
    fn durations_round_up_and_zero_is_none() {
        assert_eq!(Ticks::of(Duration::ZERO), Ticks::NONE);
        assert_eq!(Ticks::of(Duration::from_millis(1)), Ticks(2));
        assert_eq!(Ticks::of(Duration::from_secs(1)), Ticks(21));
    }
}
