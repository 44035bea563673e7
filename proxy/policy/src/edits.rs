//! The configured edits of heads, in the form that the writer of heads wants.

use std::{error, fmt};

use gnomon_config::model::{self, Config, Headers, Name};
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
#[derive(Debug, Default)]
pub(crate) struct Both {
    pub(crate) request: Edits,
    pub(crate) response: Edits,
}

/// All edits.
#[derive(Debug)]
pub(crate) struct EditTable {
    routes: Vec<Both>,
    /// By upstream, then by version.
    versions: Vec<Vec<Both>>,
}

impl EditTable {
    pub(crate) fn new(config: &Config) -> Result<Self, BadEdit> {
        let routes = config.routes.iter().map(|route| both(&route.name, &route.headers));
        let versions = config.upstreams.iter().map(|upstream| {
            let versions = upstream.versions.iter();
            versions.map(|version| both(&upstream.name, &version.headers)).collect()
        });
        Ok(Self {
            routes: routes.collect::<Result<_, _>>()?,
            versions: versions.collect::<Result<_, _>>()?,
        })
    }

    pub(crate) fn of(&self, plan: &Plan) -> [&Both; 2] {
        let versions = &self.versions[usize::from(plan.upstream.0)];
        [self.of_route(plan.route), &versions[usize::from(plan.version.0)]]
    }

    pub(crate) fn of_route(&self, route: RouteIx) -> &Both {
        &self.routes[route.0 as usize]
    }
}

fn both(owner: &Name, headers: &Headers) -> Result<Both, BadEdit> {
    Ok(Both { request: one(owner, &headers.request)?, response: one(owner, &headers.response)? })
}

fn one(owner: &Name, wanted: &model::Edits) -> Result<Edits, BadEdit> {
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
