//! The single owner of all that a snapshot is made from.
//!
//! Everything here is plain and synchronous: who holds the state acts, publishes and lets go.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use gnomon_config::{
    Config,
    model::{Endpoint, Name, Share, Upstream, UpstreamIx, Version, VersionIx},
};
use gnomon_policy::{
    SplitState, balance,
    limit::Rates,
    table::{Availability, Table},
};

use super::{
    api::{Kind, Refused, ReloadStatus},
    flag_compare::Comparisons,
    flags::{Flags, Fresh},
    jwt,
    listeners::{self, Bound},
    registry::{EndpointKey, Registry, VersionKey},
    resolve::{Answers, Resolved},
    shadows::Shadows,
    splits::{self, Verb},
    tls::Tls,
    trials::Trials,
};
use crate::{
    cells::{flags::FlagBook, routes::RouteBook, totals::Totals},
    clock,
    heritage::left::{CountsLeft, Left, News, OutLeft, SplitLeft},
    jwt::Verifier,
    patience,
    snapshot::{Address, EndpointView, ListenerView, Phase, Publisher, Snapshot, VersionView},
};

/// All that a snapshot is made from.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) config: Arc<Config>,
    /// How each upstream's traffic is shared now, by its name.
    pub(crate) splits: BTreeMap<Name, SplitState>,
    pub(crate) registry: Registry,
    pub(crate) shadows: Shadows,
    pub(crate) trials: Trials,
    /// Flags that are judged.
    pub(crate) comparisons: Comparisons,
    pub(crate) tls: Tls,
    pub(crate) flags: Flags,
    /// Who vouches for claims.
    pub(crate) jwt: Option<Arc<Verifier>>,
    pub(crate) listeners: Vec<Bound>,
    pub(crate) last_listener_id: u64,
    pub(crate) resolved: Resolved,
    pub(crate) phase: Phase,
    /// Whether somebody looks at exchanges as they end.
    pub(crate) viewed: bool,
    pub(crate) generation: u64,
    pub(crate) last_reload: Option<ReloadStatus>,
    /// Reloads that were taken over, and those that were refused.
    pub(crate) reloads: (u64, u64),
    /// Whether something has changed that is to be published at the next tick.
    pub(crate) is_stale: bool,
    /// The configuration's routes and the splits, compiled.
    table: Arc<Table>,
    /// The counters of its routes.
    pub(crate) routes: Arc<RouteBook>,
    /// The counters of the flags.
    pub(crate) flag_book: Arc<FlagBook>,
    /// The deadlines of its routes.
    patience: Arc<patience::OfRoutes>,
    /// How often clients may ask.
    rates: Option<Arc<Rates>>,
    /// Replaced snapshots that a core may hold still.
    retired: Vec<Arc<Snapshot>>,
}

impl State {
    pub(crate) fn new(
        config: Config,
        cores: usize,
        listeners: Vec<Bound>,
        last_listener_id: u64,
        answers: Answers,
    ) -> Result<Self, Refused> {
        let splits: BTreeMap<Name, SplitState> = config
            .upstreams
            .iter()
            .map(|upstream| (upstream.name.clone(), SplitState::of(upstream)))
            .collect();
        let mut tls = Tls::new()?;
        tls.take(tls.make(&config)?);
        let config = Arc::new(config);
        let mut state = Self {
            tls,
            flags: Flags::new(&config)?,
            jwt: jwt::make(&config, None)?,
            table: compile(&config, &splits)?,
            shadows: Shadows::new(cores, &config),
            trials: Trials::new(cores),
            comparisons: Comparisons::default(),
            routes: Arc::new(RouteBook::new(&config, cores, None)),
            flag_book: Arc::default(),
            patience: Arc::new(patience::OfRoutes::new(&config)),
            rates: Rates::of(&config).map(Arc::new),
            config,
            splits,
            registry: Registry::new(cores),
            listeners,
            last_listener_id,
            resolved: Resolved::new(),
            phase: Phase::Serving,
            viewed: false,
            generation: 0,
            last_reload: None,
            reloads: (0, 0),
            is_stale: false,
            retired: Vec::new(),
        };
        state.take_answers(answers);
        Ok(state)
    }

