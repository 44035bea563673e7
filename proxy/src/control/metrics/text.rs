//! Families and samples as text, in either of the two formats that Prometheus reads.
//!
//! Both are written from the same calls: they differ in the names at the head of a family, in units
//! and in the last line, and in nothing else, so that a series is the same whoever scraped it.

use std::{fmt::Write, time::Duration};

use gnomon_config::model::Metrics;

use super::{
    catalogue::{Family, Kind},
    filter::Filter,
    fold::Histogram,
};
use crate::cells::Exemplar;

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// OpenMetrics 1.0.
    Open,
    /// The older text format, 0.0.4.
    Plain,
}

impl Format {
    /// The one that an `Accept` field prefers; the older one unless OpenMetrics is named.
    pub(crate) fn of(accept: &str) -> Self {
        let (mut open, mut plain) = (0.0_f64, 0.0_f64);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let (mut weight, mut is_ours) = (1.0_f64, true);
            for part in parts {
                match part.split_once('=') {
                    Some((name, value)) if name.eq_ignore_ascii_case("q") => {
                        weight = value.parse().unwrap_or(0.0);
                    }
                    Some((name, value)) if name.eq_ignore_ascii_case("version") => {
                        is_ours = value.trim_matches('"').starts_with("1.");
                    }
                    _ => {}
                }
            }
            if media.eq_ignore_ascii_case("application/openmetrics-text") {
                // Whoever knows an older one alone does not know this one.
                open = if is_ours { weight.max(open) } else { open };
            } else if ["text/plain", "text/*", "*/*"]
                .iter()
                .any(|it| media.eq_ignore_ascii_case(it))
            {
                plain = weight.max(plain);
            }
        }
        if open > 0.0 && open >= plain { Self::Open } else { Self::Plain }
    }

    /// What `Content-Type` says.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Open => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// A sample's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    Count(u64),
    Real(f64),
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<bool> for Value {
    fn from(holds: bool) -> Self {
        Self::Count(holds.into())
    }
}

impl From<f64> for Value {
    fn from(real: f64) -> Self {
        Self::Real(real)
    }
}

/// An answer while it is written.
pub(crate) struct Page {
    text: String,
    format: Format,
    filter: Filter,
    /// Series that may still be written.
    room: usize,
    /// Series that were left out.
    dropped: u64,
    has_exemplars: bool,
}

impl Page {
    /// An empty one. Only OpenMetrics has exemplars.
    pub(crate) fn new(format: Format, filter: Filter, settings: &Metrics) -> Self {
        let room = usize::try_from(settings.max_series).unwrap_or(usize::MAX);
        let has_exemplars = settings.exemplars && format == Format::Open;
        // A series is some 100 bytes; most answers have fewer than this.
        let text = String::with_capacity(64 << 10);
        Self { text, format, filter, room, dropped: 0, has_exemplars }
    }

