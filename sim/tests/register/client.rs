//! Clients of the registers: compare-and-set, reads, and changes of the members.

use kernel::env::NodeId;
use sim::linearizability::Operation;

use crate::cluster::Cluster;
use crate::value::{Answer, Ask, Value};

/// What was asked of all registers.
#[derive(Default)]
pub struct Client {
    pub history: Vec<Operation<Ask, Answer>>,
    /// How many changes of the members were made, as their clients know.
    pub members_changed: u64,
    marks: u64,
}

/// What a node is asked to do.
#[derive(Debug, Clone)]
pub enum Task {
    /// The place in the history.
    Number(usize),
    Members(Vec<NodeId>),
}

/// A task under way.
pub struct Running {
    task: Task,
    /// The version that it was made from.
    base: u64,
    mark: u64,
    /// What will have been true if the change is made.
    answer: Option<Answer>,
    tries: u64,
}

/// How often a task is tried again when another's change was chosen.
const TRIES_MAX: u64 = 6;

impl Cluster {
    /// Asks a node for something, if it is not at something else.
    pub fn ask(&mut self, id: NodeId, input: Ask) {
        if self.is_free(id) {
            let called = self.instant;
            let outcome = None;
            self.client.history.push(Operation { input, called, outcome });
            self.begin(id, Task::Number(self.client.history.len() - 1), 1);
        }
    }

    /// Asks a node to change the members.
    pub fn change_members(&mut self, id: NodeId, mut members: Vec<NodeId>) {
        members.sort_unstable();
        members.dedup();
        if self.is_free(id) {
            self.begin(id, Task::Members(members), 1);
        }
    }

    pub fn is_free(&self, id: NodeId) -> bool {
        let up = self.nodes[&id].up.as_ref();
        up.is_some_and(|up| up.running.is_none() && !up.register.is_proposing())
    }

    /// A number that no other proposal and no other change has.
    pub fn mark(&mut self) -> u64 {
        self.client.marks += 1;
        self.client.marks
    }

    fn begin(&mut self, id: NodeId, task: Task, tries: u64) {
        let mark = self.mark();
        let node = self.nodes.get_mut(&id).expect("a node");
        let Some(up) = &mut node.up else { return };
        let Some(held) = up.register.value().cloned() else {
            return;
        };
        let mut next = Value {
            mark,
            parent: held.mark,
            ..held.clone()
        };
        let mut answer = None;
        match &task {
            Task::Members(members) => next.members = members.clone(),
            Task::Number(at) => match self.client.history[*at].input {
                Ask::Read => answer = Some(Answer::Is(held.number)),
                Ask::Cas { old, new } => {
                    let fits = old == held.number;
                    next.number = if fits { new } else { held.number };
                    answer = Some(Answer::Changed(fits));
                }
            },
        }
        let base = up.register.version();
        up.running = Some(Running {
            task,
            base,
            mark,
            answer,
            tries,
        });
        self.step(id, |register, now_us, rng, out| {
            _ = register.propose(next, now_us, rng, out)
        });
    }

    /// After a step: looks whether the node's task is done.
    pub fn went_on(&mut self, id: NodeId) {
        let Some(up) = self.nodes.get_mut(&id).and_then(|node| node.up.as_mut()) else {
            return;
        };
        let Some(running) = &up.running else { return };
        let version = up.register.version();
        if version == running.base && up.register.is_proposing() {
            return;
        }
        let mark = up.register.value().map(|value| value.mark);
        let Some(done) = up.running.take() else { return };
        if version != done.base + 1 {
            // Given up, or overtaken twice: nobody knows.
        } else if mark != Some(done.mark) {
            // Another's change was chosen, so this one never will be.
            if done.tries < TRIES_MAX {
                self.begin(id, done.task, done.tries + 1);
            }
        } else if let (Task::Number(at), Some(answer)) = (&done.task, done.answer) {
            self.client.history[*at].outcome = Some((answer, self.instant));
        } else {
            self.client.members_changed += 1;
        }
    }
}
