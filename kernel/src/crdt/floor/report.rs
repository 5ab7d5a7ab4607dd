//! What replicas tell each other about the floor.

use alloc::collections::BTreeSet;

use crate::env::NodeId;
use crate::hlc::Stamp;

/// The replicas whose promises a floor needs: the configured ones, dead or alive, and of both sides while a partition moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replicas {
    /// The number of the configuration: each change of the set has a greater one.
    pub epoch: u64,
    /// Who belongs to it.
    pub members: BTreeSet<NodeId>,
}

/// A place in a replica's commit order, which counts all that it made durable, whether it admitted it itself or took it
/// in from another. (If it counted only the former, a write that its only admitter lost with its disk would be nobody's to
/// pass on: one replica would hold it, and all would confirm.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The birth of the boot that numbered: an earlier disk numbers the same places anew.
    pub boot: Stamp,
    /// How many came before, those of earlier boots that are on this disk included.
    pub count: u64,
}

/// All that a replica has to say about the floor, as far as its disk has it. It may be lost, repeated, late or
/// overtaken: it says no more than was true when it was made, and none of it becomes false.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Who.
    pub from: NodeId,
    /// The birth of its boot.
    pub boot: Stamp,
    /// The configuration that it acts in.
    pub epoch: u64,
    /// Its floor.
    pub at: u64,
    /// What it says to the candidate of the round that it is in.
    pub answer: Option<Answer>,
}

/// A replica's part in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The floor proposed.
    pub candidate: u64,
    /// Where its own commit order stood at some moment since it admits nothing at or below the candidate; `None` while that
    /// promise is not durable, or while it has not taken in what others knew of its earlier boots.
    pub promised_at: Option<u64>,
    /// Whether it has taken in all others' commits up to where they promised.
    pub confirmed: bool,
}
