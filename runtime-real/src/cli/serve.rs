//! `serve`: run a node.

use std::cell::Cell;
use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use async_channel::bounded;
use kernel::node::{Node, NodeConfig};
use kernel::partition::Routing;
use kernel::session::Secret;

use super::args::VERSION;
use super::settings::{Config, SettingArgs};
use super::{Exit, complain, logging, resolve, say};
use crate::host::{Host, HostError, Milestone};
use crate::net::{Tls, TlsError};
use crate::record::{RecordError, Recorder, Ring};
use crate::storage::{Folder, FolderError};

/// Fewest and most bytes of a secret.
const SECRET_BYTES: (usize, usize) = (16, 4_096);

/// Why a node cannot be started as asked.
#[derive(Debug, thiserror::Error)]
enum ConfigError {
    #[error("cannot read the secret in {path}: {error}")]
    SecretFile { path: PathBuf, error: io::Error },
    #[error("the secret in {path} has {bytes} bytes: at least {} and at most {} are needed", SECRET_BYTES.0, SECRET_BYTES.1)]
    SecretLength { path: PathBuf, bytes: usize },
    #[error("the secret in {path} is not text on one line")]
    SecretForm { path: PathBuf },
    #[error("{addr} can be reached from other machines, and anybody could read and write everything")]
    OpenToAll { addr: SocketAddr },
    #[error("{addr} is no address at which other nodes reach this one")]
    NoAddress { addr: SocketAddr },
    #[error("the cluster's name must have 1 to {max} printable characters")]
    ClusterName { max: usize },
    #[error("the node's name must have 1 to {max} printable characters")]
    NodeName { max: usize },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("the system gives no randomness: {0}")]
    Randomness(getrandom::Error),
}

impl ConfigError {
    fn code(&self) -> &'static str {
        match self {
            Self::SecretFile { .. } => "secret_unreadable",
            Self::SecretLength { .. } => "secret_length",
            Self::SecretForm { .. } => "secret_form",
            Self::OpenToAll { .. } => "open_to_all",
            Self::NoAddress { .. } => "no_address",
            Self::ClusterName { .. } => "cluster_name",
            Self::NodeName { .. } => "node_name",
            Self::Tls(error) => error.code(),
            Self::Folder(error) => error.code(),
            Self::Randomness(_) => "no_randomness",
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::SecretFile { .. } | Self::SecretLength { .. } | Self::SecretForm { .. } => {
                "make one: head -c 32 /dev/urandom | base64 > cluster.secret"
            }
            Self::OpenToAll { .. } => "give --cluster-secret-file FILE, or listen on 127.0.0.1",
            Self::Tls(error) => error.hint(),
            Self::NoAddress { .. } => {
                "give --advertise HOST:PORT, the address that other nodes dial; port 0 stands for the one that it listens on"
            }
            _ => "",
        }
    }
}

pub(super) fn run(args: &SettingArgs) -> Exit {
    let settings = match resolve(args) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    let asked = &settings.config;
    logging::begin(asked);
    tracing::info!(version = VERSION, settings = settings.changed(), "starting");
    let (host, config) = match prepare(asked) {
        Ok(prepared) => prepared,
        Err(error) => {
            complain(error.code(), &error, error.hint());
            return Exit::Usage;
        }
    };
    let about = About {
        node: config.name.clone(),
        secret_file: asked.cluster_secret_file.clone(),
        join: asked.join.clone(),
        addr: Cell::new(None),
    };
    let (_stop, orders) = bounded(1);
    if let Err(error) = config.check() {
        complain("bad_config", &error, "");
        return Exit::Usage;
    }
    let announce = move |milestone| about.announce(milestone);
    let at = |listening| NodeConfig {
        addr: dialled_at(asked.advertise.as_deref(), listening),
        ..config
    };
    let ended = match &asked.record {
        None => host.run(|listening| Ok(Node::new(at(listening))), orders, announce),
        Some(dir) => {
            let make = |listening| record(at(listening), dir, asked.record_bytes).map_err(HostError::Record);
            host.run(make, orders, announce)
        }
    };
    match ended {
        Ok(()) => Exit::Done,
        Err(error) => {
            complain(error.code(), &error, error.hint());
            Exit::Usage
        }
    }
}

/// A node whose steps are recorded.
fn record(config: NodeConfig, dir: &Path, bytes: u64) -> Result<Recorder, RecordError> {
    let ring = Ring::open(dir, bytes)?;
    tracing::warn!(dir = %dir.display(), bytes, "recording all that this node is given: data, and the tokens of clients");
    let name = config.name.clone();
    Recorder::new(Node::new(config), &name, ring)
}

