//! Which requests are copied, for which shadows, and what the copies say.

use std::ops::BitOr;

use gnomon_config::model::{self, Config, Shadow, Share, UpstreamIx, VersionIx};
use gnomon_flags::Hasher;
use gnomon_wire::{Edits, Upgrade};
use regex::bytes::Regex;

use crate::{
    edits::{self, BadEdit},
    luck::Luck,
    matcher,
    plan::{Assignment, Plan},
    split::position,
    sticky,
    subject::Subject,
};

/// A set of shadows: a bit for each, in the order of the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Targets(pub u64);

impl Targets {
    /// No shadow.
    pub const NONE: Self = Self(0);

    /// Index of the recorder, which takes copies as shadows do and is none: the last bit is its own.
    pub const RECORDER: usize = 63;

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Only the shadow of this index, below 64.
    #[must_use]
    pub const fn only(index: usize) -> Self {
        Self(1 << (index & 63))
    }

    /// The indices, rising.
    pub fn indices(self) -> impl Iterator<Item = usize> {
        let next = |left: &u64| Some(left & left.wrapping_sub(1)).filter(|left| *left != 0);
        let first = (self.0 != 0).then_some(self.0);
        std::iter::successors(first, next).map(|left| left.trailing_zeros() as usize)
    }
}

/// Whether a coin falls for this share of the requests.
#[must_use]
pub fn falls(share: Share, luck: &mut Luck) -> bool {
    // All or nothing needs no coin.
    share == Share::WHOLE || position(luck.draw()) < share.0
}

impl BitOr for Targets {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What is to become of a request, as far as shadows are concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Considered {
    /// Shadows that would like a copy: all that their `match` says holds.
    pub eligible: Targets,
    /// Those of them that get one, by their sample.
    pub sampled: Targets,
    /// Those of them that pick by a key the request does not have.
    pub unkeyed: Targets,
}

/// The shadows of a configuration, compiled.
#[derive(Debug)]
pub(crate) struct ShadowTable {
    /// By upstream, then by version: whose requests are copied to whom.
    of_versions: Vec<Vec<Targets>>,
    shadows: Vec<Compiled>,
}

#[derive(Debug)]
struct Compiled {
    /// The pattern of the path, anchored.
    path: Option<Regex>,
    hasher: Hasher,
    /// Edits of the copies, the mark among them.
    copy: Edits,
    /// Edits of a request that goes to the primary's version once more: the mark alone.
    again: Edits,
}

impl ShadowTable {
    pub(crate) fn new(config: &Config) -> Result<Self, BadEdit> {
        let versions = |upstream: &model::Upstream| vec![Targets::NONE; upstream.versions.len()];
        let mut of_versions: Vec<_> = config.upstreams.iter().map(versions).collect();
        for (index, shadow) in config.shadows.iter().enumerate() {
            let (UpstreamIx(upstream), version) = shadow.from;
            for (place, targets) in of_versions[usize::from(upstream)].iter_mut().enumerate() {
                let is_from = version.is_none_or(|VersionIx(from)| usize::from(from) == place);
                let is_to =
                    (shadow.to.0, usize::from(shadow.to.1.0)) == (UpstreamIx(upstream), place);
                if is_from && !is_to {
                    *targets = *targets | Targets::only(index);
                }
            }
        }
        let of = |shadow: &Shadow| {
            let UpstreamIx(from) = shadow.from.0;
            Compiled::new(shadow, &config.upstreams[usize::from(from)])
        };
        let shadows = config.shadows.iter().map(of).collect::<Result<_, _>>()?;
        Ok(Self { of_versions, shadows })
    }

    /// The shadows of a version: a load, and nearly always none.
    pub(crate) fn of(&self, plan: &Plan) -> Targets {
        self.of_versions[usize::from(plan.upstream.0)][usize::from(plan.version.0)]
    }

    pub(crate) fn copy_edits(&self, shadow: usize) -> &Edits {
        &self.shadows[shadow].copy
    }

    pub(crate) fn again_edits(&self, shadow: usize) -> &Edits {
        &self.shadows[shadow].again
    }

    pub(crate) fn consider(
        &self,
        shadows: &[Shadow],
        plan: &Plan,
        subject: &Subject<'_>,
        luck: &mut Luck,
        sample: impl Fn(usize) -> Share,
    ) -> Considered {
        let mut considered = Considered::default();
        // A connection that becomes something else is no exchange that could be repeated.
        if matches!(subject.request.upgrade(), Upgrade::WebSocket | Upgrade::Tunnel) {
            return considered;
        }
        for index in self.of(plan).indices() {
            let (shadow, compiled) = (&shadows[index], &self.shadows[index]);
            if !compiled.wants(shadow, plan, subject) {
                continue;
            }
            let target = Targets::only(index);
            considered.eligible = considered.eligible | target;
            let sample = sample(index);
            match compiled.draw(shadow, sample, subject, luck) {
                None => considered.unkeyed = considered.unkeyed | target,
                Some(place) if place < sample.0 => {
                    considered.sampled = considered.sampled | target;
                }
                Some(_) => {}
            }
        }
        considered
    }
}

impl Compiled {
    fn new(shadow: &Shadow, from: &model::Upstream) -> Result<Self, BadEdit> {
        let mark = (shadow.mark.clone(), shadow.name.clone());
        let mut wanted = shadow.edits.clone();
        wanted.remove.extend(shadow.without.iter().cloned());
        wanted.set.push(mark.clone());
        let again = model::Edits { set: vec![mark], ..model::Edits::default() };
        let path = shadow.matches.path.regex().and_then(matcher::anchored);
        Ok(Self {
            path,
            hasher: sticky::hasher_of_shadow(shadow, from),
            copy: edits::one(&shadow.name, &wanted)?,
            again: edits::one(&shadow.name, &again)?,
        })
    }

    fn wants(&self, shadow: &Shadow, plan: &Plan, subject: &Subject<'_>) -> bool {
        (shadow.forced || plan.assignment != Assignment::Pinned)
            && matcher::check(&shadow.matches, subject).is_ok()
            && matcher::path_fits(&shadow.matches.path, self.path.as_ref(), subject.request.path())
            && matcher::best_host(&shadow.matches, subject.request.host()).is_some()
    }

    /// Where the request stands on the line of positions, if anything says so.
    fn draw(
        &self,
        shadow: &Shadow,
        sample: Share,
        subject: &Subject<'_>,
        luck: &mut Luck,
    ) -> Option<u32> {
        let Some(key) = &shadow.by else {
            // All or nothing needs no coin.
            let is_certain = sample == Share::WHOLE;
            return Some(if is_certain { 0 } else { position(luck.draw()) });
        };
        let mut buffer = [0; 16];
        sticky::find(key, subject.request, subject.client, &mut buffer)
            .map(|key| self.hasher.position(key))
    }
}

#[cfg(test)]
mod tests;
