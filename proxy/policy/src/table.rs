//! Compiled routes: [`Table::decide`] says where a request goes.

use std::sync::Arc;

use gnomon_config::model::{Action, Config, Route, Share, Upstream, UpstreamIx, VersionIx};
use gnomon_wire::Edits;

use crate::{
    assign::{Assigned, Assigner},
    edits::{BadEdit, EditTable},
    luck::Luck,
    matcher::Matcher,
    plan::{Assignment, Plan, RouteIx},
    shadow::{Considered, ShadowTable, Targets},
    split::{Layout, SplitState},
    sticky::{self, Channel},
    subject::Subject,
};

/// Everything decisions are made from. Immutable; all cores share one in an `Arc`.
#[derive(Debug)]
pub struct Table {
    pub(crate) config: Arc<Config>,
    pub(crate) matcher: Matcher,
    /// One per upstream.
    pub(crate) assigners: Vec<Assigner>,
    /// One per route.
    steps: Box<[Step]>,
    edits: EditTable,
    shadows: ShadowTable,
}

/// An [`Action`], as little of it as deciding needs: of ten thousand routes, the processor keeps
/// the steps at hand but not the whole configuration.
#[derive(Clone, Copy, Debug)]
enum Step {
    Forward(UpstreamIx, Option<VersionIx>),
    Redirect,
    Respond,
}

impl Step {
    const fn of(action: &Action) -> Self {
        match action {
            Action::Forward(upstream, forced) => Self::Forward(*upstream, *forced),
            Action::Redirect { .. } => Self::Redirect,
            Action::Respond { .. } => Self::Respond,
        }
    }
}

/// What is done with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decision {
    /// Forward it.
    Forward(Plan),
    /// Answer with this route's redirect: [`rewrite::write_location`](crate::rewrite).
    Redirect(RouteIx),
    /// Answer with this route's response.
    Respond(RouteIx),
    /// Nothing matches: 404.
    NoRoute,
    /// A route matches, but no version that may take the request has an available endpoint: 503.
    /// The plan names the version that was meant.
    Unavailable(Plan),
}

impl Decision {
    /// Where the request goes, if it goes on.
    #[must_use]
    pub const fn plan(&self) -> Option<Plan> {
        match self {
            Self::Forward(plan) | Self::Unavailable(plan) => Some(*plan),
            Self::Redirect(_) | Self::Respond(_) | Self::NoRoute => None,
        }
    }

    /// The route that matches.
    #[must_use]
    pub const fn route(&self) -> Option<RouteIx> {
        match self {
            Self::Forward(plan) | Self::Unavailable(plan) => Some(plan.route),
            Self::Redirect(route) | Self::Respond(route) => Some(*route),
            Self::NoRoute => None,
        }
    }
}

impl Table {
    /// Compiles the routes, and cuts every upstream's line by `splits`, one per upstream in their
    /// order. Where one is missing or does not fit, the configured split holds.
    ///
    /// # Errors
    /// The first [`BadEdit`], an edit of a field that a proxy may not leave to a configuration.
    pub fn compile(config: Arc<Config>, splits: &[SplitState]) -> Result<Self, BadEdit> {
        let matcher = Matcher::new(&config.routes);
        let upstreams = config.upstreams.iter().enumerate();
        let assigners =
            upstreams.map(|(index, upstream)| Assigner::new(upstream, splits.get(index))).collect();
        let steps = config.routes.iter().map(|route| Step::of(&route.action)).collect();
        let edits = EditTable::new(&config)?;
        let shadows = ShadowTable::new(&config)?;
        Ok(Self { config, matcher, assigners, steps, edits, shadows })
    }

    /// What the table was compiled from.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A route of the configuration.
    #[must_use]
    pub fn route(&self, route: RouteIx) -> &Route {
        &self.config.routes[route.0 as usize]
    }

    /// An upstream of the configuration.
    #[must_use]
    pub fn upstream(&self, upstream: UpstreamIx) -> &Upstream {
        &self.config.upstreams[usize::from(upstream.0)]
    }

