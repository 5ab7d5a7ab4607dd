//! Filling what moves here: taking over what a majority of the old replicas hold, each of which has adopted the move.
//!
//! A *pull* walks through one partition of one old replica, a chunk at a time, in the order of its positions. Whatever the
//! replica held when the pull began is met, as it was or in a later version. Nothing depends on an answer coming: it is asked for
//! again.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::crdt::Record;
use crate::env::{ConnId, Mutant, NodeId, Now};
use crate::node::Node;
use crate::partition::PartitionId;
use crate::session::Shows;
use crate::store::{Position, RecordKey, change_bytes};
use crate::wire::cluster::Word;

/// How long a pull waits before it asks again, and a node that is filled before it says so again.
const AGAIN_US: u64 = 1_000_000;

/// The moves towards this node.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Fills {
    /// Partitions that move and whose target this node belongs to, and the version that opened the move.
    open: Vec<(PartitionId, u64)>,
    /// From whom each has been taken over.
    done: BTreeMap<(PartitionId, u64), BTreeSet<NodeId>>,
    /// What is under way.
    pulls: BTreeMap<(PartitionId, NodeId), Pull>,
    /// When it was last said what is filled.
    told_us: Option<u64>,
    /// There may be something to begin.
    stirred: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Pull {
    since: u64,
    /// Where it goes on.
    from: Option<Bytes>,
    asked_us: u64,
}

impl Fills {
    /// A node cannot be reached any more.
    pub fn lost(&mut self, node: NodeId) {
        self.pulls.retain(|(_, from), _| *from != node);
        self.stirred = true;
    }

    /// Somebody may have adopted a move, or can be reached now.
    pub fn stir(&mut self) {
        self.stirred = true;
    }

    /// How many moves towards this node are open.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// How many of them are being filled.
    pub fn at_once(&self) -> usize {
        self.pulls.len()
    }

    /// When something here is due.
    pub fn wake_us(&self) -> Option<u64> {
        let pulls = self.pulls.values().map(|pull| pull.asked_us + AGAIN_US);
        let told = self
            .told_us
            .filter(|_| !self.open.is_empty())
            .map(|told_us| told_us + AGAIN_US);
        pulls.chain(told).min()
    }
}

impl Node {
    /// The cluster's state is another one.
    pub(super) fn aim_fills(&mut self) {
        let own = self.membership.id();
        let fills = &mut self.fills;
        fills.open.clear();
        if let Some(state) = self.membership.state() {
            for id in PartitionId::all() {
                let placement = state.placement(id);
                if placement.is_moving() && placement.target.contains(&own) {
                    fills.open.push((id, placement.since));
                }
            }
        }
        let open = &fills.open;
        fills.done.retain(|name, _| open.contains(name));
        fills.pulls.retain(|(id, _), pull| open.contains(&(*id, pull.since)));
        fills.stirred = true;
    }

    /// Begins what can begin, asks again for what did not come, and says what is filled.
    pub(super) fn fill_timers(&mut self, now: Now) {
        if self.fills.open.is_empty() {
            return;
        }
        if core::mem::take(&mut self.fills.stirred) {
            self.begin_pulls(now);
        }
        let again = |pull: &Pull| pull.asked_us + AGAIN_US <= now.mono_us;
        let late: Vec<_> = self
            .fills
            .pulls
            .iter()
            .filter(|(_, pull)| again(pull))
            .map(|(name, _)| *name)
            .collect();
        for (id, node) in late {
            self.pull(id, node, now);
        }
        if self
            .fills
            .told_us
            .is_none_or(|told_us| told_us + AGAIN_US <= now.mono_us)
        {
            self.tell_filled(now);
            self.fills.stirred = true;
        }
    }

    fn begin_pulls(&mut self, now: Now) {
        let own = self.membership.id();
        for (id, since) in self.fills.open.clone() {
            let Some(placement) = self.membership.state().map(|state| state.placement(id).clone()) else {
                return;
            };
            if self.has_filled(id, since) {
                continue;
            }
            for node in placement.replicas.iter().copied().filter(|node| *node != own) {
                if self.fills.pulls.len() >= self.config.limits.moves_at_once {
                    return;
                }
                let known = self
                    .fills
                    .done
                    .get(&(id, since))
                    .is_some_and(|done| done.contains(&node));
                let adopted = self
                    .peers
                    .to(node)
                    .and_then(|conn| self.peers.link(conn)?.remote().map(|remote| remote.epoch));
                let adopted =
                    adopted.is_some_and(|epoch| epoch >= since || self.config.mutants.is(Mutant::FillBeforePromise));
                if !known && adopted && !self.fills.pulls.contains_key(&(id, node)) {
                    let pull = Pull {
                        since,
                        from: None,
                        asked_us: now.mono_us,
                    };
                    self.fills.pulls.insert((id, node), pull);
                    self.pull(id, node, now);
                }
            }
        }
    }

    /// Whether this node has taken over from a majority of the old replicas, as far as it is one of the target.
    fn has_filled(&self, id: PartitionId, since: u64) -> bool {
        let own = self.membership.id();
        let done = self.fills.done.get(&(id, since));
        let placement = self.membership.state().map(|state| state.placement(id));
        let one_is_enough = self.config.mutants.is(Mutant::WholeTooEarly) && done.is_some_and(|done| !done.is_empty());
        one_is_enough
            || placement
                .is_some_and(|placement| placement.fills(own, |node| done.is_some_and(|done| done.contains(&node))))
    }

