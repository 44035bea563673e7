//! What `wire`, `policy`, `config` and `flags` cost, in instructions: `cargo x micro`, or with the names
//! of some cases.
//!
//! A machine that others use, or a slow one, runs the same code in another time but with the same
//! instructions, so they can be compared with a number that was written down earlier. That number
//! says nothing of caches, branches and the kernel: for those there is `compare`.
//!
//! Each case is a process of its own under callgrind, so that no case sees what another left in
//! the heap. The process prepares, runs the case a few times uncounted, until its buffers have
//! grown and libraries have looked at the processor, and then runs it inside [`counted`], which is
//! where callgrind switches its counter on and off. Programs see no environment there and a plain
//! processor, the same on every x86-64 machine that has AVX2. So the same binary gives the same
//! counts everywhere, but for the C library's part, which is told apart (see [`baseline`]).
//!
//! `wire`, `policy`, `config`, `flags` and this crate are compiled in one unit each (see the workspace's manifest).
//! In several, a change to one function can move another one by more than what is tolerated here.

mod baseline;
mod callgrind;
mod config;
mod flags;
mod policy;
mod texts;
mod wire;

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use baseline::{Baseline, Extent, Makers};
use callgrind::Count;
use clap::Parser;

/// Counts the instructions of each case and compares them with what was written down.
#[derive(Debug, Parser)]
#[command(name = "micro")]
struct Arguments {
    /// Only the cases whose names contain one of these.
    cases: Vec<String>,
    /// Write the counts down instead of comparing them.
    #[arg(long)]
    update: bool,
    /// Name the cases, count nothing.
    #[arg(long)]
    list: bool,
    /// Run this one: how the program calls itself under callgrind.
    #[arg(long, hide = true)]
    guest: Option<String>,
    /// Where the counts are written down.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.txt"))]
    baseline: PathBuf,
}

/// One thing whose cost is known.
struct Case {
    name: &'static str,
    /// How often it is run. Once would do where luck has no part in it; more makes what is around
    /// it vanish.
    runs: u32,
    prepare: fn() -> Run,
}

/// A case, ready to run.
type Run = Box<dyn FnMut()>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.guest {
        Some(name) => guest(name),
        None => host(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = writeln!(io::stderr(), "error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn guest(name: &str) -> Result<(), String> {
    let case = cases().find(|case| case.name == name).ok_or("there is no such case")?;
    let mut run = (case.prepare)();
    for _ in 0..WARM_UPS {
        run();
    }
    counted(&mut run, case.runs);
    Ok(())
}

/// What callgrind counts; it knows the place by [`callgrind::PLACE`].
#[inline(never)]
fn counted(run: &mut Run, runs: u32) {
    for _ in 0..runs {
        run();
    }
}

/// Runs before those that count: buffers grow in the first, and in the second show that they have.
const WARM_UPS: u32 = 2;

fn host(arguments: &Arguments) -> Result<(), String> {
    let wanted = |case: &Case| {
        arguments.cases.is_empty() || arguments.cases.iter().any(|part| case.name.contains(part))
    };
    let cases: Vec<Case> = cases().filter(wanted).collect();
    if arguments.list || cases.is_empty() {
        return list(&cases);
    }
    if cfg!(debug_assertions) {
        return Err("this is no release build: `cargo x micro` makes one".to_owned());
    }
    let file = &arguments.baseline;
    let baseline = Baseline::parse(&fs::read_to_string(file).unwrap_or_default())?;
    let makers = Makers::here();
    let counts = count(&cases)?;
    let extent = if arguments.cases.is_empty() { Extent::Whole } else { Extent::Part };
    let comparison = baseline.compare(&makers, &counts, extent);
    say(&comparison.to_string());
    if !arguments.update {
        return comparison.verdict();
    }
    let updated = baseline.updated(makers, &counts, extent)?;
    fs::write(file, updated.to_string()).map_err(|error| format!("{}: {error}", file.display()))
}

fn list(cases: &[Case]) -> Result<(), String> {
    cases.iter().for_each(|case| say(case.name));
    if cases.is_empty() { Err("no case has such a name".to_owned()) } else { Ok(()) }
}

/// Counts each case.
fn count(cases: &[Case]) -> Result<Vec<(&'static str, Count)>, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let folder = folder(&program)?;
    let valgrind = callgrind::find().ok_or(
        "valgrind is not there: it counts the instructions. Most systems have a package of that \
         name (`apt-get install valgrind`)",
    )?;
    let mut counts = Vec::with_capacity(cases.len());
    for case in cases {
        let all = callgrind::count(&valgrind, &program, case.name, &folder)?;
        counts.push((case.name, all.each(case.runs)));
    }
    Ok(counts)
}

/// Where callgrind's files stay for who wants to see what is behind a number: beside the binary.
fn folder(program: &Path) -> Result<PathBuf, String> {
    let folder = program.with_file_name("micro-counts");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

fn say(text: &str) {
    // Whoever stops reading has seen enough.
    let _ = writeln!(io::stdout(), "{text}");
}

fn cases() -> impl Iterator<Item = Case> {
    let all = wire::CASES.into_iter().chain(policy::CASES);
    all.chain(config::CASES).chain(flags::CASES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_runs_and_has_a_name_of_its_own() {
        let mut names = Vec::new();
        for case in cases() {
            assert!(!names.contains(&case.name), "{} is there twice", case.name);
            names.push(case.name);
            let mut run = (case.prepare)();
            (0..=WARM_UPS).for_each(|_| run());
        }
    }

    #[test]
    fn every_case_is_written_down_and_nothing_else() {
        let baseline = Baseline::parse(include_str!("../baseline.txt")).expect("it is ours");
        let counts: Vec<_> = cases().map(|case| (case.name, Count::default())).collect();
        let mut named: Vec<_> = counts.iter().map(|(name, _)| *name).collect();
        named.sort_unstable();
        assert_eq!(baseline.names().collect::<Vec<_>>(), named);
    }
}
