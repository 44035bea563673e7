//! `gnomon check`: depths, each named: syntax, meaning, flags, this host.

mod flags;

use std::path::{Path, PathBuf};

use gnomon_config::{Config, Loaded, Problem, Problems, Severity};
use serde_json::{Value as Json, json};

use super::{
    BAD_CONFIG, Console, Failure,
    arguments::{CONFIG, CheckArguments},
    host::{self, Finding},
    source,
};
use crate::{
    clock,
    jwt::Verifier,
    tls::{self, check::Overdue},
};

/// Checks every file and says whether all may be used.
pub(super) fn check(
    arguments: &CheckArguments,
    json: bool,
    console: Console,
) -> Result<(), Failure> {
    let mut files = arguments.files.clone();
    files.extend(arguments.config.clone());
    if files.is_empty() {
        files.push(PathBuf::from(CONFIG));
    }
    let reports: Vec<Report> =
        files.iter().map(|file| Report::of(file, arguments)).collect::<Result<_, _>>()?;
    if json {
        let all: Vec<Json> = reports.iter().flat_map(Report::json).collect();
        console.json(&all)?;
    } else {
        for report in &reports {
            console.data(report.text(console))?;
        }
    }
    if reports.iter().any(|report| report.is_refused(arguments.strict)) {
        return Err(Failure::silent(BAD_CONFIG));
    }
    if !json {
        console.hint(if arguments.offline { "gnomon check, without --offline" } else { NEXT });
    }
    Ok(())
}

/// What is known of one file.
struct Report {
    file: PathBuf,
    problems: Problems,
    /// What it amounts to, if it may be used.
    config: Option<Config>,
    /// The flags; none if there are none.
    flags: Option<flags::Flags>,
    /// What this host says; none if it was not asked.
    host: Option<Vec<Finding>>,
}

impl Report {
    fn of(file: &Path, arguments: &CheckArguments) -> Result<Self, Failure> {
        let file = file.to_owned();
        let loaded = source::load_any(&file, &arguments.set)?;
        // As a reload would see it.
        let now = clock::wall().as_secs();
        Ok(match tls::check::checked(loaded, now, Overdue::Refused) {
            Err(problems) => Self { file, problems, config: None, flags: None, host: None },
            Ok(Loaded { config, warnings }) => {
                let host = (!arguments.offline).then(|| host::findings(&config));
                let flags = flags::check(&config);
                Self { file, problems: warnings, config: Some(config), flags, host }
            }
        })
    }

    fn is_refused(&self, strict: bool) -> bool {
        let findings = self.findings();
        self.problems.has_errors()
            || findings.clone().any(|finding| finding.severity == Severity::Error)
            || strict && (!self.problems.is_empty() || findings.count() > 0)
    }

    fn text(&self, console: Console) -> String {
        let paint = console.paint();
        let mark = |depth: &Depth| match depth {
            Depth::Good(said) => format!("{} {said}", paint.green("ok     ")),
            Depth::Warned(said) => format!("{} {said}", paint.yellow("warned ")),
            Depth::Failed(said) => format!("{} {said}", paint.red("failed ")),
            Depth::Skipped(said) => paint.dim(&format!("skipped {said}")),
        };
        let mut text = String::new();
        if !self.problems.is_empty() {
            text.push_str(&self.problems.render(console.colour()));
            text.push('\n');
        }
        for finding in self.findings() {
            let level = match finding.severity {
                Severity::Error => paint.red("error"),
                Severity::Warning => paint.yellow("warning"),
            };
            text.push_str(&format!("{level}: {}\n  help: {}\n\n", finding.message, finding.help));
        }
        text.push_str(&format!("{}\n", paint.bold(&self.file.display().to_string())));
        text.push_str(&format!("  syntax     {}\n", mark(&self.syntax())));
        text.push_str(&format!("  meaning    {}\n", mark(&self.meaning())));
        if let Some(flags) = &self.flags {
            let is_error = |it: &&Finding| it.severity == Severity::Error;
            let depth = match flags.findings.iter().filter(is_error).count() {
                0 if flags.findings.is_empty() => Depth::Good(counted(flags.count, "flag")),
                0 => {
                    let doubts = counted(flags.findings.len(), "warning");
                    Depth::Warned(format!("{}; {doubts}", counted(flags.count, "flag")))
                }
                count => Depth::Failed(counted(count, "problem")),
            };
            text.push_str(&format!("  flags      {}\n", mark(&depth)));
        }
        text.push_str(&format!("  this host  {}\n", mark(&self.this_host())));
        text
    }