    /// How an upstream's traffic is shared, as this table has it.
    #[must_use]
    pub fn layout(&self, upstream: UpstreamIx) -> &Layout {
        &self.assigners[usize::from(upstream.0)].layout
    }

    /// Where a request goes.
    #[must_use]
    pub fn decide(
        &self,
        subject: &Subject<'_>,
        available: &Availability,
        luck: &mut Luck,
    ) -> Decision {
        let Some(route) = self.matcher.find(&self.config.routes, subject, &mut 0) else {
            return Decision::NoRoute;
        };
        match self.steps[route.0 as usize] {
            Step::Redirect => Decision::Redirect(route),
            Step::Respond => Decision::Respond(route),
            Step::Forward(upstream, forced) => {
                let plan = self.plan(route, upstream, forced, subject, luck);
                self.settle(plan, available)
            }
        }
    }

    /// Where else a forwarded request may go after connecting failed on every endpoint of
    /// `plan.version`: stable first, then the canaries that have a share, each once. Never for a
    /// pinned request.
    #[must_use]
    pub fn fallback(&self, plan: &Plan, available: &Availability) -> Option<Plan> {
        if plan.assignment == Assignment::Pinned {
            return None;
        }
        let given_up = plan.given_up | bit(plan.version);
        let is_left =
            |version| given_up & bit(version) == 0 && available.has(plan.upstream, version);
        let assigner = &self.assigners[usize::from(plan.upstream.0)];
        let version = assigner.successor(self.upstream(plan.upstream), is_left)?;
        let (assignment, probability) = (Assignment::Fallback, Share::WHOLE);
        Some(Plan { version, assignment, probability, given_up, ..*plan })
    }

    /// What the configuration changes of a request's head: by the route, then by the version.
    #[must_use]
    pub fn request_edits(&self, plan: &Plan) -> [&Edits; 2] {
        self.edits.of(plan).map(|edits| &edits.request)
    }

    /// What the configuration changes of a reply's head: by the route, then by the version.
    #[must_use]
    pub fn response_edits(&self, plan: &Plan) -> [&Edits; 2] {
        self.edits.of(plan).map(|edits| &edits.response)
    }

    /// The shadows that may want a copy of the requests of a plan's version: nearly always none.
    #[must_use]
    pub fn shadows_of(&self, plan: &Plan) -> Targets {
        self.shadows.of(plan)
    }

    /// Which shadows get a copy of a request that goes where `plan` says. `sample` says how much
    /// each copies now, which need not be what the configuration says.
    #[must_use]
    pub fn consider(
        &self,
        plan: &Plan,
        subject: &Subject<'_>,
        luck: &mut Luck,
        sample: impl Fn(usize) -> Share,
    ) -> Considered {
        self.shadows.consider(&self.config.shadows, plan, subject, luck, sample)
    }

    /// What the configuration changes of a copy's head: by the route, by the version it goes to,
    /// then by the shadow.
    #[must_use]
    pub fn copy_edits(&self, shadow: usize, route: RouteIx) -> [&Edits; 3] {
        let (upstream, version) = self.config.shadows[shadow].to;
        let version = self.edits.of_version(upstream, version);
        [&self.edits.of_route(route).request, &version.request, self.shadows.copy_edits(shadow)]
    }

    /// The same for a request that goes to the primary's version once more.
    #[must_use]
    pub fn again_edits(&self, shadow: usize, plan: &Plan) -> [&Edits; 3] {
        let [route, version] = self.request_edits(plan);
        [route, version, self.shadows.again_edits(shadow)]
    }

    /// What a route changes of the replies that are made here.
    #[must_use]
    pub fn route_response_edits(&self, route: RouteIx) -> &Edits {
        &self.edits.of_route(route).response
    }

