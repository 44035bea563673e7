//! The snapshot as one core uses it: with this core's pools and counters beside each endpoint.

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc};

use gnomon_config::model::{self, Upstream, UpstreamIx};
use gnomon_policy::{Plan, RouteIx, pointer::Pointer, retry::Budget};
use gnomon_shadow::{counts::Account, terms::CoreTerms};

use super::origin::Origin;
use crate::{
    cells::{CoreCells, VersionCells, routes::RouteCells},
    patience::{Patience, Ticks},
    snapshot::{Phase, Snapshot, connections_per_core, handshakes_per_core},
    trial::Trial,
};

/// What bounds TLS handshakes with clients.
#[derive(Clone, Copy)]
pub(super) struct Handshakes {
    /// Until there is a session.
    pub(super) time: Ticks,
    /// Under way at once, on this core.
    pub(super) most: u64,
}

/// What one core knows of the outside, for as long as the snapshot lasts.
pub(super) struct View {
    pub(super) snapshot: Arc<Snapshot>,
    /// This core's side of each endpoint, in the snapshot's order.
    pub(super) origins: Vec<Rc<Origin>>,
    /// The global deadlines in ticks.
    pub(super) default_patience: Patience,
    /// How long clients may shake hands, and how many at once.
    pub(super) handshake: Handshakes,
    /// Client connections this core may hold.
    pub(super) connections_max: u32,
    /// What of this core's requests is copied; absent without shadows.
    pub(super) shadows: Option<Arc<CoreTerms>>,
    core: usize,
    /// Retry budgets, one for each upstream.
    budgets: Vec<RefCell<Budget>>,
}

impl View {
    /// The view of `core`; endpoints known to `before` keep their pools.
    pub(super) fn of(
        snapshot: Arc<Snapshot>,
        (core, account): (usize, &Arc<Account>),
        cells: &Arc<CoreCells>,
        before: Option<&Self>,
    ) -> Self {
        let known: HashMap<u64, &Rc<Origin>> = before
            .iter()
            .flat_map(|view| &view.origins)
            .map(|origin| (origin.id, origin))
            .collect();
        let cores = snapshot.versions.first().map_or(1, |version| version.cells.len()).max(1);
        let mut origins = Vec::with_capacity(snapshot.endpoints.len());
        for (upstream, &first) in snapshot.config.upstreams.iter().zip(&snapshot.first_version) {
            for version in snapshot.versions.iter().skip(first).take(upstream.versions.len()) {
                for endpoint in
                    snapshot.endpoints.get(version.endpoints.clone()).unwrap_or_default()
                {
                    let kept = known.get(&endpoint.id).map(|&origin| Rc::clone(origin));
                    let origin = kept
                        .unwrap_or_else(|| Rc::new(Origin::new(endpoint, core, Arc::clone(cells))));
                    origin.adopt(endpoint, &upstream.pool, cores);
                    origins.push(origin);
                }
            }
        }
        let default_patience = Patience::of(&snapshot.config.timeouts);
        let connections_max = connections_per_core(&snapshot.config.limits, cores);
        let handshake = Handshakes {
            time: Ticks::of(snapshot.config.timeouts.handshake),
            most: handshakes_per_core(&snapshot.config.limits, cores),
        };
        let budgets = budgets(&snapshot, before);
        let shadows = snapshot.shadows.as_ref().map(|terms| {
            let ration = terms.memory / cores as u64;
            let (terms, account) = (Arc::clone(terms), Arc::clone(account));
            Arc::new(CoreTerms { terms, account, ration })
        });
        Self {
            snapshot,
            origins,
            default_patience,
            handshake,
            connections_max,
            shadows,
            core,
            budgets,
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.snapshot.phase != Phase::Serving
    }

    /// Whether clients with nothing under way are to go.
    pub(super) fn ends_idle(&self) -> bool {
        matches!(self.snapshot.phase, Phase::Draining | Phase::Closing)
    }

    pub(super) fn upstream(&self, plan: &Plan) -> &Upstream {
        &self.snapshot.config.upstreams[usize::from(plan.upstream.0)]
    }

    pub(super) fn route(&self, route: RouteIx) -> &model::Route {
        &self.snapshot.config.routes[route.0 as usize]
    }

    pub(super) fn budget(&self, upstream: UpstreamIx) -> &RefCell<Budget> {
        &self.budgets[usize::from(upstream.0)]
    }

    pub(super) fn patience(&self, route: RouteIx) -> Patience {
        self.snapshot.patience.get(route).unwrap_or(self.default_patience)
    }

    /// The endpoints of a plan's version, and the index of the first in [`Self::origins`].
    pub(super) fn origins_of(&self, plan: &Plan) -> &[Rc<Origin>] {
        let version = &self.snapshot.versions[self.version_place(plan.upstream, plan.version)];
        self.origins.get(version.endpoints.clone()).unwrap_or_default()
    }

    /// This core's counters of a version.
    pub(super) fn cells(&self, upstream: UpstreamIx, version: model::VersionIx) -> &VersionCells {
        &self.snapshot.versions[self.version_place(upstream, version)].cells[self.core]
    }

    /// This core's counters of a plan's version on its route.
    pub(super) fn route_cells(&self, plan: &Plan) -> Option<&RouteCells> {
        self.snapshot.routes.cells(self.core, plan.route, plan.version)
    }

    /// The trial of an upstream's versions, if one is under way.
    pub(super) fn trial(&self, upstream: UpstreamIx) -> Option<&Trial> {
        self.snapshot.trials.get(usize::from(upstream.0))?.as_deref()
    }

    /// Where KPIs stand in an upstream's JSON replies, if somebody is judged by them.
    pub(super) fn pointers(&self, upstream: UpstreamIx) -> &[(usize, Pointer)] {
        let trials = || self.snapshot.flag_trials.iter();
        let of_flag = || trials().find(|it| it.upstream == upstream).map(|it| &*it.pointers);
        let own = self.trial(upstream).map(|trial| &*trial.pointers);
        own.or_else(of_flag).unwrap_or_default()
    }

    fn version_place(&self, upstream: UpstreamIx, version: model::VersionIx) -> usize {
        self.snapshot.first_version[usize::from(upstream.0)] + usize::from(version.0)
    }
}

/// Budgets outlive a snapshot that says nothing new about retries: or health checks that come and
/// go would keep refilling them.
fn budgets(snapshot: &Snapshot, before: Option<&View>) -> Vec<RefCell<Budget>> {
    let kept = |upstream: &Upstream| {
        let view = before?;
        let upstreams = view.snapshot.config.upstreams.iter().zip(&view.budgets);
        let same = |known: &Upstream| known.name == upstream.name && known.retry == upstream.retry;
        upstreams.into_iter().find(|(known, _)| same(known)).map(|(_, budget)| budget.clone())
    };
    let fresh = |upstream: &Upstream| RefCell::new(Budget::new(&upstream.retry));
    let upstreams = snapshot.config.upstreams.iter();
    upstreams.map(|upstream| kept(upstream).unwrap_or_else(|| fresh(upstream))).collect()
}
