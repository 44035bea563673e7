//! Passive ejection: an endpoint that fails real requests is left out for a while.
//!
//! Control sums the runs of consecutive failures over the cores and asks once a tick. Time is a
//! duration since start.

use std::time::Duration;

use gnomon_config::model::{Eject, Share};

/// What the workers saw of one endpoint since the last tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// Failures in a row, as it stands now, over all cores; 0 after any success.
    pub failures: u32,
}

/// The ejections of one version's endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ejections {
    endpoints: Vec<Record>,
}

/// One endpoint's past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Record {
    /// Until when it is out.
    until: Option<Duration>,
    /// Ejections in near succession, which make the next one longer.
    times: u32,
    /// When it last came back.
    back: Duration,
}

impl Ejections {
    /// Nobody out, of so many endpoints.
    #[must_use]
    pub fn new(endpoints: usize) -> Self {
        Self { endpoints: vec![Record::default(); endpoints] }
    }

    /// Lets endpoints back whose time is over and ejects those that failed too often in a row,
    /// the worst first, as far as the cap allows. Says whether anything changed. After an
    /// ejection or a return the workers' run for that endpoint has to start at 0.
    ///
    /// An ejection lasts `duration` times the number of ejections in near succession, at most
    /// [`TIMES_MAX`] times; as long a time in service takes one off again.
    pub fn tick(&mut self, now: Duration, sightings: &[Sighting], eject: &Eject) -> bool {
        let mut changed = false;
        for record in &mut self.endpoints {
            if record.until.is_some_and(|until| until <= now) {
                *record = Record { until: None, times: record.times, back: now };
                changed = true;
            } else if record.until.is_none() && now >= record.back + eject.duration {
                record.times = record.times.saturating_sub(1);
                record.back = now;
            }
        }
        if eject.after == 0 {
            return changed;
        }
        let cap = cap(self.endpoints.len(), eject.max_ejected);
        while self.out() < cap {
            let Some(worst) = self.worst(sightings, eject.after) else { break };
            let record = &mut self.endpoints[worst];
            record.times = (record.times + 1).min(TIMES_MAX);
            record.until = Some(now + eject.duration * record.times);
            changed = true;
        }
        changed
    }

    /// Until when an endpoint is out; `None` if it is in.
    #[must_use]
    pub fn until(&self, endpoint: usize) -> Option<Duration> {
        self.endpoints.get(endpoint)?.until
    }

    /// How many are out.
    #[must_use]
    pub fn out(&self) -> usize {
        self.endpoints.iter().filter(|record| record.until.is_some()).count()
    }

    /// The endpoint in service with the longest run of at least `after` failures, the first of
    /// equals.
    fn worst(&self, sightings: &[Sighting], after: u32) -> Option<usize> {
        let runs = self.endpoints.iter().zip(sightings).enumerate();
        runs.filter(|(_, (record, sighting))| record.until.is_none() && sighting.failures >= after)
            .max_by_key(|&(index, (_, sighting))| (sighting.failures, usize::MAX - index))
            .map(|(index, _)| index)
    }
}

/// How many of `endpoints` may be out at once: the share rounded down, and never all.
#[must_use]
pub fn cap(endpoints: usize, share: Share) -> usize {
    (endpoints * share.0 as usize / Share::WHOLE.0 as usize).min(endpoints.saturating_sub(1))
}

/// Ten times the configured duration, as Envoy's bound of 300 s to its 30 s.
pub const TIMES_MAX: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: u32 = 5;

    fn eject() -> Eject {
        let (duration, max_ejected) = (Duration::from_secs(30), Share(50_000));
        Eject { after: AFTER, duration, max_ejected, on: vec![] }
    }

    fn seen(runs: &[u32]) -> Vec<Sighting> {
        runs.iter().map(|&failures| Sighting { failures }).collect()
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn enough_failures_in_a_row_eject_for_a_while() {
        let mut ejections = Ejections::new(2);
        assert!(!ejections.tick(at(1), &seen(&[4, 0]), &eject()));
        assert!(ejections.tick(at(2), &seen(&[5, 0]), &eject()));
        assert_eq!(ejections.until(0), Some(at(32)));
        assert!(!ejections.tick(at(31), &seen(&[0, 0]), &eject()));
        assert!(ejections.tick(at(32), &seen(&[0, 0]), &eject()));
        assert_eq!(ejections.until(0), None);
    }

    #[test]
    fn repeated_ejections_last_longer_up_to_a_bound_and_are_forgiven() {
        let mut ejections = Ejections::new(2);
        let mut now = at(0);
        let mut lengths = vec![];
        for _ in 0..12 {
            ejections.tick(now, &seen(&[9, 0]), &eject());
            let until = ejections.until(0).unwrap();
            lengths.push((until - now).as_secs() / 30);
            ejections.tick(until, &seen(&[0, 0]), &eject());
            now = until + at(1);
        }
        assert_eq!(lengths, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10]);
        for _ in 0..10 {
            now += at(30);
            ejections.tick(now, &seen(&[0, 0]), &eject());
        }
        ejections.tick(now, &seen(&[9, 0]), &eject());
        assert_eq!(ejections.until(0), Some(now + at(30)));
    }

    #[test]
    fn the_cap_is_rounded_down_and_spares_the_last() {
        for (endpoints, share, expected) in
            [(1, 100_000, 0), (2, 50_000, 1), (3, 50_000, 1), (4, 100_000, 3), (0, 50_000, 0)]
        {
            assert_eq!(cap(endpoints, Share(share)), expected);
        }
        let mut ejections = Ejections::new(3);
        ejections.tick(at(0), &seen(&[5, 7, 7]), &eject());
        assert_eq!((ejections.out(), ejections.until(1)), (1, Some(at(30))));
    }

    #[test]
    fn nothing_is_ejected_when_switched_off() {
        let mut ejections = Ejections::new(4);
        let off = Eject { after: 0, ..eject() };
        assert!(!ejections.tick(at(0), &seen(&[9, 9, 9, 9]), &off));
    }
}
