//! The real binary, as a process.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::Failure;

/// A running node. Killed when dropped.
pub struct Server {
    child: Child,
    pub addr: String,
    data: PathBuf,
}

impl Server {
    /// Builds the release binary, if it is not built, and starts it on the folder `data`, with these arguments.
    pub fn start(data: &Path, more: &[&OsStr]) -> Result<Self, Failure> {
        let mut command = Command::new(binary()?);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ORRERY_") {
                command.env_remove(name);
            }
        }
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(more);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().ok_or("the node has an output")?;
        let mut server = Self {
            child,
            addr: String::new(),
            data: data.to_owned(),
        };
        for line in BufReader::new(out).lines() {
            let line = line?;
            if let Some((_, addr)) = line.split_once("listening on ") {
                server.addr = addr.to_owned();
            }
            if line.starts_with("ready") {
                return Ok(server);
            }
        }
        Err("the node ended before it was ready".into())
    }

    /// CPU time so far, of all its threads, in user and kernel mode.
    pub fn cpu(&self) -> Result<Duration, Failure> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name in parentheses may hold anything; what follows it are words. utime and stime are the 14th and 15th of all.
        let (_, rest) = stat.rsplit_once(')').ok_or("a line of /proc/PID/stat")?;
        let words: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |at: usize| {
            words
                .get(at)
                .ok_or("a line of /proc/PID/stat")
                .map(|word| word.parse::<u64>())
        };
        let ticks = ticks(11)?? + ticks(12)??;
        Ok(Duration::from_millis(
            ticks * 1_000 / rustix::param::clock_ticks_per_second(),
        ))
    }

    /// The page that Prometheus scrapes.
    pub fn metrics(&self) -> Result<String, Failure> {
        let mut stream = TcpStream::connect(&self.addr)?;
        let host = &self.addr;
        write!(
            stream,
            "GET /metrics HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
        )?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        Ok(page)
    }

    /// Bytes that the data folder takes on disk.
    pub fn disk_bytes(&self) -> Result<u64, Failure> {
        let (mut bytes, mut dirs) = (0, vec![self.data.clone()]);
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir)? {
                let entry = entry?;
                let about = entry.metadata()?;
                if about.is_dir() {
                    dirs.push(entry.path());
                } else {
                    bytes += std::os::unix::fs::MetadataExt::blocks(&about) * 512;
                }
            }
        }
        Ok(bytes)
    }

    /// Stops it, and makes sure that it found nothing wrong.
    pub fn stop(mut self) -> Result<(), Failure> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let status = self.child.wait()?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("the node ended with {status}").into()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary beside this one, built now: measuring yesterday's is a mistake that is made only once too often.
fn binary() -> Result<PathBuf, Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--quiet", "-p", "runtime-real"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .status()?;
    if !built.success() {
        return Err("runtime-real does not build".into());
    }
    let own = std::env::current_exe()?;
    let path = own.with_file_name("runtime-real");
    match path.exists() {
        true => Ok(path),
        false => Err(format!("{} is not there: run this with --release", path.display()).into()),
    }
}
