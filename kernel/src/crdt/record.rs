//! One version of one key: a stamp, its writer's name, and a value or a tombstone.

use alloc::vec::Vec;
use bytes::Bytes;
use core::cmp::Ordering;

use crate::env::Limits;
use crate::hlc::Stamp;
use crate::msgpack;

const STAMP_BYTES: usize = 16;

/// A version of a key, kept as the bytes that are written to the log, to the records and to peers alike:
///
/// `stamp (16, big-endian) · length of the writer's name (1) · the name · the value`
///
/// The value is MessagePack as its writer sent it, validated once and never re-encoded; a record without one is a
/// *tombstone*: it says that the key was deleted, and outlives older versions that are still on their way. Cloning shares
/// the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
    /// A record of these parts; `None` is a tombstone. The caller has validated the value.
    ///
    /// # Panics
    /// If the writer's name is over 255 bytes, or the value is empty: no MessagePack value is.
    pub fn new(stamp: Stamp, writer_name: &str, value: Option<&[u8]>) -> Self {
        let name_len = u8::try_from(writer_name.len()).expect("a writer's name is bounded by Limits::id_bytes");
        assert!(value != Some(&[]), "an empty value would read as a tombstone");
        let value = value.unwrap_or_default();
        let mut bytes = Vec::with_capacity(STAMP_BYTES + 1 + writer_name.len() + value.len());
        bytes.extend_from_slice(&stamp.to_bytes());
        bytes.push(name_len);
        bytes.extend_from_slice(writer_name.as_bytes());
        bytes.extend_from_slice(value);
        Self { bytes: bytes.into() }
    }

    /// Reads a record that somebody else wrote.
    ///
    /// # Errors
    /// [`BadRecord`], whatever the bytes are.
    pub fn decode(bytes: Bytes, limits: &Limits) -> Result<Self, BadRecord> {
        let (head, rest) = bytes.split_first_chunk::<STAMP_BYTES>().ok_or(BadRecord::Short)?;
        if !Stamp::from_bytes(*head).is_writable() {
            return Err(BadRecord::Stamp);
        }
        let (&name_len, rest) = rest.split_first().ok_or(BadRecord::Short)?;
        let (name, value) = rest.split_at_checked(name_len.into()).ok_or(BadRecord::Short)?;
        if name.len() > limits.id_bytes || core::str::from_utf8(name).is_err() {
            return Err(BadRecord::Writer);
        }
        if value.len() > limits.value_bytes {
            return Err(BadRecord::TooLong {
                limit: limits.value_bytes,
            });
        }
        if !value.is_empty() {
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

    /// When it was written, and by which writer.
    pub fn stamp(&self) -> Stamp {
        let head = self.bytes.first_chunk::<STAMP_BYTES>();
        Stamp::from_bytes(*head.expect("a record is valid from its construction on"))
    }

    fn value_at(&self) -> usize {
        STAMP_BYTES + 1 + usize::from(self.bytes[STAMP_BYTES])
    }

    /// The name that its writer goes by.
    pub fn writer_name(&self) -> &str {
        core::str::from_utf8(&self.bytes[STAMP_BYTES + 1..self.value_at()])
            .expect("a record is valid from its construction on")
    }

    /// The value as MessagePack; `None` for a tombstone.
    pub fn value(&self) -> Option<&[u8]> {
        let value = &self.bytes[self.value_at()..];
        (!value.is_empty()).then_some(value)
    }

    /// Whether it says that the key was deleted.
    pub fn is_tombstone(&self) -> bool {
        self.value_at() == self.bytes.len()
    }

    /// The order in which versions win: by stamp. Two records can share a stamp (two devices under one client name); then
    /// the content decides, or replicas that saw them in different orders would differ for ever: a tombstone wins over
    /// a value, the greater value over the smaller, the greater name last.
    pub fn wins_over(&self, other: &Self) -> bool {
        self.version_cmp(other) == Ordering::Greater
    }

    fn version_cmp(&self, other: &Self) -> Ordering {
        let by_stamp = self.bytes[..STAMP_BYTES].cmp(&other.bytes[..STAMP_BYTES]);
        by_stamp
            .then_with(|| self.is_tombstone().cmp(&other.is_tombstone()))
            .then_with(|| self.value().cmp(&other.value()))
            .then_with(|| self.writer_name().cmp(other.writer_name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::WriterId;

    fn stamp(ms: u64) -> Stamp {
        Stamp::new(ms, 3, WriterId::of("w")).unwrap()
    }

    #[test]
    fn parts_come_back() {
        let record = Record::new(stamp(5), "phone", Some(&[0xc3]));
        assert_eq!(
            (record.stamp(), record.writer_name(), record.value()),
            (stamp(5), "phone", Some(&[0xc3][..]))
        );
        let again = Record::decode(record.as_bytes().clone(), &Limits::default()).unwrap();
        assert_eq!(again, record);
        let gone = Record::new(stamp(5), "", None);
        assert!(gone.is_tombstone() && gone.value().is_none());
    }

    #[test]
    fn bytes_from_outside_are_refused_by_name() {
        let limits = Limits {
            value_bytes: 4,
            ..Limits::default()
        };
        let decode = |bytes: &[u8]| Record::decode(Bytes::copy_from_slice(bytes), &limits).unwrap_err();
        assert_eq!(decode(&[0; 16]), BadRecord::Short);
        assert_eq!(decode(&[0xff; 17]), BadRecord::Stamp);
        let mut bytes = [0u8; 17].to_vec();
        bytes[16] = 2;
        assert_eq!(decode(&bytes), BadRecord::Short);
        bytes.extend([0xff, 0xff]);
        assert_eq!(decode(&bytes), BadRecord::Writer);
        bytes[16] = 0;
        bytes.truncate(17);
        assert!(matches!(decode(&[&bytes[..], &[0xc1]].concat()), BadRecord::Value(_)));
        assert_eq!(decode(&[&bytes[..], &[0; 5]].concat()), BadRecord::TooLong { limit: 4 });
        assert!(matches!(decode(&[&bytes[..], &[1, 1]].concat()), BadRecord::Value(_)));
    }

    #[test]
    fn one_of_two_versions_wins_whatever_they_share() {
        let versions = [
            Record::new(stamp(1), "b", None),
            Record::new(stamp(2), "a", Some(&[1])),
            Record::new(stamp(2), "b", Some(&[1])),
            Record::new(stamp(2), "a", Some(&[2])),
            Record::new(stamp(2), "a", None),
            Record::new(stamp(3), "a", Some(&[1])),
        ];
        for (i, a) in versions.iter().enumerate() {
            for (j, b) in versions.iter().enumerate() {
                assert_eq!(a.wins_over(b), i > j, "{i} over {j}");
            }
        }
    }
}
