//! The Debian package: made by cargo-deb, proven under systemd.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{build, built, cargo, root, run};

/// Builds the package, and says where it is.
pub(crate) fn package() -> Result<PathBuf, String> {
    let present = Command::new("cargo").args(["deb", "--version"]).output();
    if !present.is_ok_and(|output| output.status.success()) {
        return Err("cargo-deb is not there; `cargo install cargo-deb --locked`".to_owned());
    }
    build(&["gnomon"])?;
    let gnomon = built("gnomon")?;
    let folder = gnomon.with_file_name("completions");
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    for (shell, file) in [("bash", "gnomon.bash"), ("zsh", "_gnomon"), ("fish", "gnomon.fish")] {
        let told = Command::new(&gnomon).args(["completions", shell]).output();
        let script = told.map_err(|error| format!("completions for {shell}: {error}"))?.stdout;
        fs::write(folder.join(file), script).map_err(|error| error.to_string())?;
    }
    pages(&gnomon)?;
    let folder = folder.with_file_name("package");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    run(cargo().args(["deb", "--package", "gnomon", "--no-build", "--output"]).arg(&folder))?;
    let made = fs::read_dir(&folder).map_err(|error| error.to_string())?.flatten().next();
    made.map(|file| file.path()).ok_or_else(|| "cargo-deb made no package".to_owned())
}

/// The manual pages, beside the program, in folders by their sections.
fn pages(gnomon: &Path) -> Result<(), String> {
    let folder = gnomon.with_file_name("man");
    let _ = fs::remove_dir_all(&folder);
    run(Command::new(gnomon).arg("man").arg(&folder).stdout(Stdio::null()))?;
    for section in ["1", "5"] {
        let inner = folder.join(format!("man{section}"));
        fs::create_dir_all(&inner).map_err(|error| error.to_string())?;
        let all = fs::read_dir(&folder).map_err(|error| error.to_string())?.flatten();
        for page in all
            .map(|entry| entry.path())
            .filter(|it| it.extension().is_some_and(|it| it == section))
        {
            let name = page.file_name().unwrap_or_default();
            fs::rename(&page, inner.join(name)).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// Installs, runs, upgrades, kills and purges it under a systemd of its own.
pub(crate) fn prove(package: &Path) -> Result<(), String> {
    const SKIPPED: i32 = 77;
    let script = root().join("scripts/ops/systemd-test.sh");
    let status = Command::new(script).arg(package).stdin(Stdio::null()).status();
    let status = status.map_err(|error| format!("cannot start systemd-test.sh: {error}"))?;
    match status.code() {
        Some(0 | SKIPPED) => Ok(()),
        _ => Err(format!("systemd-test.sh failed ({status})")),
    }
}
