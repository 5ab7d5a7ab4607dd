//! Writes that a majority of three nodes has on disk, in batches, each sent to the node that owns its keys; beside one node alone, a
//! Redis cluster that waits for its replicas, and synced appends of the same bytes.

use std::thread;
use std::time::Instant;

use clap::Args;
use kernel::wire::Consistency;

use crate::cluster::nodes::Nodes;
use crate::cluster::redis::{self, RedisCluster};
use crate::cluster::resp::{Redis, Reply, command};
use crate::cluster::{Place, tags};
use crate::row::Row;
use crate::socket_writes::bound;
use crate::socket_writes::load::{Clients, Done, Target};
use crate::socket_writes::template::key;
use crate::{Failure, Load, Rows};

const BENCH: &str = "quorum";

/// Members of the cluster.
const NODES: usize = 3;

/// How long the cluster may take to come about.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// What is done.
#[derive(Debug, Clone, Args)]
pub struct Quorum {
    /// Writes of a subject
    #[arg(long, value_name = "N", default_value_t = 300_000)]
    writes: u64,
    /// Operations in a batch
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// Batches that a connection sends ahead of their acknowledgements
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    depth: u32,
    /// Connections to each node
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    connections: u32,
    /// Bytes of a value
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(4..=60_000))]
    value_bytes: u32,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    place: Place,
}

impl Quorum {
    fn load(&self, connections: u32) -> Load {
        Load {
            quick: false,
            depth: self.depth,
            connections,
            batch: self.batch,
            value_bytes: self.value_bytes,
        }
    }

    /// Connections in all.
    fn all(&self) -> u32 {
        self.connections * NODES as u32
    }

    /// Batches of each connection, of so many writes in all.
    fn batches(&self, writes: u64) -> u64 {
        (writes / u64::from(self.batch) / u64::from(self.all())).max(1)
    }
}

/// Measures.
///
/// # Errors
/// If something could not be measured.
pub fn run(asked: &Quorum) -> Rows {
    let tags = tags::of_partitions();
    let (quorum, done) = ours(asked, &tags, NODES, Consistency::Quorum)?;
    let (alone, _) = ours(asked, &tags, 1, Consistency::Eventual)?;
    let mut rows = vec![quorum, alone];
    if redis::is_here() {
        rows.push(theirs(asked, &tags)?);
    }
    let folder = asked.place.folder()?;
    rows.push(bound::run(BENCH, &folder.0, done.writes, done.bytes, done.frame_bytes)?);
    Ok(rows)
}

/// So many nodes under the load, each with what it owns.
fn ours(asked: &Quorum, tags: &[String], count: usize, consistency: Consistency) -> Result<(Row, Done), Failure> {
    let mut nodes = Nodes::new(&asked.place, count)?;
    (0..count).try_for_each(|who| nodes.start(who))?;
    nodes.settled(PATIENCE)?;
    let holders = nodes.holders(tags)?;
    let owned = |who: usize| -> Vec<String> {
        let name = Nodes::name(who);
        let owned = tags
            .iter()
            .zip(&holders)
            .filter(|(_, names)| names.first() == Some(&name));
        owned.map(|(tag, _)| tag.clone()).collect()
    };
    let owned: Vec<Vec<String>> = (0..count).map(owned).collect();
    let target = |at: u32| {
        let who = at as usize % count;
        Target {
            addr: &nodes.addrs[who],
            tags: &owned[who],
            consistency,
        }
    };
    let targets: Vec<Target<'_>> = (0..asked.all()).map(target).collect();
    let mut clients = Clients::connect(&targets, &asked.load(asked.all()))?;
    clients.run(asked.batches(asked.writes / 20))?;
    let (cpu, start) = (nodes.cpu()?, Instant::now());
    let done = clients.run(asked.batches(asked.writes))?;
    let (wall, cpu) = (start.elapsed(), nodes.cpu()? - cpu);
    drop(clients);
    let per_s = done.writes as f64 / wall.as_secs_f64();
    let row = Row {
        bench: BENCH,
        subject: if count > 1 { "orrery quorum" } else { "orrery alone" },
        ops: done.writes,
        cpu,
        wall,
        bytes: done.bytes,
        note: format!(
            "{per_s:.0} acknowledged writes/s, {}; nodes {count}, connections {}, batches of {}, {} ahead, {} byte values; batch \
             latency p50 {} us, p99 {} us; nodes {:.2} cpu-s, generator {:.2} cpu-s",
            consistency.word(),
            asked.all(),
            asked.batch,
            asked.depth,
            asked.value_bytes,
            done.latency_us(50),
            done.latency_us(99),
            cpu.as_secs_f64(),
            done.cpu.as_secs_f64(),
        ),
    };
    nodes.stop()?;
    Ok((row, done))
}

