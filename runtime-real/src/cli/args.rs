//! What can be said on the command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use kernel::wire;

use super::cluster::ClusterTask;
use super::export::ExportArgs;
use super::import::ImportArgs;
use super::query::QueryArgs;
use super::settings::{self, SettingArgs};
use super::times::ttl_ms;

/// The version, and whether switches for deliberately broken behaviour are compiled in.
pub(super) const VERSION: &str = match kernel::env::TESTING {
    false => env!("CARGO_PKG_VERSION"),
    true => concat!(env!("CARGO_PKG_VERSION"), "+testing"),
};

const EXAMPLES: &str = "\
Examples:
  runtime-real                                     a node on ./orrery-data, on 127.0.0.1:7878
  runtime-real set greetings hello '{\"to\": \"world\"}'
  runtime-real get greetings hello
  runtime-real status --format json
  runtime-real --data b --listen 127.0.0.1:7879 --join 127.0.0.1:7878
  runtime-real cluster status
  curl -s http://127.0.0.1:7878/metrics

Exit codes: 0 done, 1 not found, 2 usage or configuration, 3 refused by the node, 4 unreachable, 5 unknown outcome.";

const SERVE: &str = "\
Run a node until SIGTERM or SIGINT, or until it is removed from its cluster (exit code 2). A second signal ends it at once; what was acknowledged is on disk.

A setting is a flag, else a variable ORRERY_*, else a line of the file given with --config, else its default. Sizes are such \
as 512MiB, durations such as 250ms, 10s or 5m. `config print` shows what it comes to.

Examples:
  runtime-real serve --data /var/lib/orrery --log json
  runtime-real serve --listen 0.0.0.0:7878 --advertise a:7878 --cluster-secret-file cluster.secret
  runtime-real serve --listen 0.0.0.0:7878 --advertise b:7878 --cluster-secret-file cluster.secret --join a:7878
  ORRERY_LOG_LEVEL=debug runtime-real serve --config node.toml";

const COMPLETIONS: &str = "\
A script that completes commands and flags in a shell.

Examples:
  runtime-real completions bash > ~/.local/share/bash-completion/completions/runtime-real
  runtime-real completions fish > ~/.config/fish/completions/runtime-real.fish
  runtime-real completions zsh > ~/.zfunc/_runtime-real";

/// A database node, and small commands to talk to one. Without a command it serves.
#[derive(Debug, Parser)]
#[command(name = "runtime-real", version = VERSION, after_long_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub task: Option<Task>,
    #[command(flatten)]
    pub serve: SettingArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum Task {
    /// Run a node
    #[command(long_about = SERVE)]
    Serve(SettingArgs),
    /// Write a value
    Set(SetArgs),
    /// Read a value, as JSON
    Get(GetArgs),
    /// Delete a value
    Del(DelArgs),
    /// Hold a lock for a while, and print its fencing token
    #[command(long_about = LOCK)]
    Lock(LockArgs),
    /// Give a lock back
    Unlock(UnlockArgs),
    /// Set something that the whole cluster agrees on
    Define(DefineArgs),
    /// Read what was defined, as JSON
    Definition(DefinitionArgs),
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
    /// How the cluster is, and who is to leave it
    Cluster {
        #[command(subcommand)]
        task: ClusterTask,
    },
    /// What a node would be started with
    Config {
        #[command(subcommand)]
        task: ConfigTask,
    },
    /// A script that completes commands and flags in a shell
    #[command(long_about = COMPLETIONS)]
    Completions(CompletionsArgs),
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigTask {
    /// Each setting, its value, and where that came from: flag, env, file or default
    #[command(
        long_about = "Each setting, its value, and where that came from. What is printed can be saved and given back \
with --config.\n\nExamples:\n  runtime-real config print > node.toml\n  ORRERY_LISTEN=127.0.0.1:9000 runtime-real config print --config node.toml\n  runtime-real config print --format json"
    )]
    Print(ConfigArgs),
}

#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    /// `table` is the form of a file of settings
    #[arg(long, value_enum, default_value_t = StatusForm::Table)]
    pub format: StatusForm,
    #[command(flatten)]
    pub settings: SettingArgs,
}

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell to complete in
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
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
    /// Expires after so long, counted from the time of the write: 250ms, 10s, 5m (early by as much as the node's clock is ahead)
    #[arg(long, value_name = "DURATION", value_parser = ttl_ms)]
    pub ttl: Option<u64>,
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

const LOCK: &str = "Hold a lock for a while, and print its fencing token: a number above all that were given for the lock before. \
A lock is a lease: whoever holds it may be too slow to notice that its time is over. Give the token along with whatever the lock protects, \
and take nothing there with a lower token than was seen.\n\nExit codes: 3 (Locked) while somebody else holds it.\n\nExamples:\n  \
token=$(runtime-real lock nightly --ttl 10m)\n  runtime-real unlock nightly $token";

#[derive(Debug, Args)]
pub(super) struct LockArgs {
    /// The name of the lock
    pub name: String,
    /// For how long, at most
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = ttl_ms)]
    pub ttl: u64,
    /// Who asks; without it, nobody else
    #[arg(long)]
    pub owner: Option<String>,
    /// A name for the request: asking again as the same owner by that name is the same request, and holds the lock for longer
    #[arg(long, requires = "owner", value_name = "ID")]
    pub request: Option<String>,
    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(Debug, Args)]
pub(super) struct UnlockArgs {
    /// The name of the lock
    pub name: String,
    /// The token that it was given with
    #[arg(value_name = "TOKEN")]
    pub fencing_token: u64,
    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(Debug, Args)]
pub(super) struct DefineArgs {
    /// The name of the definition
    pub name: String,
    /// JSON; anything else is a text
    pub value: String,
    /// Only if this is its version; 0 if there must be none
    #[arg(long, value_name = "NUMBER")]
    pub if_version: Option<u64>,
    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(Debug, Args)]
pub(super) struct DefinitionArgs {
    /// The name of the definition
    pub name: String,
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
    pub fn level(self) -> wire::Consistency {
        match self {
            Self::Eventual => wire::Consistency::Eventual,
            Self::Quorum => wire::Consistency::Quorum,
            Self::Strong => wire::Consistency::Strong,
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
    pub fn level(self) -> wire::ReadConsistency {
        match self {
            Self::Owner => wire::ReadConsistency::Owner,
            Self::Any => wire::ReadConsistency::Any,
            Self::Quorum => wire::ReadConsistency::Quorum,
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
    settings::address(text).ok_or_else(|| "an address is HOST:PORT".to_owned())
}

/// Every variable that stands for an argument of a command.
pub(super) fn variables(command: &clap::Command) -> Vec<String> {
    let own = command.get_arguments().filter_map(clap::Arg::get_env);
    let own = own.map(|name| name.to_string_lossy().into_owned());
    own.chain(command.get_subcommands().flat_map(variables)).collect()
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
    fn variables_of_commands_are_known() {
        let known = variables(&Cli::command());
        for name in ["ORRERY_ADDR", "ORRERY_TOKEN", "ORRERY_CONFIG"] {
            assert!(known.iter().any(|known| known == name), "{known:?}");
        }
    }
}
