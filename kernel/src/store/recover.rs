//! Recovery: from what a host's two stores hold to a [`Store`] in memory.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::crdt::Record;
use crate::env::{Limits, Mutant, Now};
use crate::hlc::Stamp;
use crate::machine::{Fetch, Fetched, StorageError};
use crate::store::behind::CLOCK_ROW;
use crate::store::codec::{Damaged, decode_entry, decode_row};
use crate::store::system::{self, SYSTEM_ROW_BYTES, SYSTEM_ROWS};
use crate::store::{Change, RecordKey, Store};

/// Reads everything, a chunk at a time: first what there is, then the records, then the log entries beyond them.
#[derive(Debug, Serialize, Deserialize)]
pub struct Recovery {
    store: Store,
    last: u64,
    records: u64,
    log_entries: u64,
}

/// What recovery needs next.
#[derive(Debug)]
pub enum Next {
    /// The answer to this.
    Fetch(Fetch),
    /// Nothing: the store is complete.
    Done,
}

impl From<Damaged> for StorageError {
    fn from(_: Damaged) -> Self {
        StorageError::Corrupt
    }
}

impl Recovery {
    /// Begins to fill `store`, which is empty, with [`Fetch::Recover`].
    pub fn new(store: Store) -> Self {
        Self {
            store,
            last: 0,
            records: 0,
            log_entries: 0,
        }
    }

    /// Takes an answer.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] if what is stored is damaged, or if the log does not continue what the records hold: entries
    /// between them are missing, or the records are ahead of a log that should have come first.
    pub fn fetched(&mut self, now: Now, fetched: Fetched) -> Result<Next, StorageError> {
        match fetched {
            Fetched::Recovered { applied, log, room } => {
                // The log always keeps the last entry that the records hold, so that one that was lost whole is noticed.
                let last = match log {
                    Some((first, last)) if first <= applied.saturating_add(1) && last >= applied => last,
                    None if applied == 0 => 0,
                    _ => return Err(StorageError::Corrupt),
                };
                self.store.open(applied, room);
                self.last = last;
                Ok(self.records_after(None))
            }
            Fetched::Records { mut rows, done } => {
                let after = rows.last().map(|(key, _)| key.clone());
                if !done && self.store.mutants.is(Mutant::SkipAtChunkEnd) {
                    rows.pop();
                }
                let mut changes = Vec::with_capacity(rows.len());
                for (key, row) in rows {
                    changes.extend(self.record(key.clone(), decode_row(&key, &row)?)?);
                }
                self.records += changes.len() as u64;
                self.store.load_all(&changes);
                // A host that has no more rows and does not say so would be asked for ever.
                if done || after.is_none() {
                    Ok(self.log_from_next())
                } else {
                    Ok(self.records_after(after))
                }
            }
            Fetched::Log { mut entries, .. } => {
                let before = self.store.committed_number();
                if self.store.mutants.is(Mutant::ReplayBackwards) {
                    let numbers: Vec<u64> = entries.iter().map(|(number, _)| *number).collect();
                    let backwards = entries.into_iter().map(|(_, entry)| entry).rev();
                    entries = numbers.into_iter().zip(backwards).collect();
                }
                for (number, entry) in entries {
                    if number != self.store.committed_number() + 1 {
                        return Err(StorageError::Corrupt);
                    }
                    let mut entry = decode_entry(&entry)?;
                    if number == self.last && self.store.mutants.is(Mutant::SkipLastEntry) {
                        entry.changes.clear();
                    }
                    if self.store.mutants.is(Mutant::DropResurrected) {
                        entry.drops.clear();
                        entry.forgets.clear();
                    }
                    self.log_entries += 1;
                    self.store.replay(number, entry, now.mono_us);
                }
                if self.store.committed_number() == before {
                    return Err(StorageError::Corrupt);
                }
                Ok(self.log_from_next())
            }
        }
    }

    /// Reads a row of the records, unless it is one of the kernel's own.
    fn record(&mut self, key: bytes::Bytes, content: bytes::Bytes) -> Result<Option<Change>, StorageError> {
        if key[..] == *CLOCK_ROW {
            let clock = content[..].try_into().map_err(|_| StorageError::Corrupt)?;
            self.store.behind.observe_clock(Stamp::from_bytes(clock));
            return Ok(None);
        }
        if let Some(name) = system::of_row_key(&key) {
            if content.len() > SYSTEM_ROW_BYTES || self.store.system.len() == SYSTEM_ROWS {
                return Err(StorageError::Corrupt);
            }
            self.store.system.insert(name?, content);
            return Ok(None);
        }
        let key = RecordKey::decode(key, &Limits::of_layout()).map_err(|_| StorageError::Corrupt)?;
        let record = Record::decode(content, &Limits::of_layout()).map_err(|_| StorageError::Corrupt)?;
        Ok(Some(Change { key, record }))
    }

    fn records_after(&self, after: Option<bytes::Bytes>) -> Next {
        Next::Fetch(Fetch::Records {
            after,
            limit_bytes: self.store.limits.chunk_bytes,
        })
    }

    fn log_from_next(&self) -> Next {
        if self.store.committed_number() == self.last {
            return Next::Done;
        }
        Next::Fetch(Fetch::Log {
            from: self.store.committed_number() + 1,
            limit_bytes: self.store.limits.chunk_bytes,
        })
    }

    /// The store, with the number of records and of log entries that it was made from.
    pub fn finish(self) -> (Store, u64, u64) {
        (self.store, self.records, self.log_entries)
    }
}
