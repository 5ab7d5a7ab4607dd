//! The world of a run: nodes, their disks and clocks, the network between them, and the order in which it all happens.

use bytes::Bytes;
use kernel::env::{ConnId, PeerId, SeededRng};
use kernel::machine::{Command, Input, Machine, Output};
use kernel::wire::Consistency;

use crate::client::Talk;
use crate::clock::ClockProfile;
use crate::disk::{Answer, VirtualDisk};
use crate::endpoint::Endpoint;
use crate::engine::Queue;
use crate::holding::Holding;
use crate::host::{Host, Rules};
use crate::invariant::{Invariant, InvariantChecker, Seen, Survivor, Violation, Watched, Write};
use crate::model::State;
use crate::network::{NetInput, VirtualNetwork};
use crate::reached::{Reached, Spot};
use crate::replicas::ReplicaOf;
use crate::streams::Streams;
use crate::trace::{Step, Trace};

mod ages;
mod perform;
mod setup;
mod trouble;

pub use ages::{Aged, Ages, aged};
pub use setup::Setup;

/// Something that is not the nodes' own business: whoever drives the run sees to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// The network has something to say to a client.
    Client(usize, NetInput),
    /// What was scheduled with [`World::schedule`] is due.
    Due(u64),
}

/// A node that is left when nothing is left to be done.
#[derive(Debug)]
pub struct AtRest {
    /// Its number.
    pub node: usize,
    /// What its machine holds.
    pub memory: State,
    /// The names of the nodes that it has links with, if anything is promised about them.
    pub links: Option<Vec<String>>,
    /// The partitions of which it is a replica.
    pub replica_of: ReplicaOf,
    /// Its floor.
    pub floor: u64,
}

/// Makes the machine of a node: its number, and how often it was booted before.
pub type Factory<M> = Box<dyn FnMut(usize, u64) -> M>;

