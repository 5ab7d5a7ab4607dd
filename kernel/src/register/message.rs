//! What registers say to each other.

use serde::{Deserialize, Serialize};

use super::Ballot;

/// A message from one node's register to another's. Everywhere `version` is the version that is to be chosen, or
/// that the sender holds. A message may be lost, repeated, late and out of order, and may be from an earlier boot.
///
/// How large one can get is the caller's to bound: it holds one value at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message<V> {
    /// The sender holds `version`, 0 if it holds nothing: who holds a newer one answers with it, who holds an older one asks for it
    /// by the same word. Also what an acceptor answers that is behind the proposer.
    Have {
        /// The version that the sender holds.
        version: u64,
    },
    /// Promise to take no ballot below this one, and tell what you have accepted.
    Prepare {
        /// The version that is to be chosen.
        version: u64,
        /// The proposer's ballot.
        ballot: Ballot,
    },
    /// The answer to `Prepare`: promised.
    Promise {
        /// The version that is to be chosen.
        version: u64,
        /// The ballot that was promised.
        ballot: Ballot,
        /// What the sender has accepted for this version, and by which ballot.
        accepted: Option<(Ballot, V)>,
    },
    /// Accept this value.
    Accept {
        /// The version that is to be chosen.
        version: u64,
        /// The proposer's ballot.
        ballot: Ballot,
        /// The value. A ballot has one.
        value: V,
    },
    /// The answer to `Accept`: accepted.
    Accepted {
        /// The version that is to be chosen.
        version: u64,
        /// The ballot that was accepted.
        ballot: Ballot,
    },
    /// The answer to either: a higher ballot was promised.
    Refused {
        /// The version that is to be chosen.
        version: u64,
        /// The ballot that was refused.
        ballot: Ballot,
        /// The one that was promised.
        promised: Ballot,
    },
    /// This version was chosen.
    Learn {
        /// The version.
        version: u64,
        /// Its value.
        value: V,
    },
}
