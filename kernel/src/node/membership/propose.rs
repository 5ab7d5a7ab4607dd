//! What this node proposes: what people want, who joins, moves that are filled.

use alloc::vec::Vec;

use super::{Membership, NO_ROOM_MS};
use crate::cluster::liveness::Health;
use crate::cluster::{BadChange, Change, ClusterState};
use crate::env::{Mutant, NodeId, Now};
use crate::node::Node;
use crate::partition::PartitionId;

/// How long a member waits before it proposes what all can see, for each member before it in the list: mostly the first does, and
/// the others find it done.
const TURN_MS: u64 = 150;

/// Most changes that people asked for and that wait for their turn.
const WISHES_MAX: usize = 64;

impl Membership {
    /// Whether one more change may be wished for.
    pub fn takes_wishes(&self) -> bool {
        self.wishes.len() < WISHES_MAX
    }
}

impl Node {
    /// Somebody who runs the cluster wants a change.
    pub(in crate::node) fn wish(&mut self, change: Change, now: Now) -> Result<(), BadChange> {
        let state = self.membership.state().ok_or(BadChange::Nothing)?;
        state.after(&change, self.membership.epoch() + 1)?;
        if self.membership.takes_wishes() && !self.membership.wishes.contains(&change) {
            self.membership.wishes.push_back(change);
            self.membership.since_us = Some(now.mono_us);
        }
        Ok(())
    }

    /// These moves are filled, says a node.
    pub(in crate::node) fn filled(&mut self, node: NodeId, moves: &[(PartitionId, u64)], now: Now) {
        let Some(state) = self.membership.state() else {
            return;
        };
        let open = |(id, since): &&(PartitionId, u64)| {
            let placement = state.placement(*id);
            placement.is_moving() && placement.since == *since && placement.target.contains(&node)
        };
        let open: Vec<_> = moves.iter().filter(open).copied().collect();
        for name in open {
            self.membership.filled.entry(name).or_default().insert(node);
            self.membership.since_us.get_or_insert(now.mono_us);
        }
    }

    /// Whether this node said or heard that a node is filled.
    pub(in crate::node) fn is_filled(&self, node: NodeId, name: (PartitionId, u64)) -> bool {
        self.membership
            .filled
            .get(&name)
            .is_some_and(|nodes| nodes.contains(&node))
    }

    /// There may be something to propose.
    pub(in crate::node) fn membership_stirs(&mut self, now: Now) {
        self.membership.since_us.get_or_insert(now.mono_us);
    }

    /// Whether there may be something to propose. What it would be is looked at only then.
    fn may_change(&self) -> bool {
        let Membership {
            wishes,
            applicants,
            filled,
            ..
        } = &self.membership;
        let Some(state) = self.membership.state() else {
            return false;
        };
        let own = state.member(self.membership.id);
        let config = &self.config;
        let moved = own.is_some_and(|own| {
            own.addr != config.addr || own.name != config.name || own.weight != config.weight || own.zone != config.zone
        });
        let leaves = state.members.iter().any(|member| member.leaving);
        self.to_remove().is_some()
            || moved
            || leaves
            || !wishes.is_empty()
            || !applicants.is_empty()
            || !filled.is_empty()
            || self.floor_change().is_some()
    }

    /// The next change that there is to propose, whoever sees to it.
    fn next_change(&mut self) -> Option<ClusterState> {
        let version = self.membership.epoch() + 1;
        let (own, to_remove, floor) = (self.as_member(), self.to_remove(), self.floor_change());
        if self.has_left() {
            self.membership.emptied.insert(self.membership.id);
        }
        let unasked = self.config.mutants.is(Mutant::LeavesWithLeftovers);
        let (membership, peers, liveness) = (&mut self.membership, &self.peers, &self.liveness);
        let has_failed = |id| liveness.state(id) == Health::Failed;
        let is_later = |one, other| peers.to(other).is_some_and(|other| peers.to(one) > Some(other));
        let state = membership.register.value()?;
        while let Some(wish) = membership.wishes.front() {
            match state.after(wish, version) {
                Ok(next) => return Some(next),
                // It has been done, or cannot be done any more.
                Err(_) => membership.wishes.pop_front(),
            };
        }
        let joins = membership.applicants.values().chain(core::iter::once(&own));
        for member in joins.filter(|member| member.id != own.id || state.member(own.id).is_some()) {
            match state.after(&Change::Join(member.clone()), version) {
                Ok(next) => return Some(next),
                // Who is at that address now is another node, if the one that was there has failed; of two that seem to be there, it is
                // the one that was linked last.
                Err(BadChange::AddrTaken { id, .. }) if id != own.id && (has_failed(id) || is_later(member.id, id)) => {
                    if let Ok(next) = state.after(&Change::Remove(id), version) {
                        return Some(next);
                    }
                }
                Err(_) => {}
            }
        }
        let whole = |name: &(PartitionId, u64)| {
            let nodes = membership.filled.get(name);
            state
                .placement(name.0)
                .can_close(|node| nodes.is_some_and(|nodes| nodes.contains(&node)))
        };
        let moves: Vec<_> = membership.filled.keys().filter(|name| whole(name)).copied().collect();
        if let Ok(next) = state.after(&Change::Close(moves), version) {
            return Some(next);
        }
        let left = state.members.iter().find(|member| {
            member.leaving && !state.is_used(member.id) && (unasked || membership.emptied.contains(&member.id))
        });
        let left = left.and_then(|member| state.after(&Change::Remove(member.id), version).ok());
        left.or_else(|| state.after(&Change::Remove(to_remove?), version).ok())
            .or_else(|| state.after(&floor?, version).ok())
    }

