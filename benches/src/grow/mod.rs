//! One node that becomes several and one again, with records on it and clients at work.

mod foreground;
mod steps;

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::{Duration, Instant};

use clap::Args;
use kernel::wire::Consistency;

use crate::cluster::Place;
use crate::cluster::nodes::Nodes;
use crate::server::command;
use crate::socket_writes::load::{Clients, Target, first};
use crate::socket_writes::template::{MAP, key};
use crate::{Failure, Load};
use foreground::Foreground;

/// What is done.
#[derive(Debug, Clone, Args)]
pub struct Grow {
    /// Records, rounded up to whole batches
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    records: u64,
    /// Nodes at most
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..=20))]
    nodes: u32,
    /// Bytes of a value
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(4..=60_000))]
    value_bytes: u32,
    /// Point reads and quorum writes a second, half of each, from clients of the first node
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// How long the clients are watched before each step
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    calm: u64,
    /// How long a step may take
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    patience: u64,
    #[command(flatten)]
    place: Place,
}

/// Batches of a connection that are under way while records are loaded, and connections.
const LOAD: Load = Load {
    quick: false,
    depth: 4,
    connections: 4,
    batch: 100,
    value_bytes: 0,
};

/// Measures, and prints.
///
/// # Errors
/// If something could not be measured, or if a record or an acknowledged write is lost.
pub fn run(asked: &Grow) -> Result<(), Failure> {
    let mut nodes = Nodes::new(&asked.place, asked.nodes as usize)?;
    eprintln!("data and logs: {}", nodes.folder().display());
    nodes.start(0)?;
    let patience = Duration::from_secs(asked.patience);
    nodes.settled(patience)?;
    let begun = Instant::now();
    let loaded = load(&nodes, asked)?;
    let wall = begun.elapsed().as_secs_f64();
    println!("{loaded} records of {} bytes loaded in {wall:.1} s", asked.value_bytes);

    let foreground = Foreground::start(&nodes.addrs[0], loaded / u64::from(LOAD.connections), asked.rate);
    let run = steps::Steps {
        calm: Duration::from_secs(asked.calm),
        patience,
        foreground: &foreground,
    };
    println!("{}", steps::HEAD);
    for who in 1..nodes.addrs.len() {
        run.join(&mut nodes, who)?;
    }
    let with_all = check(&nodes, asked, loaded)?;
    for who in (1..nodes.addrs.len()).rev() {
        run.leave(&mut nodes, who)?;
    }
    let in_the_end = check(&nodes, asked, loaded)?;
    let lost = foreground.stop()?;
    println!(
        "records missing with {} nodes: {with_all}; with one again: {in_the_end}",
        asked.nodes
    );
    println!("clients: {lost}");
    nodes.stop()?;
    match with_all + in_the_end + lost.total() {
        0 => Ok(()),
        _ => Err("something is lost".into()),
    }
}

/// Loads the records, and says how many there are.
fn load(nodes: &Nodes, asked: &Grow) -> Result<u64, Failure> {
    let load = Load {
        value_bytes: asked.value_bytes,
        ..LOAD
    };
    let target = |_| Target {
        addr: &nodes.addrs[0],
        tags: &[],
        consistency: Consistency::Eventual,
    };
    let targets: Vec<Target<'_>> = (0..load.connections).map(target).collect();
    let batches = asked.records.div_ceil(u64::from(load.connections * load.batch));
    let done = Clients::connect(&targets, &load)?.run(batches)?;
    Ok(done.writes)
}

/// The keys of all records.
fn keys(loaded: u64) -> impl Iterator<Item = String> {
    let connections = u64::from(LOAD.connections);
    let of_one = loaded / connections;
    (0..connections).flat_map(move |conn| (0..of_one).map(move |number| key(first(conn) + number)))
}

/// Exports all records from the first node: how many of them are missing there.
fn check(nodes: &Nodes, asked: &Grow, loaded: u64) -> Result<u64, Failure> {
    let mut export = command(&asked.place.binary()?);
    export.args(["export", "--map", MAP, "--addr", &nodes.addrs[0]]);
    let mut export = export.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut err = export.stderr.take().ok_or("it has an output for errors")?;
    let out = export.stdout.take().ok_or("it has an output")?;
    let mut missing: HashSet<String> = keys(loaded).collect();
    for line in BufReader::new(out).lines() {
        let line = line?;
        let key = line
            .strip_prefix("{\"_key\":\"")
            .and_then(|rest| rest.split('"').next());
        let key = key.ok_or_else(|| format!("a line without a key: {line}"))?;
        if !missing.remove(key) {
            return Err(format!("{key} was exported, and is no record, or comes twice").into());
        }
    }
    let mut said = String::new();
    err.read_to_string(&mut said)?;
    match export.wait()?.success() {
        true => Ok(missing.len() as u64),
        false => Err(format!("the export fails, {} records before its end: {said}", missing.len()).into()),
    }
}
