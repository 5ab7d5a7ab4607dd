//! The last-writer-wins map (Shapiro et al., "A comprehensive study of CRDTs", 2011, section 3.2), with tombstones.

use alloc::collections::BTreeMap;
use bytes::Bytes;
use core::hash::Hasher;
use core::ops::Bound;
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::crdt::Record;
use crate::env::{Mutant, Mutants};

/// A map from keys to the winning version of each, with a digest of all of them.
///
/// The digest is the sum of one keyed SipHash-128 a record, over key and content, so it does not depend on the order in
/// which records came, and a change costs two hashes. Two maps with equal digests are equal, but for an accident of
/// probability 2^-128; that nobody can arrange one depends on the key being secret.
#[derive(Debug, Clone)]
pub struct LwwMap {
    rows: BTreeMap<Bytes, Record>,
    digest: u128,
    held: Held,
    digest_key: [u8; 16],
    mutants: Mutants,
}

/// How much a map holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Keys that have a version, deleted ones included.
    pub records: u64,
    /// Of those, the deleted ones.
    pub tombstones: u64,
    /// Bytes of all keys and versions.
    pub bytes: u64,
}

impl Held {
    fn of(key: &[u8], record: &Record) -> Self {
        Self {
            records: 1,
            tombstones: record.is_tombstone().into(),
            bytes: (key.len() + record.as_bytes().len()) as u64,
        }
    }

    /// This and `more`.
    pub fn plus(self, more: Self) -> Self {
        Self {
            records: self.records + more.records,
            tombstones: self.tombstones + more.tombstones,
            bytes: self.bytes + more.bytes,
        }
    }

    /// This without `less`, which is a part of it.
    pub fn minus(self, less: Self) -> Self {
        Self {
            records: self.records - less.records,
            tombstones: self.tombstones - less.tombstones,
            bytes: self.bytes - less.bytes,
        }
    }
}

/// What a merge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merged {
    /// The record is the key's version now.
    Changed,
    /// The map held that version, or one that wins over it.
    Unchanged,
}

impl LwwMap {
    /// An empty map.
    pub fn new(digest_key: [u8; 16], mutants: Mutants) -> Self {
        Self {
            rows: BTreeMap::new(),
            digest: 0,
            held: Held::default(),
            digest_key,
            mutants,
        }
    }

    /// Whether [`LwwMap::merge`] would change anything.
    pub fn would_change(&self, key: &[u8], record: &Record) -> bool {
        let Some(held) = self.rows.get(key) else {
            return true;
        };
        if self.mutants.is(Mutant::ApplyTwice) && held == record {
            return true;
        }
        if self.mutants.is(Mutant::DropTieBreak) && held.stamp() == record.stamp() {
            return false;
        }
        record.wins_over(held)
    }

    /// Takes `record` if it wins over the version held.
    pub fn merge(&mut self, key: &Bytes, record: Record) -> Merged {
        if !self.would_change(key, &record) {
            return Merged::Unchanged;
        }
        let digest = self.digest_of(key, &record);
        let held = Held::of(key, &record);
        let forget = record.is_tombstone() && self.mutants.is(Mutant::ForgetTombstone);
        let old = if forget {
            self.rows.remove(key)
        } else {
            self.rows.insert(key.clone(), record)
        };
        if let Some(old) = old {
            self.digest = self.digest.wrapping_sub(self.digest_of(key, &old));
            self.held = self.held.minus(Held::of(key, &old));
        }
        if !forget {
            self.digest = self.digest.wrapping_add(digest);
            self.held = self.held.plus(held);
        }
        Merged::Changed
    }

    /// The version of `key`, a tombstone included.
    pub fn get(&self, key: &[u8]) -> Option<&Record> {
        self.rows.get(key)
    }

