//! All that was decided about one request before any origin is dialled.

use gnomon_config::model::{Share, UpstreamIx, VersionIx};

/// Index of a route in [`Config::routes`](gnomon_config::Config::routes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteIx(pub u32);

/// How a version was assigned; only `Coin` and `Sticky` are evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Assignment {
    /// By a draw for this request alone.
    Coin,
    /// By the hash of the user's key.
    Sticky,
    /// Forced by the route (`upstream@version`).
    Pinned,
    /// Moved, because the version that was meant had no endpoint, or takes no new users.
    Fallback,
}

/// A sticky id to be set as a cookie with the reply: 96 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MintedId(pub [u8; 12]);

/// All that was decided about one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// The matched route.
    pub route: RouteIx,
    /// The upstream.
    pub upstream: UpstreamIx,
    /// The version of it.
    pub version: VersionIx,
    /// The version that was assigned before availability was looked at; another than
    /// [`version`](Self::version) only where [`assignment`](Self::assignment) is
    /// [`Assignment::Fallback`].
    pub meant: VersionIx,
    /// How the version came about.
    pub assignment: Assignment,
    /// The probability with which this version was assigned, as really used: for `Coin` and
    /// `Sticky` its share among the versions that could be assigned, for `Pinned` the whole, for
    /// `Fallback` its share among the versions that were left.
    pub probability: Share,
    /// The sticky id to hand out, if one was minted.
    pub minted: Option<MintedId>,
    /// Hash of the user's sticky key; 0 without one.
    pub unit: u64,
    /// Hash of the balance key, for [`Balance::Hash`](gnomon_config::model::Balance::Hash).
    pub balance_key: Option<u64>,
    /// Versions already given up, one bit each, so that falling back ends.
    pub(crate) given_up: u64,
}
