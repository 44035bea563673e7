//! The kernel: how old, how it is asked for IO, its clock and its pages.

use gnomon_config::{Config, model::Driver};

use super::{Finding, Machine, sysctl};

pub(super) fn findings(machine: &Machine, config: &Config) -> Vec<Finding> {
    vec![
        version(machine),
        uring(machine, config.runtime.driver),
        clock(machine),
        time(machine),
        pages(machine),
    ]
}

fn version(machine: &Machine) -> Finding {
    const WHY: &str = "older kernels get no repairs, and their io_uring is young";
    let Some(release) = machine.sysctl("kernel.osrelease") else {
        return Finding::unknown("kernel", WHY);
    };
    let is_old = parsed(&release).is_some_and(|version| version < OLDEST);
    Finding::ok("kernel", release, WHY)
        .advice_if(is_old, || "a kernel that its makers still keep, 5.10 or newer".to_owned())
}

/// Major and minor.
pub(super) fn parsed(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|it: char| !it.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Which driver serves, and why.
fn uring(machine: &Machine, wanted: Driver) -> Finding {
    const NAME: &str = "io_uring";
    const WHY: &str = "it asks the kernel for much IO at once; epoll serves where it is refused";
    if wanted == Driver::Epoll {
        return Finding::ok(NAME, "epoll serves: `runtime.driver` says so", WHY);
    }
    let switch = machine.sysctl("kernel.io_uring_disabled");
    let release = machine.sysctl("kernel.osrelease").and_then(|release| parsed(&release));
    let refusal = match (machine.uring, switch.as_deref(), release) {
        (Some(refusal), _, _) => refusal,
        (None, Some("2"), _) => Some("kernel.io_uring_disabled is 2"),
        (None, Some("1"), _) => Some("kernel.io_uring_disabled is 1: only for its group"),
        (None, _, Some(version)) if version < FIRST_URING => Some("the kernel has none"),
        (None, _, Some(_)) => None,
        (None, _, None) => return Finding::unknown(NAME, WHY),
    };
    let Some(refusal) = refusal else {
        return Finding::ok(NAME, "io_uring serves", WHY);
    };
    let fix = match switch.as_deref() {
        Some("1") => "the number of the service's group (getent group gnomon) into \
             /proc/sys/kernel/io_uring_group, or: sysctl -w kernel.io_uring_disabled=0"
            .to_owned(),
        Some("2") => sysctl("kernel.io_uring_disabled", 0),
        _ => "allow io_uring_setup, io_uring_enter and io_uring_register: in a container, by its \
              seccomp profile; else by a kernel from 5.6 on"
            .to_owned(),
    };
    let read = format!("refused: {refusal}");
    if wanted == Driver::IoUring {
        let read = format!("{read}; `runtime.driver` takes nothing else");
        return Finding::ok(NAME, read, WHY).problem(fix);
    }
    Finding::ok(NAME, format!("{read}; epoll serves"), WHY).advice(fix)
}

fn clock(machine: &Machine) -> Finding {
    const NAME: &str = "clock source";
    const WHY: &str = "each turn of a core reads the clock; a slow one asks the kernel, or a chip";
    const FOLDER: &str = "/sys/devices/system/clocksource/clocksource0";
    let Some(now) = machine.text(format!("{FOLDER}/current_clocksource")) else {
        return Finding::unknown(NAME, WHY);
    };
    let is_slow = SLOW.contains(&now.as_str());
    let others = machine.text(format!("{FOLDER}/available_clocksource")).unwrap_or_default();
    let better = others.split_whitespace().find(|one| !SLOW.contains(one));
    let fix = || match better {
        Some(better) => format!("echo {better} > {FOLDER}/current_clocksource"),
        None => "see why the kernel gave the fast one up: dmesg | grep -i clocksource".to_owned(),
    };
    Finding::ok(NAME, now, WHY).advice_if(is_slow, fix)
}

fn time(machine: &Machine) -> Finding {
    const NAME: &str = "time sync";
    const WHY: &str = "certificates, windows of rollouts and logs go by the time of day";
    let found = machine.running_of(&SYNCERS);
    let is_synced = machine.path("/run/systemd/timesync/synchronized").exists();
    if found.is_empty() && !is_synced {
        return match machine.names("/proc").is_empty() {
            true => Finding::unknown(NAME, WHY),
            false => Finding::ok(NAME, "nothing is seen that keeps the time", WHY)
                .advice("timedatectl set-ntp true, or chrony; a container has its host's time"),
        };
    }
    let read = if found.is_empty() { "synchronized".to_owned() } else { found.join(", ") };
    Finding::ok(NAME, read, WHY)
}

fn pages(machine: &Machine) -> Finding {
    const NAME: &str = "huge pages";
    const WHY: &str = "gnomon keeps itself to small pages, whatever holds for others";
    let text = machine.text("/sys/kernel/mm/transparent_hugepage/enabled");
    let chosen = text.as_deref().and_then(|text| {
        let (_, rest) = text.split_once('[')?;
        Some(rest.split_once(']')?.0.to_owned())
    });
    match chosen {
        Some(chosen) => Finding::ok(NAME, format!("{chosen}; none for gnomon"), WHY),
        None => Finding::unknown(NAME, WHY),
    }
}

/// Of the kernels that are kept for years, the oldest.
const OLDEST: (u32, u32) = (5, 10);
/// The first with what the ring needs.
const FIRST_URING: (u32, u32) = (5, 6);
/// Clock sources that cost a call or more each time.
const SLOW: [&str; 5] = ["acpi_pm", "hpet", "jiffies", "refined-jiffies", "xen"];
/// What keeps the time, by the names of processes.
const SYNCERS: [&str; 6] = ["chronyd", "systemd-timesyn", "ntpd", "ntpsec", "openntpd", "ptp4l"];
