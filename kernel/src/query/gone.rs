//! What counts as not there for one who asks.

use alloc::collections::BTreeMap;
use serde::{Deserialize, Serialize};

use crate::hlc::Stamp;
use crate::store::{MapRow, RecordKey, Store};

/// Versions that whoever asks was told have expired, by a clock that is ahead of this node's: they are not shown to him again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    stamps: BTreeMap<RecordKey, Stamp>,
}

impl Gone {
    /// Of the versions that somebody was told are gone, those that are held and expire at all.
    pub fn of<'a>(told: impl Iterator<Item = (&'a RecordKey, Stamp)>, store: &Store) -> Self {
        let expires = |key: &RecordKey, stamp| {
            let held = store.get(key);
            held.is_some_and(|version| version.stamp == stamp && version.ttl_ms.is_some())
        };
        let held = told.filter(|(key, stamp)| expires(key, *stamp));
        Self {
            stamps: held.map(|(key, stamp)| (key.detached(), stamp)).collect(),
        }
    }

    /// Whether this version of a key is one of them.
    pub fn has_version(&self, key: &RecordKey, stamp: Stamp) -> bool {
        self.stamps.get(key) == Some(&stamp)
    }

    /// Whether a row shows one of them.
    pub fn has(&self, row: &MapRow<'_>) -> bool {
        !self.stamps.is_empty() && self.has_version(&row.name(), row.stamp)
    }
}
