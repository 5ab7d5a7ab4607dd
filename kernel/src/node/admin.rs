//! What whoever runs the cluster asks and wants.
//!
//! A change of the member list is a wish of this node ([`Node::wish`]): it is proposed when it is this node's turn, and the one who
//! asked is answered once it is agreed, or when it has taken too long. Whether it comes about then is not known.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::cluster::{BadChange, Change, ClusterState, Tally};
use crate::env::{ConnId, NodeId, Now};
use crate::node::Node;
use crate::partition::PartitionId;
use crate::register::Agreed;
use crate::session::{Kind, Request, Shows};
use crate::wire::admin::{
    self, ChangeAsked, Changed, ClusterStatus, Locate, Located, MemberStatus, MoveStatus, Order, Status,
};
use crate::wire::client::Get;
use crate::wire::repairs::{self, PeerRepairs, RepairStatus};
use crate::wire::server::{self, Refusal};
use crate::wire::{Code, ReadConsistency};

/// Most changes that somebody waits for.
const ORDERS_MAX: usize = 64;

/// Who waits for a change of the member list.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Orders(Vec<Waiting>);

#[derive(Debug, Serialize, Deserialize)]
struct Waiting {
    conn: ConnId,
    order: Order,
    id: NodeId,
    node: String,
    deadline_us: u64,
}

impl Waiting {
    fn change(&self) -> Change {
        match self.order {
            Order::Leave => Change::Leave(self.id),
            _ => Change::Remove(self.id),
        }
    }

    /// Whether it is so.
    fn is_in(&self, state: &ClusterState) -> bool {
        let member = state.member(self.id);
        member.is_none_or(|member| self.order == Order::Leave && member.leaving)
    }
}

impl Orders {
    /// When something here is due.
    pub fn wake_us(&self) -> Option<u64> {
        self.0.iter().map(|waiting| waiting.deadline_us).min()
    }

    /// A connection is no more: nobody waits there.
    pub fn gone(&mut self, conn: ConnId) {
        self.0.retain(|waiting| waiting.conn != conn);
    }
}

impl Node {
    /// Somebody wants the member list changed.
    pub(super) fn change_cluster(&mut self, conn: ConnId, asked: &ChangeAsked<'_>, now: Now) {
        if matches!(asked.order, Order::Recover | Order::Losses) {
            return self.force(conn, asked.order, now);
        }
        let found = self.found_member(asked.node).and_then(|(id, node)| {
            let deadline_us = now.mono_us + self.config.limits.request_ms * 1_000;
            let waiting = Waiting {
                conn,
                order: asked.order,
                id,
                node,
                deadline_us,
            };
            self.can_be_agreed()?;
            if asked.order == Order::Leave && id != self.membership.id() && self.peers.to(id).is_none() {
                let node = &waiting.node;
                let reason = format!(
                    "{node} cannot be reached, and nobody else knows what it has: remove it if it is gone for good"
                );
                return Err((Code::NotPossible, reason));
            }
            if self.orders.0.len() >= ORDERS_MAX || !self.membership.takes_wishes() {
                return Err((
                    Code::Overloaded,
                    "too many changes of the cluster are waited for".into(),
                ));
            }
            self.wish(waiting.change(), now)
                .map_err(|bad| self.impossible(&waiting, &bad))?;
            Ok(waiting)
        });
        match found {
            Ok(waiting) => self.orders.0.push(waiting),
            Err((code, reason)) => {
                let mut desk = self.desk(now);
                desk.doing = Kind::Cluster;
                desk.refuse(conn, code, reason, "");
            }
        }
    }

    /// The member that is meant, and its name.
    fn found_member(&self, asked: &str) -> Result<(NodeId, String), (Code, String)> {
        let own = self.membership.id();
        let members = self.membership.state().map_or(&[][..], |state| &state.members[..]);
        let meant = |id: NodeId, name: &str| match asked {
            "" => id == own,
            _ => name == asked || format!("{:016x}", id.0) == asked,
        };
        let found: Vec<_> = members.iter().filter(|member| meant(member.id, &member.name)).collect();
        match found[..] {
            [member] => Ok((member.id, member.name.clone())),
            [] => {
                let names: Vec<&str> = members.iter().map(|member| &*member.name).collect();
                let reason = format!("no member is called {asked:?}: the members are {}", names.join(", "));
                Err((Code::NotPossible, reason))
            }
            _ => {
                let ids: Vec<String> = found.iter().map(|member| format!("{:016x}", member.id.0)).collect();
                let reason = format!(
                    "{} members are called {asked:?}: give the id, one of {}",
                    ids.len(),
                    ids.join(", ")
                );
                Err((Code::NotPossible, reason))
            }
        }
    }

