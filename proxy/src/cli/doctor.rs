//! `gnomon doctor`: how this machine suits the proxy. Reads and says; changes nothing.
//!
//! Everything is read below one folder, `/` unless somebody says otherwise, so that a tree of files
//! stands for a machine in tests. What is not there is not known, and nothing fails for it.

mod cores;
mod interrupts;
mod kernel;
mod machine;
mod places;
mod room;

use gnomon_config::{Config, Options};
use gnomon_sys::limits;
use serde::Serialize;

use super::{
    Console, FAILED, Failure, Paint,
    arguments::{CONFIG, DoctorArguments},
    source,
};
use crate::control::{api::Status, ctl};

use machine::Machine;

/// Looks at everything, and says what it found.
pub(super) fn doctor(
    arguments: &DoctorArguments,
    json: bool,
    console: Console,
) -> Result<(), Failure> {
    let config = configuration(arguments, console)?;
    let mut machine = Machine::new(&arguments.root);
    if machine.is_this() {
        machine.uring = Some(limits::uring_refusal());
        let running: Option<Status> = ctl::read(&config.admin.socket, "/v1/status").ok();
        machine.running = running.map(|status| status.pid);
    }
    let findings = examined(&machine, &config);
    if json {
        console.json(&findings)?;
    } else {
        console.data(rendered(&findings, console.paint()))?;
    }
    let is_bad = findings.iter().any(|finding| finding.level == Level::Problem);
    if is_bad { Err(Failure::silent(FAILED)) } else { Ok(()) }
}

/// The named configuration, else the usual one, else one that says nothing.
fn configuration(arguments: &DoctorArguments, console: Console) -> Result<Config, Failure> {
    let usual = std::path::Path::new(CONFIG);
    let refused = |problems| Failure::problems(&problems, console.message_colour());
    match &arguments.config {
        Some(file) => Ok(source::load(file, &[]).map_err(refused)?.config),
        None if usual.exists() => match source::load(usual, &[]) {
            Ok(loaded) => Ok(loaded.config),
            Err(_) => {
                console.warn(format_args!("{CONFIG} is not right; see `gnomon check`"));
                defaults().map_err(refused)
            }
        },
        None => defaults().map_err(refused),
    }
}

fn defaults() -> Result<Config, gnomon_config::Problems> {
    let text = "listen = \"0.0.0.0:8080\"\nroute.none.respond = { status = 404 }\n";
    gnomon_config::parse("the defaults", text, &Options::default()).map(|loaded| loaded.config)
}

fn examined(machine: &Machine, config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(kernel::findings(machine, config));
    findings.extend(room::findings(machine, config));
    findings.extend(cores::findings(machine, config));
    findings.extend(interrupts::findings(machine, config));
    findings.extend(places::findings(machine, config));
    findings
}

/// How well something suits the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// As it should be.
    Ok,
    /// It works; it could be better.
    Advice,
    /// It will hurt.
    Problem,
    /// There is nothing to read.
    Unknown,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    /// What.
    name: String,
    level: Level,
    /// What was read.
    read: String,
    /// Why it matters, in a line.
    why: &'static str,
    /// The command or the file that mends it; none where nothing is to be mended.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Finding {
    fn ok(name: impl Into<String>, read: impl Into<String>, why: &'static str) -> Self {
        Self { name: name.into(), level: Level::Ok, read: read.into(), why, fix: None }
    }

    fn unknown(name: impl Into<String>, why: &'static str) -> Self {
        Self { level: Level::Unknown, ..Self::ok(name, "not known", why) }
    }

    /// Could be better, thus.
    fn advice(self, fix: impl Into<String>) -> Self {
        Self { level: Level::Advice, fix: Some(fix.into()), ..self }
    }

    /// Will hurt, unless mended thus.
    fn problem(self, fix: impl Into<String>) -> Self {
        Self { level: Level::Problem, fix: Some(fix.into()), ..self }
    }

    /// The worse one, if `fault` is one.
    fn advice_if(self, fault: bool, fix: impl FnOnce() -> String) -> Self {
        if fault { self.advice(fix()) } else { self }
    }
}

/// A sysctl that is set now, and for good.
fn sysctl(name: &str, value: impl std::fmt::Display) -> String {
    format!("sysctl -w {name}={value}; to stay, the same line in /etc/sysctl.d/60-gnomon.conf")
}

fn rendered(findings: &[Finding], paint: Paint) -> String {
    let width = findings.iter().map(|finding| finding.name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for Finding { name, level, read, why, fix } in findings {
        let mark = match level {
            Level::Ok => paint.green("● ok     "),
            Level::Advice => paint.yellow("▲ advice "),
            Level::Problem => paint.red("▼ problem"),
            Level::Unknown => paint.dim("? unknown"),
        };
        text.push_str(&format!("{mark} {name:width$}  {read}\n"));
        if let Some(fix) = fix {
            let space = width + 12;
            text.push_str(&format!("{:space$}{why}\n{:space$}fix: {fix}\n", "", ""));
        }
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (good, advice) = (count(Level::Ok), count(Level::Advice));
    let (problems, unknown) = (count(Level::Problem), count(Level::Unknown));
    text.push_str(&format!(
        "\n{good} ok, {advice} advice, {problems} problem{}, {unknown} not known\n",
        if problems == 1 { "" } else { "s" }
    ));
    text
}

#[cfg(test)]
mod tests;
