//! How traffic is shared between the versions of an upstream, and the verbs that change it.
//!
//! The line of positions `0..100_000` is cut into one range per version: canaries first in the
//! order of declaration, stable last. A canary that grows therefore takes from what lies behind
//! it and never gives a user back; what shrinks to nothing holds nobody.
//!
//! | verb | who is on the canary afterwards |
//! |---|---|
//! | [`set_weights`](SplitState::set_weights) | as many as said; weight 0: nobody, at once, holders of our cookie included |
//! | [`drain`](SplitState::drain) | those who are on it already; nobody new |
//! | [`freeze`](SplitState::freeze) | as before, and no verb but `resume` changes it |
//! | [`rollback`](SplitState::rollback) | nobody, at once |

use std::fmt;

use gnomon_config::model::{Share, StickyMode, Upstream, VersionIx};

pub use gnomon_flags::position;

/// The split of one upstream as it is now, which may be another than the configured one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitState {
    /// One share per version, in their order, adding up to [`Share::WHOLE`].
    pub shares: Vec<Share>,
    /// Versions that take no new users, in their order. Never stable.
    pub draining: Vec<bool>,
    /// Whether all verbs but [`resume`](Self::resume) are refused.
    pub frozen: bool,
}

/// Why a verb was refused. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The split is frozen; `resume` first.
    Frozen,
    /// The upstream has no such version.
    Unknown(VersionIx),
    /// The version was named twice.
    Twice(VersionIx),
    /// The shares add up to this many parts of 100,000 instead of the whole.
    Sum(u64),
    /// The version would get a share but has no endpoint.
    NoEndpoint(VersionIx),
    /// Stable takes who has nowhere else to go: it cannot be drained.
    Stable,
    /// The upstream draws for every request: there are no users to keep. Set the weight to 0.
    NoUsers,
    /// Users are told apart by a key that we did not mint, so nobody can know who is new.
    ForeignKey,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frozen => f.write_str("the split is frozen: resume first"),
            Self::Unknown(version) => write!(f, "there is no version number {}", version.0),
            Self::Twice(version) => write!(f, "version number {} is named twice", version.0),
            Self::Sum(parts) => {
                let (percent, rest) = (parts / 1000, parts % 1000);
                write!(f, "the shares add up to {percent}.{rest:03} % instead of 100 %")
            }
            Self::NoEndpoint(version) => {
                write!(f, "version number {} has no endpoint to take a share", version.0)
            }
            Self::Stable => f.write_str("stable cannot be drained"),
            Self::NoUsers => {
                f.write_str("without `sticky` there are no users to keep: set weight 0")
            }
            Self::ForeignKey => {
                f.write_str("only users with a cookie of ours can be told from new ones")
            }
        }
    }
}

impl std::error::Error for Refusal {}

impl SplitState {
    /// The configured split, nothing draining, not frozen.
    #[must_use]
    pub fn of(upstream: &Upstream) -> Self {
        Self {
            shares: upstream.split.clone(),
            draining: vec![false; upstream.versions.len()],
            frozen: false,
        }
    }

    /// Whether this state can be that of `upstream`: one whole cut into as many shares as there
    /// are versions. A state kept from before a reload may no longer fit.
    #[must_use]
    pub fn fits(&self, upstream: &Upstream) -> bool {
        let versions = upstream.versions.len();
        self.shares.len() == versions
            && self.draining.len() == versions
            && total(&self.shares) == u64::from(Share::WHOLE.0)
            && !self.draining.get(usize::from(upstream.stable.0)).copied().unwrap_or(true)
    }

    /// Gives the named versions these shares. Canaries left out keep theirs; stable, if left
    /// out, takes the rest.
    ///
    /// # Errors
    /// A [`Refusal`] if frozen, a version is unknown, named twice or has no endpoint for its
    /// share, or the shares do not add up.
    pub fn set_weights(
        &mut self,
        upstream: &Upstream,
        named: &[(VersionIx, Share)],
    ) -> Result<(), Refusal> {
        self.check_thawed()?;
        let mut shares = self.shares.clone();
        for (place, &(version, share)) in named.iter().enumerate() {
            if named[..place].iter().any(|&(earlier, _)| earlier == version) {
                return Err(Refusal::Twice(version));
            }
            *shares.get_mut(usize::from(version.0)).ok_or(Refusal::Unknown(version))? = share;
        }
        if !named.iter().any(|&(version, _)| version == upstream.stable) {
            set_rest(&mut shares, upstream.stable)?;
        }
        if total(&shares) != u64::from(Share::WHOLE.0) {
            return Err(Refusal::Sum(total(&shares)));
        }
        let versions = upstream.versions.iter().zip(&shares).zip(0..);
        for ((version, &share), index) in versions {
            if version.endpoints.is_empty() && share > Share::NONE {
                return Err(Refusal::NoEndpoint(VersionIx(index)));
            }
        }
        self.shares = shares;
        Ok(())
    }

