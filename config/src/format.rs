//! The one way to write a configuration down: that of `config/sample`.
//!
//! Only what lies between tokens changes. Order, comments, and how keys, texts and numbers are
//! spelt are the author's; so is whether a list stands on one line or on several, and whether the
//! `=` of a block line up. A text is read into `lines`, and these are laid out anew.

mod layout;
mod lines;

use std::{path::Path, sync::Arc};

use crate::{Options, Problems, known, source::Sources};

/// `text` as it should stand; the same text if it stands so already. `name` stands for its path in
/// problems. It means what it meant, and formatting it again changes nothing.
///
/// ```
/// let text = "[upstream.shop]\nversions.v1=['10.0.0.11:8080',]\n";
/// let tidy = gnomon_config::format("gnomon.toml", text).expect("it is TOML");
/// assert_eq!(tidy, "[upstream.shop]\nversions.v1 = ['10.0.0.11:8080']\n");
/// ```
///
/// # Errors
///
/// A text that is no TOML is refused with what [`load`](crate::load) says of it.
pub fn format(name: &str, text: &str) -> Result<String, Problems> {
    let mut sources = Sources::new(Options::default());
    let table = sources.parse_text(name, text);
    if !sources.problems.is_empty() {
        known::check(&table, &mut sources.problems);
        return Err(sources.into_problems());
    }
    let tidy = layout::lay_out(lines::read(text));
    // A slip of ours must not cost anyone their configuration.
    if meaning(&tidy).is_some_and(|now| Some(now) == meaning(text)) {
        Ok(tidy)
    } else {
        Ok(text.to_owned())
    }
}

/// The text of a file, to be formatted.
///
/// # Errors
///
/// A file that cannot be read is refused with what [`load`](crate::load) says of it.
pub fn read_text(path: &Path) -> Result<String, Problems> {
    let mut sources = Sources::new(Options::default());
    match sources.add_file(path) {
        Some(ix) => Ok(sources.files.swap_remove(ix).text),
        None => Err(sources.into_problems()),
    }
}

/// What a text amounts to. Shown, as a `nan` does not equal itself.
fn meaning(text: &str) -> Option<Arc<str>> {
    let table: toml::Table = toml::from_str(text).ok()?;
    Some(format!("{table:?}").into())
}

#[cfg(test)]
mod tests;
