//! Which nodes are to have what: how many replicas a record has, and of what a node is one.

use std::collections::BTreeSet;

use bytes::Bytes;
use kernel::partition::{PartitionId, Routing};

/// How many replicas a partition is configured to have among so many nodes, dead ones included.
pub fn configured(nodes: usize) -> usize {
    nodes.min(3)
}

/// The fewest of so many replicas that meet every other majority of them.
pub fn majority(replicas: usize) -> usize {
    replicas / 2 + 1
}

/// The partition of a record, by its whole name. No map of a run declares how it routes.
pub fn partition_of(name: &Bytes) -> PartitionId {
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    let key = name.get(end + 1..).unwrap_or_default();
    Routing::new().partition(&String::from_utf8_lossy(&name[..end]), key)
}

/// The partitions of which a node is a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicaOf {
    /// All.
    All,
    /// These.
    Some(BTreeSet<PartitionId>),
}

impl ReplicaOf {
    /// Whether this one is among them.
    pub fn holds(&self, partition: PartitionId) -> bool {
        match self {
            ReplicaOf::All => true,
            ReplicaOf::Some(partitions) => partitions.contains(&partition),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_majorities_meet_and_two_minorities_are_none() {
        for nodes in 1..10 {
            let replicas = configured(nodes);
            let most = majority(replicas);
            assert!(
                2 * most > replicas && most <= replicas && 2 * (most - 1) <= replicas,
                "{nodes}"
            );
        }
    }

    #[test]
    fn a_records_partition_is_that_of_its_key() {
        let one = partition_of(&Bytes::from_static(b"m\0k{r}"));
        assert_eq!(one, partition_of(&Bytes::from_static(b"other\0x{r}")));
        assert!(ReplicaOf::All.holds(one) && ReplicaOf::Some([one].into()).holds(one));
        assert!(!ReplicaOf::Some(BTreeSet::new()).holds(one));
    }
}
