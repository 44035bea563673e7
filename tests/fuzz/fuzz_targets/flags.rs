//! The fuzz target `flags`; what it holds flags of others to is in [`flags`].
#![no_main]

#[path = "shared/flags.rs"]
mod flags;

libfuzzer_sys::fuzz_target!(|input: &[u8]| flags::flags(input));
