//! The production host of Orrery: the kernel on real sockets and a real disk.
#![deny(missing_docs)]

pub mod driver;
pub mod net;
pub mod storage;
