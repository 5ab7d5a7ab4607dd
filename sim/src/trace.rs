//! The rolling hash of a run: the same seed, the same number.

use std::hash::{Hash, Hasher};

use kernel::env::Now;
use kernel::machine::{Input, Output};
use siphasher::sip128::{Hasher128, SipHasher13};

/// One step of one machine, as it happened.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// The virtual time.
    pub at_us: u64,
    /// Whose.
    pub node: usize,
    /// What the node's clocks showed.
    pub now: Now,
    /// What went in.
    pub input: &'a Input<'a>,
    /// What came out.
    pub output: &'a Output,
}

/// Keyed SipHash-128 (Aumasson, Bernstein 2012) over every step of a run. The keys are fixed: two processes that do the
/// same say the same.
#[derive(Debug, Clone)]
pub struct Trace {
    hasher: SipHasher13,
    steps: u64,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            hasher: SipHasher13::new_with_keys(0x6f72_7265_7279, 0x0074_7261_6365),
            steps: 0,
        }
    }
}

impl Trace {
    /// Adds a step.
    pub fn step(&mut self, step: &Step<'_>) {
        self.steps += 1;
        self.hasher.write_u64(step.at_us);
        self.hasher.write_u64(step.node as u64);
        step.now.hash(&mut self.hasher);
        step.input.hash(&mut self.hasher);
        step.output.hash(&mut self.hasher);
    }

    /// How many steps there were.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The hash of all of them.
    pub fn hash(&self) -> u128 {
        self.hasher.finish128().as_u128()
    }
}
