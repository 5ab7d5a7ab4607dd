//! What is written to a host's two stores: entries of the log, rows of the records. Both carry a version and a check sum,
//! so that what comes back is what was written or is refused.
//!
//! - entry: `version (1) · clock (16) · number of changes (4) · { key length (2) · key · record length (4) · record } · check (8)`
//! - row: `version (1) · content · check (8)`, where the check covers the row's key as well
//!
//! Numbers are big-endian. The check is SipHash-1-3 under a fixed key: it finds accidents, not adversaries.

use alloc::vec::Vec;
use bytes::Bytes;
use core::hash::Hasher;
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use crate::crdt::Record;
use crate::env::Limits;
use crate::hlc::Stamp;
use crate::store::key::RecordKey;

const VERSION: u8 = 2;
/// Before records had marks: the byte behind the stamp.
const VERSION_WITHOUT_MARKS: u8 = 1;
const CHECK_BYTES: usize = 8;
const CLOCK_BYTES: usize = 16;

/// One change: a key and its new version.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Change {
    /// What.
    pub key: RecordKey,
    /// Its version from then on, where no other wins over it.
    pub record: Record,
}

impl Change {
    /// Bytes that it takes in an entry.
    pub fn entry_bytes(&self) -> u64 {
        change_bytes(self.key.as_bytes().len(), self.record.as_bytes().len())
    }
}

/// Bytes that a change takes in an entry.
pub fn change_bytes(key_len: usize, record_len: usize) -> u64 {
    (2 + key_len + 4 + record_len) as u64
}

/// Bytes that an entry takes beside its changes.
pub const ENTRY_BYTES: u64 = (1 + CLOCK_BYTES + 4 + CHECK_BYTES) as u64;

/// The stored bytes are not what this kernel writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored bytes are damaged or from a newer version")]
pub struct Damaged;

fn check(parts: &[&[u8]]) -> [u8; CHECK_BYTES] {
    let mut hasher = SipHasher13::new();
    for part in parts {
        hasher.write(&(part.len() as u64).to_le_bytes());
        hasher.write(part);
    }
    hasher.finish().to_be_bytes()
}

/// Writes a log entry. `clock` is a bound beyond every stamp that the node has issued or seen; no later time
/// is spoken before another entry says so.
///
/// # Panics
/// If a key or record is beyond what its length field holds: `Limits` keep them far below.
pub fn encode_entry(clock: Stamp, changes: &[Change]) -> Bytes {
    let bytes: u64 = changes.iter().map(Change::entry_bytes).sum();
    let mut out = Vec::with_capacity((ENTRY_BYTES + bytes) as usize);
    out.push(VERSION);
    out.extend_from_slice(&clock.to_bytes());
    let count = u32::try_from(changes.len()).expect("a step's changes are bounded by its frame");
    out.extend_from_slice(&count.to_be_bytes());
    for Change { key, record } in changes {
        let key_len = u16::try_from(key.as_bytes().len()).expect("keys are bounded by Limits");
        out.extend_from_slice(&key_len.to_be_bytes());
        out.extend_from_slice(key.as_bytes());
        let record_len = u32::try_from(record.as_bytes().len()).expect("values are bounded by Limits");
        out.extend_from_slice(&record_len.to_be_bytes());
        out.extend_from_slice(record.as_bytes());
    }
    let check = check(&[&out]);
    out.extend_from_slice(&check);
    out.into()
}

/// How many changes a log entry says that it holds; 0 of what is none. Looks at the head only.
pub fn entry_changes(entry: &[u8]) -> u64 {
    let count = entry.get(17..).and_then(|rest| rest.first_chunk());
    count.map_or(0, |count| u32::from_be_bytes(*count).into())
}

/// Reads a log entry: the clock, and the changes in order. Keys and records share the entry's bytes.
///
/// # Errors
/// [`Damaged`], whatever the bytes are.
pub fn decode_entry(entry: &Bytes) -> Result<(Stamp, Vec<Change>), Damaged> {
    let limits = &Limits::of_layout();
    let (body, found) = entry.split_last_chunk::<CHECK_BYTES>().ok_or(Damaged)?;
    if *found != check(&[body]) {
        return Err(Damaged);
    }
    let mut rest = Cursor(entry.slice(..body.len()));
    let [version] = rest.array()?;
    if !matches!(version, VERSION | VERSION_WITHOUT_MARKS) {
        return Err(Damaged);
    }
    let clock = Stamp::from_bytes(rest.array()?);
    let count = u32::from_be_bytes(rest.array()?);
    let mut changes = Vec::new();
    for _ in 0..count {
        let key_len = u16::from_be_bytes(rest.array()?).into();
        let key = RecordKey::decode(rest.bytes(key_len)?, limits).map_err(|_| Damaged)?;
        let record_len = u32::from_be_bytes(rest.array()?) as usize;
        let record = marked(version, rest.bytes(record_len)?);
        let record = Record::decode(record, limits).map_err(|_| Damaged)?;
        changes.push(Change { key, record });
    }
    if rest.0.is_empty() {
        Ok((clock, changes))
    } else {
        Err(Damaged)
    }
}

