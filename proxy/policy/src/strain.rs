//! How hard the process is pressed, and what it does less of then.
//!
//! One word for it, the level of strain, from three readings: memory, files, and how long a core's
//! loop takes for one turn. It rises at once to what the worst reading asks for, and falls a level
//! at a time, after all readings have been clearly lower for a while.
//!
//! | level | from: memory | files | loop | what is done less |
//! |---|---|---|---|---|
//! | calm | | | | |
//! | tight | 90 % | 90 % | 500 ms | unready; no copies for shadows; silent clients stay 5 s; spare memory goes back |
//! | closed | 95 % | 95 % | 1 s | the same, and new connections are closed at once |
//! | shedding | 98 % | – | 2 s | the same, and new requests get a 503 |
//!
//! What has begun is never ended by strain: whoever gets half an answer asks again for all of it.
//! Files never bring about the last level, since a request on a connection that is there mostly
//! needs none.

use std::time::Duration;

/// How hard the process is pressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Not at all.
    #[default]
    Calm,
    /// Unready: what can wait, or be done elsewhere, is not done here.
    Tight,
    /// New connections are closed at once.
    Closed,
    /// New requests get a 503.
    Shedding,
}

impl Level {
    /// All, rising.
    pub const ALL: [Self; 4] = [Self::Calm, Self::Tight, Self::Closed, Self::Shedding];

    /// As people read it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Tight => "tight",
            Self::Closed => "closed",
            Self::Shedding => "shedding",
        }
    }

    /// The level of this number, from 0; beyond the last, the last.
    #[must_use]
    pub fn of(number: u64) -> Self {
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        Self::ALL.get(place).copied().unwrap_or(Self::Shedding)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self as u64
    }
}

/// How full what can run out is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Memory in use against what may be.
    pub memory: f64,
    /// Open files against what may be.
    pub files: f64,
    /// How long the slowest core works for one turn of its loop: so long a request waits before it
    /// is looked at. Time that others had the processor is not in it.
    pub turn: Duration,
}

/// What can run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Memory.
    Memory,
    /// Open files.
    Files,
    /// A core's time.
    Core,
}

impl Part {
    /// As people read it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Files => "files",
            Self::Core => "core",
        }
    }
}

impl Reading {
    /// The level that this asks for, and which part of it does; where none asks for any, nothing
    /// does.
    #[must_use]
    pub fn asks(&self) -> (Level, Option<Part>) {
        self.against(0.0, 1)
    }

    /// The same with all bounds lower: shares by so much, times to a part.
    fn against(&self, lower: f64, part: u32) -> (Level, Option<Part>) {
        let share = |share: f64, bounds: &[f64]| {
            bounds.iter().filter(|bound| share >= **bound - lower).count()
        };
        let turn = TURNS.iter().filter(|bound| self.turn >= **bound / part).count();
        let all = [
            (share(self.memory, &MEMORY), Part::Memory),
            (share(self.files, &FILES), Part::Files),
            (turn, Part::Core),
        ];
        let worst = all.into_iter().max_by_key(|(level, _)| *level);
        let (level, part) = worst.unwrap_or((0, Part::Memory));
        (Level::of(level as u64), (level > 0).then_some(part))
    }
}

/// From where on each level is asked for.
const MEMORY: [f64; 3] = [0.90, 0.95, 0.98];
const FILES: [f64; 2] = [0.90, 0.95];
const TURNS: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];
/// How much lower a share must be before its level is left, and to what part a turn must shrink: a
/// level that does what it is for would else be left and entered again without end.
const LOWER: f64 = 0.05;
const SHRUNK: u32 = 2;
/// For how long.
const CALM: Duration = Duration::from_secs(1);

/// The level, and since when it has been asking to be left.
#[derive(Clone, Copy, Debug, Default)]
pub struct Strain {
    level: Level,
    lower_since: Option<Duration>,
}

impl Strain {
    /// The level.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.level
    }

    /// Follows a reading taken at `now`, any time that rises; whether the level is another one.
    pub fn follow(&mut self, reading: &Reading, now: Duration) -> bool {
        let (asked, _) = reading.asks();
        let (kept, _) = reading.against(LOWER, SHRUNK);
        if asked > self.level {
            *self = Self { level: asked, lower_since: None };
            return true;
        }
        if kept >= self.level {
            self.lower_since = None;
            return false;
        }
        let since = *self.lower_since.get_or_insert(now);
        if now.saturating_sub(since) < CALM {
            return false;
        }
        let level = Level::of(self.level.number().saturating_sub(1));
        *self = Self { level, lower_since: Some(now) };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn memory(memory: f64) -> Reading {
        Reading { memory, files: 0.0, turn: Duration::ZERO }
    }

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn each_reading_asks_for_what_the_table_says() {
        let files = |files| Reading { files, ..memory(0.0) };
        let turn = |millis| Reading { turn: at(millis), ..memory(0.0) };
        for (reading, level, part) in [
            (memory(0.89), Level::Calm, None),
            (memory(0.90), Level::Tight, Some(Part::Memory)),
            (memory(0.95), Level::Closed, Some(Part::Memory)),
            (memory(0.98), Level::Shedding, Some(Part::Memory)),
            (memory(7.0), Level::Shedding, Some(Part::Memory)),
            (files(0.89), Level::Calm, None),
            (files(0.90), Level::Tight, Some(Part::Files)),
            (files(1.0), Level::Closed, Some(Part::Files)),
            (turn(499), Level::Calm, None),
            (turn(500), Level::Tight, Some(Part::Core)),
            (turn(1000), Level::Closed, Some(Part::Core)),
            (turn(2000), Level::Shedding, Some(Part::Core)),
            (Reading { memory: 0.91, ..files(0.96) }, Level::Closed, Some(Part::Files)),
        ] {
            assert_eq!(reading.asks(), (level, part), "{reading:?}");
        }
    }

    #[test]
    fn strain_rises_at_once_and_falls_level_by_level() {
        let mut strain = Strain::default();
        assert!(!strain.follow(&memory(0.5), at(0)));
        assert!(strain.follow(&memory(0.99), at(200)));
        assert_eq!(strain.level(), Level::Shedding);
        let mut levels = Vec::new();
        for millis in (400..4000).step_by(200) {
            if strain.follow(&memory(0.5), at(millis)) {
                levels.push((millis, strain.level()));
            }
        }
        assert_eq!(levels, [(1400, Level::Closed), (2400, Level::Tight), (3400, Level::Calm)],);
    }

    #[test]
    fn what_is_only_just_better_changes_nothing() {
        let mut strain = Strain::default();
        assert!(strain.follow(&memory(0.951), at(0)));
        for millis in (200..60_000).step_by(200) {
            // To and fro about the bound, as memory does that is freed and taken again.
            let share = if millis % 400 == 0 { 0.94 } else { 0.955 };
            assert!(!strain.follow(&memory(share), at(millis)));
        }
        assert_eq!(strain.level(), Level::Closed);
        // One look that is better is not a second of them.
        for millis in (60_000..70_000).step_by(200) {
            let share = if millis % 1000 == 0 { 0.93 } else { 0.5 };
            assert!(!strain.follow(&memory(share), at(millis)));
        }
    }

    #[test]
    fn levels_have_numbers_that_lead_back() {
        for (number, level) in (0..).zip(Level::ALL) {
            assert_eq!((level.number(), Level::of(number)), (number, level));
        }
        assert_eq!(Level::of(99), Level::Shedding);
    }
}
