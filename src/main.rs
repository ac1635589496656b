//! The `portcullis` binary: hands the command line to [`portcullis::cli`].

use std::process::ExitCode;

/// Short-lived buffers of many sizes on every thread: the system's allocator keeps growing and trimming its
/// arenas under that, at a system call each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    portcullis::cli::main()
}
