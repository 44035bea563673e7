//! The shadows of the configuration, in the form that cores and the shadow thread use.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use gnomon_config::{
    Config,
    model::{Name, Shadow, Share, UpstreamIx, VersionIx},
};
use gnomon_shadow::{
    counts::Counts,
    run::Rules,
    terms::{Definition, Endpoint, Terms},
};

use super::{Control, api, record::Recording};
use crate::snapshot::Snapshot;

/// What outlives a configuration, and what is made from it.
#[derive(Debug)]
pub(crate) struct Shadows {
    cores: usize,
    /// By name; never forgotten, as a shadow that comes back goes on counting.
    counts: BTreeMap<Name, Arc<Counts>>,
    definitions: Vec<Arc<Definition>>,
    config_hash: Box<str>,
    /// Whether nothing is copied for now.
    pub(super) is_resting: bool,
    /// Who writes exchanges down, if somebody does.
    pub(super) recording: Option<Recording>,
}

impl Control {
    /// Tells the shadow thread which shadows there are now.
    pub(crate) async fn follow_shadows(&self) {
        if self.state().config.shadows.is_empty() && self.memory.keeps().is_none() {
            // Somebody may want to record all the same.
            return self.shadow.rule(Rules::default());
        }
        let memory = self.memory.clone();
        // Reading a large store takes a while; there may have been a reload since.
        match tokio::task::spawn_blocking(move || memory.open()).await {
            Ok((key, saved)) => {
                let shadows = self.state().config.shadows.clone();
                self.shadow.rule(Rules { shadows, key, saved, is_open: true });
            }
            Err(error) => tracing::error!(%error, "the memory of shadows cannot be read"),
        }
    }
}

impl Shadows {
    pub(crate) fn new(cores: usize, config: &Config) -> Self {
        let (counts, definitions) = (BTreeMap::new(), Vec::new());
        let (config_hash, recording) = (Box::default(), None);
        let is_resting = false;
        let mut shadows = Self { cores, counts, definitions, config_hash, is_resting, recording };
        shadows.take_config(config);
        shadows
    }

    /// Takes a new configuration over; what it says no differently stays as it is.
    pub(crate) fn take_config(&mut self, config: &Config) {
        let before = std::mem::take(&mut self.definitions);
        if !config.shadows.is_empty() {
            self.config_hash = super::status::hash(config).into();
        }
        for shadow in &config.shadows {
            let same = before.iter().find(|known| known.shadow == *shadow).cloned();
            let definition = same.unwrap_or_else(|| {
                let counts = self.counts.entry(shadow.name.clone());
                let counts = counts.or_insert_with(|| Arc::new(Counts::new(self.cores)));
                let from = end(config, shadow.from.0, shadow.from.1);
                let versions = format!("{from} {}", end(config, shadow.to.0, Some(shadow.to.1)));
                Arc::new(Definition::new(shadow.clone(), counts.clone(), versions))
            });
            self.definitions.push(definition);
        }
    }

    /// Has the shadow between these versions copy `share` instead of what the configuration says,
    /// or again what it says. Says whether that is new.
    pub(crate) fn sample(
        &mut self,
        config: &Config,
        (upstream, from, to): (UpstreamIx, VersionIx, VersionIx),
        share: Option<Share>,
    ) -> bool {
        let between = |shadow: &Shadow| {
            shadow.to == (upstream, to)
                && shadow.from.0 == upstream
                && shadow.from.1.is_none_or(|it| it == from)
        };
        let mut all = config.shadows.iter().zip(&mut self.definitions);
        let Some((own, known)) = all.find(|(own, _)| between(own)) else { return false };
        let sample = share.unwrap_or(own.sample);
        if known.shadow.sample == sample {
            return false;
        }
        let shadow = Shadow { sample, ..own.clone() };
        let (counts, versions) = (known.counts.clone(), known.versions.to_string());
        *known = Arc::new(Definition::new(shadow, counts, versions));
        true
    }

    /// The shadows there are, as configured and as counted.
    pub(crate) fn list(&self, config: &Config) -> Vec<api::Shadow> {
        let shadow = |definition: &Arc<Definition>| {
            let shadow = &definition.shadow;
            api::Shadow {
                name: shadow.name.to_string(),
                from: end(config, shadow.from.0, shadow.from.1),
                to: end(config, shadow.to.0, Some(shadow.to.1)),
                sample: shadow.sample.percent(),
                accounting: definition.counts.accounting(),
            }
        };
        self.definitions.iter().map(shadow).collect()
    }

    /// Names and counts of the shadows there are.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&Name, &Counts)> {
        let all = self.definitions.iter();
        all.map(|definition| (&definition.shadow.name, &*definition.counts))
    }

    /// What `snapshot` says of shadows, if it has any.
    pub(crate) fn terms(&self, snapshot: &Snapshot) -> Option<Arc<Terms>> {
        if self.is_resting {
            return None;
        }
        let scope = self.recording.as_ref().and_then(|it| it.scope(&snapshot.config));
        if self.definitions.is_empty() && scope.is_none() {
            return None;
        }
        let mut endpoints = HashMap::new();
        for definition in &self.definitions {
            let shadow = &definition.shadow;
            let (upstream, from) = shadow.from;
            let versions = &snapshot.config.upstreams[usize::from(upstream.0)].versions;
            let all = (0..).zip(versions).map(|(place, _)| VersionIx(place));
            let from = all.filter(|place| from.is_none_or(|from| from == *place));
            for version in from.map(|version| (upstream, version)).chain([shadow.to]) {
                endpoints.entry(version).or_insert_with(|| endpoints_of(snapshot, version));
            }
        }
        let shadows = self.definitions.clone();
        // One half for what cores hold, one for what the shadow thread reads.
        let memory = snapshot.config.limits.shadow / 2;
        let (table, config) = (snapshot.table.clone(), self.config_hash.clone());
        Some(Arc::new(Terms { table, shadows, endpoints, scope, memory, config }))
    }
}

/// An end of a shadow as the configuration spells it.
fn end(config: &Config, upstream: UpstreamIx, version: Option<VersionIx>) -> String {
    let upstream = &config.upstreams[usize::from(upstream.0)];
    match version {
        None => upstream.name.to_string(),
        Some(version) => {
            format!("{}@{}", upstream.name, upstream.versions[usize::from(version.0)].name)
        }
    }
}

fn endpoints_of(
    snapshot: &Snapshot,
    (upstream, version): (UpstreamIx, VersionIx),
) -> Vec<Endpoint> {
    let place = snapshot.first_version[usize::from(upstream.0)] + usize::from(version.0);
    let views = snapshot.versions.get(place).map(|version| version.endpoints.clone());
    let views = views.and_then(|range| snapshot.endpoints.get(range)).unwrap_or_default();
    let endpoint = |view: &crate::snapshot::EndpointView| Endpoint {
        id: view.id,
        address: view.address.clone(),
        authority: view.authority.clone(),
        available: view.available,
        tls: view.tls.clone(),
        announced: view.announced,
    };
    views.iter().map(endpoint).collect()
}
