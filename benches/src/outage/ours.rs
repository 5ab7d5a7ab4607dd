//! Three nodes of ours: one is killed, comes back, is repaired, and the next is killed.

use std::time::{Duration, Instant};

use kernel::wire::{Consistency, ReadConsistency};

use super::writers::{Acked, Store, Writers};
use super::{Measured, Outage};
use crate::Failure;
use crate::cluster::conn::{Conn, Refused};
use crate::cluster::nodes::Nodes;

const MAP: &str = "bench";

/// Members of the cluster.
const NODES: usize = 3;

/// An outage, or a repair, that takes longer is none any more.
const PATIENCE: Duration = Duration::from_secs(120);

/// Reads under way at once.
const READS: usize = 100;

/// How often a read is asked for again that is refused.
const TRIES: usize = 20;

/// A client that goes to the next node when its own is lost.
struct Client {
    addrs: Vec<String>,
    home: usize,
    at: usize,
    name: String,
    patience: Duration,
    conn: Option<Conn>,
}

impl Store for Client {
    fn set(&mut self, _: usize, key: &str) -> Result<(), String> {
        let addr = &self.addrs[self.at];
        let conn = match self.conn.take() {
            Some(conn) => Ok(conn),
            None => Conn::open(addr, &self.name).and_then(|conn| conn.patience(self.patience)),
        };
        let done = conn.and_then(|mut conn| {
            let value = [0xc3];
            let done = conn.write(MAP, key, &value, Consistency::Quorum);
            if !matches!(done, Err(Refused::Lost(_))) {
                self.conn = Some(conn);
            }
            done
        });
        if self.conn.is_none() {
            self.at = (self.at + 1) % self.addrs.len();
        }
        done.map_err(Refused::reason)
    }

    fn home(&mut self) {
        if self.at != self.home {
            self.at = self.home;
            self.conn = None;
        }
    }
}

pub fn run(asked: &Outage, tags: &[String]) -> Result<Measured, Failure> {
    let mut nodes = Nodes::new(&asked.place, NODES)?;
    eprintln!("data and logs: {}", nodes.folder().display());
    (0..NODES).try_for_each(|who| nodes.start(who))?;
    nodes.settled(PATIENCE)?;
    let client = |who: usize| -> Box<dyn Store> {
        Box::new(Client {
            addrs: nodes.addrs.clone(),
            home: who % NODES,
            at: who % NODES,
            name: format!("bench-{who}"),
            patience: asked.client_patience(),
            conn: None,
        })
    };
    let writers = (0..asked.writers as usize).map(client).collect();
    let writers = Writers::start(writers, tags, asked.rate);
    let mut measured = Measured::default();
    for trial in 0..asked.trials as usize {
        let victim = trial % NODES;
        let name = Nodes::name(victim);
        let holders = nodes.holders(tags)?;
        let owned = |tag: &usize| holders[*tag].first() == Some(&name);
        let owned: Vec<usize> = (0..tags.len()).filter(owned).collect();
        // First with nobody dead, which is what the measure itself comes to.
        let now = Instant::now();
        writers.hurry(&owned);
        let (quiet, _) = writers.await_each(&owned, (now, now), PATIENCE)?;
        measured.quiet.extend(quiet);
        let killed = match asked.freeze {
            true => nodes.freeze(victim)?,
            false => nodes.kill(victim)?,
        };
        let outage = writers.await_each(&owned, killed, PATIENCE);
        let (partitions, each) = outage.map_err(|error| format!("{error}; logs: {}", nodes.folder().display()))?;
        let longest = partitions.iter().max().copied().unwrap_or_default();
        writers.at_ease();
        if asked.freeze {
            nodes.kill(victim)?;
        }
        let again = Instant::now();
        nodes.start(victim)?;
        nodes.settled(PATIENCE)?;
        writers.at_ease();
        let repaired = again.elapsed();
        eprintln!(
            "kill {trial} of {name}: {} partitions, the last after {} ms; back and repaired in {} ms",
            owned.len(),
            longest.as_millis(),
            repaired.as_millis()
        );
        measured.partitions.extend(partitions);
        measured.writers.extend(each);
        measured.repairs.push(repaired);
    }
    let (acked, refused) = writers.stop()?;
    measured.lost = lost(&nodes, &acked, tags)?;
    (measured.acknowledged, measured.refused) = (acked.len(), refused);
    nodes.stop()?;
    Ok(measured)
}

/// Reads every acknowledged key by quorum: those that are not there.
fn lost(nodes: &Nodes, acked: &[Acked], tags: &[String]) -> Result<Vec<String>, Failure> {
    let mut lost = Vec::new();
    for (at, some) in acked.chunks(READS).enumerate() {
        let addr = &nodes.addrs[at % NODES];
        let mut keys: Vec<String> = some.iter().map(|ack| ack.key(tags)).collect();
        let mut why = String::new();
        for _ in 0..TRIES {
            let found =
                Conn::open(addr, "bench-reader").and_then(|mut conn| conn.read(MAP, &keys, ReadConsistency::Quorum));
            let found = found.map_err(|refused| format!("{addr} cannot be read: {}", refused.reason()))?;
            let mut again = Vec::new();
            for (key, found) in keys.into_iter().zip(found) {
                match found {
                    Ok(Some(_)) => {}
                    Ok(None) => lost.push(key),
                    Err(reason) => {
                        why = reason;
                        again.push(key);
                    }
                }
            }
            keys = again;
            if keys.is_empty() {
                break;
            }
        }
        if !keys.is_empty() {
            return Err(format!("{} keys cannot be read: {why}", keys.len()).into());
        }
    }
    Ok(lost)
}
