//! The node's part in what the cluster agrees on: who it is, the register that holds the cluster's state, and what of it this node
//! has to see to.

mod identity;
mod lineage;
mod propose;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::cluster::liveness::Health;
use crate::cluster::{Change, ClusterState, Member, Routes};
use crate::env::{ConnId, Mutants, NodeId, Now, WriterId};
use crate::node::Node;
use crate::node::link::{Link, Remote};
use crate::partition::PartitionId;
use crate::register::{Agreed, Message, Register, Stored};
use crate::session::{Place, Shows};
use crate::wire::BootMark;
use crate::wire::cluster::Word;
use crate::wire::peer::Ping;

use lineage::Heard;

/// The rows in which they are kept.
const IDENTITY_ROW: &str = "identity";
const CLUSTER_ROW: &str = "cluster";
const HEARD_ROW: &str = "heard";

/// Bytes of the smallest states that a register keeps, with what comes on top; and how long it waits where there is no room for that.
const REGISTER_BYTES: u64 = 8 << 10;
const NO_ROOM_MS: u64 = 1_000;

/// Who the node is in its cluster.
#[derive(Debug, Serialize, Deserialize)]
pub struct Membership {
    id: NodeId,
    /// Whether it ever was a member of the cluster under this id.
    joined: bool,
    /// The boots of this node that its disk knows of, the last of them at the end: [`BOOTS_MAX`] at most.
    boots: Vec<BootMark>,
    /// How often it was booted.
    booted: u64,
    /// Whether the boot of this process was recorded: reading storage again is no other boot.
    is_recorded: bool,
    /// Where others may be found who are no members: those that it knew before it began anew, or that were given up.
    contacts: Vec<String>,
    /// What the others last said of themselves.
    heard: Heard,
    register: Register<ClusterState>,
    /// The version of the state that is on disk.
    durable: u64,
    /// A version that was sealed into a log entry, by the entry's number.
    sealed: Option<(u64, u64)>,
    /// Who acts as owner of each partition, in this node's eyes.
    routes: Routes,
    /// Nodes that want to become members.
    applicants: BTreeMap<NodeId, Member>,
    /// Who says that it is filled, by partition and the version that opened the move.
    filled: BTreeMap<(PartitionId, u64), BTreeSet<NodeId>>,
    /// What people want changed.
    wishes: VecDeque<Change>,
    /// Members that have failed: when they are to be removed, if they are.
    failed: BTreeMap<NodeId, u64>,
    /// Members that leave and have said that they have nothing left.
    emptied: BTreeSet<NodeId>,
    /// Those for whom that time has come.
    overdue: BTreeSet<NodeId>,
    /// Since when there is something to propose.
    since_us: Option<u64>,
    /// Register messages of this node to itself: they are taken once what they rest on is durable.
    loopback: Vec<Message<ClusterState>>,
    /// How large the row was that was written last.
    row_bytes: u64,
    /// Storage was full: nothing is proposed until then.
    held_until_us: u64,
}

impl Membership {
    /// Nobody yet.
    pub fn new(mutants: Mutants) -> Self {
        Self {
            id: NodeId(0),
            joined: false,
            boots: Vec::new(),
            booted: 0,
            is_recorded: false,
            contacts: Vec::new(),
            heard: Heard::default(),
            register: Register::new(NodeId(0), WriterId(0), Stored::default(), mutants),
            durable: 0,
            sealed: None,
            routes: Routes::default(),
            applicants: BTreeMap::new(),
            filled: BTreeMap::new(),
            wishes: VecDeque::new(),
            failed: BTreeMap::new(),
            emptied: BTreeSet::new(),
            overdue: BTreeSet::new(),
            since_us: None,
            loopback: Vec::new(),
            row_bytes: 0,
            held_until_us: 0,
        }
    }

    /// The node's id; 0 before it has read its storage.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The boots of this node that its disk knows of, the last of them at the end.
    pub fn boots(&self) -> &[BootMark] {
        &self.boots
    }

