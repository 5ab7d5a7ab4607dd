//! Forgetting: what a node holds no more, and is as if it had never been.
//!
//! A log entry says that a partition is dropped or a key forgotten, and replaying it does the same as doing it did: whatever the
//! entries before it said of that is gone, whatever comes after it stays. The rows themselves leave the records later
//! ([`crate::store`]'s stage behind the log), and not all at once. Until the last of them has left, the records do not count as
//! holding the entry, so that a recovery in between replays it: how far the deletes have come makes no difference to what is
//! recovered, and no row needs to say how old it is.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::crdt::Row;
use crate::crdt::floor::{is_at_or_below, is_collectable};
use crate::hlc::Stamp;
use crate::partition::PartitionId;
use crate::store::codec::{DROP_BYTES, forget_bytes};
use crate::store::maps::{Maps, Position};
use crate::store::{RecordKey, Store};

/// What deleting a row counts for beside its key, in bytes of an apply: each may touch a page of its own.
pub const DELETE_BYTES: u64 = 512;

impl Store {
    /// This node holds nothing of the partition from now on, but what is merged later: its rows are gone from memory, what of
    /// them this step has staged is not logged, and the step's entry says so to whoever replays it. Returns how many rows went,
    /// deleted and expired ones included; none, and there is nothing to log.
    ///
    /// It is no change of any record: [`Store::staged`] shows nothing of it, so that neither peers nor live queries are told.
    /// Whoever watches rows of this partition is to be answered anew by the caller. A drop must not come in a step that has
    /// staged, or acknowledges, changes of the partition which others are yet to be told of.
    ///
    /// Takes time in proportion to the rows that have a time to live; the others go with their leaves. Ask [`Store::room_for`]
    /// with [`DROP_BYTES`] before.
    pub fn drop_partition(&mut self, id: PartitionId) -> u64 {
        let rows = self.partition(id).held().records;
        if rows == 0 {
            return 0;
        }
        let (routing, staged_bytes) = (&self.routing, &mut self.staged_bytes);
        self.staged.changes.retain(|change| {
            let stays = routing.partition(change.key.map(), change.key.key()) != id;
            *staged_bytes -= if stays { 0 } else { change.entry_bytes() };
            stays
        });
        if let Err(place) = self.staged.drops.binary_search(&id) {
            self.staged.drops.insert(place, id);
            self.staged_bytes += DROP_BYTES;
        }
        let dropped = self.take_partition(id);
        self.dropped.push(dropped);
        rows
    }

    /// Removes a key as if it had never been, from memory and with the step's log entry from all that is replayed and from the
    /// records. Returns whether there was a version of it; if not, nothing is staged. [`Store::staged`] shows nothing of it.
    ///
    /// Only for what no replica needs any more, such as a tombstone below the floor of all: to whoever still holds an older
    /// version it looks as if this node had never heard of it. Ask [`Store::room_for`] with
    /// [`crate::store::forget_bytes`] before. Takes time in proportion to what the step has staged.
    pub fn forget(&mut self, key: &RecordKey) -> bool {
        if !self.take_key(key) {
            return false;
        }
        let staged_bytes = &mut self.staged_bytes;
        self.staged.changes.retain(|change| {
            let stays = change.key != *key;
            *staged_bytes -= if stays { 0 } else { change.entry_bytes() };
            stays
        });
        self.staged_bytes += forget_bytes(key.as_bytes().len());
        self.staged.forgets.push(key.detached());
        true
    }

    /// Whether anything can be forgotten at this floor. Takes time in proportion to all rows.
    pub fn is_dead_at(&self, floor: u64) -> bool {
        PartitionId::all().any(|id| !self.settled(id, floor, false, 1).is_empty())
    }

    /// From now on what lies at or below `floor` and is not here counts as deleted, and nothing new is to be admitted at or below
    /// `promised`. Both are times ([`Stamp::time`](crate::hlc::Stamp::time)), and are not kept on disk here.
    pub fn settle(&mut self, floor: u64, promised: u64) {
        self.floor = floor;
        self.promised = promised;
    }

    /// At or below this time everything is settled; 0 for nothing.
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// At or below this time nothing new is admitted; 0 for nothing.
    pub fn promised(&self) -> u64 {
        self.promised
    }

