//! Exposures of flags, and what became of the requests that were exposed.
//!
//! One block for each core, and one for all who answer applications. Of a variant that nobody has
//! had there is nothing but a place.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use gnomon_config::model::Name;
use gnomon_flags::{FlagIx, FlagSet};
use gnomon_policy::golden;

use super::{
    Cell,
    routes::{COARSE, COARSE_CELLS},
    totals::Totals,
};

/// What one core counts about one variant of one flag.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct FlagCells {
    /// Requests of ours for which the variant made a difference.
    pub exposures: Cell,
    /// Times that an application was told it.
    pub asked: Cell,
    /// Requests that ended after they were exposed, in the order of [`OUTCOMES`].
    pub requests: [Cell; OUTCOMES.len()],
    /// Sum of the times, in microseconds.
    pub micros: Cell,
    /// Made with the first request, as applications that ask have none.
    times: OnceLock<Box<[Cell; COARSE_CELLS]>>,
}

/// What became of a request: it went well, it failed, or its client ended it.
pub const OUTCOMES: [&str; 3] = ["ok", "error", "client"];

impl FlagCells {
    /// Counts how long a request took.
    pub fn record(&self, nanos: u64) {
        if let Some(cell) = self.room().get(golden::bucket(nanos) / COARSE) {
            cell.add(1);
            self.micros.add(nanos / 1000);
        }
    }

    /// Adds the times to `sums`, which has [`golden::CELLS`] places: each to the second of the four
    /// that it stands for.
    pub fn add_to(&self, sums: &mut [u64]) {
        let cells = self.times.get().into_iter().flat_map(|cells| cells.iter());
        for (place, cell) in cells.enumerate() {
            if let Some(sum) = sums.get_mut(place * COARSE + 1) {
                *sum += cell.read();
            }
        }
    }

    /// Its histogram's cells, in order. Room is there once something was timed, or if it is to be made.
    pub(crate) fn times(&self, make: bool) -> Vec<&Cell> {
        if make {
            return self.room().iter().collect();
        }
        self.times.get().into_iter().flat_map(|cells| cells.iter()).collect()
    }

    fn room(&self) -> &[Cell; COARSE_CELLS] {
        self.times.get_or_init(|| Box::new(std::array::from_fn(|_| Cell::default())))
    }
}

/// The cells of all flags. Made anew with every set; what a variant of the same name of a flag of the
/// same name has counted goes on.
#[derive(Debug, Default)]
pub struct FlagBook {
    /// The set it was made for.
    set: Option<Arc<FlagSet>>,
    /// What a place is called: a flag, and a variant of it.
    names: Vec<(Name, Name)>,
    /// By flag, the place of its first variant.
    starts: Vec<u32>,
    /// By core, then that of applications, then by place.
    blocks: Vec<Box<[OnceLock<Arc<FlagCells>>]>>,
    cores: usize,
}

impl FlagBook {
    /// The book of a set, with what `before` has counted. Of `blocks`, the first `cores` are theirs.
    #[must_use]
    pub fn new(set: Arc<FlagSet>, cores: usize, blocks: usize, before: Option<&Self>) -> Self {
        let (mut names, mut starts) = (Vec::new(), Vec::with_capacity(set.flags().len()));
        for flag in set.flags() {
            starts.push(u32::try_from(names.len()).unwrap_or(u32::MAX));
            let variants = flag.variants.iter();
            names.extend(variants.map(|variant| (flag.name.clone(), variant.name.clone())));
        }
        let known: HashMap<_, usize> =
            before.iter().flat_map(|book| book.names.iter().zip(0..)).collect();
        let cell = |block: usize, name| {
            let kept = known.get(name).and_then(|&place| before?.blocks.get(block)?[place].get());
            kept.map_or_else(OnceLock::new, |kept| OnceLock::from(Arc::clone(kept)))
        };
        // One more than those of cores and of an earlier process: that of applications.
        let all = (0..=blocks).map(|block| names.iter().map(|name| cell(block, name)).collect());
        Self { blocks: all.collect(), names, starts, cores, set: Some(set) }
    }

    /// Whether it was made for this set.
    #[must_use]
    pub fn is_of(&self, set: &Arc<FlagSet>) -> bool {
        self.set.as_ref().is_some_and(|own| Arc::ptr_eq(own, set))
    }

    /// A core's cells of a variant of a flag.
    #[must_use]
    pub fn cells(&self, core: usize, flag: FlagIx, variant: u8) -> Option<&FlagCells> {
        let start = *self.starts.get(flag.0 as usize)?;
        let end =
            self.starts.get(flag.0 as usize + 1).map_or(self.names.len(), |end| *end as usize);
        let place = start as usize + usize::from(variant);
        let cell = self.blocks.get(core)?.get(place).filter(|_| place < end)?;
        Some(&**cell.get_or_init(Arc::default))
    }

    /// An application was told this variant. Any thread may say so.
    pub fn told(&self, flag: FlagIx, variant: u8) {
        if let Some(cells) = self.cells(self.cores, flag, variant) {
            cells.asked.count(1);
        }
    }

    /// What an earlier process has counted goes into the last block of cells, which nobody has.
    pub(crate) fn inherit(&self, counted: &[((String, String), Totals)]) {
        let Some(last) = self.blocks.last() else { return };
        let places: HashMap<(&str, &str), usize> = self
            .names
            .iter()
            .zip(0..)
            .map(|((flag, variant), place)| ((&**flag, &**variant), place))
            .collect();
        for ((flag, variant), totals) in counted {
            let place = places.get(&(&**flag, &**variant));
            if let Some(cells) = place.and_then(|place| last.get(*place)) {
                totals.put(&**cells.get_or_init(Arc::default));
            }
        }
    }

    /// Everything that has been counted: flag, variant, and its counts.
    pub fn all(&self) -> impl Iterator<Item = (&(Name, Name), Counted<'_>)> {
        let named = self.names.iter().enumerate();
        named.map(|(place, name)| (name, self.counted(place))).filter(|(_, it)| !it.is_empty())
    }

    /// What has been counted of a flag, by its variants.
    pub fn of(&self, flag: &str) -> impl Iterator<Item = (&Name, Counted<'_>)> {
        let named = self.names.iter().enumerate();
        let own = named.filter(move |(_, (name, _))| **name == *flag);
        own.map(|(place, (_, variant))| (variant, self.counted(place)))
    }

    fn counted(&self, place: usize) -> Counted<'_> {
        let cells = self.blocks.iter().filter_map(|block| block.get(place)?.get());
        Counted(cells.map(|cells| &**cells).collect())
    }
}

/// What has been counted of a variant: the cells of all who have counted something.
#[derive(Debug)]
pub struct Counted<'a>(pub Vec<&'a FlagCells>);

impl Counted<'_> {
    /// Whether nobody has had the variant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The sum of one of the counts.
    #[must_use]
    pub fn sum(&self, cell: impl Fn(&FlagCells) -> &Cell) -> u64 {
        self.0.iter().map(|cells| cell(cells).read()).sum()
    }

    /// How long requests took, in [`golden::CELLS`] places.
    #[must_use]
    pub fn times(&self) -> Vec<u64> {
        let mut sums = vec![0; golden::CELLS];
        self.0.iter().for_each(|cells| cells.add_to(&mut sums));
        sums
    }
}

#[cfg(test)]
mod tests;
