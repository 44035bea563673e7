//! Room: files, locked memory, queues and ports, against what the configuration needs.

use gnomon_config::{
    Config,
    model::{Bind, Endpoint},
    show_size,
};

use super::{Finding, Level, Machine, kernel, sysctl};
use crate::cli::doctor::cores;

pub(super) fn findings(machine: &Machine, config: &Config) -> Vec<Finding> {
    let backlog = config.listeners.iter().map(|listener| u64::from(listener.backlog)).max();
    let backlog = backlog.unwrap_or(0);
    let mut all = vec![open_files(machine, config), locked_memory(machine, config)];
    all.push(queue(machine, "net.core.somaxconn", backlog, "a listener's `backlog` is cut to it"));
    all.push(queue(
        machine,
        "net.ipv4.tcp_max_syn_backlog",
        backlog,
        "clients whose connection is not complete wait in it while a burst arrives",
    ));
    all.extend(ports(machine, config));
    all.push(migration(machine));
    all.push(packets(machine));
    all.push(most_files(machine, config));
    all.push(tracked(machine, config));
    all
}

/// Two files an exchange: the client's connection and the origin's.
fn needed_files(config: &Config) -> u64 {
    u64::from(config.limits.connections) * 2
}

fn open_files(machine: &Machine, config: &Config) -> Finding {
    const NAME: &str = "open files";
    const WHY: &str = "each client and each origin takes one; where there is none, clients wait";
    const FIX: &str = "LimitNOFILE=1048576 in a drop-in (systemctl edit gnomon); without systemd, \
                       ulimit -Hn 1048576 before the start";
    let Some((of, limit)) = limit(machine, "LimitNOFILE", "Max open files") else {
        return Finding::unknown(NAME, WHY);
    };
    let read = format!("{} {of}", limit.map_or_else(|| "unlimited".to_owned(), |n| n.to_string()));
    let (limit, needed) = (limit.unwrap_or(u64::MAX), needed_files(config));
    if limit < needed {
        let read = format!("{read}; `limits.connections` needs {needed}");
        return Finding::ok(NAME, read, WHY).problem(FIX);
    }
    Finding::ok(NAME, read, WHY).advice_if(limit < FEW_FILES, || FIX.to_owned())
}

/// Whose limit holds, and the limit; `None` is none. The running proxy's, else what the unit gives,
/// else this process's own.
fn limit(machine: &Machine, directive: &str, line: &str) -> Option<(String, Option<u64>)> {
    let parse = |text: &str| match text {
        "unlimited" | "infinity" => Some(None),
        number => number.parse::<u64>().ok().map(Some),
    };
    let hard = |rest: String| parse(rest.split_whitespace().nth(1)?);
    if let Some(pid) = machine.running {
        let found = machine.of_process("limits", line).and_then(hard)?;
        return Some((format!("(the running proxy's, process {pid})"), found));
    }
    for folder in ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"] {
        let unit = format!("{folder}/gnomon.service");
        let Some(text) = machine.text(&unit) else { continue };
        let mut said =
            text.lines().filter_map(|it| it.trim().strip_prefix(directive)?.strip_prefix('='));
        if let Some(found) =
            said.next_back().and_then(|said| parse(said.rsplit(':').next()?.trim()))
        {
            return Some((format!("(from {unit})"), found));
        }
    }
    let found = machine.of_process("limits", line).and_then(hard)?;
    Some(("(this shell's)".to_owned(), found))
}

