//! What the whole cluster agrees on: who belongs to it, and where each partition lies.
//!
//! It is the value of one register ([`crate::register`]), changed by one member at a time: each change is a new version. The next
//! state is a pure function of the one before and the change, so that all who know a version have the same bytes (rule 8 of
//! the promises). Who is *alive* is not in here.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::cluster::Placement;
use crate::cluster::packed::Packed;
use crate::crdt::floor::FLOOR_MAX;
use crate::env::{Mutants, NodeId};
use crate::partition::table::{Seat, Table};
use crate::partition::{PARTITIONS, PartitionId};
use crate::register::Agreed;

/// Most members of a cluster.
pub const MEMBERS_MAX: usize = 64;

/// The agreed state of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Packed", try_from = "Packed")]
pub struct ClusterState {
    /// Drawn when the cluster was born. Nodes of different clusters refuse each other.
    pub cluster: u64,
    /// The version that its generation began with: see [`ClusterState::generation`].
    pub born: u64,
    /// How many replicas a partition should have; there are fewer where there are fewer members.
    pub replicas: u32,
    /// The members, ascending by id.
    pub members: Vec<Member>,
    /// Where each partition lies.
    pub placements: Vec<Placement>,
    /// At or below this time ([`crate::hlc::Stamp::time`]) everything is settled ([`crate::crdt::floor`]): what a replica lacks there
    /// was deleted.
    pub floor: u64,
    /// The version at which all members confirmed that floor.
    pub settled_at: u64,
    /// How often replicas were given up that a majority may have been among: what they agreed on, and nobody else knows, is forgotten.
    pub losses: u64,
    /// Who has adopted this admits nothing at or below this time. It becomes the floor once every member holds what the others had
    /// admitted before; 0 where there is none.
    pub candidate: u64,
}

/// A node that belongs to the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its id, kept with its data.
    pub id: NodeId,
    /// What people call it.
    pub name: String,
    /// Where the others dial it.
    pub addr: String,
    /// How much it should hold, relative to the others.
    pub weight: u32,
    /// What it shares its fate with: members of one zone may fail together.
    pub zone: String,
    /// It is going to leave, and gives its partitions away first.
    pub leaving: bool,
}

/// One change of the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A node becomes a member, or a member has another name, address, weight or zone.
    Join(Member),
    /// A member gives its partitions away; once it holds none it is removed.
    Leave(NodeId),
    /// A member is one no longer. What it held is made whole from the others.
    Remove(NodeId),
    /// These moves are closed: each is named with the version that opened it.
    Close(Vec<(PartitionId, u64)>),
    /// The floor is to rise to this time: nothing at or below it is admitted any more.
    Settle(u64),
    /// The candidate is the floor from now on: all members hold all there is at or below it.
    Raise,
}

/// Why a change cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadChange {
    /// It is so already.
    #[error("nothing would change")]
    Nothing,
    /// There is no such member.
    #[error("no member has the id {:016x}", .0.0)]
    NoMember(NodeId),
    /// Somebody would have to be left.
    #[error("the last member cannot go: a cluster without members is none")]
    Last,
    /// Another member is known at that address.
    #[error("the member with the id {:016x} has the address {addr}", .id.0)]
    AddrTaken {
        /// Which member.
        id: NodeId,
        /// The address.
        addr: String,
    },
    /// There are as many members as there may be.
    #[error("a cluster has at most {MEMBERS_MAX} members")]
    Full,
}

impl Agreed for ClusterState {
    fn voters(&self) -> Vec<NodeId> {
        self.members.iter().map(|member| member.id).collect()
    }
}

impl ClusterState {
    /// A cluster of one member, which owns every partition. Version 1.
    pub fn born(cluster: u64, replicas: u32, founder: Member) -> Self {
        let placement = Placement {
            replicas: alloc::vec![founder.id],
            target: Vec::new(),
            since: 1,
        };
        Self {
            cluster,
            born: 1,
            replicas,
            members: alloc::vec![founder],
            placements: alloc::vec![placement; PARTITIONS.into()],
            floor: 0,
            settled_at: 0,
            losses: 0,
            candidate: 0,
        }
    }