    /// Begins with what another process knew. To be called before the first snapshot is made. Gives
    /// back what is to be said beside.
    pub(crate) fn inherit(&mut self, left: &mut Left) -> Result<Vec<String>, Refused> {
        self.registry.inherit(&left.counts, &left.out, Duration::ZERO);
        self.routes = Arc::new(RouteBook::new(&self.config, self.registry.blocks(), None));
        self.routes.inherit(&left.counts.routes);
        self.follow_flags();
        self.flag_book.inherit(&left.counts.flags);
        let mut remarks = Vec::new();
        for upstream in &self.config.upstreams {
            let Some(split) = left.splits.get(&*upstream.name) else { continue };
            let (split, remark) = splits::restore(upstream, split);
            self.splits.insert(upstream.name.clone(), split);
            remarks.extend(remark);
        }
        self.table = compile(&self.config, &self.splits)?;
        self.trials = Trials::inherit(self.registry.cores(), std::mem::take(&mut left.trials));
        self.comparisons.inherit(std::mem::take(&mut left.comparisons));
        if !left.tickets.is_empty() {
            self.tls.inherit(&left.tickets)?;
        }
        let own = &left.counts.own;
        self.reloads = (own.get(RELOADS_OK), own.get(RELOADS_REFUSED));
        self.last_reload = left.last_reload.take();
        Ok(remarks)
    }

    /// Takes over what another process still tells.
    pub(crate) fn hear(&mut self, news: News) {
        self.registry.follow_before(&news.counts);
        self.routes.inherit(&news.counts.routes);
        self.flag_book.inherit(&news.counts.flags);
        self.trials.hear(news.trials);
    }

    /// Everything that is counted here, by name, and who is out.
    pub(crate) fn leave_counts(&self, now: Duration) -> (CountsLeft, Vec<OutLeft>) {
        let (mut counts, out) = self.registry.leave(now);
        for ((route, upstream, version), cells) in self.routes.all() {
            let name = (route.to_string(), upstream.to_string(), version.to_string());
            counts.routes.push((name, Totals::of(cells)));
        }
        for ((flag, variant), counted) in self.flag_book.all() {
            counts.flags.push(((flag.to_string(), variant.to_string()), Totals::of(counted.0)));
        }
        counts.own.count(RELOADS_OK, self.reloads.0);
        counts.own.count(RELOADS_REFUSED, self.reloads.1);
        (counts, out)
    }

    /// The splits that are not as the file says.
    pub(crate) fn leave_splits(&self) -> BTreeMap<String, SplitLeft> {
        let splits = self.config.upstreams.iter().filter_map(|upstream| {
            let split = self.splits.get(&upstream.name)?;
            splits::is_overridden(upstream, split)
                .then(|| (upstream.name.to_string(), splits::leave(upstream, split)))
        });
        splits.collect()
    }

    /// Takes look-ups over. A name that could not be resolved keeps its last good addresses.
    /// Says whether any changed.
    pub(crate) fn take_answers(&mut self, answers: Answers) -> bool {
        let mut changed = false;
        for (target, answer) in answers {
            let (name, port) = (&target.0, target.1);
            match answer {
                Ok(addresses) if self.resolved.get(&target) == Some(&addresses) => {}
                Ok(addresses) => {
                    tracing::info!(%name, port, ?addresses, "an origin's name is resolved");
                    self.resolved.insert(target, addresses);
                    changed = true;
                }
                Err(error) if self.resolved.contains_key(&target) => {
                    tracing::warn!(%name, port, error, "not resolved; its last addresses stay");
                }
                Err(error) => {
                    tracing::warn!(%name, port, error, "not resolved; it has no endpoint until then");
                }
            }
        }
        changed
    }