    /// Lets no new user onto `version`; those who present a cookie of ours stay.
    ///
    /// # Errors
    /// A [`Refusal`] if frozen, the version is unknown or stable, or the upstream cannot tell
    /// new users from old ones because the key is not minted by us.
    pub fn drain(&mut self, upstream: &Upstream, version: VersionIx) -> Result<(), Refusal> {
        self.check_thawed()?;
        match upstream.sticky.mode {
            StickyMode::None => return Err(Refusal::NoUsers),
            StickyMode::Key(_) => return Err(Refusal::ForeignKey),
            StickyMode::Minted if version == upstream.stable => return Err(Refusal::Stable),
            StickyMode::Minted => {}
        }
        let place = self.draining.get_mut(usize::from(version.0));
        *place.ok_or(Refusal::Unknown(version))? = true;
        Ok(())
    }

    /// Keeps the split as it is until [`resume`](Self::resume): for when going back would hurt
    /// too, as after a migration. Even [`rollback`](Self::rollback) is refused then.
    pub fn freeze(&mut self) {
        self.frozen = true;
    }

    /// Ends a freeze and every drain.
    pub fn resume(&mut self) {
        self.frozen = false;
        self.draining.fill(false);
    }

    /// Sends everyone to stable at once, sticky users too, and ends every drain.
    ///
    /// # Errors
    /// [`Refusal::Frozen`].
    pub fn rollback(&mut self, upstream: &Upstream) -> Result<(), Refusal> {
        self.check_thawed()?;
        self.draining.fill(false);
        self.shares.fill(Share::NONE);
        set_rest(&mut self.shares, upstream.stable)
    }

    fn check_thawed(&self) -> Result<(), Refusal> {
        if self.frozen { Err(Refusal::Frozen) } else { Ok(()) }
    }
}

/// The line of positions cut into one range per version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Where a version's range ends, in the order of the line; empty ranges are left out.
    cuts: Vec<Cut>,
    /// Whether any range is closed to new users.
    draining: bool,
}

/// One version's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Whose it is.
    pub version: VersionIx,
    /// Its first position.
    pub start: u32,
    /// One past its last position.
    pub end: u32,
    /// Whether it is closed to new users.
    pub draining: bool,
}

impl Cut {
    /// How much of the line it holds.
    #[must_use]
    pub fn share(&self) -> Share {
        Share(self.end - self.start)
    }
}

impl Layout {
    /// Cuts the line as `state` says: canaries in the order of declaration, stable last. A state
    /// that does not [fit](SplitState::fits) is replaced by the configured split.
    #[must_use]
    pub fn of(upstream: &Upstream, state: Option<&SplitState>) -> Self {
        let state = state.filter(|state| state.fits(upstream));
        let shares = state.map_or(&upstream.split, |state| &state.shares);
        let stable = usize::from(upstream.stable.0);
        let canaries = (0..shares.len()).filter(|&version| version != stable);
        let mut start = 0;
        let mut cuts = Vec::with_capacity(shares.len());
        for version in canaries.chain([stable]) {
            let end = start + shares.get(version).map_or(0, |share| share.0);
            let draining = state.is_some_and(|state| state.draining[version]);
            if let (Ok(index), true) = (u16::try_from(version), start < end) {
                cuts.push(Cut { version: VersionIx(index), start, end, draining });
            }
            start = end;
        }
        let draining = cuts.iter().any(|cut| cut.draining);
        Self { cuts, draining }
    }

    /// The ranges in the order of the line; empty ones are left out.
    #[must_use]
    pub fn cuts(&self) -> &[Cut] {
        &self.cuts
    }

    /// Whose range holds `position`. `None` only where nothing has any share.
    #[must_use]
    pub fn at(&self, position: u32) -> Option<&Cut> {
        self.cuts.get(self.cuts.partition_point(|cut| cut.end <= position))
    }

    /// How much of the line is open to new users.
    pub(crate) fn open(&self) -> Share {
        let closed = self.cuts.iter().filter(|cut| cut.draining).map(|cut| cut.share().0);
        Share(Share::WHOLE.0 - closed.sum::<u32>().min(Share::WHOLE.0))
    }

    /// Whether any range is closed to new users.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining
    }
}

/// `part` of `whole`, as a share.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "at most the whole, as `part <= whole`")]
pub(crate) fn ratio(part: Share, whole: Share) -> Share {
    let parts = u64::from(part.0) * u64::from(Share::WHOLE.0);
    Share(parts.checked_div(u64::from(whole.0)).unwrap_or(0) as u32)
}

fn total(shares: &[Share]) -> u64 {
    shares.iter().map(|share| u64::from(share.0)).sum()
}

/// Gives `stable` what the others leave.
fn set_rest(shares: &mut [Share], stable: VersionIx) -> Result<(), Refusal> {
    let stable_share = shares.get_mut(usize::from(stable.0)).ok_or(Refusal::Unknown(stable))?;
    *stable_share = Share::NONE;
    let taken = total(shares);
    let rest = u64::from(Share::WHOLE.0).checked_sub(taken).ok_or(Refusal::Sum(taken))?;
    shares[usize::from(stable.0)] = Share(u32::try_from(rest).unwrap_or(Share::WHOLE.0));
    Ok(())
}

#[cfg(test)]
mod tests;
