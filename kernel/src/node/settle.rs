//! How the floor rises: rule 1 of the promises, for the whole cluster at once.
//!
//! Tombstones, and what has expired, can be collected where nobody will ever admit something as old, or still has something as old that
//! others lack ([`crate::crdt::floor`]). The members agree on that by three versions of the cluster's state:
//!
//! 1. *A candidate*: a time older than the offline horizon, proposed by a member that has something to collect. Whoever has adopted it
//!    admits nothing that is stamped at or below it; its heartbeats say when that is durable.
//! 2. *Confirmations.* A member that has adopted the candidate and holds nothing of what lies elsewhere says that it is *clean*. Once all
//!    are, whatever is at or below the candidate lies with replicas, and no more of it comes to be. From then on each compares
//!    each partition that it holds with each other replica of it, and *confirms*, durably, once each was equal, or was repaired whole.
//! 3. *The floor.* When all members have confirmed, the candidate becomes the floor, and each collects at its own pace. A replica that
//!    lacks something at or below the floor knows that it was deleted, whoever shows it.
//!
//! Whatever changes the state in between, such as a member that joins, begins the second step anew. Positions in logs, and who had what
//! when, are not needed for that: to compare is to know. One member that is away holds it up, and nothing else.
//!
//! Who finds a floor above what it confirmed was away, with a disk that nobody knows of any more: what it holds at or below that floor
//! may be what others have deleted. It forgets that before it shows any of it; if it is counted as a replica it begins anew first.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::cluster::liveness::Health;
use crate::cluster::{Change, ClusterState};
use crate::crdt::floor::{candidate as floor_at, is_at_or_below};
use crate::env::{ConnId, Mutant, NodeId, Now};
use crate::hlc::{Stamp, Trust};
use crate::machine::StorageError;
use crate::node::Node;
use crate::partition::{PARTITIONS, PartitionId};
use crate::session::Shows;
use crate::store::forget_bytes;
use crate::wire::cluster::Word;

/// The row in which it is kept what was confirmed.
const FLOOR_ROW: &str = "floor";

/// How often a member says where it stands while there is a candidate.
const TELL_US: u64 = 1_000_000;
/// How often it looks for something to collect, at most, and how many rows it looks at in one step.
const LOOK_US: (u64, u64) = (250_000, 3_600_000_000);
const LOOK_ROWS: u64 = 16_384;
/// How many keys are forgotten in one step, at most.
const FORGET_AT_ONCE: usize = 256;
/// Bytes of the row, with what comes on top; and how long it waits where there is no room.
const ROW_BYTES: u64 = 1_024;
const NO_ROOM_US: u64 = 1_000_000;

/// Where this node stands with the floor.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Settling {
    /// On disk: whatever any member admitted at or below this is here, or was deleted; and the version of the state at which that was so.
    confirmed: (u64, u64),
    /// The version of the cluster's state that all that follows is about.
    version: u64,
    /// Who is clean: has adopted it and holds nothing that lies elsewhere.
    clean: BTreeSet<NodeId>,
    /// What of this node's was compared, and with whom, since all were clean.
    compared: BTreeSet<(PartitionId, NodeId)>,
    /// Who has confirmed.
    confirms: BTreeSet<NodeId>,
    told_us: Option<u64>,
    /// Something came that may let this node confirm.
    stirred: bool,
    /// There was no room to confirm: that is tried again then.
    held_us: u64,
    /// Something can be collected at this candidate.
    wants: Option<u64>,
    look_us: Option<u64>,
    /// What the wall clock was ahead of the monotonic one when it looked last, in milliseconds.
    ahead_ms: Option<u64>,
    /// The next partition to look at, or to collect in.
    at: u64,
    /// It is collecting: nothing is to be done before this time.
    collects_us: Option<u64>,
    /// Versions that were collected.
    collected: u64,
}

impl Settling {
    /// Versions that were collected since the node was made.
    pub fn collected(&self) -> u64 {
        self.collected
    }
}

impl Node {
    /// Takes what storage holds of it. `same`: it is this node's.
    pub(super) fn find_floor(&mut self, same: bool) -> Result<(), StorageError> {
        let row = self.store.system(FLOOR_ROW).filter(|_| same);
        let row = row.map(|row| <[u8; 16]>::try_from(&row[..]).map_err(|_| StorageError::Corrupt));
        let row = u128::from_be_bytes(row.transpose()?.unwrap_or_default());
        let collected = self.settling.collected;
        self.settling = Settling {
            confirmed: ((row >> 64) as u64, row as u64),
            collected,
            ..Settling::default()
        };
        Ok(())
    }

