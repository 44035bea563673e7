//! What is measured: a row of figures for each proxy, scenario and round.

use crate::load::Summary;

/// A figure, in the order of the columns of `raw.csv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// How long was measured.
    Seconds,
    /// Answers.
    Requests,
    /// Answers that were not 2xx.
    OtherStatus,
    /// Requests lost with their connection, and connections refused.
    Errors,
    /// Requests without an answer at the end.
    Unanswered,
    /// Requests a second that an open load asked for.
    Asked,
    /// Answers a second.
    Rate,
    /// Time on a core of the proxy's processes for each request.
    CpuUs,
    /// Median latency.
    P50Us,
    /// Nine in ten were no slower.
    P90Us,
    /// 99 in 100 were no slower.
    P99Us,
    /// 999 in 1000 were no slower.
    P999Us,
    /// The slowest.
    MaxUs,
    /// Memory resident at the end.
    RssKib,
    /// How busy the proxy was, as a share of one core.
    Busy,
    /// How busy load and origin were: near 1 they are the bottleneck.
    LoadBusy,
    /// Time others took on the proxy's core: more than a little and the row is suspect.
    Others,
    /// Idle connections held.
    Idle,
    /// Memory of its own that the proxy took for each of them.
    IdlePrivate,
    /// The same, shared pages counted by share.
    IdlePss,
    /// The same, shared pages counted whole.
    IdleRss,
    /// From the start of the process to its first answer.
    StartMs,
    /// From the call for a reload to its end.
    ReloadMs,
    /// 99 in 100 of the requests during the reload were no slower.
    ReloadP99Us,
    /// Requests during the reload.
    ReloadRequests,
    /// Of these, lost or answered with anything but 2xx.
    ReloadLost,
    /// Share of the requests whose copy the shadow's origin has answered.
    Delivered,
    /// Share of the requests whose copy was compared, by gnomon's own account.
    Compared,
    /// Share of the requests that were not copied for want of room, by gnomon's own account.
    Dropped,
}

/// How a figure is written: in the file, as the head of a column, and in which scale and digits.
struct Style {
    name: &'static str,
    title: &'static str,
    scale: f64,
    digits: usize,
}

const fn style(name: &'static str, title: &'static str, scale: f64, digits: usize) -> Style {
    Style { name, title, scale, digits }
}

const STYLES: [Style; 29] = [
    style("seconds", "seconds", 1.0, 3),
    style("requests", "requests", 1.0, 0),
    style("other_status", "not 2xx", 1.0, 0),
    style("errors", "errors", 1.0, 0),
    style("unanswered", "unanswered", 1.0, 0),
    style("asked", "asked req/s", 1.0, 0),
    style("rate", "req/s", 1.0, 0),
    style("cpu_us", "CPU us/req", 1.0, 2),
    style("p50_us", "p50 us", 1.0, 0),
    style("p90_us", "p90 us", 1.0, 0),
    style("p99_us", "p99 us", 1.0, 0),
    style("p999_us", "p99.9 us", 1.0, 0),
    style("max_us", "max us", 1.0, 0),
    style("rss_kib", "RSS MiB", 1.0 / 1024.0, 1),
    style("busy", "busy %", 100.0, 0),
    style("load_busy", "load busy %", 100.0, 0),
    style("others", "others %", 100.0, 0),
    style("idle", "idle connections", 1.0, 0),
    style("idle_private", "private bytes/connection", 1.0, 0),
    style("idle_pss", "PSS bytes/connection", 1.0, 0),
    style("idle_rss", "RSS bytes/connection", 1.0, 0),
    style("start_ms", "start ms", 1.0, 1),
    style("reload_ms", "reload ms", 1.0, 1),
    style("reload_p99_us", "p99 us meanwhile", 1.0, 0),
    style("reload_requests", "requests meanwhile", 1.0, 0),
    style("reload_lost", "lost meanwhile", 1.0, 0),
    style("delivered", "delivered %", 100.0, 1),
    style("compared", "compared %", 100.0, 1),
    style("dropped", "dropped %", 100.0, 1),
];

impl Figure {
    /// All of them.
    pub const ALL: [Self; STYLES.len()] = [
        Self::Seconds,
        Self::Requests,
        Self::OtherStatus,
        Self::Errors,
        Self::Unanswered,
        Self::Asked,
        Self::Rate,
        Self::CpuUs,
        Self::P50Us,
        Self::P90Us,
        Self::P99Us,
        Self::P999Us,
        Self::MaxUs,
        Self::RssKib,
        Self::Busy,
        Self::LoadBusy,
        Self::Others,
        Self::Idle,
        Self::IdlePrivate,
        Self::IdlePss,
        Self::IdleRss,
        Self::StartMs,
        Self::ReloadMs,
        Self::ReloadP99Us,
        Self::ReloadRequests,
        Self::ReloadLost,
        Self::Delivered,
        Self::Compared,
        Self::Dropped,
    ];

    fn style(self) -> &'static Style {
        &STYLES[self as usize]
    }

    /// Its column in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.style().name
    }

    /// The head of its column in a table.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.style().title
    }

    /// `value` as a table shows it, without a unit.
    #[must_use]
    pub fn tell(self, value: f64) -> String {
        let Style { scale, digits, .. } = self.style();
        format!("{:.digits$}", value * scale)
    }
}

/// One proxy in one round of one scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The scenario's name.
    pub scenario: String,
    /// The proxy's name.
    pub peer: String,
    /// Which round, from 1.
    pub round: u32,
    values: [Option<f64>; Figure::ALL.len()],
}

impl Row {
    /// A row without figures.
    #[must_use]
    pub fn new(scenario: &str, peer: &str, round: u32) -> Self {
        let (scenario, peer) = (scenario.to_owned(), peer.to_owned());
        Self { scenario, peer, round, values: [None; Figure::ALL.len()] }
    }

    /// Puts a figure down.
    pub fn set(&mut self, figure: Figure, value: f64) {
        self.values[figure as usize] = Some(value);
    }

    /// Puts down what a load saw.
    pub fn set_load(&mut self, load: &Summary) {
        for (figure, value) in [
            (Figure::Seconds, load.seconds),
            (Figure::Requests, load.requests as f64),
            (Figure::OtherStatus, load.other_status as f64),
            (Figure::Errors, load.errors as f64),
            (Figure::Unanswered, load.unanswered as f64),
            (Figure::Rate, load.rate),
            (Figure::P50Us, load.p50_us as f64),
            (Figure::P90Us, load.p90_us as f64),
            (Figure::P99Us, load.p99_us as f64),
            (Figure::P999Us, load.p999_us as f64),
            (Figure::MaxUs, load.max_us as f64),
        ] {
            self.set(figure, value);
        }
    }

    /// A figure, if it was measured.
    #[must_use]
    pub fn get(&self, figure: Figure) -> Option<f64> {
        self.values[figure as usize]
    }

    /// Everything that went wrong.
    #[must_use]
    pub fn faults(&self) -> f64 {
        let of = |figure| self.get(figure).unwrap_or(0.0);
        of(Figure::Errors)
            + of(Figure::OtherStatus)
            + of(Figure::Unanswered)
            + of(Figure::ReloadLost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_and_styles_are_in_one_order() {
        for (at, figure) in Figure::ALL.into_iter().enumerate() {
            assert_eq!(figure as usize, at, "{}", figure.name());
        }
        assert_eq!(Figure::RssKib.name(), "rss_kib");
        assert_eq!(Figure::ReloadLost.name(), "reload_lost");
        assert_eq!(Figure::Dropped.name(), "dropped");
    }
}
