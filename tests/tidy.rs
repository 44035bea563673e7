//! The house rules, as far as a machine can see to them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests lie in the project").to_owned()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file with this ending below the project, relative to it, in order.
fn files(ending: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("it can be read").flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                if !matches!(&*name, "target" | "artifacts" | "node_modules")
                    && !name.starts_with('.')
                {
                    walk(&path, ending, found);
                }
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), ending, &mut found);
    let root = root();
    let mut found: Vec<_> = found
        .into_iter()
        .map(|path| path.strip_prefix(&root).map(Path::to_owned).unwrap_or(path))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no {ending} at all");
    found
}

/// Fails with everything that is wrong at once.
#[track_caller]
fn check(rule: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{rule}:\n  {}", wrong.join("\n  "));
}

#[test]
fn crates_import_only_what_lies_below_them() {
    // docs/ARCHITECTURE.md has the picture. Crates that are not listed import none of ours.
    let layers: [(&str, &[&str]); 8] = [
        (
            "proxy",
            &[
                "gnomon-config",
                "gnomon-flags",
                "gnomon-policy",
                "gnomon-shadow",
                "gnomon-sys",
                "gnomon-tls",
                "gnomon-wire",
            ],
        ),
        (
            "shadow-worker",
            &["gnomon-config", "gnomon-policy", "gnomon-sys", "gnomon-tls", "gnomon-wire"],
        ),
        ("proxy/tls", &["gnomon-sys"]),
        ("proxy/policy", &["gnomon-config", "gnomon-flags", "gnomon-wire"]),
        ("proxy/flags", &["gnomon-config", "gnomon-wire"]),
        ("tests", &["gnomon", "gnomon-config", "gnomon-policy"]),
        ("bench", &["gnomon"]),
        ("bench/micro", &["gnomon-config", "gnomon-flags", "gnomon-policy", "gnomon-wire"]),
    ];
    let mut wrong = Vec::new();
    for manifest in files("Cargo.toml") {
        let folder = manifest.parent().map(|folder| folder.to_string_lossy().into_owned());
        let folder = folder.unwrap_or_default();
        if folder.is_empty() || folder == "tests/fuzz" {
            continue;
        }
        let allowed =
            layers.iter().find(|(name, _)| *name == folder).map_or(&[][..], |(_, all)| all);
        let text: toml::Table = read(&manifest).parse().expect("a manifest is TOML");
        let ours = text.get("dependencies").and_then(toml::Value::as_table);
        for name in ours.into_iter().flat_map(toml::Table::keys) {
            if name.starts_with("gnomon") && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{folder} imports {name}"));
            }
        }
    }
    check("imports point down", &wrong);
}

#[test]
fn the_runtime_stays_where_it_is() {
    let mut wrong = Vec::new();
    for manifest in files("Cargo.toml") {
        let text: toml::Table = read(&manifest).parse().expect("a manifest is TOML");
        let Some(dependencies) = text.get("dependencies").and_then(toml::Value::as_table) else {
            continue;
        };
        let folder = manifest.parent().unwrap_or_else(|| Path::new(""));
        for (name, homes) in [
            ("monoio", &["proxy", "proxy/sys", "proxy/tls", "shadow-worker"][..]),
            ("tokio", &["proxy"]),
            ("axum", &["proxy"]),
        ] {
            if dependencies.contains_key(name)
                && !homes.iter().any(|home| folder == Path::new(home))
            {
                wrong.push(format!("{} imports {name}", folder.display()));
            }
        }
    }
    check("IO lives in the proxy and the shadow worker", &wrong);
}

#[test]
fn cores_and_control_never_name_each_other() {
    let mut wrong = Vec::new();
    for path in files(".rs") {
        let (half, other) = if path.starts_with("proxy/src/worker")
            || path.ends_with("proxy/src/worker.rs")
        {
            ("worker", "control::")
        } else if path.starts_with("proxy/src/control") || path.ends_with("proxy/src/control.rs") {
            ("control", "worker::")
        } else {
            continue;
        };
        for (number, line) in read(&path).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if code.contains(&format!("crate::{other}"))
                || code.contains(&format!("super::{other}"))
            {
                wrong.push(format!("{}:{} ({half} names {other})", path.display(), number + 1));
            }
        }
    }
    check("they meet in the snapshot alone", &wrong);
}

