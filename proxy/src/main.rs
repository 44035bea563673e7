//! The program: an allocator, and the command line.

use std::process::ExitCode;

/// Several threads, many small buffers of few sizes: what it is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    gnomon_sys::memory::keep_to_small_pages();
    gnomon::cli::main()
}
