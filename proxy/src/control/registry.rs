//! What outlives a configuration: counters, identities, health and ejections, kept by name.
//!
//! An upstream's version, or an endpoint of it, that comes back with a later reload finds its
//! counters where it left them, so no count is ever lost while the process lives.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use gnomon_config::model::{Eject, Name};
use gnomon_policy::{
    eject::{Ejections, Sighting, cap},
    health::{self, Verdict},
};

use crate::{
    cells::{EndpointCells, VersionCells, totals::Totals},
    heritage::left::{CountsLeft, OutLeft},
    snapshot::Address,
    tls::OriginTls,
};

/// Names a version for good.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct VersionKey {
    pub(crate) upstream: Name,
    pub(crate) version: Name,
}

/// Names an endpoint for good.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct EndpointKey {
    pub(crate) version: VersionKey,
    pub(crate) address: Address,
}

impl std::fmt::Display for EndpointKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let VersionKey { upstream, version } = &self.version;
        write!(f, "{upstream}@{version} {}", show(&self.address))
    }
}

/// An address as a person writes it.
pub(crate) fn show(address: &Address) -> String {
    match address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// What is known of a version.
#[derive(Debug)]
pub(crate) struct VersionEntry {
    /// One block per core.
    pub(crate) cells: Vec<Arc<VersionCells>>,
    /// The endpoints that `ejections` counts, in its order.
    order: Vec<EndpointKey>,
    ejections: Ejections,
    /// Times that an endpoint was taken out because requests failed.
    pub(crate) ejected: u64,
    /// Times that an endpoint was taken out because its checks failed.
    pub(crate) unhealthy: u64,
}

/// What is known of an endpoint.
#[derive(Debug)]
pub(crate) struct EndpointEntry {
    /// Never used again for another.
    pub(crate) id: u64,
    /// How TLS is spoken under this id.
    tls: Option<Arc<OriginTls>>,
    /// One block per core.
    pub(crate) cells: Vec<Arc<EndpointCells>>,
    health: health::Endpoint,
    /// Why the last check failed.
    complaint: Option<String>,
    /// Until when it is ejected, since start.
    ejected: Option<Duration>,
    /// Where each core's run of failures began to count anew.
    base: Vec<u64>,
}

impl EndpointEntry {
    /// Why it may not be used, if so.
    pub(crate) fn out(&self, now: Duration) -> Option<String> {
        if self.health.verdict() == Verdict::Unhealthy {
            let why = self.complaint.as_deref().unwrap_or("its checks fail");
            return Some(format!("unhealthy: {why}"));
        }
        let left = self.ejected?.saturating_sub(now);
        Some(format!("ejected for {:.1} s more", left.as_secs_f64()))
    }

    fn is_in(&self) -> bool {
        self.health.verdict() == Verdict::Healthy && self.ejected.is_none()
    }

    /// Failures in a row over all cores, since the count was last begun anew.
    fn failures(&mut self) -> u32 {
        let mut sum = 0;
        for (cells, base) in self.cells.iter().zip(&mut self.base) {
            let run = cells.failures_in_a_row.read();
            if run < *base {
                // A success has ended the run that the base belongs to.
                *base = 0;
            }
            sum += run - *base;
        }
        u32::try_from(sum).unwrap_or(u32::MAX)
    }

    fn begin_anew(&mut self) {
        for (cells, base) in self.cells.iter().zip(&mut self.base) {
            *base = cells.failures_in_a_row.read();
        }
    }
}

/// What an earlier process knew.
#[derive(Debug, Default)]
struct Before {
    versions: HashMap<VersionKey, Totals>,
    /// By upstream, version and address.
    endpoints: HashMap<(String, String, String), Totals>,
    /// Endpoints that were out; each is asked for once.
    out: HashMap<(String, String, String), OutLeft>,
    /// When that was, since start.
    now: Duration,
}

impl Before {
    fn give_endpoint(&mut self, key: &EndpointKey, entry: &mut EndpointEntry) {
        let name = key.name();
        if let Some((totals, cells)) = self.endpoints.get(&name).zip(entry.cells.last()) {
            totals.put(&**cells);
        }
        let Some(out) = self.out.remove(&name) else { return };
        if let Some(complaint) = out.unhealthy {
            entry.health = health::Endpoint::unhealthy();
            entry.complaint = Some(complaint).filter(|it| !it.is_empty());
        }
        entry.ejected = out.ejected_ms.map(|left| self.now + Duration::from_millis(left));
    }
}

impl EndpointKey {
    /// Upstream, version and address, for whoever does not know our types.
    fn name(&self) -> (String, String, String) {
        let VersionKey { upstream, version } = &self.version;
        (upstream.to_string(), version.to_string(), show(&self.address))
    }
}

impl OutLeft {
    fn name(&self) -> (String, String, String) {
        (self.upstream.clone(), self.version.clone(), self.address.clone())
    }
}

/// Everything that is kept by name.
#[derive(Debug)]
pub(crate) struct Registry {
    cores: usize,
    /// What an earlier process has counted, if there was one. Its counts are in one more block of
    /// cells, behind those of the cores, which control writes.
    before: Option<Before>,
    versions: HashMap<VersionKey, VersionEntry>,
    endpoints: HashMap<EndpointKey, EndpointEntry>,
    last_id: u64,
}

impl Registry {
    pub(crate) fn new(cores: usize) -> Self {
        let (versions, endpoints) = (HashMap::new(), HashMap::new());
        Self { cores, before: None, versions, endpoints, last_id: 0 }
    }

    /// Begins with what an earlier process knew. `now` is the time since start. To be called before
    /// anything is admitted.
    pub(crate) fn inherit(&mut self, counts: &CountsLeft, out: &[OutLeft], now: Duration) {
        self.before = Some(Before {
            out: out.iter().map(|it| (it.name(), it.clone())).collect(),
            now,
            ..Before::default()
        });
        self.follow_before(counts);
    }

    /// Takes over what an earlier process has counted since.
    pub(crate) fn follow_before(&mut self, counts: &CountsLeft) {
        let Self { before: Some(before), versions, endpoints, .. } = self else { return };
        for (name, totals) in &counts.versions {
            let key = VersionKey { upstream: (&*name.0).into(), version: (&*name.1).into() };
            if let Some(entry) = versions.get_mut(&key) {
                entry.put_before(totals);
            }
            before.versions.insert(key, totals.clone());
        }
        for (name, totals) in &counts.endpoints {
            before.endpoints.insert(name.clone(), totals.clone());
        }
        for (key, entry) in endpoints {
            if let Some((totals, cells)) = before.endpoints.get(&key.name()).zip(entry.cells.last())
            {
                totals.put(&**cells);
            }
        }
    }

    /// What has been counted, by name, and who is out.
    pub(crate) fn leave(&self, now: Duration) -> (CountsLeft, Vec<OutLeft>) {
        let mut counts = CountsLeft::default();
        for (key, entry) in &self.versions {
            let mut totals = Totals::of(entry.cells.iter().map(Arc::as_ref));
            totals.count(EJECTED, entry.ejected);
            totals.count(UNHEALTHY, entry.unhealthy);
            let name = (key.upstream.to_string(), key.version.to_string());
            counts.versions.push((name, totals));
        }
        let mut out = Vec::new();
        for (key, entry) in &self.endpoints {
            let (upstream, version, address) = key.name();
            let is_bad = entry.health.verdict() == Verdict::Unhealthy;
            let complaint = || entry.complaint.clone().unwrap_or_default();
            let left = entry.ejected.map(|until| until.saturating_sub(now).as_millis());
            if is_bad || left.is_some() {
                out.push(OutLeft {
                    upstream: upstream.clone(),
                    version: version.clone(),
                    address: address.clone(),
                    unhealthy: is_bad.then(complaint),
                    ejected_ms: left.map(|left| u64::try_from(left).unwrap_or(u64::MAX)),
                });
            }
            let totals = Totals::of(entry.cells.iter().map(Arc::as_ref));
            counts.endpoints.push(((upstream, version, address), totals));
        }
        (counts, out)
    }

    /// Blocks of cells of everything that is counted: the cores', and that of the process before.
    pub(crate) fn blocks(&self) -> usize {
        self.cores + usize::from(self.before.is_some())
    }

    /// Makes sure that a version and its endpoints are known. Ejections stay with those endpoints
    /// that stay.
    pub(crate) fn admit(&mut self, key: &VersionKey, addresses: &[Address]) {
        let blocks = self.blocks();
        let Self { versions, endpoints, last_id, before, .. } = self;
        let key_of =
            |address: &Address| EndpointKey { version: key.clone(), address: address.clone() };
        let order: Vec<EndpointKey> = addresses.iter().map(key_of).collect();
        for key in &order {
            endpoints.entry(key.clone()).or_insert_with(|| {
                *last_id += 1;
                let mut entry = EndpointEntry {
                    id: *last_id,
                    tls: None,
                    cells: (0..blocks).map(|_| Arc::default()).collect(),
                    health: health::Endpoint::new(),
                    complaint: None,
                    ejected: None,
                    base: vec![0; blocks],
                };
                if let Some(before) = before {
                    before.give_endpoint(key, &mut entry);
                }
                entry
            });
        }
        let entry = versions.entry(key.clone()).or_insert_with(|| {
            let mut entry = VersionEntry {
                cells: (0..blocks).map(|_| Arc::default()).collect(),
                order: Vec::new(),
                ejections: Ejections::new(0),
                ejected: 0,
                unhealthy: 0,
            };
            if let Some(totals) = before.as_ref().and_then(|before| before.versions.get(key)) {
                entry.put_before(totals);
            }
            entry
        });
        if entry.order != order {
            entry.ejections = Ejections::new(order.len());
            entry.order = order;
        }
    }

    /// Has an endpoint spoken to in this way; where it was another, under another id, so that no
    /// connection made under the old terms is used under the new. Gives back the way, the very
    /// same for as long as it stays.
    pub(crate) fn speak(
        &mut self,
        key: &EndpointKey,
        tls: Option<OriginTls>,
    ) -> Option<Arc<OriginTls>> {
        let entry = self.endpoints.get_mut(key)?;
        if entry.tls.as_deref() != tls.as_ref() {
            self.last_id += 1;
            (entry.id, entry.tls) = (self.last_id, tls.map(Arc::new));
        }
        entry.tls.clone()
    }

    pub(crate) fn cores(&self) -> usize {
        self.cores
    }

    pub(crate) fn version(&self, key: &VersionKey) -> Option<&VersionEntry> {
        self.versions.get(key)
    }

    pub(crate) fn endpoint(&self, key: &EndpointKey) -> Option<&EndpointEntry> {
        self.endpoints.get(key)
    }

    /// Whether health and ejection let it be used. Health counts only where it is checked.
    pub(crate) fn is_available(&self, key: &EndpointKey) -> bool {
        self.endpoints.get(key).is_some_and(EndpointEntry::is_in)
    }

    /// Takes note of a check; gives back the verdict if it has changed.
    pub(crate) fn note_check(
        &mut self,
        key: &EndpointKey,
        result: Result<(), String>,
        health: &gnomon_config::model::Health,
    ) -> Option<Verdict> {
        let entry = self.endpoints.get_mut(key)?;
        let outcome = match &result {
            Ok(()) => health::Outcome::Passed,
            Err(_) => health::Outcome::Failed,
        };
        let verdict = entry.health.note(outcome, health);
        entry.complaint = result.err();
        if verdict == Some(Verdict::Unhealthy)
            && let Some(version) = self.versions.get_mut(&key.version)
        {
            version.unhealthy += 1;
        }
        verdict
    }

    /// Forgets what checks said about an endpoint that is no longer checked.
    pub(crate) fn forget_health(&mut self, key: &EndpointKey) {
        if let Some(entry) = self.endpoints.get_mut(key) {
            entry.health = health::Endpoint::new();
            entry.complaint = None;
        }
    }

    /// Ejects and forgives endpoints of a version. What changed: the endpoint, and until when it
    /// is out, if it is.
    pub(crate) fn tick(
        &mut self,
        key: &VersionKey,
        eject: &Eject,
        now: Duration,
    ) -> Vec<(EndpointKey, Option<Duration>)> {
        let Some(version) = self.versions.get_mut(key) else { return Vec::new() };
        let sightings: Vec<Sighting> = version
            .order
            .iter()
            .map(|key| {
                let entry = self.endpoints.get_mut(key);
                // One that is out by an ejection from before a reload can't be ejected again.
                let entry = entry.filter(|entry| entry.ejected.is_none());
                Sighting { failures: entry.map_or(0, EndpointEntry::failures) }
            })
            .collect();
        version.ejections.tick(now, &sightings, eject);
        let cap = cap(version.order.len(), eject.max_ejected);
        let mut carried = cap.saturating_sub(version.ejections.out());
        let mut changed = Vec::new();
        for (index, key) in version.order.iter().enumerate() {
            let Some(entry) = self.endpoints.get_mut(key) else { continue };
            // An ejection from before the version's endpoints changed runs to its end, as far as
            // the cap allows.
            let old = entry.ejected.filter(|&until| until > now && carried > 0 && eject.after > 0);
            let until = version.ejections.until(index).or_else(|| {
                carried -= usize::from(old.is_some());
                old
            });
            if until != entry.ejected {
                entry.begin_anew();
                entry.ejected = until;
                version.ejected += u64::from(until.is_some());
                changed.push((key.clone(), until));
            }
        }
        changed
    }

    /// Every endpoint that is known, in use or not.
    #[cfg(test)]
    pub(crate) fn known(&self) -> impl Iterator<Item = &EndpointEntry> {
        self.endpoints.values()
    }

    /// Whether so much has gathered that what is not in use should be forgotten.
    pub(crate) fn is_crowded(&self) -> bool {
        self.versions.len() > VERSIONS_MAX || self.endpoints.len() > ENDPOINTS_MAX
    }

    /// Forgets versions and endpoints that are not among these.
    pub(crate) fn keep(
        &mut self,
        versions: &HashSet<VersionKey>,
        endpoints: &HashSet<EndpointKey>,
    ) {
        self.versions.retain(|key, _| versions.contains(key));
        self.endpoints.retain(|key, _| endpoints.contains(key));
    }
}

impl VersionEntry {
    /// Takes over what an earlier process has counted. It ejects nobody any more.
    fn put_before(&mut self, totals: &Totals) {
        if let Some(cells) = self.cells.last() {
            totals.put(&**cells);
        }
        self.ejected = self.ejected.max(totals.get(EJECTED));
        self.unhealthy = self.unhealthy.max(totals.get(UNHEALTHY));
    }

    /// The endpoints it has now.
    pub(crate) fn endpoints(&self) -> &[EndpointKey] {
        &self.order
    }

    /// Sum over the cores of one of their counters.
    pub(crate) fn sum(&self, cell: impl Fn(&VersionCells) -> &crate::cells::Cell) -> u64 {
        self.cells.iter().map(|cells| cell(cells).read()).sum()
    }
}

impl EndpointEntry {
    /// Sum over the cores of one of their counters.
    pub(crate) fn sum(&self, cell: impl Fn(&EndpointCells) -> &crate::cells::Cell) -> u64 {
        self.cells.iter().map(|cells| cell(cells).read()).sum()
    }
}

/// What a version's other counts are called.
const EJECTED: &str = "ejected";
const UNHEALTHY: &str = "unhealthy";
/// Versions known before those not in use are forgotten; with two histograms each, some 15 KiB per
/// core.
const VERSIONS_MAX: usize = 1_000;
/// Endpoints known before those not in use are forgotten; some 200 bytes each. Where names resolve
/// to ever new addresses, this is a week of changes at one a minute.
const ENDPOINTS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use gnomon_config::model::{FailureKind, Share};

    use super::*;

    fn address(last: u8) -> Address {
        Address::Tcp(([10, 0, 0, last], 80).into())
    }

    fn key() -> VersionKey {
        VersionKey { upstream: "shop".into(), version: "v1".into() }
    }

    fn endpoint(last: u8) -> EndpointKey {
        EndpointKey { version: key(), address: address(last) }
    }

    fn eject() -> Eject {
        Eject {
            after: 3,
            duration: Duration::from_secs(10),
            max_ejected: Share(50_000),
            on: vec![FailureKind::Connect],
        }
    }

    #[test]
    fn failures_of_all_cores_eject_and_time_forgives_once() {
        let mut registry = Registry::new(2);
        registry.admit(&key(), &[address(1), address(2)]);
        let cells = registry.endpoint(&endpoint(1)).unwrap().cells.clone();
        cells[0].failures_in_a_row.set(2);
        assert!(registry.tick(&key(), &eject(), Duration::ZERO).is_empty());
        cells[1].failures_in_a_row.set(1);
        let until = Some(Duration::from_secs(10));
        assert_eq!(registry.tick(&key(), &eject(), Duration::ZERO), [(endpoint(1), until)]);
        assert!(!registry.is_available(&endpoint(1)));
        let later = Duration::from_secs(10);
        assert_eq!(registry.tick(&key(), &eject(), later), [(endpoint(1), None)]);
        // The cores' counts stand where they were; they do not eject it again.
        assert!(registry.tick(&key(), &eject(), later).is_empty());
        cells[0].failures_in_a_row.set(5);
        assert_eq!(registry.tick(&key(), &eject(), later).len(), 1);
    }

    #[test]
    fn an_ejection_outlives_a_change_of_neighbours() {
        let mut registry = Registry::new(1);
        registry.admit(&key(), &[address(1), address(2)]);
        registry.endpoint(&endpoint(1)).unwrap().cells[0].failures_in_a_row.set(3);
        registry.tick(&key(), &eject(), Duration::ZERO);
        registry.admit(&key(), &[address(1), address(3), address(4)]);
        assert!(registry.tick(&key(), &eject(), Duration::from_secs(5)).is_empty());
        assert!(!registry.is_available(&endpoint(1)));
        let changed = registry.tick(&key(), &eject(), Duration::from_secs(10));
        assert_eq!(changed, [(endpoint(1), None)]);
    }

    #[test]
    fn what_comes_back_finds_its_counters_and_its_id() {
        let mut registry = Registry::new(1);
        registry.admit(&key(), &[address(1)]);
        registry.endpoint(&endpoint(1)).unwrap().cells[0].requests.add(7);
        let id = registry.endpoint(&endpoint(1)).unwrap().id;
        registry.admit(&key(), &[address(2)]);
        registry.admit(&key(), &[address(1)]);
        let entry = registry.endpoint(&endpoint(1)).unwrap();
        assert_eq!((entry.id, entry.sum(|cells| &cells.requests)), (id, 7));
    }
}
