//! The fuzz target `json_diff`; what it holds the comparer to is in [`compare`].
#![no_main]

#[path = "shared/compare.rs"]
mod compare;

libfuzzer_sys::fuzz_target!(|input: &[u8]| compare::json_diff(input));
