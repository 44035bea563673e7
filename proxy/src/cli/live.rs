//! What is asked of a running proxy, through its admin socket.

use std::path::{Path, PathBuf};

use gnomon_config::effective::effective;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::{BAD_CONFIG, Console, FAILED, Failure, arguments::CONFIG, source};
use crate::{
    control::{
        api::{Diff, Done, Named, Weights},
        ctl,
    },
    environment,
};

/// The way to a running proxy.
pub(super) struct Door {
    /// As said on the command line.
    pub(super) socket: Option<PathBuf>,
    pub(super) json: bool,
    pub(super) console: Console,
}

impl Door {
    /// What was said, else `GNOMON_SOCKET`, else what the usual configuration says, else the usual.
    pub(super) fn socket(&self) -> PathBuf {
        let said = self
            .socket
            .clone()
            .or_else(|| environment::variable("GNOMON_SOCKET").map(PathBuf::from));
        said.unwrap_or_else(|| {
            let usual = source::load(Path::new(CONFIG), &[]);
            usual.map_or_else(|_| SOCKET.into(), |loaded| loaded.config.admin.socket)
        })
    }

    pub(super) fn read<A: DeserializeOwned>(&self, path: &str) -> Result<A, Failure> {
        let socket = self.socket();
        ctl::read(&socket, path).map_err(|failure| Failure::call(failure, &socket))
    }

