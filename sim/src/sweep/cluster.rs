//! A cluster of detectors over a bad network, by virtual time.

use std::collections::BTreeSet;

use kernel::cluster::liveness::{Boot, Gossip, Health, Liveness, LivenessSettings, News};
use kernel::env::{Mutant, Mutants, NodeId, SeededRng, WriterId};

use crate::engine::Queue;
use crate::streams::{Draw, Streams};

/// What is simulated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scene {
    /// How many nodes.
    pub nodes: usize,
    /// Of a thousand messages, how many are lost.
    pub loss_permille: u64,
    /// The longest that a message is under way; all shorter times are as likely.
    pub jitter_ms: u64,
    /// Of every detector.
    pub settings: LivenessSettings,
    /// How every detector is broken, if it is.
    pub mutant: Option<Mutant>,
}

/// One message of so many is measured, and stands for all of them.
const MEASURED_ONE_IN: u64 = 16;

/// What happens next.
#[derive(Debug)]
enum Event {
    /// The message in this place arrives.
    Arrives(usize),
    /// This node asked to be stepped.
    Wakes(usize),
}

#[derive(Debug)]
struct Envelope {
    from: usize,
    to: usize,
    gossip: Gossip,
}

/// One node: its detector, and a clock that shares nothing with those of others.
#[derive(Debug)]
struct Runner {
    id: NodeId,
    detector: Liveness,
    rng: SeededRng,
    /// Its clock shows this when it boots, and goes on from there.
    clock_us: u64,
    booted_us: u64,
    is_up: bool,
    /// Until when its process is stopped. What arrives waits.
    stopped_until_us: u64,
    wakes_us: Option<u64>,
}

/// A change in the view of one node, and when it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// When.
    pub at_us: u64,
    /// By which node.
    pub by: usize,
    /// What.
    pub news: News,
}

/// The cluster. Nodes are numbered from 0, and every one is a member from the start.
#[derive(Debug)]
pub struct Cluster {
    scene: Scene,
    seed: SeededRng,
    nodes: Vec<Runner>,
    queue: Queue<Event>,
    under_way: Vec<Option<Envelope>>,
    free: Vec<usize>,
    draw: Draw,
    cut: BTreeSet<(usize, usize)>,
    slow_us: Vec<((usize, usize), u64)>,
    out: Vec<(NodeId, Gossip)>,
    seen: Vec<Seen>,
    boots: u64,
    events: u64,
    messages: u64,
    measured_bytes: u64,
    longest_bytes: usize,
}

impl Cluster {
    /// All nodes have just booted, each with a clock of its own.
    pub fn new(scene: &Scene, seed: u64) -> Self {
        let seed = SeededRng::from_u64(seed);
        let draw = Streams::new(&seed, "network").at(0, 0);
        let mut cluster = Self {
            scene: scene.clone(),
            nodes: Vec::new(),
            queue: Queue::default(),
            under_way: Vec::new(),
            free: Vec::new(),
            draw,
            cut: BTreeSet::new(),
            slow_us: Vec::new(),
            out: Vec::new(),
            seen: Vec::new(),
            boots: 0,
            events: 0,
            messages: 0,
            measured_bytes: 0,
            longest_bytes: 0,
            seed,
        };
        for node in 0..scene.nodes {
            let runner = cluster.runner(node, 1_000_000 + node as u64);
            cluster.nodes.push(runner);
        }
        (0..scene.nodes).for_each(|node| cluster.begin(node));
        cluster
    }

    /// The id of a node.
    pub fn id(&self, node: usize) -> NodeId {
        self.nodes[node].id
    }

    /// The virtual time, in microseconds since the start.
    pub fn now_us(&self) -> u64 {
        self.queue.now_us()
    }

    /// What `by` takes `node` for.
    pub fn state(&self, by: usize, node: usize) -> Health {
        self.nodes[by].detector.state(self.nodes[node].id)
    }

    /// The detector of a node.
    pub fn detector(&self, node: usize) -> &Liveness {
        &self.nodes[node].detector
    }

    /// Whether a node runs.
    pub fn is_up(&self, node: usize) -> bool {
        self.nodes[node].is_up
    }

