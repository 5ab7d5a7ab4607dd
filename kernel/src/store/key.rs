//! The name of a record: its map and its key in one row of bytes.

use alloc::vec::Vec;
use bytes::Bytes;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::env::Limits;

/// A map's name, a zero byte, and the key in that map. All records of a map in a partition lie side by side, in the order of
/// their keys. A name that begins with the zero byte is no map's: the kernel keeps its own rows there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RecordKey {
    bytes: Bytes,
}

/// What the names of maps begin with that no client can name.
const RESERVED: &str = "$sys/";

/// The map that holds what replicas have promised of each named register, and the one that holds what they have accepted.
pub const PROMISED_MAP: &str = "$sys/promised";
/// See [`PROMISED_MAP`].
pub const ACCEPTED_MAP: &str = "$sys/accepted";

/// Longest key in these, in bytes.
pub const REGISTER_BYTES: usize = 160;

/// Whether a map is one of the kernel's own.
pub fn is_reserved(map: &str) -> bool {
    map.starts_with(RESERVED)
}

/// Why a map name or a key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// The map has no name.
    #[error("the map name is empty")]
    NoMap,
    /// The map's name is too long.
    #[error("the map name has {len} bytes, over {limit}")]
    LongMap {
        /// Its length.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// The map's name holds a zero byte, or is not UTF-8.
    #[error("the map name holds a zero byte or is not UTF-8")]
    MapText,
    /// The map is one of the kernel's own.
    #[error("maps whose names begin with {RESERVED} are the node's own")]
    Reserved,
    /// The key is too long.
    #[error("the key has {len} bytes, over {limit}")]
    LongKey {
        /// Its length.
        len: usize,
        /// The limit.
        limit: usize,
    },
}

impl RecordKey {
    /// The name of `key` in `map`. An empty key is a key.
    ///
    /// # Errors
    /// [`BadKey`], if either is beyond its limit.
    pub fn new(map: &str, key: &[u8], limits: &Limits) -> Result<Self, BadKey> {
        check(map.as_bytes(), key, limits)?;
        if map.starts_with(RESERVED) {
            return Err(BadKey::Reserved);
        }
        Ok(Self::of_row(map, key))
    }

    /// Reads a name that somebody else wrote.
    ///
    /// # Errors
    /// [`BadKey`], whatever the bytes are.
    pub fn decode(bytes: Bytes, limits: &Limits) -> Result<Self, BadKey> {
        let end = bytes.iter().position(|b| *b == 0).ok_or(BadKey::MapText)?;
        let map = core::str::from_utf8(&bytes[..end]).map_err(|_| BadKey::MapText)?;
        let key = &bytes[end + 1..];
        // The kernel's own names have limits of their own.
        let is_own = [PROMISED_MAP, ACCEPTED_MAP].contains(&map) && key.len() <= REGISTER_BYTES;
        if !is_own {
            check(map.as_bytes(), key, limits)?;
        }
        Ok(Self { bytes })
    }

    /// The name of a row that a store holds: its parts are within limits.
    pub(crate) fn of_row(map: &str, key: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(map.len() + 1 + key.len());
        bytes.extend_from_slice(map.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(key);
        Self { bytes: bytes.into() }
    }

    fn map_len(&self) -> usize {
        let end = self.bytes.iter().position(|b| *b == 0);
        end.expect("a record key is valid from its construction on")
    }

    /// The map's name.
    pub fn map(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.map_len()]).expect("a record key is valid from its construction on")
    }

    /// The key in the map.
    pub fn key(&self) -> &[u8] {
        &self.bytes[self.map_len() + 1..]
    }

    /// Whether it is in one of the kernel's own maps, whose records have no limits but those of their layout.
    pub fn is_reserved(&self) -> bool {
        self.bytes.starts_with(RESERVED.as_bytes())
    }

    /// The same name in memory of its own.
    pub fn detached(&self) -> Self {
        Self {
            bytes: Bytes::copy_from_slice(&self.bytes),
        }
    }

    /// The whole name.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl<'de> Deserialize<'de> for RecordKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::decode(Bytes::deserialize(deserializer)?, &Limits::of_layout()).map_err(D::Error::custom)
    }
}

fn check(map: &[u8], key: &[u8], limits: &Limits) -> Result<(), BadKey> {
    if map.is_empty() {
        return Err(BadKey::NoMap);
    }
    if map.len() > limits.map_name_bytes {
        return Err(BadKey::LongMap {
            len: map.len(),
            limit: limits.map_name_bytes,
        });
    }
    if map.contains(&0) {
        return Err(BadKey::MapText);
    }
    if key.len() > limits.key_bytes {
        return Err(BadKey::LongKey {
            len: key.len(),
            limit: limits.key_bytes,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn map_and_key_come_back() {
        let limits = Limits::default();
        for key in [&b""[..], b"k", b"with \0 zero"] {
            let name = RecordKey::new("users", key, &limits).unwrap();
            assert_eq!((name.map(), name.key()), ("users", key));
            assert_eq!(RecordKey::decode(name.as_bytes().clone(), &limits).unwrap(), name);
        }
    }

    #[test]
    fn maps_of_the_kernel_are_named_by_nobody_else_and_read_whatever_the_limits_are() {
        let limits = Limits {
            map_name_bytes: 3,
            key_bytes: 4,
            ..Limits::default()
        };
        for map in [PROMISED_MAP, ACCEPTED_MAP] {
            assert_eq!(RecordKey::new(map, b"k", &Limits::default()), Err(BadKey::Reserved));
            let longest = RecordKey::of_row(map, &[b'k'; REGISTER_BYTES]);
            assert_eq!(RecordKey::decode(longest.as_bytes().clone(), &limits), Ok(longest));
            let longer = RecordKey::of_row(map, &[b'k'; REGISTER_BYTES + 1]);
            assert!(RecordKey::decode(longer.as_bytes().clone(), &limits).is_err());
        }
        assert!(is_reserved("$sys/x") && !is_reserved("$sys") && !is_reserved("users"));
    }

    #[test]
    fn each_limit_is_named() {
        let limits = Limits {
            map_name_bytes: 3,
            key_bytes: 4,
            ..Limits::default()
        };
        let new = |map: &str, key: &[u8]| RecordKey::new(map, key, &limits);
        assert!(new("abc", b"1234").is_ok());
        assert_eq!(new("", b"k"), Err(BadKey::NoMap));
        assert_eq!(new("abcd", b"k"), Err(BadKey::LongMap { len: 4, limit: 3 }));
        assert_eq!(new("a\0b", b"k"), Err(BadKey::MapText));
        assert_eq!(new("abc", b"12345"), Err(BadKey::LongKey { len: 5, limit: 4 }));
        let decode = |bytes: &'static [u8]| RecordKey::decode(Bytes::from_static(bytes), &limits);
        assert_eq!(decode(b"no zero"), Err(BadKey::MapText));
        assert_eq!(decode(b"\xff\0k"), Err(BadKey::MapText));
        assert_eq!(decode(b"\0k"), Err(BadKey::NoMap));
    }

    #[test]
    fn the_default_limits_fit_lmdb() {
        let limits = Limits::default();
        assert_eq!(limits.map_name_bytes + 1 + limits.key_bytes, 511);
    }
}
