//! One node that becomes several and one again, with records on it and clients at work.

mod foreground;
mod steps;

use std::time::{Duration, Instant};

use clap::Args;
use kernel::wire::{Consistency, ReadConsistency};

use crate::cluster::Place;
use crate::cluster::conn::Conn;
use crate::cluster::nodes::Nodes;
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

/// Records that are read at once when all are.
const READS: usize = 500;

/// How often a read is asked for again that is refused.
const TRIES: u32 = 20;

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
    let with_all = missing(&nodes, loaded)?;
    for who in (1..nodes.addrs.len()).rev() {
        run.leave(&mut nodes, who)?;
    }
    let in_the_end = missing(&nodes, loaded)?;
    let lost = foreground.stop()?;
    let count = Conn::open(&nodes.addrs[0], "bench-check")?.records()?;
    let known = loaded + foreground::KEYS_IN_ALL;
    println!(
        "records that are not found with {} nodes: {with_all}; with one again: {in_the_end}",
        asked.nodes
    );
    println!(
        "records held by the last node: {count} of {loaded}, and of up to {} of the clients",
        foreground::KEYS_IN_ALL
    );
    println!("clients: {lost}");
    nodes.stop()?;
    match with_all + in_the_end + lost.total() {
        0 if (loaded..=known).contains(&count) => Ok(()),
        _ => Err("something is lost, or too much".into()),
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

/// Reads each record at the first node: how many are not there.
fn missing(nodes: &Nodes, loaded: u64) -> Result<u64, Failure> {
    let mut conn = Conn::open(&nodes.addrs[0], "bench-check")?;
    let mut all = keys(loaded);
    let mut missing = 0;
    loop {
        let mut some: Vec<String> = all.by_ref().take(READS).collect();
        if some.is_empty() {
            return Ok(missing);
        }
        for left in (0..TRIES).rev() {
            let found = conn.read(MAP, &some, ReadConsistency::Owner)?;
            missing += found.iter().filter(|found| matches!(found, Ok(None))).count() as u64;
            let refused = some.into_iter().zip(found);
            let refused = refused.filter_map(|(key, found)| Some((key, found.err()?)));
            let (again, why): (Vec<String>, Vec<String>) = refused.unzip();
            some = again;
            match why.first() {
                None => break,
                Some(why) if left == 0 => return Err(format!("a record cannot be read: {why}").into()),
                Some(_) => {}
            }
        }
    }
}