    /// What changed in the views of nodes since this was asked last.
    pub fn take_seen(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.seen)
    }

    /// How many messages were sent, and how many events happened.
    pub fn counts(&self) -> (u64, u64) {
        (self.messages, self.events)
    }

    /// The bytes of all messages, as measured on a part of them, and those of the longest that was measured.
    pub fn bytes(&self) -> (u64, usize) {
        (self.measured_bytes * MEASURED_ONE_IN, self.longest_bytes)
    }

    /// Messages from one node to another are lost from now on, or no longer.
    pub fn cut(&mut self, from: usize, to: usize, is_cut: bool) {
        if is_cut {
            self.cut.insert((from, to));
        } else {
            self.cut.remove(&(from, to));
        }
    }

    /// The same in both directions.
    pub fn cut_both(&mut self, one: usize, other: usize, is_cut: bool) {
        self.cut(one, other, is_cut);
        self.cut(other, one, is_cut);
    }

    /// Messages from one node to another take so much longer from now on.
    pub fn slow(&mut self, from: usize, to: usize, by_us: u64) {
        self.slow_us.push(((from, to), by_us));
    }

    /// A node is gone from one moment to the next. What it has sent still arrives.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].is_up = false;
    }

    /// A node that is gone begins anew, with the wall clock at `birth_ms`.
    pub fn restart(&mut self, node: usize, birth_ms: u64) {
        self.nodes[node] = self.runner(node, birth_ms);
        self.begin(node);
    }

    /// A second process with the id of `node` begins, beside the first: what is sent to that id reaches both. Its number.
    pub fn twin(&mut self, node: usize, birth_ms: u64) -> usize {
        let runner = self.runner(node, birth_ms);
        self.nodes.push(runner);
        self.begin(self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    /// A node's process is stopped for so long, and knows nothing of it. What arrives waits.
    pub fn stop(&mut self, node: usize, for_us: u64) {
        self.nodes[node].stopped_until_us = self.now_us() + for_us;
    }

    /// A node's transport says that its connection to another one broke.
    pub fn connection_lost(&mut self, node: usize, to: usize) {
        let (now_us, id) = (self.clock_us(node), self.nodes[to].id);
        self.nodes[node].detector.connection_lost(id, now_us);
        self.after_step(node);
    }

    /// Puts away a detector, and goes on with a copy of it that was written down and read.
    pub fn replace_detector(&mut self, node: usize, with: impl FnOnce(&Liveness) -> Liveness) {
        self.nodes[node].detector = with(&self.nodes[node].detector);
    }

    /// Runs for so long.
    pub fn run_for(&mut self, for_us: u64) {
        let until_us = self.now_us() + for_us;
        self.run_until(until_us, |_| false);
    }

    /// Runs up to a moment, or until `done` after one of the events in which some view changed. Whether it was done.
    pub fn run_until(&mut self, until_us: u64, done: impl Fn(&Self) -> bool) -> bool {
        let mut seen = usize::MAX;
        loop {
            if self.seen.len() != seen {
                seen = self.seen.len();
                if done(self) {
                    return true;
                }
            }
            if self.queue.next_at_us().is_none_or(|next_us| next_us > until_us) {
                // An event of nobody, so that time is where it was asked to be.
                self.queue.push(until_us, Event::Wakes(usize::MAX));
                self.queue.pop();
                return false;
            }
            match self.queue.pop() {
                Some(Event::Arrives(place)) => self.arrives(place),
                Some(Event::Wakes(node)) => self.wakes(node),
                None => {}
            }
        }
    }

    fn runner(&mut self, node: usize, birth_ms: u64) -> Runner {
        self.boots += 1;
        let id = NodeId::of(&format!("node-{node}"));
        let mut rng = self.seed.fork("detector", self.boots);
        let writer = WriterId(rng.next_u64());
        let settings = self.scene.settings.clone();
        let mutants = self.scene.mutant.map_or(Mutants::default(), Mutants::only);
        Runner {
            id,
            detector: Liveness::new(id, Boot { birth_ms, writer }, settings, mutants),
            clock_us: rng.below(1 << 50),
            rng,
            booted_us: self.now_us(),
            is_up: true,
            stopped_until_us: 0,
            wakes_us: None,
        }
    }

    fn begin(&mut self, node: usize) {
        let mut members: Vec<NodeId> = self.nodes.iter().map(|runner| runner.id).collect();
        members.sort_unstable();
        members.dedup();
        let now_us = self.clock_us(node);
        self.nodes[node].detector.set_members(&members, now_us);
        self.after_step(node);
    }

    fn clock_us(&self, node: usize) -> u64 {
        self.nodes[node].clock_us + (self.queue.now_us() - self.nodes[node].booted_us)
    }

    fn arrives(&mut self, place: usize) {
        let Some(envelope) = self.under_way[place].take() else {
            return;
        };
        let (to, until_us) = (envelope.to, self.nodes[envelope.to].stopped_until_us);
        if until_us > self.now_us() {
            self.under_way[place] = Some(envelope);
            return self.queue.push(until_us, Event::Arrives(place));
        }
        self.free.push(place);
        if !self.nodes[to].is_up {
            return;
        }
        self.events += 1;
        let (now_us, from) = (self.clock_us(to), self.nodes[envelope.from].id);
        let runner = &mut self.nodes[to];
        runner.detector.receive(from, &envelope.gossip, now_us, &mut self.out);
        self.after_step(to);
    }

    fn wakes(&mut self, node: usize) {
        let now_us = self.now_us();
        let Some(runner) = self.nodes.get_mut(node) else {
            return;
        };
        if !runner.is_up || runner.wakes_us != Some(now_us) {
            return;
        }
        if runner.stopped_until_us > now_us {
            runner.wakes_us = Some(runner.stopped_until_us);
            return self.queue.push(runner.stopped_until_us, Event::Wakes(node));
        }
        self.events += 1;
        runner.wakes_us = None;
        let now_us = self.clock_us(node);
        let runner = &mut self.nodes[node];
        runner.detector.tick(now_us, &mut runner.rng, &mut self.out);
        self.after_step(node);
    }

    fn after_step(&mut self, node: usize) {
        let at_us = self.now_us();
        let runner = &mut self.nodes[node];
        let news = runner.detector.take_news().into_iter();
        self.seen.extend(news.map(|news| Seen { at_us, by: node, news }));
        let wake_us = runner.detector.wake_us();
        // From the node's clock to the world's.
        let wakes_us = wake_us.map(|wake_us| (wake_us + runner.booted_us).saturating_sub(runner.clock_us).max(at_us));
        if wakes_us != runner.wakes_us {
            runner.wakes_us = wakes_us;
            if let Some(wakes_us) = wakes_us {
                self.queue.push(wakes_us, Event::Wakes(node));
            }
        }
        let mut out = std::mem::take(&mut self.out);
        for (to, gossip) in out.drain(..) {
            self.post(node, to, gossip);
        }
        self.out = out;
    }

    fn post(&mut self, from: usize, to: NodeId, gossip: Gossip) {
        self.messages += 1;
        if self.messages.is_multiple_of(MEASURED_ONE_IN) {
            let len = gossip.encoded_len();
            self.measured_bytes += len as u64;
            self.longest_bytes = self.longest_bytes.max(len);
        }
        let mut gossip = Some(gossip);
        // Twins come last, and there is at most one of them.
        let plain = (0..self.scene.nodes).find(|node| self.nodes[*node].id == to);
        let twin = (self.scene.nodes..self.nodes.len()).find(|node| self.nodes[*node].id == to);
        for to in [twin, plain].into_iter().flatten().filter(|to| *to != from) {
            let is_lost = self.draw.chance(self.scene.loss_permille) || self.cut.contains(&(from, to));
            let slow = self.slow_us.iter().filter(|(link, _)| *link == (from, to));
            let slow_us: u64 = slow.map(|(_, by_us)| by_us).sum();
            let after_us = self.draw.below(self.scene.jitter_ms * 1_000 + 1) + slow_us;
            let copy = if Some(to) == plain {
                gossip.take()
            } else {
                gossip.clone()
            };
            let Some(gossip) = copy.filter(|_| !is_lost) else {
                continue;
            };
            let envelope = Some(Envelope { from, to, gossip });
            let place = match self.free.pop() {
                Some(place) => {
                    self.under_way[place] = envelope;
                    place
                }
                None => {
                    self.under_way.push(envelope);
                    self.under_way.len() - 1
                }
            };
            self.queue.push(self.now_us() + after_us, Event::Arrives(place));
        }
    }
}
