//! What whoever runs a cluster asks of a node, and what it says of itself and of the cluster.
//!
//! | from | message | fields |
//! |---|---|---|
//! | client | `STATUS` | |
//! | client | `CLUSTER` | |
//! | client | `CLUSTER_CHANGE` | `payload`: `change` (`remove`, `leave`, `recover`, `losses`), `node`: an id or a name; without one the node that is asked. The last two take none |
//! | client | `CLUSTER_LOCATE` | `payload`: `mapName`, `key` |
//! | node | `STATUS_RESP` | `payload`: [`Status`] |
//! | node | `CLUSTER_RESP` | `payload`: [`ClusterStatus`], [`Changed`], [`Forced`] or [`Located`], as it was asked |
//!
//! An id is 16 hexadecimal digits.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::env::NodeId;
use crate::msgpack::{Reader, Writer};
use crate::wire::Error;
use crate::wire::fields::{each_field, need, put};
use crate::wire::op::{key, write_key};

/// A change of the member list that somebody asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// The member is one no longer, at once.
    Remove,
    /// It gives its partitions away, and is removed once it holds none.
    Leave,
    /// Too few are left to agree on anything: those that the node reaches are the members from now on, in a new generation.
    Recover,
    /// Nothing: what would a `Recover` cost?
    Losses,
}

impl Order {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Order::Remove => "remove",
            Order::Leave => "leave",
            Order::Recover => "recover",
            Order::Losses => "losses",
        }
    }
}

/// `CLUSTER_CHANGE`, as it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeAsked<'a> {
    /// What is to happen.
    pub order: Order,
    /// To whom, by id or by name; empty for the node that is asked.
    pub node: &'a str,
}

impl<'a> ChangeAsked<'a> {
    pub(super) fn read(mut payload: Reader<'a>) -> Result<Self, Error> {
        let (mut change, mut node) = (None, None);
        each_field(&mut payload, |name, reader| match name {
            "change" => put(&mut change, "change", reader, Reader::text),
            "node" => put(&mut node, "node", reader, Reader::text),
            _ => Ok(false),
        })?;
        let order = match need(change, "change")? {
            "remove" => Order::Remove,
            "leave" => Order::Leave,
            "recover" => Order::Recover,
            "losses" => Order::Losses,
            _ => return Err(Error::Choice { field: "change" }),
        };
        let node = node.unwrap_or_default();
        Ok(Self { order, node })
    }
}

/// `CLUSTER_LOCATE`, as it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locate<'a> {
    /// The map.
    pub map: &'a str,
    /// The key.
    pub key: &'a [u8],
}

impl<'a> Locate<'a> {
    pub(super) fn read(mut payload: Reader<'a>) -> Result<Self, Error> {
        let (mut map, mut at) = (None, None);
        each_field(&mut payload, |name, reader| match name {
            "mapName" => put(&mut map, "mapName", reader, Reader::text),
            "key" => put(&mut at, "key", reader, key),
            _ => Ok(false),
        })?;
        Ok(Self {
            map: need(map, "mapName")?,
            key: need(at, "key")?,
        })
    }
}

/// Writes `CLUSTER`.
pub fn cluster_asked() -> Bytes {
    let mut out = Writer::new();
    out.map(1).text("type").text("CLUSTER");
    out.into_bytes()
}

/// Writes `CLUSTER_CHANGE`.
pub fn change_asked(asked: &ChangeAsked<'_>) -> Bytes {
    let mut out = message("CLUSTER_CHANGE", 2);
    out.text("change")
        .text(asked.order.word())
        .text("node")
        .text(asked.node);
    out.into_bytes()
}

/// Writes `CLUSTER_LOCATE`.
pub fn locate(asked: &Locate<'_>) -> Bytes {
    let mut out = message("CLUSTER_LOCATE", 2);
    out.text("mapName").text(asked.map).text("key");
    write_key(asked.key, &mut out);
    out.into_bytes()
}

