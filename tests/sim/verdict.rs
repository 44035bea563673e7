//! What must hold when a run is over: everything has been given back, and everything adds up.

use std::{rc::Rc, sync::Arc};

use super::{hooks, run::Sim};
use crate::cells::{Cell, CoreCells, EndpointCells, VersionCells};

pub(super) fn close(sim: &mut Sim) {
    for endpoint in 0..sim.endpoints.len() {
        sim.endpoints[endpoint].step(&mut sim.world);
    }
    for (name, left) in leftovers(sim) {
        if left != 0 {
            sim.world.accuse(format!("{left} left over: {name}"));
        }
    }
    let owed = sim.world.exchanges.iter().filter(|it| it.is_behaved && it.began.is_some());
    let unanswered = owed.filter(|it| it.outcome.is_none()).count();
    if unanswered > 0 {
        sim.world.accuse(format!("{unanswered} requests without an end"));
    }
    accounts(sim);
    hooks::reset();
}

/// What must be nothing in the end.
fn leftovers(sim: &mut Sim) -> Vec<(&'static str, u64)> {
    let worker = &sim.worker;
    let cells: &CoreCells = &worker.cells;
    let endpoints = |cell: fn(&EndpointCells) -> &Cell| -> u64 {
        sim.state.registry.known().map(|it| it.sum(cell)).sum()
    };
    let versions = |cell: fn(&VersionCells) -> &Cell| -> u64 { versions(sim, cell) };
    let mut all = vec![
        ("client connections", cells.connections.read()),
        ("origin connections", cells.origin_connections.read()),
        ("buffers", cells.buffers.read()),
        ("kept buffers", worker.buffers.kept() as u64),
        ("deadlines", worker.deadlines.in_use() as u64),
        ("doors", worker.acceptors.get() as u64),
        ("tapped bytes", worker.tapped.get()),
        ("log lines dropped", cells.log_drops.read()),
        ("accept failures", cells.accept_failures.read()),
        ("exchanges under way at endpoints", endpoints(|it| &it.in_flight)),
        ("connections of endpoints", endpoints(|it| &it.open)),
        ("idle connections", endpoints(|it| &it.idle)),
        ("requests in line", endpoints(|it| &it.waiting)),
        ("exchanges under way", versions(|it| &it.in_flight)),
        ("tasks", Rc::strong_count(&sim.worker) as u64 - 1),
    ];
    let open: usize = sim.endpoints.iter().map(|endpoint| endpoint.connections()).sum();
    all.push(("connections that origins see", open as u64));
    sim.state.free();
    all.push(("snapshots", sim.state.retired() as u64));
    all
}

fn versions(sim: &Sim, cell: fn(&VersionCells) -> &Cell) -> u64 {
    let mut seen: Vec<*const VersionCells> = Vec::new();
    let mut sum = 0;
    let snapshot = sim.shared.publisher.current();
    for cells in snapshot.versions.iter().flat_map(|version| &version.cells) {
        if !seen.contains(&Arc::as_ptr(cells)) {
            seen.push(Arc::as_ptr(cells));
            sum += cell(cells).read();
        }
    }
    sum
}

/// Every request is counted, and once.
fn accounts(sim: &mut Sim) {
    let cells = &sim.worker.cells;
    let requests = cells.requests.read();
    let planned = versions(sim, |it| &it.assigned)
        + versions(sim, |it| &it.pinned)
        + versions(sim, |it| &it.fallback);
    let counted = planned + cells.unrouted.read() + cells.rejects.read();
    let ended = (0..5).fold(versions(sim, |it| &it.unanswered), |sum, class| {
        sum + match class {
            0 => versions(sim, |it| &it.classes[0]),
            1 => versions(sim, |it| &it.classes[1]),
            2 => versions(sim, |it| &it.classes[2]),
            3 => versions(sim, |it| &it.classes[3]),
            _ => versions(sim, |it| &it.classes[4]),
        }
    });
    let logged = sim.logged;
    // A panic takes its request with it, and nothing else.
    let lost = sim.panics;
    if logged > requests || logged + lost < requests {
        sim.world.accuse(format!("{requests} requests, {logged} lines in the log, {lost} panics"));
    }
    if counted != logged {
        sim.world.accuse(format!("{counted} requests counted, {logged} logged"));
    }
    if ended != planned {
        sim.world.accuse(format!("{planned} requests went to versions, {ended} came back"));
    }
}
