//! What the proxy's process uses while it is soaked, and whether that stays flat.

use std::{fs, path::Path};

use gnomon::control::{api::Status, ctl};

/// One look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Seconds since the start.
    pub at: u64,
    /// Requests by then.
    pub asked: u64,
    /// Memory resident, in KiB.
    pub rss: u64,
    /// Open file descriptors.
    pub fds: u64,
}

/// Looks at a process; `None` if it is gone.
pub(super) fn look(pid: u32, at: u64, asked: u64) -> Option<Sample> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let rss = line.split_whitespace().nth(1)?.parse().ok()?;
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
    Some(Sample { at, asked, rss, fds })
}

/// What grew. The first quarter is the warm-up; the medians of the second and of the last are
/// compared.
pub(super) fn growth(samples: &[Sample]) -> Vec<String> {
    let quarter = samples.len() / 4;
    if quarter == 0 {
        return vec!["there are too few samples to say whether anything grew".to_owned()];
    }
    let early = &samples[quarter..2 * quarter];
    let late = &samples[samples.len() - quarter..];
    let grew = |name: &str, of: fn(&Sample) -> u64, slack: u64| {
        let [before, after] = [early, late].map(|part| median(part.iter().map(of)));
        let most = before + before / 10 + slack;
        (after > most).then(|| format!("{name} grew from {before} to {after}, beyond {most}"))
    };
    let memory = grew("memory (KiB)", |sample| sample.rss, RSS_SLACK_KIB);
    memory.into_iter().chain(grew("descriptors", |sample| sample.fds, FDS_SLACK)).collect()
}

fn median(all: impl Iterator<Item = u64>) -> u64 {
    let mut all: Vec<u64> = all.collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or(0)
}

/// What `GET /v1/status` says.
pub(super) fn status(admin: &Path) -> Result<Status, String> {
    ctl::read(admin, "/v1/status").map_err(|failure| format!("{failure:?}"))
}

/// What is still held once nobody asks any more.
pub(super) fn held(status: &Status) -> Vec<String> {
    let of_cores: u64 = status.cores.iter().map(|core| core.connections + core.queued).sum();
    let versions = status.upstreams.iter().flat_map(|upstream| &upstream.versions);
    let in_flight: u64 = versions.map(|version| version.in_flight).sum();
    [("connections of clients", of_cores), ("requests under way", in_flight)]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(what, count)| format!("{count} {what} are never given back"))
        .collect()
}

/// Memory may grow by a tenth, and by so much: pools and arenas that find their size.
const RSS_SLACK_KIB: u64 = 8 << 10;
/// Connections to origins come and go.
const FDS_SLACK: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rises_all_the_time_has_grown_and_a_warm_up_has_not() {
        let at = |at: u64, rss: u64| Sample { at, asked: at, rss, fds: 100 };
        let leak: Vec<_> = (0..40).map(|n| at(n, 50_000 + n * 2000)).collect();
        assert_eq!(growth(&leak).len(), 1);
        let flat = (0..40).map(|n| at(n, if n < 9 { 20_000 + n * 3000 } else { 50_000 }));
        assert_eq!(growth(&flat.collect::<Vec<_>>()), Vec::<String>::new());
    }
}
