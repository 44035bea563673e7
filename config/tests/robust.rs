//! No text makes the reader panic, nor the showing of its problems.

use std::path::Path;

use gnomon_config::{Options, Problems, effective, parse};

/// Texts that each go to a corner; the fuzzer starts from these and the samples.
const SEEDS: &str = include_str!("../sample/fuzz-seeds.txt");

/// Short, since each of its bytes is changed.
const FLAGS: &str = "listen = \"[::]:1\"
flags = { by = \"claim:a\", send = [\"b\"], source = \"ofrep+http://c\" }
[route.a]
match.flag = [\"!b\", { b = { not = \"off\" } }]
[group.a]
users = [\"u\"]
any = [\"d\"]
[flag.b]
rules = [{ group = \"a\", percent = { to = 9, start = 2026-12-01, end = \"2026-12-03\" }, serve = { on = 1 } }]
";

fn try_it(text: &str) {
    let show = |problems: &Problems| {
        assert_eq!(problems.render(false).is_empty(), problems.is_empty());
        assert_eq!(problems.to_json().as_array().map(Vec::len), Some(problems.len()));
    };
    match parse("fuzz", text, &Options::default()) {
        Ok(loaded) => {
            assert!(!effective(&loaded.config).is_empty());
            show(&loaded.warnings);
        }
        Err(problems) => {
            assert!(problems.has_errors(), "refused without a reason: {text}");
            show(&problems);
        }
    }
}

fn sample(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample").join(name);
    std::fs::read_to_string(path).expect("samples are there")
}

#[test]
fn seeds_do_not_panic() {
    let seeds: Vec<&str> = SEEDS.split("\n----\n").collect();
    assert!(seeds.len() > 10);
    for seed in seeds {
        try_it(seed);
        // Under a table where free texts and numbers go.
        try_it(&format!("[upstream.a]\n{seed}"));
        try_it(&format!("[route.a]\n{seed}"));
        try_it(&format!("[flags]\n{seed}"));
        try_it(&format!("[flag.a]\n{seed}"));
        try_it(&format!("flag.a.rules = {{ group = \"a\", serve = \"on\" }}\n[group.a]\n{seed}"));
        try_it(&format!(
            "upstream.a.versions = {{ v1 = \"a:1\", v2 = \"a:2\" }}\n[rollout.a]\n{seed}"
        ));
    }
}

#[test]
fn samples_with_any_byte_changed_do_not_panic() {
    for text in [sample("minimal.toml"), sample("canary.toml"), FLAGS.to_owned()] {
        for at in 0..text.len() {
            if !text.is_char_boundary(at) || !text.is_char_boundary(at + 1) {
                continue;
            }
            for byte in
                ["", "\"", "'", "[", "{", "=", ".", "\n", "0", "-", "*", "\u{e9}", "\0", "@"]
            {
                try_it(&format!("{}{byte}{}", &text[..at], &text[at + 1..]));
            }
            try_it(&text[..at]);
        }
    }
}

#[test]
fn the_reference_with_any_line_broken_does_not_panic() {
    // Without remarks, so that every byte is one that is read.
    let reference = sample("reference.toml");
    let lines: Vec<&str> = reference
        .lines()
        .map(|line| {
            line.trim_start_matches("# ").split("  # ").next().unwrap_or_default().trim_end()
        })
        .filter(|line| line.contains(" = ") || line.starts_with('['))
        .collect();
    for at in 0..lines.len() {
        let line = lines[at];
        for broken in [
            String::new(),
            line.replace('"', ""),
            line.replace(['0', '1', '2', '3', '5'], "99999999999999999999"),
            line.replace(" = ", " = -"),
            line.replace("[", "[["),
            line.split(" = ").next().map(|key| format!("{key} = {{ env = \"X\" }}")).unwrap(),
            line.split(" = ")
                .next()
                .map(|key| format!("{key} = [[1], {{ }}, 2020-01-01]"))
                .unwrap(),
        ] {
            let mut lines = lines.clone();
            lines[at] = &broken;
            try_it(&lines.join("\n"));
        }
    }
}

#[test]
fn deep_and_long_texts_do_not_panic() {
    try_it(&"[".repeat(10_000));
    try_it(&format!("a = {}", "[".repeat(10_000)));
    try_it(&format!("a = {}1{}", "{ b = ".repeat(1_000), " }".repeat(1_000)));
    try_it(&format!("{} = 1", vec!["a"; 5_000].join(".")));
    try_it(&format!("{} = 1", "a".repeat(100_000)));
    try_it(&format!("[route.a]\nmatch.path_regex = '{}'", "(".repeat(4_000)));
    try_it(&format!("[route.a]\nmatch.path_regex = '{}'", "(a*".repeat(1_000)));
}