#[test]
fn the_wall_clock_sets_no_deadline() {
    // On a core, a clock that jumps may change what is written down, and nothing else.
    let stamps = ["record.rs", "date.rs", "flags.rs"];
    let stamps = stamps.map(|name| Path::new("proxy/src/worker").join(name));
    let mut wrong = Vec::new();
    for path in files(".rs") {
        let waits = path.starts_with("proxy/src/worker") || path.ends_with("patience.rs");
        let text = if waits { read(&path) } else { String::new() };
        if text.contains("wall()") && !stamps.contains(&path) {
            wrong.push(path.display().to_string());
        }
    }
    check("deadlines are monotonic", &wrong);
}

#[test]
fn the_top_level_has_only_what_was_agreed() {
    let agreed: BTreeSet<&str> = [
        "Cargo.toml",
        "Cargo.lock",
        "proxy",
        "shadow-worker",
        "config",
        "bench",
        "scripts",
        "tests",
        "docs",
        "README.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "target",
    ]
    .into();
    let entries = fs::read_dir(root()).expect("the project can be read").flatten();
    let wrong: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && !agreed.contains(name.as_str()))
        .collect();
    check("somebody has to agree first", &wrong);
}

#[test]
fn every_file_says_first_what_it_is_for() {
    let wrong: Vec<String> = files(".rs")
        .into_iter()
        .filter(|path| !read(path).starts_with("//!"))
        .map(|path| path.display().to_string())
        .collect();
    check("the first line is a `//!`", &wrong);
}

#[test]
fn no_file_is_longer_than_can_be_read_at_once() {
    const CEILING: usize = 600;
    let mut wrong = Vec::new();
    for path in files(".rs") {
        let text = read(&path);
        let tests = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
        let length = text[..tests].lines().count();
        if length > CEILING {
            let name = path.display();
            wrong.push(format!("{name} has {length} lines, {CEILING} are allowed"));
        }
    }
    check("files are short", &wrong);
}