    /// A majority of the members must be there for any change.
    fn can_be_agreed(&self) -> Result<(), (Code, String)> {
        let tally = self.members_reached();
        if tally.is_enough() {
            return Ok(());
        }
        let Tally { have, need, of } = tally;
        let reason = format!("too few members can be reached to agree on a change: have {have} of {of}, need {need}");
        Err((Code::NoQuorum, reason))
    }

    pub(super) fn members_reached(&self) -> Tally {
        let own = self.membership.id();
        let voters = self.membership.state().map(Agreed::voters).unwrap_or_default();
        let reached = voters
            .iter()
            .filter(|node| **node == own || self.peers.to(**node).is_some());
        Tally {
            have: reached.count(),
            need: voters.len() / 2 + 1,
            of: voters.len(),
        }
    }

    fn impossible(&self, waiting: &Waiting, bad: &BadChange) -> (Code, String) {
        let node = &waiting.node;
        let reason = match (bad, waiting.order) {
            (BadChange::Last, _) => format!("{node} is the last member that stays: a cluster without members is none"),
            (BadChange::Nothing, Order::Leave) => format!("{node} is leaving already"),
            (bad, _) => format!("{bad}"),
        };
        (Code::NotPossible, reason)
    }

    /// Answers those whose change is agreed, cannot be made any more, or has taken too long.
    pub(super) fn settle_orders(&mut self, now: Now) {
        if self.orders.0.is_empty() {
            return;
        }
        let Some(state) = self.membership.state() else {
            return;
        };
        let epoch = self.membership.epoch();
        let mut settled = Vec::new();
        for (at, waiting) in self.orders.0.iter().enumerate() {
            let answer = if waiting.is_in(state) {
                Ok(Changed {
                    order: waiting.order,
                    id: waiting.id,
                    node: waiting.node.clone(),
                    epoch,
                    moves: state.moves() as u64,
                })
            } else if waiting.deadline_us <= now.mono_us {
                Err(match state.after(&waiting.change(), epoch + 1) {
                    Err(bad) => self.impossible(waiting, &bad),
                    Ok(_) => (Code::OutcomeUnknown, self.not_yet(waiting)),
                })
            } else {
                continue;
            };
            settled.push((at, answer));
        }
        for (at, answer) in settled.into_iter().rev() {
            let Waiting { conn, .. } = self.orders.0.remove(at);
            match answer {
                Ok(changed) => {
                    self.tally.operations.add(Kind::Cluster, None);
                    self.outbox.push(conn, admin::changed(&changed), Shows::State);
                    self.requests.push(Request::Read { conn, id: "".into() });
                }
                Err((code, reason)) => {
                    self.tally.operations.add(Kind::Cluster, Some(code));
                    let refusal = Refusal { code, reason };
                    self.outbox.push(conn, server::error(&refusal, ""), Shows::Nothing);
                }
            }
        }
    }

    fn not_yet(&self, waiting: &Waiting) -> String {
        let Tally { have, need, of } = self.members_reached();
        format!(
            "that {} goes is not agreed yet, and may still come about: {have} of {of} members can be reached, {need} must agree",
            waiting.node
        )
    }

    /// How the cluster is, in this node's eyes.
    pub(super) fn cluster_status(&self) -> ClusterStatus {
        let own = self.membership.id();
        let about = ClusterStatus {
            name: self.config.cluster_name.clone(),
            asked: own,
            ..ClusterStatus::default()
        };
        let Some(state) = self.membership.state().filter(|_| self.membership.cluster() != 0) else {
            return about;
        };
        let routes = self.membership.routes();
        let held = |id| {
            state
                .placements
                .iter()
                .filter(|placement| placement.replicas.contains(&id))
                .count()
        };
        let members = state.members.iter().map(|member| MemberStatus {
            id: member.id,
            node: member.name.clone(),
            addr: member.addr.clone(),
            zone: member.zone.clone(),
            weight: member.weight.into(),
            leaving: member.leaving,
            alive: routes.is_alive(member.id),
            owned: routes.owned(member.id) as u64,
            held: held(member.id) as u64,
        });
        ClusterStatus {
            cluster: state.cluster,
            generation: state.generation(),
            epoch: self.membership.epoch(),
            replicas: state.replicas.into(),
            orphans: routes.orphans() as u64,
            floor_ms: state.floor >> 16,
            promised_ms: state.promised() >> 16,
            members: members.collect(),
            moves: self.open_moves(state),
            ..about
        }
    }

