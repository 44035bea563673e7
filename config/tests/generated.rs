//! The files that are written from the rows are fresh.
//!
//! `UPDATE=1 cargo test -p gnomon-config --test generated` writes them.

use std::path::Path;

use gnomon_config::{
    Options, effective,
    fields::{Effect, FIELDS, Preset},
    generate, load, parse,
};

#[test]
fn generated_files_are_fresh() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, text) in [
        ("sample/reference.toml", generate::reference()),
        ("gnomon.schema.json", generate::schema()),
        ("../docs/CONFIG.md", generate::manual()),
    ] {
        let path = root.join(name);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == text,
            "{name} is stale: UPDATE=1 cargo test -p gnomon-config --test generated"
        );
    }
}

#[test]
fn the_reference_holds_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample/reference.toml");
    let reference =
        load(&path, &Options::default()).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(reference.warnings.is_empty(), "{}", reference.warnings);
    let least = r#"
        listen = "0.0.0.0:8080"
        access_log = {}
        upstream.shop.versions.v1 = ["10.0.0.11:8080"]
        upstream.shop.health = {}
        route.shop.to = "shop"
    "#;
    let least = parse("least", least, &Options::default()).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(effective(&reference.config), effective(&least.config));
}

#[test]
fn every_example_of_the_reference_is_understood() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample/reference.toml");
    for field in FIELDS.iter().filter(|field| !field.is_table() && field.effect != Effect::Later) {
        let (Preset::Commented(example) | Preset::Shown(example) | Preset::Default(example)) =
            field.preset;
        let mut sets = second_version();
        sets.extend(companions(field.path));
        sets.push((generate::concrete(field.path), example.to_owned()));
        let problems = match load(&path, &Options { sets: &sets, ..Options::default() }) {
            Ok(loaded) => loaded.warnings,
            Err(problems) => problems,
        };
        // By itself an example may lack its counterpart; but no key is unknown, no value malformed.
        let meant = ["G009", "G010", "G028", "G013", "G016", "G017", "G019", "G033"];
        assert!(
            problems.iter().all(|problem| meant.contains(&problem.code)),
            "{}: {problems}",
            field.path
        );
    }
}

fn second_version() -> Vec<(String, String)> {
    let set = |path: &str, value: &str| (path.to_owned(), value.to_owned());
    vec![
        set("upstream.shop.versions.v2.endpoints", "[\"10.0.0.21:8080\"]"),
        set("upstream.shop.split.v1", "100"),
    ]
}

/// What a key needs beside it that the reference only shows behind a `#`.
fn companions(path: &str) -> Vec<(String, String)> {
    let needed = [
        ("shadow.", "shadow.shop-v2.from", "shop@v1"),
        ("shadow.", "shadow.shop-v2.to", "shop@v2"),
        ("rollout.", "rollout.shop.from", "shop@v1"),
        ("rollout.", "rollout.shop.to", "shop@v2"),
        ("rollout.*.test.", "rollout.shop.test.checkout.path", "/"),
        ("rollout.*.gate.kpi.", "kpi.orders.of", "shop"),
        ("rollout.*.gate.kpi.", "kpi.orders.from", "late"),
        ("kpi.", "kpi.orders.of", "shop"),
        ("kpi.", "kpi.orders.from", "late"),
        ("flags.jwt.", "flags.jwt.keys", "reference.toml"),
        ("group.", "flag.new-cart.rules", "[{ group = \"staff\", serve = \"on\" }]"),
        ("group.", "flags.ofrep", "{}"),
        ("group.", "flags.by", "cookie:uid"),
        ("group.*.by", "group.staff.percent", "10"),
        ("group.*.salt", "group.staff.percent", "10"),
        ("group.*.claim", "flags.jwt.keys", "reference.toml"),
        ("group.*.any", "group.beta.client", "10.0.0.0/8"),
        ("flag.", "flags.ofrep", "{}"),
        ("flag.", "flags.by", "cookie:uid"),
        ("flag.", "flag.new-cart.enabled", "true"),
        ("flag.*.judge.", "flag.new-cart.judge.upstream", "shop"),
        ("route.*.match.flag", "flag.new-cart.percent", "10"),
        ("route.*.match.flag", "flags.by", "cookie:uid"),
        ("shadow.*.match.flag", "flag.new-cart.percent", "10"),
        ("shadow.*.match.flag", "flags.by", "cookie:uid"),
    ];
    let own = generate::concrete(path);
    needed
        .into_iter()
        .filter(|(table, key, _)| path.starts_with(table) && *key != own)
        .map(|(_, key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn written_defaults_are_what_holds_without_them() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample/reference.toml");
    let effective_with = |table: &str, all: bool| {
        let mut sets = second_version();
        sets.extend(companions(table));
        for field in FIELDS.iter().filter(|field| all && field.path.starts_with(table)) {
            if let Some(value) = field.default() {
                sets.extend(companions(field.path));
                sets.push((generate::concrete(field.path), value.to_owned()));
            }
        }
        let loaded = load(&path, &Options { sets: &sets, ..Options::default() });
        effective(&loaded.unwrap_or_else(|problems| panic!("{problems}")).config)
    };
    for table in ["shadow.", "rollout.", "metrics.", "flags.", "flag."] {
        let (none, all) = (effective_with(table, false), effective_with(table, true));
        assert!(all.len() >= none.len() && none.iter().any(|it| it.path.starts_with(table)));
        for setting in none {
            assert!(all.contains(&setting), "{setting:?}");
        }
    }
}

#[test]
fn every_key_to_come_is_refused_by_name() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample/reference.toml");
    for field in FIELDS.iter().filter(|field| field.effect == Effect::Later) {
        let mut sets = second_version();
        sets.extend(companions(field.path));
        sets.push((generate::concrete(field.path), "1".to_owned()));
        let problems = load(&path, &Options { sets: &sets, ..Options::default() })
            .expect_err("keys to come are refused");
        let codes: Vec<_> = problems.iter().map(|problem| problem.code).collect();
        assert_eq!(codes, ["G004"], "{}: {problems}", field.path);
    }
}

#[test]
fn rows_are_distinct_and_stand_below_a_table() {
    for (at, field) in FIELDS.iter().enumerate() {
        assert!(FIELDS[..at].iter().all(|other| other.path != field.path), "{} twice", field.path);
        let parent = FIELDS.iter().find(|table| table.path == field.parent());
        assert!(
            field.parent().is_empty() || parent.is_some_and(|t| t.is_table()),
            "{}",
            field.path
        );
    }
}
