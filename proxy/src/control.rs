//! The one thread that may block: signals, ticks, checks, look-ups and the admin API.
//!
//! A tokio runtime of one thread runs everything here; all state has one owner, `State`, which is
//! never held over an `.await`. What control decides reaches the cores by one road, the snapshot.

mod admin;
pub mod api;
mod audit;
mod client;
mod console;
pub mod ctl;
mod dial;
mod doors;
mod enduring;
mod findings;
pub(crate) mod flag_compare;
pub(crate) mod flags;
mod format;
pub(crate) mod gate;
mod golden;
mod happened;
mod health;
pub(crate) mod journal;
mod jwt;
mod keeper;
mod kpis;
pub(crate) mod listeners;
pub(crate) mod logs;
pub(crate) mod memory;
pub mod metrics;
pub(crate) mod ofrep;
#[cfg(feature = "otlp")]
mod otlp;
mod record;
pub(crate) mod registry;
pub(crate) mod reload;
pub(crate) mod resolve;
pub(crate) mod rollouts;
mod routes;
pub mod saturation;
pub(crate) mod series;
pub(crate) mod shadows;
mod signals;
mod splits;
pub(crate) mod state;
mod status;
pub(crate) mod stop;
pub mod strain;
pub(crate) mod tls;
mod told;
pub(crate) mod trials;
mod upgrade;
mod viewers;
mod watch;

use std::{
    net::SocketAddr,
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use gnomon_config::model::Name;
use gnomon_policy::rollout;
use tokio::time::MissedTickBehavior;

pub(crate) use doors::Doors;
pub use stop::{Report, Stop};
pub(crate) use upgrade::{Predecessor, Succession};

use self::{
    api::{Done, Refused, rollout::OrderAsked},
    gate::Gate,
    health::Checks,
    memory::Memory,
    rollouts::Rollouts,
    saturation::Saturation,
    series::Series,
    splits::Verb,
    state::State,
    strain::Overload,
    watch::Watch,
};
use crate::{
    boot::{Load, Shared, Signals},
    clock::{self, Moment},
    heritage::Tag,
    log::OwnLog,
    trial::Sighting,
};

/// The control thread's world.
pub(crate) struct Control {
    pub(crate) shared: Arc<Shared>,
    state: Mutex<State>,
    watch: Mutex<Watch>,
    checks: Mutex<Checks>,
    minute: Mutex<golden::Minute>,
    load: Load,
    /// Held while a reload is under way.
    reloading: tokio::sync::Mutex<()>,
    /// Held while the source of flags is looked at.
    looking: tokio::sync::Mutex<()>,
    stop: tokio::sync::watch::Sender<Stop>,
    pub(crate) logs: Arc<logs::Desk>,
    own_log: Option<OwnLog>,
    pub(crate) shadow: Arc<gnomon_shadow::run::Desk>,
    pub(crate) memory: Arc<Memory>,
    rollouts: Mutex<Rollouts>,
    /// What each core said about its driver.
    drivers: Vec<String>,
    started: Moment,
    /// The same since 1970.
    started_wall: Duration,
    metrics: metrics::Exposition,
    /// How full everything was at the last look.
    saturation: Mutex<Arc<Saturation>>,
    /// How hard the process was pressed at the last look.
    overload: Mutex<Arc<Overload>>,
    /// How everything goes, for consoles.
    pub(crate) series: Series,
    /// Of entries about endpoints.
    flood: happened::Flood,
    /// Where the admin API answers over TCP, if it does.
    pub(crate) admin_address: Option<SocketAddr>,
    /// Who was before this process, and who comes after it.
    pub(crate) succession: Succession,
    /// Answers applications that ask for flags.
    pub(crate) ofrep: Arc<ofrep::Desk>,
    /// What has happened lately.
    pub(crate) journal: journal::Journal,
    /// Who may come in.
    gate: Mutex<Arc<Gate>>,
    /// Writes down who did what.
    audit: Arc<audit::Desk>,
    /// Who was refused, by reason.
    refusals: admin::Refusals,
    hush: audit::Hush,
}

/// What control is made from.
pub(crate) struct Parts {
    pub(crate) shared: Arc<Shared>,
    pub(crate) state: State,
    pub(crate) load: Load,
    pub(crate) logs: Arc<logs::Desk>,
    pub(crate) own_log: Option<OwnLog>,
    pub(crate) shadow: Arc<gnomon_shadow::run::Desk>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) rollouts: Rollouts,
    pub(crate) drivers: Vec<String>,
    pub(crate) sightings: Vec<rtrb::Consumer<Sighting>>,
    pub(crate) admin_address: Option<SocketAddr>,
    pub(crate) succession: Succession,
    pub(crate) ofrep: Arc<ofrep::Desk>,
    pub(crate) gate: Gate,
}

