//! The binary of a production node: see [`runtime_real::cli`].

use std::process::ExitCode;

#[cfg(not(madsim))]
fn main() -> ExitCode {
    ExitCode::from(runtime_real::cli::run() as u8)
}

#[cfg(madsim)]
fn main() -> ExitCode {
    eprintln!("this was built with `--cfg madsim`: there are no sockets and no disk in it; build it without");
    ExitCode::FAILURE
}
