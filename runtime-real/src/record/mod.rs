//! Recording what a node is given, so that `sim replay` can run it again: `serve --record DIR`.
//!
//! [`Recorder`] wraps a machine: it writes down each input before the step that takes it, and a hash of the output behind it, in
//! the form of [`kernel::record`]. A thread of its own writes that into files, and the node never waits for it: what does not
//! fit the queue between them is not recorded, and the recording says so. [`Ring`] keeps the files: each is a segment that
//! opens with a whole state, and the oldest goes before a new one begins, so that all of them together stay within a size.
//!
//! A recording holds all that the node holds and hears: data, and the tokens that clients present. Its files can be read by
//! their owner alone. Of the configured secret it holds only what is derived from it.

mod queue;
mod recorder;
mod ring;

#[cfg(test)]
mod tests;

pub use recorder::{Recorder, Recording};
pub use ring::{RecordError, Ring};

/// In how many parts the bytes of a ring are divided: a segment has one of them at most.
pub const SEGMENTS: u64 = 4;

/// A state may be so great a part of its segment, and no greater: most of a ring is to be what happened.
const STATE_PART: u64 = 3;
