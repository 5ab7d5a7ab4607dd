//! Floor 4: the records of all partitions in memory, and the way of a change to disk.
//!
//! A change is *merged* into memory and staged; the step's staged changes are *sealed* into one log entry; when the host
//! has made that durable it is *committed*; later, coalesced with others and in key order, it is *applied* to the
//! records, and the log is *cut* behind it. After a crash, or a failed commit, [`Recovery`] makes a new store from the two
//! stores of the host.

mod behind;
mod codec;
mod key;
mod recover;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;

pub(crate) use codec::stored;
pub use codec::{Change, Damaged, ENTRY_BYTES, change_bytes, decode_entry, decode_row, entry_changes};
pub use key::{BadKey, RecordKey};
pub use recover::{Next, Recovery};

use crate::crdt::{Held, LwwMap, Merged, Record};
use crate::env::{Limits, Mutants};
use crate::hlc::Stamp;
use crate::machine::Room;
use crate::partition::{PARTITIONS, PartitionId, Routing};
use behind::Behind;

/// What a store is made with.
#[derive(Debug, Clone, Default)]
pub struct StoreConfig {
    /// How maps route their keys.
    pub routing: Routing,
    /// The key of the digests, the same on every node of a cluster.
    pub digest_key: [u8; 16],
    /// Sizes and times.
    pub limits: Limits,
    /// Deliberately broken behaviour, in tests.
    pub mutants: Mutants,
}

/// Records, partition by partition, with what of them is not yet durable or not yet in the records.
#[derive(Debug)]
pub struct Store {
    routing: Routing,
    limits: Limits,
    partitions: Vec<LwwMap>,
    staged: Vec<Change>,
    staged_bytes: u64,
    sealed: VecDeque<Sealed>,
    sealed_bytes: u64,
    behind: Behind,
    room: u64,
    /// Something was refused for lack of room since the host was last asked.
    short: bool,
}

/// A log entry that the host was given and has not answered for.
#[derive(Debug)]
struct Sealed {
    number: u64,
    bytes: u64,
    clock: Stamp,
    changes: Vec<Change>,
}

/// A row of one map, where the store holds it.
#[derive(Debug, Clone, Copy)]
pub struct MapRow<'s> {
    name: &'s Bytes,
    at: usize,
    /// The version, perhaps a tombstone.
    pub record: &'s Record,
}

impl<'s> MapRow<'s> {
    /// The key in the map.
    pub fn key(&self) -> &'s [u8] {
        self.name.get(self.at..).unwrap_or_default()
    }

    /// The whole name.
    pub fn name(&self) -> RecordKey {
        RecordKey::of_row(self.name)
    }
}

/// Why no change can be taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoom {
    /// The host's storage would be full.
    Full,
    /// Too much is waiting for the host's storage.
    Busy,
}

impl Store {
    /// An empty store, to be filled by a [`Recovery`].
    pub fn new(config: &StoreConfig) -> Self {
        let partition = LwwMap::new(config.digest_key, config.mutants);
        Self {
            routing: config.routing.clone(),
            limits: config.limits.clone(),
            partitions: alloc::vec![partition; PARTITIONS.into()],
            staged: Vec::new(),
            staged_bytes: 0,
            sealed: VecDeque::new(),
            sealed_bytes: 0,
            behind: Behind::default(),
            room: 0,
            short: false,
        }
    }

    fn open(&mut self, applied: u64, room: Room) {
        self.behind = Behind::new(applied);
        self.room = room.bytes;
    }

    fn load(&mut self, key: &RecordKey, record: Record) {
        let at = self.partition_of(key).index();
        self.partitions[at].merge(key.as_bytes(), record);
    }

    fn replay(&mut self, number: u64, clock: Stamp, changes: Vec<Change>, now_us: u64) {
        // Copied out of the entry: one small record must not keep a whole batch in memory.
        for change in &changes {
            let key = change.key.detached();
            self.load(&key, change.record.detached());
        }
        self.behind.push(number, clock, changes, now_us, &self.limits);
    }

    /// The partition of a key.
    pub fn partition_of(&self, key: &RecordKey) -> PartitionId {
        self.routing.partition(key.map(), key.key())
    }

    /// One partition.
    pub fn partition(&self, id: PartitionId) -> &LwwMap {
        &self.partitions[id.index()]
    }

    /// The version of a key in memory, a tombstone included. It may not be durable yet: an envelope that shows it leaves
    /// with the newest ticket.
    pub fn get(&self, key: &RecordKey) -> Option<&Record> {
        self.partition(self.partition_of(key)).get(key.as_bytes())
    }

    /// Whether `bytes` more (see [`change_bytes`]) can be staged.
    ///
    /// # Errors
    /// [`NoRoom`], before anything was merged.
    pub fn room_for(&self, bytes: u64) -> Result<(), NoRoom> {
        let waiting = self.sealed_bytes + self.staged_bytes + ENTRY_BYTES;
        if waiting + bytes > self.room {
            return Err(NoRoom::Full);
        }
        // One change always fits an idle store, however large it is.
        if waiting > ENTRY_BYTES && waiting + bytes > self.limits.commit_bytes_in_flight {
            return Err(NoRoom::Busy);
        }
        Ok(())
    }

