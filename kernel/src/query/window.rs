//! The first few of many, kept as they come and go.

use alloc::collections::BTreeMap;
use bytes::Bytes;
use core::ops::Bound;
use serde::{Deserialize, Serialize};

use crate::store::RecordKey;

/// The records that match in their order, and how far the answer reaches.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Window {
    /// How many the answer may have: one at least.
    size: usize,
    pub(super) ranked: BTreeMap<Bytes, RecordKey>,
    /// The rank of the last one in a full answer.
    pub(super) edge: Option<Bytes>,
}

impl Window {
    pub(super) fn new(size: usize) -> Self {
        Self {
            size,
            ranked: BTreeMap::new(),
            edge: None,
        }
    }

    pub(super) fn shows(&self, rank: &Bytes) -> bool {
        self.edge.as_ref().is_none_or(|edge| rank <= edge)
    }

    pub(super) fn insert(&mut self, rank: Bytes, name: RecordKey) {
        let moves_edge = self.shows(&rank);
        self.ranked.insert(rank, name);
        if !moves_edge {
            return;
        }
        self.edge = match &self.edge {
            // The last one is pushed out; the one before it, perhaps the new one, is the last.
            Some(edge) => self
                .ranked
                .range(..edge.clone())
                .next_back()
                .map(|(rank, _)| rank.clone()),
            None if self.ranked.len() == self.size => self.ranked.last_key_value().map(|(rank, _)| rank.clone()),
            None => None,
        };
    }

    pub(super) fn remove(&mut self, rank: &Bytes) {
        let moves_edge = self.shows(rank);
        self.ranked.remove(rank);
        if let Some(edge) = self.edge.take_if(|_| moves_edge) {
            let beyond = (Bound::Excluded(edge), Bound::Unbounded);
            self.edge = self.ranked.range(beyond).next().map(|(rank, _)| rank.clone());
        }
    }
}
