//! From cells to families: what is told of the process, its cores, versions and shadows.

mod flag_states;
mod flags;
mod rollouts;
mod routes;

use std::sync::atomic::Ordering::Relaxed;
use std::{collections::BTreeMap, sync::Arc};

use gnomon_config::{
    Config,
    model::{Action, Share, Upstream, UpstreamIx, Version, VersionIx},
};
use gnomon_policy::SplitState;
use gnomon_shadow::counts::{Count, Counts, Dropped};
use gnomon_sys::{affinity, limits, memory};

pub(crate) use self::rollouts::agent;
use super::{
    super::{
        Control,
        registry::{EndpointEntry, EndpointKey, VersionEntry, VersionKey, show},
        saturation::{self, Saturation},
        state::State,
    },
    catalogue::{self as c, Family},
    fold::Fold,
    text::Page,
};
use crate::cells::{
    Cell, CoreCells, HANDSHAKE_FAILURES, JWT_CHECKS, Latency, PREFACE_FLAWS, VersionCells,
};

impl Control {
    /// Writes everything; what is looked at in trouble comes first, what there is most of last, so
    /// that it is what `max_series` cuts.
    pub(super) fn gather(&self, page: &mut Page) {
        let saturation = self.saturation();
        self.gather_rollouts(page);
        self.process(page);
        self.cores(page);
        let state = self.state();
        self.own(page, &state);
        self.ofrep(page);
        flag_states::flag_states(page, &state);
        let mut series = page.family(&c::SATURATION);
        for component in &saturation.components {
            series.add(&[&component.name], component.ratio);
        }
        accept_queues(page, &state, self.shared.cores.len());
        let versions = versions(&state);
        of_versions(page, &versions, &saturation);
        durations(page, &state.config, &versions);
        shadows(page, &state);
        endpoints(page, &versions);
        flags::flags(page, &state.config, &state.flag_book);
        routes::routes(page, &state.config, &state.routes, &versions);
    }

    fn process(&self, page: &mut Page) {
        page.family(&c::BUILD).add(&[env!("CARGO_PKG_VERSION")], true);
        let (resident, whole) = memory::in_use();
        page.family(&c::CPU).add(&[], affinity::process_cpu_time().as_secs_f64());
        page.family(&c::RESIDENT).add(&[], resident);
        page.family(&c::VIRTUAL).add(&[], whole);
        page.family(&c::OPEN_FILES).add(&[], limits::open_files_now());
        page.family(&c::MAX_FILES).add(&[], limits::open_files());
        page.family(&c::START).add(&[], self.started_wall.as_secs_f64());
    }

    fn cores(&self, page: &mut Page) {
        let stuck: Vec<bool> = {
            let watch = self.watch();
            (0..self.shared.cores.len()).map(|core| watch.is_stuck(core)).collect()
        };
        let names: Vec<String> = (0..stuck.len()).map(|core| core.to_string()).collect();
        for (family, nanos) in TIMES_OF_CORES {
            let mut series = page.family(family);
            for (core, (name, cells)) in names.iter().zip(&self.shared.cores).enumerate() {
                let before = self.succession.core(core).map_or(0, |before| nanos(before).read());
                series.add(&[name], seconds(nanos(cells).read() + before));
            }
        }
        for (family, cell) in COUNTS_OF_CORES {
            let mut series = page.family(family);
            for (core, (name, cells)) in names.iter().zip(&self.shared.cores).enumerate() {
                let before = self.succession.core(core).map_or(0, |before| cell(before).read());
                series.add(&[name], cell(cells).read() + before);
            }
        }
        let mut series = page.family(&c::HANDSHAKES);
        for (name, cells) in names.iter().zip(&self.shared.cores) {
            for (resumed, cell) in ["false", "true"].into_iter().zip(&cells.handshakes) {
                series.add(&[name, resumed], cell.read());
            }
        }
        let mut series = page.family(&c::HANDSHAKES_FAILED);
        for (name, cells) in names.iter().zip(&self.shared.cores) {
            for (reason, cell) in HANDSHAKE_FAILURES.into_iter().zip(&cells.handshake_failures) {
                series.add(&[name, reason], cell.read());
            }
        }
        let mut series = page.family(&c::JWT_CHECKS);
        for (core, (name, cells)) in names.iter().zip(&self.shared.cores).enumerate() {
            let before = self.succession.core(core).map(|before| &before.jwt_checks);
            for (place, result) in JWT_CHECKS.iter().enumerate() {
                let before = before.map_or(0, |before| before[place].read());
                series.add(&[name, result], cells.jwt_checks[place].read() + before);
            }
        }
        let mut series = page.family(&c::PREFACES);
        for (core, (name, cells)) in names.iter().zip(&self.shared.cores).enumerate() {
            let before = self.succession.core(core).map(|before| &before.prefaces);
            for (place, reason) in PREFACE_FLAWS.iter().enumerate() {
                let before = before.map_or(0, |before| before[place].read());
                series.add(&[name, reason], cells.prefaces[place].read() + before);
            }
        }
        let mut series = page.family(&c::REFUSED);
        for (core, (name, cells)) in names.iter().zip(&self.shared.cores).enumerate() {
            for (reason, cell) in REFUSALS {
                let before = self.succession.core(core).map_or(0, |before| cell(before).read());
                series.add(&[name, reason], cell(cells).read() + before);
            }
        }
        let mut series = page.family(&c::CORE_STUCK);
        for (name, stuck) in names.iter().zip(stuck) {
            series.add(&[name], stuck);
        }
    }

