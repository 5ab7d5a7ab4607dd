//! Floor 2: replicated data types. Merging is commutative, associative and idempotent, so that replicas that have
//! seen the same changes are equal, in whatever order and however often they came.

mod context;
mod digest;
mod dot;
pub mod floor;
mod lww_map;
pub mod or_map;
pub mod pn_counter;
mod record;
mod version;

pub use context::Context;
pub use digest::DigestKey;
pub use dot::{Dot, DotSource, NoDot};
pub use lww_map::{Foreseen, Held, LwwMap, Row};
pub use or_map::OrMap;
pub use pn_counter::PnCounter;
pub use record::{BadRecord, Record};
pub use version::Version;

/// What a merge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merged {
    /// The state is another one than before.
    Changed,
    /// It held all of that, or what wins over it, or knows it to be deleted.
    Unchanged,
}

impl Merged {
    /// Whether anything changed.
    pub fn is_change(self) -> bool {
        self == Merged::Changed
    }
}
