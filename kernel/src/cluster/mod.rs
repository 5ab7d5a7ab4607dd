//! Floor 7: many nodes as one database.

pub mod liveness;