    /// What control itself does: reloads and the access log.
    fn own(&self, page: &mut Page, state: &State) {
        let started = self.started_wall.as_secs_f64();
        let last = state.last_reload.as_ref();
        // Without a reload, the start is when it was last read, and that went well.
        page.family(&c::RELOAD_OK).add(&[], last.is_none_or(|reload| reload.ok));
        page.family(&c::RELOAD_TIME).add(&[], last.map_or(started, |reload| reload.time_seconds));
        let (taken_over, refused) = state.reloads;
        let mut reloads = page.family(&c::RELOADS);
        reloads.add(&["ok"], taken_over);
        reloads.add(&["refused"], refused);
        certificates(page, state);
        let overload = self.overload();
        page.family(&c::OVERLOAD).add(&[], overload.number);
        page.family(&c::OVERLOAD_MEMORY).add(&[], overload.memory_max);
        page.family(&c::LOG_LINES).add(&[], self.log_lines());
        page.family(&c::LOG_FAILURES).add(&[], self.log_failures());
        self.told(page);
    }

    /// What those are told who look at exchanges as they end, and a collector of traces.
    fn told(&self, page: &mut Page) {
        let of_cores = |cell: OfCore| self.shared.cores.iter().map(|core| cell(core).read()).sum();
        let in_rings: u64 = of_cores(|core| &core.span_drops);
        let copies = self.shadow.spans.drops.load(Relaxed);
        let tally = &self.logs.span_tally;
        let mut spans = page.family(&c::SPANS);
        spans.add(&["sent"], tally.sent.load(Relaxed));
        spans.add(&["rejected"], tally.rejected.load(Relaxed));
        spans.add(&["dropped"], tally.dropped.load(Relaxed) + in_rings + copies);
        spans.add(&["failed"], tally.failed.load(Relaxed));
        page.family(&c::VIEWERS).add(&[], self.logs.viewers.count() as u64);
        let (shown, dropped) = self.logs.viewers.lines();
        let in_rings: u64 = of_cores(|core| &core.view_drops);
        let mut lines = page.family(&c::VIEWER_LINES);
        lines.add(&["shown"], shown);
        lines.add(&["dropped"], dropped + in_rings);
    }

    fn ofrep(&self, page: &mut Page) {
        let mut answers = page.family(&c::OFREP_ANSWERS);
        for (status, count) in self.ofrep_answers() {
            answers.add(&[&status.to_string()], count);
        }
        let mut frozen = page.family(&c::OFREP_FROZEN);
        for (result, count) in self.ofrep_frozen() {
            frozen.add(&[result], count);
        }
        page.family(&c::OFREP_STREAMS).add(&[], self.ofrep.streams() as u64);
        let mut refused = page.family(&c::ADMIN_REFUSED);
        for (reason, count) in self.admin_refused() {
            refused.add(&[reason], count);
        }
        page.family(&c::AUDIT_LOST).add(&[], self.audit_lost());
    }
}

