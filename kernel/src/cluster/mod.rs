//! Floor 7: what the nodes of a cluster do with each other, as state and functions; floor 9 carries the messages.

pub mod repair;
