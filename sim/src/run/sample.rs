//! Looking into the nodes while a run goes on.

use super::{Run, Token};
use crate::holding::{Holding, Looker};

/// How often.
pub(super) const EVERY_US: u64 = 1_000_000;

impl Run<'_> {
    /// Lets the invariants compare what the nodes hold now; with every row, if it is for the last time.
    pub(super) fn sample(&mut self, last: bool) {
        self.note_members();
        if self.unchecked {
            return;
        }
        let hosts = self.world.hosts().iter().enumerate().zip(&mut self.lookers);
        let look = if last { Looker::look_at_all } else { Looker::look };
        let held = hosts.filter_map(|((node, host), looker)| Some(look(looker, node, host.machine()?.store())));
        let holdings: Vec<Holding> = held.collect();
        self.world.sampled(&holdings);
        let next_us = self.world.now_us() + EVERY_US;
        self.world.schedule(next_us, Token::Sample.pack());
    }
}
