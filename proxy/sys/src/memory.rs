//! The allocator, where it needs telling.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Gives memory that has been freed back to the system. The allocator does so by itself, but only
/// while others allocate: after a burst nobody does. Takes some milliseconds for each GiB.
pub fn give_back() {
    // WHY: there is no safe way to say it.
    // SAFETY: without preconditions; it concerns the calling thread's heap and what is free.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

/// Memory that the process takes in RAM and as address space, in bytes; 0 where the kernel does not
/// say.
#[must_use]
pub fn in_use() -> (u64, u64) {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bytes = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
    };
    (bytes("VmRSS:").unwrap_or(0), bytes("VmSize:").unwrap_or(0))
}

/// Memory that this process may have: the machine's, or less if a cgroup says so; 0 where the kernel
/// does not say.
#[must_use]
pub fn allowed() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let total = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    [total.map(|kib| kib * 1024), bound_of(Path::new("/sys/fs/cgroup"), &own)]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(0)
}

/// The lowest bound of a process's cgroup, as `/proc/self/cgroup` names it, and of those above it.
fn bound_of(root: &Path, own: &str) -> Option<u64> {
    let read = |path: PathBuf| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let below = |folder: &Path, path: &str, file: &str| {
        let own = folder.join(path.trim_start_matches('/'));
        let all = own.ancestors().take_while(|it| it.starts_with(folder));
        all.filter_map(|it| read(it.join(file))).min()
    };
    let v2 = || {
        let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
        below(root, path, "memory.max")
    };
    let v1 = || {
        let path = own.lines().find_map(|line| line.split_once(":memory:"))?.1;
        below(&root.join("memory"), path, "memory.limit_in_bytes")
    };
    v2().or_else(v1)
}

/// Keeps this process to pages of the usual size. The kernel fills a huge page at its first byte
/// and the allocator can't give back what it never handed out: after a burst, ten thousand idle
/// connections held 9 KiB each, and 2 without. Nothing measured was faster with them. A kernel
/// that can't is left as it is.
pub fn keep_to_small_pages() {
    // WHY: neither std nor rustix knows this one.
    // SAFETY: changes a flag of this process; the arguments are numbers.
    let _ = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_bound_of_a_cgroup_and_those_above_it_holds() {
        let root = std::env::temp_dir().join(format!("gnomon-cgroups-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("memory.max", "max\n");
        write("a/memory.max", "1000\n");
        write("a/b/memory.max", "2000\n");
        write("c/memory.max", "max\n");
        write("memory/d/memory.limit_in_bytes", "3000\n");
        assert_eq!(bound_of(&root, "0::/a/b\n"), Some(1000));
        assert_eq!(bound_of(&root, "0::/c\n"), None);
        assert_eq!(bound_of(&root, "12:cpu:/d\n7:memory:/d\n"), Some(3000));
        assert_eq!(bound_of(&root, ""), None);
        fs::remove_dir_all(&root).unwrap();
        let (resident, _) = in_use();
        assert!(allowed() > resident && resident > 0);
    }
}
