//! File to configuration to change list to snapshot; or problems, and nothing has changed.

use std::{sync::Arc, time::Duration};

use gnomon_config::{
    Config,
    change::{self, Change, Effect},
    model::{AccessFormat, Admin},
};

use super::{
    Control,
    api::{Diff, Done, Kind, Refused, ReloadStatus},
    audit,
    gate::Gate,
    logs,
    resolve::{self, Answers},
};
use crate::{
    boot::Load,
    clock,
    tls::check::{self, Overdue},
};

impl Control {
    /// What a reload would change. Changes nothing.
    pub(crate) async fn diff(&self) -> Result<Diff, Refused> {
        let old = self.state().config.clone();
        let new = read(&self.load, &old).await?.config;
        let drift = self.state().flags.drift();
        Ok(Diff { drift, ..difference(&old, &new) })
    }

    /// Takes the configuration over anew, if it may be believed.
    pub(crate) async fn reload(self: &Arc<Self>) -> Result<Done, Refused> {
        self.reload_by("auto").await
    }

    /// The same, because somebody wants it.
    pub(crate) async fn reload_by(self: &Arc<Self>, by: &str) -> Result<Done, Refused> {
        // One after the other: the later reads the file later.
        let _turn = self.reloading.lock().await;
        self.succession.supervisor.reloading();
        let result = self.reload_once().await;
        if !self.is_stopping() {
            self.tell_ready();
        }
        let (ok, detail) = match &result {
            Ok(done) => (true, done.changes.clone()),
            Err(refused) => (false, vec![refused.to_string()]),
        };
        let time_seconds = clock::wall().as_secs_f64();
        self.state().note_reload(ReloadStatus { ok, time_seconds, detail });
        self.reload_happened(&result, by);
        match &result {
            Ok(done) if done.changes.is_empty() => {
                tracing::info!("reload: nothing has changed");
            }
            Ok(done) => {
                let (changes, generation) = (done.changes.join("; "), done.generation);
                tracing::info!(changes, generation, "reload: taken over");
            }
            Err(refused) => {
                tracing::error!(error = %refused, "reload: refused; the old configuration stays");
            }
        }
        result
    }

    async fn reload_once(self: &Arc<Self>) -> Result<Done, Refused> {
        if self.is_stopping() {
            return Err(Refused::new(Kind::State, "the proxy is stopping"));
        }
        if let Some(refused) = self.succession.in_the_way() {
            return Err(refused);
        }
        let old = self.state().config.clone();
        let loaded = read(&self.load, &old).await?;
        let Diff { changes, restart, .. } = difference(&old, &loaded.config);
        let mut warnings: Vec<String> = loaded.warnings.iter().map(|w| w.message.clone()).collect();
        warnings.extend(restart);
        if changes.is_empty() {
            return Ok(self.reload_flags(changes, warnings).await);
        }
        let config = keep_fixed(&old, loaded.config);
        let flags = self.read_flags(&old, &config).await?;
        check_sinks(&config)?;
        let gate = Gate::make(&config.admin)?;
        let answers = self.resolve_new(&old, &config).await?;
        let saved = self.read_rollouts(&config).await;
        // Closed again if anything is refused from here on.
        let doors = self.ofrep.bind(&config)?;
        let generation = {
            let mut rollouts = self.rollouts();
            rollouts.check(&old, &config)?;
            let mut state = self.state();
            warnings.extend(state.take_config(config, answers, flags)?);
            let config = state.config.clone();
            let now = clock::wall().as_secs();
            warnings.extend(rollouts.take_config(&config, saved, now));
            rollouts.restore(&mut state);
            state.publish(&self.shared.publisher)
        };
        self.set_gate(gate);
        self.follow_ofrep(doors);
        warnings.extend(self.follow_config().iter().map(Refused::to_string));
        self.follow_shadows().await;
        if self.state().config.flags.source == old.flags.source {
            return Ok(self.reload_flags(changes, warnings).await);
        }
        let (acknowledged_ms, cores_missing) = self.acknowledged(generation).await;
        Ok(Done { ok: true, changes, warnings, generation, acknowledged_ms, cores_missing })
    }

    /// Looks at the source of flags as well, which may have changed where the configuration has not.
    async fn reload_flags(&self, mut changes: Vec<String>, mut warnings: Vec<String>) -> Done {
        let (lines, faults) = self.look_at_flag_source().await;
        changes.extend(lines);
        warnings.extend(faults.into_iter().map(|fault| format!("`flags.source`: {fault}")));
        let generation = self.state().generation;
        let (acknowledged_ms, cores_missing) = if changes.is_empty() {
            Default::default()
        } else {
            self.acknowledged(generation).await
        };
        Done { ok: true, changes, warnings, generation, acknowledged_ms, cores_missing }
    }

