//! How much more may be committed.

use std::path::Path;

use kernel::machine::Room;

/// Disk space that is left alone: LMDB needs some to shrink anything, and so does whoever comes to make room.
const RESERVE_BYTES: u64 = 64 << 20;

/// A committed byte is written to the log and later to the records, and a page is copied before it is changed.
const COPIES: u64 = 4;

/// What may be committed with `map_left` bytes left in the log's map, on the disk of `path`.
///
/// Cautious rather than exact: what is granted is refused before anything is merged, and what a store
/// refuses after that costs a recovery.
pub(super) fn room(path: &Path, map_left: u64) -> Room {
    let disk_left = match rustix::fs::statvfs(path) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "cannot tell how much space is left");
            u64::MAX
        }
    };
    let disk = disk_left.saturating_sub(RESERVE_BYTES) / COPIES;
    Room {
        bytes: disk.min(map_left / 2),
    }
}
