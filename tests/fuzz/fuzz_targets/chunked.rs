//! The fuzz target `chunked`; what it holds the codec to is in [`wire`].
#![no_main]

#[path = "../../../proxy/wire/tests/shared/oracle.rs"]
#[allow(dead_code, reason = "each target uses its part")]
mod oracle;
#[path = "shared/wire.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|input: &[u8]| wire::chunked(input));
