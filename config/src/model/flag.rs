//! `[flags]`, `[group.*]` and `[flag.*]`: who gets which feature.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use ipnet::IpNet;

use super::{Condition, Key, Material, Name, Secret, Share, UpstreamIx};

/// Groups at most: a request's memberships are one word of bits.
pub const GROUPS_MAX: usize = 64;

/// Flags at most that are evaluated for requests, because a route, the header or a judge uses them.
pub const WATCHED_MAX: usize = 64;

/// Variants of a flag at most.
pub const VARIANTS_MAX: usize = 32;

/// Flags of the configuration at most.
pub const FLAGS_MAX: usize = 1000;

/// Rules of a flag at most.
pub const RULES_MAX: usize = 64;

/// Where in a request a value stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// Where users are told apart by.
    Key(Key),
    /// A claim of a JSON Web Token whose signature was verified.
    Claim(Arc<str>),
    /// The host, in lower case.
    Host,
    /// The path.
    Path,
    /// The method.
    Method,
}

/// All flags and groups, and what they have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flags {
    /// Named groups of users, each after those it refers to; at most [`GROUPS_MAX`].
    pub groups: Vec<Group>,
    /// The flags of the configuration, in order of declaration.
    pub own: Vec<Flag>,
    /// Where more flags come from.
    pub source: Option<Source>,
    /// How often that is asked for changes.
    pub poll: Duration,
    /// What tells users apart, unless a flag says otherwise: the targeting key.
    pub by: Option<Place>,
    /// Secret of the keyed hash, the same on every host of a fleet; empty unless set.
    pub secret: Secret,
    /// Names under which the rules of applications know what stands in a request.
    pub context: Vec<(Arc<str>, Place)>,
    /// Field that tells origins what was decided, in lower case; absent if none does.
    pub header: Option<Arc<str>>,
    /// Key that signs the field; empty if it is not signed.
    pub sign: Secret,
    /// Which flags the field tells of.
    pub send: Told,
    /// How tokens are verified; without it there are no claims.
    pub jwt: Option<Jwt>,
    /// Where applications ask.
    pub ofrep: Option<Ofrep>,
    /// How long a flag may go unasked, or give everybody the same, until it is called stale.
    pub stale: Duration,
}

impl Flags {
    /// The field that tells origins of flags, if there are any.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        let is_any = !self.own.is_empty() || self.source.is_some();
        self.header.as_deref().filter(|_| is_any)
    }
}

/// Where flags come from beside the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file in flagd's format.
    File(PathBuf),
    /// The same behind a URL.
    Url(Arc<str>),
    /// A server that speaks OFREP, asked for this host: each flag has one value for all.
    Ofrep(Arc<str>),
}

/// Which flags origins are told of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Told {
    /// Those that a route matches on.
    #[default]
    Used,
    /// All, 64 at most.
    All,
    /// These.
    Only(Vec<Name>),
}

/// How JSON Web Tokens (RFC 7519) are verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Jwt {
    /// Where a token stands; `Bearer` before it is skipped.
    pub place: Place,
    /// Keys: a JSON Web Key Set (RFC 7517), or one public key in PEM.
    pub keys: Material,
    /// `iss` has to be any of these; none means anyone.
    pub issuers: Vec<Arc<str>>,
    /// `aud` has to name any of these; none means anyone.
    pub audiences: Vec<Arc<str>>,
    /// How far clocks may be apart.
    pub leeway: Duration,
}

/// The server for applications.
#[derive(Clone, Debug, PartialEq)]
pub struct Ofrep {
    /// Where it listens beside the admin API; nowhere if empty.
    pub bind: Vec<SocketAddr>,
    /// Who may ask: a line for each token; absent, whoever can connect.
    pub tokens: Option<Material>,
    /// Fields of an application's own request, in lower case, that are attributes of its context.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
}

/// A named group of users. All that it says must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// Its table's name.
    pub name: Name,
    /// Conditions on values.
    pub conditions: Vec<(Place, Condition)>,
    /// The client's address is in any of these; none means any client.
    pub clients: Vec<IpNet>,
    /// Their key is one of these, if there is a list, sorted.
    pub users: Option<Arc<[Box<str>]>>,
    /// The file that the list was read from, absolute, if it is from one.
    pub users_file: Option<PathBuf>,
    /// A share of them, if only that.
    pub share: Option<Share>,
    /// What tells users apart for `users` and `share`, if not `flags.by`.
    pub by: Option<Place>,
    /// What their positions depend on.
    pub salt: Arc<str>,
    /// They are in any of these, declared before this one, by index; none means nothing.
    pub any: Vec<usize>,
}

/// A flag.
#[derive(Clone, Debug, PartialEq)]
pub struct Flag {
    /// Its table's name.
    pub name: Name,
    /// Whether it is on at all; otherwise applications use what they would without it.
    pub enabled: bool,
    /// What it can be, in order of declaration: at least one, all of one kind.
    pub variants: Vec<(Name, VariantValue)>,
    /// Index of the variant for whom no rule holds.
    pub default: usize,
    /// What tells users apart, if not `flags.by`.
    pub by: Option<Place>,
    /// What their positions depend on: flags with the same one move together.
    pub salt: Arc<str>,
    /// The first that holds decides.
    pub rules: Vec<Rule>,
    /// Seconds since 1970 from which on rules count.
    pub start: Option<u64>,
    /// Seconds since 1970 from which on they do not any more.
    pub end: Option<u64>,
    /// Who to ask about it.
    pub owner: Arc<str>,
    /// What it is for.
    pub description: Arc<str>,
    /// Seconds since 1970 from which on it should be gone.
    pub expires: Option<u64>,
    /// How it is judged like a canary, if it is.
    pub judge: Option<FlagJudge>,
}

/// How a flag is judged: variant against default, by what the requests came to.
#[derive(Clone, Debug, PartialEq)]
pub struct FlagJudge {
    /// Requests to this upstream count.
    pub upstream: UpstreamIx,
    /// Index of the variant under test.
    pub variant: usize,
    /// How long after a user's first request what goes wrong counts. Whole seconds.
    pub horizon: Duration,
}

/// The value of a variant.
#[derive(Clone, Debug, PartialEq)]
pub enum VariantValue {
    /// `true` or `false`.
    Bool(bool),
    /// A text.
    Text(Arc<str>),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Float(f64),
    /// Anything else, as JSON.
    Json(Arc<str>),
}

/// A rule of a flag: for whom, and what they get.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// In any of these groups, by index; none means everybody.
    pub groups: Vec<usize>,
    /// In none of these.
    pub not: Vec<usize>,
    /// Keys that are meant; none means everybody.
    pub users: Vec<Arc<str>>,
    /// A share of them, if not all.
    pub portion: Option<Portion>,
    /// What they get: variants by index, with weights. One alone needs no draw.
    pub serve: Vec<(usize, u32)>,
}

/// A share that may grow by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Portion {
    /// This.
    Fixed(Share),
    /// From one to the other, evenly within this time, in seconds since 1970.
    Ramp {
        /// Share before `start`.
        from: Share,
        /// Share from `end` on.
        to: Share,
        /// When it begins to change.
        start: u64,
        /// When it has changed.
        end: u64,
    },
}

/// A condition of a route on a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagCondition {
    /// The flag, which may come from [`Flags::source`].
    pub flag: Name,
    /// The variant it has to have; otherwise its value has to be `true`.
    pub variant: Option<Name>,
    /// Whether it must not be so.
    pub not: bool,
}
