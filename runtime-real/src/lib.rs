//! The production host of Orrery: the kernel on real sockets and a real disk.
//!
//! - [`driver`] performs what a machine asks for, over small traits;
//! - [`net`] and [`storage`] give them sockets and LMDB;
//! - [`host`] puts the three together into a node.
#![deny(missing_docs)]

pub mod driver;
pub mod host;
pub mod net;
pub mod storage;
