//! Looking into the nodes while a run goes on.

use super::{Run, Token};
use crate::holding::Holding;

/// How often.
pub(super) const EVERY_US: u64 = 1_000_000;

impl Run<'_> {
    /// Lets the invariants compare what the nodes hold now.
    pub(super) fn sample(&mut self) {
        let hosts = self.world.hosts().iter().enumerate();
        let held = hosts.filter_map(|(node, host)| Some(Holding::of(node, host.machine()?.store())));
        let holdings: Vec<Holding> = held.collect();
        self.world.sampled(&holdings);
        let next_us = self.world.now_us() + EVERY_US;
        self.world.schedule(next_us, Token::Sample.pack());
    }
}
