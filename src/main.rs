//! The `maju` program: reads the command line and runs the command. Everything else is in the
//! library.
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    maju::run(&maju::cli::parse())
}