/// How a node is: the answer to `STATUS`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// The node's name.
    pub node: String,
    /// Its id.
    pub id: NodeId,
    /// The cluster that it belongs to; 0 for none.
    pub cluster: u64,
    /// The version of the cluster's state that it knows; 0 for none.
    pub epoch: u64,
    /// Members of the cluster.
    pub members: u64,
    /// Partitions that it acts as owner of.
    pub owned: u64,
    /// Partitions that nobody acts as owner of, in its eyes.
    pub orphans: u64,
    /// Partitions that are moving, in the whole cluster.
    pub moves: u64,
    /// Of those, the ones towards this node.
    pub moves_here: u64,
    /// Of those, the ones of which it holds everything.
    pub filled_here: u64,
    /// Bytes of records that it has given to nodes that are filled, since it was started.
    pub moved_bytes: u64,
    /// Requests that wait for other nodes.
    pub waiting: u64,
    /// Keys that have a version, deleted ones included.
    pub records: u64,
    /// The last log entry that is durable.
    pub committed: u64,
    /// The last log entry that the records hold.
    pub applied: u64,
    /// Open connections, those of peers included.
    pub connections: u64,
    /// Each node that it dials: its address, its name as far as known, and whether it is linked.
    pub peers: Vec<(String, String, bool)>,
    /// The sum of all partitions' digests: equal on two nodes when they hold the same.
    pub digest: u128,
}

/// Writes `STATUS_RESP`.
pub fn status(status: &Status) -> Bytes {
    let mut out = message("STATUS_RESP", 18);
    out.text("node").text(&status.node);
    out.text("id").text(&hex(status.id.0));
    out.text("cluster");
    cluster_id(status.cluster, &mut out);
    for (name, number) in [
        ("epoch", status.epoch),
        ("members", status.members),
        ("owned", status.owned),
        ("orphans", status.orphans),
        ("moves", status.moves),
        ("movesHere", status.moves_here),
        ("filledHere", status.filled_here),
        ("movedBytes", status.moved_bytes),
        ("waiting", status.waiting),
        ("records", status.records),
        ("committed", status.committed),
        ("applied", status.applied),
        ("connections", status.connections),
    ] {
        out.text(name).u64(number);
    }
    out.text("digest").text(&format!("{:032x}", status.digest));
    out.text("peers").list(status.peers.len());
    for (addr, name, linked) in &status.peers {
        out.map(3).text("addr").text(addr).text("node").text(name);
        out.text("linked").bool(*linked);
    }
    out.into_bytes()
}

/// How the cluster is, in the eyes of one node: the answer to `CLUSTER`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterStatus {
    /// The cluster's name, as this node was started with.
    pub name: String,
    /// The cluster's id; 0 while the node belongs to none.
    pub cluster: u64,
    /// How often a new beginning was forced, counted from 1.
    pub generation: u64,
    /// The version of the cluster's state.
    pub epoch: u64,
    /// How many replicas a partition should have.
    pub replicas: u64,
    /// The node that answers.
    pub asked: NodeId,
    /// Partitions that nobody acts as owner of.
    pub orphans: u64,
    /// The time up to which what was deleted is collected, in milliseconds since the Unix epoch; 0 for none.
    pub floor_ms: u64,
    /// The time that this is about to rise to; the same if it is not.
    pub promised_ms: u64,
    /// The members, ascending by id.
    pub members: Vec<MemberStatus>,
    /// The moves that are open, ascending by partition.
    pub moves: Vec<MoveStatus>,
}

/// One member, in the eyes of the node that answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberStatus {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub node: String,
    /// Where the others dial it.
    pub addr: String,
    /// What it shares its fate with.
    pub zone: String,
    /// How much it should hold, relative to the others.
    pub weight: u64,
    /// Whether it is leaving.
    pub leaving: bool,
    /// Whether the node that answers reaches it, or is it.
    pub alive: bool,
    /// Partitions that it acts as owner of.
    pub owned: u64,
    /// Partitions that it is a replica of.
    pub held: u64,
}

/// One partition that moves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MoveStatus {
    /// Which.
    pub partition: u64,
    /// The version of the cluster's state that opened the move.
    pub since: u64,
    /// From these nodes, by name.
    pub from: Vec<String>,
    /// To these.
    pub to: Vec<String>,
    /// How many of the latter are known to be filled.
    pub filled: u64,
}

