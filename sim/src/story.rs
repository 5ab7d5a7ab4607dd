//! What scenarios have in common: a cluster, its clients, and what befalls them, in milliseconds.

use kernel::wire::{Consistency, ReadConsistency};
use std::ops::Range;

use crate::endpoint::Endpoint;
use crate::plan::{Event, FaultKind, On, Plan};
use crate::run::Report;
use crate::runner::ScenarioRunner;
#[cfg(doc)]
use crate::watch::Watch;
use kernel::env::Mutant;

/// A cluster and what happens to it. The seed decides everything else: latencies, the order of what happens at once, what
/// survives a crash.
#[derive(Debug, Clone)]
pub struct Story {
    plan: Plan,
    mutant: Option<Mutant>,
    next_value: u64,
    writing: Consistency,
    reading: ReadConsistency,
}

impl Story {
    /// Healthy nodes, and as many clients: each asks the node of its own number first. All faults end after ten seconds.
    pub fn of_nodes(nodes: usize) -> Self {
        Self {
            plan: Plan::quiet(0, nodes, nodes),
            mutant: None,
            next_value: 1,
            writing: Consistency::default(),
            reading: ReadConsistency::default(),
        }
    }

    /// What is written and read from here on in the telling is by quorum.
    pub fn by_quorum(mut self) -> Self {
        self.writing = Consistency::Quorum;
        self.reading = ReadConsistency::Quorum;
        self
    }

    /// More clients than nodes, or fewer.
    pub fn and_clients(mut self, clients: usize) -> Self {
        self.plan.header.clients = clients as u64;
        self
    }

    /// Breaks every node in this way.
    pub fn broken_by(mut self, mutant: Mutant) -> Self {
        self.mutant = Some(mutant);
        self
    }

    /// Deletes, and what has expired, are remembered for so many milliseconds.
    pub fn remembers_for(mut self, ms: u64) -> Self {
        self.plan.header.offline_horizon_ms = ms;
        self
    }

    /// A member that has failed for so long is removed.
    pub fn gives_up_after(mut self, ms: u64) -> Self {
        self.plan.header.remove_after_ms = ms;
        self
    }

    /// Datagrams in place of streams: frames are lost, doubled and overtake each other.
    pub fn over_datagrams(mut self) -> Self {
        self.plan.header.ordered = false;
        self.plan.header.loss_permille = 50;
        self.plan.header.duplicate_permille = 50;
        self
    }

    /// There is a secret, and the last so many clients do not know it.
    pub fn with_a_secret(mut self, impostors: u64) -> Self {
        self.plan.header.secret = true;
        self.plan.header.impostors = impostors;
        self
    }

    /// The first so many clients ask by exchanges: one request and one answer for each connection.
    pub fn by_exchange(mut self, clients: u64) -> Self {
        self.plan.header.exchanges = clients;
        self
    }

    /// So many frames of a thousand that clients send cannot be read by anybody.
    pub fn damaging(mut self, permille: u64) -> Self {
        self.plan.header.corrupt_permille = permille;
        self
    }

    /// Every sync takes between so many milliseconds.
    pub fn syncs_take(mut self, ms: Range<u64>) -> Self {
        self.plan.header.sync_us = (ms.start * 1_000, ms.end * 1_000);
        self
    }

    /// A frame takes between so many milliseconds to the other end.
    pub fn frames_take(mut self, ms: Range<u64>) -> Self {
        self.plan.header.latency_us = (ms.start * 1_000, ms.end * 1_000);
        self
    }

    /// The last so many nodes never come back once the faults are over.
    pub fn loses_for_good(mut self, nodes: u64) -> Self {
        self.plan.header.dead = nodes;
        self
    }

    /// The wall clock of each node is so far ahead when it begins.
    pub fn skewed(mut self, ahead_ms: &[i64]) -> Self {
        self.plan.header.skew_ms = ahead_ms.to_vec();
        self
    }

    /// The wall clock of each client is so far ahead.
    pub fn clients_skewed(mut self, ahead_ms: &[i64]) -> Self {
        self.plan.header.client_skew_ms = ahead_ms.to_vec();
        self
    }

    /// A client writes to one key after another of `keys`, every so many milliseconds.
    pub fn writes(mut self, client: usize, keys: &[&str], during_ms: Range<u64>, every_ms: usize) -> Self {
        for (turn, at_ms) in during_ms.step_by(every_ms).enumerate() {
            let value = self.next_value;
            self.next_value += 1;
            let key = keys[turn % keys.len()].to_string();
            let event = Event::Put {
                client,
                map: "story".into(),
                key,
                value,
                ttl_ms: None,
                level: self.writing,
            };
            self = self.at(at_ms, event);
        }
        self
    }

    /// A client writes to a key, for so many milliseconds.
    pub fn writes_for(mut self, client: usize, key: &str, at_ms: u64, ttl_ms: u64) -> Self {
        let value = self.next_value;
        self.next_value += 1;
        let event = Event::Put {
            client,
            map: "story".into(),
            key: key.into(),
            value,
            ttl_ms: Some(ttl_ms),
            level: self.writing,
        };
        self.at(at_ms, event)
    }

