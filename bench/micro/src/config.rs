//! What reading a configuration costs: a start and a reload wait for it.

use std::{fmt::Write as _, hint::black_box};

use gnomon_config::{Config, Options};

use crate::{Case, Run};

pub(crate) const CASES: [Case; 2] = [
    Case { name: "config/load/10000_routes", runs: 1, prepare: load },
    Case { name: "config/diff/10000_routes", runs: 1, prepare: diff },
];

/// A file is read and checked, and the outcome given back.
fn load() -> Run {
    let text = text(10_000);
    Box::new(move || drop(black_box(read(&text))))
}

/// One route more.
fn diff() -> Run {
    let (old, new) = (read(&text(10_000)), read(&text(10_001)));
    Box::new(move || assert_eq!(black_box(gnomon_config::diff(&old, &new)).len(), 1))
}

/// So many routes, each for a path.
fn text(number: u32) -> String {
    let mut text = String::from(
        r#"
        listen = "127.0.0.1:8080"
        upstream.shop.versions.v1 = ["10.0.0.11:8080"]
        [route]
        "#,
    );
    for number in 0..number {
        let _ = writeln!(text, r#"r{number} = {{ match.path = "/r{number}/*", to = "shop" }}"#);
    }
    text
}

fn read(text: &str) -> Config {
    match gnomon_config::parse("micro", text, &Options::default()) {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("{}", problems.render(false)),
    }
}
