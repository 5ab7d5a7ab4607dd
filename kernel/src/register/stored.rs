//! One node's part as a voter, which is also all that it has to remember.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Agreed, Ballot, Message};
use crate::env::{Mutant, Mutants, NodeId};

/// What a register has durably: the newest version that it knows, and what it promised and accepted for the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored<V> {
    /// The newest version that is known to be chosen. 0: none.
    pub version: u64,
    /// Its value. `None` exactly for version 0.
    pub value: Option<V>,
    /// For the next version: no ballot below this one is accepted.
    pub promised: Ballot,
    /// For the next version: the value that was accepted last, and by which ballot.
    pub accepted: Option<(Ballot, V)>,
}

impl<V> Default for Stored<V> {
    fn default() -> Self {
        Self {
            version: 0,
            value: None,
            promised: Ballot::default(),
            accepted: None,
        }
    }
}

/// What an acceptor does: its answer, if any, and whether what is stored has changed.
pub(super) struct Vote<V> {
    pub answer: Option<Message<V>>,
    pub changed: bool,
}

impl<V> Vote<V> {
    fn says(answer: Message<V>) -> Self {
        Self {
            answer: Some(answer),
            changed: false,
        }
    }

    fn nothing() -> Self {
        Self {
            answer: None,
            changed: false,
        }
    }
}

impl<V: Agreed> Stored<V> {
    /// What a newcomer holds: nothing. It learns.
    pub fn newcomer() -> Self {
        Self::default()
    }

    /// What the founder of a cluster holds: the first version, chosen by nobody else. Two that are founded apart are two
    /// registers, and must never hear of each other.
    pub fn founded(value: V) -> Self {
        assert!(!value.voters().is_empty(), "founded without voters: {value:?}");
        Self {
            version: 1,
            value: Some(value),
            ..Self::default()
        }
    }

    /// Who votes on the next version. Nobody, as far as a newcomer knows.
    pub(super) fn voters(&self) -> Vec<NodeId> {
        self.value.as_ref().map(Agreed::voters).unwrap_or_default()
    }

    /// Takes over a version that was chosen, if it is newer. What was promised and accepted was for one that is settled now.
    pub(super) fn learn(&mut self, version: u64, value: V) -> bool {
        // The last number is never reached by counting: nothing could follow it.
        if version <= self.version || version == u64::MAX || value.voters().is_empty() {
            return false;
        }
        *self = Self {
            version,
            value: Some(value),
            ..Self::default()
        };
        true
    }

    /// Answers `Prepare`.
    pub(super) fn prepare(&mut self, from: NodeId, version: u64, ballot: Ballot) -> Vote<V> {
        if let Some(answer) = self.elsewhere(from, version) {
            return answer;
        }
        if ballot < self.promised {
            return self.refuse(version, ballot);
        }
        let changed = ballot > self.promised;
        self.promised = ballot;
        let accepted = self.accepted.clone();
        let answer = Message::Promise {
            version,
            ballot,
            accepted,
        };
        Vote {
            answer: Some(answer),
            changed,
        }
    }

    /// Answers `Accept`. A node that has promised nothing, such as one that is just joining, may accept: its vote counts where the
    /// proposer has it on a list.
    pub(super) fn accept(
        &mut self,
        from: NodeId,
        version: u64,
        (ballot, value): (Ballot, V),
        mutants: Mutants,
    ) -> Vote<V> {
        if let Some(answer) = self.elsewhere(from, version) {
            return answer;
        }
        if value.voters().is_empty() {
            return Vote::nothing();
        }
        if ballot < self.promised && !mutants.is(Mutant::AcceptWithoutPromise) {
            return self.refuse(version, ballot);
        }
        let accepted = Some((ballot, value));
        let changed = self.promised != ballot || self.accepted != accepted;
        self.promised = ballot;
        self.accepted = accepted;
        Vote {
            answer: Some(Message::Accepted { version, ballot }),
            changed,
        }
    }

    /// What to say to a proposer that is not at the same version: the newer one tells the older one. A proposer at the same
    /// version that is no voter is not answered: it could only be in the way.
    fn elsewhere(&self, from: NodeId, version: u64) -> Option<Vote<V>> {
        if version > self.version + 1 {
            return Some(Vote::says(Message::Have { version: self.version }));
        }
        if version == self.version + 1 {
            return (!self.voters().contains(&from)).then(Vote::nothing);
        }
        let value = self.value.clone();
        Some(value.map_or_else(Vote::nothing, |value| {
            Vote::says(Message::Learn {
                version: self.version,
                value,
            })
        }))
    }

    fn refuse(&self, version: u64, ballot: Ballot) -> Vote<V> {
        Vote::says(Message::Refused {
            version,
            ballot,
            promised: self.promised,
        })
    }
}
