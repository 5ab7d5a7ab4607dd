//! A small network of registers in virtual time, each with a disk, and what can befall them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kernel::env::{Mutants, NodeId, SeededRng, WriterId};
use kernel::register::{Message, Register, Stored};

use crate::client::{Client, Running};
use crate::value::Value;

pub type Out = Vec<(NodeId, Message<Value>)>;

/// How bad the network and the disks are.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    pub loss_permille: u64,
    pub copies_permille: u64,
    /// How often a message is late, and by how much at most.
    pub late_permille: u64,
    pub late_us: u64,
    /// Who cannot be heard by the rest. In both directions, or in one.
    pub apart: BTreeSet<NodeId>,
    pub apart_one_way: bool,
}

pub struct Node {
    pub disk: Stored<Value>,
    pub up: Option<Up>,
    /// Its disk was wiped: it is back under another id, if at all.
    pub gone: bool,
}

/// One boot.
pub struct Up {
    pub register: Register<Value>,
    pub running: Option<Running>,
    boot: u64,
    commits: VecDeque<Commit>,
    wake_us: Option<u64>,
}

/// What is on its way to the disk, and what may leave only then.
struct Commit {
    stored: Stored<Value>,
    out: Out,
}

enum Event {
    Arrives {
        to: NodeId,
        from: NodeId,
        bytes: Vec<u8>,
    },
    /// What a node said to itself.
    Own {
        node: NodeId,
        boot: u64,
        message: Message<Value>,
    },
    Durable {
        node: NodeId,
        boot: u64,
    },
    Wake {
        node: NodeId,
        boot: u64,
    },
}

pub struct Cluster {
    pub now_us: u64,
    /// Counts the events: a clock that no two share.
    pub instant: u64,
    pub nodes: BTreeMap<NodeId, Node>,
    pub faults: Faults,
    pub rng: SeededRng,
    pub client: Client,
    /// Every version that a node has learned.
    pub chosen: BTreeMap<u64, Value>,
    /// The first promise that was broken.
    pub broken: Option<String>,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    mutants: Mutants,
}

impl Cluster {
    pub fn new(seed: u64, mutants: Mutants) -> Self {
        Self {
            now_us: 0,
            instant: 0,
            nodes: BTreeMap::new(),
            faults: Faults::default(),
            rng: SeededRng::from_u64(seed),
            client: Client::default(),
            chosen: BTreeMap::new(),
            broken: None,
            events: BTreeMap::new(),
            sequence: 0,
            mutants,
        }
    }

    /// A node with this disk, switched on.
    pub fn add(&mut self, disk: Stored<Value>) -> NodeId {
        let id = NodeId(self.nodes.len() as u64 + 1);
        let (up, gone) = (None, false);
        self.nodes.insert(id, Node { disk, up, gone });
        self.boot(id);
        id
    }

    pub fn boot(&mut self, id: NodeId) {
        let (writer, boot) = (WriterId(self.rng.next_u64()), self.rng.next_u64());
        let node = self.nodes.get_mut(&id).expect("a node");
        if node.up.is_none() && !node.gone {
            node.up = Some(Up {
                register: Register::new(id, writer, node.disk.clone(), self.mutants),
                running: None,
                boot,
                commits: VecDeque::new(),
                wake_us: None,
            });
            self.learned(id);
        }
    }

