//! Interrupts: which cores take packets off the network cards, beside those that serve.

use std::collections::BTreeSet;

use gnomon_config::Config;

use super::{
    Finding, Machine, cores,
    machine::{listed, numbers},
};

pub(super) fn findings(machine: &Machine, config: &Config) -> Vec<Finding> {
    let workers: BTreeSet<usize> = cores::workers(machine, config).into_iter().collect();
    let cards = machine.names(CARDS).into_iter();
    // What has no device is made of software: loopback, bridges, tunnels.
    let cards = cards.filter(|card| machine.path(format!("{CARDS}/{card}/device")).exists());
    let cards: Vec<String> = cards.take(CARDS_MAX).collect();
    let mut all: Vec<Finding> = cards.iter().map(|card| of_card(machine, card, &workers)).collect();
    if all.is_empty() {
        all.push(Finding::unknown("network queues", WHY));
    }
    all.push(balancer(machine, config, &cards));
    all
}

fn of_card(machine: &Machine, card: &str, workers: &BTreeSet<usize>) -> Finding {
    let name = format!("queues of {card}");
    let queues = machine.names(format!("{CARDS}/{card}/queues"));
    let receiving = queues.iter().filter(|queue| queue.starts_with("rx-")).count();
    let irqs = irqs_of(machine, card);
    let placed: Vec<(u32, BTreeSet<usize>)> =
        irqs.into_iter().filter_map(|irq| Some((irq, cores_of(machine, irq)?))).collect();
    if placed.is_empty() {
        return Finding::unknown(name, WHY);
    }
    let cores: BTreeSet<usize> = placed.iter().flat_map(|(_, cores)| cores).copied().collect();
    let taken: BTreeSet<usize> = cores.intersection(workers).copied().collect();
    let read = format!(
        "{receiving} to receive; interrupts on {}, workers on {}",
        listed(&cores),
        listed(workers)
    );
    let finding = Finding::ok(name, read, WHY);
    // Beside the workers, or on all of them alike: no core is hotter than the others for it.
    if taken.is_empty() || taken.len() == workers.len() {
        return finding;
    }
    let spread = |(at, (irq, _)): (usize, &(u32, BTreeSet<usize>))| {
        let core = workers.iter().nth(at % workers.len())?;
        Some(format!("echo {core} > /proc/irq/{irq}/smp_affinity_list"))
    };
    if placed.len() >= workers.len() {
        let commands: Vec<String> = placed.iter().enumerate().filter_map(spread).collect();
        let more = commands.len().saturating_sub(COMMANDS_MAX);
        let mut fix = commands[..commands.len().min(COMMANDS_MAX)].join("; ");
        if more > 0 {
            fix.push_str(&format!("; and so on for {more} more"));
        }
        return finding.advice(fix);
    }
    finding.advice(format!(
        "fewer queues than workers: spread packets by software, \
         for queue in {CARDS}/{card}/queues/rx-*; do echo {} > $queue/rps_cpus; done",
        mask(workers)
    ))
}

/// The interrupts of a card, without those that only tell of its state.
fn irqs_of(machine: &Machine, card: &str) -> Vec<u32> {
    let device = format!("{CARDS}/{card}/device");
    // A virtio card is a device of a PCI device, which has the interrupts.
    let folders = [format!("{device}/msi_irqs"), format!("{device}/../msi_irqs")];
    let found = folders.iter().map(|folder| machine.names(folder)).find(|it| !it.is_empty());
    let own: BTreeSet<u32> =
        found.unwrap_or_default().iter().filter_map(|irq| irq.parse().ok()).collect();
    let text = machine.text("/proc/interrupts").unwrap_or_default();
    let mut irqs = Vec::new();
    for line in text.lines().take(LINES_MAX) {
        let Some((irq, rest)) = line.trim().split_once(':') else { continue };
        let Ok(irq) = irq.parse::<u32>() else { continue };
        let name = rest.split_whitespace().last().unwrap_or_default();
        let is_ours = own.contains(&irq)
            || own.is_empty() && name.split(['-', '@', ':', '.']).any(|part| part == card);
        if is_ours && !STATE.iter().any(|word| name.contains(word)) {
            irqs.push(irq);
        }
    }
    irqs
}

/// The cores that an interrupt goes to.
fn cores_of(machine: &Machine, irq: u32) -> Option<BTreeSet<usize>> {
    let read = |name: &str| machine.text(format!("/proc/irq/{irq}/{name}"));
    let list = read("effective_affinity_list").filter(|list| !list.is_empty());
    list.or_else(|| read("smp_affinity_list")).map(|list| numbers(&list))
}

/// The cores as the kernel's masks are written: words of 32 bits, the highest first.
fn mask(cores: &BTreeSet<usize>) -> String {
    let words = cores.last().map_or(1, |core| core / 32 + 1);
    let mut mask = vec![0_u32; words];
    for core in cores {
        mask[core / 32] |= 1 << (core % 32);
    }
    let shown: Vec<String> = mask.iter().rev().map(|word| format!("{word:08x}")).collect();
    shown.join(",")
}

fn balancer(machine: &Machine, config: &Config, cards: &[String]) -> Finding {
    const NAME: &str = "irqbalance";
    const WHY: &str = "it moves interrupts onto cores that workers are pinned to";
    let is_running = !machine.running_of(&["irqbalance"]).is_empty();
    if !is_running {
        return Finding::ok(NAME, "not running", WHY);
    }
    let workers: BTreeSet<usize> = cores::workers(machine, config).into_iter().collect();
    let settings = machine.text("/etc/default/irqbalance").unwrap_or_default();
    let is_told =
        settings.lines().any(|line| line.trim().starts_with("IRQBALANCE_BANNED_CPULIST="));
    let is_moving = config.runtime.pin && !cards.is_empty() && !is_told;
    Finding::ok(NAME, if is_told { "running, with cores it leaves alone" } else { "running" }, WHY)
        .advice_if(is_moving, || {
            format!(
                "IRQBALANCE_BANNED_CPULIST={} in /etc/default/irqbalance, then: systemctl restart \
                 irqbalance",
                listed(&workers)
            )
        })
}

const WHY: &str = "packets are taken on the core that the interrupt goes to, and its worker waits";
const CARDS: &str = "/sys/class/net";
/// What the names of interrupts have in them that carry no packets.
const STATE: [&str; 5] = ["config", "async", "ctrl", "mgmnt", "misc"];
/// More than a machine has that somebody would place by hand.
const CARDS_MAX: usize = 64;
const LINES_MAX: usize = 16_384;
/// Commands that are shown.
const COMMANDS_MAX: usize = 8;
