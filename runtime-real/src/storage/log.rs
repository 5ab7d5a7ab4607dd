//! The ordered log in an LMDB environment of its own.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use heed::byteorder::BigEndian;
use heed::types::{Bytes as Raw, U64};
use heed::{CommitOrAbort, Database, DatabaseStat, MdbError, PutFlags};
use kernel::machine::{Room, StorageError};

use super::lmdb::{self, Environment, failed};
use super::space;
use crate::driver::{LogState, LogStore};

/// Address space of the log: its bound, were it never cut.
const MAP_BYTES: usize = 64 << 30;

type Entries = Database<'static, U64<BigEndian>, Raw>;

/// The ordered log: entries by number.
#[derive(Debug)]
pub struct Log {
    env: Environment,
    entries: Entries,
    path: PathBuf,
    map_bytes: usize,
    /// Nothing more fits: writes are refused until there is space again.
    is_full: bool,
    /// The last entry, once [`LogStore::recover`] looked or something was appended. A log that was cut whole has none.
    last: Option<u64>,
}

impl Log {
    /// Opens the log in the folder `path`.
    pub fn open(path: &Path) -> heed::Result<Self> {
        Self::open_with(path, MAP_BYTES)
    }

    fn open_with(path: &Path, map_bytes: usize) -> heed::Result<Self> {
        let env = lmdb::open(path, map_bytes, 1)?;
        let entries = env.create_databases_and_commit(env.write_txn()?, |open, txn| {
            let entries: heed::Result<_> = open.create_database::<U64<BigEndian>, Raw>(txn, Some("entries"));
            entries.map(CommitOrAbort::<_, ()>::Commit)
        })?;
        Ok(Self {
            entries: entries.unwrap_commit(),
            env,
            path: path.to_owned(),
            map_bytes,
            is_full: false,
            last: None,
        })
    }

    /// Bytes of pages that entries may take. The rest is for cutting: also a deletion writes pages before it frees any,
    /// and a log that is full to the last page could never be cut again.
    fn limit_bytes(&self) -> usize {
        self.map_bytes / 4 * 3
    }

    /// Tells the operator when space runs out, and when there is some again.
    fn note(&mut self, room: Room) {
        let is_full = room.bytes == 0;
        let path = self.path.display();
        match (self.is_full, is_full) {
            (false, true) => tracing::warn!(%path, "no space is left for writes: they are refused until some is freed"),
            (true, false) => tracing::info!(%path, room_bytes = room.bytes, "there is space for writes again"),
            _ => {}
        }
        self.is_full = is_full;
    }

    /// How much more fits. `live` are the pages of the entries: free ones inside the file are used again.
    fn room_beside(&self, live: &DatabaseStat) -> Room {
        let left = self.limit_bytes().saturating_sub(bytes(live));
        space::room(&self.path, left as u64)
    }

    fn try_recover(&self) -> heed::Result<LogState> {
        let txn = self.env.read_txn()?;
        let (first, last) = (self.entries.first(&txn)?, self.entries.last(&txn)?);
        Ok(LogState {
            range: first.zip(last).map(|((first, _), (last, _))| (first, last)),
            room: self.room_beside(&self.entries.stat(&txn)?),
        })
    }

    fn try_append(&mut self, entries: &[(u64, Bytes)]) -> heed::Result<Room> {
        let mut txn = self.env.write_txn()?;
        for (number, entry) in entries {
            self.entries.put_with_flags(&mut txn, PutFlags::APPEND, number, entry)?;
        }
        let live = self.entries.stat(&txn)?;
        if bytes(&live) > self.limit_bytes() {
            return Err(heed::Error::Mdb(MdbError::MapFull));
        }
        txn.commit()?;
        Ok(self.room_beside(&live))
    }

    fn try_read(&self, from: u64, limit_bytes: usize) -> heed::Result<(Vec<(u64, Bytes)>, bool)> {
        let txn = self.env.read_txn()?;
        let (mut found, mut bytes) = (Vec::new(), 0);
        for row in self.entries.range(&txn, &(from..))? {
            if bytes >= limit_bytes && !found.is_empty() {
                return Ok((found, false));
            }
            let (number, entry) = row?;
            bytes += entry.len();
            found.push((number, Bytes::copy_from_slice(entry)));
        }
        Ok((found, true))
    }

    fn try_cut(&mut self, upto: u64) -> heed::Result<usize> {
        let mut txn = self.env.write_txn()?;
        let cut = self.entries.delete_range(&mut txn, &(..=upto))?;
        txn.commit()?;
        Ok(cut)
    }
}

/// What a database takes in the file.
fn bytes(stat: &DatabaseStat) -> usize {
    (stat.branch_pages + stat.leaf_pages + stat.overflow_pages) * stat.page_size as usize
}

