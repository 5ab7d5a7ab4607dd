//! What the nodes that are left have come to in the end.

use kernel::node::Node;

use super::{End, Run};
use crate::invariant::{Violation, agree, linked};
use crate::model::{State, state_in};

impl Run<'_> {
    /// The names of the nodes that a node has links with. Over datagrams handshakes fail now and then, and nothing is promised.
    fn links_of(&self, node: &Node) -> Option<Vec<String>> {
        let ordered = self.plan.header.ordered;
        ordered.then(|| node.stats().links.into_iter().map(|link| link.node).collect())
    }

    /// What each node holds in memory, and whom it has links with.
    pub(super) fn memories(&self) -> Vec<(usize, State, Option<Vec<String>>)> {
        let hosts = self.world.hosts().iter().enumerate();
        let machines = hosts.filter_map(|(number, host)| Some((number, host.machine()?)));
        let held = machines.map(|(number, node)| (number, state_in(node.store().rows()), self.links_of(node)));
        held.collect()
    }

    fn links(&self) -> Vec<(usize, Option<Vec<String>>)> {
        let hosts = self.left().enumerate();
        let links = hosts.filter_map(|(number, host)| Some((number, self.links_of(host.machine()?))));
        links.collect()
    }

    /// Whether each node that is left has a link with each other.
    pub(super) fn are_linked(&self) -> bool {
        linked(&self.links()).is_ok()
    }

    /// All serve, and nobody waits for an answer: what else keeps it from its end.
    pub(super) fn what_differs(&self) -> End {
        let broken = |invariant, expected: String| {
            let after_ms = self.plan.header.converge_us / 1_000;
            End::Broken(Violation {
                invariant,
                at_us: self.world.now_us(),
                expected: format!("{after_ms} ms after the last fault, {expected}"),
            })
        };
        match (agree(&self.world.disks()), linked(&self.links())) {
            (Err(expected), _) => broken("convergence", expected),
            (_, Err(expected)) => broken("linked", expected),
            (Ok(()), Ok(())) => End::Stuck("the nodes agreed only now and then".into()),
        }
    }
}
