//! The driver: one task that owns a machine, and the small tasks around it.
//!
//! Everything that happens comes to the one task as an event over a bounded channel. Each event is one
//! [`step`](kernel::machine::Machine::step), and the whole [`Output`](kernel::machine::Output) is performed, in the
//! order of its fields, before the next.
//!
//! ```text
//!   accept ─┐                                   ┌─► outbox ─► connection task ─► transport
//!   dials  ─┼─► control ─┐                      │
//!   writers ┘            ├─► driver ── step ────┼─► log loop      (group commit) ─┐
//!   readers ──► frames ──┤                      └─► records loop  (applies)       │
//!   commands, timer ─────┘◄───────────────────────────── answers ◄────────────────┘
//! ```
//!
//! The driver is generic over [`Net`], [`Clock`], [`LogStore`] and [`RecordStore`] and names no runtime, so that a
//! simulated one can host the same code (under `--cfg madsim` the module `simulated` does).

mod budget;
mod connection;
mod disk;
mod fetches;
mod host;
mod run;
mod settings;
mod stores;
#[cfg(test)]
#[cfg(not(madsim))]
mod tests;

#[cfg(not(madsim))]
pub(crate) use budget::Budget;
pub use disk::{Disk, disk};
pub use host::{Clock, FrameReader, FrameWriter, Link, LinkOf, Net};
pub use run::Driver;
pub use settings::{DriverError, Settings};
pub use stores::{LogState, LogStore, RecordStore};
