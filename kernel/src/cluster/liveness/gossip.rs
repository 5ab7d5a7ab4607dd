//! What two detectors say to each other.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::env::{NodeId, WriterId};

/// Most accusers that are remembered, or told of, for one member.
pub const ACCUSERS_MAX: usize = 8;

/// One run of a node, from its boot to its end. Of two runs the one that was born later counts, and of two born in
/// the same millisecond the one with the greater writer id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Boot {
    /// When it began, in milliseconds of the node's own wall clock.
    pub birth_ms: u64,
    /// The id that it drew when it began.
    pub writer: WriterId,
}

/// One message from one detector to another. The caller encodes it; with eight rumors it takes less than a kilobyte.
///
/// There are no times of day in it: `sent_us` is a reading of the sender's own clock that means something to the sender
/// alone, when it comes back in an [`Echo`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gossip {
    /// Which run of the sender speaks.
    pub boot: Boot,
    /// How often the sender had to say that it lives.
    pub incarnation: u64,
    /// When it was sent, in microseconds that the sender has lived.
    pub sent_us: u64,
    /// The last that the sender heard from the receiver, if anything.
    pub echo: Option<Echo>,
    /// What is asked for.
    pub kind: Kind,
    /// What the sender knows of others, and what it holds against the receiver.
    pub rumors: Vec<Rumor>,
}

impl Gossip {
    /// How many bytes it takes on its way.
    pub fn encoded_len(&self) -> usize {
        // It holds nothing that cannot be written, and counting takes no room.
        postcard::experimental::serialized_size(self).unwrap_or_default()
    }
}

/// The latest reading of the receiver's clock that has reached the sender. Who gets it back knows that the sender lived
/// after that moment: nothing else counts as a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echo {
    /// Which run of the receiver it was.
    pub to: WriterId,
    /// Its `sent_us`.
    pub at_us: u64,
}

/// What a message asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Answer at once.
    Ping,
    /// Nothing.
    Ack,
    /// Answer at once with what you know of this node; probe it, and tell me when it answers.
    Ask(NodeId),
}

/// What is known of a member that is not the sender. All of it can be merged in any order: the later run counts, then the
/// higher incarnation, then the union of the accusers; and the latest sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rumor {
    /// Whom it is about.
    pub node: NodeId,
    /// Which run of it.
    pub boot: Boot,
    /// The highest incarnation of that run that was heard of.
    pub incarnation: u64,
    /// How long before this message it certainly lived, in microseconds.
    pub age_us: Option<u64>,
    /// Who suspects it, in that incarnation: at most [`ACCUSERS_MAX`].
    pub accusers: Vec<NodeId>,
}
