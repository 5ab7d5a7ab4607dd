//! What counts as not there for one who asks.

use alloc::collections::BTreeMap;
use serde::{Deserialize, Serialize};

use crate::crdt::Version;
use crate::hlc::Stamp;
use crate::store::{MapRow, RecordKey, Store};

/// Versions that whoever asks was told have expired, by a clock that is ahead of this node's: they are not shown to him again. What has
/// the same stamp and does not expire is another version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    stamps: BTreeMap<RecordKey, Stamp>,
}

impl Gone {
    /// Of the versions that somebody was told are gone, those that are held.
    pub fn of<'a>(told: impl Iterator<Item = (&'a RecordKey, Stamp)>, store: &Store) -> Self {
        let is_held = |key: &RecordKey, stamp| store.get(key).is_some_and(|version| version.stamp == stamp);
        let held = told.filter(|(key, stamp)| is_held(key, *stamp));
        Self {
            stamps: held.map(|(key, stamp)| (key.detached(), stamp)).collect(),
        }
    }

    /// Whether this version of a key is one of them.
    pub fn has_version(&self, key: &RecordKey, version: &Version<'_>) -> bool {
        version.ttl_ms.is_some() && self.stamps.get(key) == Some(&version.stamp)
    }

    /// Whether a row shows one of them.
    pub fn has(&self, row: &MapRow<'_>) -> bool {
        let stamp = row.expiring.filter(|_| !self.stamps.is_empty());
        stamp.is_some_and(|stamp| self.stamps.get(&row.name()) == Some(&stamp))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crdt::Record;
    use crate::env::{Limits, WriterId};
    use crate::partition::PartitionSet;
    use crate::query::{Live, Query};
    use crate::store::StoreConfig;

    /// Two clients that share a name and a clock can write two versions with one stamp.
    #[test]
    fn what_has_the_same_stamp_and_does_not_expire_is_there() {
        let limits = Limits::default();
        let mut store = Store::new(&StoreConfig::default());
        let key = RecordKey::new("m", b"k", &limits).unwrap();
        let stamp = Stamp::new(5, 0, WriterId(1)).unwrap();
        let expires = Version {
            ttl_ms: Some(1_000),
            ..Version::new(stamp, "w", Some(&[1]))
        };
        store.merge(key.clone(), Record::new(&expires));
        let gone = Gone::of([(&key, stamp)].into_iter(), &store);
        let all = PartitionSet::all();
        let (live, rows) = Live::open_but(gone.clone(), Query::of("m"), &store, &all, &limits).unwrap();
        assert!(rows.is_empty() && live.value(&store, &key).is_none());
        store.merge(key.clone(), Record::new(&Version::new(stamp, "w", Some(&[2]))));
        assert_eq!(live.value(&store, &key), Some(&[2][..]));
        assert_eq!(Query::of("m").run_but(&gone, &store, &all, &limits).unwrap().len(), 1);
    }
}
