//! What the demo shows: an introduction, a table every second, a verdict.

use std::{net::SocketAddr, path::Path, time::Duration};

use serde_json::json;

use super::{
    super::{CANARY, HOST_NAME, STABLE, ledger::Ledger, origins::CHANGED, pane::Pane},
    verdict::Verdict,
};
use crate::{
    cli::{Console, DemoArguments, Failure, Paint, drivers, percent, ratio, shown},
    control::api::{Done, Status, VersionStatus},
};

/// Both accounts at one moment.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) elapsed: Duration,
    /// Stable, then canary.
    pub(super) rows: [Row; 2],
    /// Users that have changed their version as they should, and as they should not.
    pub(super) moved: u64,
    pub(super) flipped: u64,
    /// Requests that the proxy failed, as the users saw it.
    pub(super) failed: u64,
    /// Panics of the proxy. What it refuses or has no route for may be somebody's try with curl.
    pub(super) panics: u64,
}

/// One version.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) name: String,
    /// Percent, by the proxy.
    pub(super) share: f64,
    /// By the users: how many of them are here.
    pub(super) users: u64,
    /// By the proxy, since the start: replies, and those of status 500 and above.
    pub(super) requests: u64,
    pub(super) errors: u64,
    /// By the proxy, since the last look.
    pub(super) rate: f64,
    /// By the proxy, in seconds, since the start.
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
    /// By the users.
    pub(super) seen: u64,
    pub(super) seen_p50: Option<f64>,
    pub(super) seen_p99: Option<f64>,
}

impl View {
    /// `before` was read an `interval` earlier.
    pub(super) fn new(
        status: &Status,
        before: Option<&Status>,
        interval: Duration,
        elapsed: Duration,
        ledger: &Ledger,
    ) -> Self {
        let on = ledger.on();
        let rows = [STABLE, CANARY].map(|version| {
            let Some(now) = of(status, version) else { return Row::default() };
            let was = before.and_then(|status| of(status, version)).map_or(0, replies);
            let seen = &ledger.seen[version];
            Row {
                name: now.name.clone(),
                share: now.share,
                users: on[version],
                requests: replies(now),
                errors: now.classes[4],
                rate: per_second(replies(now) - was, interval),
                p50: now.latency.p50_seconds,
                p99: now.latency.p99_seconds,
                seen: seen.requests,
                seen_p50: seen.quantile(0.5),
                seen_p99: seen.quantile(0.99),
            }
        });
        Self {
            elapsed,
            rows,
            moved: ledger.moved,
            flipped: ledger.flipped,
            failed: ledger.failed,
            panics: status.cores.iter().map(|core| core.panics).sum(),
        }
    }

    pub(super) fn users(&self) -> u64 {
        self.rows.iter().map(|row| row.users).sum()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "version": row.name,
                    "share_configured": row.share,
                    "share_seen": ratio(row.users, self.users()) * 100.0,
                    "users": row.users,
                    "requests": row.requests,
                    "errors": row.errors,
                    "requests_per_second": row.rate,
                    "p50_seconds": row.p50,
                    "p99_seconds": row.p99,
                    "seen_requests": row.seen,
                    "seen_p50_seconds": row.seen_p50,
                    "seen_p99_seconds": row.seen_p99,
                })
            })
            .collect();
        json!({
            "elapsed_seconds": self.elapsed.as_secs_f64(),
            "versions": rows,
            "users_moved": self.moved,
            "users_flipped": self.flipped,
            "failed_by_proxy": self.failed,
        })
    }

    /// The table; fits 80 columns, as lines that wrap could not be drawn over.
    fn text(&self, paint: Paint) -> String {
        let rate: f64 = self.rows.iter().map(|row| row.rate).sum();
        let mut text = format!(
            "{}   {rate:.0} requests/s   {} users\n",
            paint.bold(&format!("{:>4} s", self.elapsed.as_secs())),
            self.users(),
        );
        let title = format!(
            "  {:<9} {:>6} {:>5} {:>6} {:<10} {:>6} {:>7} {:>8} {:>8}",
            "version", "share", "users", "seen", "", "req/s", "errors", "p50", "p99"
        );
        text.push_str(&format!("{}\n", paint.dim(&title)));
        for (row, arm) in self.rows.iter().zip(["stable", "canary"]) {
            let seen = ratio(row.users, self.users());
            let errors = ratio(row.errors, row.requests) * 100.0;
            let errors = format!("{errors:>6.2}%");
            let bar =
                if arm == "canary" { paint.blue(&bar(seen)) } else { paint.green(&bar(seen)) };
            text.push_str(&format!(
                "  {:<9} {:>6} {:>5} {:>5.1}% {bar} {:>6.0} {} {:>8} {:>8}\n",
                format!("{} {arm}", row.name),
                percent(row.share),
                row.users,
                seen * 100.0,
                row.rate,
                if row.errors > 0 { paint.yellow(&errors) } else { errors },
                shown(row.p50),
                shown(row.p99),
            ));
        }
        let zero = |count: u64| {
            if count == 0 { paint.green("0") } else { paint.red(&count.to_string()) }
        };
        text.push_str(&format!(
            "  moved on with the weight {} · flipped {} · failed by the proxy {}\n",
            self.moved,
            zero(self.flipped),
            zero(self.failed),
        ));
        text
    }
}