    fn open_moves(&self, state: &ClusterState) -> Vec<MoveStatus> {
        let open = PartitionId::all()
            .map(|id| (id, state.placement(id)))
            .filter(|(_, placement)| placement.is_moving());
        let moves = open.map(|(id, placement)| {
            let name = (id, placement.since);
            let filled = placement.target.iter().filter(|node| self.is_filled(**node, name));
            MoveStatus {
                partition: id.index() as u64,
                since: placement.since,
                from: names(state, &placement.replicas),
                to: names(state, &placement.target),
                filled: filled.count() as u64,
            }
        });
        moves.collect()
    }

    /// Says where a key lies.
    pub(super) fn locate(&mut self, conn: ConnId, at: &Locate<'_>, now: Now) -> Option<Request> {
        let get = Get {
            id: "",
            map: at.map,
            key: at.key,
            consistency: ReadConsistency::default(),
        };
        let mut desk = self.desk(now);
        desk.doing = Kind::Cluster;
        let key = match desk.key_of(&get) {
            Ok(key) => key,
            Err(Refusal { code, reason }) => {
                desk.refuse(conn, code, reason, "");
                return None;
            }
        };
        let state = self.membership.state()?;
        let id = self.store.partition_of(&key);
        let placement = state.placement(id);
        let owner = self.membership.routes().owner(id);
        let located = Located {
            map: at.map.into(),
            key: at.key.into(),
            partition: id.index() as u64,
            replicas: names(state, &placement.replicas),
            target: names(state, &placement.target),
            owner: owner.and_then(|owner| names(state, &[owner]).pop()),
        };
        self.tally.operations.add(Kind::Cluster, None);
        self.outbox.push(conn, admin::located(&located), Shows::State);
        Some(Request::Read { conn, id: "".into() })
    }

    /// Somebody wants everything compared, and to know what that has cost so far.
    pub(super) fn repair_now(&mut self, conn: ConnId) -> Option<Request> {
        for peer in self.peers.up() {
            self.peers.falls_behind(peer);
        }
        let counts = self.tally.repairs;
        let peers = self.peers.links_up().map(|(_, link, node)| {
            let (open, waiting) = link.repairs.open_and_waiting();
            PeerRepairs {
                node: node.into(),
                repairing: (open as u64, waiting as u64),
                last: link.repairs.last(),
            }
        });
        let status = RepairStatus {
            rounds: self.tally.rounds,
            differed: counts.differed,
            begun: counts.begun,
            whole: counts.whole,
            fallbacks: counts.fallbacks,
            cost: counts.cost,
            given_bytes: counts.record_bytes,
            peers: peers.collect(),
        };
        self.tally.operations.add(Kind::Cluster, None);
        self.outbox.push(conn, repairs::status(&status), Shows::State);
        Some(Request::Read { conn, id: "".into() })
    }

    /// How this node is.
    pub(super) fn status(&self) -> Status {
        let digests = PartitionId::all().map(|id| self.store.partition(id).digest());
        let state = self.membership.state().filter(|_| self.membership.cluster() != 0);
        let routes = self.membership.routes();
        let belongs = state.is_some();
        Status {
            node: self.config.name.clone(),
            id: self.membership.id(),
            cluster: self.membership.cluster(),
            epoch: if belongs { self.membership.epoch() } else { 0 },
            members: state.map_or(0, |state| state.members.len() as u64),
            owned: routes.owned(self.membership.id()) as u64,
            orphans: if belongs { routes.orphans() as u64 } else { 0 },
            moves: state.map_or(0, |state| state.moves() as u64),
            moves_here: self.fills.open() as u64,
            filled_here: self.filled_here().count() as u64,
            moved_bytes: self.tally.moved_bytes,
            waiting: self.waits.len() as u64,
            records: self.store.len() as u64,
            committed: self.store.committed_number(),
            applied: self.store.applied_number(),
            connections: self.conns.len() as u64,
            peers: self.peers.status(),
            digest: digests.fold(0, u128::wrapping_add),
        }
    }
}

/// The names of nodes; of one that is no member any more, its id.
fn names(state: &ClusterState, nodes: &[NodeId]) -> Vec<String> {
    let name = |id: &NodeId| match state.member(*id) {
        Some(member) => member.name.clone(),
        None => format!("{:016x}", id.0),
    };
    nodes.iter().map(name).collect()
}
