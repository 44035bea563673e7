//! Draws a token of the admin API, shows it once, and writes its file.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::{Args, ValueEnum};
use gnomon_sys::entropy;

use super::{FAILED, console::Console, failure::Failure};

/// What to draw.
#[derive(Args, Clone, Debug)]
pub(crate) struct TokenArguments {
    /// What its bearer is called in the audit log
    #[arg(value_name = "NAME")]
    name: String,
    /// What its bearer may do
    #[arg(long, value_enum, default_value_t = RoleAsked::Read)]
    role: RoleAsked,
    /// The file to write; it is for its owner alone, who has to be the proxy's user
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Replace the token that is in the file
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleAsked {
    /// Look
    Read,
    /// Move rollouts, splits and flags, mark noise
    Rollout,
    /// Reload, record, open logs anew
    Config,
    /// Upgrade and stop
    Admin,
}

/// `gnomon token`.
pub(super) fn token(it: &TokenArguments, console: Console) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(FAILED, format!("{}: {error}", it.to.display()))
    };
    let token = draw().map_err(|error| failed(&error))?;
    write(&it.to, &token, it.force).map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            return failed(&"there is such a file; --force replaces it");
        }
        failed(&error)
    })?;
    let file = std::path::absolute(&it.to).unwrap_or_else(|_| it.to.clone());
    let role = it.role.to_possible_value();
    let role = role.as_ref().map_or("read", clap::builder::PossibleValue::get_name);
    console.say(format!(
        "It is shown this once. Its file is written, for its owner alone. In the configuration:\n\n\
         [admin.token.{}]\nfile = {}\nrole = \"{role}\"\n\nThen: gnomon reload",
        it.name,
        toml_edit::Value::from(file.display().to_string()),
    ));
    console.data(format!("{token}\n"))
}

/// 256 bits, in characters that a field may hold.
fn draw() -> io::Result<String> {
    Ok(format!("gnomon_{}", URL_SAFE_NO_PAD.encode(entropy::draw()?)))
}

/// Written aside and moved, so that a proxy that reads it meanwhile finds the old one or the new.
fn write(path: &Path, token: &str, force: bool) -> io::Result<()> {
    let open = |path: &Path| OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    if !force {
        return writeln!(open(path)?, "{token}");
    }
    let mut new = path.to_path_buf().into_os_string();
    new.push(".new");
    let new = PathBuf::from(new);
    let _ = fs::remove_file(&new);
    writeln!(open(&new)?, "{token}")?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_token_is_its_owners_and_none_is_replaced_unasked() {
        let name = format!("gnomon-token-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let (one, two) = (draw().unwrap(), draw().unwrap());
        assert!(one != two && one.len() == 50, "{one} {two}");
        write(&path, &one, false).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = write(&path, &two, false).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        write(&path, &two, true).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{two}\n"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_file(&path).unwrap();
    }
}
