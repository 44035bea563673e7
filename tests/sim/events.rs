//! What happens beside clients and origins, and when.

use std::collections::VecDeque;

use super::draw::Draw;

#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// An endpoint closes everything and is gone, until so many milliseconds of the run.
    Down(usize, u64),
    Up(usize),
    /// An endpoint does not answer those who dial it, until then.
    Silent(usize, u64),
    Answers(usize),
    /// Another configuration is taken over.
    Reload,
    /// Another split is set.
    Weight,
    /// An endpoint's checks pass, or do not.
    Check(usize, bool),
    /// A task panics at the so-manieth place where one may.
    Panic(u64),
    /// The wall clock jumps by so many hours.
    Jump(i64),
    /// Nothing runs for so many milliseconds.
    Stall(u64),
}

/// The events of a run, in order.
#[derive(Debug)]
pub(super) struct Schedule {
    events: VecDeque<(u64, Event)>,
    /// When the worker begins to drain, at the latest.
    pub(super) drain: u64,
}

impl Schedule {
    pub(super) fn draw(draw: &mut Draw, endpoints: usize) -> Self {
        let mut events = Vec::new();
        for _ in 0..draw.pick(&[0, 0, 1, 3, 10]) {
            let at = draw.below(6_000);
            let place = draw.below(endpoints as u64) as usize;
            let until = at + draw.between(1, 4_000);
            match draw.below(12) {
                0 | 1 => {
                    events.push((at, Event::Down(place, until)));
                    events.push((until, Event::Up(place)));
                }
                2 => {
                    events.push((at, Event::Silent(place, until)));
                    events.push((until, Event::Answers(place)));
                }
                3..6 => events.push((at, Event::Reload)),
                6 => events.push((at, Event::Weight)),
                7 | 8 => events.push((at, Event::Check(place, draw.chance(50)))),
                9 => events.push((at, Event::Panic(draw.below(20)))),
                10 => events.push((at, Event::Jump(draw.between(0, 200) as i64 - 100))),
                _ => events.push((at, Event::Stall(draw.between(60, 500)))),
            }
        }
        events.sort_by_key(|&(at, _)| at);
        let drain = if draw.chance(25) { draw.below(6_000) } else { u64::MAX };
        Self { events: events.into(), drain }
    }

    pub(super) fn next(&self, now: u64) -> Option<u64> {
        self.events.front().map(|&(at, _)| at.max(now))
    }

    /// The first event that is due.
    pub(super) fn take(&mut self, now: u64) -> Option<Event> {
        let &(at, event) = self.events.front()?;
        (at <= now).then(|| self.events.pop_front())?;
        Some(event)
    }
}
