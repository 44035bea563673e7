//! What a person intends: the TOML file, checked as a whole and turned into a [`Config`].
//!
//! Pure but for reading files. The door is [`load`]: it gives back a [`Config`] that the rest of
//! the program may believe without looking twice, or every [`Problem`] at once.
//!
//! ```
//! let text = r#"
//! listen = "0.0.0.0:8080"
//! upstream.shop.versions.v1 = ["10.0.0.11:8080"]
//! route.shop.to = "shop"
//! "#;
//! let loaded = gnomon_config::parse("gnomon.toml", text, &Default::default()).expect("it is right");
//! assert_eq!(&*loaded.config.upstreams[0].name, "shop");
//! ```
//!
//! # Map
//!
//! A text becomes a configuration in four steps, each a module:
//!
//! | step | module | |
//! |---|---|---|
//! | read | `source` | the file, what it includes, `--set`, environment and secrets |
//! | parse | `tree` | TOML values that know their place |
//! | know | [`fields`], `shape`, `known` | one row per key; what has no row is refused |
//! | check | `read`, `check` | typed values, then what they mean together |
//!
//! Beside them: [`model`] is the outcome, [`problem`] what is wrong with it, `code` explains that;
//! `names` and [`units`] know the forms of texts; [`change`] tells two configurations apart, with
//! the help of [`mod@effective`], which writes one down; [`fn@format`] tidies a text up; [`generate`]
//! writes the reference, the schema and the manuals from the rows.

mod check;
mod code;
mod format;
mod known;
mod names;
mod read;
mod shape;
mod source;
mod tree;

pub mod change;
pub mod effective;
pub mod fields;
pub mod generate;
pub mod json_path;
pub mod model;
pub mod problem;
pub mod units;

use std::path::Path;

pub use change::{Change, diff};
pub use code::explain;
pub use effective::effective;
pub use format::{format, read_text};
pub use model::Config;
pub use problem::{Place, Problem, Problems, Severity};
pub use source::Options;
pub use units::{show_duration, show_percent, show_points, show_share, show_size, show_worse};

use source::Sources;

/// A configuration that may be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What holds.
    pub config: Config,
    /// What hardly does what was meant; a strict caller refuses it.
    pub warnings: Problems,
}

/// Reads a file, what it includes and the overrides.
///
/// # Errors
///
/// Everything that is wrong, warnings included.
pub fn load(path: &Path, options: &Options<'_>) -> Result<Loaded, Problems> {
    checked(*options, |sources| sources.read_file(path))
}

/// As [`load`], but for a text at hand; `name` stands for its path in problems. It reads no file
/// unless [`Options::base`] is set, and never panics.
///
/// # Errors
///
/// Everything that is wrong, warnings included.
pub fn parse(name: &str, text: &str, options: &Options<'_>) -> Result<Loaded, Problems> {
    checked(*options, |sources| sources.read_text(name, text))
}

fn checked<'a>(
    options: Options<'a>,
    read: impl FnOnce(&mut Sources<'a>) -> tree::Table,
) -> Result<Loaded, Problems> {
    let mut sources = Sources::new(options);
    let table = read(&mut sources);
    // Of a text with holes, the meaning would only be guessed.
    if sources.problems.iter().any(|problem| problem.code == code::SYNTAX) {
        known::check(&table, &mut sources.problems);
        return Err(sources.into_problems());
    }
    if table.entries.is_empty() && !sources.problems.is_empty() {
        return Err(sources.into_problems());
    }
    let config = check::build(&table, &mut sources);
    let problems = sources.into_problems();
    if problems.has_errors() { Err(problems) } else { Ok(Loaded { config, warnings: problems }) }
}
