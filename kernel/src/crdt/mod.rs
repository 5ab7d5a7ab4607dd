//! Floor 2: replicated data types. Merging is commutative, associative and idempotent, so that replicas that have
//! seen the same changes are equal, in whatever order and however often they came.

mod digest;
mod lww_map;
mod record;
mod version;

pub use digest::DigestKey;
pub use lww_map::{Held, LwwMap, Merged, Row};
pub use record::{BadRecord, Record};
pub use version::Version;
