//! Which cores this process may use, and running on one of them.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

/// The cores that the affinity mask allows, ascending.
#[must_use]
pub fn allowed_cores() -> Vec<usize> {
    let mut cores: Vec<usize> =
        core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
    cores.sort_unstable();
    cores
}

/// How many cores' worth of time the cgroup grants, rounded up; `None` without a quota.
#[must_use]
pub fn cgroup_quota() -> Option<usize> {
    let v2 = || {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
        let text = fs::read_to_string(format!("/sys/fs/cgroup{path}/cpu.max")).ok()?;
        let (quota, period) = text.trim().split_once(' ')?;
        cores_of(quota.parse().ok()?, period.parse().ok()?)
    };
    let v1 = || {
        let read = |name: &str| {
            fs::read_to_string(format!("/sys/fs/cgroup/cpu/{name}")).ok()?.trim().parse().ok()
        };
        cores_of(read("cpu.cfs_quota_us")?, read("cpu.cfs_period_us")?)
    };
    v2().or_else(v1)
}

fn cores_of(quota: i64, period: i64) -> Option<usize> {
    if quota <= 0 || period <= 0 {
        return None;
    }
    usize::try_from((quota + period - 1) / period).ok()
}

/// Of `cores`, the first of each physical core.
#[must_use]
pub fn one_per_physical_core(cores: &[usize]) -> Vec<usize> {
    let mut seen = BTreeSet::new();
    cores.iter().copied().filter(|&core| seen.insert(siblings(core))).collect()
}

fn siblings(core: usize) -> String {
    let path = format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
    fs::read_to_string(Path::new(&path)).unwrap_or_else(|_| core.to_string())
}

/// Keeps the calling thread on `core`; says whether the kernel agreed.
#[must_use]
pub fn pin_to(core: usize) -> bool {
    core_affinity::set_for_current(core_affinity::CoreId { id: core })
}

/// Time that the calling thread has worked since it began.
#[must_use]
pub fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Time that all threads of the process have worked since it began.
#[must_use]
pub fn process_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Puts the calling thread behind others by this nice value, 19 being the last; best effort.
pub fn lower_priority(nice: i32) {
    // On Linux a thread has its own nice value, addressed as process 0 from within.
    let _ = rustix::process::setpriority_process(None, nice);
}
