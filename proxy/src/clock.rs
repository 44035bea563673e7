//! The only place that asks what time it is.

use std::{
    sync::LazyLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A point in monotonic time.
pub type Moment = Instant;

/// Now, monotonic; about 20 ns.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn now() -> Moment {
    #[cfg(test)]
    if let Some((now, _)) = SIMULATED.get() {
        return now;
    }
    Instant::now()
}

/// Now, since the Unix epoch.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn wall() -> Duration {
    #[cfg(test)]
    if let Some((_, wall)) = SIMULATED.get() {
        return wall;
    }
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Now, since the Unix epoch, as it would be if nobody had set the clock since this process first
/// asked: as much lies between two of these as has passed.
#[must_use]
pub fn steady() -> Duration {
    static BEGUN: LazyLock<(Moment, Duration)> = LazyLock::new(|| (now(), wall()));
    #[cfg(test)]
    if let Some((_, wall)) = SIMULATED.get() {
        return wall;
    }
    let (moment, wall) = *BEGUN;
    wall + now().saturating_duration_since(moment)
}

/// What the system's monotonic clock shows: the same in every process, until the next boot.
#[must_use]
pub fn monotonic() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
thread_local! {
    static SIMULATED: std::cell::Cell<Option<(Moment, Duration)>> = const { std::cell::Cell::new(None) };
}

/// Makes it this late on this thread, monotonic and since the epoch, until told otherwise.
#[cfg(test)]
pub(crate) fn simulate(time: Option<(Moment, Duration)>) {
    SIMULATED.set(time);
}

/// Nanoseconds of a duration; saturates after 584 years.
#[must_use]
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
