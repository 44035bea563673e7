//! What the configuration says of shadows, in the form that taps and the shadow thread use.

use std::{collections::HashMap, sync::Arc};

use gnomon_config::model::{Shadow, Share, UpstreamIx, VersionIx};
use gnomon_policy::{Plan, RouteIx, Table, Targets};
use gnomon_sys::address::Address;
use gnomon_tls::OriginTls;

use crate::{
    compare::Comparer,
    counts::{Account, Counts},
    recorder::Recorder,
};

/// A shadow, compiled. Stays the same for as long as its configuration does.
#[derive(Debug)]
pub struct Definition {
    /// What the configuration says.
    pub shadow: Shadow,
    /// What is counted of it; kept by name over reloads.
    pub counts: Arc<Counts>,
    /// The names of both versions, for people.
    pub versions: Box<str>,
    /// How its replies are compared.
    pub(crate) comparer: Comparer,
}

impl Definition {
    /// Compiles a shadow.
    #[must_use]
    pub fn new(shadow: Shadow, counts: Arc<Counts>, versions: String) -> Self {
        // What is cut out of a reply could not be redacted any more.
        let comparer = Comparer::new(&shadow.compare).hiding(&shadow.redact.json);
        Self { shadow, counts, versions: versions.into_boxed_str(), comparer }
    }
}

/// An endpoint that copies can be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Stays the same over reloads for the same address in the same version.
    pub id: u64,
    /// Where it is.
    pub address: Address,
    /// What the `Host` field says under `host = "endpoint"`.
    pub authority: Arc<str>,
    /// Whether health checks and ejection let it be used.
    pub available: bool,
    /// How TLS is spoken with it, if it is.
    pub tls: Option<Arc<OriginTls>>,
    /// Whether a connection begins with a PROXY protocol header. It says that nobody but us is at
    /// the other end: copies of many clients' requests share a connection.
    pub announced: bool,
}

/// The recorder and what it takes, by this snapshot's indices.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Who writes the exchanges down.
    pub recorder: Arc<Recorder>,
    /// Only this route's.
    pub route: Option<RouteIx>,
    /// Only this upstream's.
    pub upstream: Option<UpstreamIx>,
}

impl Scope {
    /// Whether an exchange that goes where `plan` says is one to write down.
    #[must_use]
    pub fn fits(&self, plan: &Plan) -> bool {
        self.recorder.is_open()
            && self.route.is_none_or(|route| route == plan.route)
            && self.upstream.is_none_or(|upstream| upstream == plan.upstream)
    }
}

/// Who takes copies, a shadow or the recorder, as far as it matters to a tap.
#[derive(Clone, Copy, Debug)]
pub struct Taker<'a> {
    /// What is counted of it.
    pub counts: &'a Counts,
    /// Largest body of a request, in bytes.
    pub body_max: u64,
    /// Largest body of a reply that is kept, in bytes.
    pub reply_max: u64,
    /// Copies under way at once, per core.
    pub in_flight: u32,
    /// No copies while the core is busier than this.
    pub shed_at: Share,
}

impl Taker<'_> {
    /// Whether nobody could be reached there a moment ago.
    #[must_use]
    pub fn is_shut(&self) -> bool {
        self.counts.shut.read() != 0
    }

    /// Whether as many copies of a core are under way as may be.
    #[must_use]
    pub fn is_full(&self, core: usize) -> bool {
        self.counts.in_flight(core) >= u64::from(self.in_flight)
    }
}

/// What one snapshot says of shadows.
#[derive(Debug)]
pub struct Terms {
    /// Routes, edits and who gets a copy.
    pub table: Arc<Table>,
    /// The shadows, in the order of the configuration.
    pub shadows: Vec<Arc<Definition>>,
    /// Endpoints of every version that copies may go to.
    pub endpoints: HashMap<(UpstreamIx, VersionIx), Vec<Endpoint>>,
    /// Who writes exchanges down, if somebody does.
    pub scope: Option<Scope>,
    /// Bytes that the shadow thread may hold of replies; all cores together hold as much again.
    pub memory: u64,
    /// Hash of the configuration.
    pub config: Box<str>,
}

impl Terms {
    /// The endpoints of a version.
    #[must_use]
    pub fn endpoints_of(&self, upstream: UpstreamIx, version: VersionIx) -> &[Endpoint] {
        self.endpoints.get(&(upstream, version)).map_or(&[], Vec::as_slice)
    }

    /// Who has this index among the targets of a copy.
    #[must_use]
    pub fn taker(&self, index: usize) -> Option<Taker<'_>> {
        if index == Targets::RECORDER {
            return self.scope.as_ref().map(|scope| scope.recorder.taker());
        }
        let definition = self.shadows.get(index)?;
        let shadow = &definition.shadow;
        Some(Taker {
            counts: &definition.counts,
            body_max: shadow.body_max,
            reply_max: shadow.compare.max,
            in_flight: shadow.in_flight,
            shed_at: shadow.shed_at,
        })
    }

    /// The name of a route.
    #[must_use]
    pub fn route_name(&self, plan: &Plan) -> &str {
        &self.table.route(plan.route).name
    }
}

/// The terms as one core hands them on with its copies: counting references to this one is no
/// business of other cores.
#[derive(Debug)]
pub struct CoreTerms {
    /// What the snapshot says.
    pub terms: Arc<Terms>,
    /// The core's account with the shadow thread.
    pub account: Arc<Account>,
    /// Bytes that the core's copies may hold.
    pub ration: u64,
}
