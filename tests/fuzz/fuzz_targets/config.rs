//! The fuzz target `config`; what it holds the reader to is in [`config`].
#![no_main]

#[path = "shared/config.rs"]
mod config;

libfuzzer_sys::fuzz_target!(|input: &[u8]| config::config(input));
