//! The last hour: by the second, and before that in means of ten.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use serde::{Serialize, Serializer, ser::SerializeSeq};

use super::{
    asked::Wanted,
    kept::{Kept, Row},
    window::single,
};
use crate::control::{api::series::Beat, registry::VersionKey};

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// In means, oldest first.
    coarse: VecDeque<Arc<Kept>>,
    /// By the second.
    fine: VecDeque<Arc<Kept>>,
}

impl Book {
    pub(super) fn push(&mut self, kept: Arc<Kept>) {
        self.fine.push_back(kept);
        if self.fine.len() < FINE + COARSE_SECONDS {
            return;
        }
        let ten: Vec<Arc<Kept>> = self.fine.drain(..COARSE_SECONDS).collect();
        self.coarse.extend(mean(&ten).map(Arc::new));
        if self.coarse.len() > COARSE {
            self.coarse.pop_front();
        }
    }

    /// All of it, means and seconds; the newest, as far as no more than so many versions are in them.
    pub(super) fn leave(&self, mut rows: usize) -> (Vec<Arc<Kept>>, Vec<Arc<Kept>>) {
        let mut newest = |all: &VecDeque<Arc<Kept>>| {
            let fit = all.iter().rev().take_while(|kept| {
                let fits = rows >= kept.names.len();
                rows = rows.saturating_sub(kept.names.len());
                fits
            });
            let mut newest: Vec<Arc<Kept>> = fit.cloned().collect();
            newest.reverse();
            newest
        };
        let fine = newest(&self.fine);
        (newest(&self.coarse), fine)
    }

    /// What another process has seen.
    pub(super) fn inherit(coarse: &[Beat], fine: &[Beat]) -> Self {
        let mut before: Option<Arc<Kept>> = None;
        let mut keep = |beats: &[Beat], most: usize| {
            let newest = &beats[beats.len().saturating_sub(most)..];
            let all = newest.iter().map(|beat| {
                let kept = Arc::new(Kept::of(beat, before.as_deref()));
                before = Some(kept.clone());
                kept
            });
            all.collect()
        };
        let coarse = keep(coarse, COARSE);
        Self { coarse, fine: keep(fine, FINE + COARSE_SECONDS - 1) }
    }

    /// All that is newer than `since`, in milliseconds since 1970, oldest first.
    pub(super) fn since(&self, since: u64) -> Vec<Arc<Kept>> {
        let all = self.coarse.iter().chain(&self.fine);
        all.filter(|kept| kept.at > since).cloned().collect()
    }
}

/// Ten seconds in one: rates are means, and everything else is as it was at the end; but of how full
/// everything was, the worst.
fn mean(ten: &[Arc<Kept>]) -> Option<Kept> {
    let last = ten.last()?;
    let count = single(ten.len() as f64);
    let mut sums: HashMap<u16, [f32; 2]> = HashMap::new();
    for kept in ten {
        let places = places(kept, last);
        for row in &kept.rows {
            let place = places.as_ref().map_or(Some(row.place), |it| it.get(&row.place).copied());
            if let Some(place) = place {
                let [rate, errors] = sums.entry(place).or_default();
                (*rate, *errors) = (*rate + row.rate / count, *errors + row.errors / count);
            }
        }
    }
    let mut rows = last.rows.to_vec();
    for row in &mut rows {
        let [rate, errors] = sums.remove(&row.place).unwrap_or_default();
        (row.rate, row.errors) = (rate, errors);
    }
    // Those that had something to say earlier and nothing at the end.
    rows.extend(sums.into_iter().map(|(place, [rate, errors])| Row {
        place,
        rate,
        errors,
        in_flight: 0,
        minute: super::window::Small::empty(),
    }));
    rows.sort_by_key(|row| row.place);
    let fullest = ten.iter().max_by(|a, b| a.saturation.total_cmp(&b.saturation))?;
    let core = |core: usize| {
        let busy = ten.iter().map(|kept| kept.cores.get(core).copied().unwrap_or_default());
        busy.sum::<f32>() / count
    };
    Some(Kept {
        rows: rows.into(),
        saturation: fullest.saturation,
        fullest: fullest.fullest.clone(),
        cores: (0..last.cores.len()).map(core).collect(),
        ..(**last).clone()
    })
}

/// Where the versions of one beat are in another; `None` if in the same places.
fn places(from: &Kept, to: &Kept) -> Option<HashMap<u16, u16>> {
    if Arc::ptr_eq(&from.names, &to.names) || from.names == to.names {
        return None;
    }
    let by_name: HashMap<&VersionKey, u16> =
        to.names.iter().map(|named| &named.key).zip(0..).collect();
    let names = (0..).zip(from.names.iter());
    Some(names.filter_map(|(place, it)| Some((place, *by_name.get(&it.key)?))).collect())
}

/// A history as JSON.
pub(super) fn write(all: &[Arc<Kept>], wanted: &Wanted) -> serde_json::Result<Vec<u8>> {
    let few = all.last().and_then(|last| wanted.few(last));
    serde_json::to_vec(&Written {
        coarse_seconds: COARSE_SECONDS as u64,
        beats: Beats { all, wanted, few: few.as_ref() },
    })
}

/// A `History`, of which no more than one beat is there at once.
#[derive(Serialize)]
struct Written<'a> {
    coarse_seconds: u64,
    beats: Beats<'a>,
}

struct Beats<'a> {
    all: &'a [Arc<Kept>],
    wanted: &'a Wanted,
    few: Option<&'a HashSet<VersionKey>>,
}

impl Serialize for Beats<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut beats = serializer.serialize_seq(Some(self.all.len()))?;
        for kept in self.all {
            let mut beat = kept.beat(|key| match self.few {
                Some(few) => few.contains(key),
                None => self.wanted.has(key),
            });
            if !self.wanted.is_all() {
                // Nobody asked for the others.
                beat.left_out = 0;
            }
            beats.serialize_element(&beat)?;
        }
        beats.end()
    }
}

/// Beats by the second: two minutes, and up to ten seconds more until these become one.
pub(super) const FINE: usize = 120;
/// Beats in means: an hour.
pub(super) const COARSE: usize = 360;
/// Seconds in one of them.
pub(super) const COARSE_SECONDS: usize = 10;
