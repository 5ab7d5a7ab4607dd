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
use crate::program::{built, cpu_of};

/// A running node. Killed when dropped.
pub struct Server {
    child: Child,
    pub addr: String,
    data: PathBuf,
}

impl Server {
    /// Builds the release binary, if it is not built, and starts it on the folder `data`, with these arguments.
    pub fn start(data: &Path, more: &[&OsStr]) -> Result<Self, Failure> {
        let mut command = Command::new(built("runtime-real")?);
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
        cpu_of(self.child.id())
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