fn prepare(asked: &Config) -> Result<(Host, NodeConfig), ConfigError> {
    let secret = asked.cluster_secret_file.as_deref().map(read_secret).transpose()?;
    let addr = asked.listen;
    if secret.is_none() && !addr.ip().is_loopback() {
        return Err(ConfigError::OpenToAll { addr });
    }
    // Beside the secret: a certificate says that a node is one of the cluster's, and clients have none.
    let tls = asked.tls_files().map(|files| Tls::load(&files)).transpose()?;
    if asked.advertise.is_none() && addr.ip().is_unspecified() {
        return Err(ConfigError::NoAddress { addr });
    }
    let limits = asked.limits.clone();
    let max = limits.id_bytes;
    if let Some(name) = &asked.node
        && (name.is_empty() || name.len() > max || name.chars().any(char::is_control))
    {
        return Err(ConfigError::NodeName { max });
    }
    let name = &asked.cluster_name;
    if name.is_empty() || name.len() > max || name.chars().any(char::is_control) {
        return Err(ConfigError::ClusterName { max });
    }
    let folder = Folder::open(&asked.data)?;
    let drawn = getrandom::u64().map_err(ConfigError::Randomness)?;
    let name = folder.node_name(asked.node.as_deref(), || format!("node-{drawn:016x}"))?;
    let mut routing = Routing::new();
    for (map, by) in &asked.partition_by {
        routing.declare(map, by.clone());
    }
    let config = NodeConfig {
        join: asked.join.clone(),
        cluster_name: asked.cluster_name.clone(),
        replicas: asked.replicas,
        weight: asked.weight,
        zone: asked.zone.clone().unwrap_or_default(),
        // A member that is silent for longer than that would keep tombstones from ever being collected.
        remove_after_ms: Some(asked.remove_after.unwrap_or(asked.limits.offline_horizon_ms)),
        secret: secret.clone(),
        routing,
        limits: limits.clone(),
        ..NodeConfig::new(&name)
    };
    let host = Host {
        folder,
        listen: addr,
        limits,
        secret,
        tls,
        version: VERSION,
    };
    Ok((host, config))
}

/// Where the others dial a node that listens there.
fn dialled_at(advertised: Option<&str>, listening: SocketAddr) -> String {
    match advertised {
        None => listening.to_string(),
        Some(addr) => match addr.strip_suffix(":0") {
            Some(host) => format!("{host}:{}", listening.port()),
            None => addr.to_owned(),
        },
    }
}

/// The secret is what stands in the file, without the line's end. It is text, because clients present it as a token.
fn read_secret(path: &Path) -> Result<Secret, ConfigError> {
    let unreadable = |error| ConfigError::SecretFile {
        path: path.to_owned(),
        error,
    };
    let mut content = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    let most = SECRET_BYTES.1 as u64 + 3;
    file.take(most).read_to_end(&mut content).map_err(unreadable)?;
    let secret = content.strip_suffix(b"\n").unwrap_or(&content);
    let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
    let path = path.to_owned();
    if secret.len() < SECRET_BYTES.0 || secret.len() > SECRET_BYTES.1 {
        let bytes = secret.len();
        return Err(ConfigError::SecretLength { path, bytes });
    }
    match std::str::from_utf8(secret) {
        Ok(text) if !text.chars().any(char::is_control) => Ok(Secret::new(secret)),
        _ => Err(ConfigError::SecretForm { path }),
    }
}

/// What whoever started the node wants to know.
struct About {
    node: String,
    secret_file: Option<PathBuf>,
    join: Vec<String>,
    /// Where it listens, until it was ready once.
    addr: Cell<Option<SocketAddr>>,
}

impl About {
    fn announce(&self, milestone: Milestone) {
        match milestone {
            Milestone::Listening(addr) => {
                self.addr.set(Some(addr));
                say(&format_args!("node {} listening on {addr}", self.node));
            }
            // One that has nobody to join begins a cluster, in a moment.
            Milestone::Joining if self.join.is_empty() => {}
            Milestone::Joining => {
                say(&format_args!("joining the cluster at {}", self.join.join(", ")));
                say(&"(if there is none yet: a node without --join begins one)");
            }
            Milestone::Ready => {
                // A node that recovers from a failing disk is ready again, and no news to its terminal.
                let Some(addr) = self.addr.take() else { return };
                let (program, more) = (program(), self.options(addr));
                say(&"ready; in another terminal, try");
                say(&format_args!("  {program} set greetings hello '\"world\"'{more}"));
                say(&format_args!("  {program} get greetings hello{more}"));
                say(&format_args!("  {program} cluster status{more}"));
            }
        }
    }

    fn options(&self, addr: SocketAddr) -> String {
        let mut more = String::new();
        if addr.port() != 7878 || !addr.ip().is_loopback() {
            more.push_str(&format!(" --addr {addr}"));
        }
        if let Some(file) = &self.secret_file {
            more.push_str(&format!(" --token \"$(cat {})\"", file.display()));
        }
        more
    }
}

/// How this program was called.
fn program() -> String {
    match env::var_os("CARGO") {
        Some(_) => "cargo run --release --".to_owned(),
        None => env::args().next().unwrap_or_else(|| "runtime-real".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_dial_what_is_advertised_at_the_port_that_it_says_or_listens_on() {
        let listening = SocketAddr::from(([10, 0, 0, 7], 7878));
        assert_eq!(dialled_at(None, listening), "10.0.0.7:7878");
        assert_eq!(dialled_at(Some("db1:9000"), listening), "db1:9000");
        assert_eq!(dialled_at(Some("db1:0"), listening), "db1:7878");
        assert_eq!(dialled_at(Some("db1:10"), listening), "db1:10");
    }

    #[test]
    fn a_secret_is_text_of_some_length_without_its_line_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let read = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            read_secret(&path)
        };
        assert!(read(b"0123456789abcdef\r\n").unwrap().is(b"0123456789abcdef"));
        for (content, code) in [
            (&b""[..], "secret_length"),
            (b"0123456789abcde\n", "secret_length"),
            (&[b'x'; 5_000], "secret_length"),
            (b"0123456789\nabcdefghi", "secret_form"),
            (&[0xff; 20], "secret_form"),
        ] {
            let error = read(content).unwrap_err();
            assert_eq!(error.code(), code);
            assert!(!error.to_string().contains("0123456789"), "{error}");
        }
        assert_eq!(read_secret(dir.path()).unwrap_err().code(), "secret_unreadable");
    }
}
