//! The allocator, where it needs telling.

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
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bytes = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
    };
    (bytes("VmRSS:").unwrap_or(0), bytes("VmSize:").unwrap_or(0))
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