    /// One member.
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }

    /// Where a partition lies.
    pub fn placement(&self, id: PartitionId) -> &Placement {
        &self.placements[id.index()]
    }

    /// Whether a state that somebody sent is one: as many placements as there are partitions, members in order.
    pub fn is_sound(&self) -> bool {
        let ordered = self.members.windows(2).all(|pair| pair[0].id < pair[1].id);
        let placed = self.placements.iter().all(|placement| !placement.replicas.is_empty());
        let floors =
            self.floor.max(self.candidate) <= FLOOR_MAX && (self.candidate == 0 || self.candidate > self.floor);
        ordered
            && placed
            && floors
            && (1..=MEMBERS_MAX).contains(&self.members.len())
            && self.placements.len() == PARTITIONS.into()
    }

    /// Numbers that are given in this state, such as fencing tokens, are at least this: above all that were given before something was lost
    /// that a majority may have agreed on. Of two generations that were forced apart the one that stays has the higher ones, too.
    pub fn least_number(&self) -> u64 {
        /// More than can be given between two losses.
        const NUMBERS: u64 = 1 << 28;
        self.born.saturating_add(self.losses.saturating_mul(NUMBERS))
    }

    /// Nothing that is stamped at or below this time is admitted.
    pub fn promised(&self) -> u64 {
        self.floor.max(self.candidate)
    }

    /// How many moves are open.
    pub fn moves(&self) -> usize {
        self.placements.iter().filter(|placement| placement.is_moving()).count()
    }

    /// Whether a partition lies with `node`, or is moving there.
    pub fn is_used(&self, node: NodeId) -> bool {
        self.placements.iter().any(|placement| placement.holds(node))
    }

    /// The state after a change, which is the version `version`.
    ///
    /// # Errors
    /// [`BadChange`]: the change cannot be made.
    pub fn after(&self, change: &Change, version: u64) -> Result<Self, BadChange> {
        let mut next = self.clone();
        match change {
            Change::Join(member) => next.join(member)?,
            Change::Leave(id) => {
                let stays = self.members.iter().any(|member| member.id != *id && !member.leaving);
                let member = next.members.iter_mut().find(|member| member.id == *id);
                let member = member.ok_or(BadChange::NoMember(*id))?;
                if member.leaving {
                    return Err(BadChange::Nothing);
                }
                if !stays {
                    return Err(BadChange::Last);
                }
                member.leaving = true;
            }
            Change::Remove(id) => {
                self.member(*id).ok_or(BadChange::NoMember(*id))?;
                next.members.retain(|member| member.id != *id);
                let Some(heir) = next.members.first().map(|member| member.id) else {
                    return Err(BadChange::Last);
                };
                let mut loses = false;
                for placement in &mut next.placements {
                    loses |= placement.without(&next.members, heir);
                }
                next.losses += u64::from(loses);
            }
            Change::Close(moves) => {
                let mut closed = false;
                for (id, since) in moves {
                    let placement = &mut next.placements[id.index()];
                    // It may have been given another target meanwhile: that is another move.
                    if placement.is_moving() && placement.since == *since {
                        placement.replicas = core::mem::take(&mut placement.target);
                        placement.since = version;
                        closed = true;
                    }
                }
                return if closed { Ok(next) } else { Err(BadChange::Nothing) };
            }
            Change::Settle(candidate) => {
                let rises = *candidate > self.floor.max(self.candidate) && *candidate <= FLOOR_MAX;
                next.candidate = *candidate;
                return if rises { Ok(next) } else { Err(BadChange::Nothing) };
            }
            Change::Raise => {
                next.floor = core::mem::take(&mut next.candidate);
                next.settled_at = version - 1;
                return if self.candidate > 0 {
                    Ok(next)
                } else {
                    Err(BadChange::Nothing)
                };
            }
        }
        next.place(version);
        Ok(next)
    }

    fn join(&mut self, member: &Member) -> Result<(), BadChange> {
        let taken = |other: &&Member| other.addr == member.addr && other.id != member.id;
        if let Some(other) = self.members.iter().find(taken) {
            let (id, addr) = (other.id, other.addr.clone());
            return Err(BadChange::AddrTaken { id, addr });
        }
        match self.members.binary_search_by_key(&member.id, |known| known.id) {
            Ok(at) => {
                // Who is leaving goes on doing so, whatever it says of itself.
                let leaving = self.members[at].leaving;
                let known = core::mem::replace(&mut self.members[at], member.clone());
                self.members[at].leaving = leaving;
                if self.members[at] == known {
                    return Err(BadChange::Nothing);
                }
            }
            Err(_) if self.members.len() >= MEMBERS_MAX => return Err(BadChange::Full),
            Err(at) => self.members.insert(at, member.clone()),
        }
        Ok(())
    }

    /// Opens the moves that the members now ask for.
    pub(super) fn place(&mut self, version: u64) {
        let stays = |member: &&Member| !member.leaving;
        let mut zones: Vec<&str> = self.members.iter().map(|member| &*member.zone).collect();
        zones.sort_unstable();
        zones.dedup();
        let seat = |member: &Member| Seat {
            id: member.id,
            weight: member.weight,
            zone: zones.partition_point(|zone| *zone < &*member.zone) as u32,
        };
        let seats: Vec<Seat> = self.members.iter().filter(stays).map(seat).collect();
        // If all are leaving they stay where they are until somebody comes.
        let seats = match seats.is_empty() {
            true => self.members.iter().map(seat).collect(),
            false => seats,
        };
        let wanted = |placement: &Placement| match placement.is_moving() {
            true => placement.target.clone(),
            false => placement.replicas.clone(),
        };
        let rows: Vec<Vec<NodeId>> = self.placements.iter().map(wanted).collect();
        let before = Table::try_from(rows).unwrap_or_default();
        let table = before.next(&seats, self.replicas as usize, Mutants::default());
        for (id, placement) in PartitionId::all().zip(&mut self.placements) {
            placement.aim(table.replicas(id), version);
        }
    }
}