/// Writes the content of a row of the records.
pub fn encode_row(key: &[u8], content: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(1 + content.len() + CHECK_BYTES);
    out.push(VERSION);
    out.extend_from_slice(content);
    let check = check(&[key, &out]);
    out.extend_from_slice(&check);
    out.into()
}

/// Reads the content of a row of the records.
///
/// # Errors
/// [`Damaged`], whatever the bytes are.
pub fn decode_row(key: &[u8], row: &Bytes) -> Result<Bytes, Damaged> {
    let (body, found) = row.split_last_chunk::<CHECK_BYTES>().ok_or(Damaged)?;
    if *found != check(&[key, body]) {
        return Err(Damaged);
    }
    let content = || row.slice(1..body.len());
    match body.first() {
        Some(&VERSION) => Ok(content()),
        // A name that begins with a zero byte is no record's.
        Some(&VERSION_WITHOUT_MARKS) if key.first() == Some(&0) => Ok(content()),
        Some(&VERSION_WITHOUT_MARKS) => Ok(marked(VERSION_WITHOUT_MARKS, content())),
        _ => Err(Damaged),
    }
}

/// A record as this version writes it. What is cut short is left as it is, to be refused.
fn marked(version: u8, record: Bytes) -> Bytes {
    match record.split_at_checked(CLOCK_BYTES) {
        Some((stamp, rest)) if version == VERSION_WITHOUT_MARKS => [stamp, &[0], rest].concat().into(),
        _ => record,
    }
}

struct Cursor(Bytes);

impl Cursor {
    fn bytes(&mut self, len: usize) -> Result<Bytes, Damaged> {
        if len > self.0.len() {
            return Err(Damaged);
        }
        Ok(self.0.split_to(len))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let bytes = self.bytes(N)?;
        bytes.first_chunk().copied().ok_or(Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crdt::Version;
    use crate::env::WriterId;
    use alloc::string::String;
    use alloc::{format, vec};

    fn stamp(ms: u64) -> Stamp {
        Stamp::new(ms, 0, WriterId(7)).unwrap()
    }

    fn entry() -> (Bytes, Vec<Change>) {
        let limits = Limits::default();
        let change = |key: &[u8], value: Option<&[u8]>| Change {
            key: RecordKey::new("m", key, &limits).unwrap(),
            record: Record::new(&Version::new(stamp(4), "w", value)),
        };
        let changes = vec![change(b"a", Some(&[1])), change(b"b", None)];
        (encode_entry(stamp(9), &changes), changes)
    }

    #[test]
    fn an_entry_comes_back() {
        let (bytes, changes) = entry();
        let size: u64 = changes.iter().map(Change::entry_bytes).sum();
        assert_eq!(bytes.len() as u64, ENTRY_BYTES + size);
        assert_eq!(decode_entry(&bytes), Ok((stamp(9), changes)));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let (bytes, _) = entry();
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_entry(&bad.into()), Err(Damaged), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert_eq!(decode_entry(&bytes.slice(..len)), Err(Damaged), "length {len}");
        }
        let row = encode_row(b"k", b"content");
        assert_eq!(decode_row(b"k", &row), Ok(Bytes::from_static(b"content")));
        assert_eq!(decode_row(b"other", &row), Err(Damaged));
        for bit in 0..row.len() * 8 {
            let mut bad = row.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_row(b"k", &bad.into()), Err(Damaged), "bit {bit}");
        }
    }

    #[test]
    fn the_layout_is_frozen() {
        // A data folder outlives the binary that wrote it: a change here needs a new version and a reader for the old.
        let (bytes, _) = entry();
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, FROZEN);
    }

    const FROZEN: &str = "02000000000009000000000000000000070000000200036d00610000001400000000000400000000000000000007000177\
        0100036d006200000013000000000004000000000000000000070001773edaba74194e5808";

    #[test]
    fn what_the_first_version_wrote_is_read() {
        const FIRST: &str = "01000000000009000000000000000000070000000200036d006100000013000000000004000000000000000000070177\
            0100036d006200000012000000000004000000000000000000070177983dc05f85f4378c";
        let pairs = FIRST.as_bytes().as_chunks::<2>().0.iter();
        let bytes: Vec<u8> = pairs
            .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        assert_eq!(decode_entry(&bytes.into()), Ok((stamp(9), entry().1)));
        let first_row = |key: &[u8], content: &[u8]| {
            let body = [&[VERSION_WITHOUT_MARKS], content].concat();
            Bytes::from([&body[..], &check(&[key, &body])].concat())
        };
        let record = entry().1[0].record.clone();
        let unmarked = [&record.as_bytes()[..16], &record.as_bytes()[17..]].concat();
        assert_eq!(
            decode_row(b"m\0a", &first_row(b"m\0a", &unmarked)),
            Ok(record.as_bytes().clone())
        );
        assert_eq!(
            decode_row(b"\0clock", &first_row(b"\0clock", &[7; 16])),
            Ok(Bytes::from(vec![7; 16]))
        );
        assert!(decode_row(b"m\0a", &first_row(b"m\0a", &[7; 15])).is_ok_and(|short| short.len() == 15));
    }
}
