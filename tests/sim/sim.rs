//! The data path in virtual time, under a seed.
//!
//! A run is one real [`Worker`](super::Worker): its doors, its connections' tasks, pools, deadlines,
//! table and counters, on one thread and the epoll driver, between simulated clients and origins on
//! the same thread, over unix sockets. Control's [`State`](crate::control::state::State) is the real
//! one too, so that reloads, weights, checks and ejections go the way they always go. Only the
//! outside is simulated: who connects, what is sent when, what goes wrong, and what time it is.
//!
//! **Time** stands still for as long as anybody can do anything. When the worker has polled all that
//! is ready, and no client and no origin can move a byte, it leaps to the next moment at which
//! somebody will: a pause that ends, an event, or the worker's next tick. All of a worker's time comes
//! from [`clock`](crate::clock) and from its tick, which sweeps the wheel of deadlines and alarms.
//!
//! **Chance** is one stream from the seed. Sockets of one thread wake their readers as they are written
//! to, so a run is a function of its seed: `a_seed_tells_the_same_story_twice` holds that.
//!
//! **Faults** come from the seed as well: of origins (`exchange.rs`), of clients (`client.rs`), and
//! from beside (`events.rs`): reloads, endpoints that go and come, dials without an answer, checks,
//! weights, stalls, jumps of the wall clock, panics at places marked by `hooks::strike`, a drain.
//!
//! **What must hold** is checked where it can be seen: in `world.rs` for each exchange, at the origins
//! for each request, and in `verdict.rs` once a run is over.
//!
//! ```sh
//! cargo test -p gnomon --lib sim                               # what every test run does
//! SEEDS=100000 cargo test --release -p gnomon --lib sim::many  # more of it
//! SEEDS=20000 FIRST=700000 cargo test …                        # from another seed on
//! SEED=4711 cargo test -p gnomon --lib sim::many -- --nocapture  # one, with its whole trace
//! ```

mod client;
mod draw;
mod events;
mod exchange;
pub(super) mod hooks;
mod knobs;
mod message;
mod origin;
mod run;
mod verdict;
mod world;

use std::{
    panic::catch_unwind,
    path::PathBuf,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    thread,
};

/// What a whole exchange may take.
const REQUEST_MILLIS: u64 = 9_000;

/// What a drain may take.
const DRAIN_MILLIS: u64 = 12_000;

/// Exchanges in a hundred that an origin does wrong.
const ORIGIN_FAULTS: u64 = 15;

/// Heads of one request that may reach origins.
const ATTEMPTS_MAX: u32 = 4;

/// Seeds that every test run tries.
const SEEDS: u64 = 300;

/// Lines of a trace that are shown.
const TAIL: usize = 60;

/// A folder for the sockets of one thread; short, since a socket's path is.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("gnomon-sim-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[expect(clippy::disallowed_methods, reason = "how much is tried is said from outside")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What is wrong with a seed, as it is to be read.
fn try_seed(seed: u64, folder: &Folder, is_whole: bool) -> Result<usize, String> {
    let report = catch_unwind(|| run::run(seed, &folder.0));
    let Ok(report) = report else {
        return Err(format!("seed {seed}: the run itself has panicked (SEED={seed})"));
    };
    let skipped = if is_whole { 0 } else { report.trace.len().saturating_sub(TAIL) };
    let trace = report.trace[skipped..].join("\n");
    if report.wrong.is_empty() {
        if is_whole {
            #[expect(clippy::print_stdout, reason = "a replay is there to be read")]
            {
                println!("{trace}");
            }
        }
        return Ok(report.exchanges);
    }
    let wrong = report.wrong.join("; ");
    Err(format!(
        "{trace}\nto replay it: SEED={seed} cargo test -p gnomon --lib sim::many -- --nocapture\n\
         seed {seed}: {wrong}"
    ))
}

#[test]
fn many_seeds_hold_what_is_promised() {
    if let Some(seed) = number("SEED") {
        let failure = try_seed(seed, &Folder::new(), true).err();
        return assert!(failure.is_none(), "{}", failure.unwrap_or_default());
    }
    let first_seed = number("FIRST").unwrap_or(0);
    let end = first_seed + number("SEEDS").unwrap_or(SEEDS);
    let (next, exchanges) = (AtomicU64::new(first_seed), AtomicUsize::new(0));
    let failures = std::sync::Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let folder = Folder::new();
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= end {
                        return;
                    }
                    match try_seed(seed, &folder, false) {
                        Ok(count) => drop(exchanges.fetch_add(count, Relaxed)),
                        Err(failure) => failures.lock().unwrap().push(failure),
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    let count = failures.len();
    let last = |failure: &String| failure.lines().last().unwrap_or_default().to_owned();
    let seeds: Vec<_> = failures.iter().take(20).map(last).collect();
    let first = failures.first().cloned().unwrap_or_default();
    assert!(count == 0, "{count} seeds of {}:\n{}\n{first}", end - first_seed, seeds.join("\n"));
    assert!(exchanges.into_inner() as u64 > end - first_seed, "hardly anything was simulated");
}

#[test]
fn a_seed_tells_the_same_story_twice() {
    let folder = Folder::new();
    for seed in 0..20 {
        let (one, other) = (run::run(seed, &folder.0), run::run(seed, &folder.0));
        for (number, (line, again)) in one.trace.iter().zip(&other.trace).enumerate() {
            assert_eq!(line, again, "seed {seed}, line {number}");
        }
        assert_eq!(one.trace.len(), other.trace.len(), "seed {seed}");
    }
}