    /// What it confirmed was said by another than it is now.
    pub(super) fn forget_floor(&mut self) {
        self.confirm_floor(0);
        self.settling.version = 0;
    }

    fn confirm_floor(&mut self, floor: u64) {
        let version = self.settling.version;
        self.settling.confirmed = (floor, version);
        let row = u128::from(floor) << 64 | u128::from(version);
        self.store
            .put_system(FLOOR_ROW, Bytes::copy_from_slice(&row.to_be_bytes()));
    }

    /// The cluster's state is another one.
    pub(super) fn adopt_floor(&mut self) {
        let Some(state) = self.membership.state() else {
            return self.store.settle(0, 0);
        };
        let (version, floor, promised) = (self.membership.epoch(), state.floor, state.promised());
        if self.settling.version == version {
            return;
        }
        let rises = floor > self.store.floor();
        self.store.settle(floor, promised);
        // Whatever this node stamps is to be admitted.
        if let Some(stamp) = Stamp::last_at(promised) {
            self.hlc.observe(stamp);
        }
        let Settling {
            confirmed,
            look_us,
            ahead_ms,
            at,
            collects_us,
            collected,
            ..
        } = self.settling;
        self.settling = Settling {
            confirmed,
            version,
            look_us,
            ahead_ms,
            at: if rises { 0 } else { at },
            collects_us: if rises { Some(0) } else { collects_us },
            collected,
            ..Settling::default()
        };
    }

    /// Whether this node holds what others may have collected: it shows nothing before that is gone.
    pub(super) fn is_below_floor(&self) -> bool {
        let (confirmed, version) = self.settling.confirmed;
        let settled_at = self.membership.state().map_or(0, |state| state.settled_at);
        let is_below = confirmed < self.store.floor() || (self.store.floor() > 0 && version < settled_at);
        is_below && !self.config.mutants.is(Mutant::KeepsBelowFloor)
    }

    /// Whether a version that somebody shows must not be taken: what is not here was deleted.
    pub(super) fn is_settled(&self, stamp: Stamp, is_held: bool) -> bool {
        let takes = self.config.mutants.is(Mutant::HintOlderThanTombstone);
        !is_held && is_at_or_below(stamp, self.store.floor()) && !takes
    }

    /// Whether who sends something as old as this may still do so: only what members had admitted before counts.
    pub(super) fn is_too_late(&self, conn: ConnId, stamp: Stamp) -> bool {
        let is_member = |node| {
            self.membership
                .state()
                .is_some_and(|state| state.member(node).is_some())
        };
        is_at_or_below(stamp, self.store.promised()) && !self.peers.node_at(conn).is_some_and(is_member)
    }

    /// Whether these are all members.
    fn are_all(&self, nodes: &BTreeSet<NodeId>, state: &ClusterState) -> bool {
        let mut members = state.members.iter().map(|member| member.id);
        members.all(|id| nodes.contains(&id) || self.is_left_out(id))
    }

    /// Whether a member is not waited for: none is.
    fn is_left_out(&self, id: NodeId) -> bool {
        self.config.mutants.is(Mutant::FloorOfTheLiving) && self.peers.to(id).is_none() && id != self.membership.id()
    }

    /// The version of the state at which this node knows that all are clean; 0 if it does not.
    pub(super) fn all_clean(&self) -> u64 {
        let settling = &self.settling;
        let state = self.membership.state().filter(|state| state.candidate > 0);
        let is_clean = state.is_some_and(|state| self.are_all(&settling.clean, state));
        if is_clean { settling.version } else { 0 }
    }

    /// This node has all that a replica held of a partition since all were clean, in the version `clean`.
    pub(super) fn compared(&mut self, node: Option<NodeId>, partitions: impl Iterator<Item = PartitionId>, clean: u64) {
        if let Some(node) = node.filter(|_| clean > 0 && clean == self.all_clean()) {
            self.settling.compared.extend(partitions.map(|id| (id, node)));
            self.settling.stirred = true;
        }
    }

    /// A member says where it stands.
    pub(super) fn stands(&mut self, node: NodeId, version: u64, confirms: bool, now: Now) {
        if version != self.settling.version {
            return;
        }
        if self.settling.clean.insert(node) {
            self.begin_to_compare();
        }
        if confirms && self.settling.confirms.insert(node) {
            self.membership_stirs(now);
        }
    }

