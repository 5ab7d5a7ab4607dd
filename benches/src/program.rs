//! Programs of this workspace that are measured from outside.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use crate::Failure;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::timer::Spent;

/// The binary beside this one, built now: measuring yesterday's is a mistake that is made only once too often.
///
/// # Errors
/// If it does not build, or if this program is no release build.
pub fn built(package: &str) -> Result<PathBuf, Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--quiet", "-p", package])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .status()?;
    if !built.success() {
        return Err(format!("{package} does not build").into());
    }
    let own = std::env::current_exe()?;
    let path = own.with_file_name(package);
    match path.exists() {
        true => Ok(path),
        false => Err(format!("{} is not there: run this with --release", path.display()).into()),
    }
}

/// Runs a program to its end: what it printed, and what it has spent, in user and kernel mode.
///
/// # Errors
/// If it cannot be run, or fails.
pub fn measured(command: &mut Command) -> Result<(Output, Spent), Failure> {
    let (before, begun) = (cpu_of_children()?, Instant::now());
    let output = command.output()?;
    let spent = Spent {
        cpu: cpu_of_children()? - before,
        wall: begun.elapsed(),
    };
    match output.status.success() {
        true => Ok((output, spent)),
        false => {
            let said = [output.stdout, output.stderr].concat();
            let (status, said) = (output.status, String::from_utf8_lossy(&said).into_owned());
            Err(format!("{} ended with {status}: {said}", command.get_program().display()).into())
        }
    }
}

/// Has a child stand still, its connections open, and waits until it does: when that was said, and when it was so.
///
/// # Errors
/// If there is no such child.
pub fn freeze(child: &Child) -> Result<(Instant, Instant), Failure> {
    let pid = Pid::from_child(child);
    let said = Instant::now();
    kill_process(pid, Signal::STOP)?;
    waitpid(Some(pid), WaitOptions::UNTRACED)?;
    Ok((said, Instant::now()))
}

/// Ends a child as `kill -9` does: when that was said, and when it was no more.
///
/// # Errors
/// If it cannot be waited for.
pub fn kill(child: &mut Child) -> Result<(Instant, Instant), Failure> {
    let said = Instant::now();
    child.kill()?;
    child.wait()?;
    Ok((said, Instant::now()))
}

/// CPU time of the children that have ended and were waited for.
fn cpu_of_children() -> Result<Duration, Failure> {
    // cutime and cstime are the 16th and 17th word of all.
    cpu_in("self", 13)
}

/// CPU time that a process has spent so far, with all its threads.
///
/// # Errors
/// If there is no such process.
pub fn cpu_of(process: u32) -> Result<Duration, Failure> {
    // utime and stime are the 14th and 15th word of all.
    cpu_in(&process.to_string(), 11)
}

/// The sum of two words of a process's line in `/proc`.
fn cpu_in(process: &str, word: usize) -> Result<Duration, Failure> {
    const LINE: &str = "a line of /proc/PID/stat";
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in parentheses may hold anything; what follows it are words.
    let (_, rest) = stat.rsplit_once(')').ok_or(LINE)?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| -> Result<u64, Failure> { Ok(words.get(at).ok_or(LINE)?.parse()?) };
    let ticks = ticks(word)? + ticks(word + 1)?;
    Ok(Duration::from_millis(
        ticks * 1_000 / rustix::param::clock_ticks_per_second(),
    ))
}
