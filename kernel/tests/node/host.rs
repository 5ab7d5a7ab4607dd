//! A host of small machines: every connection is a queue, every disk a pair of maps.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use kernel::crdt::{Record, Version};
use kernel::env::{ConnId, Limits, Now, PeerId, Ticket, WriterId};
use kernel::hlc::Stamp;
use kernel::machine::{
    Apply, Commit, ConnKind, Fetch, Fetched, Input, Machine, Output, Phase, Role, Room, StorageError,
};
use kernel::node::{Node, NodeConfig};
use kernel::partition::Routing;
use kernel::store::RecordKey;
use kernel::wire::Consistency;
use kernel::wire::op::Op;
use kernel::wire::peer;

/// What outlives a node.
#[derive(Default, Clone)]
pub struct Disk {
    pub log: BTreeMap<u64, Bytes>,
    pub records: BTreeMap<Bytes, Bytes>,
    pub applied: u64,
}

pub struct Host {
    pub node: Node,
    pub disk: Disk,
    pub now: Now,
    pub room: u64,
    /// Commits wait here while `hold` is set.
    pub hold: bool,
    pub held: VecDeque<Commit>,
    pub held_applies: VecDeque<Apply>,
    pub phases: Vec<Phase>,
    pub received: BTreeMap<ConnId, Vec<Bytes>>,
    pub closed: Vec<ConnId>,
    pub dials: Vec<(PeerId, String)>,
    pub wake_us: Option<u64>,
    inputs: VecDeque<Owned>,
    boots: u8,
}

enum Owned {
    Committed(Ticket, Result<Room, StorageError>),
    Applied(Ticket),
    Fetched(Ticket, Fetched),
}

pub const CLIENT: ConnKind = ConnKind {
    role: Role::Client,
    push: true,
    ordered: true,
    frame_bytes: 1 << 20,
};

pub const EXCHANGE: ConnKind = ConnKind { push: false, ..CLIENT };

pub const PEER: ConnKind = ConnKind {
    role: Role::Peer,
    ..CLIENT
};

impl Host {
    /// A node that has booted from `disk` and recovered.
    pub fn boot(config: NodeConfig, disk: Disk, boot: u8) -> Self {
        let mut host = Self {
            node: Node::new(config),
            disk,
            now: Now {
                wall_ms: 1_000_000,
                mono_us: 0,
            },
            room: 1 << 30,
            hold: false,
            held: VecDeque::new(),
            held_applies: VecDeque::new(),
            phases: vec![],
            received: BTreeMap::new(),
            closed: vec![],
            dials: vec![],
            wake_us: None,
            inputs: VecDeque::new(),
            boots: boot,
        };
        host.step(Input::Boot {
            entropy: [host.boots; 32],
        });
        host
    }

    /// An open node with limits of its own, booted on an empty disk.
    pub fn limited(limits: Limits) -> Self {
        let config = NodeConfig {
            limits,
            ..NodeConfig::new("n")
        };
        Self::boot(config, Disk::default(), 1)
    }

    pub fn new(name: &str) -> Self {
        let boot = name.bytes().fold(1, u8::wrapping_add);
        Self::boot(NodeConfig::new(name), Disk::default(), boot)
    }

    pub fn step(&mut self, input: Input<'_>) {
        self.one_step(input);
        while let Some(input) = self.inputs.pop_front() {
            match input {
                Owned::Committed(ticket, result) => self.one_step(Input::Committed { ticket, result }),
                Owned::Applied(ticket) => self.one_step(Input::Applied { ticket, result: Ok(()) }),
                Owned::Fetched(ticket, fetched) => self.one_step(Input::Fetched {
                    ticket,
                    result: Ok(fetched),
                }),
            }
        }
    }

    fn one_step(&mut self, input: Input<'_>) {
        let mut out = Output::default();
        self.node.step(self.now, input, &mut out);
        for envelope in out.send {
            self.received.entry(envelope.conn).or_default().push(envelope.frame);
        }
        self.held.extend(out.commit);
        self.held_applies.extend(out.apply);
        if let Some(upto) = out.cut {
            assert!(upto <= self.disk.applied);
            self.disk.log.retain(|number, _| *number > upto);
        }
        for (ticket, fetch) in out.fetch {
            let fetched = self.fetch(fetch);
            self.inputs.push_back(Owned::Fetched(ticket, fetched));
        }
        self.dials
            .extend(out.dial.iter().map(|dial| (dial.peer, dial.addr.clone())));
        self.closed.extend(out.close);
        self.wake_us = out.wake;
        self.phases.extend(out.phase);
        if !self.hold {
            while self.commit_next() {}
            self.apply_next();
        }
    }

