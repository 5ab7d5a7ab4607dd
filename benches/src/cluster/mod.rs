//! Clusters of real processes on this machine: ours, and Redis Cluster beside it.

pub mod conn;
pub mod nodes;
pub mod redis;
pub mod resp;
pub mod tags;

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use tempfile::TempDir;

use crate::Failure;
use crate::program::built;

/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_millis(20);

/// Which node is run, and where.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// The node's binary; without it RUNTIME_REAL, and without that the one of this workspace, built now
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Where data and logs go, and stay; without it a temporary folder
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Place {
    /// The binary of a node.
    pub fn binary(&self) -> Result<PathBuf, Failure> {
        let named = self.binary.clone();
        match named.or_else(|| std::env::var_os("RUNTIME_REAL").map(PathBuf::from)) {
            Some(binary) => Ok(binary.canonicalize()?),
            None => built("runtime-real"),
        }
    }

    /// An empty folder.
    pub fn folder(&self) -> Result<Folder, Failure> {
        match &self.dir {
            Some(dir) => {
                std::fs::create_dir_all(dir)?;
                let dir = tempfile::Builder::new().prefix("run-").tempdir_in(dir)?;
                Ok(Folder(dir.keep(), None))
            }
            None => {
                let dir = tempfile::tempdir()?;
                Ok(Folder(dir.path().to_owned(), Some(dir)))
            }
        }
    }
}

/// A folder, and whatever deletes it in the end.
#[derive(Debug)]
pub struct Folder(
    pub PathBuf,
    #[expect(dead_code, reason = "deletes the folder when it goes")] Option<TempDir>,
);

/// Asks again and again until there is an answer; what was asked last is told if there is none in time.
///
/// # Errors
/// If there is none in time.
pub fn eventually<T>(
    what: &str,
    patience: Duration,
    mut ask: impl FnMut() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let until = Instant::now() + patience;
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(error) if Instant::now() >= until => {
                return Err(format!("not within {} s: {what}: {error}", patience.as_secs()).into());
            }
            Err(_) => thread::park_timeout(PAUSE),
        }
    }
}

/// Addresses that were free a moment ago.
pub fn free_addrs(count: usize) -> Result<Vec<String>, Failure> {
    // All are held at once, so that they differ. A Redis node of a cluster takes the port 10,000 above its own, too.
    let mut held = Vec::new();
    let mut addrs = Vec::new();
    while addrs.len() < count {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        if addr.port() < 50_000 {
            addrs.push(addr.to_string());
        }
        held.push(listener);
    }
    Ok(addrs)
}
