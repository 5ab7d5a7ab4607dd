//! What can be said on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::export::ExportArgs;
use super::import::ImportArgs;
use super::query::QueryArgs;

/// The version, and whether switches for deliberately broken behaviour are compiled in.
const VERSION: &str = match kernel::env::TESTING {
    false => env!("CARGO_PKG_VERSION"),
    true => concat!(env!("CARGO_PKG_VERSION"), "+testing"),
};

/// A database node, and small commands to talk to one. Without a command it serves.
#[derive(Debug, Parser)]
#[command(name = "runtime-real", version = VERSION, args_conflicts_with_subcommands = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub task: Option<Task>,
    #[command(flatten)]
    pub serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum Task {
    /// Run a node
    Serve(ServeArgs),
    /// Write a value
    Set(SetArgs),
    /// Read a value, as JSON
    Get(GetArgs),
    /// Delete a value
    Del(DelArgs),
    /// Write the rows of a file
    Import(ImportArgs),
    /// Print a map as a file that can be imported
    Export(ExportArgs),
    /// Print the records that match
    Query(QueryArgs),
    /// Print the records that match, and each change of that, until Ctrl-C
    Watch(QueryArgs),
    /// How a node is
    Status(StatusArgs),
}

#[derive(Debug, Clone, Args)]
pub(super) struct ServeArgs {
    /// The data folder; made if it is not there
    #[arg(long, env = "ORRERY_DATA", value_name = "DIR", default_value = "./orrery-data")]
    pub data: PathBuf,
    /// Where to listen; with port 0 the system chooses one
    #[arg(long, env = "ORRERY_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:7878")]
    pub listen: SocketAddr,
    /// The other nodes, each as HOST:PORT
    #[arg(long = "peer", env = "ORRERY_PEERS", value_name = "ADDR", value_delimiter = ',', num_args = 1.., value_parser = address)]
    pub peers: Vec<String>,
    /// A file with the secret that nodes and clients must present: at least 16 characters
    #[arg(long, env = "ORRERY_CLUSTER_SECRET_FILE", value_name = "FILE")]
    pub cluster_secret_file: Option<PathBuf>,
    /// The form of the log on standard error
    #[arg(long, env = "ORRERY_LOG", value_enum, default_value_t = LogForm::Text)]
    pub log: LogForm,
    /// The node's name; without one it keeps a random one in the data folder
    #[arg(long, env = "ORRERY_NODE", value_name = "NAME")]
    pub node: Option<String>,
    /// Keep keys of MAP together that are equal up to the first SEPARATOR, one ASCII character: the same on every node
    #[arg(long, value_name = "MAP=SEPARATOR", value_parser = partition_by)]
    pub partition_by: Vec<(String, u8)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogForm {
    Text,
    Json,
}

#[derive(Debug, Clone, Args)]
pub(super) struct NodeArgs {
    /// The node to talk to, as HOST:PORT
    #[arg(long, env = "ORRERY_ADDR", value_name = "ADDR", default_value = "127.0.0.1:7878", value_parser = address)]
    pub addr: String,
    /// The secret, where the node asks for one
    #[arg(long, env = "ORRERY_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    pub map: String,
    pub key: String,
    /// JSON if it parses, else text
    #[arg(allow_hyphen_values = true)]
    pub value: String,
    #[command(flatten)]
    pub means: WriteArgs,
    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(Debug, Args)]
pub(super) struct DelArgs {
    pub map: String,
    pub key: String,
    #[command(flatten)]
    pub means: WriteArgs,
    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(Debug, Args)]
pub(super) struct WriteArgs {
    /// How many replicas must have it before it counts as done
    #[arg(long, value_enum, default_value_t = WriteConsistency::Eventual)]
    pub consistency: WriteConsistency,
    /// How firmly each of those must have it
    #[arg(long, value_enum, default_value_t = Durability::Disk)]
    pub durability: Durability,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum WriteConsistency {
    Eventual,
    Quorum,
    Strong,
}

impl WriteConsistency {
    pub fn word(self) -> &'static str {
        match self {
            Self::Eventual => "eventual",
            Self::Quorum => "quorum",
            Self::Strong => "strong",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Durability {
    Memory,
    Disk,
}

impl Durability {
    pub fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct GetArgs {
    pub map: String,
    pub key: String,
    /// Which replicas are asked
    #[arg(long, value_enum, default_value_t = ReadConsistency::Owner)]
    pub consistency: ReadConsistency,
    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ReadConsistency {
    Owner,
    Any,
    Quorum,
}

impl ReadConsistency {
    pub fn word(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Any => "any",
            Self::Quorum => "quorum",
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[arg(long, value_enum, default_value_t = StatusForm::Table)]
    pub format: StatusForm,
    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum StatusForm {
    Table,
    Json,
}

fn address(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(text.to_owned()),
        _ => Err("an address is HOST:PORT".to_owned()),
    }
}

fn partition_by(text: &str) -> Result<(String, u8), String> {
    match text.split_once('=').map(|(map, separator)| (map, separator.as_bytes())) {
        Some((map, [separator])) if !map.is_empty() && separator.is_ascii_graphic() => Ok((map.to_owned(), *separator)),
        _ => Err("say MAP=SEPARATOR, with one ASCII character as the separator".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn addresses_and_separators_are_checked() {
        assert!(address("localhost:80").is_ok() && address("[::1]:80").is_ok());
        assert!(address("localhost").is_err() && address(":80").is_err() && address("a:99999").is_err());
        assert_eq!(partition_by("orders=/"), Ok(("orders".to_owned(), b'/')));
        assert_eq!(partition_by("orders=="), Ok(("orders".to_owned(), b'=')));
        assert!(partition_by("orders").is_err() && partition_by("=/").is_err() && partition_by("a=bc").is_err());
    }
}
