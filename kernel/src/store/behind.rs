//! The write-behind stage: what the log holds and the records do not yet.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::crdt::Record;
use crate::env::{Limits, Mutant, Mutants};
use crate::hlc::Stamp;
use crate::partition::Routing;
use crate::store::codec::{Change, Entry, encode_row};
use crate::store::forget::{DELETE_BYTES, Doomed, Walked};
use crate::store::key::RecordKey;
use crate::store::maps::Maps;
use crate::store::system;

/// The row in which the records keep the node's clock.
pub const CLOCK_ROW: &[u8] = b"\0clock";

/// What an apply is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The log entry that the records then hold everything up to. It is the one of the apply before while rows of dropped
    /// partitions are deleted, which takes several.
    pub upto: u64,
    /// Rows and their contents, ascending by key.
    pub puts: Vec<(Bytes, Bytes)>,
    /// Rows that are to be there no more, ascending, none of them in `puts`. Not all of them are there.
    pub deletes: Vec<Bytes>,
}

/// New versions by key; `None` where a row is to leave.
type Waiting = BTreeMap<RecordKey, Option<Record>>;

/// Committed changes, coalesced by key, on their way into the records. The log is cut only below what the records hold,
/// and one apply is in flight at a time.
///
/// Rows of dropped partitions leave first, a batch at a time, and nothing else goes meanwhile: the records hold the entry of the drop
/// only when the last of them has left. Deleting a row early does no harm, for the entry that dooms it is durable, and replayed
/// for as long as the records do not hold it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Behind {
    waiting: Waiting,
    system: BTreeMap<Box<str>, Bytes>,
    doomed: Doomed,
    waiting_bytes: u64,
    due_us: Option<u64>,
    /// After a failure: no other attempt before this.
    hold_until_us: u64,
    in_flight: Option<InFlight>,
    committed: u64,
    clock: Stamp,
    applied: u64,
    mutants: Mutants,
}

#[derive(Debug, Serialize, Deserialize)]
struct InFlight {
    upto: u64,
    bytes: u64,
    changes: Waiting,
    system: BTreeMap<Box<str>, Bytes>,
    /// It deletes a part of what is doomed, and nothing else.
    walked: Option<Walked>,
}

impl Behind {
    /// A stage whose records hold everything up to `applied`.
    pub fn new(applied: u64, mutants: Mutants) -> Self {
        Self {
            committed: applied,
            applied,
            mutants,
            ..Self::default()
        }
    }

    /// Takes what log entry `number` says, which is durable. `dropped` is what was in the partitions that it drops.
    pub fn push(
        &mut self,
        number: u64,
        entry: Entry,
        dropped: Vec<Maps>,
        routing: &Routing,
        now_us: u64,
        limits: &Limits,
    ) {
        assert_eq!(
            number,
            self.committed + 1,
            "log entries are committed one after the other"
        );
        self.committed = number;
        self.clock = self.clock.max(entry.clock);
        if !entry.drops.is_empty() {
            // What waits of them need not be written. All that was ever written is deleted with the dropped rows, or waits to be.
            let stays = |key: &RecordKey, record: &mut Option<Record>| {
                record.is_none() || !entry.drops.contains(&routing.partition(key.map(), key.key()))
            };
            self.waiting.retain(stays);
            if let Some(apply) = &mut self.in_flight {
                apply.changes.retain(stays);
            }
            self.doomed.extend(dropped);
        }
        for key in entry.forgets {
            self.wait(key, None);
        }
        for Change { key, record } in entry.changes {
            self.wait(key, Some(record));
        }
        for (name, value) in entry.system {
            self.waiting_bytes += value.len() as u64;
            self.system.insert(name, value);
        }
        self.due_us.get_or_insert(now_us + limits.apply_delay_ms * 1_000);
    }

    fn wait(&mut self, key: RecordKey, record: Option<Record>) {
        self.waiting_bytes += waiting_bytes(&key, record.as_ref());
        self.waiting.insert(key, record);
    }

    /// The last durable log entry.
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// The last log entry that the records hold.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// The clock of the last durable entry.
    pub fn clock(&self) -> Stamp {
        self.clock
    }

    /// Takes note of the clock that the records hold.
    pub fn observe_clock(&mut self, clock: Stamp) {
        self.clock = self.clock.max(clock);
    }