fn locked_memory(machine: &Machine, config: &Config) -> Finding {
    const NAME: &str = "locked memory";
    const WHY: &str = "before Linux 5.12, the rings of io_uring are counted as locked memory";
    let Some((of, limit)) = limit(machine, "LimitMEMLOCK", "Max locked memory") else {
        return Finding::unknown(NAME, WHY);
    };
    let shown = limit.map_or_else(|| "unlimited".to_owned(), show_size);
    let release = machine.sysctl("kernel.osrelease").and_then(|it| kernel::parsed(&it));
    if release.is_some_and(|version| version >= UNCOUNTED) {
        return Finding::ok(NAME, format!("{shown} {of}; rings do not count"), WHY);
    }
    let workers = cores::workers(machine, config).len().max(1) as u64;
    let needed = workers * u64::from(config.runtime.entries) * RING_ENTRY_BYTES;
    let read = format!("{shown} {of}; {workers} rings need about {}", show_size(needed));
    Finding::ok(NAME, read, WHY).advice_if(limit.is_some_and(|limit| limit < needed), || {
        "LimitMEMLOCK=infinity in a drop-in (systemctl edit gnomon)".to_owned()
    })
}

fn queue(machine: &Machine, name: &'static str, backlog: u64, why: &'static str) -> Finding {
    let Some(value) = machine.sysctl(name) else { return Finding::unknown(name, why) };
    let is_short = value.parse::<u64>().is_ok_and(|value| value < backlog);
    if is_short {
        let read = format!("{value}; the longest `backlog` is {backlog}");
        return Finding::ok(name, read, why).advice(sysctl(name, backlog.max(65_535)));
    }
    Finding::ok(name, value, why)
}

fn ports(machine: &Machine, config: &Config) -> Vec<Finding> {
    const NAME: &str = "net.ipv4.ip_local_port_range";
    const WHY: &str = "each connection to one origin's address takes a port of its own";
    let text = machine.sysctl(NAME);
    let range = text.as_deref().and_then(|text| {
        let (first, last) = text.split_once(char::is_whitespace)?;
        Some((first.parse::<u16>().ok()?, last.trim().parse::<u16>().ok()?))
    });
    let Some((first, last)) = range else { return vec![Finding::unknown(NAME, WHY)] };
    let count = u64::from(last.saturating_sub(first)) + 1;
    let over_tcp = |endpoint: &Endpoint| !matches!(endpoint, Endpoint::Unix(_));
    let needed = config.upstreams.iter().filter(|upstream| {
        upstream.versions.iter().any(|version| version.endpoints.iter().any(over_tcp))
    });
    let needed = needed.map(|upstream| u64::from(upstream.pool.max)).max().unwrap_or(0);
    let fix = || sysctl(NAME, "'1024 65535'");
    let read = format!("{first} to {last}, {count} ports");
    let range = if needed > count {
        let read = format!("{read}; an endpoint's `pool.max` is {needed}");
        Finding::ok(NAME, read, WHY).problem(fix())
    } else {
        Finding::ok(NAME, read, WHY).advice_if(count < USUAL_PORTS, fix)
    };
    let mut all = vec![range];
    all.extend(reserved(machine, config, first..=last));
    all
}

/// Whether a connection outwards may sit on a port that we want to listen on.
fn reserved(
    machine: &Machine,
    config: &Config,
    range: std::ops::RangeInclusive<u16>,
) -> Option<Finding> {
    const NAME: &str = "net.ipv4.ip_local_reserved_ports";
    const WHY: &str = "a connection outwards may take a listener's port before the proxy starts";
    let reserved = super::machine::numbers(&machine.sysctl(NAME)?);
    let binds = config.listeners.iter().flat_map(|listener| &listener.bind);
    let ports = binds.filter_map(|bind| match bind {
        Bind::Tcp(address) => Some(address.port()),
        Bind::Unix(_) => None,
    });
    let open: Vec<String> = ports
        .filter(|port| range.contains(port) && !reserved.contains(&usize::from(*port)))
        .map(|port| port.to_string())
        .collect();
    let read = if open.is_empty() { "none is ours".to_owned() } else { open.join(",") };
    let finding = Finding::ok(NAME, read, WHY);
    if open.is_empty() {
        return Some(finding);
    }
    let named = Finding { read: format!("not for {}", open.join(",")), ..finding };
    Some(named.advice(sysctl(NAME, open.join(","))))
}

