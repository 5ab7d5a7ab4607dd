//! The floor of a partition: the time below which everything is settled and may be collected.

mod mark;

pub use mark::{BelowFloor, FLOOR_MAX, candidate, is_at_or_below};
