//! How much memory a subject takes, with all that the allocator adds: the growth of a process that does nothing else.

use crate::Failure;
use std::process::Command;
use std::{env, fs};

/// Resident bytes of this process.
///
/// # Errors
/// If `/proc/self/statm` cannot be read.
pub fn resident() -> Result<u64, Failure> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split(' ').nth(1).ok_or("/proc/self/statm has a second field")?;
    Ok(pages.parse::<u64>()? * rustix::param::page_size() as u64)
}

/// Bytes by which a process grows that makes `subject` and nothing else: this program, run once more.
///
/// # Errors
/// If that process fails.
pub fn of_subject(subject: &str, quick: bool) -> Result<u64, Failure> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["resident", subject]);
    if quick {
        command.arg("--quick");
    }
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{subject}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}