    /// When [`Behind::begin`] will have something to do.
    pub fn due_us(&self) -> Option<u64> {
        let due = self.due_us.map(|due| due.max(self.hold_until_us));
        due.filter(|_| self.in_flight.is_none())
    }

    /// Bytes of changes that the log holds and the records do not yet.
    pub fn bytes(&self) -> u64 {
        self.waiting_bytes + self.in_flight.as_ref().map_or(0, |apply| apply.bytes)
    }

    /// Whether the records hold all that the log holds.
    pub fn is_clean(&self) -> bool {
        self.due_us.is_none() && self.in_flight.is_none()
    }

    /// The next apply, if it is time for one: enough has gathered, or it has waited long enough, or `flush`.
    pub fn begin(&mut self, now_us: u64, flush: bool, limits: &Limits) -> Option<Batch> {
        let due = self.due_us? <= now_us || self.waiting_bytes >= limits.apply_bytes || flush;
        if !due || self.in_flight.is_some() || now_us < self.hold_until_us {
            return None;
        }
        let (doomed, walked) = self.doomed.walk(limits.apply_bytes);
        if walked.is_some() {
            // There is more: it goes on as soon as this is answered.
            self.due_us = Some(now_us);
            self.in_flight = Some(InFlight {
                upto: self.applied,
                bytes: 0,
                changes: Waiting::new(),
                system: BTreeMap::new(),
                walked,
            });
            return Some(Batch {
                upto: self.applied,
                puts: Vec::new(),
                deletes: doomed.into_iter().map(|key| key.as_bytes().clone()).collect(),
            });
        }
        self.due_us = None;
        self.doomed.clear();
        let bytes = core::mem::take(&mut self.waiting_bytes);
        let mut changes = core::mem::take(&mut self.waiting);
        if self.mutants.is(Mutant::WatermarkPasses) {
            let first = changes.pop_first();
            self.waiting = core::mem::replace(&mut changes, first.into_iter().collect());
            self.due_us = (!self.waiting.is_empty()).then(|| now_us + limits.apply_delay_ms * 1_000);
        }
        for key in doomed {
            // What has come since then is put.
            changes.entry(key).or_insert(None);
        }
        let batch = self.batch(&changes);
        self.in_flight = Some(InFlight {
            upto: batch.upto,
            bytes,
            changes,
            system: core::mem::take(&mut self.system),
            walked: None,
        });
        Some(batch)
    }

    /// All that is committed: the clock, the system rows, and these changes.
    fn batch(&self, changes: &Waiting) -> Batch {
        let row = |key: Bytes, content: &[u8]| {
            let row = encode_row(&key, content);
            (key, row)
        };
        // The kernel's own rows begin with a zero byte and so come before every record's, the clock's before the others.
        let clock = row(Bytes::from_static(CLOCK_ROW), &self.clock.to_bytes());
        let mut puts = Vec::with_capacity(1 + self.system.len() + changes.len());
        puts.push(clock);
        puts.extend(
            self.system
                .iter()
                .map(|(name, value)| row(system::row_key(name), value)),
        );
        let mut deletes = Vec::new();
        for (key, record) in changes {
            let key = key.as_bytes().clone();
            match record {
                Some(record) => puts.push(row(key, record.as_bytes())),
                None => deletes.push(key),
            }
        }
        Batch {
            upto: self.committed,
            puts,
            deletes,
        }
    }

    /// The apply in flight is durable. The log may be cut up to the number returned.
    pub fn applied_ok(&mut self) -> u64 {
        let done = self.in_flight.take().expect("an answer follows an apply");
        if let Some(walked) = done.walked {
            self.doomed.advance(walked);
        }
        self.applied = match self.mutants.is(Mutant::CutBeyondRecords) {
            true => self.committed,
            false => done.upto,
        };
        self.applied
    }

