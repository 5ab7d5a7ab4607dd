//! What a node counts, for whoever watches over it. Nothing is decided by it.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::cluster::repair::{Account, Repaired};
use crate::hlc::Trust;
use crate::machine::Role;
use crate::node::Node;
use crate::session::Counts;

/// Counters since the node was made, and gauges of how it is now. Whole numbers only: the same inputs give the same
/// numbers everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// Operations by kind and result.
    pub operations: Counts,
    /// Keys that have a version, deleted ones included.
    pub records: u64,
    /// Of those, the deleted ones.
    pub tombstones: u64,
    /// The floor, as milliseconds since the Unix epoch: what was deleted, or has expired, by then is collected; 0 for none.
    pub floor_ms: u64,
    /// Nothing is admitted that was stamped by then: the floor, or what it is about to rise to.
    pub promised_ms: u64,
    /// Versions that were collected.
    pub collected: u64,
    /// Bytes of all keys and versions in memory. What holds them together comes on top.
    pub record_bytes: u64,
    /// The last log entry that is durable.
    pub committed: u64,
    /// The last log entry that the records hold.
    pub applied: u64,
    /// Bytes of changes that the log holds and the records do not yet.
    pub unapplied_bytes: u64,
    /// Log entries given to the host that it has not answered for.
    pub entries_in_flight: u64,
    /// Their bytes.
    pub entry_bytes_in_flight: u64,
    /// Bytes that the host last said may be committed.
    pub room_bytes: u64,
    /// Open connections of clients.
    pub clients: u64,
    /// Open connections of peers, handshakes included.
    pub peer_connections: u64,
    /// Changes forwarded to peers; one that goes to two counts twice.
    pub forwarded: u64,
    /// Changes taken from peers.
    pub taken: u64,
    /// Comparisons of everything that were begun with a peer.
    pub rounds: u64,
    /// Repairs of partitions.
    pub repairs: RepairCounts,
    /// Parts of live queries that are kept on behalf of those who gather them.
    pub sources: u64,
    /// Queries of clients that are gathered and wait for something: for answers, to ask again, or for their client to read.
    pub unsettled: u64,
    /// Queries.
    pub queries: QueryCounts,
    /// Bytes of records given to nodes that are being filled.
    pub moved_bytes: u64,
    /// Partitions that were dropped, because they lie elsewhere and those there have all of it.
    pub dropped: u64,
    /// Moves that are open in the whole cluster, and those of them towards this node.
    pub moves: (u64, u64),
    /// Partitions that this node asks others for right now.
    pub filling: u64,
    /// Moves towards this node that are filled, and not closed yet.
    pub filled: u64,
    /// The version of the cluster's state that this node knows, and its members.
    pub epoch: u64,
    /// See `epoch`.
    pub members: u64,
    /// Partitions that this node acts as owner of, in its own eyes, and those that nobody does.
    pub owned: u64,
    /// See `owned`.
    pub orphans: u64,
    /// Requests that wait for other nodes.
    pub waiting: u64,
    /// Whether the node admits no writes because its wall clock cannot be trusted.
    pub clock_unsure: bool,
    /// By how many milliseconds the median of the members' clocks is ahead of its own, if that is why; negative if it is behind.
    pub clock_off_ms: i64,
    /// Links whose handshake is done.
    pub links: Vec<LinkStats>,
    /// Configured peers that are not linked, by name, or by address where that is not known; and the changes that they have
    /// missed since they were.
    pub unlinked: Vec<(String, u64)>,
    /// Configured peers.
    pub peers: u64,
}

/// One link to a peer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkStats {
    /// The peer's name.
    pub node: String,
    /// Bytes sent to it, or waiting for their commit, and not yet on their way.
    pub unsent_bytes: u64,
    /// When something was last heard of it, in the microseconds of [`Now::mono_us`](crate::env::Now::mono_us).
    pub heard_us: u64,
    /// Changes given for it that it has not yet said to have taken; it says so with each heartbeat.
    pub lag: u64,
    /// Changes were left out because too much was unsent: everything is going to be compared.
    pub behind: bool,
    /// Partitions that are repaired with it now, and those that wait for their turn.
    pub repairing: (u64, u64),
    /// How the last repair of a partition with it ended.
    pub repaired: Option<Repaired>,
}

/// What repairs came to, on the side that asks and on the side that answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RepairCounts {
    /// Partitions that were found to differ by their digests; one that differs for long counts each time.
    pub differed: u64,
    /// Sessions that were begun.
    pub begun: u64,
    /// Of those, the ones that got all that the other side held.
    pub whole: u64,
    /// Sessions that gave up coded symbols for a list.
    pub fallbacks: u64,
    /// Coded symbols that were sent.
    pub symbols: u64,
    /// Their bytes.
    pub symbol_bytes: u64,
    /// Bytes of keys and records that were sent for repairs.
    pub record_bytes: u64,
    /// What the sessions that were begun here have cost, once they were over.
    pub cost: Account,
}