    /// A client deletes a key.
    pub fn deletes(self, client: usize, key: &str, at_ms: u64) -> Self {
        let (map, key, level) = ("story".into(), key.into(), self.writing);
        self.at(
            at_ms,
            Event::Delete {
                client,
                map,
                key,
                level,
            },
        )
    }

    /// A client reads a key, every so many milliseconds.
    pub fn reads(mut self, client: usize, key: &str, during_ms: Range<u64>, every_ms: usize) -> Self {
        for at_ms in during_ms.step_by(every_ms) {
            let (map, key, level) = ("story".into(), key.into(), self.reading);
            self = self.at(
                at_ms,
                Event::Get {
                    client,
                    map,
                    key,
                    level,
                },
            );
        }
        self
    }

    /// A client watches the map that is written to: `all by-key 0`, `above:50 down 3` (see [`Watch`]).
    ///
    /// # Panics
    /// If that is no watch.
    pub fn watches(self, client: usize, what: &str, at_ms: u64) -> Self {
        let watch = format!("story {what}").parse().expect("a watch: `above:50 down 3`");
        self.at(at_ms, Event::Watch { client, watch })
    }

    /// The nodes of one side and those of the other do not hear each other. Clients reach both.
    pub fn split(mut self, one: &[usize], other: &[usize], during_ms: Range<u64>) -> Self {
        let for_us = (during_ms.end - during_ms.start) * 1_000;
        for a in one {
            for b in other {
                for (from, to) in [(*a, *b), (*b, *a)] {
                    let (from, to) = (Endpoint::Node(from), Endpoint::Node(to));
                    self = self.at(
                        during_ms.start,
                        Event::Fault(FaultKind::Block.on(On::Link(from, to)).for_us(for_us)),
                    );
                }
            }
        }
        self
    }

    /// The nodes of one side do not hear those of the other, who hear them.
    pub fn one_way(mut self, deaf: &[usize], unheard: &[usize], during_ms: Range<u64>) -> Self {
        let for_us = (during_ms.end - during_ms.start) * 1_000;
        for to in deaf {
            for from in unheard {
                let (from, to) = (Endpoint::Node(*from), Endpoint::Node(*to));
                let block = FaultKind::Block.on(On::Link(from, to)).for_us(for_us);
                self = self.at(during_ms.start, Event::Fault(block));
            }
        }
        self
    }

    /// Something lasting befalls a node.
    pub fn befalls(self, kind: FaultKind, node: usize, during_ms: Range<u64>) -> Self {
        let for_us = (during_ms.end - during_ms.start) * 1_000;
        self.at(during_ms.start, Event::Fault(kind.on_node(node).for_us(for_us)))
    }

    /// A node's disk takes so many times as long.
    pub fn slow_disk(self, node: usize, times: i64, during_ms: Range<u64>) -> Self {
        let for_us = (during_ms.end - during_ms.start) * 1_000;
        let slow = FaultKind::SlowDisk.on_node(node).by(times).for_us(for_us);
        self.at(during_ms.start, Event::Fault(slow))
    }

    /// A node is down.
    pub fn down(self, node: usize, during_ms: Range<u64>) -> Self {
        self.befalls(FaultKind::Crash, node, during_ms)
    }

    /// A client has no network.
    pub fn offline(self, client: usize, during_ms: Range<u64>) -> Self {
        let for_us = (during_ms.end - during_ms.start) * 1_000;
        self.at(
            during_ms.start,
            Event::Fault(FaultKind::Offline.on(On::Client(client)).for_us(for_us)),
        )
    }

    /// Anything else.
    pub fn at(mut self, at_ms: u64, event: Event) -> Self {
        self.plan = self.plan.at(at_ms * 1_000, event);
        self
    }

    /// How many writes and deletes there are in it.
    pub fn written(&self) -> u64 {
        let write = |event: &Event| matches!(event, Event::Put { .. } | Event::Delete { .. });
        self.plan.entries.iter().filter(|entry| write(&entry.event)).count() as u64
    }

    /// What plays it.
    pub fn runner(&self) -> ScenarioRunner {
        let runner = ScenarioRunner::of(self.plan.clone());
        match self.mutant {
            None => runner,
            Some(mutant) => runner.broken_by(mutant),
        }
    }

    /// See [`ScenarioRunner::play`].
    pub fn play(&self, seed: u64) -> Report {
        self.runner().play(seed)
    }

    /// See [`ScenarioRunner::holds`].
    ///
    /// # Panics
    /// If a promise is not kept, with the seed and the plan.
    pub fn holds(&self, seeds: Range<u64>) -> Vec<Report> {
        self.runner().holds(seeds)
    }

    /// See [`ScenarioRunner::breaks`].
    pub fn breaks(&self, seeds: Range<u64>) -> usize {
        self.runner().breaks(seeds)
    }
}
