//! The kernel's luck.

use std::{fs::File, io::Read as _};

/// 256 bits that nobody can guess.
///
/// # Errors
/// Why `/dev/urandom` cannot be read.
pub fn draw() -> std::io::Result<[u8; 32]> {
    let mut bits = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bits)?;
    Ok(bits)
}
