//! `gnomon status`: how the running proxy is doing, on one screen.

mod certificates;

use std::time::Duration;

use super::{Console, FAILED, Failure, Paint, arguments::StatusArguments, live::Door};
use crate::control::{
    api::{Arm, CoreStatus, Status, StoreStatus, UpstreamStatus, VersionStatus, flag::Short},
    saturation::Component,
};

/// Shows it once, again and again, or whether it is ready.
pub(super) fn status(door: &Door, arguments: &StatusArguments) -> Result<(), Failure> {
    if arguments.ready {
        return ready(door);
    }
    show(door, door.console)?;
    if !arguments.watch {
        return Ok(());
    }
    for _ in crossbeam_channel::tick(Duration::from_secs(1)) {
        if door.console.is_terminal() && !door.json {
            // Home, and clear: whatever was there, and however its lines wrapped.
            door.console.data("\x1b[H\x1b[2J")?;
        }
        show(door, door.console)?;
    }
    Ok(())
}

fn show(door: &Door, console: Console) -> Result<(), Failure> {
    let status: Status = door.read("/v1/status")?;
    if door.json { console.json(&status) } else { console.data(render(&status, console.paint())) }
}

/// Whether it is ready, in the exit code.
fn ready(door: &Door) -> Result<(), Failure> {
    let (code, text) = door.text("/readyz?verbose")?;
    let is_ready = code == 200;
    if door.json {
        door.console.json(&serde_json::json!({ "ready": is_ready }))?;
    } else {
        door.console.data(text)?;
    }
    if is_ready { Ok(()) } else { Err(Failure::silent(FAILED)) }
}

/// The whole status, for eyes.
pub(super) fn render(status: &Status, paint: Paint) -> String {
    let mut text = head(status, paint);
    for upstream in &status.upstreams {
        text.push('\n');
        text.push_str(&of_upstream(upstream, paint));
    }
    text
}

fn head(status: &Status, paint: Paint) -> String {
    let phase = format!("{:?}", status.phase).to_lowercase();
    let state = match (status.ready, status.live) {
        (true, true) => paint.green("● ready"),
        (_, false) => paint.red("▼ stuck"),
        (false, true) => paint.yellow("▲ not ready"),
    };
    let up = span(Duration::from_secs_f64(status.uptime_seconds.max(0.0)));
    let before = match status.succession.before {
        Some(pid) => format!(", {pid} finishes"),
        None => String::new(),
    };
    let mut text = format!(
        "{} {}   {state}   {phase}   up {up}   pid {} (process {}{before})\n",
        paint.bold("gnomon"),
        status.version,
        status.pid,
        status.succession.number + 1
    );
    let path = status.config.path.as_deref().unwrap_or("(none)");
    let hash = status.config.hash.get(..8).unwrap_or(&status.config.hash);
    text.push_str(&format!("config   {path}   {hash}   generation {}\n", status.generation));
    if let Some(reload) = &status.config.last_reload {
        let when = crate::clock::wall().as_secs_f64() - reload.time_seconds;
        let ago = span(Duration::from_secs_f64(when.max(0.0)));
        let outcome = if reload.ok {
            format!("taken over ({} changes)", reload.detail.len())
        } else {
            let why = reload.detail.first().and_then(|why| why.lines().next()).unwrap_or_default();
            paint.red(&format!("refused: {why}; the old configuration stays"))
        };
        text.push_str(&format!("reload   {ago} ago, {outcome}\n"));
    }
    let now = i64::try_from(crate::clock::wall().as_secs()).unwrap_or(i64::MAX);
    let listeners = status.listeners.iter().map(|it| format!("{} {}", it.name, it.address));
    text.push_str(&format!("listen   {}\n", listeners.collect::<Vec<_>>().join(" · ")));
    text.push_str(&certificates::shown(&status.listeners, now, paint));
    text.push_str(&of_cores(&status.cores, paint));
    if let Some(hottest) = status.saturation.hottest() {
        text.push_str(&format!("hottest  {}\n", of_hottest(hottest, paint)));
    }
    if status.overload.number > 0 {
        let said = format!("▼ {}", status.overload.words());
        text.push_str(&format!("pressed  {}\n", paint.red(&said)));
    }
    let log = status.access_log;
    if log.drops + log.failures > 0 {
        let said = format!("{} lines dropped, {} writes failed", log.drops, log.failures);
        text.push_str(&format!("log      {}\n", paint.yellow(&said)));
    }
    if let Some(said) = of_store(&status.shadow.store) {
        text.push_str(&format!("shadow   {}\n", paint.yellow(&said)));
    }
    if let Some(said) = of_flags(&status.flags, paint) {
        text.push_str(&format!("flags    {said}\n"));
    }
    text
}