#[test]
fn nothing_is_put_off_or_left_out_without_a_reason() {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
    let ignored = concat!("#[ign", "ore]");
    let mut wrong = Vec::new();
    for path in files(".rs").into_iter().chain(files(".toml")) {
        for (number, line) in read(&path).lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) || line.trim() == ignored {
                wrong.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    check("do it now, or say why not", &wrong);
}

#[test]
fn unsafe_compiles_in_one_crate_alone() {
    let mut wrong = Vec::new();
    for manifest in files("Cargo.toml") {
        let text: toml::Table = read(&manifest).parse().expect("a manifest is TOML");
        let inherits = text
            .get("lints")
            .and_then(|lints| lints.get("workspace"))
            .and_then(toml::Value::as_bool)
            .unwrap_or(false);
        let folder = manifest.parent().unwrap_or_else(|| Path::new(""));
        let exempt = ["", "proxy/sys", "tests/fuzz"].iter().any(|home| folder == Path::new(home));
        if !inherits && !exempt {
            wrong.push(manifest.display().to_string());
        }
    }
    check("lints are inherited", &wrong);
}

#[test]
fn every_sample_is_a_configuration() {
    let mut wrong = Vec::new();
    for path in files(".toml").into_iter().filter(|path| path.starts_with("config/sample")) {
        let options = gnomon_config::Options::default();
        if let Err(problems) = gnomon_config::load(&root().join(&path), &options) {
            wrong.push(format!("{}: {}", path.display(), problems.render(false)));
        }
    }
    check("samples work", &wrong);
}

/// The manual for who runs it; while it is not written there is nothing to compare.
fn manual() -> Option<String> {
    fs::read_to_string(root().join("docs/OPERATING.md")).ok()
}

/// The two letters of every failure that the code can make.
fn failure_codes() -> BTreeSet<String> {
    let letter = |stage: &str| match stage {
        "Limit" => 'L',
        "Request" => 'R',
        "Queue" => 'Q',
        "Connect" => 'C',
        "Body" => 'B',
        "Head" => 'H',
        "Data" => 'D',
        other => panic!("a stage that tidy does not know: {other}"),
    };
    let mut codes = BTreeSet::new();
    for path in files(".rs").into_iter().filter(|path| path.starts_with("proxy/src/worker")) {
        let text = read(&path);
        for (side, call) in
            [('C', "Failure::client("), ('O', "Failure::origin("), ('P', "Failure::proxy(")]
        {
            for piece in text.split(call).skip(1) {
                let Some((stage, kind)) =
                    piece.split_once(')').and_then(|(all, _)| all.split_once(", "))
                else {
                    continue;
                };
                let Some(stage) = stage.strip_prefix("Stage::") else { continue };
                let stage = letter(stage);
                let may_be_late = !kind.starts_with("Kind::") || kind.starts_with("Kind::Timeout");
                if may_be_late {
                    codes.insert(format!("{side}{}", stage.to_ascii_lowercase()));
                }
                if !kind.starts_with("Kind::Timeout") {
                    codes.insert(format!("{side}{stage}"));
                }
            }
        }
    }
    assert!(codes.contains("CR") && codes.contains("Oc"), "{codes:?}");
    codes
}

#[test]
fn every_failure_code_is_in_the_manual() {
    let codes = failure_codes();
    let Some(manual) = manual() else { return };
    let wrong: Vec<String> =
        codes.into_iter().filter(|code| !manual.contains(&format!("`{code}`"))).collect();
    check("docs/OPERATING.md explains each", &wrong);
}

#[test]
fn every_field_of_the_status_is_in_the_manual() {
    let api = read("proxy/src/control/api.rs") + &read("proxy/src/control/api/cores.rs");
    let fields = |name: &str| {
        let body = api.split(&format!("pub struct {name} {{")).nth(1).expect("it is there");
        let body = body.split("\n}").next().unwrap_or_default().to_owned();
        let names = body.lines().filter_map(|line| {
            let (field, _) = line.trim().strip_prefix("pub ")?.split_once(": ")?;
            Some(field.to_owned())
        });
        names.collect::<Vec<_>>()
    };
    let names: Vec<String> = [
        "CoreStatus",
        "VersionStatus",
        "EndpointStatus",
        "LogStatus",
        "ShadowStatus",
        "StoreStatus",
    ]
    .into_iter()
    .flat_map(fields)
    .collect();
    assert!(names.len() > 30, "{names:?}");
    let Some(manual) = manual() else { return };
    let wrong: Vec<String> =
        names.into_iter().filter(|name| !manual.contains(&format!("`{name}`"))).collect();
    check("docs/OPERATING.md explains each", &wrong);
}

/// The names of all tests, and of all fuzz targets with `fuzz:` before them.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for path in files(".rs") {
        let text = read(&path);
        let mut is_test = false;
        for line in text.lines().map(str::trim_start) {
            is_test |= line.starts_with("#[") && line.contains("test]") && !line.contains("cfg(")
                || line.starts_with("#[monoio::test(")
                || line.starts_with("#[tokio::test(");
            let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
            if let Some((name, _)) = name.and_then(|name| name.split_once('('))
                && std::mem::take(&mut is_test)
            {
                names.insert(name.to_owned());
            }
        }
    }
    let targets = read("tests/fuzz/Cargo.toml");
    let targets = targets.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/"));
    names.extend(targets.filter_map(|name| Some(format!("fuzz:{}", name.strip_suffix(".rs\"")?))));
    names
}

#[test]
fn every_promise_is_held_by_a_test_that_exists() {
    let (threats, known) = (read("docs/THREATS.md"), tests());
    assert!(known.len() > 300 && known.contains("fuzz:head"), "{known:?}");
    let (mut wrong, mut count) = (Vec::new(), 0);
    let sections = threats.split("| held by |\n|---|---|\n").skip(1);
    for row in sections.flat_map(|rest| rest.lines().take_while(|line| line.starts_with('|'))) {
        let mut cells = row.trim_matches(['|', ' ']).rsplitn(2, " | ");
        let (tests, promise) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if named.is_empty() || promise.is_empty() {
            wrong.push(format!("nothing holds: {row}"));
        }
        count += named.len();
        let unknown = named.into_iter().filter(|name| !known.contains(*name));
        wrong.extend(unknown.map(|name| format!("there is no test {name}")));
    }
    assert!(count > 60, "{count} tests are named");
    check("docs/THREATS.md promises what tests hold", &wrong);
}
