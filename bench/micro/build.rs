//! Tells the program what compiled it: instructions are only comparable within one compiler.

use std::{env, process::Command};

fn main() {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Command::new(rustc).arg("--version").output().map(|output| output.stdout);
    let version = said.map_or_else(|_| String::new(), |said| text(&said));
    let target = env::var_os("TARGET").unwrap_or_default();
    let flags = env::var_os("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let flags = flags.to_string_lossy().replace('\x1f', " ");
    let compiler = [version, target.to_string_lossy().into_owned(), flags].join(" ");
    println!("cargo:rustc-env=COMPILER={}", compiler.trim());
    println!("cargo:rerun-if-changed=build.rs");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}
