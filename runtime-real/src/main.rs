//! The binary of a production node: see [`runtime_real::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(runtime_real::cli::run() as u8)
}
