//! The data folder: two LMDB environments, a lock and a format.
//!
//! ```text
//! orrery-data/
//!   FORMAT        the version of this layout; a newer one is refused
//!   LOCK          held exclusively by the node that runs on the folder
//!   NODE          the node's name
//!   log/          commits, by number: appended and synced, cut once the records hold them
//!   records/      records by key, and the number of the last log entry that they hold everything up to
//! ```
//!
//! A commit is durable when its log transaction is: LMDB syncs the data before the meta page that makes it count, so
//! a crash finds all of a commit or nothing of it. The records follow behind, in transactions of their own.

mod error;
mod folder;
mod lmdb;
mod log;
mod records;
mod space;

pub use error::FolderError;
pub use folder::Folder;
pub use log::Log;
pub use records::Records;