    /// Takes a new configuration over: compiles it, makes TLS ready, then binds its listeners. After a refusal
    /// nothing has changed. Gives back what is to be said beside.
    pub(crate) fn take_config(
        &mut self,
        config: Config,
        answers: Answers,
        flags: Option<Fresh>,
    ) -> Result<Vec<String>, Refused> {
        // A stop may have begun while the file was read: nobody would serve its listeners.
        if self.phase != Phase::Serving {
            return Err(Refused::new(Kind::State, "the proxy is stopping"));
        }
        let (splits, remarks) = splits::carry(&self.config, &config, &self.splits);
        let config = Arc::new(config);
        let table = compile(&config, &splits)?;
        let tls = self.tls.make(&config)?;
        let flags = self.flags.make(&config, flags)?;
        let jwt = jwt::make(&config, self.jwt.as_ref())?;
        let (wanted, have, cores) = (&config.listeners, &self.listeners, self.registry.cores());
        let bound = listeners::bind_all(wanted, have, cores, &mut self.last_listener_id)?;
        let stays = |old: &Bound| bound.iter().any(|new| new.id == old.id);
        listeners::unlink(self.listeners.iter().filter(|old| !stays(old)));
        self.tls.take(tls);
        self.flags.take(flags, &config, clock::wall().as_secs());
        self.jwt = jwt;
        self.patience = Arc::new(patience::OfRoutes::new(&config));
        self.rates = Rates::of(&config).map(Arc::new);
        self.shadows.take_config(&config);
        let blocks = self.registry.blocks();
        self.routes = Arc::new(RouteBook::new(&config, blocks, Some(&self.routes)));
        (self.config, self.splits, self.table, self.listeners) = (config, splits, table, bound);
        let wanted = super::resolve::targets(&self.config);
        self.resolved.retain(|target, _| wanted.contains(target));
        self.take_answers(answers);
        Ok(remarks)
    }

    /// Applies a verb to an upstream's split; what changed, one line each.
    pub(crate) fn act(&mut self, name: &str, verb: &Verb) -> Result<Vec<String>, Refused> {
        let config = self.config.clone();
        let upstream = config.upstreams.iter().find(|upstream| *upstream.name == *name);
        let Some(upstream) = upstream else {
            let names: Vec<&str> = config.upstreams.iter().map(|u| &*u.name).collect();
            let refused = Refused::new(Kind::Unknown, format!("there is no upstream `{name}`"));
            return Err(refused.help(format!("there are: {}", names.join(", "))));
        };
        self.change_split(upstream, |split| splits::apply(verb, upstream, split))
    }

    /// Gives a version this share, and stable the rest; what changed, one line each.
    pub(crate) fn set_share(
        &mut self,
        upstream: UpstreamIx,
        version: VersionIx,
        share: Share,
    ) -> Result<Vec<String>, Refused> {
        let config = self.config.clone();
        let upstream = config.upstreams.get(usize::from(upstream.0));
        let upstream =
            upstream.ok_or_else(|| Refused::new(Kind::Unknown, "there is no such upstream"))?;
        self.change_split(upstream, |split| splits::give(upstream, split, version, share))
    }

    /// What a version gets now.
    pub(crate) fn share(&self, upstream: UpstreamIx, version: VersionIx) -> Share {
        let upstream = self.config.upstreams.get(usize::from(upstream.0));
        let split = upstream.and_then(|upstream| self.splits.get(&upstream.name));
        let share = split.and_then(|split| split.shares.get(usize::from(version.0)));
        share.copied().unwrap_or_default()
    }

    fn change_split(
        &mut self,
        upstream: &Upstream,
        change: impl FnOnce(&mut SplitState) -> Result<Vec<String>, Refused>,
    ) -> Result<Vec<String>, Refused> {
        let mut splits = self.splits.clone();
        let split = splits.entry(upstream.name.clone());
        let split = split.or_insert_with(|| SplitState::of(upstream));
        let changes = change(split)?;
        if !changes.is_empty() {
            self.table = compile(&self.config, &splits)?;
            self.splits = splits;
        }
        Ok(changes)
    }

