//! Configurations from files and from stdin, with overrides and the environment.

use std::{io::Read, path::Path};

use gnomon_config::{Loaded, Options, Problems};

use super::{FAILED, Failure};
use crate::{clock, environment};

/// Stands for stdin.
pub(super) const STDIN: &str = "-";
/// Its name in problems.
pub(super) const STDIN_NAME: &str = "<stdin>";

/// Reads a configuration as `run` does.
pub(super) fn load(path: &Path, sets: &[(String, String)]) -> Result<Loaded, Problems> {
    gnomon_config::load(path, &options(sets, None))
}

/// The same; `-` is stdin, whose paths start from the working directory.
pub(super) fn load_any(
    path: &Path,
    sets: &[(String, String)],
) -> Result<Result<Loaded, Problems>, Failure> {
    if path != Path::new(STDIN) {
        return Ok(load(path, sets));
    }
    let text = stdin()?;
    Ok(gnomon_config::parse(STDIN_NAME, &text, &options(sets, Some(Path::new(".")))))
}

/// All of stdin.
pub(super) fn stdin() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(STDIN_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|error| Failure::new(FAILED, format!("stdin cannot be read: {error}")))?;
    Ok(text)
}

fn options<'a>(sets: &'a [(String, String)], base: Option<&'a Path>) -> Options<'a> {
    Options { sets, env: &environment::variable, base, now: Some(clock::wall().as_secs()) }
}

/// As large as a file may be.
const STDIN_BYTES_MAX: u64 = 4 << 20;
