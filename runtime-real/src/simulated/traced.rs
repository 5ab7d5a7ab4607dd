//! A machine, seen at each step.

use kernel::env::Now;
use kernel::machine::{Input, Machine, Output};
use sim::trace::Step;

use super::time::now_us;

/// Shows every step of a machine to whoever watches: the rolling hash of the run, and a test's own counters.
///
/// madsim's own check of determinism logs one byte for each random draw, and passes runs that differ; what is seen here is
/// every reading of the clock, every input and every output.
#[derive(Debug)]
pub struct Traced<M, F> {
    machine: M,
    node: usize,
    see: F,
}

impl<M: Machine, F: FnMut(&Step<'_>, &M)> Traced<M, F> {
    /// Watches the `machine` of the node with this number.
    pub fn new(machine: M, node: usize, see: F) -> Self {
        Self { machine, node, see }
    }
}

impl<M: Machine, F: FnMut(&Step<'_>, &M)> Machine for Traced<M, F> {
    fn step(&mut self, now: Now, input: Input<'_>, out: &mut Output) {
        let seen = input.clone();
        self.machine.step(now, input, out);
        let step = Step {
            at_us: now_us(),
            node: self.node,
            now,
            input: &seen,
            output: out,
        };
        (self.see)(&step, &self.machine);
    }
}
