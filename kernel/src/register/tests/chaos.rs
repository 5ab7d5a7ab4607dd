//! Any order of anything: messages lie in a bag, and whatever is drawn happens next.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A node, with what it has on disk and what it may say only once that has caught up.
struct Host {
    disk: Stored<Value>,
    register: Register<Value>,
    waiting: Vec<(NodeId, Message<Value>)>,
}

struct Bag {
    hosts: Vec<Host>,
    bag: Vec<(NodeId, NodeId, Message<Value>)>,
    chosen: BTreeMap<u64, Value>,
    now_us: u64,
    marks: u64,
    rng: SeededRng,
}

/// Messages in the bag at most; beyond it the oldest are lost.
const BAG_MAX: usize = 200;

impl Bag {
    fn new(seed: u64, nodes: u64) -> Self {
        let first = value("0", &(1..=nodes).collect::<Vec<_>>());
        let host = |id| {
            let disk = Stored::founded(first.clone());
            let register = register(id, disk.clone());
            let waiting = Vec::new();
            Host {
                disk,
                register,
                waiting,
            }
        };
        Self {
            hosts: (1..=nodes).map(host).collect(),
            bag: Vec::new(),
            chosen: BTreeMap::from([(1, first.clone())]),
            now_us: 0,
            marks: 0,
            rng: SeededRng::from_u64(seed),
        }
    }

    fn draw(&mut self, below: usize) -> usize {
        self.rng.below(below as u64) as usize
    }

    fn happen(&mut self) {
        let at = self.draw(self.hosts.len());
        match self.rng.below(100) {
            0 => self.restart(at),
            1..=4 => self.propose(at),
            5..=7 => self.tick(at),
            8 | 9 if !self.bag.is_empty() => {
                let lost = self.draw(self.bag.len());
                self.bag.swap_remove(lost);
            }
            10..=45 => self.persist(at),
            _ if !self.bag.is_empty() => {
                let next = self.draw(self.bag.len());
                let twice = self.rng.chance(100);
                let (from, to, message) = self.bag[next].clone();
                if !twice {
                    self.bag.swap_remove(next);
                }
                self.receive(from, to, message);
            }
            _ => (),
        }
        for host in &self.hosts {
            let (version, value) = (host.disk.version, host.disk.value.as_ref().expect("founded"));
            let known = self.chosen.entry(version).or_insert_with(|| value.clone());
            assert_eq!(known, value, "version {version}");
            // What a node knows and has not stored is the same, once it is anybody's.
            let (version, value) = (host.register.version(), host.register.value().expect("founded"));
            let known = self.chosen.get(&version).unwrap_or(value);
            assert_eq!(known, value, "version {version}");
            // The text says from which text it was made.
            if let Some(before) = self.chosen.get(&(version - 1)) {
                assert!(
                    value
                        .text
                        .ends_with(&format!("<{}", before.text.split('<').next().unwrap()))
                );
            }
        }
        let extra = self.bag.len().saturating_sub(BAG_MAX);
        self.bag.drain(..extra);
    }

    fn receive(&mut self, from: NodeId, to: NodeId, message: Message<Value>) {
        let host = &mut self.hosts[to.0 as usize - 1];
        host.register
            .receive(from, message, self.now_us, &mut self.rng, &mut host.waiting);
    }

    fn tick(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        self.now_us = host.register.wake_us().unwrap_or(0).max(self.now_us);
        host.register.tick(self.now_us, &mut self.rng, &mut host.waiting);
    }

    fn propose(&mut self, at: usize) {
        self.marks += 1;
        let nodes = self.hosts.len() as u64;
        let held = self.hosts[at].register.value().expect("founded").clone();
        let mut members = held.members;
        if self.rng.chance(300) {
            members = (1..=nodes).map(NodeId).filter(|_| self.rng.chance(600)).collect();
        }
        let text = format!("{}<{}", self.marks, held.text.split('<').next().unwrap());
        let host = &mut self.hosts[at];
        let next = Value { members, text };
        host.register
            .propose(next, self.now_us, &mut self.rng, &mut host.waiting);
    }

    fn persist(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        if host.register.take_dirty() {
            host.disk = host.register.stored().clone();
        }
        let from = NodeId(at as u64 + 1);
        self.bag
            .extend(host.waiting.drain(..).map(|(to, message)| (from, to, message)));
    }

    /// A new boot from the disk: what was not on it was not said either. What a boot said to itself goes with it.
    fn restart(&mut self, at: usize) {
        let me = NodeId(at as u64 + 1);
        self.bag.retain(|(from, to, _)| (*from, *to) != (me, me));
        let writer = WriterId(self.rng.next_u64());
        let host = &mut self.hosts[at];
        host.waiting.clear();
        host.register = Register::new(me, writer, host.disk.clone(), Mutants::default());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn one_value_a_version_whatever_happens(seed in any::<u64>(), nodes in 1..=5u64) {
        let mut bag = Bag::new(seed, nodes);
        for _ in 0..3_000 {
            bag.happen();
        }
    }
}

#[test]
fn much_is_decided_in_all_that_disorder() {
    let versions: u64 = (0..20)
        .map(|seed| {
            let mut bag = Bag::new(seed, 3);
            (0..3_000).for_each(|_| bag.happen());
            bag.chosen.len() as u64
        })
        .sum();
    assert!(versions > 20 * 10, "{versions} versions in 20 runs");
}
