//! What the two stores have in common: opening an environment, and what LMDB's errors mean to a machine.

use std::fs::OpenOptions;
use std::path::Path;

use heed::{Env, EnvOpenOptions, MdbError, WithoutTls};
use kernel::machine::StorageError;

/// An environment whose read transactions belong to no thread.
pub(super) type Environment = Env<WithoutTls>;

/// Opens the environment in the folder `path`, with so much address space and so many named databases.
///
/// The map is reserved at its full size from the start, because growing it needs every transaction closed. It costs
/// address space, not memory or disk: the file grows only as pages are written.
pub(super) fn open(path: &Path, map_bytes: usize, databases: u32) -> heed::Result<Environment> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.map_size(map_bytes).max_dbs(databases).max_readers(126);
    // SAFETY: LMDB maps the file into memory, which is sound while nobody else changes it. The data folder's lock keeps
    // other nodes out, its two environments are opened once each per process, and no flag that weakens LMDB's own
    // locking or syncing is set.
    #[allow(unsafe_code)]
    let env = unsafe { options.open(path) }?;
    complete(&env, path)?;
    Ok(env)
}

/// Makes the file as long as its own header says. LMDB reads it through a memory map, and a page beyond the file's end would
/// kill the process; a page of zeros is an error that can be told. (A last page that was never written is no damage.)
fn complete(env: &Environment, path: &Path) -> heed::Result<()> {
    let needed = (env.info().last_page_number as u64 + 1) * rustix::param::page_size() as u64;
    let file = OpenOptions::new().write(true).open(path.join("data.mdb"))?;
    let found = file.metadata()?.len();
    if found < needed {
        tracing::warn!(path = %path.display(), found, needed, "the database file is shorter than it says");
        file.set_len(needed)?;
    }
    Ok(())
}

/// Logs what went wrong while `doing`, and says what it means to a machine.
pub(super) fn failed(doing: &'static str, error: &heed::Error) -> StorageError {
    tracing::error!(%error, "storage: {doing} failed");
    const ENOSPC: i32 = 28;
    const EDQUOT: i32 = 122;
    match error {
        heed::Error::Mdb(MdbError::MapFull | MdbError::TxnFull) => StorageError::Full,
        heed::Error::Mdb(MdbError::Other(ENOSPC | EDQUOT)) => StorageError::Full,
        heed::Error::Io(error) if matches!(error.raw_os_error(), Some(ENOSPC | EDQUOT)) => StorageError::Full,
        heed::Error::Mdb(
            MdbError::Corrupted
            | MdbError::PageNotFound
            | MdbError::Invalid
            | MdbError::VersionMismatch
            | MdbError::BadTxn
            | MdbError::Panic,
        ) => StorageError::Corrupt,
        _ => StorageError::Io,
    }
}
