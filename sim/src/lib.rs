//! The simulator: a discrete-event host for the kernel's machines.
//!
//! Whole clusters run in one thread from a seed, faults included, and the same seed gives the same run, byte for
//! byte. Time jumps to the next event; nothing here waits.
#![deny(missing_docs)]

pub mod client;
pub mod clock;
pub mod disk;
pub mod endpoint;
pub mod engine;
pub mod host;
pub mod invariant;
pub mod model;
pub mod network;
pub mod plan;
pub mod run;
pub mod seeds;
pub mod story;
pub mod trace;
pub mod world;
