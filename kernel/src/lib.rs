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
//! | 0 | [`mod@env`] | clock readings, seeded randomness, limits, ids |
//! | 0 | [`machine`] | the contract between a machine and its host |
//! | 0 | [`msgpack`] | reading and writing MessagePack in place, bounded |
//! | 0 | [`value`] | the document value, its total order, index keys |
//! | 1 | [`hlc`] | the hybrid logical clock |
//! | 2 | [`crdt`] | replicated data types |
//! | 2 | [`merkle`], [`reconcile`] | what differs between two sets: by sums from the top down, by coded symbols |
//! | 3 | [`partition`] | key → slot → partition → the nodes that hold it |
//! | 4 | [`register`] | a value agreed by a majority of the nodes that it names |
//! | 4 | [`store`] | the records in memory, and the way of a change to disk |
//! | 6 | [`query`] | predicates; queries once and live, of one node and gathered from many |
//! | 7 | [`cluster`] | who belongs to it, where partitions lie, who is alive and acts as owner; repair |
//! | 8 | [`wire`], [`session`] | the messages; connections, and what clients ask over them |
//! | 8 | [`record`] | recordings of a machine, as bytes |
//! | 9 | [`node`] | the machine composed of the rest |
#![cfg_attr(not(test), no_std)]
#![deny(missing_docs)]

extern crate alloc;

pub mod cluster;
pub mod crdt;
pub mod env;
pub mod hlc;
pub mod machine;
pub mod merkle;
pub mod msgpack;
pub mod node;
pub mod partition;
pub mod query;
pub mod reconcile;
pub mod record;
pub mod register;

pub mod session;
pub mod store;
pub mod value;
pub mod wire;
