//! Floor 8: recordings of a machine, as bytes. Hosts keep the files.
//!
//! A recording is a ring of *segments*. Each opens with a whole state of the machine, because a ring of inputs without its start
//! replays nothing; then come the steps in order, each with a hash of what came out. Whoever restores the state and gives it the
//! inputs must see the same outputs, and end in the same state.
//!
//! `magic (8) · frame: head · frame: checkpoint · { frame: entry }`
//!
//! where a frame is `length (4) · check (8) · content`, numbers little-endian, and the check is SipHash-1-3 of the content under a
//! fixed key: it finds accidents, not adversaries. A recorder that dies leaves the last frame incomplete, and nothing else wrong.

mod read;
mod write;

use alloc::borrow::Cow;
use core::hash::{Hash, Hasher};
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

pub use read::{BadSegment, Segment, Tail};
pub use write::{Draft, begin, end};

use crate::env::{Limits, Now};
use crate::machine::{Input, Output};

/// This kernel: its version, and a hash of its sources. Two builds of the same name take the same steps, with the switches of the
/// feature `testing` compiled in or not.
pub const BUILD: &str = concat!(env!("CARGO_PKG_VERSION"), "+", env!("ORRERY_KERNEL_SOURCES"));

/// How every segment begins. The last byte is the version of the format.
const MAGIC: [u8; 8] = *b"orrery\0\x01";

/// Bytes of a frame beside its content.
const FRAME_BYTES: usize = 4 + 8;

/// What stands at the beginning of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head<'a> {
    /// The kernel that made it: see [`BUILD`].
    #[serde(borrow)]
    pub build: Cow<'a, str>,
    /// The name of the node.
    #[serde(borrow)]
    pub node: Cow<'a, str>,
    /// Its number. Those of one recording ascend by one, unless some were not recorded.
    pub number: u64,
    /// What the node holds itself to. The checkpoint has them too; here they can be read by any build.
    pub limits: Limits,
}

/// What follows the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A step.
    Step {
        /// The clocks.
        now: Now,
        /// What went in.
        input: Input<'a>,
        /// The [`output_hash`] of what came out. `None`: the machine panicked.
        output: Option<u64>,
    },
    /// The segment is complete.
    End(Ended),
}

/// Why a segment is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Why.
    pub why: Why,
    /// The hash of the state after the last step, where it was taken anyway.
    pub state: Option<[u8; 32]>,
}

/// See [`Ended`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// It has its share of the ring. The next one goes on from its last step.
    Full,
    /// The writer did not keep up: steps are missing before the next one.
    Overrun,
    /// The state was too large to be the beginning of another, or the node was reading its disk: steps are missing before the next one.
    TooLarge,
    /// The machine stopped.
    Stopped,
}

impl Why {
    /// What it means, for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Full => "the next segment goes on from here",
            Self::Overrun => "the disk did not keep up, steps are missing before the next segment",
            Self::TooLarge => {
                "no state could be taken, as it was too large or still being read from disk: steps are missing before the next segment"
            }
            Self::Stopped => "the node stopped",
        }
    }
}

/// 64 bits of SipHash-1-3 over all of an output, under a fixed key.
pub fn output_hash(output: &Output) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0x6f72_7265_7279, 0x7265_636f_7264);
    output.hash(&mut hasher);
    hasher.finish()
}

fn check(content: &[u8]) -> [u8; 8] {
    SipHasher13::new().hash(content).to_le_bytes()
}

#[cfg(test)]
mod tests;
