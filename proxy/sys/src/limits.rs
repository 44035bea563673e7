//! What the kernel allows this process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one and says what it is now.
#[must_use]
pub fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Refused only under a policy; then the soft limit is what there is.
    let granted = setrlimit(Resource::Nofile, wanted).is_ok();
    let current = if granted { limit.maximum } else { limit.current };
    // "Unlimited" is capped by fs.nr_open, whose default is this.
    current.unwrap_or(1_048_576)
}

/// The soft limit of open files.
#[must_use]
pub fn open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(1_048_576)
}

/// Files that the process has open. Before Linux 6.2 they are counted one by one, which takes some
/// milliseconds where there are tens of thousands.
#[must_use]
pub fn open_files_now() -> u64 {
    const ALL: &str = "/proc/self/fd";
    match std::fs::metadata(ALL) {
        Ok(folder) if folder.len() > 0 => folder.len(),
        // The look itself has the folder open.
        _ => std::fs::read_dir(ALL).map_or(0, |all| all.count().saturating_sub(1) as u64),
    }
}

/// Bytes of memory the ring may lock; `None` is unlimited.
#[must_use]
pub fn locked_memory() -> Option<u64> {
    getrlimit(Resource::Memlock).current
}

/// Why `io_uring` can't be used, or `None` if it can.
#[must_use]
pub fn uring_refusal() -> Option<&'static str> {
    match std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").as_deref().map(str::trim) {
        Ok("2") => Some("kernel.io_uring_disabled is 2"),
        Ok("1") if !rustix::process::geteuid().is_root() => {
            Some("kernel.io_uring_disabled is 1 and this is not its io_uring_group")
        }
        _ if monoio::utils::detect_uring() => None,
        _ => Some("io_uring_setup is refused (an old kernel, a seccomp filter, or forced off)"),
    }
}
