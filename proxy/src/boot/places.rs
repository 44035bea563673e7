//! Which core each worker runs on.

use gnomon_config::model::{Cores, Runtime};
use gnomon_sys::affinity;

use super::{Kind, Refused};

/// Which core each worker runs on.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) cores: Vec<usize>,
    pub(super) pinned: bool,
}

impl Places {
    /// Chooses them as configured.
    pub(super) fn of(runtime: &Runtime) -> Result<Self, Refused> {
        let allowed = affinity::allowed_cores();
        let quota = affinity::cgroup_quota();
        let cores = choose_cores(&runtime.cores, &allowed, quota)?;
        // More workers than cores, or than the quota pays for, would only stand in line if pinned.
        let pinned = runtime.pin && cores.iter().all(|core| allowed.contains(core));
        Ok(Self { cores, pinned })
    }

    pub(super) fn count(&self) -> usize {
        self.cores.len()
    }

    /// A core that no worker is pinned to, if there is one.
    pub(super) fn spare(&self) -> Option<usize> {
        let allowed = affinity::allowed_cores();
        allowed.into_iter().rev().find(|core| !self.cores.contains(core)).filter(|_| self.pinned)
    }

    pub(super) fn cpu(&self, index: usize) -> Option<usize> {
        self.cores.get(index).copied().filter(|_| self.pinned)
    }
}

/// The cores to run on, one for each worker.
pub(crate) fn choose_cores(
    wanted: &Cores,
    allowed: &[usize],
    quota: Option<usize>,
) -> Result<Vec<usize>, Refused> {
    if allowed.is_empty() {
        return Err(Refused::new(Kind::Machine, "the affinity mask allows no core"));
    }
    let within = |cores: &[usize]| {
        let most = quota.unwrap_or(usize::MAX).clamp(1, cores.len());
        // One for control and the kernel's own work, where there are enough.
        let most = if most >= 4 { most - 1 } else { most };
        cores[..most].to_vec()
    };
    match wanted {
        Cores::Auto => Ok(within(allowed)),
        Cores::Physical => Ok(within(&affinity::one_per_physical_core(allowed))),
        // A count is obeyed, even beyond what there is: tests of many workers want that.
        Cores::Count(count) => {
            Ok(allowed.iter().copied().cycle().take((*count).clamp(1, CORES_MAX)).collect())
        }
        Cores::List(list) => match list.iter().find(|core| !allowed.contains(core)) {
            None if !list.is_empty() => Ok(list.clone()),
            None => Err(Refused::new(Kind::Config, "`runtime.cores` lists no core")),
            Some(core) => {
                let error = format!("`runtime.cores`: core {core} is not allowed to this process");
                Err(Refused::new(Kind::Machine, error).help(format!("allowed are: {allowed:?}")))
            }
        },
    }
}

/// Workers at most, whatever is counted: each has a ring and a mebibyte of log.
const CORES_MAX: usize = 1024;