/// The same writes to a Redis cluster that syncs each on its master, and waits for the memory of the replica.
fn theirs(asked: &Quorum, tags: &[String]) -> Result<Row, Failure> {
    let cluster = RedisCluster::start(&asked.place, &["--appendonly", "yes", "--appendfsync", "always"])?;
    let (masters, owners) = cluster.owners(tags)?;
    let owned = |master: usize| -> Vec<&String> {
        let owned = tags.iter().zip(&owners).filter(|(_, owner)| **owner == master);
        owned.map(|(tag, _)| tag).collect()
    };
    let batches = asked.batches(asked.writes);
    let (cpu, start) = (cluster.cpu()?, Instant::now());
    thread::scope(|scope| -> Result<(), Failure> {
        let writers = (0..asked.all()).map(|at| {
            let master = masters[at as usize % masters.len()];
            let (addr, owned) = (&cluster.addrs[master], owned(master));
            scope.spawn(move || pipeline(addr, &owned, asked, u64::from(at), batches))
        });
        let writers: Vec<_> = writers.collect();
        let ended = writers.into_iter().map(|writer| writer.join());
        ended
            .into_iter()
            .try_for_each(|ended| ended.map_err(|_| "a writer panicked")?)
    })?;
    let (wall, cpu) = (start.elapsed(), cluster.cpu()? - cpu);
    let writes = batches * u64::from(asked.all()) * u64::from(asked.batch);
    let per_s = writes as f64 / wall.as_secs_f64();
    Ok(Row {
        bench: BENCH,
        subject: "redis wait 1",
        ops: writes,
        cpu,
        wall,
        bytes: 0,
        note: format!(
            "{per_s:.0} acknowledged writes/s; masters {}, each with a replica, appendfsync always, WAIT 1 after each batch; six \
             processes {:.2} cpu-s",
            masters.len(),
            cpu.as_secs_f64(),
        ),
    })
}

/// What one connection does: batches with a `WAIT` behind each, as many ahead as ours.
fn pipeline(addr: &str, tags: &[&String], asked: &Quorum, who: u64, batches: u64) -> Result<(), Failure> {
    let mut redis = Redis::open(addr)?;
    let value = "v".repeat(asked.value_bytes as usize);
    let (mut sent, mut answered) = (0, 0);
    while answered < batches {
        while sent < batches && sent - answered < u64::from(asked.depth) {
            let mut out = Vec::new();
            for op in 0..u64::from(asked.batch) {
                let tag = tags[op as usize % tags.len()];
                let number = (who << 40) + sent * u64::from(asked.batch) + op;
                command(&["SET", &format!("{tag}{}", key(number)), &value], &mut out);
            }
            command(&["WAIT", "1", "5000"], &mut out);
            redis.send(&out)?;
            sent += 1;
        }
        for _ in 0..asked.batch {
            match redis.receive()? {
                Reply::Word(word) if word == "OK" => {}
                other => return Err(format!("{addr} said {other:?}").into()),
            }
        }
        match redis.receive()? {
            Reply::Number(1..) => answered += 1,
            other => return Err(format!("{addr} said {other:?} to WAIT").into()),
        }
    }
    Ok(())
}
