//! Waiting until replicas have what was written.
//!
//! Each step asks a few of the waits something, and there may be thousands: what it asks by has an index of its own.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::cluster::{Placement, Tally};
use crate::crdt::Record;
use crate::env::{NodeId, Ticket};
use crate::partition::PartitionId;
use crate::store::RecordKey;
use crate::wire::Consistency;

/// Writes that wait for replicas.
#[derive(Debug, Serialize, Deserialize)]
pub struct Wait {
    /// The request, and which of its operations.
    pub of: (u64, Vec<usize>),
    /// How many replicas must have it.
    pub level: Consistency,
    /// Where it lies, if it matters who holds it.
    pub partition: Option<PartitionId>,
    /// Its replicas, as this node knows them.
    pub placement: Placement,
    /// What was written.
    pub keys: Vec<RecordKey>,
    /// Who has all of it on disk.
    pub has: BTreeSet<NodeId>,
    /// Which frames others have not confirmed yet.
    pub needs: BTreeMap<NodeId, BTreeSet<u64>>,
    /// For a read: what is shown once it is done.
    pub shows: Option<Box<Shown>>,
}

/// What a read by quorum found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The key.
    pub key: RecordKey,
    /// The greatest version that a majority had.
    pub record: Option<Record>,
}

impl Wait {
    /// How many replicas have it, and how many must.
    pub fn tally(&self, own: NodeId) -> Tally {
        let has = |node: NodeId| self.has.contains(&node);
        match self.level {
            Consistency::Eventual => Tally {
                have: usize::from(has(own)),
                need: 1,
                of: 1,
            },
            Consistency::Quorum => self.placement.majority(has),
            Consistency::Strong => self.placement.all(has),
        }
    }
}

/// All waits for replicas.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Unconfirmed {
    waits: BTreeMap<u64, Wait>,
    /// Those that began in this step.
    begun: Vec<u64>,
    /// Those whose ticket is not durable, and some that are over.
    tickets: BTreeSet<(Ticket, u64)>,
    /// Those that are still to be sent.
    fresh: BTreeSet<u64>,
    /// Those that need a frame to be confirmed: by whom, and the frame's number.
    needed: BTreeSet<(NodeId, u64, u64)>,
    /// Those of which it is to be looked whether enough replicas have what they are about.
    touched: BTreeSet<u64>,
}

impl Unconfirmed {
    /// One more. `fresh`: it is to be sent to those who hold it and do not have it.
    pub(super) fn add(&mut self, number: u64, wait: Wait, fresh: bool) {
        self.begun.push(number);
        self.touched.insert(number);
        if fresh {
            self.fresh.insert(number);
        }
        self.waits.insert(number, wait);
    }

