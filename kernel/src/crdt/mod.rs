//! Floor 2: replicated data types. Merging is commutative, associative and idempotent, so that replicas that have
//! seen the same changes are equal, in whatever order and however often they came.

mod context;
mod digest;
mod dot;
mod lww_map;
pub mod or_map;
mod record;

pub use context::Context;
pub use digest::DigestKey;
pub use dot::{Dot, DotSource, NoDot};
pub use lww_map::{Held, LwwMap, Merged};
pub use or_map::OrMap;
pub use record::{BadRecord, Record};
