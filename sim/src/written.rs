//! What the clients of a run have written, as they know it: what invariants judge reads by.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::client::Found;
use crate::invariant::Write;
use crate::model::Version;

/// Every version that a client stamped, record by record.
#[derive(Debug, Default)]
pub(crate) struct Written {
    records: BTreeMap<Bytes, Record>,
}

#[derive(Debug, Default)]
struct Record {
    versions: Vec<Version>,
    /// The greatest version after which a read may find nothing: a delete, or one that expires.
    vanishing: Option<Version>,
}

impl Written {
    /// A client stamped a write.
    pub fn add(&mut self, write: &Write) {
        let record = self.records.entry(write.key.clone()).or_default();
        let version = &write.version;
        if version.value.is_none() || version.ttl_ms.is_some() {
            record.vanishing = record.vanishing.take().max(Some(version.clone()));
        }
        record.versions.push(version.clone());
    }

    /// The version that an answer shows, if somebody wrote it there.
    pub fn find(&self, key: &Bytes, found: &Found) -> Option<&Version> {
        let is = |version: &&Version| {
            version.stamp == found.stamp
                && version.writer == found.writer
                && version.value.as_ref() == Some(&found.value)
        };
        self.of(key).iter().find(is)
    }

    /// The versions with this value.
    pub fn with_value(&self, key: &Bytes, value: &Bytes) -> impl Iterator<Item = &Version> {
        let is = move |version: &&Version| version.value.as_ref() == Some(value);
        self.of(key).iter().filter(is)
    }

    /// Whether a read that finds nothing can be right where `version` is known to be there: somebody wrote a delete that
    /// wins over it, or something that expires.
    pub fn can_vanish(&self, key: &Bytes, version: &Version) -> bool {
        let vanishing = self.records.get(key).and_then(|record| record.vanishing.as_ref());
        vanishing.is_some_and(|vanishing| vanishing >= version)
    }

    fn of(&self, key: &Bytes) -> &[Version] {
        self.records.get(key).map_or(&[], |record| &record.versions)
    }
}
