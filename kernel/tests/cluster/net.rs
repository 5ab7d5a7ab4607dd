//! Nodes, and connections between them.

use std::collections::BTreeSet;

use kernel::cluster::agreed::Became;
use kernel::env::{ConnId, Limits, Mutants, NodeId};
use kernel::machine::{ConnKind, Input, Phase};
use kernel::node::NodeConfig;
use kernel::partition::PartitionId;
use kernel::wire::client::{self, Get};
use kernel::wire::op::{Ask, Op};
use kernel::wire::server::ServerMessage;
use kernel::wire::{Consistency, ReadConsistency};

use crate::host::{CLIENT, Disk, Host, PEER, delete, put};

/// A connection: the node at each end, and its number there.
type Line = [(usize, ConnId); 2];

/// The connection of the client of each node.
pub const CLIENT_CONN: ConnId = ConnId(1);

pub struct Net {
    pub hosts: Vec<Option<Host>>,
    configs: Vec<NodeConfig>,
    lines: Vec<Line>,
    conns: u64,
    boots: u8,
    /// Pairs that do not reach each other.
    pub cut: BTreeSet<(usize, usize)>,
    /// Nodes that take nothing off their connections: what is sent to them waits with the sender.
    pub slow: BTreeSet<usize>,
}

pub fn config(node: usize) -> NodeConfig {
    NodeConfig {
        join: if node == 0 { vec![] } else { vec!["n0".into()] },
        limits: Limits {
            heartbeat_ms: 100,
            silence_ms: 500,
            redial_ms: (20, 100),
            anti_entropy_ms: 2_000,
            chunk_bytes: 300,
            ..Limits::default()
        },
        ..NodeConfig::new(&format!("n{node}"))
    }
}

impl Net {
    /// So many nodes, all of them members, and every partition where it belongs.
    pub fn of(nodes: usize) -> Self {
        let mut net = Self {
            hosts: vec![],
            configs: vec![],
            lines: vec![],
            conns: 1,
            boots: 0,
            cut: BTreeSet::new(),
            slow: BTreeSet::new(),
        };
        for node in 0..nodes {
            net.add(config(node));
        }
        net.settle();
        net
    }

    /// The same with a bug.
    pub fn broken(nodes: usize, mutants: Mutants) -> Self {
        let mut net = Self::of(0);
        for node in 0..nodes {
            net.add(NodeConfig {
                mutants,
                ..config(node)
            });
        }
        net.settle();
        net
    }

    /// Writes so many keys, by quorum and at all nodes in turn: the number of each is its value.
    pub fn fill(&mut self, keys: u8) -> Vec<String> {
        let nodes = self.hosts.len();
        let write = |n: u8| {
            let key = format!("k{n}");
            let answers = self.write(usize::from(n) % nodes, &key, 5, n, Consistency::Quorum);
            assert_eq!(answers, ["ack REPLICATED"]);
            key
        };
        (0..keys).map(write).collect()
    }

    /// Another node, on an empty disk.
    pub fn add(&mut self, config: NodeConfig) -> usize {
        self.add_on(config, Disk::default())
    }

    /// Another node, on this disk.
    pub fn add_on(&mut self, config: NodeConfig, disk: Disk) -> usize {
        self.hosts.push(None);
        self.configs.push(config);
        let node = self.hosts.len() - 1;
        self.boot(node, disk);
        node
    }

    pub fn boot(&mut self, node: usize, disk: Disk) {
        self.boots += 1;
        let mut host = Host::boot(self.configs[node].clone(), disk, self.boots);
        host.open(CLIENT_CONN.0, CLIENT);
        self.hosts[node] = Some(host);
    }

    /// With what it boots next.
    pub fn set_config(&mut self, node: usize, config: NodeConfig) {
        self.configs[node] = config;
    }

    /// Another client of a node.
    pub fn open(&mut self, node: usize, kind: ConnKind) -> ConnId {
        self.conns += 1;
        let number = self.conns;
        self.host(node).open(number, kind)
    }

    pub fn crash(&mut self, node: usize) -> Disk {
        let host = self.hosts[node].take().expect("it is up");
        self.hang_up(|line| line.iter().any(|(end, _)| *end == node));
        host.crash()
    }

    /// It loses its power: nobody is told, and silence says so in time.
    pub fn vanish(&mut self, node: usize) {
        self.hosts[node] = None;
        self.lines.retain(|line| line.iter().all(|(end, _)| *end != node));
    }

    pub fn split(&mut self, one: &[usize], other: &[usize]) {
        for a in one {
            for b in other {
                self.cut.extend([(*a, *b), (*b, *a)]);
            }
        }
        let cut = self.cut.clone();
        self.hang_up(|line| cut.contains(&(line[0].0, line[1].0)));
    }