    /// Whether nothing is waited for, and no index holds anything.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        let sets = [&self.fresh, &self.touched].map(BTreeSet::is_empty);
        let indexes = self.tickets.is_empty() && self.needed.is_empty() && self.begun.is_empty();
        self.waits.is_empty() && indexes && sets == [true; 2]
    }

    /// One of them.
    pub fn get(&self, number: u64) -> Option<&Wait> {
        self.waits.get(&number)
    }

    /// What began in this step is durable with this ticket; with none, it is.
    pub fn set_tickets(&mut self, ticket: Option<Ticket>, own: NodeId) {
        for number in core::mem::take(&mut self.begun) {
            match ticket {
                Some(ticket) => _ = self.tickets.insert((ticket, number)),
                None => self.have(number, own),
            }
        }
    }

    /// A replica has all that a wait is about.
    fn have(&mut self, number: u64, node: NodeId) {
        if let Some(wait) = self.waits.get_mut(&number) {
            wait.has.insert(node);
            self.touched.insert(number);
        }
    }

    /// Whether anything is still to be sent.
    pub fn is_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// What is to be sent to whom: what is new to all who do not have it, and the rest to those who were owed something.
    pub fn to_be_sent(&self, owed: &BTreeSet<NodeId>, own: NodeId) -> Vec<(u64, NodeId)> {
        let holders = |wait: &'_ Wait| -> Vec<NodeId> {
            let others = wait.placement.holders();
            others.filter(|node| *node != own && !wait.has.contains(node)).collect()
        };
        let fresh = self
            .fresh
            .iter()
            .filter_map(|number| Some((number, self.waits.get(number)?)));
        let fresh = fresh.flat_map(|(number, wait)| holders(wait).into_iter().map(|node| (*number, node)));
        let mut all: Vec<(u64, NodeId)> = fresh.collect();
        if !owed.is_empty() {
            for (number, wait) in self.waits.iter().filter(|(number, _)| !self.fresh.contains(number)) {
                let owes = |node: &NodeId| owed.contains(node) && !wait.needs.contains_key(node);
                let nodes = holders(wait).into_iter().filter(owes);
                all.extend(nodes.map(|node| (*number, node)));
            }
        }
        all
    }

    /// What a wait is about.
    pub fn keys(&self, number: u64) -> &[RecordKey] {
        self.waits.get(&number).map_or(&[], |wait| &wait.keys)
    }

    /// All that was [to be sent](Self::to_be_sent) was, as far as there are numbers of frames that were sent to a node.
    pub fn were_sent(&mut self, all: &[(u64, NodeId)], frames: &BTreeMap<NodeId, Vec<u64>>) {
        for (number, node) in all {
            let frames = frames.get(node).filter(|frames| !frames.is_empty());
            if let (Some(wait), Some(frames)) = (self.waits.get_mut(number), frames) {
                let needs = wait.needs.insert(*node, frames.iter().copied().collect());
                for frame in needs.into_iter().flatten() {
                    self.needed.remove(&(*node, frame, *number));
                }
                self.needed.extend(frames.iter().map(|frame| (*node, *frame, *number)));
            }
        }
        self.fresh.clear();
    }

    /// Who is reached, or what is agreed, has changed: everything is sent again to those who do not have it. Where the placement is
    /// another, who has confirmed to an earlier version may count no more, and who counts now may lack it.
    pub fn send_again(&mut self, own: NodeId, placement: impl Fn(PartitionId) -> Option<Placement>) {
        for (number, wait) in &mut self.waits {
            let Some(now) = wait.partition.and_then(&placement) else {
                continue;
            };
            if now != wait.placement {
                wait.placement = now;
                wait.has.retain(|node| *node == own);
                unneed(&mut self.needed, *number, core::mem::take(&mut wait.needs));
                self.touched.insert(*number);
            }
            self.fresh.insert(*number);
        }
    }

    /// Takes the waits that are over: enough replicas have what they are about.
    pub fn take_done(&mut self, own: NodeId) -> Vec<Wait> {
        let touched = core::mem::take(&mut self.touched);
        let done = |number: &u64| self.waits.get(number).is_some_and(|wait| wait.tally(own).is_enough());
        let numbers: Vec<u64> = touched.into_iter().filter(done).collect();
        numbers.into_iter().filter_map(|number| self.remove(number)).collect()
    }

    /// Takes one that is not waited for any more.
    pub(super) fn remove(&mut self, number: u64) -> Option<Wait> {
        let mut wait = self.waits.remove(&number)?;
        self.fresh.remove(&number);
        unneed(&mut self.needed, number, core::mem::take(&mut wait.needs));
        Some(wait)
    }

    /// A node cannot be reached any more: what it was to confirm it will not.
    pub(super) fn lost(&mut self, node: NodeId) {
        for (number, wait) in &mut self.waits {
            let needs = wait.needs.remove_entry(&node);
            unneed(&mut self.needed, *number, needs.into_iter().collect());
        }
    }

    /// A node confirms frames.
    pub fn confirmed(&mut self, node: NodeId, numbers: &[u64]) {
        for frame in numbers {
            let of_frame = self.needed.range((node, *frame, 0)..=(node, *frame, u64::MAX));
            let waits: Vec<u64> = of_frame.map(|(_, _, number)| *number).collect();
            for number in waits {
                self.needed.remove(&(node, *frame, number));
                let Some(wait) = self.waits.get_mut(&number) else {
                    continue;
                };
                if let Some(needs) = wait.needs.get_mut(&node)
                    && needs.remove(frame)
                    && needs.is_empty()
                {
                    wait.needs.remove(&node);
                    self.have(number, node);
                }
            }
        }
    }

    /// All commits up to a ticket are durable.
    pub fn durable(&mut self, upto: Ticket, own: NodeId) {
        while let Some((ticket, number)) = self.tickets.first().copied()
            && ticket <= upto
        {
            self.tickets.pop_first();
            self.have(number, own);
        }
    }
}

/// A wait does not need these frames any more.
fn unneed(needed: &mut BTreeSet<(NodeId, u64, u64)>, number: u64, needs: BTreeMap<NodeId, BTreeSet<u64>>) {
    for (node, frames) in needs {
        for frame in frames {
            needed.remove(&(node, frame, number));
        }
    }
}
