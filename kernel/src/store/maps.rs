//! The maps of one partition.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::crdt::{DigestKey, Foreseen, Held, LwwMap, Merged, Row, Version};
use crate::env::Mutants;
use crate::merkle::{Item, Prefix, Summary};
use crate::store::RecordKey;

/// The maps of one partition, each with a digest of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Maps {
    maps: BTreeMap<Box<str>, LwwMap>,
    digest_key: DigestKey,
    mutants: Mutants,
}

/// Where a row stands in the order of a partition: maps by name, in a map the places of its keys
/// ([`LwwMap::place`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position<'a> {
    /// The map.
    pub map: &'a str,
    /// The place of the key.
    pub place: u32,
}

impl<'a> Position<'a> {
    /// The position as bytes: `map · 0 · place (4, big-endian)`.
    pub fn to_bytes(&self) -> Bytes {
        [self.map.as_bytes(), &[0], &self.place.to_be_bytes()].concat().into()
    }

    /// The inverse of [`Position::to_bytes`]; `None` for bytes that are no position.
    pub fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        let (map, place) = bytes.split_last_chunk()?;
        let (zero, map) = map.split_last()?;
        let map = core::str::from_utf8(map).ok().filter(|_| *zero == 0)?;
        let place = u32::from_be_bytes(*place);
        Some(Self { map, place })
    }
}

impl Maps {
    pub(super) fn new(digest_key: DigestKey, mutants: Mutants) -> Self {
        Self {
            maps: BTreeMap::new(),
            digest_key,
            mutants,
        }
    }

    fn empty(&self, map: &str) -> LwwMap {
        // A key of its own, so that the digests of a partition's maps can be added up.
        LwwMap::new(self.digest_key.derive(map.as_bytes()), self.mutants)
    }

    /// Takes a version, if it wins over the one held.
    pub(super) fn merge(&mut self, key: &RecordKey, version: &Version<'_>) -> Merged {
        if let Some(map) = self.maps.get_mut(key.map()) {
            return map.merge(key.key(), version);
        }
        let mut map = self.empty(key.map());
        let merged = map.merge(key.key(), version);
        self.maps.insert(key.map().into(), map);
        merged
    }

    /// Removes a key as if it had never been.
    pub(super) fn forget(&mut self, key: &RecordKey) {
        if let Some(map) = self.maps.get_mut(key.map()) {
            map.forget(key.key());
            // So is its map, if it was the only one and there is no floor to remember.
            if map.is_empty() && map.floor() == 0 {
                self.maps.remove(key.map());
            }
        }
    }

    /// Gives back memory that what was forgotten had.
    pub(super) fn compact(&mut self) {
        self.maps.values_mut().for_each(LwwMap::compact);
    }

    /// Takes out all there is.
    pub(super) fn take(&mut self) -> Self {
        let empty = Self::new(self.digest_key, self.mutants);
        core::mem::replace(self, empty)
    }

    /// The ways in which all of this is broken on purpose.
    pub fn mutants(&self) -> Mutants {
        self.mutants
    }

    /// Whether merging this would change anything.
    pub fn would_change(&self, key: &RecordKey, version: &Version<'_>) -> bool {
        self.map(key.map())
            .is_none_or(|map| map.would_change(key.key(), version))
    }

