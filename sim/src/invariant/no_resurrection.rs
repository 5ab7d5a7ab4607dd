//! **Promises** that what is deleted does not come back: after a node has acknowledged a delete, or has answered somebody who had
//! read a value there that there is none any more, nobody reads that value or an older one at that node again; and in the end
//! it is nowhere.
//! **From** rule 1 of the promises; the counterexample is a tombstone that was collected too early, and a replica or a
//! backup that brings back what it had deleted (the doomstones of Cassandra and Riak). Compared is what clients were told
//! before they asked, in whichever session, with what they were then shown: an answer reflects all that the node had said
//! when it was asked.
//!
//! In a cluster of more than one a node answers with what the acting owner has. That may be another one by then, which lacks what one
//! replica alone had acknowledged: only the session that was told of the delete is protected from that. So compared is what was
//! said on the same connection, and all of it in the end. A delete that one replica alone had acknowledged may be lost with its disk;
//! one that is settled had reached them all.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kernel::env::ConnId;

use super::nothing_invented::name;
use super::{Invariant, Seen, Survivor};
use crate::client::{Said, Talk};
use crate::model::{State, Version, merge, show, state_of};
use crate::replicas::partition_of;
use crate::written::Written;

/// See the module.
#[derive(Debug, Default)]
pub struct NoResurrection {
    written: Written,
    nodes: BTreeMap<usize, Node>,
    /// The connection on which each client talked last, and the disk that the node had when it began to.
    conns: BTreeMap<usize, (ConnId, u64)>,
    /// What was known of a record when it was asked for, the first time on a connection, by client and number: the latest version
    /// that was shown, and the one that is dead.
    asked: BTreeMap<(usize, u64), Known>,
    /// The nodes that ever were up.
    up: BTreeSet<usize>,
    /// The highest floor that was seen: what was deleted by then all replicas had heard of.
    floor: u64,
}

/// What a node has told its clients.
#[derive(Debug, Default)]
struct Node {
    /// How often its disk was replaced by another.
    disk: u64,
    /// Whoever was told.
    to_all: Told,
    /// What was said on each connection. Their numbers begin anew when the node does, and who had one may still hear the last of it.
    on: BTreeMap<(usize, ConnId), Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// The latest version shown.
    shown: State,
    /// The latest version that is dead, and all before it.
    dead: State,
}

impl Node {
    fn told(&mut self, conn: (usize, ConnId)) -> [&mut Told; 2] {
        [&mut self.to_all, self.on.entry(conn).or_default()]
    }

    fn dies(&mut self, conn: (usize, ConnId), key: &Bytes, version: &Version) {
        for told in self.told(conn) {
            merge(&mut told.dead, key, version);
        }
    }
}

#[derive(Debug)]
struct Known {
    conn: ConnId,
    shown: Option<Version>,
    dead: Option<Version>,
}

impl NoResurrection {
    fn hear(&mut self, client: usize, talk: &Talk) -> Result<(), String> {
        let node = talk.node;
        let told = self.nodes.entry(node).or_default();
        let line = self.conns.entry(client).or_insert((talk.conn, told.disk));
        if line.0 != talk.conn {
            *line = (talk.conn, told.disk);
        }
        if line.1 != told.disk {
            // It was on its way when the node went down, and came back with another disk.
            return Ok(());
        }
        match &talk.said {
            Said::Done { write, .. } if write.version.value.is_none() => {
                told.dies((client, talk.conn), &write.key, &write.version);
            }
            Said::AsksToRead { request, key, .. } => {
                let [to_all, here] = told.told((client, talk.conn));
                let owed = if self.up.len() < 2 { to_all } else { here };
                let known = Known {
                    conn: talk.conn,
                    shown: owed.shown.get(key).cloned(),
                    dead: owed.dead.get(key).cloned(),
                };
                let before = self.asked.get(&(client, *request));
                if before.is_none_or(|before| before.conn != talk.conn) {
                    self.asked.insert((client, *request), known);
                }
            }
            Said::Found { request, key, found } => {
                let Some(known) = self.asked.remove(&(client, *request)) else {
                    return Ok(());
                };
                let version = found.as_ref().and_then(|found| self.written.find(key, found));
                match (version, found) {
                    (Some(version), _) if known.dead.as_ref().is_some_and(|dead| version <= dead) => {
                        let (shown, dead) = (show(key, Some(version)), show(key, known.dead.as_ref()));
                        return Err(format!(
                            "what is gone at n{node} stays gone; it said that {dead} is, and showed c{client} {shown}"
                        ));
                    }
                    (Some(version), _) => {
                        for told in told.told((client, talk.conn)) {
                            merge(&mut told.shown, key, version);
                        }
                    }
                    (None, None) => {
                        if let Some(shown) = known.shown {
                            told.dies((client, talk.conn), key, &shown);
                        }
                    }
                    // Nobody wrote it: another promise is broken.
                    (None, Some(_)) => {}
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// In the end nobody holds a value that is dead, unless it is one that has expired and waits to be collected.
    fn rest(&self, survivors: &[Survivor<'_>]) -> Result<(), String> {
        for (by, node) in &self.nodes {
            for (key, dead) in &node.to_all.dead {
                let alive = |held: &&Version| {
                    let expired = *held == dead && held.ttl_ms.is_some();
                    held.value.is_some() && *held <= dead && !expired
                };
                // What a node has that it is no replica of is nobody's answer.
                let partition = partition_of(key);
                let replicas = survivors.iter().filter(|left| left.replica_of.holds(partition));
                let held = replicas.map(|left| (left.node, left.memory.get(key)));
                let back = held.filter_map(|(at, held)| Some((at, held.filter(alive)?)));
                if let Some((at, held)) = back.into_iter().next() {
                    let (held, key) = (show(key, Some(held)), name(key));
                    return Err(format!("n{by} said that {key} is gone; in the end n{at} has {held}"));
                }
            }
        }
        Ok(())
    }
}

impl Invariant for NoResurrection {
    fn name(&self) -> &'static str {
        "no-resurrection"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Wrote(write) => {
                self.written.add(write);
                Ok(())
            }
            Seen::Booted { node } => {
                self.up.insert(*node);
                Ok(())
            }
            Seen::Talked { client, talk } => self.hear(*client, talk),
            Seen::Quiet { nodes, .. } => self.rest(nodes),
            Seen::Sampled { holdings } => {
                self.floor = holdings.iter().map(|held| held.floor).fold(self.floor, u64::max);
                Ok(())
            }
            // What only its old disk knew is known no more, whichever node had told of it.
            Seen::DiskChanged { node, disks } => {
                let left: Vec<State> = disks
                    .iter()
                    .flatten()
                    .map(|disk| state_of(disk))
                    .collect::<Result<_, _>>()?;
                let held = |key: &Bytes| left.iter().filter_map(|state| state.get(key)).collect::<Vec<_>>();
                for told in self.nodes.values_mut() {
                    told.to_all.dead.retain(|key, dead| {
                        let held = held(key);
                        let is_back = held.iter().any(|held| held.value.is_some() && *held < dead);
                        let is_settled = dead.stamp.time() <= self.floor;
                        is_settled || !is_back || held.iter().any(|held| *held >= dead)
                    });
                }
                let told = self.nodes.entry(*node).or_default();
                let disk = told.disk + 1;
                *told = Node {
                    disk,
                    ..Node::default()
                };
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
