//! One beat as it is kept: few bytes, and nothing of a version that nobody asks.

use std::sync::Arc;

use super::window::{MICRO, MILLI, Small, neat, single};
use crate::control::{
    api::{
        Arm,
        series::{Beat, RolloutBeat, VersionBeat},
    },
    registry::VersionKey,
};

/// A version by name, and its side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) key: VersionKey,
    pub(super) arm: Option<Arm>,
}

/// One second, or ten of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    pub(super) at: u64,
    pub(super) saturation: f32,
    pub(super) fullest: Arc<str>,
    pub(super) cores: Box<[f32]>,
    pub(super) connections: u64,
    /// All versions, the same for all beats until something changes.
    pub(super) names: Arc<[Named]>,
    /// What each is to get, in percent, likewise.
    pub(super) shares: Arc<[f32]>,
    /// Those that anything can be said of, by place.
    pub(super) rows: Box<[Row]>,
    /// Windows of steps, by place.
    pub(super) steps: Box<[(u16, Small)]>,
    pub(super) rollouts: Arc<[RolloutBeat]>,
    pub(super) left_out: usize,
}

/// One version.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Row {
    /// Its place among the names.
    pub(super) place: u16,
    pub(super) rate: f32,
    pub(super) errors: f32,
    pub(super) in_flight: u32,
    pub(super) minute: Small,
}

impl Row {
    /// Whether there is nothing to say of it.
    pub(super) fn is_silent(&self) -> bool {
        self.rate == 0.0 && self.errors == 0.0 && self.in_flight == 0 && self.minute.requests == 0
    }
}

impl Kept {
    /// What is told of it, of the versions that are `wanted`.
    pub(super) fn beat(&self, mut wanted: impl FnMut(&VersionKey) -> bool) -> Beat {
        let silent = Small::empty();
        let (mut rows, mut steps) = (self.rows.iter().peekable(), self.steps.iter().peekable());
        let mut versions = Vec::new();
        let mut left_out = self.left_out;
        for (place, (named, share)) in (0..).zip(self.names.iter().zip(&*self.shares)) {
            let row = rows.next_if(|row| row.place == place);
            let step = steps.next_if(|(of, _)| *of == place);
            if !wanted(&named.key) {
                left_out += 1;
                continue;
            }
            versions.push(VersionBeat {
                upstream: named.key.upstream.to_string(),
                version: named.key.version.to_string(),
                arm: named.arm,
                share: neat(*share, MILLI),
                rate: row.map_or(0.0, |row| neat(row.rate, MILLI)),
                errors: row.map_or(0.0, |row| neat(row.errors, MILLI)),
                in_flight: row.map_or(0, |row| row.in_flight.into()),
                minute: row.map_or(&silent, |row| &row.minute).window(),
                step: step.map(|(_, step)| step.window()),
            });
        }
        Beat {
            at: self.at,
            saturation: neat(self.saturation, MICRO),
            fullest: self.fullest.to_string(),
            cores: self.cores.iter().map(|share| neat(*share, MILLI)).collect(),
            connections: self.connections,
            versions,
            rollouts: self.rollouts.to_vec(),
            left_out,
        }
    }

    /// A beat that another process has told; it shares with the one before what is the same.
    pub(super) fn of(beat: &Beat, before: Option<&Self>) -> Self {
        let name = |it: &VersionBeat| Named {
            key: VersionKey { upstream: (&*it.upstream).into(), version: (&*it.version).into() },
            arm: it.arm,
        };
        let names: Vec<Named> = beat.versions.iter().map(name).collect();
        let shares: Vec<f32> = beat.versions.iter().map(|it| single(it.share)).collect();
        let same = before.filter(|before| *before.names == *names);
        let same_shares = before.filter(|before| *before.shares == *shares);
        let rows = (0..).zip(&beat.versions).map(|(place, it)| Row {
            place,
            rate: single(it.rate),
            errors: single(it.errors),
            in_flight: u32::try_from(it.in_flight).unwrap_or(u32::MAX),
            minute: Small::of(&it.minute),
        });
        let steps = (0..).zip(&beat.versions);
        Self {
            at: beat.at,
            saturation: single(beat.saturation),
            fullest: beat.fullest.as_str().into(),
            cores: beat.cores.iter().map(|share| single(*share)).collect(),
            connections: beat.connections,
            rows: rows.filter(|row| !row.is_silent()).collect(),
            steps: steps.filter_map(|(place, it)| Some((place, Small::of(&it.step?)))).collect(),
            rollouts: beat.rollouts.clone().into(),
            left_out: beat.left_out,
            names: same.map_or_else(|| names.into(), |before| before.names.clone()),
            shares: same_shares.map_or_else(|| shares.into(), |before| before.shares.clone()),
        }
    }

    /// Bytes that it takes, those aside that it shares with others.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + size_of_val(&*self.rows)
            + size_of_val(&*self.steps)
            + size_of_val(&*self.cores)
            + self.fullest.len()
    }
}
