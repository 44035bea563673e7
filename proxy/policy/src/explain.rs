//! Why a request goes where it goes, for `gnomon route METHOD URL --explain`.
//!
//! Answers by looking at every route in turn, other than [`Table::decide`] does, so that the two
//! can be held against each other.

use std::{fmt, sync::Arc};

use gnomon_config::model::{Action, Name, Route, Share, StickyMode, VersionIx};

use crate::{
    assign::User,
    luck::Luck,
    matcher::{Miss, Specificity, best_host, check},
    plan::RouteIx,
    split::{Cut, position},
    subject::Subject,
    table::{Availability, Decision, Table},
};

/// Why a request goes where it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The routes for this host and path, or, where there is none, for this host; the most
    /// specific first.
    pub candidates: Vec<Candidate>,
    /// How many other routes are for other hosts or paths.
    pub elsewhere: usize,
    /// How often `decide` had to look into a table.
    pub probes: u32,
    /// What `decide` said. A draw may fall otherwise for the next such request.
    pub decision: Decision,
    /// How the upstream's traffic is shared, where the request is forwarded.
    pub upstream: Option<Shares>,
}

/// A route that was looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Which.
    pub route: RouteIx,
    /// Its name.
    pub name: Name,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a route that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It takes the request.
    Won,
    /// It matches too, but a more specific one won.
    Outranked,
    /// It is for another path.
    Path,
    /// It is for other methods.
    Method,
    /// Its condition on this field does not hold.
    Header(Arc<str>),
    /// Its condition on this query parameter does not hold.
    Query(Arc<str>),
    /// Its condition on this cookie does not hold.
    Cookie(Arc<str>),
    /// It is for other clients.
    Client,
    /// Its condition on this flag does not hold.
    Flag(Name),
}

/// How an upstream's traffic is shared.
#[derive(Clone, Debug, PartialEq)]
pub struct Shares {
    /// Its name.
    pub name: Name,
    /// Its versions, in the order of the configuration.
    pub versions: Vec<VersionShare>,
    /// What is known of the user.
    pub key: KeyFound,
}

/// One version's share.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionShare {
    /// Its name.
    pub name: Name,
    /// Its share of the traffic.
    pub share: Share,
    /// Whether it takes no new users.
    pub draining: bool,
    /// Whether it has an endpoint that may be dialled.
    pub available: bool,
}

/// What is known of the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFound {
    /// The route forces a version: nobody asks.
    Pinned,
    /// The upstream is not sticky: every request is drawn for.
    NotSticky,
    /// The configured key was found and stands here on the line of positions.
    Found(u32),
    /// A cookie of ours was found and stands here.
    Ours(u32),
    /// No key; an id is handed out.
    Minted,
    /// No key, and none can be handed out: drawn for.
    Missing,
}

impl Table {
    /// Why a request goes where it goes. Slow: looks at every route.
    #[must_use]
    pub fn explain(
        &self,
        subject: &Subject<'_>,
        available: &Availability,
        luck: &mut Luck,
    ) -> Explanation {
        let mut probes = 0;
        let won = self.matcher.find(&self.config.routes, subject, &mut probes);
        let looked = self.look(subject, won);
        let found = looked.iter().any(|candidate| candidate.outcome != Outcome::Path);
        let is_near = |candidate: &Candidate| !found || candidate.outcome != Outcome::Path;
        let candidates: Vec<_> = looked.into_iter().filter(is_near).collect();
        let elsewhere = self.config.routes.len() - candidates.len();
        let decision = self.decide(subject, available, luck);
        let upstream = won.and_then(|route| self.shares(route, subject, available));
        Explanation { candidates, elsewhere, probes, decision, upstream }
    }

    /// The routes for the request's host, the most specific first.
    fn look(&self, subject: &Subject<'_>, won: Option<RouteIx>) -> Vec<Candidate> {
        let mut looked = Vec::new();
        for (route, number) in self.config.routes.iter().zip(0..) {
            let ix = RouteIx(number);
            let Some(host) = best_host(&route.matches, subject.request.host()) else { continue };
            let outcome = self.outcome(route, ix, subject, won);
            let candidate = Candidate { route: ix, name: route.name.clone(), outcome };
            looked.push((Specificity::of(route, ix, host), candidate));
        }
        looked.sort_by_key(|&(specificity, _)| std::cmp::Reverse(specificity));
        looked.into_iter().map(|(_, candidate)| candidate).collect()
    }