    /// Has the shadow between two versions copy this share instead of its own; says whether that
    /// is new.
    pub(crate) fn sample_shadow(
        &mut self,
        ends: (UpstreamIx, VersionIx, VersionIx),
        share: Option<Share>,
    ) -> bool {
        let config = self.config.clone();
        self.shadows.sample(&config, ends, share)
    }

    /// Takes note of how a reload went.
    pub(crate) fn note_reload(&mut self, reload: ReloadStatus) {
        let (taken_over, refused) = &mut self.reloads;
        *(if reload.ok { taken_over } else { refused }) += 1;
        self.last_reload = Some(reload);
    }

    /// The snapshot of what is now, of the next generation.
    pub(crate) fn build(&mut self) -> Snapshot {
        self.generation += 1;
        self.follow_flags();
        let config = self.config.clone();
        let mut snapshot = Snapshot {
            generation: self.generation,
            phase: self.phase,
            viewed: self.viewed,
            table: self.table.clone(),
            patience: self.patience.clone(),
            rates: self.rates.clone(),
            flags: self.flags.set(),
            jwt: self.jwt.clone(),
            availability: Availability::of(&config),
            listeners: self.listeners.iter().map(|bound| self.view(bound)).collect(),
            versions: Vec::new(),
            first_version: Vec::new(),
            endpoints: Vec::new(),
            shadows: None,
            trials: Vec::new(),
            flag_trials: Vec::new(),
            routes: self.routes.clone(),
            flag_book: self.flag_book.clone(),
            config: config.clone(),
        };
        for (upstream, upstream_ix) in config.upstreams.iter().zip(0..) {
            snapshot.first_version.push(snapshot.versions.len());
            for (version, version_ix) in upstream.versions.iter().zip(0..) {
                let key =
                    VersionKey { upstream: upstream.name.clone(), version: version.name.clone() };
                let available = self.add_version(&key, version, &mut snapshot);
                let (upstream, version) = (UpstreamIx(upstream_ix), VersionIx(version_ix));
                snapshot.availability.set(upstream, version, available);
            }
        }
        self.prune();
        snapshot.shadows = self.shadows.terms(&snapshot);
        snapshot.trials = self.trials.terms(&snapshot);
        snapshot.flag_trials = self.trials.flag_terms(&snapshot);
        let now = clock::steady().as_secs();
        for trial in &snapshot.flag_trials {
            self.comparisons.mark(trial, &self.flag_book, now);
        }
        snapshot
    }

    /// Has counters for the flags as they are now.
    fn follow_flags(&mut self) {
        let set = self.flags.set();
        if !self.flag_book.is_of(&set) {
            let (cores, blocks) = (self.registry.cores(), self.registry.blocks());
            self.flag_book = Arc::new(FlagBook::new(set, cores, blocks, Some(&self.flag_book)));
        }
    }

    /// Publishes what is now and says under which generation.
    pub(crate) fn publish(&mut self, publisher: &Publisher) -> u64 {
        let snapshot = self.build();
        self.is_stale = false;
        self.retired.push(publisher.publish(snapshot));
        self.free();
        self.generation
    }

    /// Frees the replaced snapshots that no core holds any more.
    pub(crate) fn free(&mut self) {
        self.retired.retain(|snapshot| Arc::strong_count(snapshot) > 1);
    }

    /// Replaced snapshots that a core holds still.
    #[cfg(test)]
    pub(crate) fn retired(&self) -> usize {
        self.retired.len()
    }

    /// Ejects and forgives, in every version. What changed.
    pub(crate) fn tick(&mut self, now: Duration) -> Vec<(EndpointKey, Option<Duration>)> {
        let mut changed = Vec::new();
        for upstream in &self.config.upstreams {
            for version in &upstream.versions {
                let key =
                    VersionKey { upstream: upstream.name.clone(), version: version.name.clone() };
                changed.extend(self.registry.tick(&key, &upstream.eject, now));
            }
        }
        changed
    }