    /// How often its disk was booted.
    pub fn booted(&self) -> u64 {
        self.booted
    }

    /// What the cluster agreed on, as far as this node knows.
    pub fn state(&self) -> Option<&ClusterState> {
        self.register.value()
    }

    /// The version of that.
    pub fn epoch(&self) -> u64 {
        self.register.version()
    }

    /// The version that the generation began with; 0 where nothing is agreed.
    fn born(&self) -> u64 {
        self.state().map_or(0, |state| state.born)
    }

    /// The version that is on disk.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// Whether this node belongs to the cluster.
    pub fn is_member(&self) -> bool {
        self.state().is_some_and(|state| state.member(self.id).is_some())
    }

    /// Whether it belonged to it once and does no longer.
    pub fn is_removed(&self) -> bool {
        self.joined && !self.is_member()
    }

    /// The cluster that it belongs to, or belonged to; 0 for none. Who is about to join may know of it already.
    pub fn cluster(&self) -> u64 {
        let state = self.state().filter(|_| self.joined);
        state.map_or(0, |state| state.cluster)
    }

    /// Who acts as owner of each partition.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Where things are, in this node's eyes.
    pub fn place(&self) -> Place<'_> {
        Place {
            own: self.id,
            state: self.state(),
            routes: &self.routes,
        }
    }

    /// A node cannot be reached any more. If it applied, it does so again when it comes back: it may never, for another node is at
    /// its address by then.
    pub fn lost(&mut self, node: NodeId) {
        self.applicants.remove(&node);
    }

    /// What this node had in memory is gone: what it said of its moves does not hold, and what others said they say again.
    pub fn forget_filled(&mut self) {
        self.filled.clear();
    }

    /// A version was put into the log entry of this number.
    pub fn sealed(&mut self, entry: u64) {
        if self.sealed.is_none_or(|(_, version)| version < self.epoch()) {
            self.sealed = Some((entry, self.epoch()));
        }
    }

    /// A log entry is durable.
    pub fn committed(&mut self, entry: u64) {
        if let Some((_, version)) = self.sealed.take_if(|(number, _)| *number <= entry) {
            self.durable = version;
        }
    }
}

impl Node {
    /// The cluster's state is another one, or other nodes are reached: what follows from it is made anew.
    pub(super) fn adopt(&mut self, now: Now) {
        let own = self.membership.id;
        if self.membership.is_member() && !self.membership.joined {
            self.membership.joined = true;
            self.membership.contacts.clear();
            self.keep_identity();
        }
        let addrs: Vec<&str> = match self.membership.state().filter(|_| self.membership.joined) {
            Some(state) => state
                .members
                .iter()
                .filter(|member| member.id != own)
                .map(|member| &*member.addr)
                .chain(self.membership.contacts.iter().map(String::as_str))
                .collect(),
            None => {
                let contacts = self.config.join.iter().chain(&self.membership.contacts);
                contacts.map(String::as_str).collect()
            }
        };
        let addrs: Vec<&str> = addrs.into_iter().filter(|addr| *addr != self.config.addr).collect();
        self.peers.aim(&addrs);
        let state = self.membership.state().filter(|_| self.membership.is_member());
        let members: Vec<NodeId> = state.map(|state| state.voters()).unwrap_or_default();
        self.liveness.set_members(&members, now.mono_us);
        let mut filled = core::mem::take(&mut self.membership.filled);
        let mut applicants = core::mem::take(&mut self.membership.applicants);
        let mut contacts = core::mem::take(&mut self.membership.contacts);
        if let Some(state) = self.membership.state() {
            let moves = |(id, since): &(PartitionId, u64)| {
                let placement = state.placement(*id);
                placement.is_moving() && placement.since == *since
            };
            filled.retain(|name, _| moves(name));
            applicants.retain(|id, member| state.member(*id) != Some(member));
            contacts.retain(|addr| !self.membership.joined || state.members.iter().all(|member| member.addr != *addr));
        }
        self.membership.failed.retain(|id, _| members.contains(id));
        self.membership.emptied.retain(|id| members.contains(id));
        self.membership.overdue.retain(|id| members.contains(id));
        self.membership.filled = filled;
        self.membership.applicants = applicants;
        self.membership.contacts = contacts;
        self.note_boots();
        self.reroute();
        self.judge_clock(now);
        self.adopt_floor();
        self.agreement.begin_again();
        self.aim_fills();
        if self.fills.open() > 0 {
            self.offer_rounds(now);
        }
    }