impl Placement {
    /// Members are gone for good. They are still counted, as replicas that cannot be reached, while the others are a majority: then those
    /// have all that any majority had. Beyond that as many are left out as it takes, and what only those had is lost; where nobody is
    /// left, `heir` begins with nothing.
    ///
    /// Whether any was left out.
    fn without(&mut self, members: &[Member], heir: NodeId) -> bool {
        let before = self.replicas.len();
        let is_member = |node: &NodeId| members.iter().any(|member| member.id == *node);
        while 2 * self.replicas.iter().filter(|node| is_member(node)).count() <= self.replicas.len()
            && let Some(gone) = self.replicas.iter().rposition(|node| !is_member(node))
        {
            self.replicas.remove(gone);
        }
        if self.replicas.is_empty() {
            let next = self.target.iter().copied().find(is_member);
            self.replicas.push(next.unwrap_or(heir));
            return true;
        }
        self.replicas.len() < before
    }

    /// Aims at these replicas: at once if they are the ones that it has, in whatever order, and by a move otherwise.
    fn aim(&mut self, wanted: &[NodeId], version: u64) {
        let same = |a: &[NodeId], b: &[NodeId]| a.len() == b.len() && a.iter().all(|node| b.contains(node));
        if same(&self.replicas, wanted) {
            // A move that is given up is a change of who counts: the members of its target do no longer.
            if self.is_moving() {
                self.target.clear();
                self.since = version;
            }
            self.replicas = wanted.to_vec();
        } else if same(&self.target, wanted) {
            self.target = wanted.to_vec();
        } else {
            self.target = wanted.to_vec();
            self.since = version;
        }
    }
}

#[cfg(test)]
mod tests;