    /// The addresses of a version and what `Host` says for each, without repetition.
    pub(crate) fn endpoints(&self, version: &Version) -> Vec<(Address, Arc<str>)> {
        let mut seen = HashSet::new();
        let mut all = Vec::new();
        for endpoint in &version.endpoints {
            match endpoint {
                Endpoint::Tcp(address) => {
                    all.push((Address::Tcp(*address), address.to_string().into()));
                }
                Endpoint::Unix(path) => all.push((Address::Unix(path.clone()), "localhost".into())),
                Endpoint::Name(name, port) => {
                    let addresses = self.resolved.get(&(name.clone(), *port));
                    let authority: Arc<str> = format!("{name}:{port}").into();
                    let addresses = addresses.into_iter().flatten();
                    all.extend(addresses.map(|a| (Address::Tcp(*a), authority.clone())));
                }
            }
        }
        all.retain(|(address, _)| seen.insert(address.clone()));
        all
    }

    fn view(&self, bound: &Bound) -> ListenerView {
        ListenerView { tls: self.tls.of_listener(&bound.config.name), ..bound.view() }
    }

    /// Whether any name has never been resolved.
    pub(crate) fn is_name_missing(&self) -> bool {
        super::resolve::targets(&self.config).iter().any(|name| !self.resolved.contains_key(name))
    }

    /// Adds a version to `snapshot`; whether it has an endpoint that may be used.
    fn add_version(
        &mut self,
        key: &VersionKey,
        version: &Version,
        snapshot: &mut Snapshot,
    ) -> bool {
        let endpoints = self.endpoints(version);
        let addresses: Vec<Address> =
            endpoints.iter().map(|(address, _)| address.clone()).collect();
        self.registry.admit(key, &addresses);
        let start = snapshot.endpoints.len();
        let mut any = false;
        for (address, authority) in endpoints {
            let key = EndpointKey { version: key.clone(), address };
            let tls = self.tls.of_endpoint(&key.version, &key.address, &authority);
            let tls = self.registry.speak(&key, tls);
            let Some(entry) = self.registry.endpoint(&key) else { continue };
            let available = self.registry.is_available(&key);
            any |= available;
            snapshot.endpoints.push(EndpointView {
                id: entry.id,
                seed: seed(&key.address),
                address: key.address,
                authority,
                available,
                tls,
                announced: version.proxy_protocol,
                cells: entry.cells.clone(),
            });
        }
        let cells = self.registry.version(key).map(|entry| entry.cells.clone());
        snapshot.versions.push(VersionView {
            endpoints: start..snapshot.endpoints.len(),
            cells: cells.unwrap_or_default(),
        });
        any
    }

    fn prune(&mut self) {
        if !self.registry.is_crowded() {
            return;
        }
        let (mut versions, mut endpoints) = (HashSet::new(), HashSet::new());
        for upstream in &self.config.upstreams {
            for version in &upstream.versions {
                let key =
                    VersionKey { upstream: upstream.name.clone(), version: version.name.clone() };
                for (address, _) in self.endpoints(version) {
                    endpoints.insert(EndpointKey { version: key.clone(), address });
                }
                versions.insert(key);
            }
        }
        self.registry.keep(&versions, &endpoints);
    }
}

/// Compiles the routes of a configuration, with the splits as they are now.
fn compile(
    config: &Arc<Config>,
    splits: &BTreeMap<Name, SplitState>,
) -> Result<Arc<Table>, Refused> {
    let states: Vec<SplitState> = config
        .upstreams
        .iter()
        .map(|upstream| {
            let kept = splits.get(&upstream.name).cloned();
            kept.unwrap_or_else(|| SplitState::of(upstream))
        })
        .collect();
    let table = Table::compile(config.clone(), &states);
    table.map(Arc::new).map_err(|bad| Refused::new(Kind::Config, bad.to_string()))
}

fn seed(address: &Address) -> u64 {
    balance::seed(&match address {
        Address::Tcp(address) => Endpoint::Tcp(*address),
        Address::Unix(path) => Endpoint::Unix(path.clone()),
    })
}

/// What other counts are called.
const RELOADS_OK: &str = "reloads_ok";
const RELOADS_REFUSED: &str = "reloads_refused";

#[cfg(test)]
mod tests;
