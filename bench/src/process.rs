//! Processes: where they run, what they use, and that they end.

use std::{
    fs, io,
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    process::{Pid, Resource, Rlimit, Signal, getrlimit, setrlimit},
    thread::CpuSet,
};

use crate::cgroup::Group;

/// A process of ours, and those it starts. Dropping it ends it.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    group: Option<Group>,
}

/// What a process and its descendants have used by now.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Time on a core, all threads, in nanoseconds.
    pub cpu_ns: u64,
    /// Memory resident now, in KiB.
    pub rss_kib: u64,
}

/// What a process and its descendants occupy, in KiB; kernel memory is not told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident, shared pages counted whole by each process.
    pub rss: u64,
    /// Resident, shared pages counted by share.
    pub pss: u64,
    /// Pages of nobody else.
    pub private: u64,
}

impl Memory {
    /// As `/proc/PID/smaps_rollup` tells it.
    fn parse(text: &str) -> Self {
        let of = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
        };
        let private = of("Private_Clean:") + of("Private_Dirty:");
        Self { rss: of("Rss:"), pss: of("Pss:"), private }
    }
}

impl Running {
    /// Starts `command` on `cores`, its words going to the file `log`.
    ///
    /// # Errors
    /// A sentence on why it could not be started.
    pub fn start(
        name: &str,
        mut command: Command,
        cores: &[usize],
        log: &Path,
    ) -> Result<Self, String> {
        let out = fs::File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
        let err = out.try_clone().map_err(|error| format!("{}: {error}", log.display()))?;
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        // A child inherits where its parent may run, so that all its threads start in place.
        let before = rustix::thread::sched_getaffinity(None).map_err(|error| error.to_string())?;
        pin_to(cores)?;
        let group = Group::create(&format!("gnomon-bench-{}-{name}", std::process::id()));
        let group = group.filter(|group| group.enter().is_ok());
        let spawned = command.spawn();
        let left = group.as_ref().map_or(Ok(()), Group::leave);
        rustix::thread::sched_setaffinity(None, &before).map_err(|error| error.to_string())?;
        let child = spawned.map_err(|error| format!("cannot start {name}: {error}"))?;
        let running = Self { name: name.to_owned(), child, group };
        left.map_err(|error| format!("cannot leave the cgroup of {name}: {error}"))?;
        Ok(running)
    }

    /// What it has used by now. Without a cgroup, threads that have ended are not counted.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let mut usage = tree(self.child.id()).into_iter().fold(Usage::default(), |sum, pid| {
            Usage { cpu_ns: sum.cpu_ns + cpu_ns(pid), rss_kib: sum.rss_kib + rss_kib(pid) }
        });
        if let Some(cpu_ns) = self.group.as_ref().and_then(Group::cpu_ns) {
            usage.cpu_ns = cpu_ns;
        }
        usage
    }

    /// What it occupies now.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let all = tree(self.child.id()).into_iter().map(|pid| {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
            Memory::parse(&text.unwrap_or_default())
        });
        all.fold(Memory::default(), |sum, one| Memory {
            rss: sum.rss + one.rss,
            pss: sum.pss + one.pss,
            private: sum.private + one.private,
        })
    }

    /// Its processes, the first one first.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        tree(self.child.id())
    }

    /// Asks the first process to reload, in the way of daemons.
    pub fn hang_up(&self) {
        signal(self.child.id(), Signal::HUP);
    }

    /// Why it is no longer there, if it is not.
    pub fn gone(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(format!("{} ended by itself ({status})", self.name))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let everybody = tree(self.child.id());
        signal(self.child.id(), Signal::TERM);
        let began = Instant::now();
        let mut asked_twice = false;
        while began.elapsed() < END_TIMEOUT && matches!(self.child.try_wait(), Ok(None)) {
            if began.elapsed() > PATIENCE && !asked_twice {
                // Some wait for their clients on the first call and leave on the second.
                signal(self.child.id(), Signal::TERM);
                asked_twice = true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // Only children that outlived their parent: their ids cannot have been taken anew, as
        // they never ended.
        for pid in everybody {
            if pid != self.child.id() && parent(pid).is_some_and(|parent| parent == 1) {
                signal(pid, Signal::KILL);
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the CPU time of what we start will be read.
#[must_use]
pub fn cpu_source() -> &'static str {
    let group = Group::create(&format!("gnomon-bench-{}", std::process::id()));
    let group = group.filter(|group| group.enter().and_then(|()| group.leave()).is_ok());
    group.as_ref().map_or("schedstat of the threads", Group::source)
}

/// What this process has used by now.
#[must_use]
pub fn own_usage() -> Usage {
    let pid = std::process::id();
    Usage { cpu_ns: cpu_ns(pid), rss_kib: rss_kib(pid) }
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// `root` and all its descendants.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let mut all = vec![root];
    let mut at = 0;
    while at < all.len().min(TREE_MAX) {
        let children = format!("/proc/{0}/task/{0}/children", all[at]);
        let children = fs::read_to_string(children).unwrap_or_default();
        all.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        at += 1;
    }
    all
}

/// The sum over the threads, io_uring's workers among them.
fn cpu_ns(pid: u32) -> u64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    let threads = threads.filter_map(Result::ok).take(THREADS_MAX);
    let times =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok());
    times.filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok()).sum()
}

fn rss_kib(pid: u32) -> u64 {
    field(pid, "VmRSS:").unwrap_or(0)
}

fn parent(pid: u32) -> Option<u64> {
    field(pid, "PPid:")
}

fn field(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Keeps this thread, and the processes it starts, on `core`.
///
/// # Errors
/// A sentence, when there is no such core for us.
pub fn pin(core: usize) -> Result<(), String> {
    pin_to(&[core])
}

fn pin_to(cores: &[usize]) -> Result<(), String> {
    let mut set = CpuSet::new();
    for &core in cores {
        if core >= CpuSet::MAX_CPU {
            return Err(format!("there is no core {core}"));
        }
        set.set(core);
    }
    rustix::thread::sched_setaffinity(None, &set)
        .map_err(|error| format!("cannot run on cores {cores:?}: {error}"))
}

/// Lets this process, and those it starts, open as many files as a limit can be had for.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // Root may raise the hard limit too.
    for most in [Some(OPEN_FILES), limit.maximum] {
        let enough = limit.maximum.is_some_and(|now| most.is_some_and(|most| most < now));
        let most = if enough { limit.maximum } else { most };
        if setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).is_ok() {
            return;
        }
    }
}

