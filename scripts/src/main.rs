//! Chores of the workspace: `cargo x ci`, `cargo x bench`, `cargo x micro`, `cargo x fuzz`,
//! `cargo x demo`, `cargo x soak`, `cargo x restarts`, `cargo x strain`, `cargo x console`,
//! `cargo x screenshots`, `cargo x deb`, `cargo x systemd`.
//!
//! Each is a thin call to what does the work, so that there is one place to remember and none
//! to keep in step.

mod deb;
mod scan;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo x", about = "Chores of the workspace")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// All that a change must pass: what runs for every pull request.
    Ci {
        /// Handed on to `.ci/run`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<OsString>,
    },
    /// Compare gnomon with the proxies on this machine; `cargo x bench --help` tells more.
    #[command(disable_help_flag = true)]
    Bench {
        /// Handed on to `compare`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<OsString>,
    },
    /// Count the instructions of `wire`, `policy` and `config`; `cargo x micro --help` tells more.
    #[command(disable_help_flag = true)]
    Micro {
        /// Handed on to `micro`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<OsString>,
    },
    /// Fuzz a target of tests/fuzz; without one, name them.
    Fuzz {
        /// The target.
        target: Option<String>,
        /// How long.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// Build the Debian package, with cargo-deb.
    Deb,
    /// Prove the Debian package and its units under a real systemd, in namespaces of its own: needs root.
    Systemd {
        /// The package; built unless given.
        #[arg(long)]
        package: Option<PathBuf>,
    },
    /// Have sslscan and testssl.sh look at a TLS port of gnomon: nothing weak may be found. What is
    /// not installed is left out.
    Scan {
        /// The program; built unless given.
        #[arg(long)]
        gnomon: Option<PathBuf>,
    },
    /// A rollout with users and origins on this machine: `gnomon demo`, built first.
    #[command(disable_help_flag = true)]
    Demo {
        /// Handed on to `gnomon demo`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<OsString>,
    },
    /// Test the console with a browser; needs node and Chromium.
    Console {
        /// Handed on to `tests/console/run.sh`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<OsString>,
    },
    /// Make the pictures of docs/console from the demo; needs node and Chromium.
    Screenshots {
        /// Where to.
        folder: Option<PathBuf>,
    },
    /// Load gnomon with clients and origins that break every rule; `--minutes 30` is a whole soak.
    #[command(disable_help_flag = true)]
    Soak {
        /// Handed on to `soak`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<OsString>,
    },
    /// Reload, upgrade and kill gnomon and its peers under load, and count what clients lose.
    #[command(disable_help_flag = true)]
    Restarts {
        /// Handed on to `restarts`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<OsString>,
    },
    /// Strain gnomon: `slow-loris`, `churn` or `consoles`.
    #[command(disable_help_flag = true)]
    Strain {
        /// Handed on to `strain`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().chore {
        Chore::Ci { rest } => ci(&rest),
        Chore::Bench { rest } => bench(&rest),
        Chore::Micro { rest } => micro(&rest),
        Chore::Fuzz { target, seconds } => fuzz(target.as_deref(), seconds),
        Chore::Deb => deb::package().map(drop),
        Chore::Systemd { package } => {
            package.map_or_else(deb::package, Ok).and_then(|it| deb::prove(&it))
        }
        Chore::Demo { rest } => demo(&rest),
        Chore::Console { rest } => console(rest),
        Chore::Screenshots { folder } => screenshots(folder),
        Chore::Soak { rest } => soak(&rest),
        Chore::Restarts { rest } => of_bench("restarts", &rest),
        Chore::Strain { rest } => of_bench("strain", &rest),
        Chore::Scan { gnomon } => scan(gnomon),
    };
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

fn ci(rest: &[OsString]) -> Result<(), String> {
    let script = root().join(".ci/run");
    if !script.is_file() {
        return Err(format!("{} is not there", script.display()));
    }
    run(Command::new(script).args(rest))
}

fn bench(rest: &[OsString]) -> Result<(), String> {
    build(&["gnomon", "bench"])?;
    let gnomon = built("gnomon")?;
    // A later `--gnomon` of the caller's must win, and clap refuses two.
    let named = rest.iter().any(|word| word.to_string_lossy().starts_with("--gnomon"));
    let mut command = Command::new(built("compare")?);
    if !named {
        command.arg("--gnomon").arg(gnomon);
    }
    run(command.args(rest))
}

fn micro(rest: &[OsString]) -> Result<(), String> {
    build(&["micro"])?;
    run(Command::new(built("micro")?).args(rest))
}

fn fuzz(target: Option<&str>, seconds: u32) -> Result<(), String> {
    let present = Command::new("cargo").args(["fuzz", "--version"]).output();
    if !present.is_ok_and(|output| output.status.success()) {
        return Err("cargo-fuzz is not there; `cargo install cargo-fuzz`".to_owned());
    }
    let mut command = cargo();
    // Fuzzing wants the sanitizers' flags, which the stable compiler has and hides.
    command.env("RUSTC_BOOTSTRAP", "1");
    command.args(["fuzz"]);
    match target {
        Some(target) => {
            let limit = format!("-max_total_time={seconds}");
            command.args(["run", "--fuzz-dir", "tests/fuzz", target, "--", &limit]);
        }
        None => drop(command.args(["list", "--fuzz-dir", "tests/fuzz"])),
    }
    run(&mut command)
}

fn demo(rest: &[OsString]) -> Result<(), String> {
    build(&["gnomon"])?;
    run(Command::new(built("gnomon")?).arg("demo").args(rest))
}

fn console(rest: Vec<OsString>) -> Result<(), String> {
    build(&["gnomon"])?;
    let script = root().join("tests/console/run.sh");
    run(Command::new(script).env("GNOMON", built("gnomon")?).args(rest))
}

fn screenshots(folder: Option<PathBuf>) -> Result<(), String> {
    let folder = folder.map(std::path::absolute).transpose().map_err(|error| error.to_string())?;
    let what = [OsString::from("screenshots")].into_iter();
    console(what.chain(folder.map(PathBuf::into_os_string)).collect())
}

fn soak(rest: &[OsString]) -> Result<(), String> {
    build(&["gnomon", "e2e"])?;
    run(Command::new(built("soak")?).arg("--gnomon").arg(built("gnomon")?).args(rest))
}

fn of_bench(program: &str, rest: &[OsString]) -> Result<(), String> {
    build(&["gnomon", "bench"])?;
    run(Command::new(built(program)?).arg("--gnomon").arg(built("gnomon")?).args(rest))
}

fn scan(gnomon: Option<PathBuf>) -> Result<(), String> {
    let gnomon = match gnomon {
        Some(gnomon) => gnomon,
        None => {
            build(&["gnomon"])?;
            built("gnomon")?
        }
    };
    scan::scan(&gnomon)
}

/// Builds the release binaries of `packages`.
fn build(packages: &[&str]) -> Result<(), String> {
    let mut command = cargo();
    command.args(["build", "--release"]);
    for package in packages {
        command.args(["--package", package]);
    }
    run(&mut command)
}

fn cargo() -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(root());
    command
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|error| format!("cannot start {name}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{name} failed ({status})")) }
}

/// A release binary: they lie beside this one's folder, wherever the target folder is.
fn built(name: &str) -> Result<PathBuf, String> {
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = here.parent().and_then(Path::parent).ok_or("this program has no folder")?;
    Ok(target.join("release").join(name))
}

/// The workspace's folder.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new("."))
}