    /// Asks for the next chunk.
    fn pull(&mut self, id: PartitionId, node: NodeId, now: Now) {
        let Some(conn) = self.peers.to(node) else {
            self.fills.pulls.remove(&(id, node));
            return;
        };
        let digest = self.store.partition(id).digest();
        let Some(pull) = self.fills.pulls.get_mut(&(id, node)) else {
            return;
        };
        pull.asked_us = now.mono_us;
        let word = Word::Pull {
            partition: id,
            since: pull.since,
            from: pull.from.as_deref(),
            digest,
        };
        self.outbox.push(conn, word.to_frame(), Shows::State);
    }

    /// A node that is being filled asks for what is here. It is told only what it could not be told before the move: this node has
    /// adopted it, and confirms nothing to who has not.
    pub(super) fn give_part(
        &mut self,
        conn: ConnId,
        partition: PartitionId,
        since: u64,
        from: Option<&[u8]>,
        digest: u128,
    ) {
        if self.membership.epoch() < since && !self.config.mutants.is(Mutant::FillBeforePromise) {
            return;
        }
        if self.conns.is_full(conn, &self.config.limits) {
            return;
        }
        let maps = self.store.partition(partition);
        let mut rows = Vec::new();
        let mut next = None;
        let mut bytes = 0;
        if from.is_some() || maps.digest() != digest {
            let mut last = None;
            for (map, row) in maps.rows_from(from.and_then(Position::from_bytes)) {
                let position = Position { map, place: row.place };
                // A position's rows go together: there is no name for a place between them.
                if bytes >= self.config.limits.chunk_bytes && last != Some(position) {
                    next = Some(position.to_bytes());
                    break;
                }
                last = Some(position);
                let (key, record) = (RecordKey::of_row(map, row.key), Record::new(&row.version));
                bytes += key.as_bytes().len() + record.as_bytes().len();
                rows.push((key, record));
            }
        }
        let rows: Vec<(&[u8], &[u8])> = rows
            .iter()
            .map(|(key, record)| (&key.as_bytes()[..], &record.as_bytes()[..]))
            .collect();
        let word = Word::Part {
            partition,
            since,
            from,
            rows,
            next: next.as_deref(),
        };
        self.tally.moved_bytes += bytes as u64;
        self.outbox.push(conn, word.to_frame(), Shows::State);
    }

    /// A part of what moves here has come.
    pub(super) fn take_part(&mut self, node: NodeId, part: Part<'_>, now: Now) {
        let Part {
            partition,
            since,
            from,
            rows,
            next,
        } = part;
        let awaited = |pull: &Pull| pull.since == since && pull.from.as_deref() == from;
        if !self.fills.pulls.get(&(partition, node)).is_some_and(awaited) {
            return;
        }
        for (key, record) in rows {
            let limits = &self.config.limits;
            let key = RecordKey::decode(Bytes::copy_from_slice(key), limits);
            let record = Record::decode(Bytes::copy_from_slice(record), limits);
            let (Ok(key), Ok(record)) = (key, record) else {
                // A record beyond this node's limits: it cannot hold the partition.
                return;
            };
            if self.store.partition_of(&key) != partition {
                return;
            }
            let version = record.version();
            if !self.store.partition(partition).would_change(&key, &version) {
                continue;
            }
            if self
                .store
                .room_for(change_bytes(key.as_bytes().len(), record.as_bytes().len()))
                .is_err()
            {
                // It is asked for again when there may be room.
                self.store.fell_short();
                return;
            }
            self.hlc.observe(version.stamp);
            self.store.merge(key, record);
            self.tally.taken += 1;
        }
        match next {
            Some(next) => {
                if let Some(pull) = self.fills.pulls.get_mut(&(partition, node)) {
                    pull.from = Some(Bytes::copy_from_slice(next));
                }
                self.pull(partition, node, now);
            }
            None => {
                self.fills.pulls.remove(&(partition, node));
                self.fills.done.entry((partition, since)).or_default().insert(node);
                self.fills.stirred = true;
                if self.has_filled(partition, since) && self.fills.pulls.is_empty() {
                    self.fills.told_us = None;
                }
            }
        }
    }

    /// Says what is filled: to all, for any of them may propose to close it.
    fn tell_filled(&mut self, now: Now) {
        self.fills.told_us = Some(now.mono_us);
        let open = self.fills.open.clone();
        let filled: Vec<_> = open
            .into_iter()
            .filter(|(id, since)| self.has_filled(*id, *since))
            .collect();
        if filled.is_empty() {
            return;
        }
        let own = self.membership.id();
        self.filled(own, &filled, now);
        let frame = Word::Filled(filled).to_frame();
        let links: Vec<ConnId> = self.peers.nodes().map(|(_, conn)| conn).collect();
        for conn in links {
            self.outbox.push(conn, frame.clone(), Shows::State);
        }
    }
}

/// A chunk of a partition, as [`Word::Part`] brings it.
pub struct Part<'a> {
    /// The partition.
    pub partition: PartitionId,
    /// The version that opened the move.
    pub since: u64,
    /// Where it begins.
    pub from: Option<&'a [u8]>,
    /// Record keys and records.
    pub rows: Vec<(&'a [u8], &'a [u8])>,
    /// Where the next one begins; nowhere, if this is the last.
    pub next: Option<&'a [u8]>,
}