    /// Whether a version with this stamp, or one that wins over it, is neither here nor was it here and deleted.
    pub fn lacks(&self, key: &RecordKey, stamp: Stamp) -> bool {
        match self.get(key) {
            Some(version) => version.stamp < stamp,
            None => !is_at_or_below(stamp, self.floor),
        }
    }

    /// Keys of a partition that can be forgotten at this floor, `most` of them at most: those of dead versions
    /// ([`is_collectable`]), or with `all` of whatever lies at or below it. Takes time in proportion to its rows.
    pub fn settled(&self, id: PartitionId, floor: u64, all: bool, most: usize) -> Vec<RecordKey> {
        let held = self.partition(id).held();
        if !all && held.tombstones + held.expiring == 0 {
            return Vec::new();
        }
        let goes = |row: &Row<'_>| match all {
            true => is_at_or_below(row.version.stamp, floor),
            false => is_collectable(&row.version, floor),
        };
        let rows = self.partition(id).rows().filter(|(_, row)| goes(row));
        rows.take(most)
            .map(|(map, row)| RecordKey::of_row(map, row.key))
            .collect()
    }

    /// Gives back the memory of what was forgotten of a partition, if it is worth while.
    pub fn compact(&mut self, id: PartitionId) {
        self.partitions[id.index()].compact();
    }

    /// Takes all of a partition out of memory.
    pub(super) fn take_partition(&mut self, id: PartitionId) -> Maps {
        let dropped = self.partitions[id.index()].take();
        for (name, map) in dropped.iter().filter(|(_, map)| map.held().expiring > 0) {
            for row in map.iter() {
                if let Some(expires_ms) = row.version.expires_at_ms() {
                    let key = RecordKey::of_row(name, row.key);
                    self.expiry.change(&key, Some(expires_ms), None);
                }
            }
        }
        dropped
    }

    /// Takes a key out of memory. Whether it was there.
    pub(super) fn take_key(&mut self, key: &RecordKey) -> bool {
        let at = self.partition_of(key).index();
        let Some(version) = self.partitions[at].get(key) else {
            return false;
        };
        let expires_ms = version.expires_at_ms();
        self.expiry.change(key, expires_ms, None);
        self.partitions[at].forget(key);
        true
    }
}

/// Partitions that were dropped, and whose rows may still be in the records.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Doomed {
    dropped: VecDeque<Maps>,
    /// In the first of them: the map and the place of the first row that may still be there.
    from: Option<(Box<str>, u32)>,
}

/// How far a walk came.
#[derive(Debug, Serialize, Deserialize)]
pub struct Walked {
    finished: usize,
    from: Option<(Box<str>, u32)>,
}

impl Doomed {
    /// Adds partitions that were dropped.
    pub fn extend(&mut self, dropped: Vec<Maps>) {
        self.dropped.extend(dropped);
    }

    /// The next keys to delete, ascending, each once, up to the end or until they count for so many bytes; and how far that
    /// goes, where it is not the end.
    pub fn walk(&self, most_bytes: u64) -> (Vec<RecordKey>, Option<Walked>) {
        let (mut keys, mut bytes, mut end) = (Vec::new(), 0, None);
        'walk: for (finished, maps) in self.dropped.iter().enumerate() {
            let from = self.from.as_ref().filter(|_| finished == 0);
            let from = from.map(|(map, place)| Position { map, place: *place });
            let mut last = None;
            for (map, row) in maps.rows_from(from) {
                // Rows that share a place stay together: a walk goes on from places.
                if bytes >= most_bytes && last != Some((map, row.place)) {
                    let from = Some((map.into(), row.place));
                    end = Some(Walked { finished, from });
                    break 'walk;
                }
                last = Some((map, row.place));
                bytes += DELETE_BYTES + (map.len() + 1 + row.key.len()) as u64;
                keys.push(RecordKey::of_row(map, row.key));
            }
        }
        keys.sort_unstable();
        keys.dedup();
        (keys, end)
    }

    /// The rows that a walk came by are gone from the records.
    pub fn advance(&mut self, walked: Walked) {
        self.dropped.drain(..walked.finished);
        self.from = walked.from;
    }

    /// Nothing of them is left to be deleted.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}
