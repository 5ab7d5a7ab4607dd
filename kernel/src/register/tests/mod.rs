//! The rules one by one; `chaos` tries orders of everything. Mutants and timed faults are in `sim/tests/register/`.

mod chaos;
mod rules;

use serde::{Deserialize, Serialize};

use super::*;
use crate::env::{Mutants, SeededRng, WriterId};

/// A value, and who votes on the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Value {
    pub members: Vec<NodeId>,
    pub text: String,
}

impl Agreed for Value {
    fn voters(&self) -> Vec<NodeId> {
        self.members.clone()
    }
}

pub(super) fn value(text: &str, members: &[u64]) -> Value {
    Value {
        members: members.iter().copied().map(NodeId).collect(),
        text: text.into(),
    }
}

pub(super) fn register(me: u64, stored: Stored<Value>) -> Register<Value> {
    Register::new(NodeId(me), WriterId(me * 100), stored, Mutants::default())
}

/// Registers joined by perfect links: whatever is said is heard, in order, once the speaker's state is durable.
pub(super) struct Net {
    pub nodes: Vec<Register<Value>>,
    pub queue: Vec<(NodeId, NodeId, Message<Value>)>,
    /// Those who neither hear nor speak.
    pub dead: Vec<u64>,
    pub now_us: u64,
    rng: SeededRng,
}

impl Net {
    /// Nodes 1 to `all`, of which the members of `first` founded the cluster.
    pub fn new(all: u64, first: &Value) -> Self {
        let stored = |id| {
            let founder = first.members.contains(&NodeId(id));
            if founder {
                Stored::founded(first.clone())
            } else {
                Stored::newcomer()
            }
        };
        Self {
            nodes: (1..=all).map(|id| register(id, stored(id))).collect(),
            queue: Vec::new(),
            dead: Vec::new(),
            now_us: 0,
            rng: SeededRng::from_u64(1),
        }
    }

    pub fn at(&self, id: u64) -> &Register<Value> {
        &self.nodes[id as usize - 1]
    }

    pub fn step<R>(
        &mut self,
        id: u64,
        call: impl FnOnce(&mut Register<Value>, u64, &mut SeededRng, &mut Vec<(NodeId, Message<Value>)>) -> R,
    ) -> R {
        let mut out = Vec::new();
        let node = &mut self.nodes[id as usize - 1];
        let result = call(node, self.now_us, &mut self.rng, &mut out);
        node.take_dirty();
        let said = out.into_iter().map(|(to, message)| (NodeId(id), to, message));
        self.queue.extend(said);
        result
    }

    pub fn propose(&mut self, id: u64, value: &Value) -> bool {
        let value = value.clone();
        self.step(id, |node, now_us, rng, out| node.propose(value, now_us, rng, out))
    }

    pub fn receive(&mut self, from: u64, to: u64, message: Message<Value>) {
        self.step(to, |node, now_us, rng, out| {
            node.receive(NodeId(from), message, now_us, rng, out)
        });
    }

    /// Delivers until nothing is said any more.
    pub fn settle(&mut self) {
        while !self.queue.is_empty() {
            let (from, to, message) = self.queue.remove(0);
            if !self.dead.contains(&from.0) && !self.dead.contains(&to.0) {
                self.receive(from.0, to.0, message);
            }
        }
    }

    /// Lets time pass for `id` until it wants to be woken, and settles.
    pub fn wake(&mut self, id: u64) {
        self.now_us = self.at(id).wake_us().expect("something is due").max(self.now_us);
        self.step(id, |node, now_us, rng, out| node.tick(now_us, rng, out));
        self.settle();
    }

    /// What was said to `to` and not delivered yet.
    pub fn said_to(&mut self, to: u64) -> Vec<Message<Value>> {
        let said = self.queue.iter().filter(|(_, who, _)| who.0 == to);
        let said = said.map(|(_, _, message)| message.clone()).collect();
        self.queue.clear();
        said
    }
}