/// How many files this process may open.
#[must_use]
pub fn open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Puts this process, and those it starts, before (below zero) or behind others.
///
/// # Errors
/// A sentence, when that is not for us to decide.
pub fn set_nice(nice: i32) -> Result<(), String> {
    // Between sessions the kernel may weigh groups and not processes (where it does not, there is
    // no such file). A group outlives us unless the session is ours: `setsid -w compare …`.
    if rustix::process::getsid(None).is_ok_and(|leader| leader == rustix::process::getpid()) {
        let _ = fs::write("/proc/self/autogroup", nice.to_string());
    }
    rustix::process::setpriority_process(None, nice)
        .map_err(|error| format!("cannot set nice to {nice}: {error}"))
}

/// Where `program` is, if it is on the `PATH` or is a path.
#[must_use]
pub fn find(program: &Path) -> Option<std::path::PathBuf> {
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_path_buf());
    }
    let path = std::env::var_os("PATH")?;
    // Some distributions leave /usr/sbin to the administrator.
    let more = [std::path::PathBuf::from("/usr/sbin"), "/usr/local/sbin".into()];
    std::env::split_paths(&path).chain(more).map(|dir| dir.join(program)).find(|at| at.is_file())
}

/// The first line that `program` says when asked with `flag`; some say it on standard error.
#[must_use]
pub fn version(program: &Path, flag: &str) -> String {
    let output: io::Result<_> = Command::new(program).arg(flag).stdin(Stdio::null()).output();
    let Ok(output) = output else { return "unknown".to_owned() };
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|line| !line.is_empty()).unwrap_or("?");
    // Where it lies on this machine is nobody's business.
    line.strip_prefix(&*program.to_string_lossy()).unwrap_or(line).trim_start().to_owned()
}

/// Tells a person why a tool failed.
pub fn exit_code(outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            #[expect(clippy::print_stderr, reason = "this is where a person reads why")]
            {
                eprintln!("error: {why}");
            }
            ExitCode::FAILURE
        }
    }
}

/// A proxy that is asked to end politely is asked again after this.
const PATIENCE: Duration = Duration::from_millis(300);
/// A proxy that is asked to end is given this long, then it is killed.
const END_TIMEOUT: Duration = Duration::from_secs(3);
/// Twice what 10,000 connections need, with a socket to the origin for each.
const OPEN_FILES: u64 = 65_536;
const TREE_MAX: usize = 256;
const THREADS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_what_nobody_else_has() {
        let text = "55d0-7ffd ---p 00000000 00:00 0 [rollup]\nRss:    2048 kB\nPss:  900 kB\n\
                    Pss_Anon: 1 kB\nPrivate_Clean:  40 kB\nPrivate_Dirty:  60 kB\n";
        assert_eq!(Memory::parse(text), Memory { rss: 2048, pss: 900, private: 100 });
        assert_eq!(Memory::parse(""), Memory::default());
    }
}
