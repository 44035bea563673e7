//! How long a proxy takes to start and to reload, and what its clients notice.

use std::{
    collections::BTreeSet,
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

use super::{Entrant, Stage, Started};
use crate::figure::{Figure, Row};

/// Rounds of: start, load at a fixed rate, reload meanwhile.
pub(super) fn run(stage: &mut Stage<'_>, entrants: &[Entrant<'_>]) -> Vec<Row> {
    let rate = {
        let all = entrants.iter().map(|entrant| stage.start(entrant));
        let mut all: Vec<_> = all.filter_map(Result::ok).collect();
        stage.rate(&mut all)
    };
    stage.rounds(entrants.iter().collect(), |stage, entrant, round| {
        let started = stage.start(entrant)?;
        measure(stage, &started, rate, round)
    })
}

fn measure(
    stage: &mut Stage<'_>,
    started: &Started<'_>,
    rate: Option<f64>,
    round: u32,
) -> Result<Row, String> {
    let name = &started.entrant.name;
    let fail = |error: std::io::Error| format!("{name}: {error}");
    let mut plan = stage.plan(started.entrant);
    plan.rate = rate;
    let mut load = stage.rig.begin(plan).map_err(fail)?;
    let mut run = |stage: &mut Stage<'_>, lasting: Duration| {
        stage.rig.run_until(&mut load, lasting, &mut || false).map_err(fail)
    };
    run(stage, stage.terms.warm_up)?;
    load.forget();
    let lasted =
        stage.rig.run_until(&mut load, stage.terms.lasting, &mut || false).map_err(fail)?;
    let mut row = Row::new(stage.scenario.name, name, round);
    row.set_load(&load.seen().summary(lasted.as_secs_f64()));
    row.set(Figure::StartMs, started.took.as_secs_f64() * 1e3);
    row.set(Figure::RssKib, started.running.usage().rss_kib as f64);
    if let Some(rate) = rate {
        row.set(Figure::Asked, rate);
    }
    let setting = stage.setting(started.entrant, &started.dir);
    started.entrant.peer.configure(stage.scenario, &setting, round)?;
    load.forget();
    let mut reload = Reload::call(started)?;
    let took = stage.rig.run_until(&mut load, RELOAD_TIMEOUT, &mut || reload.is_over());
    let took = took.map_err(fail)?;
    if !reload.is_over() {
        return Err(format!("{name} did not reload: {}", reload.said()));
    }
    stage.rig.end(&mut load).map_err(fail)?;
    let during = load.seen().summary(took.as_secs_f64());
    row.set(Figure::ReloadMs, took.as_secs_f64() * 1e3);
    row.set(Figure::ReloadP99Us, during.p99_us as f64);
    row.set(Figure::ReloadRequests, during.requests as f64);
    let lost = during.errors + during.other_status + during.unanswered;
    row.set(Figure::ReloadLost, lost as f64);
    Ok(row)
}

/// A reload under way.
enum Reload<'a> {
    /// gnomon answers when every core has the new state.
    Answer { socket: UnixStream, said: Vec<u8> },
    /// The others start new processes beside the old ones.
    Process { started: &'a Started<'a>, before: BTreeSet<u32> },
}

impl<'a> Reload<'a> {
    fn call(started: &'a Started<'a>) -> Result<Self, String> {
        if !started.entrant.peer.is_ours() {
            let before = started.running.processes().into_iter().collect();
            started.running.hang_up();
            return Ok(Self::Process { started, before });
        }
        let path = started.dir.join("admin.sock");
        let connected = UnixStream::connect(&path).and_then(|mut socket| {
            socket.write_all(
                b"POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\
                  Connection: close\r\n\r\n",
            )?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        let socket = connected.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self::Answer { socket, said: Vec::new() })
    }

    fn is_over(&mut self) -> bool {
        match self {
            Self::Answer { socket, said } => {
                let mut buffer = [0; 4096];
                match socket.read(&mut buffer) {
                    Ok(count) => said.extend_from_slice(&buffer[..count]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => return false,
                }
                said.starts_with(b"HTTP/1.1 200 ")
            }
            Self::Process { started, before } => {
                started.running.processes().iter().any(|pid| !before.contains(pid))
            }
        }
    }

    fn said(&self) -> String {
        match self {
            Self::Answer { said, .. } => String::from_utf8_lossy(said).into_owned(),
            Self::Process { .. } => "there is no new process".to_owned(),
        }
    }
}

const RELOAD_TIMEOUT: Duration = Duration::from_secs(10);
