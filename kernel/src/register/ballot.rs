//! The numbers by which proposers take turns.

use serde::{Deserialize, Serialize};

use crate::env::WriterId;

/// The number of an attempt to have one version chosen. A higher one supersedes the lower ones; the default is below all that are
/// ever used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Ballot {
    /// Counts up from 1: above every ballot that the proposer has heard of.
    pub round: u64,
    /// The proposer, by the identity that it drew at its boot: a boot never repeats a round, and no two boots share a writer.
    pub writer: WriterId,
}