/// How flags are, if there are any.
fn of_flags(flags: &Short, paint: Paint) -> Option<String> {
    let wrong = flags.source.as_ref().filter(|source| !source.ok);
    if flags.flags == 0 && wrong.is_none() {
        return None;
    }
    let mut said = format!("{}", flags.flags);
    if flags.changed > 0 {
        let changed = format!("{} changed beside the file", flags.changed);
        said = format!("{said} · {}", paint.yellow(&changed));
    }
    if let Some(source) = wrong {
        let fault = source.faults.first().map_or("it was not read yet", String::as_str);
        let fault = fault.lines().next().unwrap_or_default();
        said = format!("{said} · {}", paint.red(&format!("▼ {}: {fault}", source.what)));
    }
    if let Some(trouble) = &flags.trouble {
        said = format!("{said} · {}", paint.red(&format!("▼ not written: {trouble}")));
    }
    Some(said)
}

/// The fullest of all that can be full.
fn of_hottest(hottest: &Component, paint: Paint) -> String {
    let what = match hottest.name.as_str() {
        "core" => hottest.which.clone(),
        name => format!("{} ({})", name.replace('_', " "), hottest.which),
    };
    let said = format!("{what} {:.0} %", hottest.ratio * 100.0);
    match hottest.ratio {
        ratio if ratio > 0.95 => paint.red(&format!("▼ {said}")),
        ratio if ratio > 0.8 => paint.yellow(&format!("▲ {said}")),
        _ => said,
    }
}

/// What is wrong with the store of the shadows, if anything is.
fn of_store(store: &StoreStatus) -> Option<String> {
    let why = || store.last_error.as_ref().map_or("for no known reason", |error| &error.what);
    match store.keeps {
        Some(false) => Some(format!("what is learnt ends with the process: {}", why())),
        Some(true) if store.trouble => {
            Some(format!("what is learnt cannot be written now: {}", why()))
        }
        Some(true) | None => None,
    }
}

fn of_cores(cores: &[CoreStatus], paint: Paint) -> String {
    let sum = |cell: fn(&CoreStatus) -> u64| cores.iter().map(cell).sum::<u64>();
    let mut text = format!(
        "cores    {} · {}\ntraffic  {} connections · {} requests · {} refused · {} without \
         route · {} retries\n",
        cores.len(),
        drivers(cores),
        sum(|core| core.connections),
        sum(|core| core.requests),
        sum(|core| core.rejects),
        sum(|core| core.unrouted),
        sum(|core| core.retries),
    );
    for core in cores.iter().filter(|core| core.stuck) {
        text.push_str(&format!(
            "         {}\n",
            paint.red(&format!("▼ core {} stands still", core.core))
        ));
    }
    let panics = sum(|core| core.panics);
    if panics > 0 {
        let said = format!("▼ {panics} panics; please report this as a bug");
        text.push_str(&format!("         {}\n", paint.red(&said)));
    }
    text
}

/// How the cores ask the kernel for IO; each way once.
pub(crate) fn drivers(cores: &[CoreStatus]) -> String {
    let without_place = |core: &CoreStatus| {
        let driver = core.driver.as_str();
        driver.split(", pinned").next().unwrap_or(driver).to_owned()
    };
    let mut drivers: Vec<String> = cores.iter().map(without_place).collect();
    drivers.sort();
    drivers.dedup();
    drivers.join(", ")
}

