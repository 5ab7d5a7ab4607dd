//! What the driver needs of a disk: an ordered log, and records.
//!
//! They are two traits and run in two loops, so that bringing changes into the records never delays a commit. A loop does
//! one thing after another: a method may block its thread, as those of a real disk do, or wait for simulated time. An error's
//! detail is logged where it happens; the machine needs only its kind.

use std::future::Future;

use bytes::Bytes;
use kernel::machine::{Room, StorageError};

/// What a log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogState {
    /// Its first and last entry, if it has any.
    pub range: Option<(u64, u64)>,
    /// How much more it takes.
    pub room: Room,
}

/// An ordered log of numbered entries.
pub trait LogStore: Send + 'static {
    /// Looks at what is there, anew.
    fn recover(&mut self) -> impl Future<Output = Result<LogState, StorageError>> + Send;

    /// How much more it takes, asked anew: space may have been freed by whoever runs the disk.
    fn room(&mut self) -> impl Future<Output = Result<Room, StorageError>> + Send;

    /// Appends all of `entries`, which are in order, or none, and comes back once they are durable. Says how much more
    /// the log takes.
    fn append(&mut self, entries: &[(u64, Bytes)]) -> impl Future<Output = Result<Room, StorageError>> + Send;

    /// Drops the entries up to and including `upto`.
    fn cut(&mut self, upto: u64) -> impl Future<Output = Result<(), StorageError>> + Send;

    /// Entries from number `from` on, ascending: at least one, and no more once they have come to `limit_bytes`; and
    /// whether there are none after them.
    fn read(
        &mut self,
        from: u64,
        limit_bytes: usize,
    ) -> impl Future<Output = Result<(Vec<(u64, Bytes)>, bool), StorageError>> + Send;
}

/// Records by key, and the number of the last log entry that they hold everything up to.
pub trait RecordStore: Send + 'static {
    /// The last log entry that the records hold; 0 if none.
    fn recover(&mut self) -> impl Future<Output = Result<u64, StorageError>> + Send;

    /// Puts all of `puts` and removes all of `deletes`, both ascending by key and with no key in common, and puts the number
    /// `upto`, in one transaction, and comes back once it is durable. A key to remove that is not there is no error.
    fn apply(
        &mut self,
        upto: u64,
        puts: &[(Bytes, Bytes)],
        deletes: &[Bytes],
    ) -> impl Future<Output = Result<(), StorageError>> + Send;

    /// Records after the key `after`, ascending: at least one, and no more once they have come to `limit_bytes`; and
    /// whether there are none after them.
    #[allow(clippy::type_complexity)]
    fn read(
        &mut self,
        after: Option<&[u8]>,
        limit_bytes: usize,
    ) -> impl Future<Output = Result<(Vec<(Bytes, Bytes)>, bool), StorageError>> + Send;
}
