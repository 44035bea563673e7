//! What the program may believe: every reference resolved, every default filled in, no `Option`
//! that means "default".
//!
//! Built by `check` alone. Indices ([`UpstreamIx`], [`VersionIx`]) are valid in the [`Config`]
//! that holds them.

mod admin;
mod filter;
pub mod flag;
mod rollout;
mod service;
mod shadow;
mod tls;
mod trace;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use ipnet::IpNet;

pub use admin::{Admin, AdminClient, AdminTls, AdminToken, AdminUser, Audit, Role, Shows};
pub use filter::{Arm, Filter, Seen};
pub use flag::Flags;
pub use rollout::{
    Direction, Fuse, Gate, Kpi, KpiSource, Limit, Metrics, On, OnFail, OnInconclusive, Probe,
    Rollout, Stage, Start, Step, Timing, Window, Worse,
};
pub use service::{
    AccessField, AccessFormat, AccessLog, Cores, Driver, Level, Limits, Log, LogFormat, Rate,
    RateLimit, RouteRate, Runtime, Sink, State, Timeouts,
};
pub use shadow::{ArrayRule, BodyMode, Compare, Keep, Noise, Redact, RedactStyle, Shadow};
pub use tls::{ClientCerts, KeyPair, ListenerTls, Material, TlsVersion, VersionTls, Written};
pub use trace::{Otlp, Tracing};

/// Parts per 100,000: a share of traffic, to 0.001 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(pub u32);

impl Share {
    /// All of the traffic: 100,000 parts.
    pub const WHOLE: Self = Self(100_000);
    /// None of the traffic.
    pub const NONE: Self = Self(0);

    /// The share as a fraction in `[0, 1]`.
    #[must_use]
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / f64::from(Self::WHOLE.0)
    }

    /// The share in percent.
    #[must_use]
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 1000.0
    }
}

/// Index of an upstream in [`Config::upstreams`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamIx(pub u16);

/// Index of a version in [`Upstream::versions`] of its upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionIx(pub u16);

/// KPIs at most: each takes room in the evidence of every core.
pub const KPIS_MAX: usize = 4;

/// A checked configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where clients connect.
    pub listeners: Vec<Listener>,
    /// What we proxy to, in order of declaration.
    pub upstreams: Vec<Upstream>,
    /// Which request goes where, in order of declaration.
    pub routes: Vec<Route>,
    /// Whose requests are copied to whom, in order of declaration; at most 64.
    pub shadows: Vec<Shadow>,
    /// How canaries grow, in order of declaration; at most one for an upstream.
    pub rollouts: Vec<Rollout>,
    /// Business outcomes, in order of declaration; at most [`KPIS_MAX`].
    pub kpis: Vec<Kpi>,
    /// Who gets which feature.
    pub flags: Flags,
    /// The exposition for Prometheus.
    pub metrics: Metrics,
    /// Global deadlines; a route may narrow them.
    pub timeouts: Timeouts,
    /// Global limits; a route may narrow them.
    pub limits: Limits,
    /// The admin API.
    pub admin: Admin,
    /// Our own log.
    pub log: Log,
    /// The access log.
    pub access_log: AccessLog,
    /// What becomes of traces.
    pub trace: Tracing,
    /// Threads and rings. Needs a restart to change.
    pub runtime: Runtime,
    /// Where state is kept. Needs a restart to change.
    pub state: State,
    /// Every file that was read, the main one first.
    pub files: Vec<PathBuf>,
}

/// A name of a listener, an upstream, a version or a route: `[A-Za-z0-9_-]+`, at most 64 bytes.
pub type Name = Arc<str>;

/// Where clients connect.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Its table's name; `default` for the short form `listen = …`.
    pub name: Name,
    /// The addresses to bind, at least one.
    pub bind: Vec<Bind>,
    /// Length of the kernel's accept queue, per core.
    pub backlog: u32,
    /// Peers whose forwarding and tracing fields are believed.
    pub trusted: Vec<IpNet>,
    /// What is done with a client that asks for `Upgrade: websocket` or other protocols.
    pub upgrade: Vec<String>,
    /// Whether CONNECT requests are tunnelled to the routed origin instead of refused.
    pub connect: bool,
    /// Who may connect, each time with a PROXY protocol header that says for whom; absent where
    /// clients connect themselves.
    pub proxy_protocol: Option<Vec<IpNet>>,
    /// TLS, if that is how clients speak.
    pub tls: Option<ListenerTls>,
}

/// A local address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Bind {
    /// A TCP address; port 0 lets the kernel choose.
    Tcp(SocketAddr),
    /// A unix socket's path.
    Unix(PathBuf),
}

/// The address of an origin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// A literal address.
    Tcp(SocketAddr),
    /// A name to be resolved off the data cores, and a port.
    Name(Arc<str>, u16),
    /// A unix socket's path.
    Unix(PathBuf),
}

