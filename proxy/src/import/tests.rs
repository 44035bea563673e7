//! What our own small examples come to, in every format, and what holds for any text.

mod emissary;
mod haproxy;
mod nginx;
mod traefik;

use std::collections::BTreeMap;

use gnomon_config::{Options, Severity};
use proptest::prelude::*;

use super::*;

/// Files at hand.
#[derive(Default)]
struct Given(BTreeMap<&'static str, &'static str>);

impl Files for Given {
    fn read(&self, path: &str) -> Result<String, String> {
        self.0.get(path).map(|it| (*it).to_owned()).ok_or_else(|| "it is not there".to_owned())
    }

    fn list(&self, folder: &str) -> Vec<String> {
        let split = |path: &&str| match path.rsplit_once('/') {
            Some((folder, name)) => (folder.to_owned(), name.to_owned()),
            None => (".".to_owned(), (*path).to_owned()),
        };
        let all = self.0.keys().map(split);
        all.filter(|(of, _)| of == folder).map(|(_, name)| name).collect()
    }
}

fn faults(text: &str) -> Vec<Fault> {
    match gnomon_config::parse("import", text, &Options::default()) {
        Ok(_) => Vec::new(),
        Err(problems) => {
            let errors = problems.iter().filter(|it| it.severity == Severity::Error);
            errors.map(|it| (it.place.start, it.message.clone())).collect()
        }
    }
}

fn try_with(format: Format, name: &str, text: &str, files: &Given) -> Result<Imported, String> {
    let texts = [Text { name: name.to_owned(), text: text.to_owned() }];
    import(format, &texts, files, &faults)
}

/// Imports a text; what comes of it passes the check, and the counts add up.
#[track_caller]
fn imported(format: Format, name: &str, text: &str) -> Imported {
    let imported = try_with(format, name, text, &Given::default()).expect("it is read");
    let Imported { config, directives, carried, partly, todo, notes, .. } = &imported;
    assert_eq!(faults(config), [], "{config}");
    assert_eq!(*directives, carried + partly + todo.len(), "{imported:?}");
    assert_eq!(*partly, notes.len());
    imported
}

/// The lines that are no remarks, without those behind tables.
fn lines(imported: &Imported) -> Vec<String> {
    let all = imported.config.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    all.map(|line| line.split(" # ").next().unwrap_or(line).to_owned()).collect()
}

/// What a text comes to.
#[track_caller]
fn comes_to(format: Format, name: &str, text: &str, expected: &str) -> Imported {
    let imported = imported(format, name, text);
    let expected: Vec<&str> =
        expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(lines(&imported), expected, "{}", imported.config);
    imported
}

/// The directives that are left, with where they stand.
fn left(imported: &Imported) -> Vec<(u32, &str)> {
    imported.todo.iter().map(|it| (it.line, it.directive.as_str())).collect()
}

#[test]
fn nothing_still_comes_to_a_configuration() {
    for format in [Format::Nginx, Format::Haproxy, Format::Emissary, Format::Traefik] {
        let imported = imported(format, "empty.yml", "");
        assert_eq!(lines(&imported), ["listen = \"127.0.0.1:8080\""]);
        assert!(imported.config.contains(MARK), "{}", imported.config);
    }
}

#[test]
fn what_cannot_be_read_is_told_with_its_line() {
    for (format, name, text, expected) in [
        (Format::Nginx, "a.conf", "http {\n  server {\n", "a.conf:3: a block has no `}`"),
        (Format::Nginx, "a.conf", "listen 80", "a.conf:1: the last directive has no `;`"),
        (Format::Haproxy, "h.cfg", "\nbind :80\n", "h.cfg:2: `bind` stands before any section"),
        (Format::Haproxy, "h.cfg", "global\n user 'x\n", "h.cfg:2: a quoted text does not end"),
        (Format::Traefik, "t.toml", "a = 1\nb = [\n", "t.toml:2: this is not TOML"),
        (Format::Traefik, "t.yml", "a: 1\nb: [\n", "t.yml:"),
        (Format::Emissary, "e.yaml", "a: {{ b }}\n", "e.yaml:1: this is not YAML"),
    ] {
        let told = try_with(format, name, text, &Given::default()).expect_err("it is wrong");
        assert!(told.starts_with(expected), "{told}");
    }
}