    /// Begins a family. Nothing is written before its first sample, nothing at all if the filter
    /// does not want it.
    pub(crate) fn family(&mut self, family: &'static Family) -> Series<'_> {
        let is_wanted = self.filter.wants(family);
        Series { page: self, family, is_wanted, is_begun: false }
    }

    /// Series that were left out.
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Makes room for one more series, whatever the bound.
    pub(crate) const fn make_room(&mut self) {
        self.room = self.room.saturating_add(1);
    }

    /// The whole text.
    pub(crate) fn end(mut self) -> String {
        if self.format == Format::Open {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn begin(&mut self, family: &Family) {
        let Family { name, kind, help, .. } = family;
        let (stem, said) = match (self.format, kind) {
            (Format::Open, Kind::Counter) => (name.strip_suffix("_total"), kind.name()),
            (Format::Open, Kind::Info) => (name.strip_suffix("_info"), kind.name()),
            (Format::Plain, Kind::Info) => (None, Kind::Gauge.name()),
            _ => (None, kind.name()),
        };
        let stem = stem.unwrap_or(name);
        self.line(format_args!("# HELP {stem} {help}"));
        self.line(format_args!("# TYPE {stem} {said}"));
        if let (Format::Open, Some(unit)) = (self.format, unit(stem)) {
            self.line(format_args!("# UNIT {stem} {unit}"));
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // A string takes everything.
        let _ = self.text.write_fmt(line);
        self.text.push('\n');
    }

    fn sample(&mut self, name: &str, suffix: &str, labels: &str, value: Value) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        if !labels.is_empty() {
            self.text.push('{');
            self.text.push_str(labels);
            self.text.push('}');
        }
        self.text.push(' ');
        let _ = match value {
            Value::Count(count) => write!(self.text, "{count}"),
            Value::Real(real) if real == f64::INFINITY => self.text.write_str("+Inf"),
            Value::Real(real) if real == f64::NEG_INFINITY => self.text.write_str("-Inf"),
            Value::Real(real) => write!(self.text, "{real}"),
        };
        self.text.push('\n');
    }

    /// Puts an exemplar behind the sample that was just written.
    fn exemplify(&mut self, exemplar: &Exemplar) {
        // Ids are ours: hexadecimal digits.
        let id = String::from_utf8_lossy(&exemplar.id);
        let (took, at) = (Duration::from_nanos(exemplar.nanos), exemplar.at);
        self.text.pop();
        self.line(format_args!(
            " # {{request_id=\"{id}\"}} {} {:.3}",
            took.as_secs_f64(),
            at.as_secs_f64()
        ));
    }
}

/// The unit that a family's name ends in.
fn unit(stem: &str) -> Option<&'static str> {
    ["seconds", "bytes", "ratio"]
        .into_iter()
        .find(|unit| stem.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')))
}

/// The samples of one family.
pub(crate) struct Series<'a> {
    page: &'a mut Page,
    family: &'static Family,
    is_wanted: bool,
    is_begun: bool,
}

impl Series<'_> {
    /// One sample. `values` are those of the family's labels, in their order.
    pub(crate) fn add(&mut self, values: &[&str], value: impl Into<Value>) {
        if let Some(labels) = self.admit(values, 1) {
            self.page.sample(self.family.name, "", &labels, value.into());
        }
    }

    /// All samples of one histogram, or none.
    pub(crate) fn add_histogram(&mut self, values: &[&str], histogram: &Histogram) {
        let Histogram { buckets, count, sum, exemplars } = histogram;
        let Some(mut labels) = self.admit(values, buckets.len() + 3) else { return };
        let (name, own) = (self.family.name, labels.len());
        let bounds = buckets.iter().map(|&(bound, count)| (Some(bound), count));
        let exemplars = exemplars.iter().copied().chain(std::iter::repeat(None));
        for ((bound, count), exemplar) in bounds.chain([(None, *count)]).zip(exemplars) {
            labels.truncate(own);
            let comma = if own == 0 { "" } else { "," };
            let _ = match bound {
                // With a point in either format, as OpenMetrics wants it: `1.0` and `1` would be
                // two series.
                Some(bound) => write!(labels, "{comma}le=\"{bound:?}\""),
                None => write!(labels, "{comma}le=\"+Inf\""),
            };
            self.page.sample(name, "_bucket", &labels, count.into());
            if let Some(exemplar) = exemplar.filter(|_| self.page.has_exemplars) {
                self.page.exemplify(&exemplar);
            }
        }
        labels.truncate(own);
        self.page.sample(name, "_sum", &labels, (*sum).into());
        self.page.sample(name, "_count", &labels, (*count).into());
    }

    /// The labels as they are written, if there is room for so many series and they are wanted.
    fn admit(&mut self, values: &[&str], series: usize) -> Option<String> {
        debug_assert_eq!(values.len(), self.family.labels.len(), "{}", self.family.name);
        if !self.is_wanted || !self.page.filter.passes(self.family, values) {
            return None;
        }
        let Some(room) = self.page.room.checked_sub(series) else {
            self.page.dropped += series as u64;
            return None;
        };
        self.page.room = room;
        if !std::mem::replace(&mut self.is_begun, true) {
            self.page.begin(self.family);
        }
        let mut labels = String::new();
        for (name, value) in self.family.labels.iter().zip(values) {
            if !labels.is_empty() {
                labels.push(',');
            }
            labels.push_str(name);
            labels.push_str("=\"");
            escape(value, &mut labels);
            labels.push('"');
        }
        Some(labels)
    }
}

fn escape(value: &str, to: &mut String) {
    for letter in value.chars() {
        match letter {
            '\\' => to.push_str("\\\\"),
            '"' => to.push_str("\\\""),
            '\n' => to.push_str("\\n"),
            other => to.push(other),
        }
    }
}

#[cfg(test)]
mod tests;