    /// Whether this node leaves, and has given away all that it had. Only itself knows: it may have taken writes that nobody else has
    /// heard of.
    pub(in crate::node) fn has_left(&self) -> bool {
        let own = self.membership.id();
        let state = self.membership.state();
        let leaves =
            state.is_some_and(|state| state.member(own).is_some_and(|member| member.leaving) && !state.is_used(own));
        leaves && !self.has_leftovers()
    }

    /// A member that leaves says that it has nothing left.
    pub(in crate::node) fn is_emptied(&mut self, node: NodeId, now: Now) {
        self.membership.emptied.insert(node);
        self.membership_stirs(now);
    }

    /// A member has failed, or is there again.
    pub(in crate::node) fn note_health(&mut self, node: NodeId, health: Health, now: Now) {
        self.membership.failed.remove(&node);
        self.membership.overdue.remove(&node);
        if let (Health::Failed, Some(after_ms)) = (health, self.config.remove_after_ms) {
            let due_us = now.mono_us.saturating_add(after_ms.saturating_mul(1_000));
            self.membership.failed.insert(node, due_us);
        }
    }

    /// A member that has failed for so long that it is to be removed, if enough others are there to take its place.
    fn to_remove(&self) -> Option<NodeId> {
        let has_failed = |node: &&NodeId| self.liveness.state(**node) == Health::Failed;
        let overdue = *self.membership.overdue.iter().find(has_failed)?;
        let state = self.membership.state()?;
        let own = self.membership.id;
        let there = state.members.iter().filter(|member| {
            let is_alive = self.peers.to(member.id).is_some() && self.liveness.state(member.id) != Health::Failed;
            !member.leaving && (member.id == own || is_alive)
        });
        (there.count() >= state.replicas as usize).then_some(overdue)
    }

    /// Proposes what there is to propose, when it is this node's turn.
    pub(in crate::node) fn membership_timers(&mut self, now: Now) {
        self.begin_elsewhere(now);
        let before = self.membership.epoch();
        let mut out = Vec::new();
        let due = self.membership_wake_us().is_some_and(|due_us| due_us <= now.mono_us);
        if due && !self.has_room() {
            self.membership.held_until_us = now.mono_us + NO_ROOM_MS * 1_000;
        }
        if self.membership.held_until_us > now.mono_us {
            return;
        }
        let is_due = |(node, due_us): (&NodeId, &u64)| (*due_us <= now.mono_us).then_some(*node);
        let due: Vec<NodeId> = self.membership.failed.iter().filter_map(is_due).collect();
        self.membership.failed.retain(|node, _| !due.contains(node));
        self.membership.overdue.extend(due);
        self.membership.register.tick(now.mono_us, &mut self.rng, &mut out);
        if !self.membership.is_member() || !self.may_change() {
            self.membership.since_us = None;
        } else if !self.membership.register.is_proposing() {
            self.membership.since_us.get_or_insert(now.mono_us);
            if self.turn_us().is_some_and(|turn_us| turn_us <= now.mono_us) {
                if let Some(next) = self.next_change() {
                    self.membership
                        .register
                        .propose(next, now.mono_us, &mut self.rng, &mut out);
                }
                self.membership.since_us = Some(now.mono_us + TURN_MS * 1_000);
            }
        }
        self.send_register(out);
        self.noticed(before, now);
    }

    /// When it is this node's turn: at once for the first of those that it reaches, later for the others.
    fn turn_us(&self) -> Option<u64> {
        let since_us = self.membership.since_us?;
        let state = self.membership.state()?;
        let own = self.membership.id;
        let before = state
            .members
            .iter()
            .filter(|member| member.id < own && self.peers.to(member.id).is_some());
        Some(since_us + before.count() as u64 * TURN_MS * 1_000)
    }

    /// When something here is due.
    pub(in crate::node) fn membership_wake_us(&self) -> Option<u64> {
        let turn_us = self.turn_us().filter(|_| !self.membership.register.is_proposing());
        let failed_us = self.membership.failed.values().min().copied();
        let due_us = [self.membership.register.wake_us(), turn_us, failed_us]
            .into_iter()
            .flatten()
            .min();
        due_us.map(|due_us| due_us.max(self.membership.held_until_us))
    }
}
