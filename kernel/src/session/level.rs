//! What a node can promise of how many replicas have something. This one knows of no other: it does what it can do alone, and
//! refuses by name what it cannot.

use crate::session::serve::refusal_of;
use crate::wire::server::Refusal;
use crate::wire::{Consistency, Error, ReadConsistency};

/// What a write that asks for `asked` will have reached when it is durable here, or why it cannot be taken.
///
/// # Errors
/// The refusal. Nothing was merged.
pub(super) fn of_write(asked: Consistency) -> Result<Consistency, Refusal> {
    match asked {
        Consistency::Eventual => Ok(Consistency::Eventual),
        Consistency::Quorum | Consistency::Strong => refuse("consistency beyond eventual"),
    }
}

/// Whether a read of this kind can be answered from what is here.
///
/// # Errors
/// The refusal.
pub(super) fn of_read(asked: ReadConsistency) -> Result<(), Refusal> {
    match asked {
        ReadConsistency::Owner | ReadConsistency::Any => Ok(()),
        ReadConsistency::Quorum => refuse("consistency quorum"),
    }
}

fn refuse<T>(what: &'static str) -> Result<T, Refusal> {
    Err(refusal_of(&Error::Unsupported { what }))
}
