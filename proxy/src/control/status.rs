//! What is known, written down for `GET /v1/status`, `/livez` and `/readyz`.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use gnomon_config::model::{Upstream, Version};
use gnomon_policy::{SplitState, golden};

use super::{
    Control,
    api::{
        self, Arm, CertificateStatus, Check, ConfigStatus, CoreStatus, EndpointStatus, Failures,
        ListenerStatus, LogStatus, Quantiles, ShadowStatus, Stage, Status, UpstreamStatus,
        VersionStatus,
    },
    listeners::Bound,
    registry::{EndpointKey, VersionEntry, VersionKey, show},
    splits,
    state::State,
};
use crate::{
    cells::{Latency, VersionCells},
    clock,
    snapshot::Phase,
    tls::material::About,
};

impl Control {
    /// The shadows there are.
    pub(crate) fn shadows(&self) -> Vec<api::Shadow> {
        let state = self.state();
        state.shadows.list(&state.config)
    }

    /// Everything.
    pub(crate) fn status(&self) -> Status {
        let live = self.liveness().iter().all(|check| check.ok);
        let ready = self.readiness().iter().all(|check| check.ok);
        let phase = self.stage();
        let cores = self.core_statuses();
        let now = clock::now().duration_since(self.started);
        let state = self.state();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            succession: api::Succession {
                number: self.succession.number,
                before: self.succession.before(),
                heir: self.succession.heir(),
            },
            uptime_seconds: now.as_secs_f64(),
            phase,
            ready,
            live,
            generation: state.generation,
            config: ConfigStatus {
                path: state.config.files.first().map(|path| path.display().to_string()),
                hash: hash(&state.config),
                last_reload: state.last_reload.clone(),
            },
            listeners: listeners(&state),
            access_log: LogStatus {
                lines: self.log_lines(),
                drops: cores.iter().map(|core| core.log_drops).sum(),
                failures: self.log_failures(),
            },
            audit: self.audit.status(),
            shadow: ShadowStatus {
                taken: self.shadow.taken.load(Relaxed),
                restarts: self.shadow.restarts.load(Relaxed),
                recording: state.shadows.recording.is_some(),
                store: self.memory.report(),
            },
            saturation: (*self.saturation()).clone(),
            overload: (*self.overload()).clone(),
            flags: state.flags.in_short(),
            cores,
            upstreams: state.config.upstreams.iter().map(|u| upstream(&state, u, now)).collect(),
        }
    }

    /// What `/livez` looks at.
    pub(crate) fn liveness(&self) -> Vec<Check> {
        let watch = self.watch();
        let cores = 0..self.shared.cores.len();
        cores
            .map(|core| {
                let ok = !watch.is_stuck(core);
                let detail = if ok { "moves" } else { "stands still" };
                Check { name: format!("core {core}"), ok, detail: detail.to_owned() }
            })
            .collect()
    }

    /// What `/readyz` looks at.
    pub(crate) fn readiness(&self) -> Vec<Check> {
        let check =
            |name: &str, ok: bool, detail: String| Check { name: name.to_owned(), ok, detail };
        let (generation, listeners) = {
            let state = self.state();
            (state.generation, state.listeners.len())
        };
        let ready = self.shared.cores.iter().filter(|core| core.ready.read() == 1).count();
        let cores = self.shared.cores.len();
        let stage = format!("{:?}", self.stage()).to_lowercase();
        let overload = self.overload();
        vec![
            check("config", true, format!("generation {generation}")),
            check("listeners", true, format!("{listeners} bound")),
            check("cores", ready == cores, format!("{ready} of {cores} accept")),
            check("phase", !self.is_stopping(), stage),
            check("overload", overload.number == 0, overload.words()),
        ]
    }

    fn stage(&self) -> Stage {
        match self.state().phase {
            Phase::Serving if self.is_stopping() => Stage::Leaving,
            Phase::Serving => Stage::Serving,
            Phase::Leaving => Stage::Leaving,
            Phase::Draining => Stage::Draining,
            Phase::Closing => Stage::Closing,
        }
    }

    fn core_statuses(&self) -> Vec<CoreStatus> {
        let watch = self.watch();
        let cores = self.shared.cores.iter().enumerate();
        cores
            .map(|(core, cells)| CoreStatus {
                core,
                driver: self.drivers.get(core).cloned().unwrap_or_default(),
                stuck: watch.is_stuck(core),
                ready: cells.ready.read() == 1,
                stopped: cells.stopped.read() == 1,
                heartbeat: cells.heartbeat.read(),
                generation: cells.generation.read(),
                connections: cells.connections.read(),
                accepted: cells.accepted.read(),
                accept_failures: cells.accept_failures.read(),
                accept_pauses: cells.accept_pauses.read(),
                client_refusals: cells.client_refusals.read(),
                strain_connections: cells.strain_connections.read(),
                strain_requests: cells.strain_requests.read(),
                rate_refusals: cells.rate_refusals.read(),
                rates_forgotten: cells.rates_forgotten.read(),
                slow_uploads: cells.slow_uploads.read(),
                slow_readers: cells.slow_readers.read(),
                requests: cells.requests.read(),
                rejects: cells.rejects.read(),
                unrouted: cells.unrouted.read(),
                panics: cells.panics.read(),
                retries: cells.retries.read(),
                dials: cells.dials.read(),
                origin_connections: cells.origin_connections.read(),
                queued: cells.queued.read(),
                log_drops: cells.log_drops.read(),
                buffers: cells.buffers.read(),
            })
            .collect()
    }
}

