//! What the register under test holds, and what its history is checked against.

use kernel::env::NodeId;
use kernel::register::Agreed;
use serde::{Deserialize, Serialize};
use sim::linearizability::Model;

/// A number that is changed by compare-and-set, and the members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    pub members: Vec<NodeId>,
    pub number: u64,
    /// No two proposals have the same one.
    pub mark: u64,
    /// The mark of the value that this was made from.
    pub parent: u64,
}

impl Agreed for Value {
    fn voters(&self) -> Vec<NodeId> {
        self.members.clone()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// By a change that changes nothing.
    Read,
    Cas {
        old: u64,
        new: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Is(u64),
    Changed(bool),
}

/// One number.
pub struct Number;

impl Model for Number {
    type State = u64;
    type Input = Ask;
    type Output = Answer;

    fn initial(&self) -> u64 {
        0
    }

    fn step(&self, state: &u64, input: &Ask) -> (u64, Answer) {
        match *input {
            Ask::Read => (*state, Answer::Is(*state)),
            Ask::Cas { old, new } if old == *state => (new, Answer::Changed(true)),
            Ask::Cas { .. } => (*state, Answer::Changed(false)),
        }
    }
}
