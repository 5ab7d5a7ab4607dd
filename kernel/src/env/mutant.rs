//! Deliberately broken behaviour, to prove that the simulator sees it.
//!
//! Each mutant is a classic bug of this field, put back behind a switch that only the feature `testing`
//! compiles in and only a node's own configuration turns on. An inactive mutant draws no randomness and
//! changes no byte.

#[cfg(not(feature = "testing"))]
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Whether the switches are compiled in. A host says so in its version.
pub const TESTING: bool = cfg!(feature = "testing");

/// One way to be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Mutant {
    /// Equal stamps with different content keep whichever came first: replicas diverge for ever.
    DropTieBreak,
    /// An acknowledgement leaves before its commit is durable: a crash loses an acknowledged write.
    AckBeforeCommit,
    /// A delete removes the record and leaves no tombstone: an older write brings it back.
    ForgetTombstone,
    /// A record that is already held counts as a change again: it is logged and forwarded once more.
    ApplyTwice,
    /// A read shows a value whose commit is still in flight: after a crash it was never there.
    ReadUncommitted,
    /// Commits are answered in another order than they were given (performed by the simulator's disk).
    TicketsOutOfOrder,
    /// A live query tells of a change whose commit is still in flight: after a crash it never happened.
    TellBeforeCommit,
    /// A failed commit leaves live queries as they were, though the state that they followed was thrown away.
    SkipStale,
    /// What has expired is judged by a time that is not durable: after a crash, or once the wall clock is put right, it is back.
    ExpireEarly,
}

impl Mutant {
    /// All of them, in the order they are listed in.
    pub const ALL: [Mutant; 9] = [
        Mutant::DropTieBreak,
        Mutant::AckBeforeCommit,
        Mutant::ForgetTombstone,
        Mutant::ApplyTwice,
        Mutant::ReadUncommitted,
        Mutant::TicketsOutOfOrder,
        Mutant::TellBeforeCommit,
        Mutant::SkipStale,
        Mutant::ExpireEarly,
    ];

    /// The name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Mutant::DropTieBreak => "drop-tie-break",
            Mutant::AckBeforeCommit => "ack-before-commit",
            Mutant::ForgetTombstone => "forget-tombstone",
            Mutant::ApplyTwice => "apply-twice",
            Mutant::ReadUncommitted => "read-uncommitted",
            Mutant::TicketsOutOfOrder => "tickets-out-of-order",
            Mutant::TellBeforeCommit => "tell-before-commit",
            Mutant::SkipStale => "skip-stale",
            Mutant::ExpireEarly => "expire-early",
        }
    }
}

/// The mutants that are on in one node: none, or one. Without the feature `testing` it is always none, and
/// the compiler removes the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mutants {
    #[cfg(feature = "testing")]
    active: Option<Mutant>,
}

impl Mutants {
    /// Turns one mutant on.
    #[cfg(feature = "testing")]
    pub fn only(mutant: Mutant) -> Self {
        Self { active: Some(mutant) }
    }

    /// Whether `mutant` is on.
    #[cfg(feature = "testing")]
    pub fn is(self, mutant: Mutant) -> bool {
        self.active == Some(mutant)
    }

    /// Whether `mutant` is on: never, in this build.
    #[cfg(not(feature = "testing"))]
    pub fn is(self, _mutant: Mutant) -> bool {
        false
    }
}

/// Written alike whether the switches are compiled in or not: what one build writes another reads.
impl Serialize for Mutants {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let active = Mutant::ALL.into_iter().find(|mutant| self.is(*mutant));
        active.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Mutants {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Option::<Mutant>::deserialize(deserializer)? {
            None => Ok(Self::default()),
            #[cfg(feature = "testing")]
            Some(mutant) => Ok(Self::only(mutant)),
            #[cfg(not(feature = "testing"))]
            Some(_) => Err(D::Error::custom("a mutant is on, and this build has none")),
        }
    }
}