    /// Who can be reached has changed.
    pub(super) fn reroute(&mut self) {
        let own = self.membership.id;
        let alive =
            |node| node == own || (self.peers.to(node).is_some() && self.liveness.state(node) != Health::Failed);
        self.scatter.rerouted = true;
        self.membership.routes = match self.membership.state().filter(|_| self.membership.is_member()) {
            Some(state) => Routes::new(state, alive),
            None => Routes::default(),
        };
    }

    /// What its heartbeats tell.
    pub(super) fn heartbeat(&self, now: Now) -> Ping {
        Ping {
            epoch: self.membership.durable,
            committed: self.store.committed_number(),
            wall_ms: now.wall_ms,
            sent_us: now.mono_us,
        }
    }

    pub(super) fn heard_beat(&mut self, conn: ConnId, ping: Ping, now: Now) {
        self.note_committed(conn, ping.committed);
        self.tell_level(conn, ping.sent_us);
        self.note_clock(conn, ping.wall_ms, now);
        if let Some(Remote { epoch, .. }) = self.peers.link(conn).and_then(Link::remote_mut)
            && *epoch < ping.epoch
        {
            *epoch = ping.epoch;
            self.fills.stir();
            if let Some(link) = self.peers.link(conn) {
                link.level.turned(now.mono_us);
            }
        }
        // It may have come before this node belonged to a cluster itself.
        if self
            .peers
            .link(conn)
            .and_then(Link::remote_mut)
            .is_some_and(|remote| remote.cluster == 0)
        {
            self.hear_applicant(conn, now);
        }
        self.teach(conn);
    }

    /// A link with a node is up.
    pub(super) fn linked(&mut self, conn: ConnId, now: Now) {
        self.hear_applicant(conn, now);
        self.teach(conn);
        self.note_boots();
        self.reroute();
        self.send_again();
        self.fills.stir();
    }

    /// Who is linked and belongs to no cluster wants to belong to this one.
    fn hear_applicant(&mut self, conn: ConnId, now: Now) {
        let Some(remote) = self.peers.link(conn).and_then(|link| link.remote().cloned()) else {
            return;
        };
        let member = Member {
            id: remote.id,
            name: remote.name,
            addr: remote.addr,
            weight: remote.weight,
            zone: remote.zone,
            leaving: false,
        };
        let state = self.membership.state();
        let known = state.and_then(|state| state.member(remote.id));
        let same = |known: &Member| {
            Member {
                leaving: false,
                ..known.clone()
            } == member
        };
        // Who says that it belongs here and is not in the list was removed, or this node is behind: it is no applicant.
        let applies = remote.cluster == 0 || known.is_some_and(|known| !same(known));
        if applies && self.membership.is_member() && self.membership.applicants.len() < crate::cluster::MEMBERS_MAX {
            // Who was at that address before is there no longer, whether its link is known to be dead or not.
            let elsewhere = |_: &NodeId, other: &mut Member| other.addr != member.addr;
            self.membership.applicants.retain(elsewhere);
            self.membership.applicants.insert(member.id, member);
            self.membership.since_us.get_or_insert(now.mono_us);
        }
    }

    /// Tells the other side what is agreed, if it knows less. Who was never told of the cluster is told once it belongs to it.
    pub(super) fn teach(&mut self, conn: ConnId) {
        let version = self.membership.epoch();
        let Some(remote) = self.peers.link(conn).and_then(Link::remote_mut) else {
            return;
        };
        let state = self.membership.state();
        if let Some(state) = state.filter(|state| state.member(remote.id).is_some()) {
            // It belongs here from now on, and wants to hear of it, too, when it does no longer.
            remote.cluster = state.cluster;
        }
        if let Some(state) = state
            && remote.epoch < version
            && remote.cluster != 0
        {
            let learn = Word::Register(Message::Learn {
                version,
                value: state.clone(),
            });
            self.outbox.push(conn, learn.to_frame(), Shows::State);
        }
    }

