//! The maps of one partition.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use bytes::Bytes;

use crate::crdt::{DigestKey, Foreseen, Held, LwwMap, Merged, Row, Version};
use crate::env::Mutants;
use crate::store::RecordKey;

/// The maps of one partition, each with a digest of its own.
#[derive(Debug, Clone)]
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

    /// One map, if it has ever held anything.
    pub fn map(&self, name: &str) -> Option<&LwwMap> {
        self.maps.get(name)
    }

    /// All maps, ascending by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &LwwMap)> {
        self.maps.iter().map(|(name, map)| (&**name, map))
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

    /// Where a key of any map stands, whether it is held or not.
    pub fn position<'k>(&self, key: &'k RecordKey) -> Position<'k> {
        let map = key.map();
        let place = match self.map(map) {
            Some(held) => held.place(key.key()),
            None => self.empty(map).place(key.key()),
        };
        Position { map, place }
    }

    /// The digest of a version of a key; 0 if its map holds nothing.
    pub fn digest_of(&self, map: &str, key: &[u8], version: &Version<'_>) -> u128 {
        self.map(map).map_or(0, |map| map.digest_of(key, version))
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
