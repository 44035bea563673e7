//! What may stand at a place of the command line, as the running proxy's things are called.
//!
//! Quick and silent: whoever presses a key waits for it, and no answer is an answer.

use std::{collections::BTreeSet, ffi::OsString, path::PathBuf, time::Duration};

use clap::{Arg, Command, CommandFactory};
use serde_json::Value as Json;

use crate::{
    cli::{Console, arguments::Arguments, live::Door},
    control::ctl,
};

/// The word that scripts say before the words of the line.
pub(in crate::cli) const ASKED: &str = "__complete";

/// Answers for a line: its words up to the cursor, the program's name first and the last one begun.
pub(in crate::cli) fn answer(words: &[OsString], console: Console) {
    let words: Vec<String> = words.iter().map(|it| it.to_string_lossy().into_owned()).collect();
    let Some(place) = Place::of(&words) else { return };
    let door = Door { socket: place.socket.clone(), json: false, console };
    let socket = door.socket();
    let read = |path: &str| {
        let (status, body) = ctl::glance(&socket, path, PATIENCE).ok()?;
        (status == 200).then(|| String::from_utf8_lossy(&body).into_owned())
    };
    let names = match place.kind {
        Kind::Flag => read("/v1/flags").map(|text| flags(&text)),
        Kind::Name(_) | Kind::Target | Kind::Weight { .. } => {
            read("/v1/config").map(|settings| named(&settings, &place.kind))
        }
    };
    for name in names.unwrap_or_default().iter().take(NAMES_MAX) {
        if name.starts_with(&place.begun)
            && console.line(format_args!("{}{name}", place.before)).is_err()
        {
            return;
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// A name below this table.
    Name(&'static str),
    /// `upstream@version`.
    Target,
    /// `version=`, of this upstream.
    Weight { upstream: String },
    /// A flag, wherever it comes from.
    Flag,
}

/// A place of the line that takes a name.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    kind: Kind,
    /// What the name begins with.
    begun: String,
    /// What stands before it in the same word: `--route=`.
    before: String,
    /// The socket that the line names.
    socket: Option<PathBuf>,
}

impl Place {
    /// `None` where no name belongs.
    fn of(words: &[String]) -> Option<Self> {
        let (current, typed) = words.get(1..)?.split_last()?;
        let mut root = Arguments::command();
        root.build();
        let mut line = Line::new(&root);
        for word in typed {
            line.take(word);
        }
        let Line { command, path, positionals, pending, socket, .. } = line;
        let (argument, before, begun) = match (pending, current.split_once('=')) {
            (Some(argument), _) => (argument, "", current.as_str()),
            (None, Some((option, begun))) if option.starts_with("--") => {
                let argument = by_long(command, &option[2..])?;
                (argument, &current[..=option.len()], begun)
            }
            (None, _) if current.starts_with('-') || command.has_subcommands() => return None,
            (None, _) => {
                let arguments: Vec<&Arg> = command.get_positionals().collect();
                let at = positionals.len().min(arguments.len().checked_sub(1)?);
                let argument = arguments[at];
                let takes_more = argument.get_num_args().is_some_and(|it| it.max_values() > 1);
                if positionals.len() > at && !takes_more {
                    return None;
                }
                (argument, "", current.as_str())
            }
        };
        let kind = kind(path.first().map_or("", String::as_str), argument, &positionals)?;
        Some(Self { kind, begun: begun.to_owned(), before: before.to_owned(), socket })
    }
}

/// What takes a name, by what the argument is called.
fn kind(command: &str, argument: &Arg, positionals: &[String]) -> Option<Kind> {
    Some(match (argument.get_id().as_str(), command) {
        ("upstream", _) => Kind::Name("upstream"),
        ("route", _) if command != "route" => Kind::Name("route"),
        ("shadow", _) | ("name", "shadow") => Kind::Name("shadow"),
        ("rollout", _) | ("name", "rollout") => Kind::Name("rollout"),
        ("kpi", _) => Kind::Name("kpi"),
        ("flag", _) | ("name", "flag") => Kind::Flag,
        ("target", _) => Kind::Target,
        ("weights", _) => Kind::Weight { upstream: positionals.first()?.clone() },
        _ => return None,
    })
}

/// What the words so far come to.
struct Line<'c> {
    command: &'c Command,
    /// The commands, outermost first.
    path: Vec<String>,
    positionals: Vec<String>,
    /// An option that waits for its value.
    pending: Option<&'c Arg>,
    socket: Option<PathBuf>,
    /// Whether `--` was said.
    is_literal: bool,
}

impl<'c> Line<'c> {
    const fn new(command: &'c Command) -> Self {
        Self {
            command,
            path: Vec::new(),
            positionals: Vec::new(),
            pending: None,
            socket: None,
            is_literal: false,
        }
    }

    fn take(&mut self, word: &str) {
        if let Some(option) = self.pending.take() {
            return self.value(option, word);
        }
        if self.is_literal || !word.starts_with('-') || word == "-" {
            let inner = self.command.find_subcommand(word);
            match inner.filter(|_| self.positionals.is_empty() && !self.is_literal) {
                Some(inner) => {
                    self.path.push(inner.get_name().to_owned());
                    self.command = inner;
                }
                None => self.positionals.push(word.to_owned()),
            }
            return;
        }
        let takes = |option: &&Arg| option.get_action().takes_values();
        match word.strip_prefix("--") {
            Some("") => self.is_literal = true,
            Some(long) => match long.split_once('=') {
                Some((long, value)) => {
                    if let Some(option) = by_long(self.command, long) {
                        self.value(option, value);
                    }
                }
                None => self.pending = by_long(self.command, long).filter(takes),
            },
            None => {
                let last = word.chars().last();
                let mut options = self.command.get_arguments();
                let option = options.find(|it| it.get_short() == last).filter(takes);
                self.pending = option.filter(|_| word.chars().count() == 2);
            }
        }
    }

    fn value(&mut self, option: &Arg, value: &str) {
        if option.get_id() == "socket" {
            self.socket = Some(PathBuf::from(value));
        }
    }
}

fn by_long<'c>(command: &'c Command, long: &str) -> Option<&'c Arg> {
    command.get_arguments().find(|it| it.get_long() == Some(long))
}

