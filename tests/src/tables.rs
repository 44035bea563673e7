//! `judge-tables FOLDER`: every simulated case at full size, as tables, figures and pictures.

#[path = "tables/page.rs"]
mod page;
#[path = "tables/picture.rs"]
mod picture;
#[path = "tables/rest.rs"]
mod rest;

use std::{fmt::Write as _, fs, io::Write as _, path::PathBuf, process::ExitCode};

use e2e::sim::{
    RATES,
    cases::{self, Found},
};

/// How many rollouts of a kind are simulated.
struct Runs {
    healthy: u64,
    bad: u64,
    slow_healthy: u64,
    slow_bad: u64,
    rest: u64,
}

const FULL: Runs = Runs { healthy: 4000, bad: 1000, slow_healthy: 2000, slow_bad: 500, rest: 400 };

/// For a look at the page itself.
const SHORT: Runs = Runs { healthy: 100, bad: 50, slow_healthy: 40, slow_bad: 20, rest: 20 };

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(folder) = arguments.next().map(PathBuf::from) else {
        say("judge-tables FOLDER [short]");
        return ExitCode::FAILURE;
    };
    let runs = if arguments.next().is_some() { SHORT } else { FULL };
    match write(&folder, &runs) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{}: {error}", folder.display()));
            ExitCode::FAILURE
        }
    }
}

fn say(line: &str) {
    // Whoever closed the standard error does not want to know.
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn write(folder: &std::path::Path, runs: &Runs) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let errors = errors(runs);
    let times = times(runs);
    let both = both(runs);
    let rest = rest::page(runs.rest);
    let page = page::page(&errors, &times, &both, &rest, &size(runs));
    fs::write(folder.join("summary.md"), page)?;
    fs::write(
        folder.join("raw.csv"),
        raw(&[("errors", &errors), ("times", &times), ("both", &both)]),
    )?;
    fs::write(folder.join("errors.svg"), picture::errors(&errors))?;
    fs::write(folder.join("latency.svg"), picture::times(&times))
}

fn size(runs: &Runs) -> String {
    let Runs { healthy, bad, slow_healthy, slow_bad, rest } = runs;
    format!(
        "Errors: {healthy} rollouts of each healthy kind, {bad} of every other; latency: \
         {slow_healthy} and {slow_bad}; all signals: {bad} and {slow_bad}; promotions, users, delays \
         and forecasts: {rest}."
    )
}

fn errors(runs: &Runs) -> Vec<Found> {
    let rules = [&cases::OUR_ERROR_RULES[..], &cases::OTHER_ERROR_RULES].concat();
    let mut all = Vec::new();
    for kind in cases::ERRORS {
        let runs = if kind.starts_with("healthy") { runs.healthy } else { runs.bad };
        say(&format!("errors: {kind}"));
        for rate in RATES {
            all.extend(cases::watch_errors(&rules, kind, rate, runs));
        }
    }
    all
}

fn times(runs: &Runs) -> Vec<Found> {
    let rules = [&cases::OUR_TIME_RULES[..], &cases::OTHER_TIME_RULES].concat();
    let mut all = Vec::new();
    for kind in cases::TIMES {
        let runs = if kind.starts_with("healthy") { runs.slow_healthy } else { runs.slow_bad };
        say(&format!("times: {kind}"));
        for rate in RATES {
            all.extend(cases::watch_times(&rules, kind, cases::time_case(kind, rate), runs));
        }
    }
    all
}

fn both(runs: &Runs) -> Vec<Found> {
    let mut all = Vec::new();
    for kind in cases::BOTH {
        let runs = if kind.starts_with("healthy") { runs.bad } else { runs.slow_bad };
        say(&format!("both: {kind}"));
        for rate in RATES {
            let case = cases::both_case(kind, rate);
            all.extend(cases::watch_times(&cases::WHOLE_RULE, kind, case, runs));
        }
    }
    all
}

/// One line per rule and case; times in seconds, empty if never.
fn raw(tables: &[(&str, &Vec<Found>)]) -> String {
    let mut csv = String::from("of,rule,canary,rate,runs,share,median,p90,canary_errors\n");
    for (of, all) in tables {
        for Found { rule, kind, rate, spoken, errors, .. } in *all {
            let (runs, share) = (spoken.runs(), spoken.share());
            let show = |time: Option<f64>| time.map_or_else(String::new, |time| time.to_string());
            let (median, p90) = (show(spoken.median()), show(spoken.quantile(0.9)));
            let errors = errors.filter(|_| *of != "times");
            let errors = errors.map_or_else(String::new, |errors| errors.to_string());
            let _ = writeln!(
                csv,
                "{of},\"{rule}\",\"{kind}\",{rate},{runs},{share:.5},{median},{p90},{errors}"
            );
        }
    }
    csv
}