    /// All versions after `after` (from the first, without one), ascending by key, tombstones included.
    pub fn iter_after<'m>(&'m self, after: Option<&[u8]>) -> impl Iterator<Item = (&'m Bytes, &'m Record)> + use<'m> {
        let low = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.rows.range::<[u8], _>((low, Bound::Unbounded))
    }

    /// All versions from `first` on, ascending by key, tombstones included.
    pub fn iter_from<'m>(&'m self, first: &[u8]) -> impl Iterator<Item = (&'m Bytes, &'m Record)> + use<'m> {
        self.rows.range::<[u8], _>((Bound::Included(first), Bound::Unbounded))
    }

    /// How many keys have a version, deleted ones included.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no key has a version.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How much it holds.
    pub fn held(&self) -> Held {
        self.held
    }

    /// The digest of all versions.
    pub fn digest(&self) -> u128 {
        self.digest
    }

    /// The digest of one version.
    pub fn digest_of(&self, key: &[u8], record: &Record) -> u128 {
        let mut hasher = SipHasher13::new_with_key(&self.digest_key);
        hasher.write(&(key.len() as u64).to_le_bytes());
        hasher.write(key);
        hasher.write(record.as_bytes());
        hasher.finish128().as_u128()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::WriterId;
    use crate::hlc::Stamp;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn map() -> LwwMap {
        LwwMap::new([1; 16], Mutants::default())
    }

    fn record(ms: u64, value: Option<u8>) -> Record {
        let value = value.map(|v| [v & 0x7f]);
        Record::new(
            Stamp::new(ms, 0, WriterId(1)).unwrap(),
            "w",
            value.as_ref().map(|v| &v[..]),
        )
    }

    /// Few keys, times and values, so that ties are common.
    fn changes() -> impl Strategy<Value = Vec<(u8, u64, Option<u8>)>> {
        proptest::collection::vec((0u8..3, 0u64..4, proptest::option::of(0u8..3)), 0..20)
    }

    fn filled(changes: impl IntoIterator<Item = (u8, u64, Option<u8>)>) -> LwwMap {
        let mut map = map();
        for (key, ms, value) in changes {
            map.merge(&Bytes::copy_from_slice(&[key]), record(ms, value));
        }
        map
    }

    fn same(a: &LwwMap, b: &LwwMap) -> bool {
        (a.digest == b.digest) && (a.rows == b.rows)
    }

    #[test]
    fn a_tombstone_outlives_the_older_write_that_comes_late() {
        let mut map = map();
        let key = Bytes::from_static(b"k");
        assert_eq!(map.merge(&key, record(2, None)), Merged::Changed);
        assert_eq!(map.merge(&key, record(1, Some(7))), Merged::Unchanged);
        assert!(map.get(b"k").is_some_and(Record::is_tombstone));
    }

    #[test]
    fn iteration_starts_after_a_key() {
        let map = filled([(1, 1, None), (3, 1, None), (2, 1, Some(1))]);
        let after = |key: Option<&[u8]>| map.iter_after(key).map(|(k, _)| k[0]).collect::<Vec<_>>();
        assert_eq!(after(None), [1, 2, 3]);
        assert_eq!(after(Some(&[2])), [3]);
        assert_eq!(after(Some(&[1, 0])), [2, 3]);
        let from = |key: &[u8]| map.iter_from(key).map(|(k, _)| k[0]).collect::<Vec<_>>();
        assert_eq!((from(&[2]), from(&[2, 0])), (vec![2, 3], vec![3]));
        assert_eq!(map.len(), 3);
    }

    proptest! {
        #[test]
        fn order_and_repetition_do_not_matter(all in changes(), seed in any::<u64>()) {
            let mut shuffled: Vec<_> = all.iter().chain(&all).copied().collect();
            let mut rng = crate::env::SeededRng::from_u64(seed);
            for i in (1..shuffled.len()).rev() {
                shuffled.swap(i, rng.below(i as u64 + 1) as usize);
            }
            prop_assert!(same(&filled(all), &filled(shuffled)));
        }

        #[test]
        fn equal_digests_are_equal_maps(a in changes(), b in changes()) {
            let (a, b) = (filled(a), filled(b));
            prop_assert_eq!(a.digest == b.digest, a.rows == b.rows);
        }

        #[test]
        fn a_merge_changes_exactly_when_it_says_so(all in changes(), key in 0u8..3, ms in 0u64..4, value in proptest::option::of(0u8..3)) {
            let before = filled(all);
            let mut after = before.clone();
            let merged = after.merge(&Bytes::copy_from_slice(&[key]), record(ms, value));
            let rows = after.iter_after(None).map(|(key, record)| Held::of(key, record));
            prop_assert_eq!(after.held(), rows.fold(Held::default(), Held::plus));
            prop_assert_eq!(merged == Merged::Changed, !same(&before, &after));
            prop_assert_eq!(merged == Merged::Changed, before.would_change(&[key], &record(ms, value)));
        }
    }
}