/// Writes `CLUSTER_RESP` with how the cluster is.
pub fn cluster(status: &ClusterStatus) -> Bytes {
    let mut out = message("CLUSTER_RESP", 11);
    out.text("cluster");
    cluster_id(status.cluster, &mut out);
    out.text("name").text(&status.name);
    out.text("generation").u64(status.generation);
    out.text("epoch").u64(status.epoch);
    out.text("replicas").u64(status.replicas);
    out.text("asked").text(&hex(status.asked.0));
    out.text("orphans").u64(status.orphans);
    out.text("floorMs").u64(status.floor_ms);
    out.text("promisedMs").u64(status.promised_ms);
    out.text("members").list(status.members.len());
    for member in &status.members {
        out.map(9).text("id").text(&hex(member.id.0));
        out.text("node").text(&member.node).text("addr").text(&member.addr);
        out.text("zone").text(&member.zone).text("weight").u64(member.weight);
        out.text("alive")
            .bool(member.alive)
            .text("leaving")
            .bool(member.leaving);
        out.text("owned").u64(member.owned).text("held").u64(member.held);
    }
    out.text("moves").list(status.moves.len());
    for open in &status.moves {
        out.map(5)
            .text("partition")
            .u64(open.partition)
            .text("since")
            .u64(open.since);
        out.text("from");
        texts(&open.from, &mut out);
        out.text("to");
        texts(&open.to, &mut out);
        out.text("filled").u64(open.filled);
    }
    out.into_bytes()
}

/// A change of the member list that is agreed: an answer to `CLUSTER_CHANGE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// What happened.
    pub order: Order,
    /// To whom.
    pub id: NodeId,
    /// Its name.
    pub node: String,
    /// The version of the cluster's state in which it is so.
    pub epoch: u64,
    /// Partitions that are moving now.
    pub moves: u64,
}

/// Writes `CLUSTER_RESP` with what was changed.
pub fn changed(changed: &Changed) -> Bytes {
    let mut out = message("CLUSTER_RESP", 5);
    out.text("change").text(changed.order.word());
    out.text("id").text(&hex(changed.id.0)).text("node").text(&changed.node);
    out.text("epoch").u64(changed.epoch).text("moves").u64(changed.moves);
    out.into_bytes()
}

/// What became of a [`Order::Recover`], or would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forced {
    /// [`Order::Recover`] if it was done, and otherwise [`Order::Losses`].
    pub order: Order,
    /// The generation that began, or would.
    pub generation: u64,
    /// The version of what is agreed, once that was done.
    pub epoch: u64,
    /// The members that are left, by name.
    pub left: Vec<String>,
    /// Those that are given up.
    pub given_up: Vec<String>,
    /// Partitions of which nothing is left.
    pub gone: u64,
    /// Partitions of which so few replicas are left that a write which a majority acknowledged may be missing.
    pub doubtful: u64,
}

/// Writes `CLUSTER_RESP` with what became of it.
pub fn forced(forced: &Forced) -> Bytes {
    let mut out = message("CLUSTER_RESP", 7);
    out.text("change").text(forced.order.word());
    out.text("generation").u64(forced.generation);
    out.text("epoch").u64(forced.epoch);
    for (name, nodes) in [("left", &forced.left), ("givenUp", &forced.given_up)] {
        out.text(name).list(nodes.len());
        for node in nodes {
            out.text(node);
        }
    }
    out.text("gone").u64(forced.gone);
    out.text("doubtful").u64(forced.doubtful);
    out.into_bytes()
}

/// Where a key lies: the answer to `CLUSTER_LOCATE`. Nodes are given by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Located {
    /// The map.
    pub map: String,
    /// The key.
    pub key: Vec<u8>,
    /// The partition.
    pub partition: u64,
    /// Its replicas: the owner first, then the backups in the order in which they take over.
    pub replicas: Vec<String>,
    /// The replicas that it moves to; empty while it does not move.
    pub target: Vec<String>,
    /// Who acts as owner, if anybody does.
    pub owner: Option<String>,
}

/// Writes `CLUSTER_RESP` with where a key lies.
pub fn located(located: &Located) -> Bytes {
    let mut out = message("CLUSTER_RESP", 6);
    out.text("map").text(&located.map).text("key");
    write_key(&located.key, &mut out);
    out.text("partition").u64(located.partition);
    out.text("owner");
    match &located.owner {
        Some(owner) => out.text(owner),
        None => out.null(),
    };
    out.text("replicas");
    texts(&located.replicas, &mut out);
    out.text("target");
    texts(&located.target, &mut out);
    out.into_bytes()
}

pub(super) fn message(kind: &str, fields: usize) -> Writer {
    let mut out = Writer::new();
    out.map(2).text("type").text(kind).text("payload").map(fields);
    out
}

fn hex(id: u64) -> String {
    format!("{id:016x}")
}

fn cluster_id(cluster: u64, out: &mut Writer) {
    match cluster {
        0 => out.null(),
        id => out.text(&hex(id)),
    };
}

fn texts(texts: &[String], out: &mut Writer) {
    out.list(texts.len());
    for text in texts {
        out.text(text);
    }
}