    /// The apply in flight failed: its changes wait again, behind whatever newer version of them has come since.
    pub fn applied_err(&mut self, now_us: u64, limits: &Limits) {
        let failed = self.in_flight.take().expect("an answer follows an apply");
        for (key, record) in failed.changes {
            if self.mutants.is(Mutant::ForgetFailedFlush) {
                break;
            }
            self.waiting_bytes += waiting_bytes(&key, record.as_ref());
            if self.mutants.is(Mutant::NewerErased) {
                self.waiting.insert(key.clone(), record.clone());
            }
            self.waiting.entry(key).or_insert(record);
        }
        for (name, value) in failed.system {
            self.waiting_bytes += value.len() as u64;
            self.system.entry(name).or_insert(value);
        }
        self.hold_until_us = now_us + limits.apply_delay_ms * 1_000;
        self.due_us = Some(self.hold_until_us);
    }
}

fn waiting_bytes(key: &RecordKey, record: Option<&Record>) -> u64 {
    let content = record.map_or(DELETE_BYTES, |record| record.as_bytes().len() as u64);
    key.as_bytes().len() as u64 + content
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crdt::Version;
    use crate::env::WriterId;
    use alloc::vec;

    fn change(key: &[u8], ms: u64) -> Change {
        let stamp = Stamp::new(ms, 0, WriterId(1)).unwrap();
        Change {
            key: RecordKey::new("m", key, &Limits::default()).unwrap(),
            record: Record::new(&Version::new(stamp, "w", Some(&[1]))),
        }
    }

    fn push(behind: &mut Behind, number: u64, changes: Vec<Change>, now_us: u64, limits: &Limits) {
        let entry = Entry {
            changes,
            ..Entry::default()
        };
        behind.push(number, entry, vec![], &Routing::new(), now_us, limits);
    }

    fn keys(puts: &[(Bytes, Bytes)]) -> Vec<&[u8]> {
        puts.iter().map(|(key, _)| &key[..]).collect()
    }

    #[test]
    fn changes_wait_coalesce_and_go_in_key_order() {
        let limits = Limits::default();
        let mut behind = Behind::new(10, Mutants::default());
        push(&mut behind, 11, vec![change(b"b", 1), change(b"a", 1)], 0, &limits);
        push(&mut behind, 12, vec![change(b"b", 2)], 500_000, &limits);
        assert_eq!(behind.due_us(), Some(1_000_000));
        assert_eq!(behind.begin(999_999, false, &limits), None);
        let Batch { upto, puts, .. } = behind.begin(1_000_000, false, &limits).unwrap();
        assert_eq!((upto, keys(&puts)), (12, vec![CLOCK_ROW, b"m\0a", b"m\0b"]));
        assert_eq!(puts[2].1, encode_row(b"m\0b", change(b"b", 2).record.as_bytes()));
        assert!(!behind.is_clean() && behind.bytes() > 0);
        assert_eq!(behind.applied_ok(), 12);
        assert_eq!(behind.bytes(), 0);
        assert!(behind.is_clean());
    }

    #[test]
    fn enough_bytes_do_not_wait() {
        let limits = Limits {
            apply_bytes: 20,
            ..Limits::default()
        };
        let mut behind = Behind::new(0, Mutants::default());
        push(&mut behind, 1, vec![change(b"a", 1)], 0, &limits);
        assert!(behind.begin(0, false, &limits).is_some());
    }

    /// What is written of a key that was written again while the apply that had it failed.
    fn rewritten_after_a_failure(mutants: Mutants) -> Bytes {
        let limits = Limits::default();
        let mut behind = Behind::new(0, mutants);
        push(&mut behind, 1, vec![change(b"a", 1), change(b"b", 1)], 0, &limits);
        behind.begin(0, true, &limits).unwrap();
        push(&mut behind, 2, vec![change(b"a", 2)], 0, &limits);
        assert_eq!(behind.due_us(), None, "one apply at a time");
        behind.applied_err(5, &limits);
        assert_eq!(behind.begin(6, true, &limits), None, "not again at once");
        let Batch { upto, puts, .. } = behind.begin(2_000_000, false, &limits).unwrap();
        assert_eq!((upto, puts.len()), (2, 3));
        puts[1].1.clone()
    }

    #[test]
    fn a_failed_apply_waits_and_does_not_undo_what_is_newer() {
        let of = |ms| encode_row(b"m\0a", change(b"a", ms).record.as_bytes());
        assert_eq!(rewritten_after_a_failure(Mutants::default()), of(2));
        #[cfg(feature = "testing")]
        assert_eq!(rewritten_after_a_failure(Mutants::only(Mutant::NewerErased)), of(1));
    }
}