fn migration(machine: &Machine) -> Finding {
    const NAME: &str = "net.ipv4.tcp_migrate_req";
    const WHY: &str = "when fewer cores listen after a restart, those who wait at one that is gone \
                       are taken by another";
    match machine.sysctl(NAME) {
        Some(value) => {
            let is_off = value == "0";
            Finding::ok(NAME, value, WHY).advice_if(is_off, || sysctl(NAME, 1))
        }
        None => Finding::unknown(NAME, WHY),
    }
}

fn packets(machine: &Machine) -> Finding {
    const NAME: &str = "net.core.netdev_max_backlog";
    const WHY: &str = "packets wait in it for a busy core; those beyond it are lost";
    let Some(value) = machine.sysctl(NAME) else { return Finding::unknown(NAME, WHY) };
    let text = machine.text("/proc/net/softnet_stat").unwrap_or_default();
    // The second column of each core's line, in hexadecimal.
    let lost: u64 = text
        .lines()
        .filter_map(|line| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok())
        .fold(0, u64::saturating_add);
    let read = format!("{value}; {lost} packets lost for it since the machine started");
    let is_short = lost > 0 && value.parse::<u64>().is_ok_and(|value| value < LONG_PACKETS);
    Finding::ok(NAME, read, WHY).advice_if(is_short, || sysctl(NAME, LONG_PACKETS))
}

fn most_files(machine: &Machine, config: &Config) -> Finding {
    const NAME: &str = "fs.nr_open";
    const WHY: &str = "no LimitNOFILE may be above it: systemd would give less";
    let Some(value) = machine.sysctl(NAME) else { return Finding::unknown(NAME, WHY) };
    let finding = Finding::ok(NAME, value.clone(), WHY);
    let Ok(number) = value.parse::<u64>() else { return finding };
    if number < needed_files(config) {
        return finding.problem(sysctl(NAME, needed_files(config).next_power_of_two()));
    }
    finding.advice_if(number < UNIT_FILES, || sysctl(NAME, UNIT_FILES))
}

fn tracked(machine: &Machine, config: &Config) -> Finding {
    const NAME: &str = "nf_conntrack";
    const WHY: &str = "a full table drops new connections, without a word to either side";
    let read = |name: &str| machine.number(format!("/proc/sys/net/netfilter/nf_conntrack_{name}"));
    let (Some(count), Some(most)) = (read("count"), read("max")) else {
        return Finding::ok(NAME, "connections are not tracked here", WHY);
    };
    let wanted = needed_files(config).max(most.saturating_mul(2));
    let fix = || {
        format!(
            "{}; or leave the proxy's ports untracked (nft: notrack)",
            sysctl("net.netfilter.nf_conntrack_max", wanted)
        )
    };
    let finding = Finding::ok(NAME, format!("{count} of {most} connections"), WHY);
    match () {
        () if count.saturating_mul(10) >= most.saturating_mul(9) => finding.problem(fix()),
        () if count.saturating_mul(2) >= most || most < needed_files(config) => {
            Finding { level: Level::Advice, fix: Some(fix()), ..finding }
        }
        () => finding,
    }
}

/// Below this, the usual two fifths are fewer connections than a busy site has.
const FEW_FILES: u64 = 65_536;
/// What our unit asks for.
const UNIT_FILES: u64 = 1_048_576;
/// The kernel's own range: 32768 to 60999.
const USUAL_PORTS: u64 = 28_232;
/// As in the example for /etc/sysctl.d.
const LONG_PACKETS: u64 = 16_384;
/// The first kernel that counts rings as the cgroup's memory.
const UNCOUNTED: (u32, u32) = (5, 12);
/// A request of 64 bytes, two replies of 16, and an index.
const RING_ENTRY_BYTES: u64 = 100;
