//! Stores whose transactions are measured.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kernel::machine::{Room, StorageError};
use kernel::store::entry_changes;

use super::{Metrics, Sparingly};
use crate::driver::{LogState, LogStore, RecordStore};

/// A sync that takes longer is worth a line in the log.
const SLOW: Duration = Duration::from_millis(500);

/// A log whose appends are measured.
#[derive(Debug)]
pub struct MeteredLog<L> {
    log: L,
    metrics: Metrics,
    slow: Sparingly,
}

/// Records whose applies are measured.
#[derive(Debug)]
pub struct MeteredRecords<R> {
    records: R,
    metrics: Metrics,
}

impl<L: LogStore> MeteredLog<L> {
    /// Measures `log`.
    pub fn new(log: L, metrics: Metrics) -> Self {
        Self {
            log,
            metrics,
            slow: Sparingly::default(),
        }
    }
}

impl<R: RecordStore> MeteredRecords<R> {
    /// Measures `records`.
    pub fn new(records: R, metrics: Metrics) -> Self {
        Self { records, metrics }
    }
}

impl<L: LogStore> LogStore for MeteredLog<L> {
    async fn recover(&mut self) -> Result<LogState, StorageError> {
        self.log.recover().await
    }

    async fn room(&mut self) -> Result<Room, StorageError> {
        self.log.room().await
    }

    async fn append(&mut self, entries: &[(u64, Bytes)]) -> Result<Room, StorageError> {
        let start = Instant::now();
        let appended = self.log.append(entries).await;
        let took = start.elapsed();
        let bytes: usize = entries.iter().map(|(_, entry)| entry.len()).sum();
        match appended {
            Ok(_) => {
                let changes: u64 = entries.iter().map(|(_, entry)| entry_changes(entry)).sum();
                self.metrics.sync_s.observe(took.as_secs_f64());
                self.metrics.commit_entries.observe(entries.len() as f64);
                self.metrics.commit_operations.observe(changes as f64);
                self.metrics.commit_bytes.observe(bytes as f64);
            }
            Err(_) => drop(self.metrics.sync_failures.inc()),
        }
        if took >= SLOW
            && let Some(unsaid) = self.slow.may()
        {
            tracing::warn!(ms = took.as_millis() as u64, bytes, unsaid, "a slow sync of the log");
        }
        appended
    }

    async fn cut(&mut self, upto: u64) -> Result<(), StorageError> {
        self.log.cut(upto).await
    }

    async fn read(&mut self, from: u64, limit_bytes: usize) -> Result<(Vec<(u64, Bytes)>, bool), StorageError> {
        self.log.read(from, limit_bytes).await
    }
}

impl<R: RecordStore> RecordStore for MeteredRecords<R> {
    async fn recover(&mut self) -> Result<u64, StorageError> {
        self.records.recover().await
    }

    async fn apply(&mut self, upto: u64, puts: &[(Bytes, Bytes)], deletes: &[Bytes]) -> Result<(), StorageError> {
        let start = Instant::now();
        let applied = self.records.apply(upto, puts, deletes).await;
        match applied {
            Ok(()) => {
                self.metrics.apply_s.observe(start.elapsed().as_secs_f64());
                self.metrics.apply_rows.observe((puts.len() + deletes.len()) as f64);
            }
            Err(_) => drop(self.metrics.apply_failures.inc()),
        }
        applied
    }

    async fn read(
        &mut self,
        after: Option<&[u8]>,
        limit_bytes: usize,
    ) -> Result<(Vec<(Bytes, Bytes)>, bool), StorageError> {
        self.records.read(after, limit_bytes).await
    }
}
