//! `gnomon history`: the last hour of each version, minute by minute.

use super::{FAILED, Failure, Paint, live::Door, url};
use crate::control::api::series::{Beat, History, VersionBeat};

/// Shows it, of all versions or of some.
pub(super) fn history(door: &Door, of: Option<&str>) -> Result<(), Failure> {
    let query = of.map_or_else(String::new, |of| format!("?{}", url::query(&[("versions", of)])));
    let history: History = door.read(&format!("/v1/history{query}"))?;
    let is_unknown = history.beats.iter().all(|beat| beat.versions.is_empty());
    if let Some(of) = of
        && is_unknown
        && !history.beats.is_empty()
    {
        let error = format!("nothing is known of `{of}` within the last hour");
        return Err(Failure::new(FAILED, error).help("see `gnomon status` for what there is"));
    }
    if door.json {
        return door.console.json(&history);
    }
    door.console.data(render(&history, door.console.paint()))
}

fn render(history: &History, paint: Paint) -> String {
    let Some(last) = history.beats.last() else {
        return "nothing has been seen yet\n".to_owned();
    };
    let minutes = minutes(&history.beats, last.at);
    let span = last.at.saturating_sub(history.beats[0].at) / 60_000 + 1;
    let head =
        "version                 share     req/s   errors      p50      p99  requests a second";
    let mut text = format!("{}\n", paint.bold(&format!("{head}, the last {span} min")));
    for version in &last.versions {
        let rates = rates(&minutes, version);
        let errors = format!("{:6.2} %", version.minute.error_rate * 100.0);
        let errors = if version.minute.error_rate > 0.0 { paint.yellow(&errors) } else { errors };
        text.push_str(&format!(
            "{:<22} {:>5.1} % {:>9.1} {errors} {} {}  {}\n",
            format!("{}@{}", version.upstream, version.version),
            version.share,
            version.rate,
            time(version.minute.p50),
            time(version.minute.p99),
            bars(&rates),
        ));
    }
    if last.left_out > 0 {
        text.push_str(&paint.dim(&format!("and {} more: name them\n", last.left_out)));
    }
    text
}

/// Beats by the minute in which they ended, the newest last.
fn minutes(beats: &[Beat], newest: u64) -> Vec<Vec<&Beat>> {
    let mut minutes: Vec<Vec<&Beat>> = Vec::new();
    let mut before = None;
    for beat in beats {
        let minute = newest.saturating_sub(beat.at) / 60_000;
        if before != Some(minute) {
            minutes.push(Vec::new());
            before = Some(minute);
        }
        if let Some(all) = minutes.last_mut() {
            all.push(beat);
        }
    }
    minutes
}

/// Mean rate of a version in each minute.
fn rates(minutes: &[Vec<&Beat>], version: &VersionBeat) -> Vec<f64> {
    let is_it =
        |it: &&VersionBeat| it.upstream == version.upstream && it.version == version.version;
    let of = |beats: &Vec<&Beat>| {
        let rates = beats.iter().filter_map(|beat| beat.versions.iter().find(is_it));
        rates.map(|it| it.rate).sum::<f64>() / f64::from(u32::try_from(beats.len()).unwrap_or(1))
    };
    minutes.iter().map(of).collect()
}

/// A bar for each, against the greatest.
fn bars(values: &[f64]) -> String {
    let most = values.iter().copied().fold(0.0, f64::max);
    let bar = |value: &f64| {
        if *value <= 0.0 {
            return '·';
        }
        let place = BARS.iter().zip(1..).find(|(_, part)| value / most * 8.0 <= f64::from(*part));
        place.map_or('█', |(bar, _)| *bar)
    };
    values.iter().map(bar).collect()
}

fn time(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| format!("{:>8}", "–"), |seconds| format!("{:>5.0} ms", seconds * 1e3))
}

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::api::series::Window;

    #[test]
    fn every_version_has_a_line_with_its_minutes() {
        let beat = |at: u64, rate: f64| Beat {
            at,
            versions: vec![VersionBeat {
                upstream: "shop".to_owned(),
                version: "v1".to_owned(),
                share: 95.0,
                rate,
                minute: Window {
                    error_rate: 0.0133,
                    p50: Some(0.012),
                    p99: Some(0.2),
                    ..Window::default()
                },
                ..VersionBeat::default()
            }],
            ..Beat::default()
        };
        let beats = [beat(1, 0.0), beat(60_000, 4.0), beat(60_001, 4.0), beat(120_001, 8.0)];
        let history = History { coarse_seconds: 10, beats: beats.to_vec() };
        let text = render(&history, Paint::PLAIN);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1],
            "shop@v1                 95.0 %       8.0   1.33 %    12 ms   200 ms  ·▄█"
        );
        assert!(lines[0].ends_with("the last 3 min"));
        assert_eq!(render(&History::default(), Paint::PLAIN), "nothing has been seen yet\n");
    }
}
