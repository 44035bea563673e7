//! Manual pages, made from the same arguments that are parsed and the same rows that are read.

use std::{fs, path::Path};

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::{Console, FAILED, Failure, arguments::Arguments};

/// Writes every page into `folder`, which is made if need be, and names the files.
pub(super) fn man(folder: &Path, console: Console) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| {
        Failure::new(FAILED, format!("{} cannot be written: {error}", folder.display()))
    };
    fs::create_dir_all(folder).map_err(cannot)?;
    for (name, text) in pages() {
        let path = folder.join(name);
        fs::write(&path, text).map_err(cannot)?;
        console.line(path.display())?;
    }
    Ok(())
}

/// The pages by their names: gnomon.1, one for each command, gnomon.toml.5.
fn pages() -> Vec<(String, String)> {
    let mut root = Arguments::command();
    root.build();
    let mut pages = Vec::new();
    of_command(&root, &mut pages);
    pages.push(("gnomon.toml.5".to_owned(), gnomon_config::generate::man()));
    pages
}

fn of_command(command: &Command, pages: &mut Vec<(String, String)>) {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        of_command(inner, pages);
    }
    let name = command.get_display_name().unwrap_or("gnomon").to_owned();
    let page = Man::new(command.clone()).source("gnomon").manual("gnomon");
    let mut text = Vec::new();
    // Into memory: nothing fails.
    let _ = page.render(&mut text);
    // A page without a date, which would differ from build to build, says so in the date's place.
    let mut text = String::from_utf8_lossy(&text).replacen(
        " 1  gnomon gnomon\n",
        " 1 \"\" gnomon gnomon\n",
        1,
    );
    let others = match name.as_str() {
        "gnomon" => ".BR gnomon.toml (5),\n.BR gnomon (8)\n",
        _ => ".BR gnomon (1),\n.BR gnomon.toml (5),\n.BR gnomon (8)\n",
    };
    text.push_str(&format!(".SH \"SEE ALSO\"\n{others}"));
    pages.push((format!("{name}.1"), text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_of_its_own() {
        let pages = pages();
        let page = |name: &str| {
            let found = pages.iter().find(|(page, _)| page == name);
            &found.unwrap_or_else(|| panic!("no {name}")).1
        };
        assert!(page("gnomon.1").contains("gnomon\\-rollout(1)"));
        assert!(page("gnomon-rollout-stop-the-line.1").contains("gnomon rollout stop"));
        assert!(page("gnomon-check.1").contains("SEE ALSO"));
        assert!(page("gnomon.toml.5").contains("[upstream.NAME.pool]"));
        for (name, text) in &pages {
            assert!(text.contains(" \"\" gnomon gnomon\n.SH NAME"), "{name}");
        }
    }
}
