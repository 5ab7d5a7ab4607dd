//! Floor 4: the records of all partitions in memory, and the way of a change to disk.
//!
//! A change is *merged* into memory and staged; the step's staged changes are *sealed* into one log entry; when the host
//! has made that durable it is *committed*; later, coalesced with others and in key order, it is *applied* to the
//! records, and the log is *cut* behind it. After a crash, or a failed commit, [`Recovery`] makes a new store from the two
//! stores of the host.
//!
//! On the same way go the kernel's own rows ([`Store::put_system`]), and the end of what the node is to hold no more
//! ([`Store::drop_partition`], [`Store::forget`]).

mod behind;
mod codec;
mod expiry;
mod forget;
mod key;
mod maps;
mod recover;
mod system;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

pub use behind::Batch;
pub use codec::{
    Change, DROP_BYTES, Damaged, ENTRY_BYTES, Entry, change_bytes, decode_entry, decode_row, entry_changes,
    forget_bytes, system_bytes,
};
pub use forget::DELETE_BYTES;
pub use key::{ACCEPTED_MAP, BadKey, PROMISED_MAP, REGISTER_BYTES, RecordKey, is_reserved};
pub use maps::{Maps, Position};
pub use recover::{Next, Recovery};
pub use system::{SYSTEM_NAME_BYTES, SYSTEM_ROW_BYTES, SYSTEM_ROWS};

use crate::crdt::{DigestKey, Foreseen, Held, Merged, Record, Version};
use crate::env::{Limits, Mutant, Mutants};
use crate::hlc::Stamp;
use crate::machine::Room;
use crate::partition::{PARTITIONS, PartitionId, PartitionSet, Routing};
use behind::Behind;
use expiry::Expiry;

/// What a store is made with.
#[derive(Debug, Clone, Default)]
pub struct StoreConfig {
    /// How maps route their keys.
    pub routing: Routing,
    /// The key of the digests, the same on every node of a cluster.
    pub digest_key: DigestKey,
    /// Sizes and times.
    pub limits: Limits,
    /// Deliberately broken behaviour, in tests.
    pub mutants: Mutants,
}

/// Records, partition by partition, with what of them is not yet durable or not yet in the records.
#[derive(Debug, Serialize, Deserialize)]
pub struct Store {
    routing: Routing,
    limits: Limits,
    mutants: Mutants,
    #[serde(deserialize_with = "partitions")]
    partitions: Vec<Maps>,
    expiry: Expiry,
    /// The kernel's own rows.
    system: BTreeMap<Box<str>, Bytes>,
    /// The step's log entry so far, without its clock.
    staged: Entry,
    /// What was in the partitions that the step has dropped.
    dropped: Vec<Maps>,
    staged_bytes: u64,
    sealed: VecDeque<Sealed>,
    sealed_bytes: u64,
    behind: Behind,
    room: u64,
    /// Something was refused for lack of room since the host was last asked.
    short: bool,
    /// What lies at or below this and is not here was deleted.
    floor: u64,
    /// Nothing new is admitted at or below this.
    promised: u64,
}

/// As many partitions as there are.
fn partitions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Maps>, D::Error> {
    let partitions = Vec::deserialize(deserializer)?;
    match partitions.len() == usize::from(PARTITIONS) {
        true => Ok(partitions),
        false => Err(D::Error::custom("a store has another number of partitions")),
    }
}

/// A log entry that the host was given and has not answered for.
#[derive(Debug, Serialize, Deserialize)]
struct Sealed {
    number: u64,
    bytes: u64,
    entry: Entry,
    dropped: Vec<Maps>,
}

/// A row of one map that can be read: no tombstone, and not expired.
#[derive(Debug, Clone, Copy)]
pub struct MapRow<'s> {
    map: &'s str,
    /// The key in the map.
    pub key: &'s [u8],
    /// The value as MessagePack.
    pub value: &'s [u8],
    /// Of its version, if that expires.
    pub expiring: Option<Stamp>,
}

