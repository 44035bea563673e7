//! `gnomon import`: another proxy's configuration, as ours.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

use clap::Args;
use gnomon_config::{Options, Problems, Severity};

use super::{Console, FAILED, Failure, source::STDIN};
use crate::{
    clock, environment,
    import::{self, BYTES_MAX, Fault, Files, Format, Imported, MARK, Text},
    tls::{self, check::Overdue},
};

/// Names in a folder that are looked at: more is no folder of configurations.
const NAMES_MAX: usize = 10_000;

#[derive(Args, Debug)]
pub(crate) struct ImportArguments {
    /// Whose configuration it is
    #[arg(value_enum)]
    pub(crate) format: Format,
    /// Its files, `-` for stdin; what they include is read as well
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<String>,
}

/// Writes a configuration of ours to stdout, and says on stderr what is left to a person.
pub(super) fn import(
    arguments: &ImportArguments,
    json: bool,
    console: Console,
) -> Result<(), Failure> {
    let mut texts = Vec::new();
    let mut room = BYTES_MAX;
    for name in &arguments.files {
        let text =
            read(name, room).map_err(|why| Failure::new(FAILED, format!("{name}: {why}")))?;
        room = room.saturating_sub(text.len());
        texts.push(Text { name: name.clone(), text });
    }
    let imported = import::import(arguments.format, &texts, &Disk, &faults)
        .map_err(|why| Failure::new(FAILED, why))?;
    if json {
        console.json(&imported)?;
    } else {
        console.data(&imported.config)?;
        tell(&imported, console);
    }
    if imported.todo.is_empty() { Ok(()) } else { Err(Failure::silent(FAILED)) }
}

fn tell(imported: &Imported, console: Console) {
    let Imported { directives, carried, partly, needless, todo, .. } = imported;
    let share = percent(*carried, *directives);
    console.say(format_args!(
        "{carried} of {directives} directives carried over ({share}), {partly} with a difference, {} left; {needless} \
         more concern the other program alone",
        todo.len()
    ));
    if !todo.is_empty() {
        console.hint(format_args!("look for {MARK} in what was written, then gnomon check FILE"));
    }
}

fn percent(part: usize, whole: usize) -> String {
    let tenths = (part * 1000).checked_div(whole).unwrap_or(1000);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// What `gnomon check --offline` would refuse.
fn faults(text: &str) -> Vec<Fault> {
    let options = Options {
        sets: &[],
        env: &environment::variable,
        base: Some(Path::new(".")),
        now: Some(clock::wall().as_secs()),
    };
    let loaded = gnomon_config::parse("import", text, &options);
    match tls::check::checked(loaded, clock::wall().as_secs(), Overdue::Refused) {
        Ok(_) => Vec::new(),
        Err(problems) => of(&problems),
    }
}

fn of(problems: &Problems) -> Vec<Fault> {
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
    errors.map(|problem| (problem.place.start, problem.message.clone())).collect()
}

fn read(name: &str, room: usize) -> Result<String, String> {
    let reader: Box<dyn Read> = if name == STDIN {
        Box::new(std::io::stdin().lock())
    } else {
        let file = File::open(name).map_err(|error| error.to_string())?;
        if !file.metadata().is_ok_and(|it| it.is_file()) {
            return Err("this is not a file".to_owned());
        }
        Box::new(file)
    };
    let mut bytes = Vec::new();
    let most = u64::try_from(room).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(most).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() > room {
        return Err(format!("all files together exceed {BYTES_MAX} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "this is not UTF-8 text".to_owned())
}

/// The files of this host.
struct Disk;

impl Files for Disk {
    fn read(&self, path: &str) -> Result<String, String> {
        read(path, BYTES_MAX)
    }

    fn list(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let names = entries.flatten().take(NAMES_MAX).map(|it| it.file_name());
        names.filter_map(|name| name.into_string().ok()).collect()
    }
}