    /// Appends the value of the `Set-Cookie` field that hands out a minted id, and says whether
    /// there was one.
    pub fn write_cookie(&self, plan: &Plan, channel: Channel, out: &mut Vec<u8>) -> bool {
        let Some(id) = plan.minted else { return false };
        let sticky = &self.upstream(plan.upstream).sticky;
        sticky::write_cookie(out, &sticky.cookie, id, sticky.max_age, channel);
        true
    }

    /// The version meant for a request, whether or not it is available.
    fn plan(
        &self,
        route: RouteIx,
        upstream_ix: UpstreamIx,
        forced: Option<VersionIx>,
        &Subject { request, client, .. }: &Subject<'_>,
        luck: &mut Luck,
    ) -> (Plan, Option<Assigned>) {
        let upstream = self.upstream(upstream_ix);
        let assigner = &self.assigners[usize::from(upstream_ix.0)];
        let balance_key = assigner.balance_key(upstream, request, client);
        let mut plan = Plan {
            route,
            upstream: upstream_ix,
            version: upstream.stable,
            meant: upstream.stable,
            assignment: Assignment::Pinned,
            probability: Share::WHOLE,
            minted: None,
            unit: 0,
            balance_key,
            given_up: 0,
        };
        if let Some(version) = forced {
            (plan.version, plan.meant) = (version, version);
            return (plan, None);
        }
        let user = assigner.user(upstream, request, client);
        let assigned = assigner.assign(upstream, user, luck);
        let Assigned { version, meant, assignment, probability, minted, unit, .. } = assigned;
        (Plan { version, meant, assignment, probability, minted, unit, ..plan }, Some(assigned))
    }

    /// Moves a plan away from a version without an endpoint, if it may be moved.
    fn settle(
        &self,
        (plan, assigned): (Plan, Option<Assigned>),
        available: &Availability,
    ) -> Decision {
        let is_left = |version| available.has(plan.upstream, version);
        if is_left(plan.version) {
            return Decision::Forward(plan);
        }
        let Some(assigned) = assigned else { return Decision::Unavailable(plan) };
        let assigner = &self.assigners[usize::from(plan.upstream.0)];
        let elsewhere = assigner.elsewhere(self.upstream(plan.upstream), &assigned, is_left);
        match elsewhere {
            Some((version, probability)) => {
                let (assignment, given_up) = (Assignment::Fallback, bit(plan.version));
                Decision::Forward(Plan { version, assignment, probability, given_up, ..plan })
            }
            None => Decision::Unavailable(plan),
        }
    }
}

/// A version's bit in `Plan::given_up`. Versions beyond the 63rd share one: they may be skipped,
/// and falling back still ends.
fn bit(version: VersionIx) -> u64 {
    1 << version.0.min(63)
}

/// Which versions have an endpoint that may be dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Availability {
    /// Where an upstream's versions begin in `up`.
    starts: Vec<usize>,
    up: Vec<bool>,
}

impl Availability {
    /// Every version that has an endpoint at all.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let mut starts = Vec::with_capacity(config.upstreams.len());
        let mut up = Vec::new();
        for upstream in &config.upstreams {
            starts.push(up.len());
            up.extend(upstream.versions.iter().map(|version| !version.endpoints.is_empty()));
        }
        Self { starts, up }
    }

    /// Notes whether a version has an available endpoint.
    pub fn set(&mut self, upstream: UpstreamIx, version: VersionIx, available: bool) {
        if let Some(place) = self.place(upstream, version) {
            self.up[place] = available;
        }
    }

    /// Whether a version has an available endpoint.
    #[must_use]
    pub fn has(&self, upstream: UpstreamIx, version: VersionIx) -> bool {
        self.place(upstream, version).is_some_and(|place| self.up[place])
    }

    fn place(&self, upstream: UpstreamIx, version: VersionIx) -> Option<usize> {
        let upstream = usize::from(upstream.0);
        let place = self.starts.get(upstream)? + usize::from(version.0);
        let end = self.starts.get(upstream + 1).copied().unwrap_or(self.up.len());
        (place < end).then_some(place)
    }
}

#[cfg(test)]
mod tests;