impl MapRow<'_> {
    /// The whole name.
    pub fn name(&self) -> RecordKey {
        RecordKey::of_row(self.map, self.key)
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
        let partition = Maps::new(config.digest_key, config.mutants);
        Self {
            routing: config.routing.clone(),
            limits: config.limits.clone(),
            mutants: config.mutants,
            partitions: alloc::vec![partition; PARTITIONS.into()],
            expiry: Expiry::default(),
            system: BTreeMap::new(),
            staged: Entry::default(),
            dropped: Vec::new(),
            staged_bytes: 0,
            sealed: VecDeque::new(),
            sealed_bytes: 0,
            behind: Behind::default(),
            room: 0,
            short: false,
            floor: 0,
            promised: 0,
        }
    }

    fn open(&mut self, applied: u64, room: Room) {
        self.behind = Behind::new(applied, self.mutants);
        self.room = room.bytes;
    }

    fn load(&mut self, key: &RecordKey, version: &Version<'_>) -> Merged {
        let at = self.partition_of(key).index();
        let maps = &mut self.partitions[at];
        // Most maps hold nothing that expires, and need not be asked for what it is that is replaced.
        let some_expire = maps.map(key.map()).is_some_and(|map| map.held().expiring > 0);
        let old_ms = maps
            .get(key)
            .filter(|_| some_expire)
            .and_then(|old| old.expires_at_ms());
        let merged = maps.merge(key, version);
        let new_ms = version.expires_at_ms();
        if merged.is_change() && (old_ms.is_some() || new_ms.is_some()) {
            self.expiry.change(key, old_ms, new_ms);
        }
        merged
    }

    fn load_all(&mut self, changes: &[Change]) {
        for group in changes.chunks(Foreseen::GROUP) {
            let mut foreseen = [None; Foreseen::GROUP];
            for (foreseen, change) in foreseen.iter_mut().zip(group) {
                *foreseen = self.partition(self.partition_of(&change.key)).foresee(&change.key);
            }
            foreseen.into_iter().flatten().for_each(Foreseen::touch);
            for change in group {
                self.load(&change.key, &change.record.version());
            }
        }
    }

    fn replay(&mut self, number: u64, entry: Entry, now_us: u64) {
        let dropped = entry.drops.iter().map(|id| self.take_partition(*id)).collect();
        for key in &entry.forgets {
            self.take_key(key);
        }
        self.load_all(&entry.changes);
        let system = entry.system.iter();
        self.system
            .extend(system.map(|(name, value)| (name.clone(), Bytes::copy_from_slice(value))));
        self.behind
            .push(number, entry, dropped, &self.routing, now_us, &self.limits);
    }

    /// It is `now_ms` by the hybrid logical clock: what has expired is not read any more. Returns keys that this is news of, for
    /// those who watch them: as many as one step should tell of.
    pub fn advance(&mut self, now_ms: u64) -> Vec<RecordKey> {
        let news = self.expiry.advance(now_ms);
        if self.mutants.is(Mutant::PurgeExpired) {
            for key in &news {
                let at = self.partition_of(key).index();
                self.partitions[at].forget(key);
            }
        }
        news
    }

    /// Whether [`Store::advance`] has more to tell at the time that it was told last.
    pub fn is_due(&self) -> bool {
        self.expiry.is_due()
    }

    /// The latest time that [`Store::advance`] was told: what has expired by then is not read.
    pub fn now_ms(&self) -> u64 {
        self.expiry.now_ms()
    }

    /// When [`Store::advance`] will have news, by the hybrid logical clock.
    pub fn expires_at_ms(&self) -> Option<u64> {
        self.expiry.next_ms()
    }

    /// How maps route their keys.
    pub fn routing(&self) -> &Routing {
        &self.routing
    }

    /// The partition of a key.
    pub fn partition_of(&self, key: &RecordKey) -> PartitionId {
        self.routing.partition(key.map(), key.key())
    }

    /// One partition.
    pub fn partition(&self, id: PartitionId) -> &Maps {
        &self.partitions[id.index()]
    }

    /// The version of a key in memory, a tombstone or an expired one included. It may not be durable yet: an envelope that
    /// shows it leaves with the newest ticket.
    pub fn get(&self, key: &RecordKey) -> Option<Version<'_>> {
        self.partition(self.partition_of(key)).get(key)
    }

    /// The version of a key, if there is a value to be read.
    pub fn live(&self, key: &RecordKey) -> Option<Version<'_>> {
        let now_ms = self.expiry.now_ms();
        self.get(key).filter(|version| version.value_at(now_ms).is_some())
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
        let bounded = !self.mutants.is(Mutant::QueueUnbounded);
        if bounded && waiting > ENTRY_BYTES && waiting + bytes > self.limits.commit_bytes_in_flight {
            return Err(NoRoom::Busy);
        }
        Ok(())
    }

    /// Takes a version into memory, and stages it for the log if it changed anything.
    pub fn merge(&mut self, key: RecordKey, record: Record) -> Merged {
        let merged = self.load(&key, &record.version());
        if merged.is_change() {
            let change = Change { key, record };
            self.staged_bytes += change.entry_bytes();
            self.staged.changes.push(change);
        }
        merged
    }

    /// The records that this step has changed so far. What it has dropped or forgotten is not among them, and neither is what
    /// it had changed of that before.
    pub fn staged(&self) -> &[Change] {
        &self.staged.changes
    }

    /// Whether this step has anything for the log: changes of records, system rows, drops or forgotten keys. It must be
    /// sealed then.
    pub fn has_staged(&self) -> bool {
        !self.staged.is_empty()
    }

    /// Makes one log entry of what is staged: its number and its bytes. `clock` is beyond every stamp that the node has issued
    /// or seen.
    pub fn seal(&mut self, clock: Stamp) -> (u64, Bytes) {
        let mut entry = core::mem::take(&mut self.staged);
        entry.clock = clock;
        if self.mutants.is(Mutant::CoalesceKeepsFirst) {
            let mut first = BTreeSet::new();
            entry.changes.retain(|change| first.insert(change.key.clone()));
        }
        let encoded = codec::encode_entry(&entry);
        let number = self.sealed.back().map_or(self.behind.committed(), |last| last.number) + 1;
        let bytes = encoded.len() as u64;
        self.staged_bytes = 0;
        self.sealed_bytes += bytes;
        self.sealed.push_back(Sealed {
            number,
            bytes,
            entry,
            dropped: core::mem::take(&mut self.dropped),
        });
        (number, encoded)
    }

    /// The oldest sealed entry is durable.
    pub fn committed(&mut self, now_us: u64) {
        let sealed = self.sealed.pop_front().expect("an answer follows a commit");
        self.sealed_bytes -= sealed.bytes;
        let Sealed {
            number, entry, dropped, ..
        } = sealed;
        self.behind
            .push(number, entry, dropped, &self.routing, now_us, &self.limits);
    }

    /// Something was refused for lack of room: the host should be asked whether there is more by now.
    pub fn fell_short(&mut self) {
        self.short = !self.mutants.is(Mutant::RoomForgotten);
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

    /// The log entry that holds all of what is in memory, whether it is durable yet or not: what this step has staged is going
    /// to be in the next.
    pub fn latest_number(&self) -> u64 {
        let sealed = self.sealed.back().map_or(self.behind.committed(), |last| last.number);
        sealed + u64::from(!self.staged.is_empty())
    }

    /// The last log entry that the records hold.
    pub fn applied_number(&self) -> u64 {
        self.behind.applied()
    }

    /// The clock of the last durable entry: no later time was ever spoken.
    pub fn durable_clock(&self) -> Stamp {
        self.behind.clock()
    }

    /// Whether everything in memory is durable and in the records.
    pub fn is_clean(&self) -> bool {
        !self.has_staged() && self.sealed.is_empty() && self.behind.is_clean()
    }

    /// When [`Store::begin_apply`] will have something to do.
    pub fn apply_due_us(&self) -> Option<u64> {
        self.behind.due_us()
    }

    /// The next batch for the records, if it is time for one.
    pub fn begin_apply(&mut self, now_us: u64, flush: bool) -> Option<Batch> {
        self.behind.begin(now_us, flush, &self.limits)
    }

    /// The apply in flight was answered. Returns the number that the log may be cut at, if it succeeded: all but the last
    /// entry that the records hold, so that a log that was lost whole is noticed.
    pub fn applied(&mut self, ok: bool, now_us: u64) -> Option<u64> {
        if ok || self.mutants.is(Mutant::CleanAfterFailure) {
            return self.behind.applied_ok().checked_sub(1).filter(|cut| *cut > 0);
        }
        self.behind.applied_err(now_us, &self.limits);
        None
    }

    /// How much is in memory.
    pub fn held(&self) -> Held {
        let parts = self.partitions.iter().map(Maps::held);
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
        self.held().records as usize
    }

    /// Whether no key has a version.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every version, partition by partition in the order of their positions, tombstones and expired ones included.
    pub fn rows(&self) -> impl Iterator<Item = (RecordKey, Version<'_>)> {
        let rows = self.partitions.iter().flat_map(|partition| partition.rows());
        rows.map(|(map, row)| (RecordKey::of_row(map, row.key), row.version))
    }

    /// Every row of a map that can be read, of the partitions `within`. Partition by partition, in the order of their places.
    /// Only these rows are walked over.
    pub fn map_rows<'s>(&'s self, map: &'s str, within: &PartitionSet) -> impl Iterator<Item = MapRow<'s>> + use<'s> {
        let now_ms = self.expiry.now_ms();
        let maps = within.iter().filter_map(move |id| self.partition(id).map(map));
        maps.flat_map(|held| held.iter()).filter_map(move |row| {
            let value = row.version.value_at(now_ms)?;
            Some(MapRow {
                map,
                key: row.key,
                value,
                expiring: row.version.ttl_ms.map(|_| row.version.stamp),
            })
        })
    }
}

#[cfg(test)]
mod tests;
