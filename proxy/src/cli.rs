//! The command line: what a person says, and what they are told.
//!
//! Data goes to stdout and messages to stderr; the exit code tells the outcome. Nothing is decided
//! here: `run` and `demo` go through [`boot`](crate::boot), everything else that concerns a running
//! proxy through its admin socket, everything about a file through `gnomon_config`.

mod about;
mod arguments;
mod check;
mod completions;
pub(crate) mod console;
mod doctor;
mod events;
mod failure;
mod flag;
mod flag_compare;
mod fmt;
mod golden;
mod history;
mod host;
mod import;
mod kpi;
mod live;
mod man;
mod record;
mod replay;
pub(crate) mod rollout;
mod route;
mod run;
pub(crate) mod shadow;
mod source;
mod status;
mod tap;
mod token;
mod top;
mod url;

use std::{ffi::OsString, process::ExitCode};

use clap::Parser;

use self::arguments::{Arguments, Command};
pub(crate) use self::{
    arguments::DemoArguments,
    console::{Colours, Console, Paint},
    failure::Failure,
    status::{drivers, percent, ratio, shown},
};

/// Done.
pub(crate) const DONE: u8 = 0;
/// Failed, or, for a question, "no".
pub(crate) const FAILED: u8 = 1;
/// The arguments make no sense; clap's own.
pub(crate) const USAGE: u8 = 2;
/// No running proxy on that socket.
pub(crate) const ABSENT: u8 = 3;
/// A rollout that was waited for rolled back.
pub(crate) const ROLLED_BACK: u8 = 4;
/// A rollout that was waited for is held, and needs a person.
pub(crate) const HELD: u8 = 5;
/// The configuration is wrong: `EX_CONFIG`, which a supervisor should not try again.
pub(crate) const BAD_CONFIG: u8 = 78;

/// Does what the process's arguments say.
#[must_use]
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    if words.get(1).is_some_and(|word| word == completions::ASKED) {
        completions::answer(&words[2..], Console::new(Colours::Never));
        return ExitCode::from(DONE);
    }
    let arguments = match Arguments::try_parse_from(with_aliases(words)) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are data, everything else is a message; clap knows which.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
        }
    };
    let colours = if arguments.no_color { Colours::Never } else { Colours::Auto };
    let console = Console::new(colours);
    match obey(arguments, console) {
        Ok(()) => ExitCode::from(DONE),
        Err(failure) => {
            if !failure.text.is_empty() {
                console.fail(&failure);
            }
            ExitCode::from(failure.code)
        }
    }
}

fn obey(arguments: Arguments, console: Console) -> Result<(), Failure> {
    let door = live::Door { socket: arguments.socket, json: arguments.json, console };
    let json = arguments.json;
    match arguments.command {
        Command::Run(source) => run::run(&source, console),
        Command::Check(it) => check::check(&it, json, console),
        Command::Fmt(it) => fmt::fmt(&it, json, console),
        Command::Diff { file } => door.diff(file.as_deref()),
        Command::Reload => door.reload(),
        Command::Status(it) => status::status(&door, &it),
        Command::Tap(it) => tap::tap(&door, &it),
        Command::Top(it) => top::top(&door, &it),
        Command::Golden { route } => golden::golden(&door, route.as_deref()),
        Command::History { of } => history::history(&door, of.as_deref()),
        Command::Events(it) => events::events(&door, &it),
        Command::Weight { upstream, weights } => door.weight(&upstream, &weights),
        Command::Drain { target } => door.drain(&target),
        Command::Freeze { upstream } => door.verb(&upstream, "freeze"),
        Command::Resume { upstream } => door.verb(&upstream, "resume"),
        Command::Rollback { upstream } => door.verb(&upstream, "rollback"),
        Command::Stop => door.stop(),
        Command::Upgrade => door.upgrade(),
        Command::Logs { .. } => door.reopen_logs(),
        Command::Shadow { command } => shadow::shadow(&door, &command),
        Command::Kpi { command } => kpi::kpi(&door, command),
        Command::Rollout { command } => rollout::rollout(&door, &command),
        Command::Flag { command } => flag::flag(&door, command),
        Command::Record(it) => record::record(&it, &door),
        Command::Replay(it) => replay::replay(&it, json, console),
        Command::Route(it) => route::route(&it, &door),
        Command::Import(it) => import::import(&it, json, console),
        Command::Config(it) => about::config(&it, &door),
        Command::Explain { code } => about::explain(&code, console),
        Command::Doctor(it) => doctor::doctor(&it, json, console),
        Command::Token(it) => token::token(&it, console),
        Command::Schema => console.data(gnomon_config::generate::schema()),
        Command::Man { folder } => man::man(&folder, console),
        Command::Completions { shell } => console.data(completions::script(shell)),
        Command::Version => about::version(json, console),
        Command::Demo(it) => crate::demo::demo(&it, json, console),
    }
}

/// What waits for sockets and signals.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(FAILED, error.to_string()))
}

/// What fingers know from nginx: `-t` checks, `-T` shows what holds.
fn with_aliases(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let is_command_named =
        arguments.get(1).is_none_or(|first| !first.as_encoded_bytes().starts_with(b"-"));
    if is_command_named {
        return arguments;
    }
    for (alias, command) in [("-t", &["check"][..]), ("-T", &["config", "--effective"])] {
        if let Some(place) = arguments.iter().position(|argument| argument == alias) {
            arguments.remove(place);
            arguments.splice(1..1, command.iter().map(OsString::from));
            return arguments;
        }
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_sound() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_nginx_taught_works_in_any_order() {
        for (given, meant) in [
            ("gnomon -t", "gnomon check"),
            ("gnomon -t -c a.toml", "gnomon check -c a.toml"),
            ("gnomon -c a.toml -t", "gnomon check -c a.toml"),
            ("gnomon -T", "gnomon config --effective"),
            ("gnomon route -t", "gnomon route -t"),
            ("gnomon", "gnomon"),
        ] {
            let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
            assert_eq!(with_aliases(words(given)), words(meant), "{given}");
        }
    }
}