/// The same for two hosts that believe the same, whatever their files are called.
pub(crate) fn hash(config: &gnomon_config::Config) -> String {
    let mut believed = config.clone();
    believed.files.clear();
    // FNV-1a: stable over versions of Rust, and nobody gains by a collision.
    let hash = format!("{believed:?}").bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016x}")
}

fn listeners(state: &State) -> Vec<ListenerStatus> {
    let certificate = |about: &About| CertificateStatus {
        subject: about.subject.clone(),
        issuer: about.issuer.clone(),
        names: about.names.clone(),
        not_after: about.not_after,
    };
    let status = |bound: &Bound| ListenerStatus {
        name: bound.config.name.to_string(),
        address: bound.address(),
        certificates: {
            let all = state.tls.certificates();
            let own = all.filter(|(listener, _)| **listener == bound.config.name);
            own.map(|(_, about)| certificate(about)).collect()
        },
    };
    state.listeners.iter().map(status).collect()
}

fn upstream(state: &State, upstream: &Upstream, now: Duration) -> UpstreamStatus {
    let split = state.splits.get(&upstream.name).cloned();
    let split = split.unwrap_or_else(|| SplitState::of(upstream));
    let versions = upstream.versions.iter().enumerate();
    UpstreamStatus {
        name: upstream.name.to_string(),
        frozen: split.frozen,
        overridden: splits::is_overridden(upstream, &split),
        versions: versions
            .map(|(index, v)| version(state, upstream, v, index, &split, now))
            .collect(),
    }
}

fn version(
    state: &State,
    upstream: &Upstream,
    version: &Version,
    index: usize,
    split: &SplitState,
    now: Duration,
) -> VersionStatus {
    let key = VersionKey { upstream: upstream.name.clone(), version: version.name.clone() };
    let entry = state.registry.version(&key);
    let sum =
        |cell: fn(&VersionCells) -> &crate::cells::Cell| entry.map_or(0, |entry| entry.sum(cell));
    let endpoints = endpoints(state, &key, version, now);
    let stable = usize::from(upstream.stable.0) == index;
    let percent = |shares: &[gnomon_config::model::Share]| {
        shares.get(index).map_or(0.0, |share| share.percent())
    };
    VersionStatus {
        name: version.name.to_string(),
        arm: if stable { Arm::Stable } else { Arm::Canary },
        share: percent(&split.shares),
        configured_share: percent(&upstream.split),
        draining: split.draining.get(index).copied().unwrap_or_default(),
        available: endpoints.iter().any(|endpoint| endpoint.available),
        assigned: sum(|cells| &cells.assigned),
        pinned: sum(|cells| &cells.pinned),
        fallback: sum(|cells| &cells.fallback),
        displaced: sum(|cells| &cells.displaced),
        in_flight: sum(|cells| &cells.in_flight),
        classes: [0, 1, 2, 3, 4]
            .map(|class| entry.map_or(0, |entry| entry.sum(|cells| &cells.classes[class]))),
        failures: Failures {
            connect: sum(|cells| &cells.connect_failures),
            reset: sum(|cells| &cells.resets),
            timeout: sum(|cells| &cells.timeouts),
            truncated: sum(|cells| &cells.truncated),
            protocol: sum(|cells| &cells.protocol_failures),
        },
        client_gone: sum(|cells| &cells.client_gone),
        request_bytes: sum(|cells| &cells.request_bytes),
        response_bytes: sum(|cells| &cells.response_bytes),
        latency: quantiles(entry, |cells| &cells.latency),
        failure_latency: quantiles(entry, |cells| &cells.failure_latency),
        endpoints,
    }
}

fn endpoints(
    state: &State,
    version_key: &VersionKey,
    version: &Version,
    now: Duration,
) -> Vec<EndpointStatus> {
    let addresses = state.endpoints(version).into_iter();
    addresses
        .filter_map(|(address, _)| {
            let key = EndpointKey { version: version_key.clone(), address };
            let entry = state.registry.endpoint(&key)?;
            Some(EndpointStatus {
                address: show(&key.address),
                available: state.registry.is_available(&key),
                out: entry.out(now),
                requests: entry.sum(|cells| &cells.requests),
                in_flight: entry.sum(|cells| &cells.in_flight),
                idle: entry.sum(|cells| &cells.idle),
            })
        })
        .collect()
}

/// Quantiles of a latency over all cores.
pub(crate) fn quantiles(
    entry: Option<&VersionEntry>,
    latency: impl Fn(&VersionCells) -> &Latency,
) -> Quantiles {
    let mut sums = vec![0; golden::CELLS];
    for cells in entry.iter().flat_map(|entry| &entry.cells) {
        latency(cells).add_to(&mut sums);
    }
    let quantile =
        |q: f64| golden::quantile(&sums, q).map(|nanos| Duration::from_nanos(nanos).as_secs_f64());
    Quantiles {
        count: sums.iter().sum(),
        p50_seconds: quantile(0.5),
        p90_seconds: quantile(0.9),
        p99_seconds: quantile(0.99),
        max_seconds: quantile(1.0),
    }
}
