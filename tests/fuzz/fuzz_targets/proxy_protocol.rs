//! The fuzz target `proxy_protocol`; what it holds the reader to is in [`preface`].
#![no_main]

#[path = "shared/preface.rs"]
mod preface;

libfuzzer_sys::fuzz_target!(|input: &[u8]| preface::proxy_protocol(input));
