//! What this node knows of one member.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::gossip::{ACCUSERS_MAX, Boot};
use super::phi::Silences;
use crate::env::NodeId;

/// What a node takes a member for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Health {
    /// It answers, or nobody has missed an answer long enough.
    Alive,
    /// It was silent for too long. It has the chance to say that it lives.
    Suspect,
    /// It is given up until it says that it lives. It is a member all the same.
    Failed,
}

/// One member. All times are of this node's own clock (see `health.rs`), in microseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Member {
    pub(super) node: NodeId,
    /// The run of it that counts, once one was heard of.
    pub(super) boot: Option<Boot>,
    /// A run that was given up for an older one: what is said of it counts no more.
    pub(super) retired: Option<Boot>,
    pub(super) incarnation: u64,
    pub(super) health: Health,
    /// Since when it is suspected or given up.
    pub(super) since_us: u64,
    /// The others who suspect it in this incarnation, in order.
    pub(super) accusers: Vec<NodeId>,
    /// The latest reading of its own clock that it sent.
    pub(super) heard_us: Option<u64>,
    /// A moment after which it certainly lived.
    pub(super) proof_us: Option<u64>,
    /// When it was last asked for an answer.
    pub(super) asked_us: Option<u64>,
    /// Since when an answer is missed; nothing if none is.
    pub(super) silent_since_us: Option<u64>,
    /// When a member in doubt is to be asked again.
    pub(super) hurry_us: u64,
    /// Whether something else than silence casts doubt on it.
    pub(super) hint: bool,
    /// How many times more it is told of.
    pub(super) tell: u32,
    /// Who waits to hear that it answered, and since when.
    pub(super) askers: Vec<(NodeId, u64)>,
    pub(super) silences: Silences,
}

impl Member {
    pub(super) fn new(node: NodeId) -> Self {
        Self {
            node,
            boot: None,
            retired: None,
            incarnation: 0,
            health: Health::Alive,
            since_us: 0,
            accusers: Vec::new(),
            heard_us: None,
            proof_us: None,
            asked_us: None,
            silent_since_us: None,
            hurry_us: 0,
            hint: false,
            tell: 0,
            askers: Vec::new(),
            silences: Silences::default(),
        }
    }

    /// Another run of it counts from now on: nothing of the one before does.
    pub(super) fn restarted(&mut self, boot: Boot) {
        let before = core::mem::replace(self, Self::new(self.node));
        self.boot = Some(boot);
        self.retired = before.boot.filter(|old| *old > boot);
        // The probes before may have been lost with the run that they were meant for, and the network is as it was.
        self.askers = before.askers;
        self.silences = before.silences;
    }

    /// It was asked for an answer.
    pub(super) fn asked(&mut self, now_us: u64) {
        self.asked_us = Some(now_us);
        self.silent_since_us.get_or_insert(now_us);
    }

    /// It certainly lived after `proof_us`, as it says itself. Whether that is news.
    pub(super) fn prove(&mut self, proof_us: u64, now_us: u64) -> bool {
        let silence_us = self.silence_us(now_us);
        let is_news = self.prove_by_others(proof_us);
        if is_news && silence_us > 0 {
            self.silences.sample(silence_us);
        }
        is_news
    }

    /// The same, as others say. They may be passing on the last that was heard of a dead node, so that no silence has ended.
    pub(super) fn prove_by_others(&mut self, proof_us: u64) -> bool {
        let is_news = self.proof_us.is_none_or(|known_us| known_us < proof_us);
        if is_news {
            self.proof_us = Some(proof_us);
            // What it was asked after that moment is still unanswered.
            let waits = self.asked_us.is_some_and(|asked_us| asked_us > proof_us);
            self.silent_since_us = self
                .silent_since_us
                .filter(|_| waits)
                .map(|since_us| since_us.max(proof_us));
        }
        is_news
    }

    /// How long an answer is missed.
    pub(super) fn silence_us(&self, now_us: u64) -> u64 {
        self.silent_since_us
            .map_or(0, |since_us| now_us.saturating_sub(since_us))
    }

    /// It has said, in a higher incarnation, that it lives: nothing that was held against it counts, and its silence begins anew.
    pub(super) fn refuted(&mut self, incarnation: u64, now_us: u64) {
        self.incarnation = incarnation;
        self.health = Health::Alive;
        self.accusers.clear();
        self.silent_since_us = self.silent_since_us.map(|_| now_us);
        self.hint = false;
    }

    /// `by` suspects it. Whether that is news.
    pub(super) fn accused(&mut self, by: NodeId) -> bool {
        match self.accusers.binary_search(&by) {
            Err(at) if self.accusers.len() < ACCUSERS_MAX => {
                self.accusers.insert(at, by);
                true
            }
            _ => false,
        }
    }
}
