//! What a correct node would hold: a model of last-writer-wins that shares no code with the kernel's.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use kernel::crdt;
use kernel::crdt::Record;
use kernel::env::Limits;
use kernel::hlc::Stamp;
use kernel::partition::{PartitionId, Routing};
use kernel::store::{RecordKey, decode_entry, decode_row};

use crate::disk::VirtualDisk;

/// One version of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// When it was written.
    pub stamp: Stamp,
    /// How long it is read, in milliseconds; `None` is for ever.
    pub ttl_ms: Option<u64>,
    /// What, as MessagePack; `None` for a delete.
    pub value: Option<Bytes>,
    /// Its writer's name.
    pub writer: String,
}

impl Version {
    /// What a version of the kernel says.
    pub fn of(version: &crdt::Version<'_>) -> Self {
        Self {
            stamp: version.stamp,
            ttl_ms: version.ttl_ms,
            value: version.value.map(Bytes::copy_from_slice),
            writer: version.writer.to_string(),
        }
    }

    /// The kernel's view of it.
    pub fn view(&self) -> crdt::Version<'_> {
        crdt::Version {
            stamp: self.stamp,
            ttl_ms: self.ttl_ms,
            value: self.value.as_deref(),
            writer: &self.writer,
        }
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The greater version wins: the later stamp; of equal stamps a delete, then the greater value, then the longer
/// life, then the greater name.
impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_stamp = self.stamp.cmp(&other.stamp);
        let by_content = || {
            let deletes = |version: &Self| version.value.is_none();
            let life = |version: &Self| (version.ttl_ms.is_none(), version.ttl_ms);
            deletes(self)
                .cmp(&deletes(other))
                .then_with(|| self.value.cmp(&other.value))
                .then_with(|| life(self).cmp(&life(other)))
                .then_with(|| self.writer.cmp(&other.writer))
        };
        by_stamp.then_with(by_content)
    }
}

/// The winning version of each record, by its whole name.
pub type State = BTreeMap<Bytes, Version>;

/// Takes `version` if it wins over what `state` has.
pub fn merge(state: &mut State, key: &Bytes, version: &Version) {
    match state.get_mut(key) {
        Some(held) if *version > *held => *held = version.clone(),
        Some(_) => {}
        None => _ = state.insert(key.clone(), version.clone()),
    }
}

/// One log entry. The kernel's own rows are not part of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LogEntry {
    /// The clock that it carries.
    pub clock: Stamp,
    /// Partitions of which nothing is left but what comes later.
    pub drops: Vec<PartitionId>,
    /// Names of records that are as if they had never been.
    pub forgets: Vec<Bytes>,
    /// Its changes in order: they come after what is dropped and forgotten.
    pub changes: Vec<(Bytes, Version)>,
}

impl LogEntry {
    /// Whether it takes this record from what was there before it. No map of a plan declares how it routes.
    pub fn forgets(&self, key: &Bytes) -> bool {
        let drops = |end: usize| {
            let map = std::str::from_utf8(&key[..end]).unwrap_or_default();
            self.drops.contains(&Routing::new().partition(map, &key[end + 1..]))
        };
        let end = key.iter().position(|byte| *byte == 0);
        self.forgets.contains(key) || (!self.drops.is_empty() && end.is_some_and(drops))
    }

    /// Whether it takes anything away.
    pub fn takes_away(&self) -> bool {
        !self.drops.is_empty() || !self.forgets.is_empty()
    }

    /// What a state is after it.
    pub fn follow(&self, state: &mut State) {
        self.take_away(state);
        for (key, version) in &self.changes {
            merge(state, key, version);
        }
    }

    /// Takes from a state what it forgets.
    pub fn take_away(&self, state: &mut State) {
        if self.takes_away() {
            state.retain(|key, _| !self.forgets(key));
        }
    }
}

/// Reads a log entry.
///
/// # Errors
/// If it is none.
pub fn read_entry(entry: &Bytes) -> Result<LogEntry, String> {
    let entry = decode_entry(entry).map_err(|error| error.to_string())?;
    let changes = entry.changes.iter();
    let changes = changes.map(|change| (change.key.as_bytes().clone(), Version::of(&change.record.version())));
    Ok(LogEntry {
        clock: entry.clock,
        drops: entry.drops,
        forgets: entry.forgets.iter().map(|key| key.as_bytes().clone()).collect(),
        changes: changes.collect(),
    })
}

/// The log entries that were read last: many promises follow the same log, one right after the other.
#[derive(Debug, Clone, Default)]
pub struct Decoded {
    /// The bytes and what they say, the newest last. The bytes are kept so that nothing else can come to lie in their place.
    entries: RefCell<VecDeque<(Bytes, Arc<LogEntry>)>>,
}

impl Decoded {
    /// Enough for what one sync makes durable; more are read once more.
    const MOST: usize = 32;

    /// Reads a log entry, or has just done so.
    ///
    /// # Errors
    /// If it is none.
    pub fn read(&self, entry: &Bytes) -> Result<Arc<LogEntry>, String> {
        let place = |bytes: &Bytes| (bytes.as_ptr(), bytes.len());
        let mut entries = self.entries.borrow_mut();
        if let Some((_, known)) = entries.iter().rev().find(|(bytes, _)| place(bytes) == place(entry)) {
            return Ok(Arc::clone(known));
        }
        let read = Arc::new(read_entry(entry)?);
        if entries.len() == Self::MOST {
            entries.pop_front();
        }
        entries.push_back((entry.clone(), Arc::clone(&read)));
        Ok(read)
    }
}