    /// Looks up the names without an address; those that are new must resolve. One that the old
    /// configuration had and nobody knew yet is no reason to refuse the rest.
    async fn resolve_new(&self, old: &Config, config: &Config) -> Result<Answers, Refused> {
        let mut names = resolve::targets(config);
        names.retain(|name| !self.state().resolved.contains_key(name));
        let answers = resolve::look_up(names).await;
        let had = resolve::targets(old);
        for (target, answer) in answers.iter().filter(|(target, _)| !had.contains(target)) {
            let (name, port) = target;
            if let Err(error) = answer {
                let error = format!("`{name}:{port}` cannot be resolved: {error}");
                return Err(Refused::new(Kind::Config, error)
                    .help("a name that is new must resolve; the old configuration stays"));
            }
        }
        Ok(answers)
    }

    /// Waits until every core uses `generation`: for how many milliseconds, and which do not.
    pub(crate) async fn acknowledged(&self, generation: u64) -> (f64, Vec<usize>) {
        let begun = clock::now();
        loop {
            let cores = self.shared.cores.iter().enumerate();
            let missing: Vec<usize> = cores
                .filter(|(_, core)| core.generation.read() < generation && core.stopped.read() == 0)
                .map(|(index, _)| index)
                .collect();
            let waited = begun.elapsed();
            if missing.is_empty() || waited >= PATIENCE {
                if !missing.is_empty() {
                    tracing::warn!(?missing, generation, "cores have not taken a change over");
                }
                return (waited.as_secs_f64() * 1000.0, missing);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Reads and checks the file and its certificates, aside: ten thousand routes take a tenth of a
/// second, in which control has others to answer and the cores have clients.
async fn read(load: &Load, old: &Arc<Config>) -> Result<gnomon_config::Loaded, Refused> {
    let (load, old) = (Arc::clone(load), old.clone());
    let now = clock::wall().as_secs();
    let read = move || check::checked(load(), now, Overdue::IfServed(&old));
    let read = tokio::task::spawn_blocking(read).await.map_err(|error| {
        Refused::new(Kind::Machine, format!("reading the configuration failed: {error}"))
            .help("this is a bug; the old configuration stays")
    })?;
    read.map_err(|problems| {
        Refused::new(Kind::Config, problems.render(false))
            .help("`gnomon check` shows the same; the old configuration stays")
    })
}

pub(crate) fn unwritable(key: &str, error: &std::io::Error) -> Refused {
    Refused::new(Kind::Machine, format!("`{key}` cannot be written: {error}"))
        .help("the folder must exist and belong to the proxy's user")
}

/// Whether both logs could be written.
pub(crate) fn check_sinks(config: &Config) -> Result<(), Refused> {
    let log = logs::open(&config.log.to).map_err(|error| unwritable("log.to", &error));
    drop(log?);
    if config.access_log.format != AccessFormat::Off {
        let log = logs::open(&config.access_log.to);
        drop(log.map_err(|error| unwritable("access_log.to", &error))?);
    }
    #[cfg(not(feature = "otlp"))]
    if config.trace.otlp.is_some() {
        let error = "`trace.otlp`: this gnomon was built without the feature `otlp`";
        return Err(Refused::new(Kind::Config, error)
            .help("take the table out, or build it with the feature"));
    }
    audit::check(&config.admin)
}

/// The new configuration with the old values of what only a restart changes.
fn keep_fixed(old: &Config, new: Config) -> Config {
    Config {
        runtime: old.runtime.clone(),
        state: old.state.clone(),
        admin: Admin {
            socket: old.admin.socket.clone(),
            mode: old.admin.mode,
            group: old.admin.group.clone(),
            listen: old.admin.listen,
            ..new.admin
        },
        ..new
    }
}

/// What `new` would change.
fn difference(old: &Config, new: &Config) -> Diff {
    let (hot, restart): (Vec<Change>, Vec<Change>) =
        change::diff(old, new).into_iter().partition(|change| change.effect == Effect::Hot);
    let lines = |changes: &[Change]| changes.iter().map(Change::to_string).collect();
    Diff { changes: lines(&hot), restart: lines(&restart), ..Diff::default() }
}

/// How long a core may take; it looks at every request and every 50 ms.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks at the cores' cells.
const LOOK: Duration = Duration::from_millis(1);
