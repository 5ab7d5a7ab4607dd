//! What is being waited for on behalf of clients: writes that other replicas must have, reads that they are asked for, and answers
//! of other nodes.
//!
//! A *gathering* is one request of a client (or of another node, on behalf of one of its clients), with a part for each of its
//! operations. A part is settled by a *wait* (replicas make a write durable), by an *ask* (another node sees to it), or at once.
//! When all parts are settled the request is answered; when its time is over, what is open is answered with what is known.

mod unconfirmed;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::cluster::Tally;
use crate::crdt::Record;
use crate::env::{ConnId, NodeId};
use crate::hlc::Stamp;
use crate::partition::PartitionId;
use crate::session::Floor;
use crate::store::RecordKey;
use crate::wire::Consistency;
use crate::wire::server::Refusal;
pub use unconfirmed::{Shown, Unconfirmed, Wait};

/// Everything that is being waited for.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Waits {
    numbers: u64,
    gatherings: BTreeMap<u64, Gathering>,
    deadlines: BTreeSet<(u64, u64)>,
    /// The waits for replicas.
    pub writes: Unconfirmed,
    asks: BTreeMap<u64, Ask>,
    reads: BTreeMap<u64, Reading>,
    /// The writes of each client that were not answered yet, in the order in which they came: so they are answered.
    queues: BTreeMap<ConnId, VecDeque<u64>>,
    /// Those of them that are settled, and wait for others before them.
    settled: BTreeMap<u64, Gathering>,
}

/// Who gets the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Asker {
    /// A client.
    Client {
        /// On which connection.
        conn: ConnId,
        /// Whether the answer is the body of an exchange.
        exchange: bool,
    },
    /// Another node.
    Node {
        /// On which connection.
        conn: ConnId,
        /// Its number for the request.
        request: u64,
    },
}

impl Asker {
    /// The connection that the answer goes to.
    pub fn conn(self) -> ConnId {
        match self {
            Asker::Client { conn, .. } | Asker::Node { conn, .. } => conn,
        }
    }
}

/// One request that cannot be answered yet.
#[derive(Debug, Serialize, Deserialize)]
pub struct Gathering {
    /// Its number.
    number: u64,
    /// Who gets the answer.
    pub asker: Asker,
    /// What was asked.
    pub parts: Parts,
    /// How many parts are not settled.
    open: usize,
    deadline_us: u64,
    /// What is waited for on its behalf, some of which may be over.
    waits: Vec<u64>,
    asks: Vec<u64>,
    reads: Vec<u64>,
}

/// What a request consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Parts {
    /// Writes.
    Ops(Vec<Part>),
    /// A read.
    Read {
        /// The client's name for it.
        id: Box<str>,
        /// What it is about.
        key: RecordKey,
        /// The answer is no older than this.
        floor: Option<Floor>,
    },
}

/// One write of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The client's name for it.
    pub id: Box<str>,
    /// What became of it, once that is known.
    pub outcome: Option<Result<Consistency, Refusal>>,
    /// What it is about, if its client is to be shown nothing older.
    pub about: Option<(RecordKey, Stamp)>,
}

/// Something that another node was asked on behalf of a request.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ask {
    /// The request, and which of its operations.
    pub of: (u64, Vec<usize>),
    /// Who was asked.
    pub node: NodeId,
}

/// A read by quorum, before a majority has answered.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reading {
    /// The request.
    pub of: u64,
    /// What.
    pub key: RecordKey,
    /// Where it lies.
    pub partition: PartitionId,
    /// What each replica has.
    pub held: BTreeMap<NodeId, Option<Record>>,
}

