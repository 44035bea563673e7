//! Completion scripts, made from the same arguments that are parsed.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::arguments::Arguments;

/// The script for `shell`.
pub(super) fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    generate(shell, &mut Arguments::command(), "gnomon", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}