/// When certificates expire; of several under one name, the first to do so.
fn certificates(page: &mut Page, state: &State) {
    let mut expiry: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for (listener, about) in state.tls.certificates() {
        let name = about.names.first().unwrap_or(&about.subject);
        let known = expiry.entry((listener, name)).or_insert(about.not_after);
        *known = about.not_after.min(*known);
    }
    if expiry.is_empty() {
        return;
    }
    let mut series = page.family(&c::CERTIFICATE_EXPIRY);
    for ((listener, name), until) in expiry {
        series.add(&[listener, name], until as f64);
    }
}

type OfCore = fn(&CoreCells) -> &Cell;
type OfVersion = fn(&VersionCells) -> &Cell;
type OfLatency = fn(&VersionCells) -> &Latency;

const TIMES_OF_CORES: [(&Family, OfCore); 2] =
    [(&c::CORE_BUSY, |core| &core.busy_nanos), (&c::CORE_WAIT, |core| &core.wait_nanos)];

/// What a limit turned away or ended, by which.
const REFUSALS: [(&str, OfCore); 6] = [
    ("rate", |core| &core.rate_refusals),
    ("per_client", |core| &core.client_refusals),
    ("overload_connection", |core| &core.strain_connections),
    ("overload_request", |core| &core.strain_requests),
    ("slow_upload", |core| &core.slow_uploads),
    ("slow_reader", |core| &core.slow_readers),
];

const COUNTS_OF_CORES: [(&Family, OfCore); 16] = [
    (&c::CORE_STALLS, |core| &core.stalls),
    (&c::CORE_BUFFERS, |core| &core.buffers),
    (&c::CONNECTIONS, |core| &core.connections),
    (&c::CONNECTIONS_TOTAL, |core| &core.accepted),
    (&c::CORE_REQUESTS, |core| &core.requests),
    (&c::REJECTS, |core| &core.rejects),
    (&c::UNROUTED, |core| &core.unrouted),
    (&c::QUEUED, |core| &core.queued),
    (&c::ACCEPT_FAILURES, |core| &core.accept_failures),
    (&c::ACCEPT_PAUSES, |core| &core.accept_pauses),
    (&c::HANDSHAKES_UNDER_WAY, |core| &core.handshakes_under_way),
    (&c::HANDSHAKES_REFUSED, |core| &core.handshakes_refused),
    (&c::ORIGIN_HANDSHAKES_FAILED, |core| &core.origin_handshakes_failed),
    (&c::RATES_FORGOTTEN, |core| &core.rates_forgotten),
    (&c::PANICS, |core| &core.panics),
    (&c::LOG_DROPS, |core| &core.log_drops),
];

/// What is told of each version as it is counted: a family, and a cell for each value of its last
/// label, or for none.
const COUNTS_OF_VERSIONS: [(&Family, &[(&str, OfVersion)]); 8] = [
    (
        &c::ASSIGNED,
        &[
            ("split", |version| &version.assigned),
            ("pin", |version| &version.pinned),
            ("fallback", |version| &version.fallback),
        ],
    ),
    (&c::DISPLACED, &[("", |version| &version.displaced)]),
    (&c::IN_FLIGHT, &[("", |version| &version.in_flight)]),
    (
        &c::ERRORS,
        &[
            ("connect", |version| &version.connect_failures),
            ("reset", |version| &version.resets),
            ("timeout", |version| &version.timeouts),
            ("truncated", |version| &version.truncated),
            ("protocol", |version| &version.protocol_failures),
        ],
    ),
    (&c::CLIENT_GONE, &[("", |version| &version.client_gone)]),
    (
        &c::RETRIES,
        &[("connect", |version| &version.retries[0]), ("reset", |version| &version.retries[1])],
    ),
    (&c::REQUEST_BYTES, &[("", |version| &version.request_bytes)]),
    (&c::RESPONSE_BYTES, &[("", |version| &version.response_bytes)]),
];

const CODES: [(&str, OfVersion); 6] = [
    ("1xx", |version| &version.classes[0]),
    ("2xx", |version| &version.classes[1]),
    ("3xx", |version| &version.classes[2]),
    ("4xx", |version| &version.classes[3]),
    ("5xx", |version| &version.classes[4]),
    ("none", |version| &version.unanswered),
];

const OUTCOMES: [(&str, OfLatency); 2] =
    [("ok", |version| &version.latency), ("error", |version| &version.failure_latency)];

