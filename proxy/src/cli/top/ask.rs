//! Asking the proxy: once an interval, on a thread of its own.

use std::{collections::BTreeMap, path::Path, time::Duration};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    pane::Pane,
    picture::{Look, News},
};
use crate::{
    cli::live::named,
    control::{
        api::{
            Done, Kind, Page,
            series::{Entry, Role, Whoami},
        },
        ctl,
    },
};

/// What is looked at, and so asked for beside what every pane needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) records: bool,
    pub(super) findings: bool,
    pub(super) journal: bool,
}

impl Wish {
    /// Everything.
    pub(super) const ALL: Self = Self { records: true, findings: true, journal: true };

    pub(super) const fn of(pane: Pane) -> Self {
        match pane {
            Pane::Rollouts => Self { records: true, findings: false, journal: false },
            Pane::Shadows => Self { records: false, findings: true, journal: false },
            // Where there is no journal, the records tell some of it.
            Pane::Events => Self { records: true, findings: false, journal: true },
            Pane::Overview | Pane::Upstreams | Pane::Endpoints | Pane::Cores => {
                Self { records: false, findings: false, journal: false }
            }
        }
    }
}

/// Asks until nobody listens. A wish that comes in between is fulfilled at once.
pub(super) fn ask(
    socket: &Path,
    interval: Duration,
    first: Wish,
    wishes: &Receiver<Wish>,
    tell: &Sender<News>,
) {
    let (mut wish, mut turn) = (first, 1);
    loop {
        match wishes.recv_timeout(interval) {
            Ok(wanted) => wish = wishes.try_iter().last().unwrap_or(wanted),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let news = match look(socket, wish, turn) {
            Ok(look) => {
                turn += 1;
                News::Look(Box::new(look))
            }
            Err(failure) => {
                // Whoever comes back may know us by another role.
                turn = 0;
                News::Silent(failure.to_string())
            }
        };
        if tell.send(news).is_err() {
            return;
        }
    }
}

/// One look. What changes rarely is asked for every tenth time.
///
/// # Errors
/// The proxy does not answer, or not what is understood.
pub(super) fn look(socket: &Path, wish: Wish, turn: u64) -> Result<Look, ctl::Failure> {
    let rarely = turn.is_multiple_of(RARELY);
    let mut look = Look {
        who: if rarely { Some(whoami(socket)?) } else { None },
        status: Some(Box::new(ctl::read(socket, "/v1/status")?)),
        golden: ctl::read(socket, "/v1/golden")?,
        rollouts: ctl::read(socket, "/v1/rollouts")?,
        shadows: ctl::read(socket, "/v1/shadows")?,
        ..Look::default()
    };
    if wish.records {
        let names = look.rollouts.rollouts.iter().map(|rollout| rollout.name.as_str());
        let names: Vec<&str> = names.collect();
        let page = |it: Page<_>| it.items;
        let records = each(socket, &names, |name| format!("/v1/rollouts/{name}/history?limit=20"))?;
        look.records = Some(records.into_iter().map(|(name, it)| (name, page(it))).collect());
        look.forecasts = Some(each(socket, &names, |name| format!("/v1/rollouts/{name}/plan"))?);
    }
    if wish.findings {
        let names: Vec<&str> = look.shadows.iter().map(|shadow| shadow.name.as_str()).collect();
        let path = |name: &str| format!("/v1/shadows/{name}/findings?limit=200");
        look.findings = Some(each(socket, &names, path)?);
    }
    if wish.journal {
        let page: Option<Page<Entry>> = optional(socket, "/v1/journal?offset=0&limit=200")?;
        look.journal = page.map(|page| page.items);
    }
    Ok(look)
}

/// Looks between two questions that are asked rarely.
const RARELY: u64 = 10;

/// Who we are to the proxy. One that does not know roles lets whoever opens its socket do everything.
fn whoami(socket: &Path) -> Result<Whoami, ctl::Failure> {
    let unknown = || Whoami { role: Role::Admin, ..Whoami::default() };
    Ok(optional(socket, "/v1/whoami")?.unwrap_or_else(unknown))
}

/// The same of each, as many as a screen could show.
fn each<A: DeserializeOwned>(
    socket: &Path,
    names: &[&str],
    path: impl Fn(&str) -> String,
) -> Result<BTreeMap<String, A>, ctl::Failure> {
    let mut all = BTreeMap::new();
    for name in names.iter().take(EACH_MAX) {
        if named(name, "thing").is_ok()
            && let Some(answer) = optional(socket, &path(name))?
        {
            all.insert((*name).to_owned(), answer);
        }
    }
    Ok(all)
}

/// Rollouts and shadows that are asked about one by one.
const EACH_MAX: usize = 16;

/// What may not exist: of an older proxy, or since a moment ago.
pub(super) fn optional<A: DeserializeOwned>(
    socket: &Path,
    path: &str,
) -> Result<Option<A>, ctl::Failure> {
    match ctl::read(socket, path) {
        Ok(answer) => Ok(Some(answer)),
        Err(ctl::Failure::Refused(refused)) if refused.kind == Kind::Unknown => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Has something done; what it did, in a line.
///
/// # Errors
/// Why it was not done, in a line.
pub(super) fn act(socket: &Path, path: &str, body: &Value) -> Result<String, String> {
    let done: Done =
        ctl::act(socket, path, body).map_err(|failure| failure.to_string().replace('\n', " ·"))?;
    if !done.cores_missing.is_empty() {
        return Err(format!("cores {:?} have not taken it over", done.cores_missing));
    }
    let mut said = done.changes;
    said.extend(done.warnings);
    if said.is_empty() { Ok("nothing has changed".to_owned()) } else { Ok(said.join(" · ")) }
}
