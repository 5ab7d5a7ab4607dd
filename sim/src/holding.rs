//! What a node holds at one moment, partition by partition: its digests, and the records that they are meant to stand for.

use std::collections::BTreeMap;

use kernel::partition::PartitionId;
use kernel::store::Store;

use crate::model::{State, Version};

/// What one node holds in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The node.
    pub node: usize,
    /// The digest of each partition, as the node computes it.
    pub digests: Vec<u128>,
    /// The records of each partition that has some.
    pub records: BTreeMap<usize, State>,
}

impl Holding {
    /// What a node's store holds.
    pub fn of(node: usize, store: &Store) -> Self {
        let mut records: BTreeMap<usize, State> = BTreeMap::new();
        for (key, version) in store.rows() {
            let partition = store.partition_of(&key).index();
            let record = (key.as_bytes().clone(), Version::of(&version));
            records.entry(partition).or_default().extend([record]);
        }
        Self {
            node,
            digests: PartitionId::all().map(|id| store.partition(id).digest()).collect(),
            records,
        }
    }
}
