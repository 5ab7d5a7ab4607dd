//! What a driver holds itself to, and why it may end.

use std::io;

use kernel::env::Limits;
use kernel::machine::StorageError;

/// What a driver holds itself to.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What [`Input::Boot`](kernel::machine::Input::Boot) carries: fresh at every boot.
    pub entropy: [u8; 32],
    /// Commit bytes in flight at which no more frames are taken until some are durable. Below the machine's own
    /// limit, so that clients wait rather than being refused.
    pub commit_bytes: u64,
    /// Bytes of frames read and not yet taken.
    pub frame_bytes: u64,
    /// How long a dial may take.
    pub dial_us: u64,
    /// How long a connection that is to be closed may take to send what it was given, and the other side to answer
    /// the goodbye.
    pub close_us: u64,
}

impl Settings {
    /// Those that fit a machine with these limits.
    pub fn new(limits: &Limits, entropy: [u8; 32]) -> Self {
        Self {
            entropy,
            commit_bytes: limits.commit_bytes_in_flight / 2,
            frame_bytes: limits.commit_bytes_in_flight,
            dial_us: limits.silence_ms * 1_000,
            close_us: 2_000_000,
        }
    }
}

/// Why a driver ended other than by a [`Command::Drain`](kernel::machine::Command::Drain).
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The machine cannot work with what storage holds.
    #[error("what the data folder holds cannot be used: {0}")]
    Failed(StorageError),
    /// It is no member of its cluster any more, and serves nothing.
    #[error("this node was removed from its cluster")]
    Removed,
    /// A storage loop ended by itself.
    #[error("a storage thread ended unexpectedly")]
    StorageGone,
    /// The network takes no more connections.
    #[error("no more connections can be accepted: {0}")]
    Accept(io::Error),
}