/// What a node would come back with if it crashed now: its records, and its log over them.
///
/// # Errors
/// If the disk holds what no kernel writes.
pub fn state_of(disk: &VirtualDisk) -> Result<State, String> {
    state_of_stores(disk.records(), disk.log())
}

/// What a node would come back with from these records and this log.
///
/// # Errors
/// If they hold what no kernel writes.
pub fn state_of_stores(records: &BTreeMap<Bytes, Bytes>, log: &BTreeMap<u64, Bytes>) -> Result<State, String> {
    let mut state = State::new();
    for (key, row) in records {
        // A name that begins with a zero byte is no record's: the kernel keeps its own rows there.
        if key.first() == Some(&0) {
            continue;
        }
        let content = decode_row(key, row).map_err(|error| error.to_string())?;
        let record = Record::decode(content, &Limits::default()).map_err(|error| error.to_string())?;
        merge(&mut state, key, &Version::of(&record.version()));
    }
    // The log begins at or before the end of what the records hold, and has no gaps: what one of its entries takes away and a later
    // one brings back is brought back by it.
    for entry in log.values() {
        read_entry(entry)?.follow(&mut state);
    }
    Ok(state)
}

/// What a node holds in memory.
pub fn state_in<'r>(rows: impl Iterator<Item = (RecordKey, crdt::Version<'r>)>) -> State {
    rows.map(|(key, version)| (key.as_bytes().clone(), Version::of(&version)))
        .collect()
}

/// Follows the log of one disk as it grows.
#[derive(Debug, Default)]
pub struct LogReader {
    seen: u64,
}

impl LogReader {
    /// One that has seen all that this disk's log holds.
    pub fn at_end_of(disk: &VirtualDisk) -> Self {
        Self {
            seen: disk.last_durable(),
        }
    }

    /// The entries that have become durable since the last call, with their numbers.
    ///
    /// # Errors
    /// If one of them is no entry.
    pub fn new_entries(&mut self, disk: &VirtualDisk) -> Result<Vec<(u64, Arc<LogEntry>)>, String> {
        // Of one that is damaged nobody but its node has anything to read.
        if disk.last_durable() == self.seen || disk.is_damaged() {
            return Ok(Vec::new());
        }
        let fresh = disk.log().range(self.seen + 1..);
        self.seen = disk.last_durable();
        let entries = fresh.map(|(number, entry)| Ok((*number, disk.decoded().read(entry)?)));
        entries.collect()
    }
}

/// A record's name and version, for people.
pub fn show(key: &Bytes, version: Option<&Version>) -> String {
    let key = String::from_utf8_lossy(key).replace('\0', "/");
    let Some(version) = version else {
        return format!("{key} = nothing");
    };
    let (ms, counter) = (version.stamp.millis(), version.stamp.counter());
    let value = match &version.value {
        None => "deleted".to_string(),
        Some(value) => format!("{value:02x?}"),
    };
    format!("{key} = {value} of {} at {ms}.{counter}", version.writer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::env::WriterId;
    use kernel::store::{Store, StoreConfig};

    #[test]
    fn the_model_follows_what_a_log_drops_and_forgets() {
        let mut store = Store::new(&StoreConfig::default());
        let (mut log, mut said) = (BTreeMap::new(), vec![]);
        let name = |number: u64| RecordKey::new("m", &number.to_be_bytes(), &Limits::default()).unwrap();
        let stamp = |ms| Stamp::new(ms, 0, WriterId(1)).unwrap();
        for step in 1..6 {
            match step {
                2 => assert_eq!(store.drop_partition(store.partition_of(&name(3))), 1),
                3 => assert!(store.forget(&name(5))),
                4 => store.put_system("id", Bytes::from_static(b"7")),
                _ => {
                    for number in (0..20).step_by(step) {
                        store.merge(
                            name(number),
                            Record::new(&crdt::Version::new(stamp(step as u64), "w", None)),
                        );
                    }
                }
            }
            let (number, entry) = store.seal(stamp(9));
            log.insert(number, entry);
            said.push((number, state_in(store.rows())));
        }
        for (number, state) in said {
            let upto: BTreeMap<u64, Bytes> = log.range(..=number).map(|(n, entry)| (*n, entry.clone())).collect();
            assert_eq!(state_of_stores(&BTreeMap::new(), &upto), Ok(state), "entry {number}");
        }
    }

    #[test]
    fn the_model_agrees_with_the_kernel_on_who_wins() {
        let stamp = |ms| Stamp::new(ms, 0, WriterId(1)).unwrap();
        let mut versions = vec![];
        for ms in 1..3 {
            for writer in ["a", "b"] {
                for value in [None, Some(&[1_u8][..]), Some(&[2][..])] {
                    for ttl_ms in [None, Some(1), Some(2)]
                        .into_iter()
                        .filter(|ttl| ttl.is_none() || value.is_some())
                    {
                        let version = crdt::Version::new(stamp(ms), writer, value);
                        versions.push(crdt::Version { ttl_ms, ..version });
                    }
                }
            }
        }
        for a in &versions {
            for b in &versions {
                assert_eq!(Version::of(a) > Version::of(b), a.wins_over(b), "{a:?} over {b:?}");
            }
        }
    }
}
