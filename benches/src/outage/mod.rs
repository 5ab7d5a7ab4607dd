//! How long writes are refused when a node dies, beside Redis Cluster on the same machine in the same run.
//!
//! Writers write one key after the other, each key once, over all partitions. One node is ended by `kill -9`, or frozen; from then on all write to
//! what it owned and nothing else, as fast as they are let. The outage of a partition is the time from the kill until the
//! first write to it is acknowledged that was sent after the node was gone; that of a writer, until its own first one to any of them. In
//! the end every key is read whose write was acknowledged.

mod ours;
mod theirs;
mod writers;

use std::time::Duration;

use clap::Args;

use crate::Failure;
use crate::cluster::{Place, redis, tags};
use crate::spread::Spread;

/// What is done.
#[derive(Debug, Clone, Args)]
pub struct Outage {
    /// How often a node is killed
    #[arg(long, value_name = "N", default_value_t = 20)]
    trials: u32,
    /// How often a master is killed of each Redis cluster; 0 leaves Redis out
    #[arg(long, value_name = "N", default_value_t = 3)]
    redis_trials: u32,
    /// Writers; each begins at a node of its own, as far as there are enough
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=200))]
    writers: u32,
    /// Writes a second of all of them together, while nobody is killed
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Have the node stand still, its connections open, and kill it only in the end: as if the machine were lost
    #[arg(long)]
    freeze: bool,
    /// How long a client waits for an answer before it turns to another node
    #[arg(long, value_name = "MS", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    client_patience_ms: u64,
    #[command(flatten)]
    place: Place,
}

/// What was measured of one subject.
#[derive(Debug, Default)]
struct Measured {
    /// Of each partition of each node that was killed.
    partitions: Vec<Duration>,
    /// Of each writer in each trial.
    writers: Vec<Duration>,
    /// What the same measure of partitions gives when nobody is killed.
    quiet: Vec<Duration>,
    /// What it took until the node was back and all was repaired.
    repairs: Vec<Duration>,
    acknowledged: usize,
    refused: usize,
    /// Keys whose write was acknowledged, and which are not there.
    lost: Vec<String>,
}

impl Outage {
    fn client_patience(&self) -> Duration {
        Duration::from_millis(self.client_patience_ms)
    }
}

impl Measured {
    fn print(&self, subject: &str, trials: u32) {
        println!("{subject}: {trials} kills");
        println!(
            "  outage of a partition  {}",
            Spread::of(self.partitions.iter().copied())
        );
        println!("  outage of a writer     {}", Spread::of(self.writers.iter().copied()));
        println!("  the same, nobody dead  {}", Spread::of(self.quiet.iter().copied()));
        println!("  back and repaired in   {}", Spread::of(self.repairs.iter().copied()));
        let (acknowledged, refused, lost) = (self.acknowledged, self.refused, self.lost.len());
        println!("  writes: {acknowledged} acknowledged, {refused} refused or unknown, {lost} acknowledged and lost");
        for key in self.lost.iter().take(10) {
            println!("    lost: {key}");
        }
    }
}

/// Measures, and prints.
///
/// # Errors
/// If something could not be measured, or an acknowledged write of ours is lost.
pub fn run(asked: &Outage) -> Result<(), Failure> {
    let tags = tags::of_partitions();
    let ours = ours::run(asked, &tags)?;
    ours.print("orrery, three nodes, quorum writes", asked.trials);
    if asked.redis_trials > 0 && !redis::is_here() {
        println!("redis-server or redis-cli is not here: not measured");
    } else if asked.redis_trials > 0 {
        for timeout_ms in ["1000", "15000"] {
            let measured = theirs::run(asked, &tags, timeout_ms)?;
            let subject = format!("redis, three masters with a replica each, cluster-node-timeout {timeout_ms}");
            measured.print(&subject, asked.redis_trials);
        }
    }
    match ours.lost.is_empty() {
        true => Ok(()),
        false => Err(format!("{} acknowledged writes are lost", ours.lost.len()).into()),
    }
}
