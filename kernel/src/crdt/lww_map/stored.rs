//! A map as a checkpoint holds it: its rows in their order. The shape of the trie, the numbers of writers and the sums are how it
//! is kept, depend on its history, and can be seen in nothing that it says; they are made anew.

use alloc::vec::Vec;
use bytes::Bytes;
use serde::de::Error;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::crdt::lww_map::LwwMap;
use crate::crdt::{DigestKey, Record};
use crate::env::raw::Raw;
use crate::env::{Limits, Mutants};

/// Longer keys do not fit a leaf.
const KEY_BYTES_MAX: usize = (1 << 15) - 1;

impl Serialize for LwwMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Each by its name: a field that is added later does not compile until it was thought of here.
        let Self {
            trie: _,
            writers: _,
            held: _,
            floor,
            digest_key,
            mutants,
        } = self;
        (digest_key, mutants, floor, Rows(self)).serialize(serializer)
    }
}

struct Rows<'m>(&'m LwwMap);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(Some(self.0.len()))?;
        let mut record = Vec::new();
        for row in self.0.iter() {
            record.clear();
            Record::write(&row.version, &mut record);
            rows.serialize_element(&(Raw(row.key), Raw(&record)))?;
        }
        rows.end()
    }
}

impl<'de> Deserialize<'de> for LwwMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        type Rows<'r> = Vec<(Raw<'r>, Raw<'r>)>;
        let (digest_key, mutants, floor, rows) = <(DigestKey, Mutants, u64, Rows<'_>)>::deserialize(deserializer)?;
        let limits = Limits::of_layout();
        let mut map = Self::new(digest_key, mutants);
        for (Raw(key), Raw(record)) in rows {
            if key.len() > KEY_BYTES_MAX {
                return Err(D::Error::custom("a key is longer than any map holds"));
            }
            let record = Record::decode(Bytes::copy_from_slice(record), &limits).map_err(D::Error::custom)?;
            map.merge(key, &record.version());
        }
        map.floor = floor;
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crdt::Version;
    use crate::env::{SeededRng, WriterId};
    use crate::hlc::Stamp;

    /// The last of several versions of each key, and the others before it in half of the maps.
    fn filled(seed: u64, with_history: bool) -> LwwMap {
        let mut rng = SeededRng::from_u64(seed);
        let mut map = LwwMap::new(DigestKey::new([1; 16]), Mutants::default());
        let mut keys: Vec<u64> = (0..2_000).collect();
        for at in (1..keys.len()).rev() {
            keys.swap(at, rng.below(at as u64 + 1) as usize);
        }
        for key in keys {
            let versions = if with_history { rng.below(4) } else { 0 };
            for ms in (0..versions).chain([10]) {
                // Older ones are longer, by many writers, so that leaves have split and numbers of writers are long gone.
                let writer = if ms == 10 { key % 7 } else { rng.below(100) };
                let len = if ms == 10 { (key % 5) as u8 } else { 250 };
                let value = [&[0xc4, len][..], &vec![7; len.into()]].concat();
                let version = Version {
                    stamp: Stamp::new(ms, 0, WriterId(writer)).unwrap(),
                    writer: &format!("w{writer}"),
                    ttl_ms: (len % 3 == 1).then_some(5),
                    value: (len > 0).then_some(&value),
                };
                map.merge(&key.to_be_bytes(), &version);
            }
        }
        map.collect(3, |_| ());
        map
    }

    #[test]
    fn equal_maps_are_equal_bytes_whatever_their_histories() {
        let bytes = postcard::to_allocvec(&filled(1, false)).unwrap();
        for seed in 2..6 {
            assert!(
                bytes == postcard::to_allocvec(&filled(seed, true)).unwrap(),
                "seed {seed}"
            );
        }
        let map = filled(1, true);
        let again: LwwMap = postcard::from_bytes(&bytes).unwrap();
        assert!(again.iter().eq(map.iter()));
        assert_eq!(
            (again.held(), again.digest(), again.floor()),
            (map.held(), map.digest(), 3)
        );
    }

    #[test]
    fn a_key_that_no_map_holds_is_refused() {
        let record = Record::new(&Version::new(Stamp::ZERO, "w", None));
        let of = |len: usize| {
            let rows = vec![(vec![0u8; len], record.clone())];
            postcard::to_allocvec(&(DigestKey::default(), Mutants::default(), 0u64, rows)).unwrap()
        };
        assert!(postcard::from_bytes::<LwwMap>(&of(KEY_BYTES_MAX)).is_ok());
        assert!(postcard::from_bytes::<LwwMap>(&of(KEY_BYTES_MAX + 1)).is_err());
    }
}
