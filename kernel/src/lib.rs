//! The kernel of Orrery: a database as a state machine that touches nothing.
//!
//! There is no clock, file, socket, thread or OS randomness in here, and the compiler proves it: the crate is
//! `no_std`. A host (the simulator, the production node) feeds [`machine::Input`] to a
//! [`machine::Machine`] and performs the [`machine::Output`], in order. The same inputs give the same outputs,
//! byte for byte, on every machine.
//!
//! The modules are floors: one may use those above it in this list, never those below.
//!
//! | floor | module | holds |
//! |---|---|---|
//! | 0 | [`env`] | clock readings, seeded randomness, limits, ids |
//! | 0 | [`machine`] | the contract between a machine and its host |
//! | 0 | [`msgpack`] | reading and writing MessagePack in place, bounded |
//! | 0 | [`value`] | the document value, its total order, index keys |
#![cfg_attr(not(test), no_std)]
#![deny(missing_docs)]

extern crate alloc;

pub mod env;
pub mod machine;
pub mod msgpack;
pub mod value;