/// Where it is shown.
pub(super) struct Screen(Pane);

impl Screen {
    pub(super) fn new(console: Console, json: bool) -> Self {
        Self(Pane::new(console, json))
    }

    pub(super) fn tell_console(&self, web: Option<&str>) -> Result<(), Failure> {
        self.0.tell_console(web)
    }

    /// What there is to be seen, and how to touch it.
    pub(super) fn begin(
        &self,
        config: &str,
        arguments: &DemoArguments,
        address: SocketAddr,
        socket: &Path,
        status: &Status,
    ) -> Result<(), Failure> {
        if self.0.json {
            return Ok(());
        }
        let paint = self.0.console.paint();
        let config: String = config.lines().map(|line| format!("  {line}\n")).collect();
        let [v1, v2] = CHANGED;
        let cores = status.cores.len();
        let driver = drivers(&status.cores);
        self.0.console.data(format_args!(
            "{}: a canary and a shadow on this machine alone, with two origins, a proxy and {} users\n\n{}\n\
             v1 works {}–{} ms on a request; v2 {}–{} ms, and {} of its replies are 500.\n\
             proxy {address} · {cores} core{} · {driver}\n{}\n\n",
            paint.bold("gnomon demo --split"),
            arguments.users,
            paint.blue(&config),
            v1.page.least.as_millis(),
            v1.page.most.as_millis(),
            v2.page.least.as_millis(),
            v2.page.most.as_millis(),
            percent(v2.page.errors * 100.0),
            if cores == 1 { "" } else { "s" },
            paint.dim(&format!(
                "look from elsewhere: curl -i -H 'host: {HOST_NAME}' {address}\n\
                 \x20                    gnomon status --socket {}",
                socket.display()
            )),
        ))
    }

    pub(super) fn draw(&self, view: &View) -> Result<(), Failure> {
        if self.0.json {
            return self.0.console.line(view.json());
        }
        self.0.draw(&view.text(self.0.console.paint()))
    }

    /// Says that the weight has changed; the table goes on below.
    pub(super) fn tell_change(&self, was: f64, now: f64, done: &Done) -> Result<(), Failure> {
        if self.0.json {
            return self.0.console.line(json!({
                "event": "weight",
                "version": "v2",
                "from": was,
                "to": now,
                "changes": done.changes,
                "generation": done.generation,
                "acknowledged_ms": done.acknowledged_ms,
            }));
        }
        let said = format!(
            "▲ gnomon weight shop v2={now}: {} → {}, on every core after {:.1} ms; some of v1's \
             users move on to v2, nobody moves back",
            percent(was),
            percent(now),
            done.acknowledged_ms
        );
        self.0.tell(&self.0.console.paint().bold(&said))
    }

    pub(super) fn end(&self, verdict: &Verdict) -> Result<(), Failure> {
        if self.0.json {
            return self.0.console.line(verdict.json());
        }
        self.0.console.data(verdict.text(self.0.console.paint()))?;
        self.0.console.hint("write the lines above into gnomon.toml with your own addresses, then");
        self.0.console.hint("gnomon check gnomon.toml && gnomon run -c gnomon.toml");
        Ok(())
    }
}

fn of(status: &Status, version: usize) -> Option<&VersionStatus> {
    status.upstreams.first()?.versions.get(version)
}

fn replies(version: &VersionStatus) -> u64 {
    version.classes.iter().sum()
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn per_second(count: u64, interval: Duration) -> f64 {
    count as f64 / interval.as_secs_f64().max(0.001)
}

/// Ten places, filled by a share.
fn bar(share: f64) -> String {
    let filled = (1..=10).filter(|place| f64::from(*place) - 0.5 <= share * 10.0).count();
    format!("{}{}", "█".repeat(filled), "░".repeat(10 - filled))
}
