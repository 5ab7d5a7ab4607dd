//! The floor: the time below which everything is settled, so that tombstones, contexts and counter slots can be collected without
//! anything deleted coming back.
//!
//! The guarantee: when a replica's floor is F, no replica will ever admit what is stamped, or whose writer was born, at
//! or below F, and whatever of that kind was ever admitted anywhere has been taken in by every replica of the set. So
//! whatever lies at or below F and a receiver lacks was deleted there, and replicas that collect at F collect the same.
//!
//! A floor only rises, and two are merged by maximum. How it rises is the node's (`node/settle.rs`).

mod mark;

pub use mark::{FLOOR_MAX, candidate, is_at_or_below, is_collectable};
