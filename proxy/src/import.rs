//! Configurations of other proxies, turned into ours: text in, text out.
//!
//! Each format has a reader, which enters every directive in the [`ledger`] and what it means in the
//! [`draft`]. The [`writer`] makes TOML of the draft and has it checked: what would be refused is taken
//! out and told, so that what is printed can always be used, and nothing is lost without a word.
//! Never is a foreign file run as it is.

mod draft;
mod emissary;
mod haproxy;
mod ledger;
mod nginx;
mod traefik;
mod tree;
mod values;
mod writer;

#[cfg(test)]
mod tests;

use serde::Serialize;

use self::draft::Draft;

/// What marks a line that a person has to look at.
pub(crate) const MARK: &str = concat!("TO", "DO");
/// Bytes of all files together, what they include among them.
pub(crate) const BYTES_MAX: usize = 16 << 20;
/// How deep blocks, lists and tables may lie in each other: deeper is no configuration that a person wrote.
const DEPTH_MAX: usize = 64;

/// Whose configuration it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// nginx.conf and what it includes
    Nginx,
    /// haproxy.cfg
    Haproxy,
    /// Emissary-ingress (Ambassador): Mapping, Host, Listener, ... in YAML
    Emissary,
    /// Traefik: static and dynamic configuration, in YAML or TOML
    Traefik,
}

/// A file that was named.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    /// Its path as given; it stands in every message.
    pub(crate) name: String,
    /// What it holds.
    pub(crate) text: String,
}

/// Where files come from that a file includes.
pub(crate) trait Files {
    /// What a file holds.
    ///
    /// # Errors
    ///
    /// Why it cannot be had.
    fn read(&self, path: &str) -> Result<String, String>;

    /// The names of what lies in a folder, in any order; none if there is no such folder.
    fn list(&self, folder: &str) -> Vec<String>;
}

/// What is wrong with a configuration of ours: the byte it begins at, and why.
pub(crate) type Fault = (usize, String);
/// Finds what is wrong with a configuration of ours.
pub(crate) type Check<'a> = &'a dyn Fn(&str) -> Vec<Fault>;

/// A directive that a person has to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Remark {
    /// The file it stands in.
    pub(crate) file: String,
    /// The line in it, from 1.
    pub(crate) line: u32,
    /// As it is written there, shortened if it is long.
    pub(crate) directive: String,
    /// Why it could not be carried over, or not wholly, and what to do instead.
    pub(crate) why: String,
}

/// What an import came to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Imported {
    /// A configuration of ours, which passes the check.
    pub(crate) config: String,
    /// Directives that say something about traffic.
    pub(crate) directives: usize,
    /// Those that mean the same here as there.
    pub(crate) carried: usize,
    /// Those that mean nearly the same.
    pub(crate) partly: usize,
    /// Further directives that only concern the other program's own process.
    pub(crate) needless: usize,
    /// Those that are left to a person.
    pub(crate) todo: Vec<Remark>,
    /// What is different about those that mean nearly the same.
    pub(crate) notes: Vec<Remark>,
}

/// Reads configurations of another proxy and writes one of ours.
///
/// # Errors
///
/// What cannot be read at all, with file and line.
pub(crate) fn import(
    format: Format,
    texts: &[Text],
    files: &dyn Files,
    check: Check<'_>,
) -> Result<Imported, String> {
    let bytes: usize = texts.iter().map(|text| text.text.len()).sum();
    if bytes > BYTES_MAX {
        return Err(format!("the files have {bytes} bytes; {BYTES_MAX} are read at most"));
    }
    let mut draft = Draft::default();
    match format {
        Format::Nginx => nginx::read(&mut draft, texts, files)?,
        Format::Haproxy => haproxy::read(&mut draft, texts)?,
        Format::Emissary => emissary::read(&mut draft, texts)?,
        Format::Traefik => traefik::read(&mut draft, texts)?,
    }
    Ok(writer::write(draft, check))
}
