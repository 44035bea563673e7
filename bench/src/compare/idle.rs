//! What a connection occupies that has asked once and is silent.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    rc::Rc,
    time::{Duration, Instant},
};

use super::{Stage, Started};
use crate::{
    figure::{Figure, Row},
    process,
};

/// One round: a little load, so that what is taken once is not charged to the connections; then
/// the connections, then silence.
pub(super) fn measure(
    stage: &mut Stage<'_>,
    started: &mut Started<'_>,
    round: u32,
) -> Result<Row, String> {
    let name = &started.entrant.name;
    let plan = stage.plan(started.entrant);
    let request = plan.requests.first().map(Rc::clone).ok_or("a plan without a request")?;
    let warmed = stage.rig.measure(plan, Duration::ZERO, WARM_UP, &mut || {});
    warmed.map_err(|error| format!("{name}: {error}"))?;
    serve(stage, SILENCE)?;
    let before = started.running.memory();
    let wanted = connections();
    let mut idle = Vec::with_capacity(wanted);
    while idle.len() < wanted {
        let some = BATCH.min(wanted - idle.len());
        idle.extend(connect(stage, started, &request, some)?);
    }
    serve(stage, SILENCE)?;
    let lost = idle.iter_mut().map(is_closed).filter(|closed| *closed).count();
    if let Some(why) = started.running.gone() {
        return Err(why);
    }
    let after = started.running.memory();
    let each = |now: u64, then: u64| (now as f64 - then as f64) * 1024.0 / wanted as f64;
    let mut row = Row::new(stage.scenario.name, name, round);
    row.set(Figure::Idle, (wanted - lost) as f64);
    row.set(Figure::Errors, lost as f64);
    row.set(Figure::RssKib, after.rss as f64);
    row.set(Figure::IdlePrivate, each(after.private, before.private));
    row.set(Figure::IdlePss, each(after.pss, before.pss));
    row.set(Figure::IdleRss, each(after.rss, before.rss));
    Ok(row)
}

/// Opens `count` connections, asks on each and reads the answers to their end.
fn connect(
    stage: &mut Stage<'_>,
    started: &Started<'_>,
    request: &[u8],
    count: usize,
) -> Result<Vec<TcpStream>, String> {
    let fail = |error: std::io::Error| format!("{}: {error}", started.entrant.name);
    let mut asked = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = TcpStream::connect(started.entrant.listen).map_err(fail)?;
        stream.write_all(request).map_err(fail)?;
        stream.set_nonblocking(true).map_err(fail)?;
        asked.push(stream);
    }
    let end = Instant::now() + ANSWER_TIMEOUT;
    let mut answered = Vec::with_capacity(count);
    while !asked.is_empty() {
        if Instant::now() >= end {
            return Err(format!("{} does not answer all of {count}", started.entrant.name));
        }
        serve(stage, Duration::from_millis(1))?;
        for mut stream in std::mem::take(&mut asked) {
            match stream.read(&mut [0; ANSWER_BYTES_MAX]) {
                Ok(0) => return Err(format!("{} closes at once", started.entrant.name)),
                Ok(_) => answered.push(stream),
                Err(error) if error.kind() == ErrorKind::WouldBlock => asked.push(stream),
                Err(error) => return Err(fail(error)),
            }
        }
    }
    Ok(answered)
}

fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; ANSWER_BYTES_MAX]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

fn serve(stage: &mut Stage<'_>, lasting: Duration) -> Result<(), String> {
    stage.rig.serve(lasting).map_err(|error| error.to_string())
}

/// 10,000, or what the limit on open files leaves: both ends of some are ours.
fn connections() -> usize {
    usize::try_from(process::open_files() / 2).unwrap_or(CONNECTIONS).min(CONNECTIONS)
}

const CONNECTIONS: usize = 10_000;
/// Less than any proxy's queue of connections.
const BATCH: usize = 100;
const WARM_UP: Duration = Duration::from_millis(500);
/// Longer than proxies keep a buffer for a silent client, shorter than they keep the client.
const SILENCE: Duration = Duration::from_secs(3);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The small answer is 150 bytes and a proxy's additions: it comes in one piece.
const ANSWER_BYTES_MAX: usize = 4096;