impl Log {
    fn recover(&mut self) -> Result<LogState, StorageError> {
        let state = self
            .try_recover()
            .map_err(|error| failed("looking at the log", &error))?;
        self.last = state.range.map(|(_, last)| last);
        self.note(state.room);
        Ok(state)
    }

    fn room(&mut self) -> Result<Room, StorageError> {
        let state = self.try_recover();
        let room = state.map_err(|error| failed("looking at the log", &error))?.room;
        self.note(room);
        Ok(room)
    }

    fn append(&mut self, entries: &[(u64, Bytes)]) -> Result<Room, StorageError> {
        let mut last = self.last;
        for (number, _) in entries {
            if last.is_some_and(|last| last + 1 != *number) {
                tracing::error!(
                    ?last,
                    number,
                    "storage: the log was given an entry that does not follow the last one"
                );
                return Err(StorageError::Corrupt);
            }
            last = Some(*number);
        }
        let appended = self.try_append(entries);
        let room = appended.map_err(|error| failed("appending to the log", &error))?;
        self.last = last;
        self.note(room);
        Ok(room)
    }

    fn cut(&mut self, upto: u64) -> Result<(), StorageError> {
        let cut = self.try_cut(upto).map_err(|error| failed("cutting the log", &error))?;
        tracing::debug!(upto, cut, "the log was cut");
        Ok(())
    }

    fn read(&mut self, from: u64, limit_bytes: usize) -> Result<(Vec<(u64, Bytes)>, bool), StorageError> {
        let found = self.try_read(from, limit_bytes);
        found.map_err(|error| failed("reading the log", &error))
    }
}

// What blocks is ready when it comes back: the loop of the log has a thread of its own.
impl LogStore for Log {
    async fn recover(&mut self) -> Result<LogState, StorageError> {
        self.recover()
    }

    async fn room(&mut self) -> Result<Room, StorageError> {
        self.room()
    }

    async fn append(&mut self, entries: &[(u64, Bytes)]) -> Result<Room, StorageError> {
        self.append(entries)
    }

    async fn cut(&mut self, upto: u64) -> Result<(), StorageError> {
        self.cut(upto)
    }

    async fn read(&mut self, from: u64, limit_bytes: usize) -> Result<(Vec<(u64, Bytes)>, bool), StorageError> {
        self.read(from, limit_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64) -> (u64, Bytes) {
        (number, Bytes::from(vec![number as u8; 100]))
    }

    #[test]
    fn what_was_appended_is_read_in_order_and_what_was_cut_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path()).unwrap();
        assert_eq!(log.recover().unwrap().range, None);
        assert!(log.recover().unwrap().room.bytes > 0);
        log.append(&[entry(1), entry(2)]).unwrap();
        log.append(&[entry(3)]).unwrap();
        assert_eq!(log.read(1, 150).unwrap(), (vec![entry(1), entry(2)], false));
        assert_eq!(log.read(3, 1).unwrap(), (vec![entry(3)], true));
        log.cut(2).unwrap();
        assert_eq!(log.recover().unwrap().range, Some((3, 3)));
        log.cut(3).unwrap();
        assert_eq!(log.recover().unwrap().range, None);
        log.append(&[entry(4)]).unwrap();
        drop(log);
        let mut log = Log::open(dir.path()).unwrap();
        assert_eq!(log.recover().unwrap().range, Some((4, 4)));
    }

    #[test]
    fn an_entry_out_of_place_is_refused_and_nothing_of_its_batch_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path()).unwrap();
        log.recover().unwrap();
        log.append(&[entry(1)]).unwrap();
        assert_eq!(log.append(&[entry(2), entry(4)]), Err(StorageError::Corrupt));
        assert_eq!(log.append(&[entry(1)]), Err(StorageError::Corrupt));
        assert_eq!(log.recover().unwrap().range, Some((1, 1)));
    }

    #[test]
    fn a_log_that_was_full_takes_more_once_it_was_cut() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open_with(dir.path(), 4 << 20).unwrap();
        let granted = log.recover().unwrap().room.bytes;
        let large = |number| (number, Bytes::from(vec![7; 100_000]));
        let full = (1..).find_map(|number| match log.append(&[large(number)]) {
            Ok(room) => {
                assert!(room.bytes < granted);
                None
            }
            Err(error) => Some((number, error)),
        });
        let Some((number, StorageError::Full)) = full else {
            panic!("{full:?}");
        };
        assert!(number * 100_000 > granted, "what was granted was taken");
        let state = log.recover().unwrap();
        assert_eq!(state.range, Some((1, number - 1)));
        log.cut(number - 1).unwrap();
        assert!(log.recover().unwrap().room.bytes > granted / 2);
        log.append(&[large(number)]).unwrap();
    }
}
