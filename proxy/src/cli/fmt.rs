//! `gnomon fmt`: configurations as the samples are written.

mod unified;

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

use gnomon_config::Problems;
use serde_json::{Value as Json, json};

use super::{
    BAD_CONFIG, Console, FAILED, Failure,
    arguments::{CONFIG, FmtArguments},
    source::{self, STDIN, STDIN_NAME},
};

/// Formats every file, or says what would change.
pub(super) fn fmt(arguments: &FmtArguments, json: bool, console: Console) -> Result<(), Failure> {
    let mut files = arguments.files.clone();
    if files.is_empty() {
        files.push(PathBuf::from(CONFIG));
    }
    let mut told: Vec<Json> = Vec::new();
    let (mut is_refused, mut is_changed) = (false, false);
    for file in &files {
        let text = match Text::read(file)? {
            Ok(text) => text,
            Err(problems) => {
                is_refused = true;
                if json {
                    told.extend(problems.to_json().as_array().cloned().unwrap_or_default());
                } else {
                    console.fail(&Failure::problems(&problems, console.message_colour()));
                }
                continue;
            }
        };
        is_changed |= text.is_changed();
        text.obey(arguments, json, console)?;
        told.push(json!({ "file": text.name, "changed": text.is_changed() }));
    }
    if json {
        console.json(&told)?;
    }
    if is_refused {
        return Err(Failure::silent(BAD_CONFIG));
    }
    let only_looks = arguments.check || arguments.diff;
    if only_looks && is_changed { Err(Failure::silent(FAILED)) } else { Ok(()) }
}

/// A configuration as it stands and as it should.
struct Text {
    /// None of stdin.
    path: Option<PathBuf>,
    name: String,
    was: String,
    is: String,
}

impl Text {
    fn read(file: &Path) -> Result<Result<Self, Problems>, Failure> {
        let (path, name, read) = if file == Path::new(STDIN) {
            (None, STDIN_NAME.to_owned(), Ok(source::stdin()?))
        } else {
            let read = gnomon_config::read_text(file);
            (Some(file.to_owned()), file.display().to_string(), read)
        };
        Ok(read.and_then(|was| {
            let is = gnomon_config::format(&name, &was)?;
            Ok(Self { path, name, was, is })
        }))
    }

    fn is_changed(&self) -> bool {
        self.was != self.is
    }

    fn obey(&self, arguments: &FmtArguments, json: bool, console: Console) -> Result<(), Failure> {
        let Self { path, name, was, is } = self;
        if arguments.check || arguments.diff {
            if json || !self.is_changed() {
                return Ok(());
            }
            if arguments.diff {
                return console.data(unified::shown(name, was, is, console.paint()));
            }
            return console.line(name);
        }
        match path {
            None if json => Ok(()),
            None => console.data(is),
            Some(path) => {
                if self.is_changed() {
                    replace(path, is).map_err(|error| {
                        Failure::new(FAILED, format!("{name} cannot be written: {error}"))
                            .help("nothing of it has changed; the folder has to be writable, too")
                    })?;
                }
                if !json {
                    let lines = unified::changed(was, is);
                    let word = if lines == 1 { "line" } else { "lines" };
                    console.say(if self.is_changed() {
                        format!("{name}: formatted, {lines} {word} changed")
                    } else {
                        format!("{name}: as it should be")
                    });
                }
                Ok(())
            }
        }
    }
}

/// Puts `text` in the place of a file at once: whoever reads it finds the old or the new. Rights and,
/// where we may, owner stay; a link stays one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let before = fs::metadata(&path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // Not `.toml`, lest a pattern of `include` takes it.
    let new = path.with_file_name(format!(".{name}.{}.new", std::process::id()));
    let written = (|| {
        let mut file = File::options().write(true).create_new(true).open(&new)?;
        file.set_permissions(fs::Permissions::from_mode(before.mode() & 0o7777))?;
        let after = file.metadata()?;
        if (after.uid(), after.gid()) != (before.uid(), before.gid()) {
            fchown(&file, Some(before.uid()), Some(before.gid()))?;
            // A change of the owner may have taken rights away.
            file.set_permissions(fs::Permissions::from_mode(before.mode() & 0o7777))?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_rights_and_through_links() {
        let name = format!("gnomon-fmt-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        let (file, link) = (folder.join("a.toml"), folder.join("b.toml"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("a.toml", &link).unwrap();
        replace(&link, "new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert!(link.is_symlink());
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "nothing is left behind");
        assert!(replace(&folder.join("none.toml"), "new").is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