impl Waits {
    /// How many requests there are.
    pub fn len(&self) -> usize {
        self.gatherings.len()
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// A request whose parts are settled one by one: `open` of them are not.
    pub fn gather(&mut self, asker: Asker, parts: Parts, open: usize, deadline_us: u64) -> u64 {
        let number = self.number();
        self.deadlines.insert((deadline_us, number));
        if let (Asker::Client { conn, exchange: false }, Parts::Ops(_)) = (asker, &parts) {
            self.queues.entry(conn).or_default().push_back(number);
        }
        let gathering = Gathering {
            number,
            asker,
            parts,
            open,
            deadline_us,
            waits: Vec::new(),
            asks: Vec::new(),
            reads: Vec::new(),
        };
        self.gatherings.insert(number, gathering);
        number
    }

    /// Writes wait for replicas, and for the commit of this step. `fresh`: they are to be sent to those who hold them and do not have
    /// them.
    pub fn wait(&mut self, wait: Wait, fresh: bool) {
        let number = self.number();
        if let Some(gathering) = self.gatherings.get_mut(&wait.of.0) {
            gathering.waits.push(number);
        }
        self.writes.add(number, wait, fresh);
    }

    /// Another node was asked; its answer names the number that is returned.
    pub fn ask(&mut self, ask: Ask) -> u64 {
        let number = self.number();
        if let Some(gathering) = self.gatherings.get_mut(&ask.of.0) {
            gathering.asks.push(number);
        }
        self.asks.insert(number, ask);
        number
    }

    /// Replicas are asked what they have; their answers name the number that is returned.
    pub fn read(&mut self, reading: Reading) -> u64 {
        let number = self.number();
        if let Some(gathering) = self.gatherings.get_mut(&reading.of) {
            gathering.reads.push(number);
        }
        self.reads.insert(number, reading);
        number
    }

    /// Who asked for a read that is under way, and what it must at least show.
    pub fn reader(&self, number: u64) -> Option<(Asker, Option<Floor>)> {
        let gathering = self.gatherings.get(&number)?;
        match gathering.parts {
            Parts::Read { floor, .. } => Some((gathering.asker, floor)),
            Parts::Ops(_) => None,
        }
    }

    /// What the read that a node is asked for must at least show.
    pub fn floor_of(&self, request: u64) -> Option<Floor> {
        let (of, _) = &self.asks.get(&request)?.of;
        match self.gatherings.get(of)?.parts {
            Parts::Read { floor, .. } => floor,
            Parts::Ops(_) => None,
        }
    }

    /// An answer came to what a node was asked; nothing, if it was not, or is not awaited any more.
    pub fn answered(&mut self, request: u64, node: NodeId) -> Option<Ask> {
        if self.asks.get(&request)?.node != node {
            return None;
        }
        self.asks.remove(&request)
    }

    /// A read that is under way.
    pub fn reading(&mut self, request: u64) -> Option<&mut Reading> {
        self.reads.get_mut(&request)
    }

    /// Takes a read whose majority is complete.
    pub fn take_reading(&mut self, request: u64) -> Option<Reading> {
        self.reads.remove(&request)
    }

    /// Settles operations of a request. It is returned once all are.
    pub fn settle(
        &mut self,
        of: &(u64, Vec<usize>),
        results: impl Iterator<Item = Result<Consistency, Refusal>>,
    ) -> Option<Gathering> {
        let (number, at) = of;
        let gathering = self.gatherings.get_mut(number)?;
        if let Parts::Ops(ops) = &mut gathering.parts {
            for (at, result) in at.iter().zip(results) {
                if let Some(part) = ops.get_mut(*at).filter(|part| part.outcome.is_none()) {
                    part.outcome = Some(result);
                    gathering.open -= 1;
                }
            }
        }
        (gathering.open == 0).then(|| self.end(*number)).flatten()
    }

    /// Takes a request, whatever of it is settled. Nothing is waited for on its behalf any more.
    pub fn end(&mut self, number: u64) -> Option<Gathering> {
        let gathering = self.gatherings.remove(&number)?;
        self.deadlines.remove(&(gathering.deadline_us, number));
        gathering.waits.iter().for_each(|wait| _ = self.writes.remove(*wait));
        gathering.asks.iter().for_each(|ask| _ = self.asks.remove(ask));
        gathering.reads.iter().for_each(|read| _ = self.reads.remove(read));
        Some(gathering)
    }

    /// Whether writes of a client wait for their answer: what is asked after them is answered after them.
    pub fn is_queued(&self, conn: ConnId) -> bool {
        self.queues.contains_key(&conn)
    }

    /// A request is settled. Given are those that can be answered now, in their order: writes of a client wait for those before them.
    pub fn in_turn(&mut self, gathering: Gathering) -> Vec<Gathering> {
        let conn = gathering.asker.conn();
        let queued = self
            .queues
            .get(&conn)
            .is_some_and(|queue| queue.contains(&gathering.number));
        if !queued {
            return alloc::vec![gathering];
        }
        self.settled.insert(gathering.number, gathering);
        let mut ready = Vec::new();
        while let Some(queue) = self.queues.get_mut(&conn)
            && let Some(first) = queue.front()
            && let Some(gathering) = self.settled.remove(first)
        {
            ready.push(gathering);
            queue.pop_front();
            if queue.is_empty() {
                self.queues.remove(&conn);
            }
        }
        ready
    }

    /// A client is gone: nobody waits for its answers.
    pub fn forget(&mut self, conn: ConnId) {
        for number in self.queues.remove(&conn).unwrap_or_default() {
            self.settled.remove(&number);
        }
    }

    /// The first request whose time is over.
    pub fn overdue(&self, now_us: u64) -> Option<u64> {
        let (deadline_us, number) = self.deadlines.first()?;
        (*deadline_us <= now_us).then_some(*number)
    }

    /// When the next one's time is over.
    pub fn wake_us(&self) -> Option<u64> {
        self.deadlines.first().map(|(deadline_us, _)| *deadline_us)
    }

    /// What the replicas of a request have of what it waits for, for people: the wait that lacks most.
    pub fn progress(&self, number: u64, own: NodeId) -> Option<Tally> {
        let numbers = &self.gatherings.get(&number)?.waits;
        let waits = numbers.iter().filter_map(|number| self.writes.get(*number));
        waits.map(|wait| wait.tally(own)).min_by_key(|tally| tally.have)
    }

    /// Takes what a node was asked: it cannot be reached any more. What it was to confirm it will not.
    pub fn lost(&mut self, node: NodeId) -> Vec<Ask> {
        self.writes.lost(node);
        let numbers: Vec<u64> = self
            .asks
            .iter()
            .filter(|(_, ask)| ask.node == node)
            .map(|(number, _)| *number)
            .collect();
        numbers.iter().filter_map(|number| self.asks.remove(number)).collect()
    }

    /// Takes all requests: what this node had in memory is gone.
    pub fn abandon(&mut self) -> Vec<Gathering> {
        let numbers: Vec<u64> = self.gatherings.keys().copied().collect();
        let mut all: Vec<Gathering> = numbers.into_iter().filter_map(|number| self.end(number)).collect();
        // What was settled and waited for its turn is as good as it was.
        all.extend(core::mem::take(&mut self.settled).into_values());
        all.sort_by_key(|gathering| gathering.number);
        self.queues.clear();
        self.writes = Unconfirmed::default();
        all
    }
}

#[cfg(test)]
mod tests;
