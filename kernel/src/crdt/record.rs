//! A version of a key as bytes: what is written to the log, to the records and to peers alike.

use alloc::vec::Vec;
use bytes::Bytes;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::crdt::Version;
use crate::env::Limits;
use crate::hlc::{MAX_MILLIS, Stamp};
use crate::msgpack;

const STAMP_BYTES: usize = 16;
const TTL_BYTES: usize = 8;

/// The mark of a record whose value expires.
const HAS_TTL: u8 = 1;

/// A [`Version`] in one row of bytes, numbers big-endian:
///
/// `stamp (16) · marks (1) · [time to live in milliseconds (8), if marked] · length of the writer's name (1) · the name · the value`
///
/// The value is MessagePack as its writer sent it, validated once and never re-encoded; a tombstone has none, and no time to
/// live. A version has one encoding, so that equal versions are equal bytes. Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Record {
    bytes: Bytes,
}

/// Why bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// Shorter than its own header says.
    #[error("the record is cut short")]
    Short,
    /// Its time is beyond what a stamp may carry.
    #[error("the record's stamp is out of range")]
    Stamp,
    /// It has marks that this kernel does not know.
    #[error("the record has unknown marks")]
    Marks,
    /// Its time to live is zero, beyond what a stamp may carry, or a tombstone's.
    #[error("the record's time to live is out of range")]
    Ttl,
    /// Its writer's name is not UTF-8, or too long.
    #[error("the record's writer name is not valid")]
    Writer,
    /// Its value is longer than the limit.
    #[error("the record's value is over {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// Its value is not one MessagePack value.
    #[error("the record's value is not valid MessagePack: {0}")]
    Value(msgpack::Error),
}

impl Record {
    /// The record of a version. The caller has validated the value.
    ///
    /// # Panics
    /// If the writer's name is over 255 bytes, the value is empty (no MessagePack value is), the time to live is zero or over
    /// [`MAX_MILLIS`], or a tombstone has one.
    pub fn new(version: &Version<'_>) -> Self {
        let mut bytes = Vec::with_capacity(record_bytes(version));
        Self::write(version, &mut bytes);
        Self { bytes: bytes.into() }
    }

    /// Writes the record of a version. As [`Record::new`], without memory of its own.
    pub(super) fn write(version: &Version<'_>, bytes: &mut Vec<u8>) {
        let Version {
            stamp,
            writer,
            ttl_ms,
            value,
        } = *version;
        let name_len = u8::try_from(writer.len()).expect("a writer's name is bounded by Limits::id_bytes");
        assert!(value != Some(&[]), "an empty value would read as a tombstone");
        assert!(
            ttl_ms.is_none_or(|ttl_ms| is_ttl(ttl_ms) && value.is_some()),
            "a time to live of {ttl_ms:?} ms"
        );
        bytes.extend_from_slice(&stamp.to_bytes());
        match ttl_ms {
            Some(ttl_ms) => {
                bytes.push(HAS_TTL);
                bytes.extend_from_slice(&ttl_ms.to_be_bytes());
            }
            None => bytes.push(0),
        }
        bytes.push(name_len);
        bytes.extend_from_slice(writer.as_bytes());
        bytes.extend_from_slice(value.unwrap_or_default());
    }

    /// Reads a record that somebody else wrote.
    ///
    /// # Errors
    /// [`BadRecord`], whatever the bytes are.
    pub fn decode(bytes: Bytes, limits: &Limits) -> Result<Self, BadRecord> {
        let version = parse(&bytes)?;
        if !version.stamp.is_writable() {
            return Err(BadRecord::Stamp);
        }
        if version
            .ttl_ms
            .is_some_and(|ttl_ms| !is_ttl(ttl_ms) || version.value.is_none())
        {
            return Err(BadRecord::Ttl);
        }
        if version.writer.len() > limits.id_bytes {
            return Err(BadRecord::Writer);
        }
        if let Some(value) = version.value {
            if value.len() > limits.value_bytes {
                return Err(BadRecord::TooLong {
                    limit: limits.value_bytes,
                });
            }
            msgpack::validate(value, limits.depth).map_err(BadRecord::Value)?;
        }
        Ok(Self { bytes })
    }

    /// The same record in memory of its own.
    pub fn detached(&self) -> Self {
        Self {
            bytes: Bytes::copy_from_slice(&self.bytes),
        }
    }

    /// The record as bytes.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The version that it holds.
    pub fn version(&self) -> Version<'_> {
        parse(&self.bytes).expect("a record is valid from its construction on")
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let limits = Limits::of_layout();
        Self::decode(Bytes::deserialize(deserializer)?, &limits).map_err(D::Error::custom)
    }
}

/// Bytes of the record of a version.
pub(super) fn record_bytes(version: &Version<'_>) -> usize {
    let ttl = if version.ttl_ms.is_some() { TTL_BYTES } else { 0 };
    STAMP_BYTES + 1 + ttl + 1 + version.writer.len() + version.value.map_or(0, <[u8]>::len)
}

fn is_ttl(ttl_ms: u64) -> bool {
    (1..=MAX_MILLIS).contains(&ttl_ms)
}