    /// Whether storage has room for what the register may have to keep in this step. Without, it says and hears nothing: others ask
    /// again, and a majority of them needs nobody whose disk is full.
    fn has_room(&mut self) -> bool {
        // What is promised, accepted and chosen: two states, and some more.
        let most = 2 * self.membership.row_bytes + REGISTER_BYTES;
        let room = self.store.room_for(most).is_ok();
        if !room {
            self.store.fell_short();
        }
        room
    }

    /// A message about the register.
    pub(super) fn register_message(&mut self, from: NodeId, message: Message<ClusterState>, now: Now) {
        if !self.has_room() {
            return;
        }
        if let Message::Learn { value, .. } = &message {
            let own = self.membership.state().map_or(value.cluster, |state| state.cluster);
            if !value.is_sound() {
                return;
            }
            if own != value.cluster {
                return;
            }
        }
        let before = self.membership.epoch();
        let born = self.membership.born();
        let mut out = Vec::new();
        self.membership
            .register
            .receive(from, message, now.mono_us, &mut self.rng, &mut out);
        self.send_register(out);
        if self.membership.born() != born && self.membership.is_removed() {
            return self.begin_anew(
                "the cluster has begun a new generation without this node, which joins it anew",
                now,
            );
        }
        self.noticed(before, now);
    }

    /// Goes on as the members that are left have to, whoever else there was. `false`: the disk has no room for it.
    pub(super) fn begin_generation(&mut self, version: u64, state: ClusterState, now: Now) -> bool {
        let has_room = self.has_room();
        if has_room {
            // Whoever was given up and is alive after all hears of it.
            self.membership.contacts = self.contacts();
            self.keep_identity();
            let before = self.membership.epoch();
            self.membership.register.learn(version, state);
            self.noticed(before, now);
        }
        has_room
    }

    fn noticed(&mut self, before: u64, now: Now) {
        if self.membership.epoch() != before {
            self.membership.since_us = None;
            self.adopt(now);
            self.send_again();
            self.compare_again();
        }
    }

    /// With whom there is something to compare may have changed: it is compared soon.
    pub(super) fn compare_again(&mut self) {
        self.leftovers.look_again();
        for conn in self.peers.up() {
            if let Some(link) = self.peers.link(conn) {
                link.behind = true;
            }
        }
    }

    fn send_register(&mut self, out: Vec<(NodeId, Message<ClusterState>)>) {
        for (node, message) in out {
            if node == self.membership.id {
                self.membership.loopback.push(message);
            } else if let Some(conn) = self.peers.to(node) {
                self.outbox.push(conn, Word::Register(message).to_frame(), Shows::State);
            }
        }
    }

    /// What of the register must be durable before the messages of this step leave.
    pub(super) fn stage_membership(&mut self) {
        if self.membership.register.take_dirty() {
            let row = encode(self.membership.register.stored());
            self.membership.row_bytes = row.len() as u64;
            self.store.put_system(CLUSTER_ROW, row);
        }
        if self.store.has_staged() {
            self.keep_heard();
        }
    }

    /// Everything that was given to the host is durable: what this node said to itself may be heard.
    pub(super) fn hear_itself(&mut self, now: Now) {
        let id = self.membership.id;
        for message in core::mem::take(&mut self.membership.loopback) {
            self.register_message(id, message, now);
        }
    }

    /// Whether it has something to say to itself.
    pub(super) fn has_loopback(&self) -> bool {
        !self.membership.loopback.is_empty()
    }
}

fn encode(value: &impl Serialize) -> Bytes {
    postcard::to_allocvec(value)
        .expect("what a node keeps of itself has an encoding")
        .into()
}
