//! What befalls both versions alike: load, error bursts and slowness, minute by minute.

use super::draw::Draws;

/// One minute of it, as factors.
#[derive(Clone, Copy, Debug)]
pub struct Minute {
    /// On the requests per second.
    pub load: f64,
    /// On every version's chance of an error.
    pub errors: f64,
    /// On every version's times.
    pub slowness: f64,
}

impl Minute {
    const CALM: Self = Self { load: 1.0, errors: 1.0, slowness: 1.0 };
}

/// The minutes of one rollout. Those before it were calm.
#[derive(Debug)]
pub struct Weather(Vec<Minute>);

impl Weather {
    /// Nothing happens.
    #[must_use]
    pub const fn calm() -> Self {
        Self(Vec::new())
    }

    /// Traffic varies by half; one minute in twelve fails 8 to 30 times as often or is 1.3 to 3
    /// times as slow, and for five minutes both are, 10 times and 1.5 times.
    #[must_use]
    pub fn rough(draws: &mut Draws) -> Self {
        let mut minutes = vec![Minute::CALM; 40];
        for minute in &mut minutes {
            minute.load = draws.between(0.5, 1.5);
            if draws.happens(0.08) {
                minute.errors = draws.between(8.0, 30.0);
                minute.slowness = draws.between(1.3, 3.0);
            }
        }
        let begin = usize::try_from(draws.below(36)).unwrap_or(0);
        for minute in &mut minutes[begin..begin + 5] {
            minute.errors = minute.errors.max(10.0);
            minute.slowness = minute.slowness.max(1.5);
        }
        Self(minutes)
    }

    /// As it is `second` seconds after the start.
    #[must_use]
    pub fn at(&self, second: u64) -> Minute {
        let minute = usize::try_from(second / 60).unwrap_or(usize::MAX);
        self.0.get(minute).copied().unwrap_or(Minute::CALM)
    }
}