impl Control {
    pub(crate) fn new(mut parts: Parts) -> Self {
        parts.state.trials.listen(parts.sightings);
        let mut minute = golden::Minute::new();
        minute.begin(&parts.state.routes);
        let audit = Arc::new(audit::Desk::new(&parts.state.config));
        Self {
            watch: Mutex::new(Watch::new(parts.shared.cores.len())),
            shared: parts.shared,
            state: Mutex::new(parts.state),
            checks: Mutex::default(),
            minute: Mutex::new(minute),
            load: parts.load,
            reloading: tokio::sync::Mutex::default(),
            looking: tokio::sync::Mutex::default(),
            stop: tokio::sync::watch::Sender::default(),
            logs: parts.logs,
            own_log: parts.own_log,
            shadow: parts.shadow,
            memory: parts.memory,
            rollouts: Mutex::new(parts.rollouts),
            drivers: parts.drivers,
            started: clock::now(),
            started_wall: clock::wall(),
            metrics: metrics::Exposition::default(),
            saturation: Mutex::default(),
            overload: Mutex::default(),
            series: Series::default(),
            flood: happened::Flood::default(),
            admin_address: parts.admin_address,
            succession: parts.succession,
            ofrep: parts.ofrep,
            journal: journal::Journal::default(),
            gate: Mutex::new(Arc::new(parts.gate)),
            audit,
            refusals: admin::Refusals::default(),
            hush: audit::Hush::default(),
        }
    }

    /// Runs until a stop was asked for and has come to its end.
    pub(crate) async fn run(self: Arc<Self>, signals: Signals, doors: Doors) -> Report {
        self.audit.begin();
        self.serve_socket(doors.socket);
        if let Some(tcp) = doors.tcp {
            self.serve_tcp(tcp);
        }
        let metrics = self.state().config.metrics.listen;
        if let Some((wanted, listener)) = metrics.zip(doors.metrics) {
            self.serve_metrics(wanted, listener);
        }
        self.follow_checks();
        self.endure("tick", Self::tick_for_ever);
        self.endure("saturation", Self::follow_saturation);
        self.endure("strain", Self::follow_strain);
        self.begin_series();
        self.endure("series", Self::beat_for_ever);
        self.endure("names", Self::resolve_for_ever);
        self.endure("rollouts", Self::roll_for_ever);
        self.endure("comparisons", Self::compare_for_ever);
        self.endure("tls", Self::keep_tls_for_ever);
        self.endure("records", Self::keep_for_ever);
        self.endure("counts", Self::count_for_ever);
        self.endure("flags", Self::follow_flags_for_ever);
        self.endure("changes of flags", Self::keep_flags_for_ever);
        let hooks = self.rollouts().hooks.clone();
        enduring::keep("hooks", move || hooks.clone().deliver_for_ever());
        #[cfg(feature = "otlp")]
        self.endure("spans", Self::send_spans_for_ever);
        self.endure("watchdog", Self::feed_for_ever);
        self.tell_ready();
        self.start_happened();
        match signals {
            Signals::Handled => self.listen_to_signals(),
            Signals::Ignored => {}
        }
        // Reading what earlier shadows have learnt keeps nobody else waiting, a stop neither.
        let control = self.clone();
        tokio::spawn(async move { control.follow_shadows().await });
        let mut stop = self.stop.subscribe();
        // The sender lives in `self`: this ends only once a stop was asked for.
        let _ = stop.wait_for(|stop| *stop > Stop::No).await;
        let report = self.stop().await;
        self.end_rollouts().await;
        self.end_flags().await;
        #[cfg(feature = "otlp")]
        self.flush_spans().await;
        self.audit.clone().end().await;
        self.leave();
        report
    }

    fn endure<F>(self: &Arc<Self>, name: &'static str, task: fn(Arc<Self>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let control = self.clone();
        enduring::keep(name, move || task(control.clone()));
    }

    /// All that snapshots are made from. Never to be held over an `.await`.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn minute(&self) -> MutexGuard<'_, golden::Minute> {
        self.minute.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes an upstream's split and waits until every core goes by it.
    pub(crate) async fn act(
        self: &Arc<Self>,
        name: &str,
        verb: &Verb,
        peer: &str,
    ) -> Result<Done, Refused> {
        if let Some(rollout) = self.rollout_in_the_way(name, verb)? {
            let asked = OrderAsked { reason: "rollback".to_owned(), ..OrderAsked::default() };
            return self.order_rollout(&rollout, rollout::Verb::Abort, &asked, peer).await;
        }
        let (changes, generation) = {
            let mut state = self.state();
            let changes = state.act(name, verb)?;
            if changes.is_empty() {
                let generation = state.generation;
                return Ok(Done { ok: true, generation, ..Done::default() });
            }
            (changes, state.publish(&self.shared.publisher))
        };
        self.split_happened(name, &changes, peer);
        let (acknowledged_ms, cores_missing) = self.acknowledged(generation).await;
        let warnings = Vec::new();
        Ok(Done { ok: true, changes, warnings, generation, acknowledged_ms, cores_missing })
    }

