//! One attempt to have a value chosen.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Agreed, Ballot, Message, majority};
use crate::env::{Mutant, Mutants, NodeId, SeededRng};

/// After so many microseconds an attempt is given up. Its value may still be chosen later, by whoever finds it.
pub const GIVE_UP_US: u64 = 10_000_000;

/// Who has not answered is asked again after so many microseconds, and up to twice as many.
pub(super) const RESEND_US: u64 = 250_000;

/// The first wait of a proposer whose ballot was refused is below this, in microseconds; each further one may be twice as long.
pub(super) const BACK_OFF_US: u64 = 50_000;

/// How often the wait of a refused proposer is doubled at most: to 1.6 s.
const DOUBLINGS_MAX: u32 = 5;

/// An attempt to have one version chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempt<V> {
    /// The version that is to be chosen.
    pub version: u64,
    pub ballot: Ballot,
    pub give_up_us: u64,
    /// When to ask again, or to begin with a higher ballot.
    pub wake_us: u64,
    /// The voters of the version before.
    old: Vec<NodeId>,
    wanted: V,
    phase: Phase,
    /// The highest ballot that was accepted before, as far as this ballot's promises tell, and its value.
    found: Option<(Ballot, V)>,
    /// Who has answered as this phase wants it.
    votes: BTreeSet<NodeId>,
    /// Whether somebody has refused this ballot. Until the next one begins it may still be answered by enough others.
    refused: bool,
    refusals: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    Preparing,
    Accepting,
}

impl<V: Agreed> Attempt<V> {
    /// An attempt that has not begun.
    pub fn new(version: u64, old: Vec<NodeId>, wanted: V, now_us: u64) -> Self {
        Self {
            version,
            ballot: Ballot::default(),
            give_up_us: now_us.saturating_add(GIVE_UP_US),
            wake_us: now_us,
            old,
            wanted,
            phase: Phase::Preparing,
            found: None,
            votes: BTreeSet::new(),
            refused: false,
            refusals: 0,
        }
    }

    /// Whether a higher ballot is to follow, and not this one's question again.
    pub fn is_refused(&self) -> bool {
        self.refused
    }

    /// Begins anew with a higher ballot.
    pub fn prepare(&mut self, ballot: Ballot) {
        assert!(ballot > self.ballot, "{ballot:?} does not follow {:?}", self.ballot);
        self.ballot = ballot;
        self.phase = Phase::Preparing;
        self.found = None;
        self.votes.clear();
        self.refused = false;
    }

    /// Takes a promise of this ballot. True if all are to be asked to accept now.
    pub fn promised(&mut self, from: NodeId, accepted: Option<(Ballot, V)>, mutants: Mutants) -> bool {
        if self.phase != Phase::Preparing || !self.asked().contains(&from) {
            return false;
        }
        self.votes.insert(from);
        let higher = |(ballot, _): &(Ballot, V)| self.found.as_ref().is_none_or(|(found, _)| ballot > found);
        // A sole voter is the only one who proposes. What was accepted and is unknown to it was never chosen: it may want another value,
        // such as one without the node that it never reached again.
        let alone = self.old.len() == 1;
        if let Some(accepted) = accepted.filter(higher)
            && !alone
            && !mutants.is(Mutant::ForgetsAcceptedValue)
        {
            self.found = Some(accepted);
        }
        // What was found has to be finished, whoever is there of its list. For a value of one's own there is a choice.
        let reached = self.found.is_some() || majority(&self.wanted.voters(), &self.votes);
        if !majority(&self.old, &self.votes) || !reached {
            return false;
        }
        self.phase = Phase::Accepting;
        self.votes.clear();
        true
    }

    /// Takes an acceptance of this ballot. True if the value is chosen by it.
    pub fn accepted(&mut self, from: NodeId, mutants: Mutants) -> bool {
        if self.phase != Phase::Accepting || !self.asked().contains(&from) {
            return false;
        }
        self.votes.insert(from);
        let new = self.value().voters();
        if mutants.is(Mutant::MembersByMinority) && new != self.old {
            let votes = self.old.iter().filter(|voter| self.votes.contains(voter)).count();
            return votes >= (self.old.len() / 2).max(1);
        }
        let old = majority(&self.old, &self.votes) || mutants.is(Mutant::TwoMembersAtOnce);
        old && majority(&new, &self.votes)
    }

    /// Somebody refused this ballot: another is to follow after a wait, longer each time, and by chance, so that two proposers do
    /// not refuse each other for ever.
    pub fn refused(&mut self, now_us: u64, rng: &mut SeededRng) {
        if !self.refused {
            let most_us = BACK_OFF_US << self.refusals.min(DOUBLINGS_MAX);
            self.refused = true;
            self.refusals = self.refusals.saturating_add(1);
            self.wake_us = now_us.saturating_add(rng.between(1, most_us));
        }
    }

    /// Notes that all were asked at `now_us`.
    pub fn sent(&mut self, now_us: u64, rng: &mut SeededRng) {
        if !self.refused {
            self.wake_us = now_us.saturating_add(rng.between(RESEND_US, 2 * RESEND_US));
        }
    }

    /// The value of this ballot.
    pub fn value(&self) -> &V {
        self.found.as_ref().map_or(&self.wanted, |(_, value)| value)
    }

    /// Who has a part in this ballot: the old list and the new one.
    pub fn asked(&self) -> BTreeSet<NodeId> {
        self.old.iter().copied().chain(self.value().voters()).collect()
    }

    /// Those who have not answered yet.
    pub fn silent(&self) -> BTreeSet<NodeId> {
        &self.asked() - &self.votes
    }

    /// What this phase asks for.
    pub fn question(&self) -> Message<V> {
        let (version, ballot) = (self.version, self.ballot);
        match self.phase {
            Phase::Preparing => Message::Prepare { version, ballot },
            Phase::Accepting => {
                let value = self.value().clone();
                Message::Accept { version, ballot, value }
            }
        }
    }
}