    /// Nothing arrives any more between these, and nobody knows yet.
    pub fn mute(&mut self, one: usize, other: usize) {
        self.cut.extend([(one, other), (other, one)]);
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    fn hang_up(&mut self, broken: impl Fn(&Line) -> bool) {
        let (gone, left): (Vec<_>, Vec<_>) = self.lines.iter().partition(|line| broken(line));
        self.lines = left;
        for (node, conn) in gone.into_iter().flatten() {
            if let Some(host) = &mut self.hosts[node] {
                host.step(Input::Closed { conn });
            }
        }
    }

    pub fn host(&mut self, node: usize) -> &mut Host {
        self.hosts[node].as_mut().expect("it is up")
    }

    fn dial(&mut self) {
        for node in 0..self.hosts.len() {
            let Some(host) = &mut self.hosts[node] else {
                continue;
            };
            for (peer, addr) in std::mem::take(&mut host.dials) {
                let to = self.configs.iter().position(|config| config.addr == addr);
                let to = to.filter(|to| self.hosts[*to].is_some() && !self.cut.contains(&(node, *to)));
                let Some(to) = to else {
                    let reason = "nobody is there";
                    self.host(node).step(Input::DialFailed { peer, reason });
                    continue;
                };
                self.conns += 1;
                let conn = ConnId(self.conns);
                self.lines.push([(node, conn), (to, conn)]);
                let input = Input::Opened {
                    conn,
                    kind: PEER,
                    peer: Some(peer),
                };
                self.host(node).step(input);
                self.host(to).step(Input::Opened {
                    conn,
                    kind: PEER,
                    peer: None,
                });
            }
        }
    }

    fn carry(&mut self) -> bool {
        let mut carried = false;
        for line in self.lines.clone() {
            for (from, to) in [(line[0], line[1]), (line[1], line[0])] {
                let Some(sender) = self.hosts[from.0].as_mut().filter(|_| !self.slow.contains(&to.0)) else {
                    continue;
                };
                for frame in sender.take(from.1) {
                    carried = true;
                    let bytes = frame.len() as u64;
                    self.host(from.0).step(Input::Drained { conn: from.1, bytes });
                    if self.hosts[to.0].is_some() && !self.cut.contains(&(from.0, to.0)) {
                        self.host(to.0).receive(to.1, &frame);
                    }
                }
            }
        }
        for node in 0..self.hosts.len() {
            let Some(host) = &mut self.hosts[node] else {
                continue;
            };
            for conn in std::mem::take(&mut host.closed) {
                self.carry_last((node, conn));
                self.hang_up(|line| line.contains(&(node, conn)));
                if let Some(host) = &mut self.hosts[node] {
                    host.step(Input::Closed { conn });
                }
            }
        }
        carried
    }

    /// What was said before a connection was closed still arrives.
    fn carry_last(&mut self, from: (usize, ConnId)) {
        let Some(line) = self.lines.iter().find(|line| line.contains(&from)) else {
            return;
        };
        let to = if line[0] == from { line[1] } else { line[0] };
        for frame in self.host(from.0).take(from.1) {
            if self.hosts[to.0].is_some() && !self.cut.contains(&(from.0, to.0)) {
                self.host(to.0).receive(to.1, &frame);
            }
        }
    }

    /// Lets so much time pass.
    pub fn run(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(10) {
            self.dial();
            while self.carry() {}
            for host in self.hosts.iter_mut().flatten() {
                host.advance(10);
            }
        }
    }

    /// Goes on, one frame of each connection at a time, until something is so.
    pub fn until(&mut self, what: impl Fn(&mut Self) -> bool) {
        for _ in 0..20_000 {
            if what(self) {
                return;
            }
            self.dial();
            if !self.carry() {
                self.hosts.iter_mut().flatten().for_each(|host| host.advance(10));
            }
        }
        panic!("it never came to that");
    }

    /// The connection by which a node is linked with another.
    pub fn link(&self, node: usize, other: usize) -> ConnId {
        let mut ends = self.lines.iter().filter_map(|line| {
            let of = |wanted: usize| line.iter().find(|(end, _)| *end == wanted);
            Some((of(node)?.1, of(other)?.1))
        });
        ends.next_back().expect("they are linked").0
    }

    /// How many moves are open, in the eyes of a node.
    pub fn moves(&mut self, node: usize) -> u64 {
        self.host(node).node.stats().moves.0
    }

    /// The nodes that a key lies with, and those that it moves to, in the eyes of a node that is up.
    pub fn placement(&mut self, node: usize, key: &str) -> (Vec<usize>, Vec<usize>) {
        let host = self.host(node);
        let state = host.node.cluster().expect("it is a member").clone();
        let index = |id: &NodeId| {
            let addr = &state.member(*id).expect("a member").addr;
            self.configs
                .iter()
                .position(|config| config.addr == *addr)
                .expect("a node of this net")
        };
        let placement = state.placement(partition(key));
        (
            placement.replicas.iter().map(index).collect(),
            placement.target.iter().map(index).collect(),
        )
    }

    /// Every node that is up holds what lies with it, and nothing else.
    pub fn check_holders(&mut self, keys: &[String]) {
        let any = self.hosts.iter().position(Option::is_some).expect("somebody is up");
        for key in keys {
            let (mut replicas, target) = self.placement(any, key);
            replicas.sort_unstable();
            assert!(target.is_empty());
            assert_eq!(self.holders(key), replicas, "{key}");
        }
    }

    /// Lets time pass until all nodes that are up agree and nothing moves.
    pub fn settle(&mut self) {
        for _ in 0..300 {
            self.run(100);
            if self.is_settled() {
                return self.run(300);
            }
        }
        let states = self
            .hosts
            .iter()
            .flatten()
            .map(|host| (host.phases.last().copied(), host.node.stats()));
        panic!("not settled: {:#?}", states.collect::<Vec<_>>());
    }

    fn is_settled(&self) -> bool {
        let up: Vec<&Host> = self.hosts.iter().flatten().collect();
        let ready = up
            .iter()
            .all(|host| matches!(host.phases.last(), Some(Phase::Ready { .. })));
        let states: Vec<_> = up.iter().map(|host| host.node.cluster()).collect();
        let same = states.windows(2).all(|pair| pair[0] == pair[1]);
        ready && same && states.iter().flatten().all(|state| state.moves() == 0)
    }

    /// A write at a node: the answers.
    pub fn write(&mut self, node: usize, key: &str, ms: u64, value: u8, consistency: Consistency) -> Vec<String> {
        let value = [value];
        let op = put("1", key, ms, &value);
        self.write_op(node, &Op { consistency, ..op })
    }

    /// The same of a value that is more than a number.
    pub fn write_value(&mut self, node: usize, key: &str, ms: u64, value: &[u8]) -> Vec<String> {
        self.write_op(node, &put("1", key, ms, value))
    }

    /// And of one that expires.
    pub fn write_expiring(&mut self, node: usize, key: &str, ms: u64, ttl_ms: u64) -> Vec<String> {
        let mut op = put("1", key, ms, &[1]);
        op.version.ttl_ms = Some(ttl_ms);
        self.write_op(node, &op)
    }

    /// A delete.
    pub fn delete(&mut self, node: usize, key: &str, ms: u64) -> Vec<String> {
        self.write_op(node, &delete("1", key, ms))
    }

    fn write_op(&mut self, node: usize, op: &Op<'_>) -> Vec<String> {
        self.host(node).take(CLIENT_CONN);
        self.host(node).receive(CLIENT_CONN, &client::op(op, Ask::default()));
        self.run(50);
        self.answers(node)
    }

    pub fn read(&mut self, node: usize, key: &str, consistency: ReadConsistency) -> Vec<String> {
        self.read_of(node, "m", key, consistency)
    }

    pub fn read_of(&mut self, node: usize, map: &str, key: &str, consistency: ReadConsistency) -> Vec<String> {
        let get = Get {
            id: "r",
            map,
            key: key.as_bytes(),
            consistency,
        };
        self.host(node).take(CLIENT_CONN);
        self.host(node).receive(CLIENT_CONN, &client::get_key(&get));
        self.run(50);
        self.answers(node)
    }

    pub fn answers(&mut self, node: usize) -> Vec<String> {
        let frames = self.host(node).take(CLIENT_CONN);
        let shown = frames.iter().map(|frame| match ServerMessage::decode(frame, 64) {
            Ok(ServerMessage::OpAck { achieved, .. }) => format!("ack {achieved}"),
            Ok(ServerMessage::OpRejected { code, reason, .. } | ServerMessage::Error { code, reason, .. }) => {
                format!("{code} {reason}")
            }
            Ok(ServerMessage::Value { found, .. }) => match found {
                Some((value, _)) => format!("value {}", value[0]),
                None => "nothing".into(),
            },
            Ok(ServerMessage::Agreed { became, .. }) => match became {
                Became::Granted { token, .. } => format!("granted {token}"),
                Became::Released(success) => format!("released {success}"),
                Became::Defined { version, value } => format!("defined {version} {value:?}"),
                other => format!("{other:?}"),
            },
            other => format!("{other:?}"),
        });
        shown.collect()
    }

    /// A key that lies in a partition owned by this node.
    pub fn key_owned_by(&mut self, node: usize) -> String {
        let host = self.host(node);
        let id = host.node.id();
        let state = host.node.cluster().expect("it is a member").clone();
        let keys = (0..10_000).map(|n| format!("k{n}"));
        let owner = |key: &String| state.placement(partition(key)).replicas[0];
        keys.into_iter().find(|key| owner(key) == id).expect("each owns some")
    }

    /// The nodes that hold a version of a key.
    pub fn holders(&self, key: &str) -> Vec<usize> {
        let key = kernel::store::RecordKey::new("m", key.as_bytes(), &Limits::default()).expect("a short key");
        let holds = |host: &Option<Host>| host.as_ref().is_some_and(|host| host.node.store().get(&key).is_some());
        let all = self.hosts.iter().enumerate();
        all.filter(|(_, host)| holds(host)).map(|(node, _)| node).collect()
    }
}

pub fn partition(key: &str) -> PartitionId {
    kernel::partition::Routing::new().partition("m", key.as_bytes())
}