    /// Makes the oldest waiting commit durable.
    pub fn commit_next(&mut self) -> bool {
        let Some(commit) = self.held.pop_front() else {
            return false;
        };
        if let Some((number, entry)) = commit.entry {
            let last = self.disk.log.last_key_value().map(|(n, _)| *n);
            assert_eq!(number, last.unwrap_or(self.disk.applied) + 1);
            self.disk.log.insert(number, entry);
        }
        for envelope in commit.envelopes {
            self.received.entry(envelope.conn).or_default().push(envelope.frame);
        }
        let room = Room { bytes: self.room };
        self.inputs.push_back(Owned::Committed(commit.ticket, Ok(room)));
        true
    }

    fn apply_next(&mut self) {
        if let Some(apply) = self.held_applies.pop_front() {
            assert!(apply.puts.is_sorted_by(|a, b| a.0 < b.0), "rows ascend");
            assert!(apply.deletes.is_sorted_by(|a, b| a < b), "deletes ascend");
            assert!(apply.upto >= self.disk.applied, "the records go forward");
            self.disk.records.extend(apply.puts);
            self.disk
                .records
                .retain(|key, _| apply.deletes.binary_search(key).is_err());
            self.disk.applied = apply.upto;
            self.inputs.push_back(Owned::Applied(apply.ticket));
        }
    }

    /// Fails every waiting commit.
    pub fn fail_held(&mut self, error: StorageError) {
        for commit in std::mem::take(&mut self.held) {
            self.step(Input::Committed {
                ticket: commit.ticket,
                result: Err(error),
            });
        }
    }

    fn fetch(&self, fetch: Fetch) -> Fetched {
        match fetch {
            Fetch::Recover => Fetched::Recovered {
                applied: self.disk.applied,
                log: self
                    .disk
                    .log
                    .first_key_value()
                    .zip(self.disk.log.last_key_value())
                    .map(|((a, _), (b, _))| (*a, *b)),
                room: Room { bytes: self.room },
            },
            // Two at a time, so that chunks are many.
            Fetch::Records { after, .. } => {
                let rows = self
                    .disk
                    .records
                    .iter()
                    .filter(|(key, _)| after.as_ref().is_none_or(|a| *key > a));
                let rows: Vec<_> = rows.map(|(k, v)| (k.clone(), v.clone())).take(2).collect();
                let done = rows.len() < 2;
                Fetched::Records { rows, done }
            }
            Fetch::Log { from, .. } => {
                let entries: Vec<_> = self
                    .disk
                    .log
                    .range(from..)
                    .map(|(n, e)| (*n, e.clone()))
                    .take(2)
                    .collect();
                let done = entries.len() < 2;
                Fetched::Log { entries, done }
            }
        }
    }

    pub fn open(&mut self, conn: u64, kind: ConnKind) -> ConnId {
        let conn = ConnId(conn);
        self.step(Input::Opened { conn, kind, peer: None });
        conn
    }

    pub fn receive(&mut self, conn: ConnId, frame: &[u8]) {
        self.step(Input::Received { conn, frame });
    }

    /// What was sent to `conn` since it was asked last.
    pub fn take(&mut self, conn: ConnId) -> Vec<Bytes> {
        self.received.remove(&conn).unwrap_or_default()
    }

    /// Advances both clocks and wakes the node as often as it asks.
    pub fn advance(&mut self, ms: u64) {
        let start = self.now;
        let end_us = start.mono_us + ms * 1_000;
        let at = |mono_us| Now {
            wall_ms: start.wall_ms + (mono_us - start.mono_us) / 1_000,
            mono_us,
        };
        while let Some(wake_us) = self.wake_us.filter(|wake_us| *wake_us <= end_us) {
            self.now = at(wake_us.max(self.now.mono_us + 1));
            self.step(Input::Wake);
        }
        self.now = at(end_us);
    }

    /// Whether it is one of two members, and no move is open.
    fn is_settled(&self) -> bool {
        let state = self.node.cluster().filter(|_| self.node.is_member());
        state.is_some_and(|state| state.members.len() == 2 && state.moves() == 0)
    }

