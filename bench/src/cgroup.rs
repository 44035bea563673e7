//! CPU time by cgroup: what all processes of a group have used, those that ended included.
//!
//! Adding up threads misses those that ended and the kernel's time between two looks. The kernel
//! keeps the sum for a group; version 1 tells it as `cpuacct.usage`, version 2 in `cpu.stat`. A
//! group needs nobody's leave but the right to write: root has it, and so has a scope of one's own
//! (`systemd-run --user --scope -p Delegate=yes`).

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// Which of the kernel's two interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The hierarchy of the controller `cpuacct`.
    V1,
    /// The one hierarchy there is; every group tells `cpu.stat`, whatever controllers it has.
    V2,
}

/// The group this process is in.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Home {
    version: Version,
    dir: PathBuf,
}

/// A group below ours. Dropping it removes it, once it is empty.
#[derive(Debug)]
pub struct Group {
    version: Version,
    dir: PathBuf,
    home: PathBuf,
}

impl Group {
    /// A fresh group, if the kernel lets us have one that counts.
    #[must_use]
    pub fn create(name: &str) -> Option<Self> {
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let homes = homes(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"));
        homes.into_iter().find_map(|home| Self::below(home, name))
    }

    fn below(home: Home, name: &str) -> Option<Self> {
        let dir = home.dir.join(name);
        fs::create_dir(&dir).ok()?;
        let group = Self { version: home.version, dir, home: home.dir };
        group.cpu_ns().map(|_| group)
    }

    /// Moves this process into the group, so that its children are born there. To move them
    /// afterwards would be late: that waits for the kernel while a proxy forks its workers.
    ///
    /// # Errors
    /// When the kernel does not let us.
    pub fn enter(&self) -> io::Result<()> {
        move_to(&self.dir)
    }

    /// Moves this process back to where it was.
    ///
    /// # Errors
    /// When the kernel does not let us.
    pub fn leave(&self) -> io::Result<()> {
        move_to(&self.home)
    }

    /// Time on a core since the group was made, in nanoseconds.
    #[must_use]
    pub fn cpu_ns(&self) -> Option<u64> {
        match self.version {
            Version::V1 => {
                fs::read_to_string(self.dir.join("cpuacct.usage")).ok()?.trim().parse().ok()
            }
            Version::V2 => {
                let stat = fs::read_to_string(self.dir.join("cpu.stat")).ok()?;
                let micros = stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
                micros.trim().parse::<u64>().ok()?.checked_mul(1000)
            }
        }
    }

    /// Where the figures come from, for whoever reads them.
    #[must_use]
    pub fn source(&self) -> &'static str {
        match self.version {
            Version::V1 => "cgroup v1, cpuacct.usage",
            Version::V2 => "cgroup v2, cpu.stat",
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for _ in 0..REMOVE_TRIES {
            match fs::remove_dir(&self.dir) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    std::thread::sleep(REMOVE_PAUSE);
                }
                Ok(()) | Err(_) => return,
            }
        }
    }
}

/// Moves this process; `0` is whoever writes.
fn move_to(group: &Path) -> io::Result<()> {
    fs::write(group.join("cgroup.procs"), "0")
}

/// Where this process is, in each hierarchy that counts CPU time: nanoseconds before microseconds.
fn homes(mountinfo: &str, own: &str) -> Vec<Home> {
    let mut homes = Vec::new();
    for version in [Version::V1, Version::V2] {
        let path = own.lines().find_map(|line| path_of(line, version));
        let mount = mountinfo.lines().find_map(|line| mount_of(line, version));
        if let (Some(path), Some((root, at))) = (path, mount) {
            // A container may be shown its own part of the tree alone.
            let path = path.strip_prefix(root).unwrap_or(path).trim_start_matches('/');
            homes.push(Home { version, dir: Path::new(at).join(path) });
        }
    }
    homes
}

/// The path in `id:controllers:path`, if the line is about `version`.
fn path_of(line: &str, version: Version) -> Option<&str> {
    let mut parts = line.splitn(3, ':');
    let (id, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let ours = match version {
        Version::V1 => controllers.split(',').any(|name| name == "cpuacct"),
        Version::V2 => id == "0" && controllers.is_empty(),
    };
    ours.then_some(path)
}

/// What of the hierarchy is mounted, and where, if the line is about `version`.
fn mount_of(line: &str, version: Version) -> Option<(&str, &str)> {
    let (mount, kind) = line.split_once(" - ")?;
    let mut kind = kind.split(' ');
    let ours = match version {
        Version::V1 => {
            kind.next() == Some("cgroup")
                && kind.nth(1)?.split(',').any(|option| option == "cpuacct")
        }
        Version::V2 => kind.next() == Some("cgroup2"),
    };
    let mut mount = mount.split(' ').skip(3);
    ours.then_some((mount.next()?, mount.next()?))
}

/// A killed process leaves its group a moment after its parent heard of it: a second in all.
const REMOVE_TRIES: u32 = 50;
const REMOVE_PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
        30 24 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
        31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
        32 30 0:28 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw\n";

    fn home(version: Version, dir: &str) -> Home {
        Home { version, dir: dir.into() }
    }

    #[test]
    fn both_hierarchies_are_found_where_they_are_mounted() {
        let own = "4:memory:/a\n2:cpu,cpuacct:/b/c\n0::/user.slice\n";
        let v1 = home(Version::V1, "/sys/fs/cgroup/cpu,cpuacct/b/c");
        let v2 = home(Version::V2, "/sys/fs/cgroup/unified/user.slice");
        assert_eq!(homes(HYBRID, own), [v1, v2]);
        assert_eq!(homes("", own), []);
        assert_eq!(homes(HYBRID, "4:memory:/a\n"), []);
    }

    #[test]
    fn a_container_sees_its_part_of_the_tree() {
        let mounts = "9 8 0:2 /pod/one /sys/fs/cgroup ro - cgroup2 cgroup rw,nsdelegate\n";
        let inner = home(Version::V2, "/sys/fs/cgroup/inner");
        assert_eq!(homes(mounts, "0::/pod/one/inner\n"), [inner]);
        assert_eq!(homes(mounts, "0::/pod/one\n"), [home(Version::V2, "/sys/fs/cgroup/")]);
    }

    /// A folder that looks like a group; the kernel would put the files there.
    fn fake(name: &str, file: &str, text: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("gnomon-cgroup-{name}-{}", std::process::id()));
        fs::create_dir_all(dir.join("child")).unwrap();
        fs::write(dir.join("child").join(file), text).unwrap();
        dir
    }

    #[test]
    fn both_versions_are_read() {
        for (version, file, text) in [
            (Version::V1, "cpuacct.usage", "1234567000\n"),
            (
                Version::V2,
                "cpu.stat",
                "usage_usec 1234567\nuser_usec 1000000\nsystem_usec 234567\n",
            ),
        ] {
            let home = fake(file, file, text);
            let group = Group { version, dir: home.join("child"), home: home.clone() };
            assert_eq!(group.cpu_ns(), Some(1_234_567_000), "{version:?}");
            group.enter().and_then(|()| group.leave()).unwrap();
            for place in [&group.dir, &home] {
                assert_eq!(fs::read_to_string(place.join("cgroup.procs")).unwrap(), "0");
            }
            fs::remove_dir_all(&home).unwrap();
        }
    }

    #[test]
    fn a_group_that_does_not_count_is_none() {
        let dir = fake("empty", "other", "");
        assert!(Group::below(home(Version::V2, dir.to_str().unwrap()), "fresh").is_none());
        assert!(!dir.join("fresh").exists());
        fs::remove_dir_all(&dir).unwrap();
    }
}
