//! Which nodes hold each partition: an owner, and backups in the order in which they take over.
//!
//! A table of fixed slots, as in Redis Cluster (a node's share is a set of slots, not a range of a ring) and with rows as in
//! Hazelcast (271 partitions, the owner first and its backups behind it). Unlike there, no master hands it out: the table
//! is part of what the members agree on, and [`Table::next`] is a pure function of the last one and of who is a member.
//! Whoever knows the epoch has the same bytes. What is otherwise equal is decided by rendezvous weight (Thaler, Ravishankar,
//! "Using Name-Based Mappings to Increase Hit Rates", 1998): a hash of partition and node that prefers nobody.
//!
//! **What a table is held to**, each before those behind it:
//! 1. A row has `replicas` nodes, or all of them if there are fewer, each once.
//! 2. *Even.* A node's share is in proportion to its weight, except that it holds no partition twice: beyond all partitions
//!    its weight counts for nothing, and the others share the rest. It holds its share rounded down or up; and it owns that
//!    share divided by `replicas`, rounded down or up. With equal weights both are within one of even.
//! 3. *Spread.* The shares of a zone's members, summed and divided by the number of partitions, are what an average row has in
//!    that zone. Each row has that, rounded down or up. So no two of a row's replicas are in one zone as long as no zone has
//!    more than one share in `replicas`; and a row is all in one zone only if the others together are too small to be in
//!    every row. Who wants it in every row anyway gives that zone more weight: a small zone is not filled beyond its share.
//! 4. *Few moves.* A replica stays where it is unless that breaks one of the above; a copy is taken from the fullest node and
//!    given to the neediest.
//!
//! All of the first three can always be had together. The plan that gives each row the same fraction of each node fits them all,
//! every bound is a whole number, and each constrains a node, a row, or a zone within a row: that is a flow in a network, and
//! a flow with whole bounds that has a solution has one in whole numbers (Ford, Fulkerson, "Flows in Networks", 1962). The same
//! theorem says how to get there from any table: along a path on which one row hands a replica from its first node to the
//! next, another row from that one to the one behind, and so on (`search.rs`). Nearly all paths have one step.

mod owners;
mod placement;
mod search;
mod shares;

#[cfg(test)]
mod tests;

use alloc::vec;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use super::{PARTITIONS, PartitionId};
use crate::env::{Mutants, NodeId};
use search::Cluster;

/// The largest weight of a [`Seat`].
pub const WEIGHT_MAX: u32 = 1_000;

/// A member that can hold replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Seat {
    /// Who it is.
    pub id: NodeId,
    /// What it can hold, relative to the others: 1 to [`WEIGHT_MAX`]. What is outside counts as the nearest of these.
    pub weight: u32,
    /// What it fails together with: all members with the same number.
    pub zone: u32,
}

/// Which nodes hold each partition. Equal tables have equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Vec<NodeId>>")]
pub struct Table(Vec<Vec<NodeId>>);

/// Bytes that are no [`Table`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a table has a row for each of {PARTITIONS} partitions, and this one has {rows}")]
pub struct BadTable {
    /// How many rows there were.
    pub rows: usize,
}

impl TryFrom<Vec<Vec<NodeId>>> for Table {
    type Error = BadTable;

    /// Takes any rows, as long as there is one for each partition: what is wrong with them, [`Table::next`] heals.
    fn try_from(rows: Vec<Vec<NodeId>>) -> Result<Self, BadTable> {
        if rows.len() == usize::from(PARTITIONS) {
            Ok(Self(rows))
        } else {
            Err(BadTable { rows: rows.len() })
        }
    }
}

impl Default for Table {
    fn default() -> Self {
        Self::empty()
    }
}

impl Table {
    /// Nobody holds anything.
    pub fn empty() -> Self {
        Self(vec![Vec::new(); usize::from(PARTITIONS)])
    }

    /// Who holds partition `id`: the owner, then the backups in the order in which they take over.
    pub fn replicas(&self, id: PartitionId) -> &[NodeId] {
        &self.0[id.index()]
    }

    /// The table for `seats`, reached from this one with few moves: what it is held to is said in the [module's
    /// documentation](self). It does not depend on the order of `seats`; of two with the same id the lesser one counts. It is
    /// at rest: its own next, for the same seats, is itself. Any table can be gone on from, whatever it holds.
    pub fn next(&self, seats: &[Seat], replicas: usize, mutants: Mutants) -> Table {
        let cluster = Cluster::new(seats, replicas, mutants);
        if cluster.per_row == 0 {
            return Self::empty();
        }
        let before: Vec<Vec<usize>> = self.0.iter().map(|row| cluster.known(row)).collect();
        let sets = placement::place(&cluster, &before);
        let led = |row: &Vec<NodeId>| row.first().is_some_and(|owner| !cluster.known(&[*owner]).is_empty());
        let led: Vec<bool> = self.0.iter().map(led).collect();
        let rows = owners::order(&cluster, &before, &led, &sets);
        let id = |seat: usize| cluster.seats[seat].id;
        Self(rows.into_iter().map(|row| row.into_iter().map(id).collect()).collect())
    }

    /// What it takes to come from this table to `next`.
    pub fn moves_to(&self, next: &Table) -> Moves {
        let mut moves = Moves::default();
        for (old, new) in self.0.iter().zip(&next.0) {
            moves.placed += added(old, new).len();
            moves.dropped += added(new, old).len();
            moves.owners += usize::from(old.first() != new.first());
        }
        moves
    }
}

/// The nodes of a partition's row `new` that are not in its row `old`, in the order of `new`: those that must be sent its data.
pub fn added(old: &[NodeId], new: &[NodeId]) -> Vec<NodeId> {
    new.iter().filter(|id| !old.contains(id)).copied().collect()
}

/// What it takes to come from one table to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Moves {
    /// Replicas that are placed where there was none: each is a partition's data sent once.
    pub placed: usize,
    /// Replicas that are no more where they were.
    pub dropped: usize,
    /// Partitions whose owner is another one.
    pub owners: usize,
}
