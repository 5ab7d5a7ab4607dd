//! What is written to a host's two stores: entries of the log, rows of the records. Both carry a version and a check sum,
//! so that what comes back is what was written or is refused.
//!
//! - entry: `version (1) · clock (16) · number of changes (4) · { key length (2) · key · record length (4) · record } · sections ·
//!   check (8)`
//! - section: `kind (1) · how many (4) · as many items`. Kinds ascend, and one that would be empty is not there: partitions that
//!   are dropped (1: `partition (2)`), keys that are forgotten (2: `key length (2) · key`), the kernel's own rows
//!   (3: `name length (2) · name · length (4) · content`)
//! - row: `version (1) · content · check (8)`, where the check covers the row's key as well
//!
//! Numbers are big-endian. The check is SipHash-1-3 under a fixed key: it finds accidents, not adversaries.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;
use core::hash::Hasher;
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use crate::crdt::Record;
use crate::env::Limits;
use crate::hlc::Stamp;
use crate::partition::PartitionId;
use crate::store::key::RecordKey;
use crate::store::system;

const VERSION: u8 = 3;
/// Before entries had sections behind their changes.
const VERSION_WITHOUT_SECTIONS: u8 = 2;
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

/// Bytes that an entry takes beside what it says.
pub const ENTRY_BYTES: u64 = (1 + CLOCK_BYTES + 4 + CHECK_BYTES) as u64;

/// Bytes at the head of a section.
const SECTION_BYTES: u64 = 1 + 4;

/// Most bytes that a dropped partition takes in an entry.
pub const DROP_BYTES: u64 = SECTION_BYTES + 2;

/// Most bytes that a forgotten key takes in an entry.
pub fn forget_bytes(key_len: usize) -> u64 {
    SECTION_BYTES + (2 + key_len) as u64
}

/// Most bytes that a system row takes in an entry.
pub fn system_bytes(name_len: usize, value_len: usize) -> u64 {
    SECTION_BYTES + (2 + name_len + 4 + value_len) as u64
}

/// What one entry of the log says. It is to be read in the order of its fields: what is dropped and forgotten is what the
/// entries before it said, and its own changes come after that.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Entry {
    /// Beyond every stamp that the node had issued or seen.
    pub clock: Stamp,
    /// Partitions of which the node holds nothing from then on but what comes later, ascending.
    pub drops: Vec<PartitionId>,
    /// Keys that are as if they had never been.
    pub forgets: Vec<RecordKey>,
    /// New versions, in order.
    pub changes: Vec<Change>,
    /// The kernel's own rows, by name.
    pub system: BTreeMap<Box<str>, Bytes>,
}