/// The names of a kind among settings, a line each, in their order.
fn named(settings: &str, kind: &Kind) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let names = settings.lines().filter_map(|line| {
        let path = line.split_once(" = ")?.0;
        let mut keys = path.split('.');
        let (table, name) = (keys.next()?, keys.next()?);
        let version =
            || (table == "upstream" && keys.next()? == "versions").then(|| keys.next())?;
        match kind {
            Kind::Name(wanted) => (table == *wanted).then(|| name.to_owned()),
            Kind::Target => Some(format!("{name}@{}", { version }()?)),
            Kind::Weight { upstream } => {
                (name == upstream).then_some(())?;
                Some(format!("{}=", { version }()?))
            }
            Kind::Flag => None,
        }
    });
    names.filter(|name| seen.insert(name.clone())).collect()
}

fn flags(text: &str) -> Vec<String> {
    let all: Json = serde_json::from_str(text).unwrap_or_default();
    let flags = all["flags"].as_array().map(Vec::as_slice).unwrap_or_default();
    flags.iter().filter_map(|flag| flag["name"].as_str().map(str::to_owned)).collect()
}

/// Longer than the proxy takes, and no longer than a person does not mind.
const PATIENCE: Duration = Duration::from_millis(500);
/// More than a person would read.
const NAMES_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: &str) -> Option<Place> {
        Place::of(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[track_caller]
    fn check(line: &str, kind: Kind, begun: &str) {
        let place = place(line).unwrap_or_else(|| panic!("nothing at the end of {line:?}"));
        assert_eq!((place.kind, place.begun.as_str()), (kind, begun), "{line}");
    }

    #[test]
    fn a_place_knows_what_it_takes() {
        let weight = |upstream: &str| Kind::Weight { upstream: upstream.to_owned() };
        check("gnomon weight ", Kind::Name("upstream"), "");
        check("gnomon weight sh", Kind::Name("upstream"), "sh");
        check("gnomon --json weight shop ", weight("shop"), "");
        check("gnomon weight shop v2=5 v", weight("shop"), "v");
        check("gnomon drain shop@v", Kind::Target, "shop@v");
        check("gnomon freeze --no-color -- s", Kind::Name("upstream"), "s");
        check("gnomon golden ", Kind::Name("route"), "");
        check("gnomon rollout status --wait ", Kind::Name("rollout"), "");
        check("gnomon rollout abort --reason bad ", Kind::Name("rollout"), "");
        check("gnomon shadow diffs ", Kind::Name("shadow"), "");
        check("gnomon replay x.gz --shadow ", Kind::Name("shadow"), "");
        check("gnomon kpi report id ", Kind::Name("kpi"), "");
        check("gnomon flag kill new", Kind::Flag, "new");
        check("gnomon record --route ", Kind::Name("route"), "");
        check("gnomon record --upstream=sh", Kind::Name("upstream"), "sh");
        assert_eq!(place("gnomon record --upstream=sh").unwrap().before, "--upstream=");
        let named = place("gnomon --socket /a/b drain --socket=/c ").unwrap();
        assert_eq!(named.socket, Some(PathBuf::from("/c")));
    }

    #[test]
    fn elsewhere_the_script_knows_better() {
        for line in [
            "gnomon",
            "gnomon ",
            "gnomon we",
            "gnomon rollout ",
            "gnomon weight -",
            "gnomon weight --so",
            "gnomon --socket ",
            "gnomon run -c ",
            "gnomon drain shop@v2 ",
            "gnomon freeze shop ",
            "gnomon route GET ",
            "gnomon status ",
            "gnomon flag kill new --reason ",
            "gnomon shadow show ",
        ] {
            assert_eq!(place(line), None, "{line}");
        }
    }

    #[test]
    fn names_are_found_among_settings_once_and_in_order() {
        let settings = "listener.default.backlog = 1\nupstream.shop.balance = \"p2c\"\n\
                        upstream.shop.versions.v2.endpoints = []\nupstream.shop.versions.v1.endpoints = []\n\
                        upstream.app.versions.v1 = []\nroute.b.to = \"x.y = z\"\nroute.a.to = \"\"\nbroken\n";
        let found = |kind| named(settings, &kind).join(" ");
        assert_eq!(found(Kind::Name("upstream")), "shop app");
        assert_eq!(found(Kind::Name("route")), "b a");
        assert_eq!(found(Kind::Name("kpi")), "");
        assert_eq!(found(Kind::Target), "shop@v2 shop@v1 app@v1");
        assert_eq!(found(Kind::Weight { upstream: "shop".to_owned() }), "v2= v1=");
        assert_eq!(flags(r#"{"flags":[{"name":"a"},{"name":"b"}]}"#), ["a", "b"]);
        assert!(flags("{").is_empty());
    }
}
