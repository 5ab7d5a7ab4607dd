//! A Redis cluster: a master is killed, its replica takes over, the dead one comes back as a replica, and the next is killed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::writers::{Store, Writers};
use super::{Measured, Outage};
use crate::Failure;
use crate::cluster::redis::RedisCluster;
use crate::cluster::resp::{Redis, Reply};

/// An outage that takes longer is none any more.
const PATIENCE: Duration = Duration::from_secs(180);

/// A client that goes where it is told to, and asks the others when it is told nothing.
struct Client {
    addrs: Vec<String>,
    /// Where each tag is thought to be.
    places: HashMap<usize, String>,
    conns: HashMap<String, Redis>,
    at: usize,
    patience: Duration,
}

impl Client {
    fn new(addrs: &[String], patience: Duration) -> Self {
        Self {
            addrs: addrs.to_vec(),
            places: HashMap::new(),
            conns: HashMap::new(),
            at: 0,
            patience,
        }
    }

    fn ask_at(&mut self, addr: &str, words: &[&str]) -> Result<Reply, Failure> {
        let mut conn = match self.conns.remove(addr) {
            Some(conn) => conn,
            None => Redis::patient(addr, self.patience)?,
        };
        // One that failed is not kept: a late answer would be taken for another.
        let reply = conn.ask(words)?;
        self.conns.insert(addr.to_owned(), conn);
        Ok(reply)
    }

    /// Asks whoever has the tag, each node at most once and whom it names.
    fn ask(&mut self, tag: usize, words: &[&str]) -> Result<Reply, String> {
        let mut addr = self.places.get(&tag).unwrap_or(&self.addrs[0]).clone();
        let mut why = String::new();
        for _ in 0..self.addrs.len() + 2 {
            match self.ask_at(&addr, words) {
                Ok(Reply::Error(error)) => {
                    let moved = error.strip_prefix("MOVED ").and_then(|rest| rest.split(' ').nth(1));
                    // Whoever is dead is still named for a while.
                    let moved = moved.filter(|to| !why.contains(*to)).map(str::to_owned);
                    addr = moved.unwrap_or_else(|| self.next());
                    why = error;
                }
                Ok(reply) => {
                    self.places.insert(tag, addr);
                    return Ok(reply);
                }
                Err(error) => {
                    // Whatever else was there is looked for anew, as clients do that keep a map of the slots.
                    self.places.retain(|_, place| *place != addr);
                    why = format!("{addr}: {error}");
                    addr = self.next();
                }
            }
        }
        Err(why)
    }

    fn next(&mut self) -> String {
        self.at += 1;
        self.addrs[self.at % self.addrs.len()].clone()
    }
}

impl Store for Client {
    fn set(&mut self, tag: usize, key: &str) -> Result<(), String> {
        match self.ask(tag, &["SET", key, "1"])? {
            Reply::Word(word) if word == "OK" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }

    fn home(&mut self) {}
}

pub fn run(asked: &Outage, tags: &[String], timeout_ms: &str) -> Result<Measured, Failure> {
    let mut cluster = RedisCluster::start(&asked.place, &["--cluster-node-timeout", timeout_ms])?;
    let client = |_| -> Box<dyn Store> { Box::new(Client::new(&cluster.addrs, asked.client_patience())) };
    let writers = (0..asked.writers).map(client).collect();
    let writers = Writers::start(writers, tags, asked.rate);
    let mut measured = Measured::default();
    for trial in 0..asked.redis_trials as usize {
        let (masters, owners) = cluster.owners(tags)?;
        let victim = masters[trial % masters.len()];
        let owned: Vec<usize> = (0..tags.len()).filter(|tag| owners[*tag] == victim).collect();
        let now = Instant::now();
        writers.hurry(&owned);
        let (quiet, _) = writers.await_each(&owned, (now, now), PATIENCE)?;
        measured.quiet.extend(quiet);
        let killed = match asked.freeze {
            true => cluster.freeze(victim)?,
            false => cluster.kill(victim)?,
        };
        let (partitions, each) = writers.await_each(&owned, killed, PATIENCE)?;
        let longest = partitions.iter().max().copied().unwrap_or_default();
        writers.at_ease();
        if asked.freeze {
            cluster.kill(victim)?;
        }
        let again = Instant::now();
        cluster.boot(victim)?;
        cluster.settled()?;
        let repaired = again.elapsed();
        eprintln!(
            "redis with {timeout_ms} ms, kill {trial}: {} partitions, the last after {} ms; back in {} ms",
            owned.len(),
            longest.as_millis(),
            repaired.as_millis()
        );
        measured.partitions.extend(partitions);
        measured.writers.extend(each);
        measured.repairs.push(repaired);
    }
    let (acked, refused) = writers.stop()?;
    let mut reader = Client::new(&cluster.addrs, asked.client_patience());
    for ack in &acked {
        let key = ack.key(tags);
        if reader.ask(ack.tag, &["GET", &key])? == Reply::Bytes(None) {
            measured.lost.push(key);
        }
    }
    (measured.acknowledged, measured.refused) = (acked.len(), refused);
    Ok(measured)
}
