//! How what changes here gets to the other replicas, and how it is known that it has.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::cluster::Placement;
use crate::crdt::Record;
use crate::env::{ConnId, Mutant, NodeId, Now, Rare, Ticket};
use crate::node::Node;
use crate::partition::PartitionId;
use crate::session::Shows;
use crate::store::RecordKey;
use crate::wire::cluster::Word;
use crate::wire::peer;

impl Node {
    /// Gives what this step changed to every other holder of its partition that is linked, but the one it came from; and what has to
    /// be confirmed to those who have not confirmed it.
    pub(super) fn forward(&mut self) {
        let owed = self.owed();
        let Some(state) = self.membership.state() else {
            return;
        };
        let own = self.membership.id();
        let epoch = self.membership.epoch();
        let writes = &self.waits.writes;
        let to_be_sent = writes.to_be_sent(&owed, own);
        let mut awaited: BTreeMap<NodeId, Vec<u64>> = BTreeMap::new();
        for (number, node) in &to_be_sent {
            awaited.entry(*node).or_default().push(*number);
        }
        let changed: BTreeSet<&RecordKey> = self.store.staged().iter().map(|change| &change.key).collect();
        let mut links: Vec<(NodeId, ConnId)> = self.peers.nodes().collect();
        if self.config.mutants.is(Mutant::HashOrder) {
            let mut conns: Vec<ConnId> = links.iter().map(|(_, conn)| *conn).collect();
            self.config.mutants.hash_order(&mut conns);
            links = conns
                .into_iter()
                .filter_map(|conn| Some((self.peers.node_at(conn)?, conn)))
                .collect();
        }
        let staged = self.store.staged().len() as u64;
        let mut sent: BTreeMap<NodeId, Vec<u64>> = BTreeMap::new();
        for (node, conn) in links {
            if let Some(link) = self.peers.link(conn).filter(|_| owed.contains(&node)) {
                link.owes = false;
            }
            let awaited = awaited.get(&node);
            let from_here = self.source != Some(conn) || self.config.mutants.is(Mutant::EchoChanges);
            if (staged == 0 || !from_here) && awaited.is_none() {
                continue;
            }
            let place = self.tickets.0 << 32 ^ conn.0;
            // What is owed is not skipped again: nothing may happen after this step.
            let skips = !owed.contains(&node) && self.config.rare.happens(Rare::SkipForward, place);
            if self.conns.is_full(conn, &self.config.limits) || skips {
                self.taken.note(Rare::SkipForward);
                self.peers.falls_behind(conn);
                if let Some(link) = self.peers.link(conn) {
                    link.owes |= awaited.is_some();
                    link.skipped += 1;
                }
                continue;
            }
            let holds = |key: &RecordKey| state.placement(self.store.partition_of(key)).holds(node);
            let new = self
                .store
                .staged()
                .iter()
                .filter(|change| from_here && holds(&change.key));
            let mut rows: Vec<(RecordKey, Record)> =
                new.map(|change| (change.key.clone(), change.record.clone())).collect();
            // What is waited for, and was there before this step or came from that node.
            let numbers = awaited.into_iter().flatten();
            let keys = numbers.flat_map(|number| self.waits.writes.keys(*number));
            let is_among = |key: &&RecordKey| from_here && changed.contains(key) && holds(key);
            let old: BTreeSet<&RecordKey> = keys.filter(|key| !is_among(key)).collect();
            let held = |key: &&RecordKey| Some(((*key).clone(), Record::new(&self.store.get(key)?)));
            rows.extend(old.iter().filter_map(held));
            if rows.is_empty() {
                continue;
            }
            let link = self.peers.link(conn);
            let numbers = sent.entry(node).or_default();
            let frames = peer::changes(
                rows.iter().map(|(key, record)| (key, record)),
                epoch,
                self.config.limits.chunk_bytes,
                || {
                    self.numbers += 1;
                    awaited.is_some().then(|| {
                        numbers.push(self.numbers);
                        self.numbers
                    })
                },
            );
            if let Some(link) = link {
                link.given += rows.len() as u64;
            }
            self.tally.forwarded += rows.len() as u64;
            for frame in frames {
                self.outbox.push(conn, frame, Shows::State);
            }
        }
        self.waits.writes.were_sent(&to_be_sent, &sent);
        self.peers.count_missed(staged);
    }

    /// The nodes whose links were full when something was to be sent that is waited for, and have room again.
    pub(super) fn owed(&mut self) -> BTreeSet<NodeId> {
        let links: Vec<(NodeId, ConnId)> = self.peers.nodes().collect();
        // All of it goes at once, and may be much.
        let room = self.config.limits.unsent_bytes / 2;
        let owed = links.into_iter().filter(|(_, conn)| {
            let owes = self.peers.link(*conn).is_some_and(|link| link.owes);
            owes && self.conns.get(*conn).is_some_and(|conn| conn.unsent_bytes <= room)
        });
        owed.map(|(node, _)| node).collect()
    }

    /// Confirms what this step took from each node, once it is durable.
    pub(super) fn confirm(&mut self) {
        for (conn, numbers) in core::mem::take(&mut self.to_confirm) {
            self.outbox.push(conn, Word::Taken(numbers).to_frame(), Shows::Ack);
        }
    }

    /// What waits for a node, or for this one, is looked at again: who is reached, or what is agreed, has changed.
    pub(super) fn send_again(&mut self) {
        let own = self.membership.id();
        let mut writes = core::mem::take(&mut self.waits.writes);
        writes.send_again(own, |partition| self.voters(partition));
        self.waits.writes = writes;
    }

    /// Where a partition lies: whose majority is asked for, whoever of them is reached.
    pub(super) fn voters(&self, partition: PartitionId) -> Option<Placement> {
        let mut placement = self.membership.state()?.placement(partition).clone();
        let (own, mutants) = (self.membership.id(), self.config.mutants);
        if mutants.is(Mutant::OldMajorityForgotten) && placement.is_moving() {
            placement.replicas = core::mem::take(&mut placement.target);
        }
        if mutants.is(Mutant::QuorumOfTheLiving) {
            let reached = |node: &NodeId| *node == own || self.peers.to(*node).is_some();
            placement.replicas.retain(reached);
            placement.target.retain(reached);
        }
        Some(placement)
    }

    /// All commits up to a ticket are durable here.
    pub(super) fn own_copy_durable(&mut self, upto: Ticket) {
        let own = self.membership.id();
        self.waits.writes.durable(upto, own);
    }

    /// Answers what has been waited for long enough, or successfully.
    pub(super) fn settle_waits(&mut self, now: Now) {
        let own = self.membership.id();
        for wait in self.waits.writes.take_done(own) {
            if let Some(shown) = &wait.shows {
                self.show(wait.of.0, shown, now);
                continue;
            }
            let results = wait.of.1.iter().map(|_| Ok(wait.level));
            if let Some(gathering) = self.waits.settle(&wait.of, results) {
                self.answer(gathering, now);
            }
        }
        while let Some(number) = self.waits.overdue(now.mono_us) {
            let progress = self.waits.progress(number, own);
            if let Some(gathering) = self.waits.end(number) {
                self.answer_late(gathering, progress, now);
            }
        }
    }
}
