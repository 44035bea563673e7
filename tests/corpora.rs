//! What fuzzers have found worth keeping, given to the same oracles in every `cargo test`.

use std::{fs, path::Path};

#[path = "fuzz/fuzz_targets/shared/compare.rs"]
mod compare;
#[path = "fuzz/fuzz_targets/shared/config.rs"]
mod config;
#[path = "fuzz/fuzz_targets/shared/flags.rs"]
mod flags;
#[path = "../proxy/wire/tests/shared/oracle.rs"]
mod oracle;
#[path = "fuzz/fuzz_targets/shared/pair.rs"]
mod pair;
#[path = "fuzz/fuzz_targets/shared/preface.rs"]
mod preface;
#[path = "fuzz/fuzz_targets/shared/wire.rs"]
mod wire;

/// Gives every file of a target's corpus to its oracle.
fn replay(target: &str, oracle: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is there").flatten() {
        let bytes = fs::read(entry.path()).expect("it can be read");
        let name = entry.file_name();
        let run = std::panic::AssertUnwindSafe(|| oracle(&bytes));
        assert!(std::panic::catch_unwind(run).is_ok(), "{target}: {}", name.display());
        count += 1;
    }
    assert!(count > 0, "the corpus of {target} is empty");
}

#[test]
fn heads_that_were_found_are_read_right() {
    replay("head", wire::head);
}

#[test]
fn framings_that_were_found_are_read_right() {
    replay("framing", wire::framing);
}

#[test]
fn chunks_that_were_found_are_read_right() {
    replay("chunked", wire::chunked);
}

#[test]
fn configurations_that_were_found_are_read_right() {
    replay("config", config::config);
}

#[test]
fn flags_that_were_found_are_read_right() {
    replay("flags", flags::flags);
}

#[test]
fn documents_that_were_found_are_compared_right() {
    replay("json_diff", compare::json_diff);
}

#[test]
fn prefaces_that_were_found_are_read_right() {
    replay("proxy_protocol", preface::proxy_protocol);
}

#[test]
fn conversations_that_were_found_are_passed_on_right() {
    replay("proxy_pair", pair::proxy_pair);
}