fn parse(bytes: &[u8]) -> Result<Version<'_>, BadRecord> {
    let (stamp, rest) = bytes.split_first_chunk::<STAMP_BYTES>().ok_or(BadRecord::Short)?;
    let (&marks, rest) = rest.split_first().ok_or(BadRecord::Short)?;
    let (ttl_ms, rest) = match marks {
        0 => (None, rest),
        HAS_TTL => {
            let (ttl_ms, rest) = rest.split_first_chunk::<TTL_BYTES>().ok_or(BadRecord::Short)?;
            (Some(u64::from_be_bytes(*ttl_ms)), rest)
        }
        _ => return Err(BadRecord::Marks),
    };
    let (&name_len, rest) = rest.split_first().ok_or(BadRecord::Short)?;
    let (name, value) = rest.split_at_checked(name_len.into()).ok_or(BadRecord::Short)?;
    Ok(Version {
        stamp: Stamp::from_bytes(*stamp),
        writer: core::str::from_utf8(name).map_err(|_| BadRecord::Writer)?,
        ttl_ms,
        value: (!value.is_empty()).then_some(value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::WriterId;
    use proptest::prelude::*;

    fn stamp(ms: u64) -> Stamp {
        Stamp::new(ms, 3, WriterId(0x0102_0304_0506_0708)).unwrap()
    }

    fn version(ttl_ms: Option<u64>, value: Option<&[u8]>) -> Version<'_> {
        Version {
            stamp: stamp(5),
            writer: "phone",
            ttl_ms,
            value,
        }
    }

    #[test]
    fn the_encoding_is_frozen() {
        let hex = |version: &Version<'_>| {
            let record = Record::new(version);
            record.as_bytes().iter().map(|b| format!("{b:02x}")).collect::<String>()
        };
        let head = "00000000000500030102030405060708";
        assert_eq!(hex(&version(None, Some(&[0xc3]))), format!("{head}000570686f6e65c3"));
        assert_eq!(
            hex(&version(Some(258), Some(&[0xc3]))),
            format!("{head}0100000000000001020570686f6e65c3")
        );
        assert_eq!(hex(&version(None, None)), format!("{head}000570686f6e65"));
    }

    #[test]
    fn bytes_from_outside_are_refused_by_name() {
        let limits = Limits {
            value_bytes: 4,
            id_bytes: 3,
            ..Limits::default()
        };
        let decode = |parts: &[&[u8]]| Record::decode(Bytes::from(parts.concat()), &limits).map(|_| ());
        let stamp = &[0u8; 16][..];
        assert_eq!(decode(&[&stamp[..15]]), Err(BadRecord::Short));
        assert_eq!(decode(&[stamp]), Err(BadRecord::Short));
        assert_eq!(decode(&[stamp, &[0]]), Err(BadRecord::Short));
        assert_eq!(decode(&[stamp, &[0, 2, b'n']]), Err(BadRecord::Short));
        assert_eq!(decode(&[stamp, &[1, 0, 0]]), Err(BadRecord::Short));
        assert_eq!(decode(&[&[0xff; 16], &[0, 0]]), Err(BadRecord::Stamp));
        assert_eq!(decode(&[stamp, &[2, 0]]), Err(BadRecord::Marks));
        let with_ttl = |ttl_ms: u64, value: &[u8]| decode(&[stamp, &[1], &ttl_ms.to_be_bytes(), &[0], value]);
        assert_eq!(with_ttl(1, &[1]), Ok(()));
        assert_eq!(with_ttl(MAX_MILLIS, &[1]), Ok(()));
        assert_eq!(with_ttl(0, &[1]), Err(BadRecord::Ttl));
        assert_eq!(with_ttl(MAX_MILLIS + 1, &[1]), Err(BadRecord::Ttl));
        assert_eq!(with_ttl(1, &[]), Err(BadRecord::Ttl));
        assert_eq!(decode(&[stamp, &[0, 2, 0xff, 0xff]]), Err(BadRecord::Writer));
        assert_eq!(decode(&[stamp, &[0, 3], b"abc"]), Ok(()));
        assert_eq!(decode(&[stamp, &[0, 4], b"abcd"]), Err(BadRecord::Writer));
        assert!(matches!(decode(&[stamp, &[0, 0, 0xc1]]), Err(BadRecord::Value(_))));
        assert!(matches!(decode(&[stamp, &[0, 0, 1, 1]]), Err(BadRecord::Value(_))));
        assert_eq!(decode(&[stamp, &[0, 0], b"\xa3abc"]), Ok(()));
        assert_eq!(
            decode(&[stamp, &[0, 0], b"\xa4abcd"]),
            Err(BadRecord::TooLong { limit: 4 })
        );
    }

    #[test]
    #[should_panic(expected = "a time to live of Some(1) ms")]
    fn a_tombstone_has_no_time_to_live() {
        let _ = Record::new(&version(Some(1), None));
    }

    proptest! {
        #[test]
        fn a_version_comes_back(
            ms in 0..=MAX_MILLIS, counter: u16, writer: u64, name in "[a-zé]{0,8}",
            ttl_ms in proptest::option::of(1..=MAX_MILLIS), value in proptest::option::of(0u8..0x80),
        ) {
            let value = value.map(|value| [value]);
            let version = Version {
                stamp: Stamp::new(ms, counter, WriterId(writer)).unwrap(),
                writer: &name,
                ttl_ms: ttl_ms.filter(|_| value.is_some()),
                value: value.as_ref().map(|value| &value[..]),
            };
            let record = Record::new(&version);
            prop_assert_eq!(record.version(), version);
            prop_assert_eq!(record.as_bytes().len(), record_bytes(&version));
            let again = Record::decode(record.as_bytes().clone(), &Limits::default());
            prop_assert_eq!(again.as_ref(), Ok(&record));
            prop_assert_eq!(record.detached(), record);
        }
    }
}