#[test]
fn too_much_and_too_deep_is_refused() {
    let deep = "a {".repeat(2000);
    let told = try_with(Format::Nginx, "a", &deep, &Given::default()).expect_err("it is deep");
    assert!(told.contains("deep"), "{told}");
    let deep = "a: ".to_owned() + &"[".repeat(2000);
    assert!(try_with(Format::Traefik, "a.yml", &deep, &Given::default()).is_err());
    let deep = "a = ".to_owned() + &"[".repeat(2000);
    assert!(try_with(Format::Traefik, "a.toml", &deep, &Given::default()).is_err());
    let large = "#".repeat(BYTES_MAX + 1);
    let told = try_with(Format::Nginx, "a", &large, &Given::default()).expect_err("it is large");
    assert!(told.contains("16777216"), "{told}");
}

#[test]
fn paths_begin_by_whole_segments_where_that_is_meant() {
    use values::Path;
    for (text, expected) in [
        ("/", Path::Any),
        ("/api", Path::Prefix("/api/*".to_owned())),
        ("/api/", Path::Prefix("/api/*".to_owned())),
        ("/v-", Path::Regex("/v-.*".to_owned())),
    ] {
        assert_eq!(Path::beginning(text), expected, "{text}");
    }
    for (text, expected) in [
        (r"\.php$", r".*\.php"),
        ("^/a", "/a.*"),
        ("^/(a|b)$", "/(?:(a|b))"),
        ("^/a|/b$", "(?s:.*(?:^/a|/b$).*)"),
    ] {
        let Path::Regex(regex) = Path::regex(text) else { panic!("{text}") };
        assert!(regex == expected || regex.contains("(a|b)"), "{text}: {regex}");
    }
}

/// They mean something somewhere, so that texts get far.
const WORDS: &[&str] = &[
    "http",
    "server",
    "location",
    "upstream",
    "proxy_pass",
    "http://a",
    "http://$x",
    "listen",
    "80",
    "443 ssl",
    "return",
    "301",
    "https://$host$request_uri",
    "map",
    "split_clients",
    "$x",
    "{",
    "}",
    ";",
    "\n",
    "  ",
    "\"",
    "'",
    "#",
    "\\",
    "frontend",
    "backend",
    "bind",
    ":80",
    "acl",
    "use_backend",
    "if",
    "{ path_beg /x }",
    "default_backend",
    "mode http",
    "cookie",
    "insert",
    "entryPoints:",
    "http:",
    "routers:",
    "rule:",
    "Host(`a`)",
    "&&",
    "||",
    "!",
    "(",
    ")",
    "- ",
    "kind: Mapping",
    "apiVersion: getambassador.io/v3alpha1",
    "spec:",
    "prefix:",
    "service:",
    "weight: 10",
    "---",
    "[http.routers.a]",
    "rule = \"PathPrefix(`/`)\"",
    "=",
    "[",
    "]",
    "a",
    "10%",
    "*",
    "~",
    "^~",
    "/",
    "é",
    "\u{0}",
    "mirror",
    "rewrite",
    "^/(.*)$",
    "/$1",
    "break",
];

fn pieces() -> impl Strategy<Value = String> {
    let words = prop::sample::select(WORDS);
    prop::collection::vec(words, 0..60).prop_map(|all| all.join(" "))
}

proptest! {
    #[test]
    fn any_text_comes_to_an_error_or_to_what_passes(text in prop_oneof![".{0,200}", pieces()]) {
        for format in [Format::Nginx, Format::Haproxy, Format::Emissary, Format::Traefik] {
            for name in ["a.yml", "a.toml"] {
                if let Ok(it) = try_with(format, name, &text, &Given::default()) {
                    prop_assert_eq!(faults(&it.config), [], "{}", it.config);
                    prop_assert_eq!(it.directives, it.carried + it.partly + it.todo.len());
                }
            }
        }
    }
}