/// A named group of origins in one or more versions.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// Its table's name.
    pub name: Name,
    /// At least one, in order of declaration.
    pub versions: Vec<Version>,
    /// Index of the version that takes the rest: the one left out of `split` if a rest remains, else
    /// the one that `split` names first, else the first declared.
    pub stable: VersionIx,
    /// One share per version, in their order, adding up to [`Share::WHOLE`].
    pub split: Vec<Share>,
    /// What keeps a user on one version.
    pub sticky: Sticky,
    /// How an endpoint of a version is chosen.
    pub balance: Balance,
    /// What the `Host` field says towards the origin.
    pub host: HostRule,
    /// Active checks; absent when switched off.
    pub health: Option<Health>,
    /// Passive ejection.
    pub eject: Eject,
    /// Repeating what cannot be done twice.
    pub retry: Retry,
    /// Connections kept to origins.
    pub pool: Pool,
}

/// One version of an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// Its key under `versions`.
    pub name: Name,
    /// Where it runs; may be empty only if the version holds no share.
    pub endpoints: Vec<Endpoint>,
    /// Whether a connection begins with a PROXY protocol header, and so serves one client alone.
    pub proxy_protocol: bool,
    /// Edits made to requests to, and replies from, this version alone.
    pub headers: Headers,
    /// TLS, if that is how its origins are spoken to.
    pub tls: Option<VersionTls>,
}

/// What picks a request's user apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// A cookie's value.
    Cookie(Arc<str>),
    /// A field's value.
    Header(Arc<str>),
    /// A query parameter's value.
    Query(Arc<str>),
    /// The client's address.
    ClientIp,
}

/// What keeps a user on one version.
#[derive(Clone, Debug, PartialEq)]
pub struct Sticky {
    /// How.
    pub mode: StickyMode,
    /// Name of the cookie we mint, `gnomon_<upstream>` unless set.
    pub cookie: Arc<str>,
    /// `Max-Age` of the cookie we mint.
    pub max_age: Duration,
    /// Secret of the keyed hash, the same on every host of a fleet; empty unless set.
    pub secret: Secret,
    /// What positions depend on: splits, shadows and flags with the same one move together. The
    /// upstream's name unless set.
    pub salt: Arc<str>,
}

/// How a user is kept on one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StickyMode {
    /// Not at all: one draw per request.
    None,
    /// By the cookie we mint.
    Minted,
    /// By this key; where a cookie key is absent from the request, by the cookie we mint; where
    /// another key is absent, one draw per request.
    Key(Key),
}

/// Bytes that never show in a log, a diff or an API.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<redacted>")
    }
}

/// How an endpoint of a version is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Balance {
    /// The less loaded of two drawn at random (power of two choices).
    P2c,
    /// In turn.
    RoundRobin,
    /// The least loaded.
    LeastConn,
    /// By rendezvous hashing of a key; without the key, as [`Balance::P2c`].
    Hash(Key),
}

/// What the `Host` field says towards the origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostRule {
    /// What the client said.
    Preserve,
    /// The endpoint's own name and port.
    Endpoint,
    /// This.
    Literal(Arc<str>),
}

/// Active checks of every endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// Path to GET; `None` means that a TCP connect suffices.
    pub path: Option<Arc<str>>,
    /// `Host` field of the check, if set.
    pub host: Option<Arc<str>>,
    /// Time between two checks.
    pub interval: Duration,
    /// Time one check may take.
    pub timeout: Duration,
    /// Successes in a row that bring an endpoint back.
    pub healthy: u32,
    /// Failures in a row that take an endpoint out.
    pub unhealthy: u32,
    /// Status codes that pass, inclusive ranges.
    pub expect: Vec<(u16, u16)>,
}

/// A kind of failure of an exchange with an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// No connection.
    Connect,
    /// The connection ended before the reply did.
    Reset,
    /// A deadline passed.
    Timeout,
    /// The reply's status is 500 or above.
    Status5xx,
}

/// Passive ejection: leave an endpoint out after failures of real requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Eject {
    /// Failures in a row that eject; 0 switches ejection off.
    pub after: u32,
    /// How long the endpoint stays out.
    pub duration: Duration,
    /// Largest share of a version's endpoints out at once; rounded down, so the last endpoint of
    /// a version is never ejected.
    pub max_ejected: Share,
    /// What counts as a failure.
    pub on: Vec<FailureKind>,
}

/// Retries on another connection, before any byte of a reply.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Repeats per request; 0 switches retries off.
    pub attempts: u32,
    /// What may be retried: [`FailureKind::Connect`], [`FailureKind::Reset`].
    pub on: Vec<FailureKind>,
    /// Retries allowed as a share of requests.
    pub budget: Share,
}

/// Connections kept to origins.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Idle connections kept per endpoint and core.
    pub idle_per_core: u32,
    /// How long an idle connection is kept.
    pub idle: Duration,
    /// Connections per endpoint over all cores.
    pub max: u32,
    /// How long a request may wait for a connection once `max` is reached.
    pub queue: Duration,
}

