//! What Orrery does, measured beside a bound of the same machine in the same run.
//!
//! ```text
//! cargo run --release -p benches -- list
//! cargo run --release -p benches -- run socket-writes --json
//! cargo run --release -p benches -- outage --trials 20
//! ```

mod checkpoint;
mod churn;
mod cluster;
mod grow;
mod lww_merge;
mod lww_sorted;
mod memory;
mod or_map;
mod outage;
#[cfg(feature = "peers")]
mod peers;
mod program;
mod quorum;
mod riblt;
mod row;
mod server;
mod sim_steps;
mod socket;
mod socket_writes;
mod spread;
mod timer;

use std::env;
use std::error::Error;
use std::process::{Command, ExitCode};

use clap::{Args, Parser, Subcommand};

use row::Row;

/// Measures, and prints one row a result. Read a row against the bound in the same run: machines differ, and so do
/// hours of one machine.
#[derive(Debug, Parser)]
#[command(name = "benches")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Name the benches
    List,
    /// Run some of them
    Run {
        /// Which: `list` names them
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        load: Load,
    },
    /// How long writes are refused when a node of a cluster dies, beside Redis Cluster
    Outage(outage::Outage),
    /// Writes that a majority of a cluster has, beside a single node, Redis Cluster, and synced appends of the same bytes to a file
    Quorum(quorum::Quorum),
    /// A cluster that grows and shrinks under load: how long, how much is sent, and what clients notice
    Grow(grow::Grow),
    /// Make one subject of lww-merge and print the bytes by which this process has grown
    #[command(hide = true)]
    Resident {
        /// Which
        subject: String,
        #[command(flatten)]
        load: Load,
    },
}

/// How much work a bench does.
#[derive(Debug, Clone, Args)]
struct Load {
    /// A tenth of the work: does it run at all?
    #[arg(long)]
    quick: bool,
    /// Of socket benches: batches that a connection sends ahead of their acknowledgements
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    depth: u32,
    /// Of socket benches: connections
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    connections: u32,
    /// Of socket benches: operations in a batch
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    batch: u32,
    /// Of socket benches: bytes of a value
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    value_bytes: u32,
}

/// What went wrong; threads hand it over.
type Failure = Box<dyn Error + Send + Sync>;

type Rows = Result<Vec<Row>, Failure>;

/// A bench: its name, what it measures, and how.
type Bench = (&'static str, &'static str, fn(&Load) -> Rows);

const BENCHES: &[Bench] = &[
    (
        "lww-merge",
        "merging versions into the last-writer-wins map, beside a BTreeMap and a HashMap of the same bytes",
        lww_merge::run,
    ),
    (
        "lww-sorted",
        "merging a replica's whole state into another's, beside two sorted vectors",
        lww_sorted::run,
    ),
    (
        "churn",
        "ten million keys set and deleted: what is held for them",
        churn::run,
    ),
    (
        "riblt",
        "finding what differs between two sets, by coded symbols and by a Merkle walk",
        riblt::run,
    ),
    (
        "or-map",
        "adds to the observed-remove map, and merges of whole replicas",
        or_map::run,
    ),
    (
        "sim-steps",
        "steps of simulated nodes, beside a bare heap of events, and madsim where that is built",
        sim_steps::run,
    ),
    (
        "checkpoint",
        "a whole node as bytes, and a node from them, beside a copy and a hash of the same bytes",
        checkpoint::run,
    ),
    (
        "socket-writes",
        "writes over WebSocket, acknowledged once synced, alone and recorded, beside synced appends of the same bytes to a file",
        socket_writes::run,
    ),
];

/// Runs this program once for each bench: what one of them has allocated and freed must not show in the figures of the next.
fn each_in_its_own_process(names: &[String]) -> ExitCode {
    for name in names {
        let run = || {
            let given = env::args_os().skip(1);
            let own = given.filter(|arg| !names.iter().any(|other| other != name && **other == *arg));
            Command::new(env::current_exe()?).args(own).status()
        };
        match run() {
            Ok(status) if status.success() => {}
            Ok(_) => return ExitCode::FAILURE,
            Err(error) => {
                eprintln!("error: {name}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn print(rows: &[Row], json: bool) {
    if !json {
        println!("{}", row::HEAD);
    }
    rows.iter().for_each(|row| match json {
        true => println!("{}", row.json()),
        false => println!("{row}"),
    });
}

fn exit(name: &str, done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn main() -> ExitCode {
    let (names, json, load) = match Cli::parse().task {
        Task::List => {
            for (name, about, _) in BENCHES {
                println!("{name:<16} {about}");
            }
            return ExitCode::SUCCESS;
        }
        Task::Run { names, json, load } => (names, json, load),
        Task::Outage(asked) => return exit("outage", outage::run(&asked)),
        Task::Grow(asked) => return exit("grow", grow::run(&asked)),
        Task::Quorum(asked) => {
            let rows = quorum::run(&asked);
            return exit("quorum", rows.map(|rows| print(&rows, asked.json)));
        }
        Task::Resident { subject, load } => {
            let grown = lww_merge::resident_growth(&subject, &load);
            return exit("resident", grown.map(|bytes| println!("{bytes}")));
        }
    };
    let mut chosen = Vec::new();
    for name in &names {
        match BENCHES.iter().find(|(known, ..)| known == name) {
            Some((.., bench)) => chosen.push((name, bench)),
            None => {
                eprintln!("error: there is no bench {name:?}; `list` names them");
                return ExitCode::from(2);
            }
        }
    }
    if chosen.len() > 1 {
        return each_in_its_own_process(&names);
    }
    let mut rows = Vec::new();
    for (name, bench) in chosen {
        match bench(&load) {
            Ok(some) => rows.extend(some),
            Err(error) => return exit(name, Err(error)),
        }
    }
    print(&rows, json);
    ExitCode::SUCCESS
}