    /// A reply's status and body, whatever they are.
    pub(super) fn text(&self, path: &str) -> Result<(u16, String), Failure> {
        let socket = self.socket();
        let (status, body) = ctl::call(&socket, "GET", path, b"")
            .map_err(|failure| Failure::call(failure, &socket))?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    pub(super) fn act(&self, path: &str, body: &impl Serialize) -> Result<Done, Failure> {
        self.ask(path, body)
    }

    /// Asks for an answer that is more than what was done.
    pub(super) fn ask<A: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<A, Failure> {
        let socket = self.socket();
        ctl::act(&socket, path, body).map_err(|failure| Failure::call(failure, &socket))
    }

    /// Tells what an action did, and what may come next.
    pub(super) fn tell(&self, done: &Done, next: &str) -> Result<(), Failure> {
        let console = self.console;
        for warning in &done.warnings {
            console.warn(warning);
        }
        if self.json {
            console.json(done)?;
        } else if done.changes.is_empty() {
            console.line("nothing has changed")?;
        } else {
            for change in &done.changes {
                console.line(change)?;
            }
            if done.generation > 0 && done.acknowledged_ms > 0.0 {
                let Done { generation, acknowledged_ms, .. } = done;
                console.say(format_args!(
                    "  every core goes by it (generation {generation}, {acknowledged_ms:.1} ms)"
                ));
            }
        }
        if !done.cores_missing.is_empty() {
            let missing = &done.cores_missing;
            return Err(Failure::new(FAILED, format!("cores {missing:?} have not taken it over"))
                .help("they may be stuck; see `gnomon status`"));
        }
        if !self.json {
            console.hint(next);
        }
        Ok(())
    }

    pub(super) fn reload(&self) -> Result<(), Failure> {
        let done = self.act("/v1/reload", &json!({}))?;
        self.tell(&done, "gnomon status")
    }

    pub(super) fn upgrade(&self) -> Result<(), Failure> {
        let done = self.act("/v1/upgrade", &json!({}))?;
        self.tell(&done, "gnomon status")
    }

    pub(super) fn stop(&self) -> Result<(), Failure> {
        let done = self.act("/v1/stop", &json!({}))?;
        self.tell(&done, "gnomon stop once more, to stop at once")
    }

    pub(super) fn reopen_logs(&self) -> Result<(), Failure> {
        let done = self.act("/v1/logs/reopen", &json!({}))?;
        self.tell(&done, "gnomon status")
    }

    pub(super) fn weight(&self, name: &str, weights: &[(String, f64)]) -> Result<(), Failure> {
        let body: Weights = weights.iter().cloned().collect();
        if body.len() < weights.len() {
            return Err(Failure::usage("a version is named twice"));
        }
        let done = self.act(&of_upstream(name, "weight")?, &body)?;
        let next = format!("gnomon status --watch, or back: gnomon rollback {name}");
        self.tell(&done, &next)
    }

    pub(super) fn drain(&self, (name, version): &(String, String)) -> Result<(), Failure> {
        let body = Named { version: version.clone() };
        let done = self.act(&of_upstream(name, "drain")?, &body)?;
        self.tell(&done, &format!("gnomon status --watch, or back: gnomon resume {name}"))
    }

    /// A verb that needs no more words.
    pub(super) fn verb(&self, name: &str, verb: &str) -> Result<(), Failure> {
        let done = self.act(&of_upstream(name, verb)?, &json!({}))?;
        let next = match verb {
            "freeze" => format!("gnomon resume {name}, to let it change again"),
            "rollback" => format!("gnomon status; then gnomon weight {name} VERSION=PERCENT"),
            _ => "gnomon status".to_owned(),
        };
        self.tell(&done, &next)
    }

    /// What a reload would change; an error without words if anything.
    pub(super) fn diff(&self, file: Option<&Path>) -> Result<(), Failure> {
        let diff = match file {
            None => self.read("/v1/diff")?,
            Some(file) => self.diff_with(file)?,
        };
        let Diff { changes, restart, drift } = &diff;
        let is_same = changes.is_empty() && restart.is_empty();
        if self.json {
            self.console.json(&diff)?;
        } else {
            for line in changes.iter().chain(restart) {
                self.console.line(line)?;
            }
            for line in drift {
                self.console.say(format_args!("changed while running, and stays so: {line}"));
            }
            self.console.hint(if is_same { "nothing: they are the same" } else { "gnomon reload" });
        }
        if is_same { Ok(()) } else { Err(Failure::silent(FAILED)) }
    }

    /// Setting by setting, as the running proxy tells only its settings.
    fn diff_with(&self, file: &Path) -> Result<Diff, Failure> {
        let loaded = source::load_any(file, &[])?
            .map_err(|problems| Failure::problems(&problems, self.console.message_colour()))?;
        let (status, running) = self.text("/v1/config")?;
        if status != 200 {
            return Err(Failure::new(BAD_CONFIG, format!("/v1/config: status {status}")));
        }
        let wanted: Vec<String> = effective(&loaded.config)
            .iter()
            .map(|setting| format!("{} = {}", setting.path, setting.value))
            .collect();
        let is_in = |lines: &[String], line: &str| lines.iter().any(|known| known == line);
        let running: Vec<String> = running.lines().map(str::to_owned).collect();
        let gone = running.iter().filter(|line| !is_in(&wanted, line));
        let come = wanted.iter().filter(|line| !is_in(&running, line));
        let mut changes: Vec<String> = gone.map(|line| format!("- {line}")).collect();
        changes.extend(come.map(|line| format!("+ {line}")));
        // A setting's two lines side by side.
        changes.sort_by(|a, b| key(a).cmp(key(b)).then(b.cmp(a)));
        Ok(Diff { changes, ..Diff::default() })
    }
}

fn key(line: &str) -> &str {
    line[2..].split(" = ").next().unwrap_or_default()
}

/// The path of a verb of an upstream, whose name goes into a URL.
fn of_upstream(name: &str, verb: &str) -> Result<String, Failure> {
    Ok(format!("/v1/upstreams/{}/{verb}", named(name, "upstream")?))
}

/// A name that goes into a URL.
pub(super) fn named<'n>(name: &'n str, of: &str) -> Result<&'n str, Failure> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err(Failure::usage(format!("`{name}` cannot be the name of an {of}"))
            .help("letters, digits, `_` and `-`; see `gnomon status`"));
    }
    Ok(name)
}

/// Where the admin socket is unless somebody says otherwise.
const SOCKET: &str = "/run/gnomon/admin.sock";
