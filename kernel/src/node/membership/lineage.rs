//! Whether a node's data is what the others have last seen of it: rule 7 of the promises.
//!
//! A disk can come back as an older copy of itself, or run twice. What was promised and acknowledged since is missing there, so that
//! a majority that counts it may miss what a majority has decided. Every boot is therefore recorded on the node's disk, under a
//! number that it draws; a node says the last of these numbers when it is linked, and in its heartbeats how many log entries are
//! durable. Each member remembers durably, of each other one, the newest boot and the most entries that it heard of. A disk that
//! lacks that boot, or has fewer entries, is older than what was seen: there is no link with it, so that it counts in no quorum
//! of the one who knows better, and it is told.
//!
//! Who is told so begins anew under another id, with what it holds: what it did under the old one is nobody's vote any more, and it is
//! filled like any newcomer. That is simpler than to be reconciled under the old id, and also right for the register, where nothing
//! can be reconciled: a promise that was forgotten cannot be kept. Of two nodes that run on copies of one disk the one that is
//! linked first stays, and the other becomes a node of its own.
//!
//! What is heard is as new as the last heartbeat: of a disk that is set back by less than that nobody knows. If the disks of a majority are
//! set back, such as by restoring copies that were taken one after another, that majority is gone, and says so rather than
//! guess: a person lets the one with the newest copy go on ([`ClusterState::forced`]), and the others join it with what they hold.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use super::{CLUSTER_ROW, HEARD_ROW, Membership, REGISTER_BYTES, encode};
use crate::cluster::ClusterState;
use crate::env::{ConnId, Mutant, NodeId, Now};
use crate::machine::Role;
use crate::node::Node;
use crate::node::link::{Link, Remote};
use crate::node::waits::Parts;
use crate::register::Stored;
use crate::wire::cluster::refusal;
use crate::wire::{BOOTS_MAX, BootMark, Code};

/// What this node has heard of the others.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Heard {
    nodes: BTreeMap<NodeId, Last>,
    /// Whether there is more in it than on disk.
    dirty: bool,
}

/// The last that was heard of a node.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    boot: BootMark,
    /// How often its disk had been booted.
    booted: u64,
    committed: u64,
}

impl Heard {
    /// What was kept of it.
    pub fn kept(nodes: BTreeMap<NodeId, Last>) -> Self {
        Self { nodes, dirty: false }
    }

    /// Whether what a node says of itself is older than what was heard of it.
    fn is_newer_than(&self, remote: &Remote) -> bool {
        let Some(last) = self.nodes.get(&remote.id) else {
            return false;
        };
        // What this boot said before may be overtaken by what it said since, on another connection.
        if remote.boots.last() == Some(&last.boot) {
            return false;
        }
        // Who was booted more often since than it can say may have had that boot.
        let can_say = remote.booted < last.booted.saturating_add(BOOTS_MAX as u64);
        (can_say && !remote.boots.contains(&last.boot)) || remote.committed < last.committed
    }

    /// A member is linked. Whether that is a boot that was not heard of.
    fn linked(&mut self, remote: &Remote) -> bool {
        let boot = remote.boots.last().copied().unwrap_or_default();
        let last = self.nodes.entry(remote.id).or_default();
        let is_new = last.boot != boot;
        last.boot = boot;
        last.booted = remote.booted;
        self.dirty |= is_new;
        self.committed(remote.id, remote.committed);
        is_new
    }

    /// So many entries are durable with a member.
    fn committed(&mut self, node: NodeId, committed: u64) {
        if let Some(last) = self.nodes.get_mut(&node).filter(|last| last.committed < committed) {
            last.committed = committed;
            self.dirty = true;
        }
    }

    fn keep_only(&mut self, state: &ClusterState) {
        let before = self.nodes.len();
        self.nodes.retain(|node, _| state.member(*node).is_some());
        self.dirty |= self.nodes.len() != before;
    }
}

impl Node {
    /// Whether this node has seen later data of who is about to be linked.
    pub(in crate::node) fn is_set_back(&self, remote: &Remote) -> bool {
        self.membership.heard.is_newer_than(remote) && !self.config.mutants.is(Mutant::SetBackDiskVotes)
    }