/// What queries came to, on the nodes that were asked by clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct QueryCounts {
    /// Whole answers that were given.
    pub answers: u64,
    /// The partitions that were asked for them, of 271 each.
    pub partitions: u64,
    /// The nodes that were asked for them, the one that answers included.
    pub nodes: u64,
}

impl QueryCounts {
    /// Another answer.
    pub(super) fn add(&mut self, partitions: usize, nodes: usize) {
        self.answers += 1;
        self.partitions += partitions as u64;
        self.nodes += nodes as u64;
    }
}

/// Something that happened to the link with a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkNews {
    /// The peer's name; empty if it is not known yet.
    pub node: String,
    /// Why the link is gone; `None` if it is up now.
    pub lost: Option<String>,
}

/// The counters that the node itself keeps.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// See [`Stats::operations`].
    pub operations: Counts,
    /// See [`Stats::forwarded`].
    pub forwarded: u64,
    /// See [`Stats::taken`].
    pub taken: u64,
    /// See [`Stats::rounds`].
    pub rounds: u64,
    /// See [`Stats::queries`].
    pub queries: QueryCounts,
    /// See [`Stats::moved_bytes`].
    pub moved_bytes: u64,
    /// See [`Stats::dropped`].
    pub dropped: u64,
    /// See [`Stats::repairs`].
    pub repairs: RepairCounts,
}

impl Node {
    /// What happened to the links with peers since this was last asked, as far as it was kept: the latest may be left out
    /// where nobody asks.
    pub fn take_news(&mut self) -> Vec<LinkNews> {
        self.peers.take_news()
    }

    /// What it has counted, and how it is now. Walks over the partitions and connections: for now and then, not for every
    /// step.
    pub fn stats(&self) -> Stats {
        let count = |role| self.conns.of_role(role).count() as u64;
        let held = self.store.held();
        let (entries_in_flight, entry_bytes_in_flight) = self.store.in_flight();
        Stats {
            operations: self.tally.operations.clone(),
            clients: count(Role::Client),
            peer_connections: count(Role::Peer),
            forwarded: self.tally.forwarded,
            taken: self.tally.taken,
            rounds: self.tally.rounds,
            queries: self.tally.queries,
            sources: self.sources.len() as u64,
            unsettled: self.scatter.unsettled() as u64,
            moved_bytes: self.tally.moved_bytes,
            dropped: self.tally.dropped,
            moves: (
                self.membership.state().map_or(0, |state| state.moves() as u64),
                self.fills.open() as u64,
            ),
            filling: self.fills.at_once() as u64,
            filled: self.filled_here().count() as u64,
            epoch: self.membership.epoch(),
            members: self.membership.state().map_or(0, |state| state.members.len() as u64),
            owned: self.membership.routes().owned(self.membership.id()) as u64,
            orphans: self.membership.routes().orphans() as u64,
            waiting: self.waits.len() as u64,
            clock_unsure: self.trust != Trust::Sure,
            clock_off_ms: match self.trust {
                Trust::Off { by_ms } => by_ms,
                _ => 0,
            },
            repairs: self.tally.repairs,
            links: self
                .peers
                .links_up()
                .map(|(conn, link, node)| (conn, link, node, link.repairs.open_and_waiting()))
                .map(|(conn, link, node, (open, waiting))| LinkStats {
                    node: node.into(),
                    unsent_bytes: self.conns.get(conn).map_or(0, |conn| conn.unsent_bytes),
                    heard_us: link.heard_us,
                    lag: link.given.saturating_sub(link.confirmed),
                    behind: link.behind,
                    repairing: (open as u64, waiting as u64),
                    repaired: link.repairs.last(),
                })
                .collect(),
            unlinked: self
                .peers
                .unlinked()
                .map(|(name, missed)| (name.into(), missed))
                .collect(),
            peers: self.peers.len() as u64,
            records: held.records,
            tombstones: held.tombstones,
            floor_ms: self.store.floor() >> 16,
            promised_ms: self.store.promised() >> 16,
            collected: self.settling.collected(),
            record_bytes: held.bytes,
            committed: self.store.committed_number(),
            applied: self.store.applied_number(),
            unapplied_bytes: self.store.unapplied_bytes(),
            entries_in_flight,
            entry_bytes_in_flight,
            room_bytes: self.store.room_bytes(),
        }
    }
}
