//! Real data in and out of the real binary: import, export, query, watch.
//!
//! The data lies beside the repository and is no part of it; where it is not there, the tests that need it say so and do nothing.
#![allow(clippy::unwrap_used)] // helpers of a test are a test

#[path = "e2e_data/cluster.rs"]
mod cluster;
#[path = "e2e_data/data.rs"]
mod data;
#[path = "e2e_data/failures.rs"]
mod failures;
#[path = "e2e_data/files.rs"]
mod files;
#[path = "e2e/process.rs"]
#[allow(dead_code)] // shared with e2e
mod process;
#[path = "e2e_data/queries.rs"]
mod queries;
#[path = "e2e_data/rude.rs"]
mod rude;
#[path = "e2e_data/watch.rs"]
mod watch;
