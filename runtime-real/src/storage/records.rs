//! The records in an LMDB environment of their own, with the number of the last log entry that they hold.

use std::ops::Bound;
use std::path::Path;

use bytes::Bytes;
use heed::byteorder::BigEndian;
use heed::types::{Bytes as Raw, U64};
use heed::{CommitOrAbort, Database};
use kernel::machine::StorageError;

use super::lmdb::{self, Environment, failed};
use crate::driver::RecordStore;

/// Address space of the records: their bound.
const MAP_BYTES: usize = 1 << 40;

/// The key of the applied number in the database `state`.
const APPLIED: &[u8] = b"applied";

/// The records, by key.
#[derive(Debug)]
pub struct Records {
    env: Environment,
    records: Database<'static, Raw, Raw>,
    state: Database<'static, Raw, U64<BigEndian>>,
}

impl Records {
    /// Opens the records in the folder `path`.
    pub fn open(path: &Path) -> heed::Result<Self> {
        let env = lmdb::open(path, MAP_BYTES, 2)?;
        let opened = env.create_databases_and_commit(env.write_txn()?, |open, txn| {
            let records = open.create_database::<Raw, Raw>(txn, Some("records"))?;
            let state = open.create_database::<Raw, U64<BigEndian>>(txn, Some("state"))?;
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit((records, state)))
        })?;
        let (records, state) = opened.unwrap_commit();
        Ok(Self { env, records, state })
    }

    fn try_applied(&self) -> heed::Result<u64> {
        let txn = self.env.read_txn()?;
        Ok(self.state.get(&txn, APPLIED)?.unwrap_or(0))
    }

    fn try_apply(&mut self, upto: u64, puts: &[(Bytes, Bytes)], deletes: &[Bytes]) -> heed::Result<()> {
        let mut txn = self.env.write_txn()?;
        for (key, value) in puts {
            self.records.put(&mut txn, key, value)?;
        }
        for key in deletes {
            self.records.delete(&mut txn, key)?;
        }
        self.state.put(&mut txn, APPLIED, &upto)?;
        txn.commit()
    }

    #[allow(clippy::type_complexity)]
    fn try_read(&self, after: Option<&[u8]>, limit_bytes: usize) -> heed::Result<(Vec<(Bytes, Bytes)>, bool)> {
        let txn = self.env.read_txn()?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for row in self.records.range(&txn, &(from, Bound::Unbounded))? {
            if bytes >= limit_bytes && !rows.is_empty() {
                return Ok((rows, false));
            }
            let (key, value) = row?;
            bytes += key.len() + value.len();
            rows.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        }
        Ok((rows, true))
    }
}

impl Records {
    fn recover(&mut self) -> Result<u64, StorageError> {
        self.try_applied()
            .map_err(|error| failed("looking at the records", &error))
    }

    fn apply(&mut self, upto: u64, puts: &[(Bytes, Bytes)], deletes: &[Bytes]) -> Result<(), StorageError> {
        let applied = self.try_apply(upto, puts, deletes);
        applied.map_err(|error| failed("bringing changes into the records", &error))
    }

    fn read(&mut self, after: Option<&[u8]>, limit_bytes: usize) -> Result<(Vec<(Bytes, Bytes)>, bool), StorageError> {
        let rows = self.try_read(after, limit_bytes);
        rows.map_err(|error| failed("reading the records", &error))
    }
}

// What blocks is ready when it comes back: the loop of the records has a thread of its own.
impl RecordStore for Records {
    async fn recover(&mut self) -> Result<u64, StorageError> {
        self.recover()
    }

    async fn apply(&mut self, upto: u64, puts: &[(Bytes, Bytes)], deletes: &[Bytes]) -> Result<(), StorageError> {
        self.apply(upto, puts, deletes)
    }

    async fn read(
        &mut self,
        after: Option<&[u8]>,
        limit_bytes: usize,
    ) -> Result<(Vec<(Bytes, Bytes)>, bool), StorageError> {
        self.read(after, limit_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &'static str, value: &'static str) -> (Bytes, Bytes) {
        (Bytes::from(key), Bytes::from(value))
    }

    #[test]
    fn records_and_the_number_that_they_hold_go_together() {
        let dir = tempfile::tempdir().unwrap();
        let mut records = Records::open(dir.path()).unwrap();
        assert_eq!(records.recover(), Ok(0));
        records.apply(7, &[row("a", "1"), row("b", "2")], &[]).unwrap();
        records.apply(9, &[row("b", "3"), row("c", "4")], &[]).unwrap();
        drop(records);
        let mut records = Records::open(dir.path()).unwrap();
        assert_eq!(records.recover(), Ok(9));
        let all = (vec![row("a", "1"), row("b", "3"), row("c", "4")], true);
        assert_eq!(records.read(None, 1_000), Ok(all));
        assert_eq!(records.read(Some(b"a"), 1), Ok((vec![row("b", "3")], false)));
        assert_eq!(records.read(Some(b"b"), 1), Ok((vec![row("c", "4")], true)));
    }

    #[test]
    fn what_is_deleted_is_gone_and_what_is_not_there_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let mut records = Records::open(dir.path()).unwrap();
        let rows = ["a", "b", "c"].map(|key| row(key, "1"));
        records.apply(1, &rows, &[]).unwrap();
        let deletes = ["a", "aa", "c", "d"].map(Bytes::from);
        records.apply(1, &[row("e", "2")], &deletes).unwrap();
        drop(records);
        let mut records = Records::open(dir.path()).unwrap();
        let left = (vec![row("b", "1"), row("e", "2")], true);
        assert_eq!((records.recover(), records.read(None, 1_000)), (Ok(1), Ok(left)));
    }

    #[test]
    fn a_batch_with_a_key_that_does_not_fit_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut records = Records::open(dir.path()).unwrap();
        let long = (Bytes::from(vec![b'z'; 512]), Bytes::new());
        assert_eq!(records.apply(1, &[row("a", "1"), long], &[]), Err(StorageError::Io));
        assert_eq!((records.recover(), records.read(None, 10)), (Ok(0), Ok((vec![], true))));
    }
}
