//! Filling what moves here: taking over what a majority of the old replicas hold, each of which has adopted the move.
//!
//! A *pull* walks through partitions of one old replica, a chunk at a time, each in the order of its positions. Whatever the
//! replica held when the pull began is met, as it was or in a later version. One question to each replica is under way at a time, and its
//! answer has a bound in bytes; and so many bytes come in a second, on the average ([`Limits::move_bytes_per_s`]), for those who read and
//! write come first, and less where answers are held up ([`Pace`]). Nothing depends on an answer coming: it is asked for again.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::crdt::Record;
use crate::crdt::floor::is_collectable;
use crate::env::{ConnId, Limits, Mutant, NodeId, Now};
use crate::node::Node;
use crate::node::pace::Pace;
use crate::partition::PartitionId;
use crate::session::Shows;
use crate::store::{RecordKey, change_bytes};
use crate::wire::cluster::{Part, Wanted, Word};

/// Into how many answers what may come in a second is divided: none of them takes a node's whole attention for long.
const ANSWERS_PER_S: u64 = 40;

/// How long a pull waits before it asks again, and a node that is filled before it says so again.
const AGAIN_US: u64 = 1_000_000;

/// The moves towards this node.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Fills {
    /// Partitions that move and whose target this node belongs to, and the version that opened the move.
    open: Vec<(PartitionId, u64)>,
    /// From whom each has been taken over.
    done: BTreeMap<(PartitionId, u64), BTreeSet<NodeId>>,
    /// What is under way, by who is asked.
    pulls: BTreeMap<NodeId, Pull>,
    /// Where pulls of nodes that cannot be reached go on once they can: a large partition is never taken over between two losses of a bad link
    /// if it is begun anew each time. What such a node held when the pull began it still holds, as it was or in a later version.
    left_off: BTreeMap<(NodeId, PartitionId, u64), Bytes>,
    /// How fast each may be asked, and remembered from one pull to the next.
    paces: BTreeMap<NodeId, Pace>,
    /// When it was last said what is filled.
    told_us: Option<u64>,
    /// There may be something to begin.
    stirred: bool,
    /// Nothing is asked for before: as much has come as may have by now.
    rest_us: u64,
}

/// What one node is asked for.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Pull {
    /// Each partition, with the version that opened its move, and where it goes on.
    wants: BTreeMap<PartitionId, (u64, Option<Bytes>)>,
    /// What came of these could not be taken: they are asked for after all others, which they would hold up.
    refused: BTreeSet<PartitionId>,
    /// When that was asked, if no answer has come.
    asked_us: Option<u64>,
    /// It was asked before.
    again: bool,
}

impl Pull {
    /// When it asks again if no answer has come.
    fn again_us(&self, pace: Option<&Pace>) -> Option<u64> {
        Some(self.asked_us? + pace.map_or(AGAIN_US, |pace| pace.patience_us(AGAIN_US)))
    }
}

impl Fills {
    /// A node cannot be reached any more.
    pub fn lost(&mut self, node: NodeId) {
        let wants = self.pulls.remove(&node).map(|pull| pull.wants).unwrap_or_default();
        for (id, (since, from)) in wants {
            if let Some(from) = from {
                self.left_off.insert((node, id, since), from);
            }
        }
        self.paces.remove(&node);
        self.stirred = true;
    }

    /// What this node had in memory is gone, and with it what was taken over and is not durable: all is to be pulled again.
    pub fn forget(&mut self) {
        *self = Self {
            rest_us: self.rest_us,
            ..Self::default()
        };
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
        self.pulls.values().map(|pull| pull.wants.len()).sum()
    }

    fn wanted(&mut self, node: NodeId, partition: PartitionId) -> Option<&mut (u64, Option<Bytes>)> {
        self.pulls.get_mut(&node)?.wants.get_mut(&partition)
    }

    /// So many bytes came.
    fn came(&mut self, bytes: u64, now: Now, limits: &Limits) {
        let cost_us = bytes.saturating_mul(1_000_000) / limits.move_bytes_per_s;
        self.rest_us = self.rest_us.max(now.mono_us).saturating_add(cost_us);
    }

