//! A machine, seen at each step.

use std::cell::RefCell;
use std::rc::Rc;

use kernel::env::Now;
use kernel::machine::{Input, Machine, Output};
use sim::trace::Step;

use super::time::now_us;

/// Sees what a machine is told and what it says.
pub trait Watcher {
    /// The machine of `node` is about to be told something.
    fn told(&mut self, node: usize, input: &Input<'_>);

    /// It took a step, and nothing of its output was performed yet.
    fn stepped(&mut self, step: &Step<'_>);
}

/// Shows every step of a machine to whoever watches: the rolling hash of the run, its invariants, a test's own counters.
///
/// madsim's own check of determinism logs one byte for each random draw, and passes runs that differ; what is seen here is
/// every reading of the clock, every input and every output.
#[derive(Debug)]
pub struct Traced<M, W> {
    machine: Rc<RefCell<M>>,
    node: usize,
    watcher: W,
}

impl<M: Machine, W: Watcher> Traced<M, W> {
    /// Watches the `machine` of the node with this number. Others may look at it between steps.
    pub fn new(machine: Rc<RefCell<M>>, node: usize, watcher: W) -> Self {
        Self { machine, node, watcher }
    }
}

impl<M: Machine, W: Watcher> Machine for Traced<M, W> {
    fn step(&mut self, now: Now, input: Input<'_>, out: &mut Output) {
        self.watcher.told(self.node, &input);
        let seen = input.clone();
        self.machine.borrow_mut().step(now, input, out);
        let step = Step {
            at_us: now_us(),
            node: self.node,
            now,
            input: &seen,
            output: out,
        };
        self.watcher.stepped(&step);
    }
}
