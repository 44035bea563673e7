//! Every kind of wrong configuration gets the answer that `problems.md` shows.

use std::path::Path;

use gnomon_config::{Options, explain, parse};

/// What stands behind a case that is not `alone`. Its match is one that no case uses.
const BASE: &str = r#"
[listener.base]
bind = "127.0.0.1:1"

[upstream.base]
versions.v1 = ["127.0.0.1:2"]

[route.base]
to = "base"
match.host = "base.example.com"
"#;

#[test]
fn wrong_configurations_are_told_what_the_gallery_shows() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/problems.md");
    let gallery = std::fs::read_to_string(&path).unwrap();
    let mut sections = gallery.split("\n## ");
    let mut fresh = sections.next().unwrap().to_owned();
    for section in sections {
        let (head, rest) = section.split_once("```toml").unwrap();
        let (flag, rest) = rest.split_once('\n').unwrap();
        let (text, _) = rest.split_once("```").unwrap();
        let told = answer(text, flag == " alone");
        fresh.push_str(&format!("\n## {head}```toml{flag}\n{text}```\n\n```text\n{told}```\n"));
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    for (expected, found) in gallery.split("\n## ").zip(fresh.split("\n## ")) {
        assert_eq!(expected.trim_end(), found.trim_end());
    }
}

fn answer(text: &str, alone: bool) -> String {
    let text = if alone { text.to_owned() } else { format!("{text}{BASE}") };
    // In January 2027.
    let options = Options { now: Some(1_800_000_000), ..Options::default() };
    let problems = match parse("gnomon.toml", &text, &options) {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems,
    };
    assert!(!problems.is_empty(), "nothing is wrong with\n{text}");
    problems.render(false)
}

#[test]
fn every_code_is_shown_by_a_test() {
    let gallery = include_str!("problems.md");
    let files = include_str!("files.rs");
    let admin = include_str!("admin.rs");
    // What only somebody who can read certificates finds.
    let certificates = include_str!("../../proxy/src/tls/check/tests.rs");
    let keys = include_str!("../../proxy/src/jwt/check/tests.rs");
    let texts = [gallery, files, admin, certificates, keys];
    for number in 1..100 {
        let code = format!("G{number:03}");
        if explain(&code).is_some() {
            let shown = texts.iter().any(|text| text.contains(&code));
            assert!(shown, "{code} is shown nowhere");
        }
    }
    assert_eq!(explain("G999"), None);
}

#[test]
fn four_different_errors_show_in_one_run() {
    let text = r#"listen = "0.0.0.0:8080"
timeouts    = { idle = 5 }
[upstream.shop]
versions.v1 = ["10.0.0.11:8080"]
versions.v2 = ["10.0.0.21:8080"]
split       = { v1 = 95, v3 = 10 }

[routes.shop]
to = "shop"
"#;
    let problems = parse("gnomon.toml", text, &Options::default()).unwrap_err();
    let expected = r#"error[G006]: `idle` needs a unit
 --> gnomon.toml:2:24
  |
2 | timeouts    = { idle = 5 }
  |                        ^ did you mean "5s"?
  |
  = help: a bare number is a count; here stands a duration such as "250ms"

error[G013]: the shares of `split` add up to 105, not 100
 --> gnomon.toml:6:1
  |
6 | split       = { v1 = 95, v3 = 10 }
  | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: leave one version out and it takes the rest

error[G012]: `split` names version `v3`, which [upstream.shop] does not have
 --> gnomon.toml:6:26
  |
4 | versions.v1 = ["10.0.0.11:8080"]
  |          -- declared here
5 | versions.v2 = ["10.0.0.21:8080"]
  |          -- declared here
6 | split       = { v1 = 95, v3 = 10 }
  |                          ^^ did you mean `v1`?

error[G003]: unknown key `routes` at the top level
 --> gnomon.toml:8:2
  |
8 | [routes.shop]
  |  ^^^^^^ did you mean `route`?
"#;
    assert_eq!(problems.render(false), expected);

    let json = problems.to_json();
    let split = json.as_array().unwrap().iter().find(|it| it["code"] == "G012").unwrap();
    assert_eq!(split["file"], "gnomon.toml");
    assert_eq!((&split["line"], &split["column"]), (&6.into(), &26.into()));
    assert_eq!((&split["end_line"], &split["end_column"]), (&6.into(), &28.into()));
    assert_eq!(split["related"][1]["line"], 5);
    assert!(problems.render(true).contains("\u{1b}["));
}
