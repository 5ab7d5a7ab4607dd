//! Floor 2: replicated data types. Merging is commutative, associative and idempotent, so that replicas that have
//! seen the same changes are equal, in whatever order and however often they came.

mod digest;
pub mod floor;
mod lww_map;
pub mod pn_counter;
mod record;

pub use digest::DigestKey;
pub use lww_map::{Held, LwwMap, Merged};
pub use pn_counter::PnCounter;
pub use record::{BadRecord, Record};
