//! Rollouts in virtual time, under a seed: all that is pure, together, for hours.
//!
//! A run is one upstream with its table, split, balance, checks, ejections, retry budgets, trial and
//! fuse, judge and controller: the product's own, each asked as the proxy asks it, second by second.
//! What the proxy does between them is modelled here in as few words as possible
//! (`keeper.rs`: what is on the disk, and that a weight is raised only then; `evidence.rs`: which
//! requests the judge is told of). Outside are origins that fail, hang, slow down, vanish and recover
//! (`origins.rs`), and people who give orders, change the file, set the clock and kill the process
//! (`people.rs`).
//!
//! In every third run both versions behave alike whatever happens, and how often the judge sends
//! such a canary back is counted over all seeds. In all runs `checks.rs` holds, each second, what is
//! promised.
//!
//! ```sh
//! cargo test -p e2e --test rollout_sim                          # what every test run does
//! SEEDS=5000 cargo test --release -p e2e --test rollout_sim many  # more of it
//! SEEDS=5000 FIRST=700000 cargo test …                          # from another seed on
//! SEED=4711 cargo test -p e2e --test rollout_sim many -- --nocapture  # one, with its whole trace
//! ```

mod rollout_sim {
    pub(super) mod checks;
    pub(super) mod evidence;
    pub(super) mod keeper;
    pub(super) mod knobs;
    pub(super) mod origins;
    pub(super) mod people;
    pub(super) mod traffic;
    pub(super) mod world;
}

use std::panic::catch_unwind;

use e2e::sim::runs::three_errors;
use rollout_sim::world::{self, Report, Seen};

/// Seeds that every test run tries.
const SEEDS: u64 = 60;

/// Lines of a trace that are shown.
const TAIL: usize = 60;

/// Chance that a canary no worse than allowed is sent back by the judge, as `gate.confidence` has it.
const ALPHA: f64 = 0.01;

#[expect(clippy::disallowed_methods, reason = "how much is tried is said from outside")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A run, or what is wrong with its seed, as it is to be read.
fn try_seed(seed: u64, is_whole: bool) -> Result<Report, String> {
    let Ok(report) = catch_unwind(|| world::run(seed)) else {
        return Err(format!("seed {seed}: the run itself has panicked (SEED={seed})"));
    };
    let skipped = if is_whole { 0 } else { report.trace.len().saturating_sub(TAIL) };
    let trace = report.trace[skipped..].join("\n");
    if !report.wrong.is_empty() {
        let wrong = report.wrong.join("; ");
        return Err(format!(
            "{trace}\nto replay it: SEED={seed} cargo test -p e2e --test rollout_sim many -- \
             --nocapture\nseed {seed}: {wrong}"
        ));
    }
    if is_whole {
        #[expect(clippy::print_stdout, reason = "a replay is there to be read")]
        {
            println!("{trace}\n{:?}", report.seen);
        }
    }
    Ok(report)
}

#[test]
fn many_seeds_hold_what_is_promised() {
    if let Some(seed) = number("SEED") {
        let failure = try_seed(seed, true).err();
        return assert!(failure.is_none(), "{}", failure.unwrap_or_default());
    }
    let (first, count) = (number("FIRST").unwrap_or(0), number("SEEDS").unwrap_or(SEEDS));
    let runs = e2e::sim::runs::each(count, |seed| try_seed(first + seed, false));
    let failures: Vec<&String> = runs.iter().filter_map(|run| run.as_ref().err()).collect();
    let last = |failure: &&String| failure.lines().last().unwrap_or_default().to_owned();
    let lines: Vec<_> = failures.iter().take(20).map(last).collect();
    let shown = failures.first().map_or("", |failure| failure);
    assert!(failures.is_empty(), "{} of {count}:\n{}\n{shown}", failures.len(), lines.join("\n"));
    let mut seen = Seen::default();
    runs.iter().flatten().for_each(|run| seen.add(&run.seen));
    #[expect(clippy::print_stdout, reason = "what was simulated is shown with --nocapture")]
    {
        println!("{count} seeds: {seen:?}");
    }
    // No more false rollbacks than promised, as far as so many runs can tell.
    let alike = usize::try_from(seen.alike_starts).expect("a count");
    let share = seen.alike_worse as f64 / alike.max(1) as f64;
    let most = ALPHA + three_errors(ALPHA, alike.max(1));
    assert!(share <= most, "{share} of {alike} like canaries were sent back, {most} at most");
    // The judge believes the router once in a thousand runs less than it should, at the most.
    let most = 0.001 + three_errors(0.001, runs.len());
    let doubted = runs.iter().flatten().filter(|run| run.seen.invalid > 0).count();
    let share = doubted as f64 / runs.len() as f64;
    assert!(share <= most, "in {doubted} of {count} the judge says that shares are not kept to");
    if count >= SEEDS {
        assert!(seen.has_all(), "hardly anything was simulated: {seen:?}");
    }
}

#[test]
fn a_seed_tells_the_same_story_twice() {
    for seed in 0..3 {
        let (one, other) = (world::run(seed), world::run(seed));
        for (number, (line, again)) in one.trace.iter().zip(&other.trace).enumerate() {
            assert_eq!(line, again, "seed {seed}, line {number}");
        }
        assert_eq!(one.trace.len(), other.trace.len(), "seed {seed}");
        assert_eq!(one.seen, other.seen, "seed {seed}");
    }
}