    /// What is wrong outside the file.
    fn findings(&self) -> impl Iterator<Item = &Finding> + Clone {
        let flags = self.flags.iter().flat_map(|flags| &flags.findings);
        flags.chain(self.host.iter().flatten())
    }

    fn syntax(&self) -> Depth {
        let count = self.problems.iter().filter(|problem| is_syntax(problem)).count();
        if count > 0 {
            Depth::Failed(counted(count, "problem"))
        } else {
            Depth::Good("TOML".to_owned())
        }
    }

    fn meaning(&self) -> Depth {
        let rest = || self.problems.iter().filter(|problem| !is_syntax(problem));
        let errors = rest().filter(|problem| problem.severity == Severity::Error).count();
        if errors > 0 {
            let code = rest().next().map_or("", |problem| problem.code);
            let said = counted(errors, "problem");
            return Depth::Failed(format!("{said}; more words: gnomon explain {code}"));
        }
        let Some(config) = &self.config else {
            return Depth::Skipped("until the syntax is right".to_owned());
        };
        let versions = config.upstreams.iter().map(|upstream| upstream.versions.len()).sum();
        let mut said = [
            counted(config.listeners.len(), "listener"),
            counted(config.upstreams.len(), "upstream"),
            counted(versions, "version"),
            counted(config.routes.len(), "route"),
        ]
        .join(", ");
        said.push_str(&token_keys(config));
        match rest().count() {
            0 => Depth::Good(said),
            warnings => Depth::Warned(format!("{said}; {}", counted(warnings, "warning"))),
        }
    }

    fn this_host(&self) -> Depth {
        let Some(findings) = &self.host else {
            let why = if self.config.is_some() { "--offline" } else { "until the file is right" };
            return Depth::Skipped(why.to_owned());
        };
        let looked = "ports, names, cores, folders".to_owned();
        match findings.iter().filter(|finding| finding.severity == Severity::Error).count() {
            0 if findings.is_empty() => Depth::Good(looked),
            0 => Depth::Warned(format!("{looked}; {}", counted(findings.len(), "warning"))),
            errors => Depth::Failed(counted(errors, "problem")),
        }
    }

    /// One object for each problem of any depth.
    fn json(&self) -> Vec<Json> {
        let mut all = Vec::new();
        let rendered = self.problems.to_json();
        let objects = rendered.as_array().cloned().unwrap_or_default();
        for (problem, mut object) in self.problems.iter().zip(objects) {
            object["depth"] = json!(if is_syntax(problem) { "syntax" } else { "meaning" });
            all.push(object);
        }
        let flags = self.flags.iter().flat_map(|flags| &flags.findings);
        let flags = flags.map(|finding| ("flags", finding));
        let host = self.host.iter().flatten().map(|finding| ("host", finding));
        for (depth, finding) in flags.chain(host) {
            all.push(json!({
                "file": self.file,
                "depth": depth,
                "severity": finding.severity.as_str(),
                "message": finding.message,
                "help": finding.help,
            }));
        }
        all
    }
}

/// How one depth went.
enum Depth {
    Good(String),
    Warned(String),
    Failed(String),
    Skipped(String),
}

/// What cannot be read has no syntax either.
fn is_syntax(problem: &Problem) -> bool {
    matches!(problem.code, "G001" | "G002")
}

/// The keys that vouch for claims, if there are any.
fn token_keys(config: &Config) -> String {
    let verifier = config.flags.jwt.as_ref().and_then(|terms| Verifier::new(terms).ok());
    let Some(mut keys) = verifier.map(|verifier| verifier.keys()) else { return String::new() };
    let more = keys.len().saturating_sub(KEYS_SHOWN);
    keys.truncate(KEYS_SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("; tokens by {}{more}", keys.join(", "))
}

/// Keys that are shown by name.
const KEYS_SHOWN: usize = 5;

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

const NEXT: &str = "gnomon run -c FILE, or gnomon reload if it runs already";
