//! How many replicas a write or a read is about, in the words of the protocol.

use serde::{Deserialize, Serialize};

/// How many replicas have a write before it counts as done. A greater one promises all that a lesser one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Consistency {
    /// The acting owner.
    #[default]
    Eventual,
    /// A majority of the configured replicas, dead ones included.
    Quorum,
    /// All of them.
    Strong,
}

impl Consistency {
    /// All of them, the least first.
    pub const ALL: [Consistency; 3] = [Consistency::Eventual, Consistency::Quorum, Consistency::Strong];

    /// The word of the field `consistency`.
    pub fn word(self) -> &'static str {
        match self {
            Consistency::Eventual => "eventual",
            Consistency::Quorum => "quorum",
            Consistency::Strong => "strong",
        }
    }

    /// The one with this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.word() == word)
    }

    /// The word of the field `achievedLevel`: TopGun's, which knows of one disk or several, and not of how many.
    pub fn achieved(self) -> &'static str {
        match self {
            Consistency::Eventual => "PERSISTED",
            Consistency::Quorum | Consistency::Strong => "REPLICATED",
        }
    }

    /// What a write that asked for this has reached when it is acknowledged with that word in `achievedLevel`. A node does not
    /// acknowledge less than was asked for; one that says so all the same is believed.
    pub fn reached(self, achieved: &str) -> Self {
        if achieved == Consistency::Quorum.achieved() {
            self.max(Consistency::Quorum)
        } else {
            Consistency::Eventual
        }
    }
}

/// Which replicas are asked for a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum ReadConsistency {
    /// The acting owner.
    #[default]
    Owner,
    /// The node that is asked, if it is a replica; otherwise the acting owner.
    Any,
    /// A majority of the configured replicas: it sees every quorum write that was acknowledged before it.
    Quorum,
}

impl ReadConsistency {
    /// All of them.
    pub const ALL: [ReadConsistency; 3] = [ReadConsistency::Owner, ReadConsistency::Any, ReadConsistency::Quorum];

    /// The word of the field `consistency`.
    pub fn word(self) -> &'static str {
        match self {
            ReadConsistency::Owner => "owner",
            ReadConsistency::Any => "any",
            ReadConsistency::Quorum => "quorum",
        }
    }

    /// The one with this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.word() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back() {
        for level in Consistency::ALL {
            assert_eq!(Consistency::of(level.word()), Some(level));
        }
        for level in ReadConsistency::ALL {
            assert_eq!(ReadConsistency::of(level.word()), Some(level));
        }
        assert_eq!((Consistency::of("owner"), ReadConsistency::of("strong")), (None, None));
    }

    #[test]
    fn what_was_reached_is_what_was_asked_unless_the_node_says_less_or_more() {
        use Consistency::{Eventual, Quorum, Strong};
        for level in Consistency::ALL {
            assert_eq!(level.reached(level.achieved()), level);
            assert_eq!(level.reached("PERSISTED"), Eventual);
            assert_eq!(level.reached(""), Eventual);
        }
        assert_eq!(
            (Eventual.reached("REPLICATED"), Strong.reached("REPLICATED")),
            (Quorum, Strong)
        );
    }
}
