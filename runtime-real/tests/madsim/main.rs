//! The driver of a production node on a simulated runtime: `.ci/madsim` builds and runs this.
//!
//! Each test tells a story of whole nodes, and plays it with several seeds: latencies, the order of tasks, the way in which
//! bytes are cut up and what a crash leaves are the seed's. What the heap engine checks after each step is checked here too.
#![allow(clippy::unwrap_used)] // helpers of a test are a test

mod both_hosts;
mod clients;
mod clocks;
mod crashes;
mod determinism;
mod disks;
mod nodes;
mod partitions;
mod play;
mod shutdown;
mod silence;
mod storm;
mod watch;
mod world;