    /// Ends a boot. Of what was on its way to the disk some may have arrived; nothing of it was said.
    pub fn crash(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).expect("a node");
        if let Some(mut up) = node.up.take() {
            let arrived = self.rng.below(up.commits.len() as u64 + 1) as usize;
            if let Some(last) = up.commits.drain(..arrived).next_back() {
                node.disk = last.stored;
            }
        }
    }

    pub fn wipe(&mut self, id: NodeId) {
        self.crash(id);
        self.nodes.get_mut(&id).expect("a node").gone = true;
    }

    pub fn is_up(&self, id: NodeId) -> bool {
        self.nodes[&id].up.is_some()
    }

    /// Those of which `which` is true.
    pub fn those(&self, which: impl Fn(&Node) -> bool) -> Vec<NodeId> {
        let nodes = self.nodes.iter().filter(|(_, node)| which(node));
        nodes.map(|(id, _)| *id).collect()
    }

    /// Lets what is due until `until_us` happen, and moves the clock there.
    pub fn run_until(&mut self, until_us: u64) {
        while self.broken.is_none() {
            match self.events.first_entry() {
                Some(event) if event.key().0 <= until_us => {
                    let ((at_us, _), event) = event.remove_entry();
                    self.now_us = at_us;
                    self.happens(event);
                }
                _ => break,
            }
        }
        self.now_us = self.now_us.max(until_us);
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Arrives { to, from, bytes } => {
                let (a, b) = (self.faults.apart.contains(&from), self.faults.apart.contains(&to));
                if a == b || (b && self.faults.apart_one_way) {
                    let message = postcard::from_bytes(&bytes).expect("a message");
                    self.step(to, |register, now_us, rng, out| {
                        register.receive(from, message, now_us, rng, out)
                    });
                }
            }
            Event::Own { node, boot, message } if self.is_boot(node, boot) => {
                self.step(node, |register, now_us, rng, out| {
                    register.receive(node, message, now_us, rng, out)
                });
            }
            Event::Wake { node, boot } if self.is_boot(node, boot) => {
                self.step(node, |register, now_us, rng, out| register.tick(now_us, rng, out));
            }
            Event::Durable { node, boot } if self.is_boot(node, boot) => {
                let host = self.nodes.get_mut(&node).expect("a node");
                let commit = host.up.as_mut().and_then(|up| up.commits.pop_front());
                let commit = commit.expect("what was begun");
                host.disk = commit.stored;
                self.send(node, boot, commit.out);
                self.looks(node);
            }
            _ => (),
        }
    }

    fn is_boot(&self, node: NodeId, boot: u64) -> bool {
        self.nodes[&node].up.as_ref().is_some_and(|up| up.boot == boot)
    }

    /// Steps a node, if it is up, as a host has to.
    pub fn step(&mut self, id: NodeId, call: impl FnOnce(&mut Register<Value>, u64, &mut SeededRng, &mut Out)) {
        self.instant += 1;
        let Some(up) = self.nodes.get_mut(&id).and_then(|node| node.up.as_mut()) else {
            return;
        };
        let mut out = Vec::new();
        call(&mut up.register, self.now_us, &mut self.rng, &mut out);
        let boot = up.boot;
        if up.register.take_dirty() {
            let stored = up.register.stored().clone();
            up.commits.push_back(Commit { stored, out });
            // Commits of one node are answered in order: none is faster than the one before by a random draw.
            let took_us = 2_000;
            self.schedule(self.now_us + took_us, Event::Durable { node: id, boot });
        } else if let Some(last) = up.commits.back_mut() {
            last.out.extend(out);
        } else {
            self.send(id, boot, out);
        }
        self.looks(id);
        let now_us = self.now_us;
        let Some(up) = self.nodes.get_mut(&id).and_then(|node| node.up.as_mut()) else {
            return;
        };
        let wake_us = up.register.wake_us();
        if wake_us != up.wake_us {
            up.wake_us = wake_us;
            if let Some(at_us) = wake_us {
                self.schedule(at_us.max(now_us), Event::Wake { node: id, boot });
            }
        }
    }

    fn send(&mut self, from: NodeId, boot: u64, out: Out) {
        for (to, message) in out {
            if to == from {
                let node = to;
                self.schedule(self.now_us, Event::Own { node, boot, message });
                continue;
            }
            let bytes = postcard::to_allocvec(&message).expect("a message");
            let copies = 1 + u64::from(self.rng.chance(self.faults.copies_permille));
            for _ in 0..copies {
                let late = self.rng.chance(self.faults.late_permille);
                let most_us = if late { self.faults.late_us } else { 20_000 };
                let at_us = self.now_us + self.rng.between(500, most_us.max(500));
                if !self.rng.chance(self.faults.loss_permille) && self.nodes.contains_key(&to) {
                    let bytes = bytes.clone();
                    self.schedule(at_us, Event::Arrives { to, from, bytes });
                }
            }
        }
    }

    fn schedule(&mut self, at_us: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((at_us, self.sequence), event);
    }

    /// Looks at what a node knows, once all of that is on its disk.
    fn looks(&mut self, id: NodeId) {
        let settled = |up: &Up| up.commits.is_empty();
        if self.nodes[&id].up.as_ref().is_some_and(settled) {
            self.learned(id);
            self.went_on(id);
        }
    }

    /// Holds what a node knows against what others know: one value a version, each made from the one before.
    fn learned(&mut self, id: NodeId) {
        let Some(up) = &self.nodes[&id].up else { return };
        let (version, Some(value)) = (up.register.version(), up.register.value()) else {
            return;
        };
        let known = self.chosen.entry(version).or_insert_with(|| value.clone()).clone();
        let neighbours = |of: u64| Some((self.chosen.get(&of)?, self.chosen.get(&(of + 1))?));
        let pairs = [neighbours(version - 1), neighbours(version)].into_iter().flatten();
        let torn = pairs.into_iter().find(|(before, after)| after.parent != before.mark);
        if known != *value {
            self.broken = Some(format!(
                "one-chain: version {version} is {known:?} and, at {id:?}, {value:?}"
            ));
        } else if let Some((before, after)) = torn {
            self.broken = Some(format!("one-chain: {after:?} does not follow {before:?}"));
        }
    }
}
