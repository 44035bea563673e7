//! Which part a version plays, and what a scrape costs.

use super::{
    super::{
        super::{resolve::Answers, state::State},
        filter::Filter,
        text::Format,
    },
    *,
};
use crate::clock;

fn state(text: &str, cores: usize) -> State {
    let text = format!("listen = \"127.0.0.1:0\"\n{text}");
    let loaded = gnomon_config::parse("test.toml", &text, &gnomon_config::Options::default());
    let mut state =
        State::new(loaded.unwrap().config, cores, Vec::new(), 0, Answers::new()).unwrap();
    state.build();
    state
}

fn arms(state: &State) -> Vec<&'static str> {
    versions(state).iter().map(|version| version.arm).collect()
}

const SHOP: &str = "upstream.shop.versions.v1 = [\"127.0.0.1:1\"]\n\
                    upstream.shop.versions.v2 = [\"127.0.0.1:2\"]\n\
                    upstream.shop.versions.v3 = [\"127.0.0.1:3\"]\n\
                    upstream.shop.versions.v4 = [\"127.0.0.1:4\"]\n\
                    upstream.shop.split = { v1 = 90, v2 = 10, v3 = 0, v4 = 0 }\n\
                    route.all.to = \"shop\"\n\
                    route.staff = { to = \"shop@v3\", match = { path = \"/staff/*\" } }\n\
                    shadow.new = { from = \"shop@v1\", to = \"shop@v4\" }\n";

#[test]
fn a_version_plays_the_part_that_it_was_given() {
    let state = state(SHOP, 2);
    assert_eq!(arms(&state), ["stable", "canary", "pinned", "shadow"]);
    // Who has been given users once is a canary for good, also while it has none.
    let key = VersionKey { upstream: "shop".into(), version: "v4".into() };
    state.registry.version(&key).unwrap().cells[1].assigned.add(1);
    assert_eq!(arms(&state), ["stable", "canary", "pinned", "canary"]);
}

#[test]
fn counts_of_all_cores_are_one_sample() {
    let state = state(SHOP, 3);
    let key = VersionKey { upstream: "shop".into(), version: "v2".into() };
    for cells in &state.registry.version(&key).unwrap().cells {
        cells.classes[1].add(2);
        cells.unanswered.add(1);
        cells.retries[0].add(1);
        cells.latency.record(3_000_000);
    }
    let mut page = Page::new(Format::Plain, Filter::default(), &state.config.metrics);
    let told = versions(&state);
    of_versions(&mut page, &told, &Saturation::default());
    durations(&mut page, &state.config, &told);
    let text = page.end();
    let canary = "upstream=\"shop\",version=\"v2\",arm=\"canary\"";
    for line in [
        format!("gnomon_requests_total{{{canary},code=\"2xx\"}} 6\n"),
        format!("gnomon_requests_total{{{canary},code=\"none\"}} 3\n"),
        format!("gnomon_retries_total{{{canary},reason=\"connect\"}} 3\n"),
        format!("gnomon_split_ratio{{{canary}}} 0.1\n"),
        format!("gnomon_request_duration_seconds_count{{{canary},outcome=\"ok\"}} 3\n"),
        format!(
            "gnomon_request_duration_seconds_bucket{{{canary},outcome=\"ok\",le=\"0.0025\"}} 0\n"
        ),
        format!(
            "gnomon_request_duration_seconds_bucket{{{canary},outcome=\"ok\",le=\"0.005\"}} 3\n"
        ),
    ] {
        assert!(text.contains(&line), "{line}{text}");
    }
}

/// `cargo test --release -p gnomon what_a_scrape_costs -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, for eyes"]
#[expect(clippy::print_stderr, reason = "for eyes")]
fn what_a_scrape_costs() {
    let mut text = String::new();
    for number in 0..9 {
        text.push_str(&format!(
            "upstream.u{number}.versions = {{ v1 = [\"127.0.0.1:1\"], v2 = [\"127.0.0.1:2\"] }}\n\
             upstream.u{number}.split = {{ v1 = 90, v2 = 10 }}\nroute.r{number} = \
             {{ to = \"u{number}\", match = {{ path = \"/{number}\" }} }}\n"
        ));
    }
    let state = state(&text, 16);
    for number in 0..18_u64 {
        for entry in versions(&state) {
            for (core, cells) in (0..).zip(&entry.entry.cells) {
                (0..1000_u64).for_each(|n| cells.latency.record((n + core) * (number + 1) * 9973));
            }
        }
    }
    let mut series = 0;
    let mut times: Vec<_> = (0..50)
        .map(|_| {
            let begun = clock::now();
            let mut page = Page::new(Format::Open, Filter::default(), &state.config.metrics);
            let told = versions(&state);
            of_versions(&mut page, &told, &Saturation::default());
            durations(&mut page, &state.config, &told);
            endpoints(&mut page, &told);
            let text = page.end();
            let time = begun.elapsed();
            series = text.lines().filter(|line| !line.starts_with('#')).count();
            time
        })
        .collect();
    times.sort();
    eprintln!("{series} series of 16 cores: {:?}", times[times.len() / 2]);
}