    /// When something here is due.
    pub fn wake_us(&self) -> Option<u64> {
        let due = |(node, pull): (&NodeId, &Pull)| {
            let pace = self.paces.get(node);
            pull.again_us(pace).or(pace.and_then(Pace::rest_us))
        };
        let pulls = self.pulls.iter().filter_map(due);
        let rests = Some(self.rest_us).filter(|_| self.stirred && !self.open.is_empty());
        let told = self
            .told_us
            .filter(|_| !self.open.is_empty())
            .map(|told_us| told_us + AGAIN_US);
        pulls.chain(rests).chain(told).min()
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
        fills.left_off.retain(|(_, id, since), _| open.contains(&(*id, *since)));
        fills.pulls.retain(|_, pull| {
            pull.wants.retain(|id, (since, _)| open.contains(&(*id, *since)));
            !pull.wants.is_empty()
        });
        fills.stirred = true;
    }

    /// Begins what can begin, asks again for what did not come, and says what is filled.
    pub(super) fn fill_timers(&mut self, now: Now) {
        if self.fills.open.is_empty() {
            return;
        }
        for (node, pull) in &mut self.fills.pulls {
            let pace = self.fills.paces.entry(*node).or_default();
            let over = pace.is_over(now.mono_us);
            let late = pull
                .again_us(Some(pace))
                .is_some_and(|again_us| again_us <= now.mono_us);
            if late {
                pull.asked_us = None;
                pull.again = true;
            }
            self.fills.stirred |= over || late;
        }
        if self.fills.rest_us <= now.mono_us && core::mem::take(&mut self.fills.stirred) {
            self.begin_pulls();
            self.ask_for_parts(now);
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

    /// Adds what can be pulled now to what those are asked for who owe no answer.
    fn begin_pulls(&mut self) {
        let own = self.membership.id();
        let without_promise = self.config.mutants.is(Mutant::FillBeforePromise);
        let filled: BTreeSet<PartitionId> = self.filled_here().map(|(id, _)| id).collect();
        for pull in self.fills.pulls.values_mut() {
            pull.wants.retain(|id, _| !filled.contains(id));
        }
        let mut begun = self.fills.at_once();
        for (id, since) in self.fills.open.clone() {
            let Some(placement) = self.membership.state().map(|state| state.placement(id).clone()) else {
                return;
            };
            if filled.contains(&id) {
                continue;
            }
            for node in placement.replicas.iter().copied().filter(|node| *node != own) {
                if begun >= self.config.limits.moves_at_once {
                    return;
                }
                let known = self.fills.done.get(&(id, since));
                let known = known.is_some_and(|done| done.contains(&node));
                let link = self.peers.to(node).and_then(|conn| self.peers.link(conn));
                let adopted = link.and_then(|link| link.remote()).map(|remote| remote.epoch);
                let adopted = adopted.is_some_and(|epoch| epoch >= since || without_promise);
                if known || !adopted {
                    continue;
                }
                let pull = self.fills.pulls.entry(node).or_default();
                if pull.asked_us.is_none() && !pull.wants.contains_key(&id) {
                    let from = self.fills.left_off.remove(&(node, id, since));
                    pull.wants.insert(id, (since, from));
                    begun += 1;
                }
            }
        }
    }

    /// The moves towards this node that are filled, each with the version that opened it.
    pub(super) fn filled_here(&self) -> impl Iterator<Item = (PartitionId, u64)> {
        let open = self.fills.open.iter().copied().filter(|_| !self.is_below_floor());
        open.filter(|(id, since)| self.has_filled(*id, *since))
    }

    /// Asks for the next chunks, of whoever owes no answer.
    fn ask_for_parts(&mut self, now: Now) {
        let limits = &self.config.limits;
        let most = limits.move_bytes_per_s / ANSWERS_PER_S;
        let most = most.clamp(1, limits.chunk_bytes as u64);
        self.fills.pulls.retain(|_, pull| !pull.wants.is_empty());
        for (node, pull) in &mut self.fills.pulls {
            let pace = self.fills.paces.get(node);
            let rests = pull.asked_us.is_some() || pace.and_then(Pace::rest_us).is_some();
            let Some(conn) = self.peers.to(*node).filter(|_| !rests) else {
                continue;
            };
            pull.asked_us = Some(now.mono_us);
            let (last, first): (Vec<_>, Vec<_>) = pull.wants.iter().partition(|(id, _)| pull.refused.contains(id));
            let wanted = first.into_iter().chain(last).map(|(id, (since, from))| Wanted {
                partition: *id,
                since: *since,
                from: from.as_deref(),
                digest: self.store.partition(*id).digest(),
            });
            let wanted = wanted.collect();
            let word = Word::Pull { most, wanted };
            self.outbox.push(conn, word.to_frame(), Shows::State);
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

    /// Chunks of what moves here have come.
    pub(super) fn take_parts(&mut self, node: NodeId, parts: &[Part<'_>], now: Now) {
        let rows = parts.iter().flat_map(|part| &part.rows);
        let bytes = rows.map(|(key, record)| (key.len() + record.len()) as u64).sum();
        if !self.config.mutants.is(Mutant::MovesUnthrottled) {
            self.fills.came(bytes, now, &self.config.limits);
        }
        let (mut is_awaited, mut is_refused) = (false, false);
        for part in parts {
            let Some((since, from)) = self.fills.wanted(node, part.partition) else {
                continue;
            };
            if (*since, from.as_deref()) != (part.since, part.from) {
                continue;
            }
            is_awaited = true;
            if !self.take_chunk(part) {
                // It is asked for again after a while: there may be room then.
                is_refused = true;
                if let Some(pull) = self.fills.pulls.get_mut(&node) {
                    pull.refused.insert(part.partition);
                }
                continue;
            }
            match part.next {
                Some(next) => {
                    if let Some((_, from)) = self.fills.wanted(node, part.partition) {
                        *from = Some(Bytes::copy_from_slice(next));
                    }
                }
                None => self.took_all(node, part.partition, part.since),
            }
        }
        // If it came twice, what was asked since is still to come.
        if !is_awaited || is_refused {
            return;
        }
        if let Some(pull) = self.fills.pulls.get_mut(&node) {
            if let Some(asked_us) = pull.asked_us.take().filter(|_| !pull.again && bytes > 0) {
                let pace = self.fills.paces.entry(node).or_default();
                pace.answered(now.mono_us.saturating_sub(asked_us), now.mono_us);
            }
            pull.again = false;
            self.fills.stirred = true;
        }
        if self.fills.at_once() == 0 {
            self.fills.told_us = None;
        }
        self.fill_timers(now);
    }

    /// Merges the rows of a chunk, as far as they are news. `false`: there is no room for them, or they are not what they should be.
    fn take_chunk(&mut self, part: &Part<'_>) -> bool {
        for (key, record) in &part.rows {
            let limits = &self.config.limits;
            let key = RecordKey::decode(Bytes::copy_from_slice(key), limits);
            let own = key.as_ref().is_ok_and(RecordKey::is_reserved).then(Limits::of_layout);
            let record = Record::decode(Bytes::copy_from_slice(record), own.as_ref().unwrap_or(limits));
            let (Ok(key), Ok(record)) = (key, record) else {
                // A record beyond this node's limits: it cannot hold the partition.
                return false;
            };
            if self.store.partition_of(&key) != part.partition {
                return false;
            }
            let version = record.version();
            // What can be collected was, here and wherever this node is shown it.
            let is_dead = is_collectable(&version, self.store.floor());
            if is_dead || !self.store.partition(part.partition).would_change(&key, &version) {
                continue;
            }
            let bytes = change_bytes(key.as_bytes().len(), record.as_bytes().len());
            if self.store.room_for(bytes).is_err() {
                self.store.fell_short();
                return false;
            }
            self.hlc.observe(version.stamp);
            self.store.merge(key, record);
            self.tally.taken += 1;
        }
        true
    }

    /// All that an old replica holds of a partition is here.
    fn took_all(&mut self, node: NodeId, partition: PartitionId, since: u64) {
        if let Some(pull) = self.fills.pulls.get_mut(&node) {
            pull.wants.remove(&partition);
            pull.refused.remove(&partition);
        }
        self.fills.done.entry((partition, since)).or_default().insert(node);
    }

    /// Says what is filled: to all, for any of them may propose to close it.
    fn tell_filled(&mut self, now: Now) {
        self.fills.told_us = Some(now.mono_us);
        let filled: Vec<_> = self.filled_here().collect();
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