/// A version of the configuration, and what is known of it.
struct Told<'a> {
    upstream: &'a str,
    version: &'a str,
    arm: &'static str,
    share: Share,
    entry: &'a VersionEntry,
    /// By address, and whether it may be used.
    endpoints: Vec<(String, &'a EndpointEntry, bool)>,
}

impl Told<'_> {
    /// The labels that every family of a version begins with.
    const fn labels(&self) -> [&str; 3] {
        [self.upstream, self.version, self.arm]
    }

    /// The same and one more.
    const fn labels_and<'l>(&'l self, last: &'l str) -> [&'l str; 4] {
        [self.upstream, self.version, self.arm, last]
    }

    fn cells(&self) -> impl Iterator<Item = &VersionCells> {
        self.entry.cells.iter().map(Arc::as_ref)
    }
}

fn versions(state: &State) -> Vec<Told<'_>> {
    let mut all = Vec::new();
    for (upstream, index) in state.config.upstreams.iter().zip(0..) {
        let split = state.splits.get(&upstream.name).cloned();
        let split = split.unwrap_or_else(|| SplitState::of(upstream));
        for (version, place) in upstream.versions.iter().zip(0..) {
            let key = VersionKey { upstream: upstream.name.clone(), version: version.name.clone() };
            let Some(entry) = state.registry.version(&key) else { continue };
            let share = split.shares.get(usize::from(place)).copied().unwrap_or_default();
            let arm = arm(&state.config, (UpstreamIx(index), VersionIx(place)), share, entry);
            let endpoints = endpoints_of(state, version, &key);
            let (upstream, version) = (&*upstream.name, &*version.name);
            all.push(Told { upstream, version, arm, share, entry, endpoints });
        }
    }
    all
}

/// What part a version plays. One that takes no share and never took one is there for a shadow, or
/// for those whom a route sends to it.
fn arm(
    config: &Config,
    (upstream, version): (UpstreamIx, VersionIx),
    share: Share,
    entry: &VersionEntry,
) -> &'static str {
    let of: &Upstream = &config.upstreams[usize::from(upstream.0)];
    if of.stable == version {
        return "stable";
    }
    let by_file = of.split.get(usize::from(version.0)).copied().unwrap_or_default();
    let is_split = share.max(by_file) > Share::NONE || entry.sum(|cells| &cells.assigned) > 0;
    let pins = |action: &Action| *action == Action::Forward(upstream, Some(version));
    if is_split {
        "canary"
    } else if config.shadows.iter().any(|shadow| shadow.to == (upstream, version)) {
        "shadow"
    } else if config.routes.iter().any(|route| pins(&route.action)) {
        "pinned"
    } else {
        "canary"
    }
}

fn endpoints_of<'a>(
    state: &'a State,
    version: &Version,
    key: &VersionKey,
) -> Vec<(String, &'a EndpointEntry, bool)> {
    let addresses = state.endpoints(version).into_iter();
    let known = addresses.filter_map(|(address, _)| {
        let key = EndpointKey { version: key.clone(), address };
        let entry = state.registry.endpoint(&key)?;
        Some((show(&key.address), entry, state.registry.is_available(&key)))
    });
    known.collect()
}

fn accept_queues(page: &mut Page, state: &State, cores: usize) {
    let mut queues = vec![0_u64; cores];
    for (_, core, queue, _) in saturation::queues(state) {
        if let Some(sum) = queues.get_mut(core) {
            *sum += u64::from(queue);
        }
    }
    let mut series = page.family(&c::CORE_QUEUE);
    for (core, queue) in queues.iter().enumerate() {
        series.add(&[&core.to_string()], *queue);
    }
}

