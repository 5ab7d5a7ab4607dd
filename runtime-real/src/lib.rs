//! The production host of Orrery: the kernel on real sockets and a real disk.
//!
//! - [`driver`] performs what a machine asks for, over small traits;
//! - [`net`] and [`storage`] give them sockets and LMDB;
//! - [`host`] puts the three together into a node;
//! - [`import`] reads files of rows and sends them;
//! - [`record`] writes down what a node is given, so that it can be run again;
//! - [`metrics`] counts, as wrappers around the three;
//! - [`client`] talks to one, and [`cli`] is the command line of both.
//!
//! Under `--cfg madsim` there is only the driver, and a host for it on a simulated runtime, network and disk.
#![deny(missing_docs)]

// Without the flag madsim is tokio, and its tests would do real input and output.
#[cfg(all(feature = "madsim", not(madsim)))]
compile_error!("the feature `madsim` goes with RUSTFLAGS=\"--cfg madsim\": .ci/madsim sets both");

#[cfg(not(madsim))]
pub mod cli;
#[cfg(not(madsim))]
pub mod client;
pub mod driver;
#[cfg(not(madsim))]
pub mod host;
#[cfg(not(madsim))]
pub mod import;
#[cfg(not(madsim))]
pub mod metrics;
#[cfg(not(madsim))]
pub mod net;
#[cfg(not(madsim))]
pub mod record;
#[cfg(madsim)]
pub mod simulated;
#[cfg(not(madsim))]
pub mod storage;
