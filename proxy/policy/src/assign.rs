//! From a user to a version: who is sticky, who is drawn, who is new, who has to move.

use std::net::IpAddr;

use gnomon_config::model::{Balance, Key, Share, StickyMode, Upstream, VersionIx};
use gnomon_flags::Hasher;
use gnomon_wire::Request;

use crate::{
    luck::Luck,
    plan::{Assignment, MintedId},
    split::{Cut, Layout, SplitState, position, ratio},
    sticky,
};

/// What assigning needs of one upstream besides its configuration.
#[derive(Clone, Debug)]
pub(crate) struct Assigner {
    pub(crate) layout: Layout,
    pub(crate) sticky: Hasher,
    balance: Hasher,
}

/// A version, before it is known whether it is available.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Assigned {
    pub(crate) meant: VersionIx,
    /// What is used; another than `meant` only for the new users of a version that drains.
    pub(crate) version: VersionIx,
    pub(crate) assignment: Assignment,
    pub(crate) probability: Share,
    pub(crate) minted: Option<MintedId>,
    position: u32,
    /// Hash of the user's key; 0 without one.
    pub(crate) unit: u64,
}

/// What a request shows of its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    /// The configured key, with this hash.
    Known(u64),
    /// A cookie of ours, with this hash.
    Ours(u64),
    /// Nobody yet, but a cookie of ours can be handed out.
    New,
    /// Nobody.
    Unknown,
}

impl Assigner {
    pub(crate) fn new(upstream: &Upstream, state: Option<&SplitState>) -> Self {
        Self {
            layout: Layout::of(upstream, state),
            sticky: sticky::hasher_of(upstream),
            balance: sticky::hasher_of_balance(upstream),
        }
    }

    /// Who `request` comes from.
    pub(crate) fn user(&self, upstream: &Upstream, request: Request<'_>, client: IpAddr) -> User {
        let ours = || {
            let cookie = request.cookie(&upstream.sticky.cookie);
            let cookie = cookie.filter(|value| MintedId::parse(value).is_some());
            cookie.map_or(User::New, |value| User::Ours(self.sticky.hash(value)))
        };
        match &upstream.sticky.mode {
            StickyMode::None => User::Unknown,
            StickyMode::Minted => ours(),
            StickyMode::Key(key) => {
                let mut buffer = [0; 16];
                match (sticky::find(key, request, client, &mut buffer), key) {
                    (Some(value), _) => User::Known(self.sticky.hash(value)),
                    (None, Key::Cookie(_)) => ours(),
                    (None, Key::Header(_) | Key::Query(_) | Key::ClientIp) => User::Unknown,
                }
            }
        }
    }

    pub(crate) fn assign(&self, upstream: &Upstream, user: User, luck: &mut Luck) -> Assigned {
        match user {
            User::Known(unit) | User::Ours(unit) => {
                self.assigned(upstream, unit, Assignment::Sticky, None)
            }
            User::New => self.mint(upstream, luck),
            User::Unknown => {
                let drawn = self.assigned(upstream, luck.draw(), Assignment::Coin, None);
                Assigned { unit: 0, ..drawn }
            }
        }
    }

    /// The hash of the balance key, where one is configured and there.
    pub(crate) fn balance_key(
        &self,
        upstream: &Upstream,
        request: Request<'_>,
        client: IpAddr,
    ) -> Option<u64> {
        let Balance::Hash(key) = &upstream.balance else { return None };
        let mut buffer = [0; 16];
        Some(self.balance.hash(sticky::find(key, request, client, &mut buffer)?))
    }

    /// Where those go whom `assigned` would send to a version without an endpoint, and the
    /// probability. A draw is renormalised over what is left, from the same draw: where it fell
    /// within the range that is gone says which of the others takes it. Users go by the order
    /// of [`successor`](Self::successor), as else they would scatter.
    pub(crate) fn elsewhere(
        &self,
        upstream: &Upstream,
        assigned: &Assigned,
        is_left: impl Fn(VersionIx) -> bool,
    ) -> Option<(VersionIx, Share)> {
        let left = |cut: &&Cut| is_left(cut.version) && !cut.draining;
        let cuts = || self.layout.cuts().iter().filter(left);
        let whole: u32 = cuts().map(|cut| cut.share().0).sum();
        let gone = self.layout.at(assigned.position)?;
        if assigned.assignment != Assignment::Coin || whole == 0 {
            return Some((self.successor(upstream, is_left)?, Share::WHOLE));
        }
        let within = u64::from(assigned.position - gone.start);
        let mut target = within * u64::from(whole) / u64::from(gone.share().0);
        for cut in cuts() {
            match target.checked_sub(u64::from(cut.share().0)) {
                Some(rest) => target = rest,
                None => return Some((cut.version, ratio(cut.share(), Share(whole)))),
            }
        }
        None
    }

    /// Stable, whatever its share; else the first canary that has a share and takes new users. A
    /// canary of weight 0 is nobody's refuge: it was rolled back, or only ever sees copies.
    pub(crate) fn successor(
        &self,
        upstream: &Upstream,
        is_left: impl Fn(VersionIx) -> bool,
    ) -> Option<VersionIx> {
        let open = self.layout.cuts().iter().filter(|cut| !cut.draining).map(|cut| cut.version);
        std::iter::once(upstream.stable).chain(open).find(|&version| is_left(version))
    }

    /// Draws an id for a new user. While a version drains, ids within its range are drawn again,
    /// so that the user's next request, which shows the id, agrees with this one. If no id is
    /// found the user goes to stable without one and is new again next time.
    fn mint(&self, upstream: &Upstream, luck: &mut Luck) -> Assigned {
        let mut draw = || {
            let id = MintedId::mint(luck);
            let unit = self.sticky.hash(&id.text());
            self.assigned(upstream, unit, Assignment::Sticky, Some(id))
        };
        let mut assigned = draw();
        if !self.layout.is_draining() {
            return assigned;
        }
        let is_open = |assigned: &Assigned| {
            self.layout.at(assigned.position).is_some_and(|cut| !cut.draining)
        };
        for _ in 1..MINTS_MAX {
            if is_open(&assigned) {
                break;
            }
            assigned = draw();
        }
        if is_open(&assigned) {
            let probability = ratio(assigned.probability, self.layout.open());
            return Assigned { probability, ..assigned };
        }
        let (version, assignment) = (upstream.stable, Assignment::Fallback);
        Assigned { version, assignment, probability: Share::WHOLE, minted: None, ..assigned }
    }

    fn assigned(
        &self,
        upstream: &Upstream,
        unit: u64,
        assignment: Assignment,
        minted: Option<MintedId>,
    ) -> Assigned {
        let position = position(unit);
        let cut = self.layout.at(position);
        let version = cut.map_or(upstream.stable, |cut| cut.version);
        let probability = cut.map_or(Share::WHOLE, Cut::share);
        Assigned { meant: version, version, assignment, probability, minted, position, unit }
    }
}

/// Ids drawn for one new user while a version drains: with half of the line closed, 64 in a row
/// fall there once in 2^64 users.
const MINTS_MAX: u32 = 64;
