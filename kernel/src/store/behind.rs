//! The write-behind stage: what the log holds and the records do not yet.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::crdt::Record;
use crate::env::{Limits, Mutant, Mutants};
use crate::hlc::Stamp;
use crate::store::codec::{Change, encode_row};
use crate::store::key::RecordKey;

/// The row in which the records keep the node's clock.
pub const CLOCK_ROW: &[u8] = b"\0clock";

/// Committed changes, coalesced by key, on their way into the records. The log is cut only below what the records hold,
/// and one apply is in flight at a time.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Behind {
    waiting: BTreeMap<RecordKey, Record>,
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
    changes: BTreeMap<RecordKey, Record>,
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

    /// Takes the changes of log entry `number`, which is durable.
    pub fn push(&mut self, number: u64, clock: Stamp, changes: Vec<Change>, now_us: u64, limits: &Limits) {
        assert_eq!(
            number,
            self.committed + 1,
            "log entries are committed one after the other"
        );
        self.committed = number;
        self.clock = self.clock.max(clock);
        for Change { key, record } in changes {
            self.waiting_bytes += (key.as_bytes().len() + record.as_bytes().len()) as u64;
            self.waiting.insert(key, record);
        }
        self.due_us.get_or_insert(now_us + limits.apply_delay_ms * 1_000);
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

    /// The next apply, if it is time for one: enough has gathered, or it has waited long enough, or `flush`. Rows ascend by key.
    pub fn begin(&mut self, now_us: u64, flush: bool, limits: &Limits) -> Option<(u64, Vec<(Bytes, Bytes)>)> {
        let due = self.due_us? <= now_us || self.waiting_bytes >= limits.apply_bytes || flush;
        if !due || self.in_flight.is_some() || now_us < self.hold_until_us {
            return None;
        }
        self.due_us = None;
        let bytes = core::mem::take(&mut self.waiting_bytes);
        let mut changes = core::mem::take(&mut self.waiting);
        if self.mutants.is(Mutant::WatermarkPasses) {
            let first = changes.pop_first();
            self.waiting = core::mem::replace(&mut changes, first.into_iter().collect());
            self.due_us = (!self.waiting.is_empty()).then(|| now_us + limits.apply_delay_ms * 1_000);
        }
        // The clock's row begins with a zero byte and so comes before every record's.
        let clock = (
            Bytes::from_static(CLOCK_ROW),
            encode_row(CLOCK_ROW, &self.clock.to_bytes()),
        );
        let rows = changes.iter().map(|(key, record)| {
            let key = key.as_bytes();
            (key.clone(), encode_row(key, record.as_bytes()))
        });
        let puts = core::iter::once(clock).chain(rows).collect();
        let upto = self.committed;
        self.in_flight = Some(InFlight { upto, bytes, changes });
        Some((upto, puts))
    }

    /// The apply in flight is durable. The log may be cut up to the number returned.
    pub fn applied_ok(&mut self) -> u64 {
        let done = self.in_flight.take().expect("an answer follows an apply");
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
            self.waiting_bytes += (key.as_bytes().len() + record.as_bytes().len()) as u64;
            if self.mutants.is(Mutant::NewerErased) {
                self.waiting.insert(key.clone(), record.clone());
            }
            self.waiting.entry(key).or_insert(record);
        }
        self.hold_until_us = now_us + limits.apply_delay_ms * 1_000;
        self.due_us = Some(self.hold_until_us);
    }
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

    fn keys(puts: &[(Bytes, Bytes)]) -> Vec<&[u8]> {
        puts.iter().map(|(key, _)| &key[..]).collect()
    }

    #[test]
    fn changes_wait_coalesce_and_go_in_key_order() {
        let limits = Limits::default();
        let mut behind = Behind::new(10, Mutants::default());
        behind.push(11, Stamp::ZERO, vec![change(b"b", 1), change(b"a", 1)], 0, &limits);
        behind.push(12, Stamp::ZERO, vec![change(b"b", 2)], 500_000, &limits);
        assert_eq!(behind.due_us(), Some(1_000_000));
        assert_eq!(behind.begin(999_999, false, &limits), None);
        let (upto, puts) = behind.begin(1_000_000, false, &limits).unwrap();
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
        behind.push(1, Stamp::ZERO, vec![change(b"a", 1)], 0, &limits);
        assert!(behind.begin(0, false, &limits).is_some());
    }

    #[test]
    fn a_failed_apply_waits_and_does_not_undo_what_is_newer() {
        let limits = Limits::default();
        let mut behind = Behind::new(0, Mutants::default());
        behind.push(1, Stamp::ZERO, vec![change(b"a", 1), change(b"b", 1)], 0, &limits);
        behind.begin(0, true, &limits).unwrap();
        behind.push(2, Stamp::ZERO, vec![change(b"a", 2)], 0, &limits);
        assert_eq!(behind.due_us(), None, "one apply at a time");
        behind.applied_err(5, &limits);
        assert_eq!(behind.begin(6, true, &limits), None, "not again at once");
        let (upto, puts) = behind.begin(2_000_000, false, &limits).unwrap();
        assert_eq!((upto, puts.len()), (2, 3));
        assert_eq!(puts[1].1, encode_row(b"m\0a", change(b"a", 2).record.as_bytes()));
    }
}