fn of_versions(page: &mut Page, versions: &[Told<'_>], saturation: &Saturation) {
    let mut series = page.family(&c::SPLIT);
    for version in versions {
        series.add(&version.labels(), version.share.fraction());
    }
    let mut series = page.family(&c::VERSION_SATURATION);
    for version in versions {
        let is_it = |it: &&saturation::OfVersion| {
            it.upstream == version.upstream && it.version == version.version
        };
        if let Some(full) = saturation.versions.iter().find(is_it) {
            series.add(&version.labels_and("pool"), full.pool);
            series.add(&version.labels_and("queue"), full.queue);
        }
    }
    for (family, cells) in COUNTS_OF_VERSIONS {
        counts(page, family, cells, versions);
    }
    let mut series = page.family(&c::EJECTIONS);
    for version in versions {
        series.add(&version.labels_and("failures"), version.entry.ejected);
        series.add(&version.labels_and("checks"), version.entry.unhealthy);
    }
    let mut series = page.family(&c::UPSTREAM_CONNECTIONS);
    for version in versions {
        let sum = |cell: fn(&crate::cells::EndpointCells) -> &Cell| {
            version.endpoints.iter().map(|(_, entry, _)| entry.sum(cell)).sum::<u64>()
        };
        let (idle, open) = (sum(|cells| &cells.idle), sum(|cells| &cells.open));
        series.add(&version.labels_and("idle"), idle);
        series.add(&version.labels_and("in_use"), open.saturating_sub(idle));
    }
    let mut series = page.family(&c::WAITING);
    for version in versions {
        let waiting = version.endpoints.iter().map(|it| it.1.sum(|cells| &cells.waiting));
        series.add(&version.labels(), waiting.sum::<u64>());
    }
}

fn counts(
    page: &mut Page,
    family: &'static Family,
    cells: &[(&str, OfVersion)],
    versions: &[Told<'_>],
) {
    let mut series = page.family(family);
    for version in versions {
        for (last, cell) in cells {
            let count = version.entry.sum(cell);
            match *last {
                "" => series.add(&version.labels(), count),
                last => series.add(&version.labels_and(last), count),
            }
        }
    }
}

/// What is told of requests: how many by status, and how long they took.
fn durations(page: &mut Page, config: &Config, versions: &[Told<'_>]) {
    counts(page, &c::REQUESTS, &CODES, versions);
    let mut fold = Fold::new(&config.metrics.buckets);
    let mut series = page.family(&c::DURATION);
    for version in versions {
        for (outcome, latency) in OUTCOMES {
            let histogram = fold.of(version.cells().map(latency));
            series.add_histogram(&version.labels_and(outcome), &histogram);
        }
    }
}

fn shadows(page: &mut Page, state: &State) {
    let mut eligible = page.family(&c::SHADOW_ELIGIBLE);
    for (name, counts) in state.shadows.counts() {
        eligible.add(&[name], counts.taps.iter().map(|tap| tap.eligible.read()).sum::<u64>());
    }
    let mut requests = page.family(&c::SHADOW_REQUESTS);
    for (name, counts) in state.shadows.counts() {
        for (result, count) in results(counts) {
            requests.add(&[name, &result], count);
        }
    }
    let mut compared = page.family(&c::SHADOW_COMPARED);
    for (name, counts) in state.shadows.counts() {
        compared.add(&[name, "same"], counts.replay.same.read());
        compared.add(&[name, "different"], counts.replay.different.read());
    }
    let mut noisy = page.family(&c::SHADOW_NOISY);
    for (name, counts) in state.shadows.counts() {
        noisy.add(&[name], counts.replay.noisy.read());
    }
}

/// What became of copies.
fn results(counts: &Counts) -> Vec<(String, u64)> {
    let sum = |all: &[Count]| all.iter().map(Count::read).sum::<u64>();
    let mut results = vec![
        ("sent".to_owned(), counts.replay.sent.read()),
        ("failed".to_owned(), sum(&counts.replay.failed)),
        ("unpaired".to_owned(), sum(&counts.replay.unpaired)),
    ];
    results.extend(Dropped::ALL.map(|why| {
        let dropped = counts.taps.iter().map(|tap| tap.dropped[why as usize].read()).sum();
        (format!("dropped_{}", why.name()), dropped)
    }));
    results
}

fn endpoints(page: &mut Page, versions: &[Told<'_>]) {
    let mut up = page.family(&c::ENDPOINT_UP);
    for version in versions {
        for (address, _, available) in &version.endpoints {
            up.add(&version.labels_and(address), *available);
        }
    }
    let mut in_flight = page.family(&c::ENDPOINT_IN_FLIGHT);
    for version in versions {
        for (address, entry, _) in &version.endpoints {
            in_flight.add(&version.labels_and(address), entry.sum(|cells| &cells.in_flight));
        }
    }
}

/// Nanoseconds in seconds.
#[expect(
    clippy::cast_precision_loss,
    reason = "2^53 ns are a hundred days, and then a microsecond"
)]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

#[cfg(test)]
mod tests;
