//! The binary: parses the command line and runs it.

use std::process::ExitCode;

/// Low fragmentation when the sizes of values drift.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let matches = larder::cli::command().get_matches();
    match larder::cli::run(&matches) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("larder: {error:#}");
            ExitCode::FAILURE
        }
    }
}
