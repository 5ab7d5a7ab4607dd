//! The production host of Orrery: the kernel on real sockets and a real disk.
//!
//! - [`driver`] performs what a machine asks for, over small traits;
//! - [`net`] and [`storage`] give them sockets and LMDB;
//! - [`host`] puts the three together into a node;
//! - [`import`] reads files of rows and sends them;
//! - [`record`] writes down what a node is given, so that it can be run again;
//! - [`metrics`] counts, as wrappers around the three;
//! - [`client`] talks to one, and [`cli`] is the command line of both.
#![deny(missing_docs)]

pub mod cli;
pub mod client;
pub mod driver;
pub mod host;
pub mod import;
pub mod metrics;
pub mod net;
pub mod record;
pub mod storage;
