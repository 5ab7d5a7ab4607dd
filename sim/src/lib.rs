//! The simulator: a discrete-event host for the kernel's machines.
//!
//! Whole clusters run in one thread from a seed, faults included, and the same seed gives the same run, byte for
//! byte. Time jumps to the next event; nothing here waits.
//!
//! | module | holds |
//! |---|---|
//! | [`engine`] | the heap of events that have not happened yet |
//! | [`clock`], [`disk`], [`network`] | what a host has, wrong on purpose: sans-io, each with its own random streams |
//! | [`host`], [`world`] | nodes around any [`Machine`](kernel::machine::Machine), and the order in which it all happens |
//! | [`trace`], [`track`] | the rolling hash of every step; all of them, to compare two runs |
//! | [`invariant`] | what must hold in every run; one file, one promise |
//! | [`holding`] | what a node holds at one moment, and the digests that stand for it |
//! | [`linearizability`] | whether a concurrent history could be of one thing at a time |
//! | [`model`] | last-writer-wins without the kernel's code: what the invariants compare with |
//! | [`plan`] | a run as a list: drawn from a seed, written as text |
//! | [`replay`] | recordings of production nodes, through the same kernel |
//! | [`watch`] | live queries of the workload, and what their answer should be |
//! | [`client`], [`run`] | the workload over the real protocol; executing a plan |
//! | [`story`], [`runner`] | a scenario in words; playing one with many seeds |
//! | [`outcome`], [`panics`] | what became of a run, panics included; which two failed in the same way |
//! | [`shrink`] | a plan that fails, cut down to what it fails by |
//! | [`found`] | what is known of a bug that was kept |
//! | [`fuzz`] | bytes from a fuzzer as frames, and as everything that can befall two nodes |
//! | [`streams`], [`reached`] | randomness by purpose, entity and index; what was in fact hit |
//! | [`seeds`] | ranges of seeds, and which one finds a bug |
//! | [`sweep`] | the failure detector alone, under bad networks for a long time |
//! | [`view`] | a run as a page to look at |
#![deny(missing_docs)]

pub mod client;
pub mod clock;
mod denials;
pub mod disk;
pub mod endpoint;
pub mod engine;
pub mod found;
pub mod fuzz;
pub mod holding;
pub mod host;
pub mod invariant;
mod kept;
pub mod linearizability;
pub mod model;
pub mod network;
pub mod outcome;
pub mod panics;
pub mod plan;
pub mod reached;
pub mod replay;
pub mod replicas;
pub mod run;
pub mod runner;
pub mod seeds;
pub mod shrink;
pub mod story;
pub mod streams;
pub mod sweep;
pub mod trace;
pub mod track;
mod traffic;
pub mod view;
pub mod watch;
pub mod world;
mod written;

/// The examples of the page about testing, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../docs/testing.md")]
pub struct TestingPage;