    /// The change of the state that is due for the sake of the floor.
    pub(super) fn floor_change(&self) -> Option<Change> {
        let (settling, state) = (&self.settling, self.membership.state()?);
        if settling.version != self.membership.epoch() {
            return None;
        }
        if state.candidate > 0 {
            return self.are_all(&settling.confirms, state).then_some(Change::Raise);
        }
        settling.wants.map(Change::Settle)
    }

    /// When something here is due, if nothing that is awaited comes first.
    pub(super) fn settle_wake_us(&self) -> Option<u64> {
        let Settling {
            told_us,
            look_us,
            collects_us,
            ..
        } = self.settling;
        if !self.membership.is_member() {
            return None;
        }
        let is_durable = self.membership.durable() >= self.membership.epoch();
        let told_us = told_us.map(|told_us| told_us + TELL_US);
        let works_us = match collects_us {
            Some(collects_us) => is_durable.then_some(collects_us),
            None => look_us,
        };
        [told_us, works_us].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(super) fn settle_timers(&mut self, now: Now) {
        if !self.membership.is_member() || self.draining {
            return;
        }
        self.stand(now);
        self.look(now);
        self.collect(now);
    }

    /// Finds out whether it is clean, and whether it can confirm, and says so.
    fn stand(&mut self, now: Now) {
        let own = self.membership.id();
        let Some(state) = self.membership.state().filter(|state| state.candidate > 0) else {
            self.settling.told_us = None;
            return;
        };
        let (candidate, version) = (state.candidate, self.settling.version);
        let is_due = self
            .settling
            .told_us
            .is_none_or(|told_us| told_us + TELL_US <= now.mono_us);
        let mut is_news = false;
        // A look at everything, now and then; what it waits for comes from others, and they say so.
        if is_due && !self.settling.clean.contains(&own) {
            // Nobody agrees to what is no such time by its own clock: one clock that is ahead would shut everybody's writes out.
            let latest_ms = now.wall_ms.saturating_add(self.config.limits.max_drift_ms);
            let is_due_here = candidate <= floor_at(latest_ms, self.config.limits.offline_horizon_ms);
            let is_clean =
                is_due_here && state.moves() == 0 && self.membership.durable() >= version && !self.has_leftovers();
            if is_clean && !self.is_below_floor() {
                self.settling.clean.insert(own);
                is_news = true;
                self.begin_to_compare();
            }
        }
        let looks = (core::mem::take(&mut self.settling.stirred) || is_due) && self.settling.held_us <= now.mono_us;
        if looks && !self.settling.confirms.contains(&own) && self.all_clean() > 0 && self.has_compared() {
            if self.store.room_for(ROW_BYTES).is_err() {
                self.store.fell_short();
                self.settling.held_us = now.mono_us + NO_ROOM_US;
            } else {
                self.confirm_floor(candidate);
                self.settling.confirms.insert(own);
                self.membership_stirs(now);
                is_news = true;
            }
        }
        if is_due || is_news {
            self.settling.told_us = Some(now.mono_us);
            let confirms = self.settling.confirms.contains(&own);
            if self.settling.clean.contains(&own) {
                let frame = Word::Stands { version, confirms }.to_frame();
                let links: Vec<ConnId> = self.peers.nodes().map(|(_, conn)| conn).collect();
                for conn in links {
                    self.outbox.push(conn, frame.clone(), Shows::State);
                }
            }
        }
    }

    /// If all are clean now, what is compared from now on counts.
    fn begin_to_compare(&mut self) {
        if self.all_clean() > 0 {
            self.settling.stirred = true;
            self.compare_again();
        }
    }

    /// Whether each partition of this node was compared with each other replica.
    fn has_compared(&self) -> bool {
        if self.config.mutants.is(Mutant::ConfirmsUncompared) {
            return true;
        }
        let own = self.membership.id();
        let Some(state) = self.membership.state() else {
            return false;
        };
        PartitionId::all().filter(|id| self.holds(own, *id)).all(|id| {
            let mut others = state.placement(id).holders().filter(|node| *node != own);
            others.all(|node| self.settling.compared.contains(&(id, node)) || self.is_left_out(node))
        })
    }

    /// Looks for something to collect, so many rows at a time, and then rests.
    fn look(&mut self, now: Now) {
        let horizon_ms = self.config.limits.offline_horizon_ms;
        let rest_us = (horizon_ms.saturating_mul(1_000) / 8).clamp(LOOK_US.0, LOOK_US.1);
        let look_us = *self.settling.look_us.get_or_insert(now.mono_us + rest_us);
        if look_us > now.mono_us || self.settling.collects_us.is_some() {
            return;
        }
        // A wall clock that was set in the meantime is watched for a while first, by whoever minds it: a floor cannot be taken back.
        let ahead_ms = now.wall_ms.saturating_sub(now.mono_us / 1_000);
        let before_ms = self.settling.ahead_ms.replace(ahead_ms);
        if before_ms.is_none_or(|before_ms| before_ms.abs_diff(ahead_ms) > self.config.limits.max_drift_ms) {
            self.settling.look_us = Some(now.mono_us + rest_us);
            return;
        }
        let floor = floor_at(now.wall_ms, horizon_ms);
        let mut looked = 0;
        while let Some(id) = PartitionId::new(self.settling.at).filter(|_| looked < LOOK_ROWS) {
            let held = self.store.partition(id).held();
            if held.tombstones + held.expiring > 0 {
                looked += held.records;
                if !self.store.settled(id, floor, false, 1).is_empty() {
                    self.want(floor, now);
                    self.settling.at = PARTITIONS.into();
                    break;
                }
            }
            self.settling.at += 1;
        }
        let is_over = self.settling.at >= PARTITIONS.into();
        if is_over {
            self.settling.at = 0;
        }
        let pause_us = if is_over { rest_us } else { LOOK_US.0 };
        self.settling.look_us = Some(now.mono_us + pause_us);
    }

    /// The floor may rise to this, if nothing stands in its way: a member that is away would hold it up, and so does a move.
    fn want(&mut self, floor: u64, now: Now) {
        let own = self.membership.id();
        let Some(state) = self.membership.state() else {
            return;
        };
        let is_reached = |id| id == own || self.peers.to(id).is_some() && self.liveness.state(id) != Health::Failed;
        let is_there = |id| is_reached(id) || self.is_left_out(id);
        let all = state
            .members
            .iter()
            .all(|member| !member.leaving && is_there(member.id));
        if all && state.moves() == 0 && floor > state.promised() && self.trust == Trust::Sure {
            self.settling.wants = Some(floor);
            self.membership_stirs(now);
        }
    }

    /// Forgets what is settled, some of it in a step that stages nothing else: what every replica may forget; and of what this node has
    /// not confirmed everything, which is gone before anything of it is shown.
    fn collect(&mut self, now: Now) {
        let is_due = self.settling.collects_us.is_some_and(|due_us| due_us <= now.mono_us);
        if !is_due || self.store.has_staged() || self.membership.durable() < self.membership.epoch() {
            return;
        }
        let (floor, purges) = (self.store.floor(), self.is_below_floor());
        // What has expired by then is told to those who watch it first.
        if self.store.expires_at_ms().is_some_and(|due_ms| due_ms <= floor >> 16) && !purges {
            self.settling.collects_us = Some(now.mono_us + LOOK_US.0);
            return;
        }
        if purges && self.is_counted() {
            // If there is no room for that it waits.
            self.settling.collects_us = Some(now.mono_us + NO_ROOM_US);
            return self.begin_anew(
                "the floor has risen without this node: it joins anew, without what was settled in the meantime",
                now,
            );
        }
        let mut forgotten = 0;
        while let Some(id) = PartitionId::new(self.settling.at) {
            let some = FORGET_AT_ONCE - forgotten;
            let keys = self.store.settled(id, floor, purges, some);
            for key in &keys {
                if self.store.room_for(forget_bytes(key.as_bytes().len())).is_err() {
                    self.store.fell_short();
                    self.settling.collects_us = Some(now.mono_us + NO_ROOM_US);
                    return;
                }
                self.store.forget(key);
                self.settling.collected += 1;
            }
            if !keys.is_empty() {
                self.store.compact(id);
            }
            forgotten += keys.len();
            if keys.len() == some {
                self.settling.collects_us = Some(now.mono_us);
                return;
            }
            self.settling.at += 1;
        }
        if purges {
            if self.store.room_for(ROW_BYTES).is_err() {
                self.store.fell_short();
                self.settling.collects_us = Some(now.mono_us + NO_ROOM_US);
                return;
            }
            self.confirm_floor(floor);
            // Whoever watches is answered anew, now that it is known what is there.
            self.subscriptions.all_stale();
            self.compare_again();
        }
        self.settling.at = 0;
        self.settling.collects_us = None;
    }

    /// Whether this node is a replica that others count, and there are others.
    fn is_counted(&self) -> bool {
        let own = self.membership.id();
        let state = self.membership.state();
        state.is_some_and(|state| {
            state.members.len() > 1
                && state
                    .placements
                    .iter()
                    .any(|placement| placement.replicas.contains(&own))
        })
    }
}
