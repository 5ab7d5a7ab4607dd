//! What repairs have cost a node, for whoever runs the cluster.
//!
//! | from | message | fields |
//! |---|---|---|
//! | client | `CLUSTER_REPAIR` | compare with every peer now, and mend what differs |
//! | node | `CLUSTER_RESP` | `payload`: [`RepairStatus`] |

use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

use crate::cluster::repair::{Account, Repaired};
use crate::msgpack::Writer;

/// What repairs have come to since the node was started: the answer to `CLUSTER_REPAIR`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepairStatus {
    /// Comparisons with a peer that this node has begun.
    pub rounds: u64,
    /// Partitions that differed in those that peers have begun.
    pub differed: u64,
    /// Repairs of a partition that this node has begun.
    pub begun: u64,
    /// Of those, the ones that got all that the other side held.
    pub whole: u64,
    /// Of those, the ones that gave up coded symbols for a list.
    pub fallbacks: u64,
    /// What they have cost.
    pub cost: Account,
    /// Bytes of keys and records that this node has given in repairs, whoever began them.
    pub given_bytes: u64,
    /// Each peer that is linked.
    pub peers: Vec<PeerRepairs>,
}

/// Repairs with one peer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerRepairs {
    /// The peer's name.
    pub node: String,
    /// Partitions that are being repaired, and those that wait for their turn.
    pub repairing: (u64, u64),
    /// How the last repair of a partition ended, of those that this node began.
    pub last: Option<Repaired>,
}

/// Writes `CLUSTER_REPAIR`.
pub fn asked() -> Bytes {
    let mut out = Writer::new();
    out.map(1).text("type").text("CLUSTER_REPAIR");
    out.into_bytes()
}

/// Writes the answer.
pub fn status(status: &RepairStatus) -> Bytes {
    let mut out = super::admin::message("CLUSTER_RESP", 8);
    for (name, number) in [
        ("rounds", status.rounds),
        ("differed", status.differed),
        ("begun", status.begun),
        ("whole", status.whole),
        ("fallbacks", status.fallbacks),
        ("givenBytes", status.given_bytes),
    ] {
        out.text(name).u64(number);
    }
    out.text("cost");
    cost(&status.cost, &mut out);
    out.text("peers").list(status.peers.len());
    for peer in &status.peers {
        out.map(4).text("node").text(&peer.node);
        out.text("repairing").u64(peer.repairing.0);
        out.text("waiting").u64(peer.repairing.1);
        out.text("last");
        match &peer.last {
            None => _ = out.null(),
            Some(last) => {
                out.map(4).text("partition").u64(last.partition.index() as u64);
                out.text("whole").bool(last.whole);
                out.text("listed").bool(last.fell_back);
                out.text("cost");
                cost(&last.account, &mut out);
            }
        }
    }
    out.into_bytes()
}

fn cost(cost: &Account, out: &mut Writer) {
    let numbers = [
        ("roundTrips", cost.round_trips),
        ("sentBytes", cost.sent_bytes),
        ("receivedBytes", cost.received_bytes),
        ("symbols", cost.symbols),
        ("listed", cost.listed),
        ("recordsIn", cost.records_in),
        ("recordsOut", cost.records_out),
    ];
    out.map(numbers.len());
    for (name, number) in numbers {
        out.text(name).u64(number);
    }
}