    /// Stops as a crash does: only the disk is left.
    pub fn crash(self) -> Disk {
        self.disk
    }
}

/// A write of `value` (a small number) under `key` of map `m`.
pub fn put<'a>(id: &'a str, key: &'a str, ms: u64, value: &'a [u8]) -> Op<'a> {
    Op {
        id,
        map: "m",
        key: key.as_bytes(),
        consistency: Consistency::default(),
        version: Version::new(
            Stamp::new(ms, 0, WriterId::of("w")).expect("a time in range"),
            "w",
            Some(value),
        ),
    }
}

pub fn delete<'a>(id: &'a str, key: &'a str, ms: u64) -> Op<'a> {
    let written = put(id, key, ms, &[0]);
    Op {
        version: Version {
            value: None,
            ..written.version
        },
        ..written
    }
}

/// Runs two hosts until nothing is left to carry between them. `a` dialled.
pub struct Wire {
    pub a: ConnId,
    pub b: ConnId,
}

impl Wire {
    /// Waits until `a` dials.
    pub fn connect(a: &mut Host, b: &mut Host, number: u64) -> Self {
        let wire = Self {
            a: ConnId(number),
            b: ConnId(number),
        };
        for _ in 0..200 {
            if a.dials.is_empty() {
                a.advance(100);
                b.advance(100);
            }
        }
        let (peer, _) = a.dials.pop().expect("the first host dials the second");
        a.step(Input::Opened {
            conn: wire.a,
            kind: PEER,
            peer: Some(peer),
        });
        b.open(number, PEER);
        wire
    }

    /// Carries until both are members and nothing moves any more.
    pub fn join(&self, a: &mut Host, b: &mut Host) {
        for _ in 0..200 {
            self.carry(a, b);
            if a.is_settled() && b.is_settled() && a.node.cluster() == b.node.cluster() {
                return;
            }
            a.advance(50);
            b.advance(50);
        }
        panic!("not settled: {:#?} {:#?}", a.node.stats(), b.node.stats());
    }

    /// Returns how many frames were carried.
    pub fn carry(&self, a: &mut Host, b: &mut Host) -> usize {
        let mut frames = 0;
        loop {
            let (to_b, to_a) = (a.take(self.a), b.take(self.b));
            if to_a.is_empty() && to_b.is_empty() {
                return frames;
            }
            frames += to_a.len() + to_b.len();
            for frame in to_b {
                drained(a, self.a, &frame);
                b.receive(self.b, &frame);
            }
            for frame in to_a {
                drained(b, self.b, &frame);
                a.receive(self.a, &frame);
            }
        }
    }
}

/// Two members of one cluster, which `a` founded: each holds every partition, and they are not linked.
pub fn pair(a: NodeConfig, b: NodeConfig) -> (Host, Host) {
    let join = vec![a.addr.clone()];
    let mut a = Host::boot(a, Disk::default(), 1);
    let mut b = Host::boot(NodeConfig { join, ..b }, Disk::default(), 2);
    let wire = Wire::connect(&mut b, &mut a, 90);
    wire.join(&mut b, &mut a);
    for (host, conn) in [(&mut b, wire.a), (&mut a, wire.b)] {
        host.step(Input::Closed { conn });
        host.take(conn);
    }
    (a, b)
}

/// A key that lies in a partition of which this node acts as owner while all are alive.
pub fn owned_key(host: &Host) -> String {
    let state = host.node.cluster().expect("it is a member");
    let partition = |key: &String| Routing::new().partition("m", key.as_bytes());
    let owner = |key: &String| state.placement(partition(key)).replicas[0];
    let mut keys = (0..1_000).map(|n| format!("owned{n}"));
    keys.find(|key| owner(key) == host.node.id()).expect("each owns some")
}

/// The frames in which a peer brings one record.
pub fn brings(key: &RecordKey, record: &Record) -> Vec<Bytes> {
    peer::changes(std::iter::once((key, record)), 1, 1_000, || None)
}

fn drained(host: &mut Host, conn: ConnId, frame: &Bytes) {
    host.step(Input::Drained {
        conn,
        bytes: frame.len() as u64,
    });
}

/// Every record, as bytes.
pub fn contents(host: &Host) -> Vec<(Bytes, Bytes)> {
    let rows = host.node.store().rows();
    rows.map(|(key, version)| (key.as_bytes().clone(), Record::new(&version).as_bytes().clone()))
        .collect()
}
