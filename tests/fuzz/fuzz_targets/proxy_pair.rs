//! The fuzz target `proxy_pair`; what it holds the codec to is in [`pair`].
#![no_main]

#[path = "../../../proxy/wire/tests/shared/oracle.rs"]
#[allow(dead_code, reason = "each target uses its part")]
mod oracle;
#[path = "shared/pair.rs"]
mod pair;

libfuzzer_sys::fuzz_target!(|input: &[u8]| pair::proxy_pair(input));
