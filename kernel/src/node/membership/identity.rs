//! Who a node is, as it finds that on its disk: the id that it has in its cluster, and the boots that the disk has seen.

use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::lineage::Heard;
use super::{CLUSTER_ROW, HEARD_ROW, IDENTITY_ROW, REGISTER_BYTES, encode};
use crate::cluster::liveness::{Boot, Liveness, LivenessSettings};
use crate::cluster::{ClusterState, Member};
use crate::env::{NodeId, Now};
use crate::machine::StorageError;
use crate::node::Node;
use crate::register::{Register, Stored};
use crate::wire::{BOOTS_MAX, BootMark};

/// What is kept of a node's identity.
#[derive(Debug, Serialize, Deserialize)]
struct Identity {
    id: NodeId,
    name: String,
    joined: bool,
    /// Behind the rest: what was written before there were any ends here.
    boots: Vec<BootMark>,
    booted: u64,
    contacts: Vec<String>,
}

impl Identity {
    fn decode(row: &[u8]) -> Result<Self, StorageError> {
        let bad = |_| StorageError::Corrupt;
        let ((id, name, joined), rest) = postcard::take_from_bytes(row).map_err(bad)?;
        let (boots, booted, contacts) = match rest {
            [] => Default::default(),
            rest => postcard::from_bytes(rest).map_err(bad)?,
        };
        Ok(Self {
            id,
            name,
            joined,
            boots,
            booted,
            contacts,
        })
    }
}

impl Node {
    /// Takes what storage holds of who the node is.
    pub(in crate::node) fn find_itself(&mut self, now: Now) -> Result<(), StorageError> {
        let read = |row: &str| self.store.system(row).cloned();
        let known = read(IDENTITY_ROW).map(|row| Identity::decode(&row)).transpose()?;
        if known.is_none() && self.store.room_for(REGISTER_BYTES).is_err() {
            // Who it is could not even be written down.
            return Err(StorageError::Full);
        }
        let stored: Option<Stored<ClusterState>> = decode(read(CLUSTER_ROW))?;
        let heard = decode(read(HEARD_ROW))?;
        // Data that belongs to a node of another name was copied here: it is not that node that starts.
        let same = known.as_ref().is_some_and(|identity| identity.name == self.config.name);
        let kept = known.filter(|_| same).unwrap_or_else(|| Identity {
            id: NodeId(self.rng.next_u64()),
            name: self.config.name.clone(),
            joined: false,
            boots: Vec::new(),
            booted: 0,
            contacts: Vec::new(),
        });
        // What was on its way to the disk may not be there, and what was said to itself rests on it.
        self.membership.sealed = None;
        self.membership.loopback.clear();
        self.membership.failed.clear();
        self.membership.overdue.clear();
        let stored = stored.filter(|_| same).unwrap_or_default();
        if stored.value.as_ref().is_some_and(|state| !state.is_sound()) {
            return Err(StorageError::Corrupt);
        }
        self.find_floor(same)?;
        self.membership.joined = kept.joined;
        self.membership.boots = kept.boots;
        self.membership.booted = kept.booted;
        self.membership.contacts = kept.contacts;
        self.membership.heard = Heard::kept(heard.filter(|_| same).unwrap_or_default());
        self.membership.durable = stored.version;
        self.begin_as(kept.id, stored, now);
        let alone = self.config.join.is_empty() && self.membership.contacts.is_empty();
        if self.membership.epoch() == 0 && alone {
            let cluster = self.rng.next_u64().max(1);
            let founder = self.as_member();
            let state = ClusterState::born(cluster, self.config.replicas, founder);
            self.membership.register.learn(1, state);
        }
        // Where there is no room to record the boot, or the disk takes nothing, it is not counted as one: the disk goes on where it was.
        let has_room = self.store.room_for(REGISTER_BYTES).is_ok();
        if !same || (has_room && !self.membership.is_recorded) {
            self.record_boot();
        }
        self.adopt(now);
        Ok(())
    }

    /// From now on this node has this id.
    pub(super) fn begin_as(&mut self, id: NodeId, stored: Stored<ClusterState>, now: Now) {
        let writer = self.boot_id();
        self.membership.id = id;
        self.membership.register = Register::new(id, writer, stored, self.config.mutants);
        let birth_ms = now.wall_ms;
        let settings = LivenessSettings::paced(self.config.limits.probe_ms);
        self.liveness = Liveness::new(id, Boot { birth_ms, writer }, settings, self.config.mutants);
    }

    pub(super) fn record_boot(&mut self) {
        let boot = self.rng.next_u64().to_be_bytes();
        let boots = &mut self.membership.boots;
        boots.push(boot);
        boots.drain(..boots.len().saturating_sub(BOOTS_MAX));
        self.membership.booted += 1;
        self.membership.is_recorded = true;
        self.keep_identity();
    }

    pub(super) fn keep_identity(&mut self) {
        let identity = Identity {
            id: self.membership.id,
            name: self.config.name.clone(),
            joined: self.membership.joined,
            boots: self.membership.boots.clone(),
            booted: self.membership.booted,
            contacts: self.membership.contacts.clone(),
        };
        self.store.put_system(IDENTITY_ROW, encode(&identity));
    }

    /// This node, as the member list knows it.
    pub(super) fn as_member(&self) -> Member {
        Member {
            id: self.membership.id,
            name: self.config.name.clone(),
            addr: self.config.addr.clone(),
            weight: self.config.weight,
            zone: self.config.zone.clone(),
            leaving: false,
        }
    }
}

fn decode<T: for<'de> Deserialize<'de>>(row: Option<Bytes>) -> Result<Option<T>, StorageError> {
    let read = |row: Bytes| postcard::from_bytes(&row).map_err(|_| StorageError::Corrupt);
    row.map(read).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_from_before_boots_were_recorded_is_read() {
        let old = postcard::to_allocvec(&(NodeId(7), "n", true)).unwrap();
        let read = Identity::decode(&old).unwrap();
        assert_eq!((read.id, &*read.name, read.joined), (NodeId(7), "n", true));
        assert!(read.boots.is_empty() && read.contacts.is_empty());
        let now = Identity {
            boots: alloc::vec![[1; 8], [2; 8]],
            booted: 5,
            contacts: alloc::vec!["a:1".into()],
            ..read
        };
        let row = encode(&now);
        let again = Identity::decode(&row).unwrap();
        assert_eq!(
            (again.boots, again.booted, again.contacts),
            (now.boots, 5, now.contacts)
        );
        for len in 0..row.len() {
            assert!(len == old.len() || Identity::decode(&row[..len]).is_err());
        }
    }
}
