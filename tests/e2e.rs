//! The real binary, from outside: processes, sockets, signals, exit codes.
//!
//! Nothing here sleeps and hopes: every wait is for a condition, with a deadline that fails the test.
#![allow(clippy::unwrap_used)] // helpers of a test are a test

#[path = "e2e/certificates.rs"]
mod certificates;
#[path = "e2e/cli.rs"]
mod cli;
#[path = "e2e/cluster.rs"]
mod cluster;
#[path = "e2e/crash.rs"]
mod crash;
#[path = "e2e/exchange.rs"]
mod exchange;
#[path = "e2e/floor.rs"]
mod floor;
#[path = "e2e/locks.rs"]
mod locks;
#[path = "e2e/members.rs"]
mod members;
#[path = "e2e/process.rs"]
mod process;
#[path = "e2e/record.rs"]
mod record;
#[path = "e2e/strangers.rs"]
mod strangers;
#[path = "e2e/tapped.rs"]
mod tapped;
#[path = "e2e/tls.rs"]
mod tls;
#[path = "e2e/writer.rs"]
mod writer;
