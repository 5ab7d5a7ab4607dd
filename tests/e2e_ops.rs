//! The real binary as whoever operates it sees it: settings, metrics, the log, and what strangers can cost.
//!
//! Nothing here sleeps and hopes: every wait is for a condition, with a deadline that fails the test.
#![allow(clippy::unwrap_used)] // helpers of a test are a test

#[path = "e2e_ops/malformed.rs"]
mod malformed;
#[path = "e2e_ops/metrics.rs"]
mod metrics;
#[path = "e2e/process.rs"]
#[allow(dead_code)] // shared with the other end-to-end tests
mod process;
#[path = "e2e_ops/settings.rs"]
mod settings;
#[path = "e2e_ops/strangers.rs"]
mod strangers;
