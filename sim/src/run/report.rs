//! What came of a run.

use std::collections::BTreeMap;

use crate::invariant::Violation;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Every promise was kept.
    Held,
    /// One was broken.
    Broken(Violation),
    /// After the last fault it did not come to rest in time.
    Stuck(String),
    /// The same where no majority of the nodes was left, or too few replicas of what somebody waits for: no promise was broken, and
    /// nobody promises an end.
    WithoutMajority(String),
}

/// How many of the nodes of a run were left at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// How many were healed for good.
    pub nodes: u64,
    /// Of how many.
    pub of: u64,
}

impl Left {
    /// Whether they are a majority.
    pub fn are_majority(self) -> bool {
        2 * self.nodes > self.of
    }
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub end: End,
    /// When, in virtual time.
    pub at_us: u64,
    /// The rolling hash of every step.
    pub hash: u128,
    /// How many steps the nodes took.
    pub steps: u64,
    /// How many writes were acknowledged.
    pub acknowledged: u64,
    /// How many writes were refused for good.
    pub refused: u64,
    /// How many reads were answered.
    pub read: u64,
    /// How many rows those who watch hold in the end.
    pub watched: u64,
    /// How many nodes were left.
    pub left: Left,
    /// How often each fault hit something and each rare path was taken, by name.
    pub reached: BTreeMap<&'static str, u64>,
}
