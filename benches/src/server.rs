//! A node as a process.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Failure;
use crate::program::{cpu_of, freeze, kill};

/// A node that is not ready by then is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running node. Killed when dropped.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub addr: String,
    data: PathBuf,
}

impl Server {
    /// Starts the node on the folder `data`, with these arguments, and waits until it is ready. Its log is beside the folder.
    pub fn start(binary: &Path, data: &Path, listen: &str, more: &[&OsStr]) -> Result<Self, Failure> {
        let mut command = Command::new(binary);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ORRERY_") {
                command.env_remove(name);
            }
        }
        let log = data.with_extension("log");
        command
            .args(["serve", "--listen", listen, "--data"])
            .arg(data)
            .args(more);
        let err = OpenOptions::new().create(true).append(true).open(&log)?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(err)
            .spawn()?;
        let out = child.stdout.take().ok_or("the node has an output")?;
        let mut server = Self {
            child,
            addr: String::new(),
            data: data.to_owned(),
        };
        // Read to its end, so that the node can always write.
        let (told, lines) = mpsc::channel();
        thread::spawn(move || {
            let lines = BufReader::new(out).lines().map_while(Result::ok);
            lines.for_each(|line| _ = told.send(line));
        });
        let until = Instant::now() + PATIENCE;
        while let Ok(line) = lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            if let Some((_, addr)) = line.split_once("listening on ") {
                server.addr = addr.to_owned();
            }
            if line.starts_with("ready") {
                return Ok(server);
            }
        }
        let said = fs::read_to_string(&log).unwrap_or_default();
        Err(format!("the node on {} is not ready: {said}", data.display()).into())
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
                    bytes += about.blocks() * 512;
                }
            }
        }
        Ok(bytes)
    }

    /// Ends it as `kill -9` does: when that was said, and when it was no more.
    pub fn kill(mut self) -> Result<(Instant, Instant), Failure> {
        kill(&mut self.child)
    }

    /// Has it stand still, its connections open: when that was said, and when it was so.
    pub fn freeze(&self) -> Result<(Instant, Instant), Failure> {
        freeze(&self.child)
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, Failure> {
        Ok(self.child.try_wait()?)
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
