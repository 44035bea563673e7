//! Configurations with blanks.
//!
//! `@LISTEN@`, `@LISTEN_PORT@`, `@UPSTREAM@`, `@UPSTREAM_PORT@`, `@SHADOW@`, `@SHADOW_HOST@`, `@SHADOW_PORT@`, `@CORE@`
//! and `@DIR@` are filled in, as are
//! `@SIZE@` and `@GENERATION@`, which counts reloads. A line that begins with `@EACH@` is repeated:
//! `@N@` is its number from 0, `@SHARE@` its percentage of the whole, `@ENDPOINT@` an address of
//! its own at the origin's port. `@INCLUDE@ file` stands for another template, to one level.

use std::{
    fmt::Write,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// What is put into the blanks.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// A folder for the proxy's files.
    pub dir: &'a Path,
    /// Where the proxy shall listen.
    pub listen: SocketAddr,
    /// Where the origin listens.
    pub upstream: SocketAddr,
    /// Where copies go.
    pub shadow: SocketAddr,
    /// The core that requests are served on.
    pub core: usize,
    /// How often a line is repeated.
    pub size: u32,
    /// How often the configuration has changed.
    pub generation: u32,
}

/// Fills `template` in and writes it into the proxy's folder, under its own name.
///
/// # Errors
/// A sentence, when something cannot be read or written.
pub fn write(template: &Path, templates: &Path, values: &Values<'_>) -> Result<PathBuf, String> {
    let name = template.file_name().ok_or("a template without a name")?;
    let text = read(template)?;
    let mut whole = String::with_capacity(text.len());
    for line in text.lines() {
        match line.trim_start().strip_prefix("@INCLUDE@ ") {
            Some(other) => whole.push_str(&read(&templates.join(other.trim()))?),
            None => {
                whole.push_str(line);
                whole.push('\n');
            }
        }
    }
    let config = values.dir.join(name);
    fs::write(&config, fill(&whole, values))
        .map_err(|error| format!("cannot write {}: {error}", config.display()))?;
    Ok(config)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn fill(text: &str, values: &Values<'_>) -> String {
    let mut filled = String::with_capacity(text.len());
    for line in text.lines() {
        match line.strip_prefix("@EACH@ ") {
            Some(each) => repeat(each, values, &mut filled),
            None => {
                filled.push_str(line);
                filled.push('\n');
            }
        }
    }
    filled
        .replace("@LISTEN@", &values.listen.to_string())
        .replace("@LISTEN_PORT@", &values.listen.port().to_string())
        .replace("@UPSTREAM@", &values.upstream.to_string())
        .replace("@UPSTREAM_PORT@", &values.upstream.port().to_string())
        .replace("@SHADOW@", &values.shadow.to_string())
        .replace("@SHADOW_HOST@", &values.shadow.ip().to_string())
        .replace("@SHADOW_PORT@", &values.shadow.port().to_string())
        .replace("@CORE@", &values.core.to_string())
        .replace("@DIR@", &values.dir.to_string_lossy())
        .replace("@SIZE@", &values.size.to_string())
        .replace("@GENERATION@", &values.generation.to_string())
}

fn repeat(line: &str, values: &Values<'_>, filled: &mut String) {
    let share = 100.0 / f64::from(values.size.max(1));
    for number in 0..values.size {
        let line = line
            .replace("@N@", &number.to_string())
            .replace("@SHARE@", &share.to_string())
            .replace("@ENDPOINT@", &endpoint(number, values.upstream.port()).to_string());
        let _ = writeln!(filled, "{line}");
    }
}

/// All of 127.0.0.0/8 is this machine. 250 addresses of each /24 keep clear of its ends.
fn endpoint(number: u32, port: u16) -> SocketAddr {
    let [_, _, high, low] = (number / 250 * 256 + number % 250 + 1).to_be_bytes();
    (Ipv4Addr::new(127, 1, high, low), port).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_repeated_and_blanks_filled() {
        let values = Values {
            dir: Path::new("/tmp/x"),
            listen: ([127, 0, 0, 1], 80).into(),
            upstream: ([127, 0, 0, 1], 90).into(),
            shadow: ([127, 0, 0, 2], 90).into(),
            core: 4,
            size: 2,
            generation: 3,
        };
        let text = "listen @LISTEN_PORT@\n@EACH@ v@N@ = @SHARE@ to \"@ENDPOINT@\"\n@GENERATION@ @CORE@ @SHADOW@";
        let filled = "listen 80\nv0 = 50 to \"127.1.0.1:90\"\nv1 = 50 to \"127.1.0.2:90\"\n3 4 127.0.0.2:90\n";
        assert_eq!(fill(text, &values), filled);
    }

    #[test]
    fn endpoints_have_addresses_of_their_own() {
        let all: std::collections::BTreeSet<_> = (0..1000).map(|at| endpoint(at, 1)).collect();
        assert_eq!(all.len(), 1000);
        assert!(all.iter().all(|at| at.to_string().starts_with("127.1.")));
    }
}
