//! The second host: the driver of a production node on madsim's runtime and network, and on the simulator's disk.
//!
//! The heap engine of the simulator tests the kernel; this tests the code around it: accept loops, dials, time-outs,
//! group commit, goodbyes, and what is left of them when a node is killed between two awaits. It is built only with
//! `--cfg madsim`, by `.ci/madsim`.
//!
//! A run is a function of its seed if it has a thread of its own: a thread's hash maps are seeded once. Not simulated by
//! madsim's streams: a window that fills up (a writer never waits), and a connection whose end is never heard of (the
//! streams of a killed node end; for silence clog its links).

mod clock;
mod device;
mod frames;
mod net;
mod node;
mod time;
mod traced;

pub use clock::NodeClock;
pub use device::{Device, DeviceLog, DeviceRecords};
pub use frames::{FramedReader, FramedWriter};
pub use net::{Listener, Pieces, SimNet, dial};
pub use node::{SimNode, serve};
pub use time::{now_us, until_us};
pub use traced::{Traced, Watcher};