    /// Takes a version into memory, and stages it for the log if it changed anything.
    pub fn merge(&mut self, key: RecordKey, record: Record) -> Merged {
        let at = self.partition_of(&key).index();
        let merged = self.partitions[at].merge(key.as_bytes(), record.clone());
        if merged == Merged::Changed {
            let change = Change { key, record };
            self.staged_bytes += change.entry_bytes();
            self.staged.push(change);
        }
        merged
    }

    /// What this step has changed so far.
    pub fn staged(&self) -> &[Change] {
        &self.staged
    }

    /// Makes one log entry of what is staged: its number and its bytes. `clock` is the node's latest stamp.
    pub fn seal(&mut self, clock: Stamp) -> Option<(u64, Bytes)> {
        if self.staged.is_empty() {
            return None;
        }
        let changes = core::mem::take(&mut self.staged);
        let entry = codec::encode_entry(clock, &changes);
        let number = self.sealed.back().map_or(self.behind.committed(), |last| last.number) + 1;
        let bytes = entry.len() as u64;
        self.staged_bytes = 0;
        self.sealed_bytes += bytes;
        self.sealed.push_back(Sealed {
            number,
            bytes,
            clock,
            changes,
        });
        Some((number, entry))
    }

    /// The oldest sealed entry is durable.
    pub fn committed(&mut self, now_us: u64) {
        let sealed = self.sealed.pop_front().expect("an answer follows a commit");
        self.sealed_bytes -= sealed.bytes;
        self.behind
            .push(sealed.number, sealed.clock, sealed.changes, now_us, &self.limits);
    }

    /// Something was refused for lack of room: the host should be asked whether there is more by now.
    pub fn fell_short(&mut self) {
        self.short = true;
    }

    /// Whether the host should be asked for room; once asked, not again before the next refusal.
    pub fn take_short(&mut self) -> bool {
        core::mem::take(&mut self.short)
    }

    /// The host grants room for what follows the last commit.
    pub fn grant(&mut self, room: Room) {
        self.room = room.bytes;
    }

    /// The last durable log entry.
    pub fn committed_number(&self) -> u64 {
        self.behind.committed()
    }

    /// The last log entry that the records hold.
    pub fn applied_number(&self) -> u64 {
        self.behind.applied()
    }

    /// The clock of the last durable entry: the latest stamp that may be spoken without waiting.
    pub fn durable_clock(&self) -> Stamp {
        self.behind.clock()
    }

    /// Whether everything in memory is durable and in the records.
    pub fn is_clean(&self) -> bool {
        self.staged.is_empty() && self.sealed.is_empty() && self.behind.is_clean()
    }

    /// When [`Store::begin_apply`] will have something to do.
    pub fn apply_due_us(&self) -> Option<u64> {
        self.behind.due_us()
    }

    /// The next batch for the records, if it is time for one: the log entry that it covers, and rows ascending by key.
    pub fn begin_apply(&mut self, now_us: u64, flush: bool) -> Option<(u64, Vec<(Bytes, Bytes)>)> {
        self.behind.begin(now_us, flush, &self.limits)
    }

    /// The apply in flight was answered. Returns the number that the log may be cut at, if it succeeded: all but the last
    /// entry that the records hold, so that a log that was lost whole is noticed.
    pub fn applied(&mut self, ok: bool, now_us: u64) -> Option<u64> {
        if ok {
            return self.behind.applied_ok().checked_sub(1).filter(|cut| *cut > 0);
        }
        self.behind.applied_err(now_us, &self.limits);
        None
    }

    /// How much is in memory.
    pub fn held(&self) -> Held {
        let parts = self.partitions.iter().map(LwwMap::held);
        parts.fold(Held::default(), Held::plus)
    }

    /// Log entries that the host was given and has not answered for, and their bytes.
    pub fn in_flight(&self) -> (u64, u64) {
        (self.sealed.len() as u64, self.sealed_bytes)
    }

    /// Bytes of changes that the log holds and the records do not yet.
    pub fn unapplied_bytes(&self) -> u64 {
        self.behind.bytes()
    }

    /// Bytes that the host last said may be committed.
    pub fn room_bytes(&self) -> u64 {
        self.room
    }

    /// How many keys have a version, deleted ones included.
    pub fn len(&self) -> usize {
        self.partitions.iter().map(LwwMap::len).sum()
    }

    /// Whether no key has a version.
    pub fn is_empty(&self) -> bool {
        self.partitions.iter().all(LwwMap::is_empty)
    }

    /// Every version, partition by partition and ascending by key, tombstones included.
    pub fn rows(&self) -> impl Iterator<Item = (&Bytes, &Record)> {
        self.partitions.iter().flat_map(|partition| partition.iter_after(None))
    }

    /// Every version of the keys of `map`, tombstones included: its keys, without the map's name. Ascending by key within a
    /// partition, partition by partition. Only these rows are walked over.
    pub fn map_rows<'s>(&'s self, map: &str) -> impl Iterator<Item = MapRow<'s>> + use<'s> {
        let mut prefix = Vec::with_capacity(map.len() + 1);
        prefix.extend_from_slice(map.as_bytes());
        prefix.push(0);
        self.partitions.iter().flat_map(move |partition| {
            let rows = partition.iter_from(&prefix).take_while({
                let prefix = prefix.clone();
                move |(name, _)| name.starts_with(&prefix)
            });
            let at = prefix.len();
            rows.map(move |(name, record)| MapRow { name, at, record })
        })
    }
}