    /// Opens log files anew, after they were rotated away.
    pub(crate) fn reopen_logs(&self) -> Result<Done, Refused> {
        self.logs.reopen();
        self.audit.reopen();
        if let Some(own_log) = &self.own_log {
            own_log.reopen().map_err(|error| reload::unwritable("log.to", &error))?;
        }
        tracing::info!("logs are opened anew");
        let generation = self.state().generation;
        let changes = vec!["logs are opened anew".to_owned()];
        Ok(Done { ok: true, changes, generation, ..Done::default() })
    }

    /// The configuration in use, a setting a line, secrets redacted.
    pub(crate) fn effective(&self) -> String {
        let config = self.state().config.clone();
        let settings = gnomon_config::effective::effective(&config);
        settings.iter().map(|it| format!("{} = {}\n", it.path, it.value)).collect()
    }

    /// Addresses of the TCP listeners, as bound.
    pub(crate) fn addresses(&self) -> Vec<(Name, SocketAddr)> {
        let state = self.state();
        let bound = state.listeners.iter();
        bound.filter_map(|bound| Some((bound.config.name.clone(), bound.local?))).collect()
    }

    /// Makes everything beside the snapshot follow the configuration; what could not.
    fn follow_config(self: &Arc<Self>) -> Vec<Refused> {
        let config = self.state().config.clone();
        self.logs.set(&config);
        self.audit.follow(&config);
        self.follow_checks();
        let log = self.own_log.as_ref().map_or(Ok(()), |own_log| {
            own_log.follow(&config.log).map_err(|error| reload::unwritable("log.to", &error))
        });
        [log, self.follow_metrics(config.metrics.listen)]
            .into_iter()
            .filter_map(Result::err)
            .collect()
    }

    fn serve_socket(self: &Arc<Self>, socket: UnixListener) {
        let double = socket.try_clone().ok().map(OwnedFd::from);
        match tokio::net::UnixListener::from_std(socket) {
            Ok(listener) => {
                let service = admin::router(self.clone());
                let service = service.into_make_service_with_connect_info::<admin::Peer>();
                let serving = axum::serve(doors::Bounded::new(listener), service);
                let task = tokio::spawn(serving.into_future());
                self.succession.note_door(Tag::Admin, double, task.abort_handle());
            }
            Err(error) => tracing::error!(%error, "the admin socket cannot be served"),
        }
    }

    fn serve_tcp(self: &Arc<Self>, listener: std::net::TcpListener) {
        let double = listener.try_clone().ok().map(OwnedFd::from);
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => {
                let router = admin::router(self.clone());
                let task = tokio::spawn(admin::accept(self.clone(), listener, router));
                self.succession.note_door(Tag::AdminTcp, double, task.abort_handle());
            }
            Err(error) => tracing::error!(%error, "`admin.listen` cannot be served"),
        }
    }

    /// Who may come in now.
    pub(crate) fn gate(&self) -> Arc<Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Others may from now on.
    fn set_gate(&self, gate: Gate) {
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(gate);
    }

    async fn tick_for_ever(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.tick();
        }
    }

    async fn count_for_ever(self: Arc<Self>) {
        let mut parts = tokio::time::interval(golden::PART);
        parts.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick comes at once.
        parts.tick().await;
        loop {
            parts.tick().await;
            self.follow_golden();
        }
    }

    async fn resolve_for_ever(self: Arc<Self>) {
        loop {
            let missing = self.state().is_name_missing();
            tokio::time::sleep(if missing { resolve::RETRY } else { resolve::REFRESH }).await;
            let config = self.state().config.clone();
            let answers = resolve::look_up(resolve::targets(&config)).await;
            self.take_answers(answers);
        }
    }

    fn take_answers(self: &Arc<Self>, answers: resolve::Answers) {
        let changed = {
            let mut state = self.state();
            // A reload may have come in between.
            let wanted = resolve::targets(&state.config);
            let mut answers = answers;
            answers.retain(|target, _| wanted.contains(target));
            let changed = state.take_answers(answers);
            if changed {
                state.publish(&self.shared.publisher);
            }
            changed
        };
        if changed {
            self.follow_checks();
        }
    }

    /// Leaves nothing behind in the file system.
    fn leave(&self) {
        if self.succession.heir().is_some() {
            // All of it is another process's now.
            return;
        }
        let _ = std::fs::remove_file(self.socket());
    }

    /// The admin socket's path.
    pub(crate) fn socket(&self) -> PathBuf {
        self.state().config.admin.socket.clone()
    }
}

/// Between two looks at ejections and hearts: an endpoint that fails takes requests for no longer.
const TICK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