impl Entry {
    /// Whether it says nothing but the time.
    pub fn is_empty(&self) -> bool {
        self.drops.is_empty() && self.forgets.is_empty() && self.changes.is_empty() && self.system.is_empty()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Section {
    Drops = 1,
    Forgets = 2,
    System = 3,
}

impl Section {
    fn of(kind: u8) -> Result<Self, Damaged> {
        let all = [Section::Drops, Section::Forgets, Section::System];
        all.into_iter().find(|section| *section as u8 == kind).ok_or(Damaged)
    }

    /// Writes the head of a section with so many items, unless it would be empty.
    fn begin(self, items: usize, out: &mut Vec<u8>) {
        if items > 0 {
            out.push(self as u8);
            put_count(items, out);
        }
    }
}

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

fn put_count(count: usize, out: &mut Vec<u8>) {
    let count = u32::try_from(count).expect("what a step does is bounded");
    out.extend_from_slice(&count.to_be_bytes());
}

fn put_name(name: &[u8], out: &mut Vec<u8>) {
    let len = u16::try_from(name.len()).expect("keys are bounded by Limits, and names of system rows are short");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(name);
}

fn put_content(content: &[u8], out: &mut Vec<u8>) {
    let len = u32::try_from(content.len()).expect("values are bounded by Limits, and system rows are small");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(content);
}

/// Writes a log entry. No time beyond its clock is spoken before another entry says so.
///
/// # Panics
/// If something is beyond what its length field holds: `Limits` keep all of it far below.
pub fn encode_entry(entry: &Entry) -> Bytes {
    let Entry {
        clock,
        drops,
        forgets,
        changes,
        system,
    } = entry;
    let bytes: u64 = changes.iter().map(Change::entry_bytes).sum();
    let mut out = Vec::with_capacity((ENTRY_BYTES + bytes) as usize);
    out.push(VERSION);
    out.extend_from_slice(&clock.to_bytes());
    put_count(changes.len(), &mut out);
    for Change { key, record } in changes {
        put_name(key.as_bytes(), &mut out);
        put_content(record.as_bytes(), &mut out);
    }
    Section::Drops.begin(drops.len(), &mut out);
    for partition in drops {
        let number = u16::try_from(partition.index()).expect("partitions are few");
        out.extend_from_slice(&number.to_be_bytes());
    }
    Section::Forgets.begin(forgets.len(), &mut out);
    for key in forgets {
        put_name(key.as_bytes(), &mut out);
    }
    Section::System.begin(system.len(), &mut out);
    for (name, content) in system {
        put_name(name.as_bytes(), &mut out);
        put_content(content, &mut out);
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

/// Reads a log entry. Keys, records and system rows share the entry's bytes.
///
/// # Errors
/// [`Damaged`], whatever the bytes are.
pub fn decode_entry(entry: &Bytes) -> Result<Entry, Damaged> {
    let limits = &Limits::of_layout();
    let (body, found) = entry.split_last_chunk::<CHECK_BYTES>().ok_or(Damaged)?;
    if *found != check(&[body]) {
        return Err(Damaged);
    }
    let mut rest = Cursor(entry.slice(..body.len()));
    let [version] = rest.array()?;
    if !matches!(version, VERSION | VERSION_WITHOUT_SECTIONS | VERSION_WITHOUT_MARKS) {
        return Err(Damaged);
    }
    let mut entry = Entry {
        clock: Stamp::from_bytes(rest.array()?),
        ..Entry::default()
    };
    for _ in 0..rest.count()? {
        let key = RecordKey::decode(rest.name()?, limits).map_err(|_| Damaged)?;
        let record = marked(version, rest.content()?);
        let record = Record::decode(record, limits).map_err(|_| Damaged)?;
        entry.changes.push(Change { key, record });
    }
    let mut last = None;
    while version == VERSION && !rest.0.is_empty() {
        let [kind] = rest.array()?;
        let section = Section::of(kind)?;
        if last >= Some(section) {
            return Err(Damaged);
        }
        last = Some(section);
        decode_section(section, &mut rest, &mut entry)?;
    }
    match rest.0.is_empty() {
        true => Ok(entry),
        false => Err(Damaged),
    }
}

fn decode_section(section: Section, rest: &mut Cursor, entry: &mut Entry) -> Result<(), Damaged> {
    for _ in 0..rest.count()? {
        match section {
            Section::Drops => {
                let number = u16::from_be_bytes(rest.array()?);
                entry.drops.push(PartitionId::new(number.into()).ok_or(Damaged)?);
            }
            Section::Forgets => {
                let key = RecordKey::decode(rest.name()?, &Limits::of_layout());
                entry.forgets.push(key.map_err(|_| Damaged)?);
            }
            Section::System => {
                let name = system::name(&rest.name()?)?;
                entry.system.insert(name, rest.content()?);
            }
        }
    }
    Ok(())
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
        Some(&(VERSION | VERSION_WITHOUT_SECTIONS)) => Ok(content()),
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

    fn count(&mut self) -> Result<u32, Damaged> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn name(&mut self) -> Result<Bytes, Damaged> {
        let len = u16::from_be_bytes(self.array()?);
        self.bytes(len.into())
    }

    fn content(&mut self) -> Result<Bytes, Damaged> {
        let len = self.count()?;
        self.bytes(len as usize)
    }
}

#[cfg(test)]
mod tests;