/// Sees every step; for comparing two runs.
pub type Hook = Box<dyn FnMut(&Step<'_>)>;

/// Sees a machine for the last time.
pub type OnEnd<M> = Box<dyn FnMut(&M)>;

/// Called before each step of a node's machine; it may put another in its place.
pub type Between<M> = Box<dyn FnMut(usize, &mut M)>;

/// Nodes, network, clock and checks. Addresses to dial are the nodes' names: `n0` and up.
///
/// Whoever drives it calls [`World::next`] until it returns nothing, and does what is due in between.
pub struct World<M> {
    hosts: Vec<Host<M>>,
    network: VirtualNetwork,
    rules: Rules,
    factory: Factory<M>,
    due: Queue<u64>,
    now_us: u64,
    at_once: u64,
    events: u64,
    trace: Trace,
    streams: Streams,
    reached: Reached,
    hook: Option<Hook>,
    on_end: Option<OnEnd<M>>,
    between: Option<Between<M>>,
    ages: Option<Ages<M>>,
    has_lost_disks: bool,
    checker: InvariantChecker,
}

impl<M: Machine> World<M> {
    /// A world in which every node is down.
    pub fn new(setup: Setup, factory: Factory<M>, invariants: Vec<Box<dyn Invariant>>) -> Self {
        let seed = SeededRng::from_u64(setup.seed);
        let host = |(node, clock): (usize, &ClockProfile)| Host::new(&seed, node, *clock, setup.disk);
        Self {
            hosts: setup.clocks.iter().enumerate().map(host).collect(),
            network: VirtualNetwork::new(setup.network, &seed),
            rules: setup.rules,
            factory,
            due: Queue::default(),
            now_us: 0,
            at_once: 0,
            events: 0,
            trace: Trace::default(),
            streams: Streams::new(&seed, "world"),
            reached: Reached::default(),
            hook: None,
            on_end: None,
            between: None,
            ages: None,
            has_lost_disks: false,
            checker: InvariantChecker::new(invariants),
        }
    }

    /// Shows each machine to `on_end` when its node goes down.
    pub fn on_end(&mut self, on_end: OnEnd<M>) {
        self.on_end = Some(on_end);
    }

    /// Calls `hook` at every step from now on.
    pub fn watch(&mut self, hook: Hook) {
        self.hook = Some(hook);
    }

    /// Shows everything that happens from now on to `observer` as well, before the invariants see it.
    pub fn observe(&mut self, observer: Box<dyn Invariant>) {
        self.checker.observe(observer);
    }

    /// Calls `between` before every step from now on.
    pub fn touch(&mut self, between: Between<M>) {
        self.between = Some(between);
    }

    /// Asks `ages` at every step from now on for an answer whose age is told.
    pub fn judge_ages(&mut self, ages: Ages<M>) {
        self.ages = Some(ages);
    }

    /// The virtual time.
    pub fn now_us(&self) -> u64 {
        self.now_us
    }

    /// The nodes.
    pub fn hosts(&self) -> &[Host<M>] {
        &self.hosts
    }

    /// One node, to disturb it.
    pub fn host_mut(&mut self, node: usize) -> &mut Host<M> {
        &mut self.hosts[node]
    }

    /// What was in fact hit, everywhere.
    pub fn reached(&self) -> Reached {
        let mut reached = self.reached.clone();
        reached.add(self.network.reached());
        self.hosts.iter().for_each(|host| reached.add(host.disk.reached()));
        reached
    }

    /// Counts something that whoever drives the world saw.
    pub fn hit(&mut self, spot: Spot) {
        self.reached.hit(spot);
    }

    /// Shows the invariants that a fault of the plan begins, or ends.
    pub fn tell_fault(&mut self, entry: usize, begins: bool) {
        let seen = Seen::Fault { entry, begins };
        self.checker.see(self.now_us, &seen);
    }

    /// The rolling hash of all steps.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The first promise that was broken. Nothing happens any more after it.
    pub fn broken(&self) -> Option<&Violation> {
        self.checker.broken()
    }

    /// Has [`World::next`] return [`Happening::Due`] with `token` at `at_us`.
    pub fn schedule(&mut self, at_us: u64, token: u64) {
        self.due.push(at_us, token);
    }

    /// Gives a node an order.
    pub fn command(&mut self, node: usize, command: Command) {
        self.hosts[node].draining |= command == Command::Drain && self.hosts[node].is_up();
        self.step(node, Input::Command(command));
    }

    /// A client can be reached from now on.
    pub fn client_up(&mut self, client: usize) {
        self.network.boot(Endpoint::Client(client));
    }

    /// The connections of a client carry one request and one answer each.
    pub fn client_exchanges(&mut self, client: usize) {
        self.network.only_exchanges(Endpoint::Client(client));
    }

    /// A client that has no right to anything was told something.
    pub fn intruded(&mut self, client: usize, what: &str) {
        let seen = Seen::Intruded { client, what };
        self.checker.see(self.now_us, &seen);
    }

    /// A client dials a node. The answer is a [`Happening::Client`].
    pub fn client_dial(&mut self, client: usize, node: usize) {
        let to = Some(Endpoint::Node(node));
        self.network
            .dial(self.now_us, Endpoint::Client(client), to, PeerId(node as u64));
    }

    /// A client sends a frame.
    pub fn client_send(&mut self, client: usize, conn: ConnId, frame: Bytes) {
        self.network.send(self.now_us, Endpoint::Client(client), conn, frame);
    }

    /// A client ends a connection.
    pub fn client_close(&mut self, client: usize, conn: ConnId) {
        self.network.close(self.now_us, Endpoint::Client(client), conn);
    }

    /// A client stamped a write.
    pub fn wrote(&mut self, write: &Write) {
        self.checker.see(self.now_us, &Seen::Wrote(write));
    }

    /// A client was told by a node that its write is done.
    pub fn acknowledged(&mut self, node: usize, write: &Write, level: Consistency) {
        let disk = &self.hosts[node].disk;
        let seen = Seen::Acknowledged {
            node,
            write,
            level,
            disk,
        };
        self.checker.see(self.now_us, &seen);
    }

    /// Something was said between a client and a node.
    pub fn talked(&mut self, client: usize, talk: &Talk) {
        self.checker.see(self.now_us, &Seen::Talked { client, talk });
    }

    /// Somebody who can look into the machines did.
    pub fn sampled(&mut self, holdings: &[Holding]) {
        self.checker.see(self.now_us, &Seen::Sampled { holdings });
    }

    /// Every partition has at least so many replicas, in the eyes of every node.
    pub fn placed(&mut self, replicas: usize) {
        self.checker.see(self.now_us, &Seen::Placed { replicas });
    }

    /// Nothing is left to be done. `left` are the nodes that are left, `views` is what those who watch hold.
    pub fn quiet(&mut self, left: &[AtRest], views: &[Watched<'_>]) {
        let mut nodes = Vec::with_capacity(left.len());
        for AtRest {
            node,
            memory,
            links,
            replica_of,
            floor,
        } in left
        {
            let (node, disk) = (*node, &self.hosts[*node].disk);
            nodes.push(Survivor {
                node,
                disk,
                memory,
                links: links.as_deref(),
                replica_of,
                floor: *floor,
            });
        }
        let seen = Seen::Quiet { nodes: &nodes, views };
        self.checker.see(self.now_us, &seen);
    }

    /// The disks of all nodes that are up, with their numbers.
    pub fn disks(&self) -> Vec<(usize, &VirtualDisk)> {
        let up = self.hosts.iter().enumerate().filter(|(_, host)| host.is_up());
        up.map(|(node, host)| (node, host.disk())).collect()
    }

    /// Lets things happen up to the next one that is not the nodes' own business. `None`: the time is `until_us`, or a
    /// promise is broken.
    pub fn next(&mut self, until_us: u64) -> Option<Happening> {
        while self.checker.broken().is_none() {
            let at_us = self.next_at_us().unwrap_or(u64::MAX).max(self.now_us);
            if at_us > until_us {
                self.now_us = until_us.max(self.now_us);
                return None;
            }
            self.count_events(at_us);
            self.now_us = at_us;
            if self.due.next_at_us().is_some_and(|due_us| due_us <= at_us) {
                return self.due.pop().map(Happening::Due);
            }
            let polled = self.network.poll(at_us);
            self.tell_carried(polled.as_ref());
            match polled {
                Some((Endpoint::Client(client), input)) => return Some(Happening::Client(client, input)),
                Some((Endpoint::Node(node), input)) => self.deliver(node, input),
                None => self.turn_nodes(),
            }
        }
        None
    }

    /// Shows the invariants what the network did.
    fn tell_carried(&mut self, polled: Option<&(Endpoint, NetInput)>) {
        if let Some((to, NetInput::Received(_, frame))) = polled
            && let Some((from, sent_us)) = self.network.origin()
        {
            let (to, frame) = (*to, &frame[..]);
            let seen = Seen::Delivered {
                from,
                to,
                sent_us,
                frame,
            };
            self.checker.see(self.now_us, &seen);
        }
        for lost in self.network.take_lost() {
            self.checker.see(self.now_us, &Seen::Lost(&lost));
        }
    }

    /// A machine that asks to be woken at once, for ever, would stop time; one that asks for it again and again, the run.
    fn count_events(&mut self, at_us: u64) {
        const EVENTS_AT_ONCE: u64 = 1_000_000;
        const EVENTS_IN_ALL: u64 = 200_000_000;
        self.at_once = if at_us == self.now_us { self.at_once + 1 } else { 0 };
        self.events += 1;
        let expected = match (self.at_once > EVENTS_AT_ONCE, self.events > EVENTS_IN_ALL) {
            (false, false) => None,
            (true, _) => Some(format!(
                "time goes on; there were {EVENTS_AT_ONCE} events at one instant"
            )),
            (_, true) => Some(format!("a run comes to its end; there were {EVENTS_IN_ALL} events")),
        };
        if let Some(expected) = expected {
            self.checker.object(Violation {
                invariant: "progress",
                at_us,
                expected,
            });
        }
    }

    /// When something happens next. At one instant the order is: what was scheduled, the network, then the nodes by
    /// number, each with its disk before its wake.
    fn next_at_us(&self) -> Option<u64> {
        let hosts = self
            .hosts
            .iter()
            .filter(|host| !host.paused)
            .flat_map(|host| [host.disk.next_at_us(), host.wake_at_us]);
        hosts
            .chain([self.due.next_at_us(), self.network.next_at_us()])
            .flatten()
            .min()
    }

    fn turn_nodes(&mut self) {
        let at_us = self.now_us;
        for node in 0..self.hosts.len() {
            if self.hosts[node].paused {
                continue;
            }
            if self.hosts[node]
                .disk
                .next_at_us()
                .is_some_and(|next_us| next_us <= at_us)
            {
                return self.turn_disk(node);
            }
            if self.hosts[node].wake_at_us.is_some_and(|wake_us| wake_us <= at_us) {
                return self.step(node, Input::Wake);
            }
        }
    }

    fn turn_disk(&mut self, node: usize) {
        let disk = &mut self.hosts[node].disk;
        let mut answers: Vec<Answer> = disk.poll(self.now_us).into_iter().collect();
        if !self.rules.tickets_in_order {
            // What waits is answered as well, the other way round.
            answers.extend(std::iter::from_fn(|| disk.poll(self.now_us)));
            answers.reverse();
        }
        for answer in answers {
            if let Answer::Committed(ticket, result) = &answer {
                self.settle(node, *ticket, result.is_ok());
            }
            self.step(node, answer.into_input());
        }
    }

    fn deliver(&mut self, node: usize, input: NetInput) {
        if self.hosts[node].paused {
            self.reached.hit(Spot::Paused);
            return self.hosts[node].backlog.push_back(input);
        }
        match &input {
            NetInput::Opened(conn, kind, _) => {
                self.hosts[node].conns.insert(*conn, *kind);
            }
            NetInput::Closed(conn) => {
                self.hosts[node].conns.remove(conn);
            }
            _ => {}
        }
        self.step(node, input.as_input());
    }

    /// One step of one machine, and everything that it asks for.
    fn step(&mut self, node: usize, input: Input<'_>) {
        let told = Seen::Told { node, input: &input };
        self.checker.see(self.now_us, &told);
        let host = &mut self.hosts[node];
        let now = host.clock.read(self.now_us);
        let Some(machine) = host.machine.as_mut().filter(|_| self.checker.broken().is_none()) else {
            return;
        };
        if let Some(between) = &mut self.between {
            between(node, machine);
        }
        let mut output = Output::default();
        machine.step(now, input.clone(), &mut output);
        let step = Step {
            at_us: self.now_us,
            node,
            now,
            input: &input,
            output: &output,
        };
        self.trace.step(&step);
        if let Some(hook) = &mut self.hook {
            hook(&step);
        }
        let seen = Seen::Stepped {
            step: &step,
            disk: &host.disk,
        };
        self.checker.see(self.now_us, &seen);
        if let Some(told) = self.ages.and_then(|ages| ages(&self.hosts, &step)) {
            self.checker.see(self.now_us, &told.by(node));
            if told.owner != node {
                self.reached.hit(Spot::AgeTold);
            }
        }
        if self.crashes_now(node) {
            // Some of the envelopes that may leave now have left; whatever comes after them in the output never happens.
            let leaving = self
                .streams
                .at(node as u64, self.now_us)
                .below(output.send.len() as u64 + 1);
            output.send.truncate(leaving as usize);
            let begun = Output {
                send: output.send,
                ..Output::default()
            };
            self.perform(node, begun);
            self.reached.hit(Spot::CrashedMidStep);
            return self.crash(node);
        }
        self.perform(node, output);
    }
}
