//! What the nodes that are left have come to in the end.

use std::collections::BTreeSet;

use bytes::Bytes;
use kernel::env::NodeId;
use kernel::node::Node;
use kernel::partition::PartitionId;
use kernel::wire::Consistency;

use super::{End, Run, is_ready};
use crate::client::Client;
use crate::clock::EPOCH_MS;
use crate::host::Host;
use crate::invariant::{Violation, agree, linked};
use crate::model::state_in;
use crate::reached::Spot;
use crate::replicas::{ReplicaOf, partition_of};
use crate::world::AtRest;

/// Beyond that nothing gets as old as the horizon while a plan runs.
const LONG_MS: u64 = 60_000;
/// How long a round may take by which members agree on a floor, links that are slow and full disks included.
const COLLECTED_MS: u64 = 10_000;

impl Run<'_> {
    /// The names of the nodes that a node has links with. Over datagrams handshakes fail now and then, and nothing is promised.
    fn links_of(&self, node: &Node) -> Option<Vec<String>> {
        let ordered = self.plan.header.ordered;
        ordered.then(|| node.stats().links.into_iter().map(|link| link.node).collect())
    }

    /// The partitions of which a node is a replica, or about to be, by what it knows of the cluster.
    fn replica_of(&self, node: usize) -> ReplicaOf {
        let holds = |node: &Node| {
            let state = node.cluster()?;
            let own = |id: &PartitionId| state.placement(*id).holds(node.id());
            Some(PartitionId::all().filter(own).collect())
        };
        let machine = self.world.hosts()[node].machine();
        ReplicaOf::Some(machine.and_then(holds).unwrap_or_default())
    }

    /// Whether the nodes that are left can do what clients wait for. A partition may have lost more replicas than the cluster members:
    /// what takes a majority of them, or all, is then never done, and of what no replica is left nobody is told anything.
    pub(super) fn can_be_served(&self) -> bool {
        let members = self.left().filter_map(Host::machine).filter(|node| node.is_member());
        let members: Vec<&Node> = members.collect();
        let newest = members.iter().max_by_key(|node| node.stats().epoch);
        let Some(state) = newest.and_then(|node| node.cluster()) else {
            // It never came to be one, and nothing was lost.
            return true;
        };
        let is_left = |id: NodeId| members.iter().any(|node| node.id() == id);
        let is_served = |(name, level): (Bytes, Consistency)| {
            let placement = state.placement(partition_of(&name));
            match level {
                Consistency::Eventual => true,
                Consistency::Quorum => placement.majority(is_left).is_enough(),
                Consistency::Strong => placement.all(is_left).is_enough(),
            }
        };
        let is_there = |id: PartitionId| state.placement(id).holders().any(is_left);
        PartitionId::all().all(is_there) && self.clients.iter().flat_map(Client::awaits).all(is_served)
    }

    /// Whether whoever watches has an answer, over a connection that is what it seems.
    pub(super) fn all_watch(&self) -> bool {
        let connected = |client: usize, conn| self.world.client_is_connected(client, conn);
        let mut clients = self.clients.iter().enumerate();
        clients.all(|(number, client)| {
            let answered = client.views().all(|(_, rows)| rows.is_some());
            let watches = client.views().next().is_some();
            !watches || (answered && client.line().is_some_and(|(_, conn)| connected(number, conn)))
        })
    }

    /// Takes note of how far the floor is.
    pub(super) fn note_floors(&mut self) {
        let stats = self.left().filter_map(Host::machine).map(Node::stats);
        let (raised, collected) = stats.fold((false, false), |(raised, collected), stats| {
            (raised || stats.floor_ms > 0, collected || stats.collected > 0)
        });
        for (spot, hit) in [(Spot::FloorRaised, raised), (Spot::Collected, collected)] {
            if hit {
                self.world.hit(spot);
            }
        }
    }

    /// Whether all that can be collected at their floors is, and what was deleted long ago is by now, wherever the members can agree
    /// on that: all of them are left, and none doubts its clock.
    pub(super) fn is_collected(&self) -> bool {
        let nodes = || self.left().filter_map(Host::machine);
        let at = |floor: u64| nodes().all(|node| !node.store().is_dead_at(floor));
        let floors: BTreeSet<u64> = nodes().map(|node| node.store().floor()).collect();
        let agree = floors.len() <= 1 && floors.iter().all(|floor| at(*floor));
        let header = &self.plan.header;
        let all = nodes().all(|node| {
            let stats = node.stats();
            stats.members == nodes().count() as u64 && !stats.clock_unsure
        });
        // A clock that was put back after a candidate was agreed on: nobody confirms that before the time has come.
        let later = nodes().any(|node| {
            let promised_ms = node.stats().promised_ms;
            promised_ms > 0 && promised_ms + header.offline_horizon_ms > EPOCH_MS + self.world.now_us() / 1_000
        });
        if header.offline_horizon_ms > LONG_MS || !all || later {
            return agree;
        }
        let skew_ms = header.skew_ms.iter().map(|skew| skew.unsigned_abs()).max();
        let wall_ms = (EPOCH_MS + self.world.now_us() / 1_000).saturating_sub(skew_ms.unwrap_or_default());
        let settled_ms = wall_ms.saturating_sub(2 * header.offline_horizon_ms + COLLECTED_MS);
        agree && at(settled_ms << 16)
    }

    /// Whether no query waits for anybody's answer.
    pub(super) fn queries_are_settled(&self) -> bool {
        let mut left = self.left().filter_map(Host::machine);
        left.all(|node| node.stats().unsettled == 0)
    }

    /// The nodes that are left: what each holds in memory, whom it has links with, and of what it is a replica.
    pub(super) fn survivors(&self) -> Vec<AtRest> {
        let hosts = self.world.hosts().iter().enumerate();
        let machines = hosts.filter_map(|(number, host)| Some((number, host.machine()?)));
        let left = machines.map(|(number, node)| AtRest {
            node: number,
            memory: state_in(node.store().rows()),
            links: self.links_of(node),
            replica_of: self.replica_of(number),
            floor: node.store().floor(),
        });
        left.collect()
    }

    /// Whether the disks of all replicas agree, or where they do not.
    pub(super) fn compare_disks(&self) -> Result<(), String> {
        let replica_of: Vec<ReplicaOf> = (0..self.world.hosts().len())
            .map(|node| self.replica_of(node))
            .collect();
        let holds = |node: usize, partition: PartitionId| replica_of[node].holds(partition);
        agree(&self.world.disks(), holds)
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
        match (self.compare_disks(), linked(&self.links())) {
            (Err(expected), _) => broken("convergence", expected),
            (_, Err(expected)) => broken("linked", expected),
            (Ok(()), Ok(())) => End::Stuck("the nodes agreed only now and then".into()),
        }
    }

    /// Nodes that all serve and still differ break a promise; whatever else is not done yet is only late.
    pub(super) fn why_not_at_rest(&self) -> End {
        let idle = |client: &Client| client.is_idle();
        if let Some(client) = self.clients.iter().position(|client| !idle(client)) {
            let standing = self.standing();
            let open = self.clients[client]
                .awaits()
                .map(|(key, _)| key.escape_ascii().to_string());
            let open = Vec::from_iter(open.take(4)).join(", ");
            return End::Stuck(format!(
                "c{client} still has requests that nobody answered, of {open}; {standing}"
            ));
        }
        if let Some(node) = self.left().position(|host| !is_ready(host.phase())) {
            let phase = self.world.hosts()[node].phase();
            let standing = self.standing();
            return End::Stuck(format!("n{node} does not serve: {phase:?}; {standing}"));
        }
        if !self.all_watch() {
            return End::Stuck("somebody has no answer to what it watches".into());
        }
        if !self.is_collected() {
            let standing = self.standing();
            return End::Stuck(format!("what was deleted long ago is not collected; {standing}"));
        }
        if !self.queries_are_settled() {
            let standing = self.standing();
            return End::Stuck(format!("a live query is still being gathered; {standing}"));
        }
        self.what_differs()
    }

    /// What each node takes for the cluster's state, for people.
    fn standing(&self) -> String {
        let hosts = self.world.hosts().iter().enumerate();
        let nodes = hosts.filter_map(|(number, host)| {
            let node = host.machine()?;
            let stats = node.stats();
            let links: Vec<&str> = stats.links.iter().map(|link| &*link.node).collect();
            let members = node.cluster().map(|state| {
                state
                    .members
                    .iter()
                    .map(|member| format!("{}={:04x}", member.name, member.id.0 >> 48))
                    .collect::<Vec<_>>()
            });
            Some(format!(
                "n{number}={:04x} is at version {} of [{}] with {} moves, linked with [{}]",
                node.id().0 >> 48,
                stats.epoch,
                members.unwrap_or_default().join(" "),
                stats.moves.0,
                links.join(" ")
            ))
        });
        nodes.collect::<Vec<_>>().join("; ")
    }
}
