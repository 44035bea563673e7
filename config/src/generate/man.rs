//! gnomon.toml(5): the manual's rules and every key, as man reads it.

use std::fmt::Write as _;

use super::{MANUAL, has_keys, takes};
use crate::fields::{self, Effect, FIELDS, Field, Kind, Preset};

/// The page.
#[must_use]
pub fn man() -> String {
    let mut out = String::from(
        ".TH gnomon.toml 5 \"\" gnomon gnomon\n.SH NAME\ngnomon.toml \\- configuration of gnomon\n\
         .SH DESCRIPTION\n",
    );
    out.push_str(&prose(
        "One TOML file, and those it includes, says what gnomon does. `gnomon check FILE` shows everything \
         that is wrong with it; the same check guards every start and every reload. `gnomon fmt` tidies \
         it up, and `gnomon explain CODE` says more of a problem.",
    ));
    out.push_str(".SH RULES\n");
    out.push_str(&rules());
    out.push_str(".SH KEYS\n");
    keys_of(&mut out, "");
    for table in FIELDS.iter().filter(|field| field.is_table() && field.kind != Kind::Keyed) {
        if has_keys(table.path) {
            let title = table.path.replace('*', "NAME");
            let _ = write!(out, ".SS {}\n{}", escaped(&format!("[{title}]")), prose(table.doc));
            keys_of(&mut out, table.path);
        }
    }
    out.push_str(
        ".SH FILES\n.TP\n.I /etc/gnomon/gnomon.toml\nWhere it is looked for.\n.SH \"SEE ALSO\"\n\
         .BR gnomon (1),\n.BR gnomon (8)\n",
    );
    out
}

fn keys_of(out: &mut String, path: &str) {
    for field in fields::keys_of(path) {
        if !field.is_table() && field.effect != Effect::Later {
            out.push_str(&of_key(field));
        }
    }
}

fn of_key(field: &Field) -> String {
    let default = match field.preset {
        Preset::Default(value) => format!("default: `{value}`"),
        Preset::Shown(value) | Preset::Commented(value) => format!("no default; e.g. `{value}`"),
    };
    let restart = if field.effect == Effect::Restart { " Needs a restart." } else { "" };
    let key = field.key().replace('*', "NAME");
    let takes = takes(&field.kind);
    let mut doc = field.doc.to_owned();
    if !doc.ends_with('.') {
        doc.push('.');
    }
    format!(
        ".TP\n{}{}",
        prose(&format!("`{key}`: {takes}")),
        prose(&format!("{doc} ({default}){restart}"))
    )
}

/// The bullets of the manual's rules.
fn rules() -> String {
    let mut out = String::new();
    let rules = MANUAL.split_once("## Rules").map_or("", |(_, rest)| rest);
    let rules = rules.split_once("\n## ").map_or(rules, |(rules, _)| rules);
    for rule in rules.trim().split("\n- ") {
        let rule = rule.strip_prefix("- ").unwrap_or(rule);
        let words: Vec<&str> = rule.split_whitespace().collect();
        let _ = write!(out, ".IP \\(bu 2\n{}", prose(&words.join(" ")));
    }
    out
}

/// A paragraph in one line: what stands in `**` or in backticks is bold.
fn prose(text: &str) -> String {
    let mut out = String::new();
    let mut is_bold = false;
    for part in text.replace("**", "`").split('`') {
        let part = escaped(part);
        if is_bold && !part.is_empty() {
            let _ = write!(out, "\\fB{part}\\fR");
        } else {
            out.push_str(&part);
        }
        is_bold = !is_bold;
    }
    // What a line begins with may be a request.
    if out.starts_with(['.', '\'']) {
        out.insert_str(0, "\\&");
    }
    out.push('\n');
    out
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('"', "\\(dq").replace('\'', "\\(aq")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_told_of() {
        let page = man();
        let keys = page.matches(".TP\n\\fB").count();
        let wanted =
            FIELDS.iter().filter(|it| !it.is_table() && it.effect != Effect::Later).count();
        assert_eq!(keys, wanted);
        assert!(page.contains(".SS [upstream.NAME.pool]"), "{page}");
        assert!(page.contains(".IP \\(bu 2\n\\fBUnknown keys are errors\\fR"), "{page}");
        assert!(!page.contains('`'), "{page}");
    }

    #[test]
    fn words_are_no_requests() {
        assert_eq!(prose(".a `b-c` \\d"), "\\&.a \\fBb\\-c\\fR \\ed\n");
        assert_eq!(prose("**x**'s \"y\""), "\\fBx\\fR\\(aqs \\(dqy\\(dq\n");
    }
}