/// Which request goes where.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Its table's name.
    pub name: Name,
    /// Overrides specificity: the higher wins.
    pub priority: i32,
    /// What a request must look like.
    pub matches: Match,
    /// What is done with it.
    pub action: Action,
    /// Change of the request's target.
    pub rewrite: Rewrite,
    /// Edits of this route.
    pub headers: Headers,
    /// The global deadlines as narrowed by this route.
    pub timeouts: Timeouts,
    /// Largest request body in bytes; 0 is unlimited.
    pub body_max: u64,
    /// How many requests may be made of it.
    pub rate: RouteRate,
    /// Share of its exchanges that the access log has, if it says so itself.
    pub log_sample: Option<Share>,
}

/// What a request must look like; every condition must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Match {
    /// Any of these; none means any host.
    pub hosts: Vec<HostPattern>,
    /// The path.
    pub path: PathPattern,
    /// Any of these methods; none means any method.
    pub methods: Vec<Arc<str>>,
    /// Conditions on fields, names in lower case.
    pub headers: Vec<(Arc<str>, Condition)>,
    /// Conditions on query parameters.
    pub query: Vec<(Arc<str>, Condition)>,
    /// Conditions on cookies.
    pub cookies: Vec<(Arc<str>, Condition)>,
    /// The client's address is in any of these; none means any client.
    pub clients: Vec<IpNet>,
    /// Conditions on flags.
    pub flags: Vec<flag::FlagCondition>,
}

/// A pattern for the request's host; always lower case, without a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This very host.
    Exact(Arc<str>),
    /// `*.example.com`, kept as `example.com`: any host below it, not itself.
    Below(Arc<str>),
}

/// A pattern for the request's path, without the query.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum PathPattern {
    /// Any path.
    #[default]
    Any,
    /// This very path.
    Exact(Arc<str>),
    /// `/beta/*`, kept as `/beta`: the path itself or anything below it, by whole segments
    /// (Gateway API `PathPrefix`).
    Prefix(Arc<str>),
    /// The whole path matches (anchored on both sides).
    Regex(Regex),
}

impl PathPattern {
    /// The regular expression, if it is one.
    #[must_use]
    pub const fn regex(&self) -> Option<&Regex> {
        if let Self::Regex(regex) = self { Some(regex) } else { None }
    }
}

/// A compiled regular expression, compared by its text. Linear time, its program capped in size.
#[derive(Clone, Debug)]
pub struct Regex(pub regex::bytes::Regex);

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// A condition on one value.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// There (`true`) or not there (`false`).
    Present(bool),
    /// Equal to any of these.
    OneOf(Vec<Arc<str>>),
    /// Matches.
    Regex(Regex),
}

/// What is done with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Forwarded; a version is forced by `upstream@version`.
    Forward(UpstreamIx, Option<VersionIx>),
    /// Answered with a redirect. `{uri}`, `{path}`, `{query}` and `{host}` stand for the
    /// request's own.
    Redirect {
        /// The `Location`, as parts.
        to: Vec<Piece>,
        /// 301, 302, 303, 307 or 308.
        status: u16,
    },
    /// Answered from here.
    Respond {
        /// The status, 200 to 599.
        status: u16,
        /// The whole body.
        body: Arc<str>,
        /// Further fields.
        headers: Vec<(Arc<str>, Arc<str>)>,
    },
}

/// A part of a redirect's `Location`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// As it stands.
    Text(Arc<str>),
    /// Path and query.
    Uri,
    /// The path.
    Path,
    /// The query without its question mark, empty if there is none.
    Query,
    /// The host without its port.
    Host,
}

/// Change of the request's target before it is forwarded.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Rewrite {
    /// None.
    #[default]
    Keep,
    /// Take this prefix off the path; what remains starts with `/`.
    StripPrefix(Arc<str>),
    /// Put this before the path.
    AddPrefix(Arc<str>),
    /// Put this in the place of the matched prefix ([`PathPattern::Prefix`]).
    ReplacePrefix(Arc<str>),
    /// Put this in the place of the whole path; the query stays.
    Path(Arc<str>),
    /// Replace the first match in the path, `$1` … in the text standing for the groups.
    Regex(Regex, Arc<str>),
}

/// Edits of both heads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Headers {
    /// Of the request to the origin.
    pub request: Edits,
    /// Of the reply to the client.
    pub response: Edits,
}

/// Edits of one head, applied in the order remove, set, add.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edits {
    /// Fields to take out, lower case.
    pub remove: Vec<Arc<str>>,
    /// Fields to put in the place of any of the same name.
    pub set: Vec<(Arc<str>, Arc<str>)>,
    /// Fields to put beside any of the same name.
    pub add: Vec<(Arc<str>, Arc<str>)>,
}
