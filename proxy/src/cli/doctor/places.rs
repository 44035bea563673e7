//! Places: where state is kept, where the socket lies, and whose they are.

use std::{os::unix::fs::MetadataExt as _, path::Path};

use gnomon_config::{Config, show_size};

use super::{Finding, Machine};

pub(super) fn findings(machine: &Machine, config: &Config) -> Vec<Finding> {
    let socket = config.admin.socket.parent().unwrap_or_else(|| Path::new("/"));
    vec![
        user(machine),
        state(machine, &config.state.dir),
        disk(machine, &config.state.dir),
        door(machine, socket),
    ]
}

/// The number of the service's user.
fn service_user(machine: &Machine) -> Option<u32> {
    let text = machine.text("/etc/passwd")?;
    let line = text.lines().find_map(|line| line.strip_prefix("gnomon:"))?;
    line.split(':').nth(1)?.parse().ok()
}

fn user(machine: &Machine) -> Finding {
    const NAME: &str = "service user";
    const WHY: &str = "what handles strangers' bytes should own nothing else";
    let service = service_user(machine);
    let uid = |line: String| line.split_whitespace().nth(1)?.parse::<u32>().ok();
    let running = machine.running.and_then(|_| machine.of_process("status", "Uid:")).and_then(uid);
    match (running, service) {
        (Some(0), _) => Finding::ok(NAME, "the running proxy is root", WHY)
            .advice("User=gnomon in the unit, with AmbientCapabilities=CAP_NET_BIND_SERVICE"),
        (Some(uid), _) => Finding::ok(NAME, format!("the running proxy has uid {uid}"), WHY),
        (None, Some(uid)) => Finding::ok(NAME, format!("gnomon, uid {uid}"), WHY),
        (None, None) if machine.text("/etc/passwd").is_none() => Finding::unknown(NAME, WHY),
        (None, None) => Finding::ok(NAME, "there is no user gnomon", WHY).advice(
            "the package makes one; by hand: useradd --system --home /var/lib/gnomon --shell \
             /usr/sbin/nologin gnomon",
        ),
    }
}

fn state(machine: &Machine, folder: &Path) -> Finding {
    const NAME: &str = "state folder";
    const WHY: &str = "rollouts and shadows keep there what they know, over a restart";
    let shown = folder.display();
    let Ok(found) = machine.path(folder).metadata() else {
        return Finding::ok(NAME, format!("{shown} is not there yet; the start makes it"), WHY);
    };
    if !found.is_dir() {
        let fix = format!("move {shown} away, or set `state.dir` to a folder");
        return Finding::ok(NAME, format!("{shown} is no folder"), WHY).problem(fix);
    }
    let mode = found.mode() & 0o7777;
    let finding = Finding::ok(NAME, format!("{shown}, mode {mode:04o}"), WHY);
    match service_user(machine) {
        Some(uid) if uid != found.uid() && machine.is_this() => {
            let read = format!("{shown} belongs to uid {}, the service is {uid}", found.uid());
            let fix = format!("chown -R gnomon: {shown}, if the service is who serves");
            Finding { read, ..finding }.advice(fix)
        }
        _ => finding.advice_if(mode & 0o077 != 0, || {
            format!("chmod 0700 {shown}: examples of requests are in it")
        }),
    }
}

fn disk(machine: &Machine, folder: &Path) -> Finding {
    const NAME: &str = "disk space";
    const WHY: &str = "where the disk is full, nothing new is kept over a restart";
    // A folder that is yet to be made will lie on the disk of the nearest one above.
    let mut above = folder.ancestors().map(|it| machine.path(it));
    let stat = above.find_map(|it| rustix::fs::statvfs(it).ok());
    let Some(stat) = stat else { return Finding::unknown(NAME, WHY) };
    judged(NAME, WHY, folder, stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_favail)
}

fn judged(name: &'static str, why: &'static str, folder: &Path, free: u64, files: u64) -> Finding {
    let whole = free >> 20 << 20;
    let read = format!("{} free for {}", show_size(whole), folder.display());
    let fix = || format!("make room: df -h {}; du -xh {0} | sort -h", folder.display());
    let finding = Finding::ok(name, read, why);
    // File systems that make files as they need them say 0 as well.
    let has_no_files = (1..FEW_FREE_FILES).contains(&files);
    if free < LITTLE_SPACE || has_no_files {
        return finding.problem(fix());
    }
    finding.advice_if(free < SOME_SPACE, fix)
}

fn door(machine: &Machine, folder: &Path) -> Finding {
    const NAME: &str = "socket folder";
    const WHY: &str = "whoever may write there can put another socket in the place of the proxy's";
    let shown = folder.display();
    let Ok(found) = machine.path(folder).metadata() else {
        return Finding::ok(NAME, format!("{shown} is not there yet; the start makes it"), WHY);
    };
    let mode = found.mode() & 0o7777;
    let finding = Finding::ok(NAME, format!("{shown}, mode {mode:04o}"), WHY);
    let fix = || format!("chmod 0755 {shown}");
    if mode & 0o002 != 0 && mode & 0o1000 == 0 {
        return finding.problem(fix());
    }
    finding.advice_if(mode & 0o022 != 0, || {
        format!("a folder of its own for `admin.socket`, such as /run/gnomon; or {}", fix())
    })
}

/// Less is gone within minutes of a busy shadow.
const LITTLE_SPACE: u64 = 64 << 20;
/// Less will be gone with the next log that grows.
const SOME_SPACE: u64 = 1 << 30;
/// Files that may still be made.
const FEW_FREE_FILES: u64 = 100;

#[cfg(test)]
mod tests {
    use super::{super::Level, *};

    #[test]
    fn a_full_disk_is_a_problem_before_it_is_full() {
        let level = |free, files| judged("n", "w", Path::new("/x"), free, files).level;
        assert_eq!(level(1 << 20, 5000), Level::Problem);
        assert_eq!(level(1 << 29, 5000), Level::Advice);
        assert_eq!(level(1 << 34, 5000), Level::Ok);
        assert_eq!(level(1 << 34, 5), Level::Problem);
        assert_eq!(level(1 << 34, 0), Level::Ok);
    }
}
