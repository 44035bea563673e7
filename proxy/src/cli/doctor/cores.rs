//! Cores: which there are, whom they belong to and how fast they run.

use std::collections::BTreeSet;

use gnomon_config::{Config, model::Cores};

use super::{
    Finding, Machine,
    machine::{listed, numbers},
};
use crate::boot::places::choose_cores;

pub(super) fn findings(machine: &Machine, config: &Config) -> Vec<Finding> {
    let workers = workers(machine, config);
    vec![
        placed(machine, config, &workers),
        quota(machine, &workers),
        siblings(machine, &workers),
        governor(machine, &workers),
        nodes(machine, &workers),
    ]
}

/// The cores that workers run on, as `run` would choose them.
pub(super) fn workers(machine: &Machine, config: &Config) -> Vec<usize> {
    let allowed = machine.allowed_cores();
    let mut seen = BTreeSet::new();
    let (wanted, allowed) = match &config.runtime.cores {
        Cores::Physical => {
            let firsts = allowed.iter().copied();
            let firsts = firsts.filter(|&core| seen.insert(machine.siblings(core)));
            (&Cores::Auto, firsts.collect())
        }
        wanted @ (Cores::Auto | Cores::Count(_) | Cores::List(_)) => (wanted, allowed),
    };
    let quota = granted(machine).map(|cores| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number of cores, rounded up"
        )]
        let cores = cores.ceil() as usize;
        cores
    });
    choose_cores(wanted, &allowed, quota).unwrap_or_default()
}

fn placed(machine: &Machine, config: &Config, workers: &[usize]) -> Finding {
    const NAME: &str = "cores";
    const WHY: &str = "a worker needs a core to itself, and the rest of the machine one as well";
    let allowed = machine.allowed_cores();
    if allowed.is_empty() {
        return Finding::unknown(NAME, WHY);
    }
    let distinct: BTreeSet<usize> = workers.iter().copied().collect();
    let pinned = if config.runtime.pin { "pinned" } else { "not pinned" };
    let read = format!(
        "{} workers on {}, {pinned}; allowed are {}",
        workers.len(),
        listed(&distinct),
        listed(&allowed)
    );
    if let (Cores::List(list), true) = (&config.runtime.cores, workers.is_empty()) {
        let read = format!("`runtime.cores` is {}; allowed are {}", listed(list), listed(&allowed));
        return Finding::ok(NAME, read, WHY)
            .problem("`runtime.cores` with cores of these, or CPUAffinity= in the unit");
    }
    Finding::ok(NAME, read, WHY).advice_if(distinct.len() < workers.len(), || {
        "runtime.cores = \"auto\"; more workers than cores only wait for each other".to_owned()
    })
}

/// Cores' worth of time that the cgroup grants.
fn granted(machine: &Machine) -> Option<f64> {
    let path = own_cgroup(machine)?;
    let ratio = |quota: &str, period: &str| {
        let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
        (quota > 0.0 && period > 0.0).then(|| quota / period)
    };
    let v2 = || {
        let text = machine.text(format!("/sys/fs/cgroup{path}/cpu.max"))?;
        let (quota, period) = text.split_once(' ')?;
        ratio(quota, period)
    };
    let v1 = || {
        let read = |name: &str| machine.text(format!("/sys/fs/cgroup/cpu/cpu.cfs_{name}_us"));
        ratio(&read("quota")?, &read("period")?)
    };
    v2().or_else(v1)
}

fn own_cgroup(machine: &Machine) -> Option<String> {
    let process = machine.running.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    let text = machine.text(format!("/proc/{process}/cgroup"))?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    Some(path.trim_end_matches('/').to_owned())
}

fn quota(machine: &Machine, workers: &[usize]) -> Finding {
    const NAME: &str = "cpu quota";
    const WHY: &str = "a core that has used its share up stands still, with all who wait for it";
    let Some(cores) = granted(machine) else { return Finding::ok(NAME, "none", WHY) };
    let path = own_cgroup(machine).unwrap_or_default();
    let stat = machine.text(format!("/sys/fs/cgroup{path}/cpu.stat")).unwrap_or_default();
    let halts = stat.lines().find_map(|line| line.strip_prefix("nr_throttled ")).unwrap_or("0");
    let read = format!("{cores} cores for {} workers; stopped {halts} times", workers.len());
    let is_little = cores < workers.len() as f64 || halts != "0";
    Finding::ok(NAME, read, WHY).advice_if(is_little, || {
        "whole cores instead of a share of time: AllowedCPUs= in the unit, or a cpuset; and no \
         CPUQuota="
            .to_owned()
    })
}

fn siblings(machine: &Machine, workers: &[usize]) -> Finding {
    const NAME: &str = "physical cores";
    const WHY: &str = "two workers on one physical core take turns: p99 grows before the load does";
    let groups: BTreeSet<BTreeSet<usize>> =
        workers.iter().map(|&core| machine.siblings(core)).collect();
    let distinct: BTreeSet<usize> = workers.iter().copied().collect();
    let path = "/sys/devices/system/cpu/cpu0/topology/thread_siblings_list";
    if distinct.is_empty() || machine.text(path).is_none() {
        return Finding::unknown(NAME, WHY);
    }
    let shared = distinct.len() - groups.len().min(distinct.len());
    if shared == 0 {
        return Finding::ok(NAME, "each worker has its own", WHY);
    }
    Finding::ok(NAME, format!("{shared} of them shared by two workers"), WHY).advice(
        "runtime.cores = \"physical\", if latency counts for more than throughput; measure both",
    )
}

fn governor(machine: &Machine, workers: &[usize]) -> Finding {
    const NAME: &str = "frequency";
    const WHY: &str = "a core that slows down when idle answers the next request slowly";
    let governors: BTreeSet<String> = workers
        .iter()
        .filter_map(|core| {
            machine.text(format!("/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"))
        })
        .collect();
    if governors.is_empty() {
        return Finding::ok(NAME, "the machine does not let us choose", WHY);
    }
    let is_slow = governors.iter().any(|it| it != "performance" && it != "schedutil");
    let read = governors.into_iter().collect::<Vec<_>>().join(", ");
    Finding::ok(NAME, read, WHY)
        .advice_if(is_slow, || "cpupower frequency-set -g performance".to_owned())
}

fn nodes(machine: &Machine, workers: &[usize]) -> Finding {
    const NAME: &str = "memory nodes";
    const WHY: &str = "memory and network cards of another node are further away";
    const FOLDER: &str = "/sys/devices/system/node";
    let mut nodes: Vec<(String, BTreeSet<usize>)> = Vec::new();
    for name in machine.names(FOLDER) {
        let digits = name.strip_prefix("node").unwrap_or_default();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let list = machine.text(format!("{FOLDER}/{name}/cpulist")).unwrap_or_default();
        nodes.push((digits.to_owned(), numbers(&list)));
    }
    if nodes.is_empty() {
        return Finding::unknown(NAME, WHY);
    }
    let used: Vec<&(String, BTreeSet<usize>)> =
        nodes.iter().filter(|(_, cores)| workers.iter().any(|it| cores.contains(it))).collect();
    let names: Vec<&str> = used.iter().map(|(name, _)| name.as_str()).collect();
    let read = format!("workers on {} of {}: node {}", used.len(), nodes.len(), names.join(", "));
    Finding::ok(NAME, read, WHY).advice_if(used.len() > 1, || {
        let cores = used.first().map(|(_, cores)| listed(cores)).unwrap_or_default();
        format!("one node if it suffices, best that of the network card: AllowedCPUs={cores}")
    })
}
