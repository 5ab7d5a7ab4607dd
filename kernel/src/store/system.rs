//! The kernel's own rows: small named values that are as durable as the records, and belong to no partition.

use alloc::boxed::Box;
use bytes::Bytes;

use crate::store::Store;
use crate::store::codec::{Damaged, system_bytes};

/// Longest content of a system row.
pub const SYSTEM_ROW_BYTES: usize = 1 << 20;
/// Most system rows.
pub const SYSTEM_ROWS: usize = 64;
/// Longest name of a system row.
pub const SYSTEM_NAME_BYTES: usize = 64;

/// What the names of their rows in the records begin with. No map's name begins with a zero byte.
const PREFIX: &[u8] = b"\0s";

/// The row of the records that holds a system row.
pub fn row_key(name: &str) -> Bytes {
    [PREFIX, name.as_bytes()].concat().into()
}

/// The system row that a row of the records holds, if it is one.
///
/// # Errors
/// [`Damaged`], if no kernel gives this name.
pub fn of_row_key(key: &[u8]) -> Option<Result<Box<str>, Damaged>> {
    key.strip_prefix(PREFIX).map(name)
}

/// Reads a name.
///
/// # Errors
/// [`Damaged`], if no kernel gives it.
pub fn name(bytes: &[u8]) -> Result<Box<str>, Damaged> {
    match core::str::from_utf8(bytes) {
        Ok(name) if (1..=SYSTEM_NAME_BYTES).contains(&name.len()) => Ok(name.into()),
        _ => Err(Damaged),
    }
}

impl Store {
    /// Sets a row of the node itself, such as its id or what it has voted for. It is part of the step's log entry, and as
    /// durable as that is; the last one put under a name is the one that a recovery finds. System rows are in no partition, no
    /// digest and no count of records. Putting what is there already stages nothing.
    ///
    /// Ask [`Store::room_for`] with [`crate::store::system_bytes`] before. As all that is in memory, it may not be durable
    /// yet, and a failed commit takes it back: what follows from it leaves with the newest ticket.
    ///
    /// # Panics
    /// If the name is empty or over [`SYSTEM_NAME_BYTES`], the value is over [`SYSTEM_ROW_BYTES`], or there would be more than
    /// [`SYSTEM_ROWS`]: only the kernel writes these.
    pub fn put_system(&mut self, name: &str, value: Bytes) {
        let (name_len, len) = (name.len(), value.len());
        assert!(
            (1..=SYSTEM_NAME_BYTES).contains(&name_len),
            "a system row has a short name, and {name:?} has {name_len} bytes"
        );
        assert!(
            len <= SYSTEM_ROW_BYTES,
            "a system row is small, and {name:?} would have {len} bytes"
        );
        if self.system.get(name) == Some(&value) {
            return;
        }
        // In memory of its own: a value may share the bytes of a whole frame.
        let value = Bytes::copy_from_slice(&value);
        self.system.insert(name.into(), value.clone());
        let rows = self.system.len();
        assert!(
            rows <= SYSTEM_ROWS,
            "system rows are few, and {name:?} would make {rows}"
        );
        self.staged_bytes += system_bytes(name_len, len);
        if let Some(before) = self.staged.system.insert(name.into(), value) {
            self.staged_bytes -= system_bytes(name_len, before.len());
        }
    }

    /// The system row of this name, if there is one. It may not be durable yet.
    pub fn system(&self, name: &str) -> Option<&Bytes> {
        self.system.get(name)
    }

    /// All system rows, ascending by name.
    pub fn system_rows(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.system.iter().map(|(name, value)| (&**name, value))
    }
}
