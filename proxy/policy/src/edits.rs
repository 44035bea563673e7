//! The configured edits of heads, in the form that the writer of heads wants.

use std::{error, fmt};

use gnomon_config::model::{
    self, Config, Headers, KpiSource, Name, Route, UpstreamIx, Version, VersionIx,
};
use gnomon_wire::{Edits, edits::EditFault};

use crate::plan::{Plan, RouteIx};

/// An edit that a proxy may not carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadEdit {
    /// The route, or the upstream whose version edits.
    pub owner: Name,
    /// The field.
    pub field: Name,
    /// Why not.
    pub fault: EditFault,
}

impl fmt::Display for BadEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` edits `{}`: {}", self.owner, self.field, self.fault)
    }
}

impl error::Error for BadEdit {}

/// Edits of both heads.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Both {
    pub(crate) request: Edits,
    pub(crate) response: Edits,
}

/// All edits.
#[derive(Debug)]
pub(crate) struct EditTable {
    /// By route, where in `of_routes` its edits are.
    places: Box<[u32]>,
    /// The first is none at all, which is what nearly every route says: ten thousand of them share
    /// what a request looks at, and the processor keeps it at hand.
    of_routes: Vec<Both>,
    /// By upstream, then by version.
    versions: Vec<Vec<Both>>,
}

impl EditTable {
    pub(crate) fn new(config: &Config) -> Result<Self, BadEdit> {
        let mut of_routes = vec![Both::default()];
        let mut place = |route: &Route| {
            let edits = both(&route.name, &route.headers)?;
            if edits == Both::default() {
                return Ok(0);
            }
            of_routes.push(edits);
            // As many as routes, which are numbered by a `u32`.
            Ok(u32::try_from(of_routes.len() - 1).unwrap_or(0))
        };
        let places = config.routes.iter().map(&mut place).collect::<Result<_, _>>()?;
        let versions = config.upstreams.iter().zip(0..).map(|(upstream, index)| {
            let versions = upstream.versions.iter();
            let edits = |version: &Version| {
                let mut both = both(&upstream.name, &version.headers)?;
                hide_kpis(config, UpstreamIx(index), &upstream.name, &mut both.response)?;
                Ok(both)
            };
            versions.map(edits).collect()
        });
        Ok(Self { places, of_routes, versions: versions.collect::<Result<_, _>>()? })
    }

    pub(crate) fn of(&self, plan: &Plan) -> [&Both; 2] {
        [self.of_route(plan.route), self.of_version(plan.upstream, plan.version)]
    }

    pub(crate) fn of_version(&self, upstream: UpstreamIx, version: VersionIx) -> &Both {
        &self.versions[usize::from(upstream.0)][usize::from(version.0)]
    }

    pub(crate) fn of_route(&self, route: RouteIx) -> &Both {
        &self.of_routes[self.places[route.0 as usize] as usize]
    }
}

/// What a reply tells us of its outcome is not for the client.
fn hide_kpis(
    config: &Config,
    upstream: UpstreamIx,
    owner: &Name,
    edits: &mut Edits,
) -> Result<(), BadEdit> {
    for kpi in config.kpis.iter().filter(|kpi| kpi.upstream == upstream) {
        if let KpiSource::Header(field) = &kpi.source {
            let (owner, field) = (owner.clone(), field.clone());
            edits.remove(&field.clone()).map_err(|fault| BadEdit { owner, field, fault })?;
        }
    }
    Ok(())
}

fn both(owner: &Name, headers: &Headers) -> Result<Both, BadEdit> {
    Ok(Both { request: one(owner, &headers.request)?, response: one(owner, &headers.response)? })
}

pub(crate) fn one(owner: &Name, wanted: &model::Edits) -> Result<Edits, BadEdit> {
    let mut edits = Edits::default();
    let bad = |field: &Name| {
        let (owner, field) = (owner.clone(), field.clone());
        move |fault| BadEdit { owner, field, fault }
    };
    for field in &wanted.remove {
        edits.remove(field).map_err(bad(field))?;
    }
    for (field, value) in &wanted.set {
        edits.set(field, value).map_err(bad(field))?;
    }
    for (field, value) in &wanted.add {
        edits.add(field, value).map_err(bad(field))?;
    }
    Ok(edits)
}
