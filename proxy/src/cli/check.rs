//! `gnomon check`: three depths, each named: syntax, meaning, this host.

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
            Err(problems) => Self { file, problems, config: None, host: None },
            Ok(Loaded { config, warnings }) => {
                let host = (!arguments.offline).then(|| host::findings(&config));
                Self { file, problems: warnings, config: Some(config), host }
            }
        })
    }

    fn is_refused(&self, strict: bool) -> bool {
        let findings = self.host.iter().flatten();
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
        for finding in self.host.iter().flatten() {
            let level = match finding.severity {
                Severity::Error => paint.red("error"),
                Severity::Warning => paint.yellow("warning"),
            };
            text.push_str(&format!("{level}: {}\n  help: {}\n\n", finding.message, finding.help));
        }
        text.push_str(&format!("{}\n", paint.bold(&self.file.display().to_string())));
        text.push_str(&format!("  syntax     {}\n", mark(&self.syntax())));
        text.push_str(&format!("  meaning    {}\n", mark(&self.meaning())));
        text.push_str(&format!("  this host  {}\n", mark(&self.this_host())));
        text
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
        let said = [
            counted(config.listeners.len(), "listener"),
            counted(config.upstreams.len(), "upstream"),
            counted(versions, "version"),
            counted(config.routes.len(), "route"),
        ]
        .join(", ");
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
        for finding in self.host.iter().flatten() {
            all.push(json!({
                "file": self.file,
                "depth": "host",
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

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

const NEXT: &str = "gnomon run -c FILE, or gnomon reload if it runs already";