    /// The version of a key, a tombstone or an expired one included.
    pub fn get(&self, key: &RecordKey) -> Option<Version<'_>> {
        self.map(key.map())?.get(key.key())
    }

    /// Where a merge of this key is going to read, if its map is there.
    pub fn foresee(&self, key: &RecordKey) -> Option<Foreseen<'_>> {
        Some(self.map(key.map())?.foresee(key.key()))
    }

    /// One map, if it holds anything, or has before.
    pub fn map(&self, name: &str) -> Option<&LwwMap> {
        self.maps.get(name)
    }

    /// All maps, ascending by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &LwwMap)> {
        self.maps.iter().map(|(name, map)| (&**name, map))
    }

    /// The rows of all maps: maps by name, in a map as [`LwwMap::iter`] has them.
    pub fn rows(&self) -> impl Iterator<Item = (&str, Row<'_>)> {
        let maps = self.maps.iter();
        maps.flat_map(|(name, map)| map.iter().map(move |row| (&**name, row)))
    }

    /// What stands for each version of every map when partitions are compared, in no order that matters.
    pub fn items(&self) -> Vec<Item> {
        let mut items = Vec::with_capacity(self.held().records as usize);
        for map in self.maps.values() {
            map.items(Prefix::ROOT, &mut |item| items.push(item));
        }
        items
    }

    /// The rows of all maps whose keys' hashes begin with `prefix`, each with its item.
    pub fn rows_below(&self, prefix: Prefix) -> impl Iterator<Item = (Item, RecordKey, Version<'_>)> {
        let maps = self.maps.iter();
        maps.flat_map(move |(name, map)| {
            let rows = map.rows_below(prefix);
            rows.map(move |(item, row)| (item, RecordKey::of_row(name, row.key), row.version))
        })
    }

    /// The key of the digests; each map's own is derived from it.
    pub fn digest_key(&self) -> &DigestKey {
        &self.digest_key
    }

    /// The rows of all maps at `first` and behind it, in the order of their positions.
    pub fn rows_from<'m>(&'m self, first: Option<Position<'m>>) -> impl Iterator<Item = (&'m str, Row<'m>)> {
        let map = first.map_or("", |first| first.map);
        let maps = self
            .maps
            .range::<str, _>((core::ops::Bound::Included(map), core::ops::Bound::Unbounded));
        maps.flat_map(move |(name, map)| {
            let place = first
                .filter(|first| *first.map == **name)
                .map_or(0, |first| first.place);
            map.iter_from(place).map(move |row| (&**name, row))
        })
    }

    /// The digest of all versions of all maps.
    pub fn digest(&self) -> u128 {
        self.maps.values().map(LwwMap::digest).fold(0, u128::wrapping_add)
    }

    /// How much they hold.
    pub fn held(&self) -> Held {
        self.maps.values().map(LwwMap::held).fold(Held::default(), Held::plus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{Limits, WriterId};
    use crate::hlc::Stamp;

    fn key(map: &str, key: &str) -> RecordKey {
        RecordKey::new(map, key.as_bytes(), &Limits::default()).unwrap()
    }

    fn filled(maps: &[&str], keys: u64) -> Maps {
        let mut all = Maps::new(DigestKey::new([1; 16]), Mutants::default());
        for number in 0..keys {
            for map in maps {
                let stamp = Stamp::new(number, 0, WriterId(1)).unwrap();
                all.merge(&key(map, &number.to_string()), &Version::new(stamp, "w", Some(&[1])));
            }
        }
        all
    }

    #[test]
    fn each_map_has_a_digest_of_its_own_and_the_partition_their_sum() {
        let all = filled(&["a", "b"], 3);
        let (a, b) = (all.map("a").unwrap(), all.map("b").unwrap());
        assert_ne!(a.digest(), b.digest(), "though they hold the same");
        assert_eq!(all.digest(), a.digest().wrapping_add(b.digest()));
        assert_eq!(a.digest(), filled(&["a"], 3).digest());
        assert_eq!(all.held().records, 6);
        assert_eq!(all.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn a_row_is_found_below_every_prefix_of_its_hash() {
        let all = filled(&["a", "b"], 40);
        let mut items = all.items();
        items.sort_unstable();
        assert_eq!(items.len(), 80);
        let sum = items.iter().fold(0u128, |sum, item| sum.wrapping_add(item.digest));
        assert_eq!(sum, all.digest());
        for len in [0, 1, 8, 10, 16] {
            for item in &items {
                let prefix = Prefix::of(item.key_hash, len);
                let mut below: Vec<Item> = all.rows_below(prefix).map(|(item, ..)| item).collect();
                below.sort_unstable();
                let expected = items.iter().copied().filter(|item| prefix.contains(item.key_hash));
                assert_eq!(below, expected.collect::<Vec<_>>());
            }
        }
        let every = all.rows_below(Prefix::ROOT).map(|(_, key, _)| key);
        let mut every: Vec<_> = every.collect();
        every.sort();
        let mut rows: Vec<_> = all.rows().map(|(map, row)| RecordKey::of_row(map, row.key)).collect();
        rows.sort();
        assert_eq!(every, rows);
    }
}