    fn outcome(
        &self,
        route: &Route,
        ix: RouteIx,
        subject: &Subject<'_>,
        won: Option<RouteIx>,
    ) -> Outcome {
        let matches = &route.matches;
        if !self.matcher.path_holds(matches, ix, subject.request.path()) {
            return Outcome::Path;
        }
        match check(matches, subject) {
            Ok(()) if won == Some(ix) => Outcome::Won,
            Ok(()) => Outcome::Outranked,
            Err(Miss::Method) => Outcome::Method,
            Err(Miss::Header(place)) => Outcome::Header(matches.headers[place].0.clone()),
            Err(Miss::Query(place)) => Outcome::Query(matches.query[place].0.clone()),
            Err(Miss::Cookie(place)) => Outcome::Cookie(matches.cookies[place].0.clone()),
            Err(Miss::Client) => Outcome::Client,
            Err(Miss::Flag(place)) => Outcome::Flag(matches.flags[place].flag.clone()),
        }
    }

    fn shares(
        &self,
        route: RouteIx,
        &Subject { request, client, .. }: &Subject<'_>,
        available: &Availability,
    ) -> Option<Shares> {
        let Action::Forward(upstream_ix, forced) = self.route(route).action else { return None };
        let upstream = self.upstream(upstream_ix);
        let assigner = &self.assigners[usize::from(upstream_ix.0)];
        let key = match assigner.user(upstream, request, client) {
            _ if forced.is_some() => KeyFound::Pinned,
            User::Known(unit) => KeyFound::Found(position(unit)),
            User::Ours(unit) => KeyFound::Ours(position(unit)),
            User::New => KeyFound::Minted,
            User::Unknown if upstream.sticky.mode == StickyMode::None => KeyFound::NotSticky,
            User::Unknown => KeyFound::Missing,
        };
        let versions = upstream.versions.iter().zip(0..).map(|(version, number)| {
            let ix = VersionIx(number);
            let cut = assigner.layout.cuts().iter().find(|cut| cut.version == ix);
            VersionShare {
                name: version.name.clone(),
                share: cut.map_or(Share::NONE, Cut::share),
                draining: cut.is_some_and(|cut| cut.draining),
                available: available.has(upstream_ix, ix),
            }
        });
        Some(Shares { name: upstream.name.clone(), versions: versions.collect(), key })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for candidate in &self.candidates {
            writeln!(f, "{candidate}")?;
        }
        if self.elsewhere > 0 {
            writeln!(f, "{} routes for other hosts or paths", self.elsewhere)?;
        }
        if !self.candidates.iter().any(|candidate| candidate.outcome == Outcome::Won) {
            writeln!(f, "no route takes this request: 404")?;
        }
        let Some(upstream) = &self.upstream else { return Ok(()) };
        write!(f, "{upstream}")?;
        let plan = match &self.decision {
            Decision::Forward(plan) => plan,
            Decision::Unavailable(_) => return writeln!(f, "no endpoint is available: 503"),
            Decision::Redirect(_) | Decision::Respond(_) | Decision::NoRoute => return Ok(()),
        };
        let Some(version) = upstream.versions.get(usize::from(plan.version.0)) else {
            return Ok(());
        };
        writeln!(f, "to {}@{} ({:?})", upstream.name, version.name, plan.assignment)
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.outcome == Outcome::Won { '+' } else { '-' };
        write!(f, "{mark} {}: {}", self.name, self.outcome)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Won => f.write_str("takes the request"),
            Self::Outranked => f.write_str("matches, but a more specific route won"),
            Self::Path => f.write_str("is for another path"),
            Self::Method => f.write_str("is for other methods"),
            Self::Header(name) => write!(f, "its condition on header `{name}` does not hold"),
            Self::Query(name) => write!(f, "its condition on query `{name}` does not hold"),
            Self::Cookie(name) => write!(f, "its condition on cookie `{name}` does not hold"),
            Self::Client => f.write_str("is for other clients"),
            Self::Flag(name) => write!(f, "its condition on flag `{name}` does not hold"),
        }
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "upstream {}: {}", self.name, self.key)?;
        for version in &self.versions {
            let VersionShare { name, share, draining, available } = version;
            let draining = if *draining { ", draining" } else { "" };
            let available = if *available { "" } else { ", no endpoint available" };
            writeln!(f, "  {name} {} %{draining}{available}", share.percent())?;
        }
        Ok(())
    }
}

impl fmt::Display for KeyFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinned => f.write_str("the route forces a version"),
            Self::NotSticky => f.write_str("not sticky, one draw per request"),
            Self::Found(position) => write!(f, "sticky key found, at {position} of 100000"),
            Self::Ours(position) => write!(f, "our cookie found, at {position} of 100000"),
            Self::Minted => f.write_str("no sticky key, a cookie is handed out"),
            Self::Missing => f.write_str("no sticky key, one draw for this request"),
        }
    }
}
