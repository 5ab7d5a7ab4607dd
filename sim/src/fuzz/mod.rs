//! What a fuzzer throws at the kernel: bytes as frames, and bytes as everything that can befall two nodes.
//!
//! The targets under `fuzz/` are wrappers around these two functions, and `sim/tests/fuzz.rs` runs them too, over the kept
//! inputs and over seeded ones. Whatever the bytes are, both return; a panic is a finding.

mod decode;
mod frames;
mod guest;
mod repairs;
mod scene;
mod stores;

pub use decode::wire_decode;
pub use frames::valid_frames;
pub use scene::{node_step, node_step_broken};
