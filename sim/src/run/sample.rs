//! Looking into the nodes while a run goes on.

use kernel::cluster::ClusterState;
use kernel::node::Node;
use kernel::partition::PartitionId;

use super::{Run, Token};
use crate::holding::{Holding, Looker};
use crate::host::Host;
use crate::replicas::configured;

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
        self.note_replicas();
        let next_us = self.world.now_us() + EVERY_US;
        self.world.schedule(next_us, Token::Sample.pack());
    }

    /// Tells how many replicas there are, if there are more than before, or fewer: with those that leave some go at any time, and then also
    /// with those that have lost their disks, which are put out before they are there again.
    pub(super) fn note_replicas(&mut self) {
        let gone = match self.leaving.is_empty() {
            true => 0,
            false => self.displaced.borrow().union(&self.leaving).count(),
        };
        let stay = self.world.hosts().len().saturating_sub(gone).max(1);
        let replicas = self.fewest_replicas().map(|fewest| fewest.min(configured(stay)));
        if let Some(replicas) = replicas.filter(|replicas| *replicas != self.replicas) {
            self.replicas = replicas;
            self.world.placed(replicas);
        }
    }

    /// How many replicas every partition has at least, in the eyes of every node that is up and belongs to the cluster.
    fn fewest_replicas(&self) -> Option<usize> {
        let machines = self.world.hosts().iter().filter_map(Host::machine);
        let states = machines.filter(|node| node.is_member()).filter_map(Node::cluster);
        let fewest = |state: &ClusterState| PartitionId::all().map(|id| state.placement(id).replicas.len()).min();
        states.filter_map(fewest).min()
    }
}