fn of_upstream(upstream: &UpstreamStatus, paint: Paint) -> String {
    let mut marks = Vec::new();
    if upstream.frozen {
        marks.push(paint.blue("frozen"));
    }
    if upstream.overridden {
        let by_file: Vec<String> = upstream
            .versions
            .iter()
            .map(|version| format!("{} {}", version.name, percent(version.configured_share)))
            .collect();
        marks.push(paint.yellow(&format!("not as in the file ({})", by_file.join(", "))));
    }
    let mut text =
        format!("{} {}   {}\n", paint.bold("upstream"), upstream.name, marks.join(" · "));
    let title = format!(
        "  {:<20}{:>7}  {:>10}{:>9}{:>8}{:>8}{:>10}{:>10}{:>7}  endpoints",
        "version", "share", "requests", "5xx", "4xx", "broken", "p50", "p99", "now"
    );
    text.push_str(&format!("{}\n", paint.dim(title.trim_end())));
    for version in &upstream.versions {
        text.push_str(&of_version(version, paint));
    }
    text
}

fn of_version(version: &VersionStatus, paint: Paint) -> String {
    let arm = match version.arm {
        Arm::Stable => "stable",
        Arm::Canary => "canary",
    };
    let requests = version.assigned + version.pinned + version.fallback;
    // Those that were answered for the origin are among the 5xx, too; those cut short are not.
    let failures = version.failures;
    let broken = failures.connect + failures.reset + failures.timeout + failures.protocol;
    let up = version.endpoints.iter().filter(|endpoint| endpoint.available).count();
    let mut line = format!(
        "  {:<20}{:>7}  {:>10}{:>8.2}%{:>8}{:>8}{:>10}{:>10}{:>7}  {up}/{}",
        format!("{} {arm}", version.name),
        percent(version.share),
        requests,
        ratio(version.classes[4], requests) * 100.0,
        version.classes[3],
        broken,
        shown(version.latency.p50_seconds),
        shown(version.latency.p99_seconds),
        version.in_flight,
        version.endpoints.len(),
    );
    if version.draining {
        line.push_str(&paint.blue("  draining: nobody new"));
    }
    if !version.available {
        line.push_str(&paint.red("  ▼ no endpoint"));
    }
    line.push('\n');
    if version.displaced > 0 {
        let said = format!(
            "    ▲ {} requests went to another version: no endpoint answered",
            version.displaced
        );
        line.push_str(&paint.yellow(&said));
        line.push('\n');
    }
    if version.fallback > 0 {
        let said =
            format!("    ▲ {} of the requests were meant for another version", version.fallback);
        line.push_str(&paint.yellow(&said));
        line.push('\n');
    }
    for endpoint in version.endpoints.iter().filter(|endpoint| !endpoint.available) {
        let why = endpoint.out.as_deref().unwrap_or("out");
        line.push_str(&paint.yellow(&format!("    ▲ {} {why}", endpoint.address)));
        line.push('\n');
    }
    line
}

/// A quantile as one reads it aloud.
pub(crate) fn shown(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(s) if s < 0.000_999_5 => format!("{:.0} µs", s * 1e6),
        Some(s) if s < 0.009_995 => format!("{:.2} ms", s * 1e3),
        Some(s) if s < 0.099_95 => format!("{:.1} ms", s * 1e3),
        Some(s) if s < 0.999_5 => format!("{:.0} ms", s * 1e3),
        Some(s) => format!("{s:.2} s"),
    }
}

/// A share as one would write it.
pub(crate) fn percent(share: f64) -> String {
    let text = format!("{share:.3}");
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A part of a whole; counts are far below what an `f64` holds exactly.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A stretch of time by its two largest units.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, ..) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        for (seconds, text) in [
            (0.000_04, "40 µs"),
            (0.004_12, "4.12 ms"),
            (0.014_1, "14.1 ms"),
            (0.25, "250 ms"),
            (2.5, "2.50 s"),
        ] {
            assert_eq!(shown(Some(seconds)), text);
        }
        assert_eq!(
            (percent(10.0), percent(0.125), percent(0.0)),
            ("10%".into(), "0.125%".into(), "0%".into())
        );
        assert_eq!(span(Duration::from_secs(59)), "59s");
        assert_eq!(span(Duration::from_secs(3 * 3600 + 61)), "3h 1m");
        assert_eq!(span(Duration::from_secs(12 * 86_400 + 3600)), "12d 1h");
    }
}
