//! The doctor, against machines that are folders.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use super::*;

/// A machine made of files.
struct Tree(PathBuf);

impl Tree {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("gnomon-doctor-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let root = std::env::temp_dir().join(name);
        fs::create_dir(&root).unwrap();
        Self(root)
    }

    /// Four cores on two physical ones, one card with four queues, everything as it should be.
    fn sound() -> Self {
        let tree = Self::new();
        for (path, text) in [
            ("proc/sys/kernel/osrelease", "6.1.0-25-amd64"),
            ("proc/sys/kernel/io_uring_disabled", "0"),
            ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc"),
            (
                "sys/devices/system/clocksource/clocksource0/available_clocksource",
                "tsc hpet acpi_pm",
            ),
            ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never"),
            ("proc/17/comm", "chronyd"),
            (
                "proc/self/limits",
                "Limit                     Soft Limit           Hard Limit           Units\n\
                 Max open files            1024                 1048576              files\n\
                 Max locked memory         8388608              8388608              bytes\n",
            ),
            ("proc/self/status", "Name:\tgnomon\nUid:\t0\t0\t0\t0\nCpus_allowed_list:\t0-3\n"),
            ("proc/self/cgroup", "0::/a.slice\n"),
            ("sys/fs/cgroup/a.slice/cpu.max", "max 100000"),
            ("proc/sys/net/core/somaxconn", "65535"),
            ("proc/sys/net/ipv4/tcp_max_syn_backlog", "65535"),
            ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999"),
            ("proc/sys/net/ipv4/ip_local_reserved_ports", ""),
            ("proc/sys/net/ipv4/tcp_migrate_req", "1"),
            ("proc/sys/net/core/netdev_max_backlog", "1000"),
            ("proc/net/softnet_stat", "0000abcd 00000000 0\n0000abcd 00000000 0\n"),
            ("proc/sys/fs/nr_open", "1048576"),
            ("sys/devices/system/node/node0/cpulist", "0-3"),
            (
                "etc/passwd",
                "root:x:0:0::/root:/bin/sh\ngnomon:x:990:990::/var/lib/gnomon:/bin/false\n",
            ),
            ("sys/class/net/lo/mtu", "65536"),
            ("sys/class/net/eth0/device/msi_irqs/40", "msix"),
            (
                "proc/interrupts",
                "      CPU0 CPU1 CPU2 CPU3\n 40: 9 0 0 0 PCI-MSI 0-edge eth0\n 41: 9 0 0 0 PCI-MSI eth0-TxRx-0\n \
                 42: 0 9 0 0 PCI-MSI eth0-TxRx-1\n 43: 0 0 9 0 PCI-MSI eth0-TxRx-2\n LOC: 1 1 1 1 timer\n",
            ),
        ] {
            tree.put(path, text);
        }
        for core in 0..4 {
            let folder = format!("sys/devices/system/cpu/cpu{core}");
            tree.put(&format!("{folder}/topology/thread_siblings_list"), &core.to_string());
            tree.put(&format!("{folder}/cpufreq/scaling_governor"), "performance");
        }
        for queue in 0..3 {
            tree.put(&format!("sys/class/net/eth0/queues/rx-{queue}/rps_cpus"), "0");
            tree.put(&format!("sys/class/net/eth0/device/msi_irqs/{}", 41 + queue), "msix");
            tree.put(&format!("proc/irq/{}/smp_affinity_list", 41 + queue), &queue.to_string());
        }
        tree
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn take(&self, path: &str) {
        fs::remove_file(self.0.join(path)).unwrap();
    }

    fn examined(&self, config: &str) -> Vec<Finding> {
        let text = format!("listen = \"0.0.0.0:8080\"\nroute.a.to = \"a\"\n{config}");
        let text = if text.contains("[upstream.a") {
            text
        } else {
            format!("upstream.a.versions.v1 = [\"127.0.0.1:1\"]\n{text}")
        };
        let config = gnomon_config::parse("test", &text, &Options::default());
        let config = config.unwrap_or_else(|problems| panic!("{problems}")).config;
        examined(&Machine::new(&self.0), &config)
    }

    #[track_caller]
    fn says(&self, config: &str, name: &str, level: Level, part: &str) -> Finding {
        let all = self.examined(config);
        let found = all.into_iter().find(|finding| finding.name == name);
        let found = found.unwrap_or_else(|| panic!("nothing about {name}"));
        let shown = format!("{} | {}", found.read, found.fix.as_deref().unwrap_or_default());
        assert_eq!(found.level, level, "{name}: {shown}");
        assert!(shown.contains(part), "{name}: {shown}");
        assert_eq!(found.fix.is_some(), matches!(level, Level::Advice | Level::Problem), "{shown}");
        found
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_sound_machine_has_nothing_to_mend() {
    let all = Tree::sound().examined("");
    assert!(all.len() >= 20, "{}", all.len());
    let free = |finding: &&Finding| finding.name != "disk space";
    let wrong: Vec<_> = all.iter().filter(free).filter(|it| it.level != Level::Ok).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let text = rendered(&all, Paint::PLAIN);
    assert!(text.contains(" 0 advice, 0 problems, 0 not known"), "{text}");
}

#[test]
fn a_machine_that_tells_nothing_is_not_known_and_no_problem() {
    let all = Tree::new().examined("");
    let wrong = all.iter().filter(|it| !matches!(it.level, Level::Ok | Level::Unknown));
    let wrong: Vec<_> = wrong.filter(|it| it.name != "disk space").collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(all.iter().filter(|it| it.level == Level::Unknown).count() >= 12, "{all:#?}");
}

#[test]
fn the_driver_that_would_serve_is_named_with_its_reason() {
    let tree = Tree::sound();
    tree.says("", "io_uring", Level::Ok, "io_uring serves");
    tree.put("proc/sys/kernel/io_uring_disabled", "2");
    tree.says("", "io_uring", Level::Advice, "sysctl -w kernel.io_uring_disabled=0");
    tree.says("runtime.driver = \"io_uring\"", "io_uring", Level::Problem, "takes nothing else");
    tree.says("runtime.driver = \"epoll\"", "io_uring", Level::Ok, "`runtime.driver` says so");
    tree.put("proc/sys/kernel/io_uring_disabled", "1");
    tree.says("", "io_uring", Level::Advice, "io_uring_group");
    tree.take("proc/sys/kernel/io_uring_disabled");
    tree.put("proc/sys/kernel/osrelease", "4.19.0-27");
    tree.says("", "io_uring", Level::Advice, "the kernel has none");
    tree.says("", "kernel", Level::Advice, "5.10");
}

#[test]
fn clocks_and_time() {
    let tree = Tree::sound();
    tree.put("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet");
    tree.says("", "clock source", Level::Advice, "echo tsc > ");
    tree.put("sys/devices/system/clocksource/clocksource0/available_clocksource", "hpet acpi_pm");
    tree.says("", "clock source", Level::Advice, "dmesg");
    tree.put("proc/17/comm", "sh");
    tree.says("", "time sync", Level::Advice, "timedatectl");
    tree.put("run/systemd/timesync/synchronized", "");
    tree.says("", "time sync", Level::Ok, "synchronized");
}

#[test]
fn limits_are_held_against_what_is_configured() {
    let tree = Tree::sound();
    tree.says("", "open files", Level::Ok, "1048576 (this shell's)");
    tree.says("limits.connections = 600000", "open files", Level::Problem, "needs 1200000");
    tree.says("limits.connections = 600000", "fs.nr_open", Level::Problem, "fs.nr_open=2097152");
    tree.put(
        "lib/systemd/system/gnomon.service",
        "[Service]\nLimitNOFILE=1024:4096\nLimitMEMLOCK=infinity\n",
    );
    tree.says("", "open files", Level::Advice, "4096 (from /lib/systemd/system/gnomon.service)");
    tree.says("", "locked memory", Level::Ok, "rings do not count");
    tree.put("lib/systemd/system/gnomon.service", "[Service]\nLimitMEMLOCK=65536\n");
    tree.put("proc/sys/kernel/osrelease", "5.10.0");
    tree.says("", "locked memory", Level::Advice, "LimitMEMLOCK=infinity");
}

#[test]
fn queues_and_ports_are_held_against_what_is_configured() {
    let tree = Tree::sound();
    tree.put("proc/sys/net/core/somaxconn", "128");
    tree.says("", "net.core.somaxconn", Level::Advice, "sysctl -w net.core.somaxconn=65535");
    tree.put("proc/sys/net/ipv4/tcp_max_syn_backlog", "512");
    tree.says("", "net.ipv4.tcp_max_syn_backlog", Level::Advice, "the longest `backlog` is 4096");
    let range = "net.ipv4.ip_local_port_range";
    tree.says("", range, Level::Ok, "28232 ports");
    let many = "[upstream.a]\nversions.v1 = [\"127.0.0.1:1\"]\npool.max = 60000\n";
    tree.says(many, range, Level::Problem, "`pool.max` is 60000");
    tree.put("proc/sys/net/ipv4/ip_local_port_range", "1024 20000");
    tree.says("", range, Level::Advice, "'1024 65535'");
    let reserved = "net.ipv4.ip_local_reserved_ports";
    tree.says("", reserved, Level::Advice, "ip_local_reserved_ports=8080");
    tree.put("proc/sys/net/ipv4/ip_local_reserved_ports", "8000-8100");
    tree.says("", reserved, Level::Ok, "");
    tree.put("proc/sys/net/ipv4/tcp_migrate_req", "0");
    tree.says("", "net.ipv4.tcp_migrate_req", Level::Advice, "tcp_migrate_req=1");
    tree.put("proc/net/softnet_stat", "0000abcd 0000000a 0\n0 00000001 0\n");
    tree.says("", "net.core.netdev_max_backlog", Level::Advice, "11 packets lost");
    tree.put("proc/sys/fs/nr_open", "65536");
    tree.says("", "fs.nr_open", Level::Advice, "1048576");
    for (count, level) in [("10", Level::Ok), ("60000", Level::Advice), ("99000", Level::Problem)] {
        tree.put("proc/sys/net/netfilter/nf_conntrack_count", count);
        tree.put("proc/sys/net/netfilter/nf_conntrack_max", "100000");
        tree.says("", "nf_conntrack", level, "of 100000");
    }
}

#[test]
fn cores_are_placed_as_the_proxy_would() {
    let tree = Tree::sound();
    tree.says("", "cores", Level::Ok, "3 workers on 0-2, pinned; allowed are 0-3");
    tree.says("runtime.cores = 9", "cores", Level::Advice, "9 workers on 0-3");
    tree.says("runtime.cores = \"7\"", "cores", Level::Problem, "`runtime.cores` is 7");
    for core in 0..4 {
        let path = format!("sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
        tree.put(&path, &format!("{},{}", core % 2, core % 2 + 2));
    }
    tree.says("", "physical cores", Level::Advice, "1 of them");
    tree.says("runtime.cores = \"physical\"", "cores", Level::Ok, "2 workers on 0-1");
    tree.says("runtime.cores = \"physical\"", "physical cores", Level::Ok, "");
    tree.put("sys/fs/cgroup/a.slice/cpu.max", "150000 100000");
    tree.says("", "cpu quota", Level::Advice, "1.5 cores for 2 workers");
    tree.put("sys/fs/cgroup/a.slice/cpu.max", "200000 100000");
    tree.says("", "cpu quota", Level::Ok, "2 cores for 2 workers");
    tree.put("sys/fs/cgroup/a.slice/cpu.stat", "nr_periods 9\nnr_throttled 4\n");
    tree.says("", "cpu quota", Level::Advice, "stopped 4 times");
    tree.put("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave");
    tree.says("", "frequency", Level::Advice, "performance, powersave");
    tree.put("sys/devices/system/node/node0/cpulist", "0");
    tree.put("sys/devices/system/node/node1/cpulist", "1-3");
    tree.says("", "memory nodes", Level::Advice, "node 0, 1");
}

#[test]
fn interrupts_are_looked_for_beside_the_workers() {
    let tree = Tree::sound();
    tree.says("", "queues of eth0", Level::Ok, "3 to receive; interrupts on 0-2, workers on 0-2");
    for irq in 41..44 {
        tree.put(&format!("proc/irq/{irq}/effective_affinity_list"), "1");
    }
    tree.says("", "queues of eth0", Level::Advice, "echo 2 > /proc/irq/43/smp_affinity_list");
    tree.says("runtime.cores = \"0-3\"", "queues of eth0", Level::Advice, "echo 0000000f > ");
    // On a core without a worker they cost nobody anything.
    for irq in 41..44 {
        tree.put(&format!("proc/irq/{irq}/effective_affinity_list"), "3");
    }
    tree.says("", "queues of eth0", Level::Ok, "interrupts on 3");
    tree.put("proc/99/comm", "irqbalance");
    tree.says("", "irqbalance", Level::Advice, "IRQBALANCE_BANNED_CPULIST=0-2");
    tree.says("runtime.pin = false", "irqbalance", Level::Ok, "running");
    tree.put("etc/default/irqbalance", "IRQBALANCE_BANNED_CPULIST=0-2\n");
    tree.says("", "irqbalance", Level::Ok, "leaves alone");
}

#[test]
fn places_have_an_owner_and_rights() {
    use std::os::unix::fs::PermissionsExt as _;
    let tree = Tree::sound();
    let mode = |path: &str, mode| {
        let path = tree.0.join(path);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    tree.says("", "state folder", Level::Ok, "the start makes it");
    mode("var/lib/gnomon", 0o755);
    tree.says("", "state folder", Level::Advice, "chmod 0700 /var/lib/gnomon");
    mode("var/lib/gnomon", 0o700);
    tree.says("", "state folder", Level::Ok, "mode 0700");
    tree.put("srv/file", "");
    tree.says("state.dir = \"/srv/file\"", "state folder", Level::Problem, "is no folder");
    tree.says("", "socket folder", Level::Ok, "the start makes it");
    mode("run/gnomon", 0o777);
    tree.says("", "socket folder", Level::Problem, "chmod 0755 /run/gnomon");
    mode("run/gnomon", 0o1777);
    tree.says("", "socket folder", Level::Advice, "a folder of its own");
    mode("run/gnomon", 0o755);
    tree.says("", "socket folder", Level::Ok, "mode 0755");
    tree.says("", "service user", Level::Ok, "uid 990");
    tree.put("etc/passwd", "root:x:0:0::/root:/bin/sh\n");
    tree.says("", "service user", Level::Advice, "useradd");
}

#[test]
fn an_advice_is_shown_with_its_reason_and_what_mends_it() {
    let finding = Finding::ok("a", "1", "it matters").advice("do so");
    let text = rendered(&[finding, Finding::unknown("bcd", "-")], Paint::PLAIN);
    let wanted = "▲ advice  a    1\n               it matters\n               fix: do so\n\
                  ? unknown bcd  not known\n\n0 ok, 1 advice, 0 problems, 1 not known\n";
    assert_eq!(text, wanted, "{text}");
    assert!(Machine::new(Path::new("/")).is_this());
}