    /// Takes note of which boot of each member it is linked with.
    pub(super) fn note_boots(&mut self) {
        let Membership { heard, register, .. } = &mut self.membership;
        let Some(state) = register.value() else {
            return;
        };
        heard.keep_only(state);
        let mut is_new = false;
        for remote in self.peers.remotes().filter(|remote| state.member(remote.id).is_some()) {
            is_new |= heard.linked(remote);
        }
        if is_new {
            self.keep_heard();
        }
    }

    /// A heartbeat came.
    pub(super) fn note_committed(&mut self, conn: ConnId, committed: u64) {
        if let Some(node) = self.peers.node_at(conn) {
            self.membership.heard.committed(node, committed);
        }
    }

    /// Keeps what was heard. Of a boot at once, so that it is forgotten by no crash; how far each is goes with whatever is written next.
    pub(super) fn keep_heard(&mut self) {
        if self.membership.heard.dirty && self.store.room_for(REGISTER_BYTES).is_ok() {
            self.membership.heard.dirty = false;
            let row = encode(&self.membership.heard.nodes);
            self.store.put_system(HEARD_ROW, row);
        }
    }

    /// Another member has seen later data of this node than it has: it begins anew under another id, with what it holds. The member
    /// that it was is gone for good.
    pub(in crate::node) fn set_back(&mut self, conn: ConnId, now: Now) {
        // Who tells it need not be known to a disk that is old enough.
        let cluster = self
            .peers
            .link(conn)
            .and_then(Link::remote_mut)
            .map(|remote| remote.cluster);
        // A disk of before it joined, with the id that it joined under later, is in no cluster yet.
        let is_other = self.membership.joined && cluster != Some(self.membership.cluster());
        if cluster.is_some() && !is_other {
            self.begin_anew(
                "it has seen later data of this node than there is: this node joins anew, under another id",
                now,
            );
        }
    }

    /// It was asked to join a cluster that nobody is there of any more, and is linked with another: it joins that, as another node than the
    /// one that was asked.
    pub(super) fn begin_elsewhere(&mut self, now: Now) {
        let Some(state) = self.membership.state().filter(|_| !self.membership.joined) else {
            return;
        };
        let (mut is_there, mut is_other) = (false, false);
        for remote in self.peers.remotes() {
            is_there |= remote.cluster == state.cluster;
            is_other |= remote.cluster != 0 && remote.cluster != state.cluster;
        }
        if is_other && !is_there {
            self.begin_anew("this node joins another cluster than the one that asked it to", now);
        }
    }

    /// This node is who it was no longer: it wants to become a member as another, with what it holds.
    pub(in crate::node) fn begin_anew(&mut self, reason: &str, now: Now) {
        if self.store.room_for(REGISTER_BYTES).is_err() {
            return;
        }
        let contacts = self.contacts();
        // Also those whose handshake is not done: what this node says from now on must be taken for no word of who it was.
        for conn in self.conns.of_role(Role::Peer).collect::<Vec<_>>() {
            self.peers.because(reason);
            self.close(conn, now);
        }
        for gathering in self.waits.abandon() {
            let reason = "the node is no member any more, and joins anew";
            let code = match gathering.parts {
                Parts::Ops(_) => Code::OutcomeUnknown,
                Parts::Read { .. } => Code::NotReady,
            };
            self.refuse(gathering, refusal(code, reason), now);
        }
        self.abandon_agreement(now);
        self.fills.forget();
        let id = NodeId(self.rng.next_u64());
        self.membership = Membership::new(self.config.mutants);
        self.forget_floor();
        self.membership.contacts = contacts;
        self.store
            .put_system(CLUSTER_ROW, encode(&Stored::<ClusterState>::default()));
        self.begin_as(id, Stored::default(), now);
        self.record_boot();
        self.membership.heard.dirty = true;
        self.keep_heard();
        self.adopt(now);
        self.compare_again();
        self.subscriptions.all_stale();
        self.restart_queries(now);
    }

    /// Where the others are.
    pub(super) fn contacts(&self) -> Vec<String> {
        let members = self.membership.state().map_or(&[][..], |state| &state.members[..]);
        let others = members.iter().filter(|member| member.id != self.membership.id);
        let mut contacts: Vec<String> = others.map(|member| member.addr.clone()).collect();
        contacts.extend(self.config.join.iter().cloned());
        // Who tells this node of it may be none that it knew.
        contacts.extend(self.peers.remotes().map(|remote| remote.addr.clone()));
        contacts.sort_unstable();
        contacts.dedup();
        contacts
    }
}
