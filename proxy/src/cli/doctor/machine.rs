//! A machine, as the files below a folder tell of it.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

/// Where to read, and what was found out otherwise.
pub(super) struct Machine {
    root: PathBuf,
    /// Why io_uring is refused, or that it is not; `None` if nobody has tried.
    pub(super) uring: Option<Option<&'static str>>,
    /// The process of the running proxy.
    pub(super) running: Option<u32>,
}

impl Machine {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), uring: None, running: None }
    }

    /// Whether it is the machine that we run on.
    pub(super) fn is_this(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Where an absolute path lies.
    pub(super) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// What a file holds, without the space around it.
    pub(super) fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        let mut bytes = Vec::new();
        File::open(self.path(path)).ok()?.take(BYTES_MAX).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    pub(super) fn number(&self, path: impl AsRef<Path>) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// A sysctl by its name with dots.
    pub(super) fn sysctl(&self, name: &str) -> Option<String> {
        self.text(format!("/proc/sys/{}", name.replace('.', "/")))
    }

    /// What lies in a folder, in order.
    pub(super) fn names(&self, folder: impl AsRef<Path>) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(folder)) else { return Vec::new() };
        let names = entries.flatten().take(ENTRIES_MAX);
        let mut names: Vec<String> =
            names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    }

    /// A line of a file of the proxy's process, else of ours, that begins with `key`.
    pub(super) fn of_process(&self, file: &str, key: &str) -> Option<String> {
        let of = |process: &str| {
            let text = self.text(format!("/proc/{process}/{file}"))?;
            let line = text.lines().find_map(|line| line.strip_prefix(key))?;
            Some(line.trim().to_owned())
        };
        let running = self.running.and_then(|pid| of(&pid.to_string()));
        running.or_else(|| of("self"))
    }

    /// Which of these processes run, by the names the kernel knows them by, 15 characters at most.
    pub(super) fn running_of(&self, wanted: &[&'static str]) -> Vec<&'static str> {
        let mut found = Vec::new();
        let processes = self.names("/proc").into_iter();
        for process in processes.filter(|it| it.bytes().all(|byte| byte.is_ascii_digit())) {
            let Some(name) = self.text(format!("/proc/{process}/comm")) else { continue };
            if let Some(one) = wanted.iter().find(|one| **one == name && !found.contains(*one)) {
                found.push(*one);
            }
        }
        found
    }

    /// The cores that the proxy may use, ascending.
    pub(super) fn allowed_cores(&self) -> Vec<usize> {
        let list = self.of_process("status", "Cpus_allowed_list:");
        list.map(|list| numbers(&list).into_iter().collect()).unwrap_or_default()
    }

    /// The cores that a core shares its physical one with, itself included.
    pub(super) fn siblings(&self, core: usize) -> BTreeSet<usize> {
        let path = format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
        self.text(path).map_or_else(|| [core].into(), |list| numbers(&list))
    }
}

/// The numbers of `0-3,8`.
pub(super) fn numbers(list: &str) -> BTreeSet<usize> {
    let mut all = BTreeSet::new();
    for part in list.split(',') {
        let part = part.trim();
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) else {
            continue;
        };
        all.extend(first..=last.min(first.saturating_add(CORES_MAX)));
    }
    all
}

/// `0-3, 8`, or that there are none.
pub(super) fn listed<'n>(numbers: impl IntoIterator<Item = &'n usize>) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    if ranges.is_empty() {
        return "none".to_owned();
    }
    let shown = ranges.iter().map(|(first, last)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    });
    shown.collect::<Vec<_>>().join(",")
}

/// Of a file: /proc/interrupts of a machine with many cores and queues has about a mebibyte.
const BYTES_MAX: u64 = 4 << 20;
/// In a folder: as many processes as a machine has unless told otherwise.
const ENTRIES_MAX: usize = 32_768;
/// More than the kernel can be built for.
const CORES_MAX: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cores_are_read_and_shown() {
        for (text, count, shown) in [
            ("0-3,8", 5, "0-3,8"),
            ("0", 1, "0"),
            ("", 0, "none"),
            ("2,1,3", 3, "1-3"),
            ("x,4-", 0, "none"),
            ("5-4", 0, "none"),
        ] {
            let read = numbers(text);
            assert_eq!((read.len(), listed(&read).as_str()), (count, shown), "{text}");
        }
        assert!(numbers("0-18446744073709551615").len() <= CORES_MAX + 1);
    }
}
